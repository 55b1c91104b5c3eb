"""Reports from their definition to the file: made, run, waited for, downloaded, deleted."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback, Reply, saying

from asyncconn import errors
from asyncconn.core.polling import PollPolicy
from asyncconn.datorama import Datorama, JobStatus, Progress
from asyncconn.datorama.errors import DatoramaProtocolError, ReportFailed
from asyncconn.sandbox.datorama import DatoramaWorld
from asyncconn.sandbox.faults import Fault

from .scene import WORKSPACE, Scene, scene

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.datorama import Report, ReportJob

DAILY: dict[str, Any] = {
    "name": "daily",
    "exportFileName": "daily_extract",
    "exportFormat": "CSV",
    "workspaceId": WORKSPACE,
    "includeHeaders": True,
    "config": {"rowDims": ["CAMPAIGN_KEY"], "metrics": [{"name": "DELIVERY_CLICKS"}]},
}


async def finished(there: Scene, **fields: Any) -> tuple[Datorama, Report, ReportJob]:
    datorama = there.client()
    report = await datorama.reports.create({**DAILY, **fields})
    return datorama, report, await (await datorama.reports.run(report.id))


async def test_a_report_is_run_waited_for_downloaded_and_deleted(tmp_path: Path) -> None:
    async with scene() as there:
        datorama, report, job = await finished(there)
        assert (job.status, job.report_id, job.final) == (JobStatus.SUCCESS, report.id, True)
        path = await datorama.reports.download(job, tmp_path)
        assert path == tmp_path / "daily_extract.csv"
        lines = path.read_text().splitlines()
        assert lines[0] == "Report,daily"
        assert lines[2:4] == ["", "Campaign Key,Clicks"]
        assert [one.id for one in await datorama.reports.list(WORKSPACE).collect()] == [report.id]
        assert [one.id for one in await datorama.reports.jobs(report.id).collect()] == [job.id]
        await datorama.reports.delete(report.id)
        assert there.platform.live.reports == {}


async def test_the_lines_before_the_header_are_left_out_on_request(tmp_path: Path) -> None:
    async with scene() as there:
        datorama, _, job = await finished(there)
        path = await datorama.reports.download(job.id, tmp_path / "plain.csv", skip_preamble=True)
        assert path.read_text().splitlines()[0] == "Campaign Key,Clicks"
        assert len(path.read_text().splitlines()) == 4


async def test_who_listens_hears_of_the_bytes_that_come_those_left_out_too(tmp_path: Path) -> None:
    async with scene() as there:
        datorama, _, job = await finished(there)
        heard: list[Progress] = []
        whole = await datorama.reports.download(job, tmp_path / "whole.csv")
        await datorama.reports.download(job, tmp_path / "plain.csv", skip_preamble=True, on_progress=heard.append)

        assert (heard[0].done, heard[-1].done, heard[-1].unit) == (0, whole.stat().st_size, "bytes")


async def test_a_compressed_report_is_kept_as_the_zip_it_is(tmp_path: Path) -> None:
    async with scene() as there:
        datorama, _, job = await finished(there, compressed=True)
        assert job.compressed
        path = await datorama.reports.download(job, tmp_path, skip_preamble=True)
        assert path.name == "daily_extract.zip"
        named = await datorama.reports.download(job, tmp_path / "as_i_like.csv", skip_preamble=True)
        for each in (path, named):
            with zipfile.ZipFile(each) as archive:
                assert archive.testzip() is None
                assert archive.namelist() == ["daily_extract.csv"]


@pytest.mark.parametrize("outcome", ["FAILURE", "ABORTED", "TIMEOUT"])
async def test_a_report_that_ends_badly_is_an_error_with_its_job(outcome: str) -> None:
    async with scene(DatoramaWorld(report_outcomes={outcome: 1.0})) as there:
        datorama = there.client()
        report = await datorama.reports.create(DAILY)
        with pytest.raises(ReportFailed, match=f"ended as {outcome}") as caught:
            await (await datorama.reports.run(report.id))
        assert caught.value.state.id == 66001
        assert caught.value.state.status == outcome


async def test_the_reason_of_a_failure_is_told() -> None:
    async with scene() as there:
        datorama = there.client()
        report = await datorama.reports.create({**DAILY, "config": {"rowDims": ["NO_SUCH"]}})
        with pytest.raises(ReportFailed, match="unknown field 'NO_SUCH'"):
            await (await datorama.reports.run(report.id))


async def test_every_state_is_seen_on_the_way() -> None:
    async with scene() as there:
        datorama = there.client()
        report = await datorama.reports.create(DAILY)
        states = [job.status async for job in await datorama.reports.run(report.id)]
        assert list(dict.fromkeys(states)) == ["PENDING", "IN_PROGRESS", "SUCCESS"]


async def test_another_process_can_go_on_waiting_with_the_token() -> None:
    async with scene() as there:
        first = there.client()
        report = await first.reports.create(DAILY)
        token = (await first.reports.run(report.id)).token()
        await first.aclose()
        job = await there.client().reports.wait(int(token))
        assert (job.report_id, job.status) == (report.id, "SUCCESS")


async def test_waiting_for_a_word_that_nobody_knows_ends_at_the_deadline() -> None:
    async with scene() as there:
        datorama = there.client()
        there.fault(Fault("unknown_status", match="/v1/report-jobs", times=None))
        report = await datorama.reports.create(DAILY)
        with pytest.raises(errors.PollTimeout, match="3600 s") as caught:
            await (await datorama.reports.run(report.id))
        assert caught.value.token == "66001"
        assert caught.value.last is not None
        assert caught.value.last.status == "HALTED_FOR_REVIEW"


async def test_a_poll_that_fails_in_passing_does_not_end_the_wait() -> None:
    async with scene() as there:
        datorama = there.client()
        there.fault(
            Fault("status", status=503, match="/v1/report-jobs", times=8), Fault("drop_before", match="/v1/report-jobs")
        )
        report = await datorama.reports.create(DAILY)
        assert (await (await datorama.reports.run(report.id))).status == "SUCCESS"


async def test_a_report_that_is_not_done_has_no_file() -> None:
    async with scene() as there:
        datorama = there.client()
        report = await datorama.reports.create(DAILY)
        poller = await datorama.reports.run(report.id)
        with pytest.raises(errors.Unprocessable, match="has no file"):
            await datorama.reports.download(int(poller.token()), "never.csv")


async def test_schedulers() -> None:
    async with scene() as there:
        reports = there.client().reports
        report = await reports.create(DAILY)
        made = await reports.schedulers.create({"name": "nightly", "reportId": report.id, "active": True})
        assert [one.id for one in await reports.schedulers.list(report.id).collect()] == [made.id]
        assert (await reports.schedulers.patch(made.id, {"active": False})).raw["active"] is False
        assert await reports.schedulers.list(report.id, only_active=True).collect() == []
        assert (await reports.schedulers.get(made.id)).name == "nightly"
        assert (await reports.schedulers.replace(made.id, {"name": "b"})).name == "b"
        await reports.schedulers.delete(made.id)


@pytest.mark.parametrize("answer", [[], None])
async def test_a_start_that_names_no_job_is_an_error_that_says_it_may_have_started(answer: Any) -> None:
    async with Loopback(saying(answer)) as server, Datorama("made-up-token", base_url=server.url) as datorama:
        with pytest.raises(DatoramaProtocolError, match="no job was named") as caught:
            await datorama.reports.run(55001)
    assert caught.value.maybe_sent


@pytest.mark.parametrize(
    ("disposition", "file"),
    [
        ('attachment; filename="a b.csv"', "a b.csv"),
        ('attachment; filename="../../evil.csv"', "evil.csv"),
        ('attachment; filename="/etc/evil"', "evil"),
        ('attachment; filename=".."', "report_66001"),
        ('attachment; filename="."', "report_66001"),
        ('attachment; filename="a/.."', "report_66001"),
        ('attachment; filename="/"', "report_66001"),
        ('attachment; filename=""', "report_66001"),
        ("attachment", "report_66001"),
        (None, "report_66001"),
    ],
)
async def test_a_file_stays_in_the_folder_whatever_the_server_calls_it(
    disposition: str | None, file: str, tmp_path: Path
) -> None:
    headers = {"Content-Type": "text/csv", **({"Content-Disposition": disposition} if disposition else {})}
    folder = tmp_path / "in"
    folder.mkdir()
    async with (
        Loopback(Reply(200, b"x", headers)) as server,
        Datorama("made-up-token", base_url=server.url) as datorama,
    ):
        assert await datorama.reports.download(66001, folder) == folder / file
    assert [one.name for one in folder.iterdir()] == [file]
    assert [one.name for one in tmp_path.iterdir()] == ["in"]


async def test_a_page_instead_of_a_file_is_an_error_and_no_file(tmp_path: Path) -> None:
    page = Reply(200, b"<html></html>", {"Content-Type": "text/html"})
    async with Loopback(page) as server, Datorama("made-up-token", base_url=server.url) as datorama:
        with pytest.raises(DatoramaProtocolError, match="a page instead of the file"):
            await datorama.reports.download(66001, tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_the_policy_of_the_wait_can_be_chosen() -> None:
    async with scene() as there:
        datorama = there.client()
        report = await datorama.reports.create(DAILY)
        poller = await datorama.reports.run(report.id, policy=PollPolicy(minimum=100.0, maximum=100.0, jitter=0.0))
        await poller
        assert poller.polls == 2


# -- names of files ----------------------------------------------------------------------------------------------------


async def test_a_name_of_the_servers_replaces_nothing_unless_asked(tmp_path: Path) -> None:
    headers = {"Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="notes.txt"'}
    (tmp_path / "notes.txt").write_text("mine")
    async with (
        Loopback(otherwise=lambda seen: Reply(200, b"theirs", headers)) as server,
        Datorama("made-up-token", base_url=server.url) as datorama,
    ):
        with pytest.raises(errors.ConfigError, match=r"notes\.txt is there already"):
            await datorama.reports.download(1, tmp_path)
        assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("notes.txt", "mine")]
        assert await datorama.reports.download(1, tmp_path, overwrite=True) == tmp_path / "notes.txt"
        assert (tmp_path / "notes.txt").read_text() == "theirs"
        await datorama.reports.download(1, tmp_path / "notes.txt")  # a name of our own


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (".bashrc", "bashrc"),
        ("..\\..\\evil.csv", "evil.csv"),
        ("x" * 400 + ".csv", "x" * 196 + ".csv"),
        ("a\tb", "a_b"),
    ],
)
async def test_a_name_of_the_servers_is_made_safe(name: str, file: str, tmp_path: Path) -> None:
    headers = {"Content-Type": "text/csv", "Content-Disposition": f'attachment; filename="{name}"'}
    async with (
        Loopback(Reply(200, b"x", headers)) as server,
        Datorama("made-up-token", base_url=server.url) as datorama,
    ):
        await datorama.reports.download(1, tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [file]
