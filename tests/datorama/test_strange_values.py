"""Values of an answer that are of another type than promised never become a path, and never break a comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback, Reply, Seen, saying
from pydantic import ValidationError

from asyncconn.datorama import DataStream, Datorama, Job
from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

STREAM = {"id": 7, "name": "s", "dataSourceId": 1, "dataSourceName": "x"}
LEADS_OUT: list[Any] = ["../outside/evil", "/elsewhere/evil", {"a": 1}, ["../x"]]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "outside").mkdir()
    return tmp_path


def all_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def answering(stream: dict[str, Any], jobs: list[dict[str, Any]] | None = None) -> Any:
    def answer(seen: Seen) -> Reply:
        if seen.path.endswith("/download"):
            return Reply(200, b"data", {"Content-Type": "application/zip"})
        if "stats" in seen.path:
            return saying(jobs or [])
        return saying([stream] if seen.path.endswith("/data-streams") else stream)

    return answer


@pytest.mark.parametrize("workspace", LEADS_OUT)
async def test_a_workspace_that_is_no_number_is_refused_and_nothing_is_saved(workspace: Any, folders: Path) -> None:
    async with (
        Loopback(otherwise=answering({**STREAM, "workspaceId": workspace})) as server,
        Datorama("made-up-token", base_url=server.url) as datorama,
    ):
        with pytest.raises(DatoramaProtocolError, match="workspaceId"):
            await datorama.streams.get(7)
        with pytest.raises(DatoramaProtocolError, match=r"\$\[0\].*workspaceId"):
            await datorama.streams.list(3).collect()
    assert all_in(folders) == []


async def test_without_a_workspace_a_download_stays_in_its_folder(folders: Path) -> None:
    async with (
        Loopback(otherwise=answering({**STREAM, "workspaceId": None})) as server,
        Datorama("made-up-token", base_url=server.url) as datorama,
    ):
        stream = await datorama.streams.get(7)
        path = await datorama.jobs.download(5, folders / "mine", stream=stream)
        await datorama.snapshots.save_streams(folders / "mine", await datorama.streams.list(3).collect())
    assert path.name == "unknown_7_5_data.zip"
    assert all_in(folders) == ["mine/3_streams.json", "mine/unknown_7_5_data.zip"]


@pytest.mark.parametrize("strange", LEADS_OUT)
def test_a_model_takes_no_id_that_is_no_number(strange: Any) -> None:
    with pytest.raises(ValidationError, match="workspaceId"):
        DataStream.model_validate({**STREAM, "workspaceId": strange})
    with pytest.raises(ValidationError, match="dataStreamId"):
        Job.model_validate({"id": 1, "dataStreamId": strange})


async def test_a_snapshot_of_what_does_not_say_where_it_belongs_is_refused(folders: Path) -> None:
    async with Datorama("made-up-token", base_url="http://127.0.0.1:1") as datorama:
        with pytest.raises(ConfigError, match="does not say which workspace"):
            await datorama.snapshots.save_streams(folders / "mine", [DataStream.model_validate(STREAM)])
        with pytest.raises(ConfigError, match="does not say which stream"):
            await datorama.snapshots.save_jobs(folders / "mine", [Job.model_validate({"id": 1})])
        for strange in LEADS_OUT:
            with pytest.raises(ConfigError):
                await datorama.snapshots.restore_streams(folders / "mine", [strange])
    assert all_in(folders) == []


@pytest.mark.parametrize("day", ["soon", 7, ["2026-01-01"], {"a": 1}, None])
async def test_jobs_whose_days_are_none_are_not_among_those_of_a_range(day: Any) -> None:
    jobs = [
        {"id": 1, "dataStreamId": 7, "dataStartDate": day, "dataEndDate": "2026-01-02", "startExecutionTime": day},
        {"id": 2, "dataStreamId": None, "dataStartDate": "2026-01-01", "dataEndDate": "2026-01-02"},
    ]
    async with (
        Loopback(otherwise=answering(STREAM, jobs)) as server,
        Datorama("made-up-token", base_url=server.url) as datorama,
    ):
        found = await datorama.jobs.find(7, "2026-01-01", "2026-01-31")
    assert [(job.id, job.data_stream_id) for job in found] == [(2, 7)]
