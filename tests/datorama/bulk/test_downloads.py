"""Bulk downloads: a file for each input, within bounds, and none twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback, Reply

from asyncconn import Hub
from asyncconn.datorama import DataStream, Datorama, Progress
from asyncconn.datorama.errors import TooManyBytes
from asyncconn.errors import ConfigError, NotFound
from asyncconn.sandbox import Fault

from .scene import Scene, scene

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncconn.datorama import Job

DONE: dict[str, Any] = {"outcomes": {"SUCCESS": 1.0}, "download_bytes": 2_000}
API = DataStream.model_validate({"id": 7, "workspaceId": 4, "dataSourceName": "Google Analytics"})
REPORT = {
    "name": "clicks", "workspaceId": 41001, "exportFormat": "CSV", "exportFileName": "clicks",
    "config": {"rowDims": ["DAY"], "metrics": [{"name": "DELIVERY_CLICKS"}]},
}  # fmt: skip


async def all_jobs(here: Scene) -> list[Job]:
    jobs = [job for some in (await here.client.fetch_all_jobs()).values for job in some]
    here.mark()
    return jobs


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("by_id", [False, True])
async def test_each_job_has_its_file_and_its_item(by_id: bool, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    async with scene(workspaces=2, streams=4, jobs=2, file_every=4, **DONE) as here:
        jobs = await all_jobs(here)
        given = [job.id for job in jobs] if by_id else jobs
        streams = [job.stream.id for job in jobs] if by_id else None

        result = await here.client.download_jobs(given, folder, streams=streams)

        assert [item.outcome for item in result] == ["ok"] * 8
        assert [item.key for item in result] == [(job.stream, job.id) for job in jobs]
        ends = ["zip"] * 6 + ["csv"] * 2
        assert names(folder) == sorted(
            f"{job.stream.workspace_id}_{job.stream.id}_{job.id}_data.{end}"
            for job, end in zip(jobs, ends, strict=True)
        )
        assert all(path.stat().st_size for path in result.values)
        assert here.calls("/download") == here.calls() == 8


async def test_a_listener_hears_of_each_file(tmp_path: Path) -> None:
    heard: list[Progress] = []
    async with scene(streams=1, jobs=3, **DONE) as here:
        await here.client.download_jobs(await all_jobs(here), tmp_path, on_progress=heard.append)
    assert [(one.done, one.total, one.unit) for one in heard] == [(number, 3, "files") for number in range(4)]
    assert all(isinstance(one, Progress) for one in heard)


async def test_a_file_that_is_there_is_not_fetched_again_unless_asked_for(tmp_path: Path) -> None:
    async with scene(streams=1, jobs=2, **DONE) as here:
        jobs = await all_jobs(here)
        [first] = (await here.client.download_jobs(jobs[0], tmp_path)).values
        first.write_bytes(b"mine")
        here.mark()

        result = await here.client.download_jobs(jobs, tmp_path)
        assert [item.skipped for item in result] == [True, False]
        assert (here.calls(), first.read_bytes()) == (1, b"mine")

        result = await here.client.download_jobs(jobs, tmp_path, overwrite=True)
        assert [item.skipped for item in result] == [False, False]
        assert first.read_bytes() != b"mine"


async def test_a_job_given_twice_is_fetched_once_and_has_two_items(tmp_path: Path) -> None:
    async with scene(streams=1, jobs=1, **DONE) as here:
        [job] = await all_jobs(here)
        result = await here.client.download_jobs([job, job, job], tmp_path)
        assert ([item.outcome for item in result], here.calls()) == (["ok"] * 3, 1)


async def test_one_that_fails_does_not_keep_the_others_and_leaves_nothing(tmp_path: Path) -> None:
    async with scene(streams=1, jobs=4, **DONE) as here:
        jobs = await all_jobs(here)
        here.world.stats[jobs[1].id].final = "FAILURE"  # it has no data
        here.fail(Fault("half_body", match=lambda call: str(jobs[2].id) in call.path, times=None))

        result = await here.client.download_jobs(jobs, tmp_path)

        assert [item.outcome for item in result] == ["ok", "failed", "failed", "ok"]
        assert isinstance(result[1].error, NotFound)
        assert len(names(tmp_path)) == 2


# -- bounds ------------------------------------------------------------------------------------------------------------


async def test_a_file_beyond_the_bound_is_failed_and_not_kept(tmp_path: Path) -> None:
    async with scene(streams=1, jobs=3, file_every=1, **DONE) as here:
        jobs = await all_jobs(here)
        here.world.stats[jobs[1].id].download_bytes = 50_000

        result = await here.client.download_jobs(jobs, tmp_path, max_file_bytes=10_000)

        assert [item.outcome for item in result] == ["ok", "failed", "ok"]
        assert isinstance(result[1].error, TooManyBytes)
        assert len(names(tmp_path)) == 2


async def test_all_files_together_stay_within_the_bound_and_no_call_is_made_beyond_it(tmp_path: Path) -> None:
    async with scene(streams=1, jobs=20, file_every=1, **DONE) as here:
        jobs = await all_jobs(here)
        [one] = (await here.client.download_jobs(jobs[0], tmp_path / "one")).values
        size = one.stat().st_size
        here.mark()

        result = await here.client.download_jobs(jobs, tmp_path / "all", max_bytes=5 * size, concurrency=3)

        assert len(result.ok) == 5
        assert all(isinstance(item.error, TooManyBytes) for item in result.failed)
        assert sum(path.stat().st_size for path in (tmp_path / "all").iterdir()) == 5 * size
        assert here.calls() <= 5 + 3  # those that were under way when it was reached


async def test_what_a_failed_file_would_have_taken_is_there_for_others(tmp_path: Path) -> None:
    async with scene(streams=1, jobs=3, file_every=1, **DONE) as here:
        jobs = await all_jobs(here)
        here.world.stats[jobs[0].id].download_bytes = 50_000
        result = await here.client.download_jobs(jobs, tmp_path, max_bytes=10_000, concurrency=1)
        assert [item.outcome for item in result] == ["failed", "ok", "ok"]


async def test_so_many_files_are_under_way_at_once_and_no_more(tmp_path: Path) -> None:
    slowly = Reply(200, b"x", {"Content-Type": "application/zip"}, after=0.01)
    async with Loopback(otherwise=slowly) as server, Hub() as hub:
        datorama = Datorama("token-1", hub=hub, base_url=server.url)
        await datorama.download_jobs(range(1, 13), tmp_path, streams=API, concurrency=3)
    assert (server.most, len(server.seen)) == (3, 12)


@pytest.mark.parametrize(
    "call",
    [
        lambda d, to: d.download_jobs([], to, streams=API),
        lambda d, to: d.download_jobs([5], to),
        lambda d, to: d.download_jobs(["x"], to, streams=API),
        lambda d, to: d.download_jobs([5], to, streams=API, concurrency=0),
        lambda d, to: d.download_jobs([5], to, streams=API, concurrency=11),
        lambda d, to: d.download_jobs([5], to, streams=API, max_bytes=0),
        lambda d, to: d.download_jobs([5], to, streams=API, max_file_bytes=1.5),
        lambda d, to: d.download_jobs([5], to / "file" / "below", streams=API),
        lambda d, to: d.download_reports([], to),
        lambda d, to: d.download_reports(["x"], to),
        lambda d, to: d.download_reports(5, to, concurrency=True),
    ],
)
async def test_a_download_that_cannot_be_is_said_before_anything_is_sent(
    call: Callable[[Datorama, Path], Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    async with Loopback() as server, Datorama("token-1", base_url=server.url) as datorama:
        with pytest.raises(ConfigError):
            await call(datorama, tmp_path)
    assert not server.seen


async def test_a_cancelled_call_leaves_no_half_file(tmp_path: Path) -> None:
    async with scene(streams=1, jobs=4, **DONE) as here:
        jobs = await all_jobs(here)
        here.fail(Fault("delay", seconds=5.0, match=lambda call: call.path.endswith("download"), times=None))
        task = asyncio.create_task(here.client.download_jobs(jobs, tmp_path))
        while here.sandbox.requests["datorama"] < 5:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert names(tmp_path) == []


# -- reports -----------------------------------------------------------------------------------------------------------


async def report_jobs(here: Scene, count: int) -> list[Any]:
    report = await here.client.reports.create(REPORT)
    return [await (await here.client.reports.run(report.id)) for _ in range(count)]


async def test_exports_of_one_name_are_all_kept_and_not_fetched_again(tmp_path: Path) -> None:
    async with scene(streams=1, progress="reads", job_reads=(0, 0)) as here:
        jobs = await report_jobs(here, 3)
        result = await here.client.download_reports(jobs, tmp_path, skip_preamble=True)
        assert [path.relative_to(tmp_path).as_posix() for path in result.values] == [
            f"{job.id}/clicks.csv" for job in jobs
        ]
        assert all(path.read_text().startswith("Day,Clicks\n") for path in result.values)
        here.mark()
        again = await here.client.download_reports([job.id for job in jobs], tmp_path)
        assert ([item.skipped for item in again], here.calls()) == ([True] * 3, 0)
        assert again.values == result.values


async def test_an_export_that_cannot_be_had_leaves_no_folder(tmp_path: Path) -> None:
    async with scene(streams=1, progress="reads", job_reads=(0, 0)) as here:
        [job] = await report_jobs(here, 1)
        result = await here.client.download_reports([job, 5], tmp_path, max_file_bytes=10)
        assert [type(item.error) for item in result] == [TooManyBytes, NotFound]
        assert names(tmp_path) == []
