"""The other bulk calls: streams, jobs, reruns, names, switches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.datorama.errors import UnequalInput, UnknownStream
from asyncconn.errors import ConfigError, NotFound
from asyncconn.sandbox import Fault

from .scene import scene

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock
    from asyncconn.datorama import BulkProgress

EARLIER: dict[str, Any] = {"outcomes": {"SUCCESS": 1.0}}


async def test_all_streams_of_all_workspaces() -> None:
    async with scene(workspaces=3, streams=7) as here:
        seen: list[BulkProgress] = []
        result = await here.client.fetch_all_streams(on_progress=seen.append)

        assert [stream.id for some in result.values for stream in some] == here.streams
        assert here.calls() == 4
        assert [(one.done, one.total, one.what) for one in seen] == [(n, 3, "workspaces") for n in range(4)]


async def test_the_streams_of_some_workspaces_and_of_none_that_is_there() -> None:
    async with scene(workspaces=3, streams=6) as here:
        spaces = (await here.client.workspaces.list()).items
        result = await here.client.fetch_all_streams([spaces[0], 999, spaces[2].id])

        assert [item.outcome for item in result] == ["ok", "failed", "ok"]
        assert isinstance(result.failed[0].error, NotFound)
        assert result.failed[0].key == 999


async def test_all_jobs_know_their_stream() -> None:
    async with scene(workspaces=2, streams=6, jobs=3, file_every=3) as here:
        result = await here.client.fetch_all_jobs()

        assert [getattr(item.key, "id", None) for item in result] == here.streams
        assert all(job.stream.id == job.data_stream_id for jobs in result.values for job in jobs)


async def test_the_jobs_of_some_streams_cost_no_look_when_those_are_objects() -> None:
    async with scene(streams=4, jobs=1) as here:
        streams = [await here.client.streams.get(number) for number in here.streams[:2]]
        here.mark()

        assert len(await here.client.fetch_all_jobs(streams)) == 2
        assert here.calls() == 2


@pytest.mark.parametrize("page_size", [0, -1, 2.5, True])
async def test_a_page_size_that_is_none_is_said(page_size: Any) -> None:
    async with scene(streams=1) as here:
        with pytest.raises(ConfigError, match="page_size"):
            await here.client.fetch_all_jobs(page_size=page_size)
        assert here.calls() == 0


async def test_streams_are_found_by_their_ids_with_one_look() -> None:
    async with scene(workspaces=2, streams=4) as here:
        found = await here.client.find_streams(here.streams)
        assert [stream.id for stream in found] == here.streams
        assert here.calls() == 3  # the workspaces, and each one's streams

        [again] = await here.client.find_streams(here.streams[0])
        assert again == found[0]
        assert here.calls() == 3
        with pytest.raises(UnknownStream, match="999"):
            await here.client.find_streams([again, 999])


# -- reruns ------------------------------------------------------------------------------------------------------------


async def test_jobs_are_rerun_with_one_call_for_each_stream() -> None:
    async with scene(streams=3, jobs=4, **EARLIER) as here:
        await here.client.fetch_all_streams()
        stats = list(here.world.stats.values())
        here.mark()

        result = await here.client.rerun([s.stream_id for s in stats], [s.id for s in stats], max_pending=None)

        assert here.calls() == here.calls("/rerun") == 3
        assert [item.key[1] for item in result] == [stat.id for stat in stats]
        assert [[job.id for job in value] for value in result.values] == [[stat.id] for stat in stats]
        assert all(stat.ended_at is None for stat in stats)


async def test_one_stream_for_all_jobs_and_jobs_as_objects() -> None:
    async with scene(streams=2, jobs=3, **EARLIER) as here:
        jobs = await here.client.jobs.list(here.streams[1]).collect()

        result = await here.client.rerun(here.streams[1], jobs)

        assert [item.key[0].id for item in result] == [here.streams[1]] * 3
        assert len(result.ok) == 3


async def test_one_job_or_one_stream_need_no_list() -> None:
    async with scene(streams=2, jobs=2, **EARLIER) as here:
        stream = await here.client.streams.get(here.streams[0])
        one, other = await stream.jobs().collect()
        for streams, jobs in ((stream, one), (stream, other.id), (stream.id, one), ([stream], [other]), (None, one)):
            result = await here.client.rerun(streams, jobs)
            assert [item.outcome for item in result] == ["ok"]
            assert result[0].key[0].id == stream.id


async def test_jobs_that_know_their_streams_need_none_beside() -> None:
    async with scene(streams=3, jobs=1, **EARLIER) as here:
        jobs = [job for jobs in (await here.client.fetch_all_jobs()).values for job in jobs]

        result = await here.client.rerun(None, jobs)

        assert [item.key for item in result] == [(job.stream, job.id) for job in jobs]
        assert len(result.ok) == 3


async def test_a_job_of_another_stream_is_not_sent_for_this_one() -> None:
    async with scene(streams=2, jobs=1, **EARLIER) as here:
        [job] = await here.client.jobs.list(here.streams[0]).collect()
        with pytest.raises(ConfigError, match=f"is of stream {here.streams[0]}"):
            await here.client.rerun(here.streams[1], job)
        assert here.calls("/rerun") == 0


async def test_a_job_that_is_not_there_fails_those_of_its_call() -> None:
    async with scene(streams=2, jobs=2, **EARLIER) as here:
        one, other = here.streams
        [a, b, c, _] = [stat.id for stat in here.world.stats.values()]

        result = await here.client.rerun([one, one, other, other], [a, b, c, 5])

        assert [item.outcome for item in result] == ["ok", "ok", "failed", "failed"]
        assert isinstance(result[2].error, NotFound)


@virtual
async def test_reruns_keep_the_capacity(clock: VirtualClock) -> None:
    async with scene(clock, streams=1, jobs=12, **EARLIER) as here:
        await clock.sleep(3600)
        await here.client.rerun(here.streams[0], list(here.world.stats), max_pending=4)

        assert here.calls("/rerun") == 3
        assert clock.now() - 3600 >= 50


@virtual
async def test_all_jobs_of_streams_are_rerun(clock: VirtualClock) -> None:
    async with scene(clock, streams=3, jobs=2, **EARLIER) as here:
        result = await here.client.rerun_all(here.streams, wait=True)

        assert [len(value) for value in result.values] == [2, 2, 2]
        assert here.calls("/rerun-all") == 3
        assert {str(job.status) for value in result.values for job in value} == {"SUCCESS"}


async def test_a_rerun_is_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "jobs.csv"
    async with scene(streams=1, jobs=2, **EARLIER) as here:
        await here.client.rerun(here.streams[0], list(here.world.stats), log=log)

        rows = [line.split(",") for line in log.read_text().splitlines()[1:]]
        assert [(row[2], row[3], row[6]) for row in rows] == [
            (str(number), "rerun", status) for status in ("sending", "queued") for number in here.world.stats
        ]
        assert all(row[4] and row[5] for row in rows if row[6] == "queued")


@pytest.mark.parametrize(
    ("streams", "jobs", "error"),
    [
        ([1, 2], [3], UnequalInput),
        (999, [1], UnknownStream),
        (7_700_101, [], ConfigError),
        (7_700_101, ["x"], ConfigError),
        (None, [900_000_001], ConfigError),
    ],
)
async def test_a_rerun_that_cannot_be_is_said_before_anything_is_sent(
    streams: Any, jobs: Any, error: type[Exception]
) -> None:
    async with scene(streams=1, jobs=1) as here:
        with pytest.raises(error):
            await here.client.rerun(streams, jobs)
        assert here.calls("/rerun") == 0


# -- changes -----------------------------------------------------------------------------------------------------------


async def test_streams_get_other_names_and_nothing_else_changes() -> None:
    async with scene(streams=3) as here:
        before = {number: dict(stream) for number, stream in here.world.streams.items()}

        result = await here.client.rename_streams(here.streams, ["a", "b", "c"])

        assert [value.name for value in result.values] == ["a", "b", "c"]
        for number, stream in here.world.streams.items():
            changed = {name for name in stream if stream[name] != before[number].get(name)}
            assert changed <= {"name", "lastUpdate", "updateTime", "updateUser", "updateUserId"}


async def test_names_by_id_or_of_one_stream() -> None:
    async with scene(streams=2) as here:
        one, other = here.streams
        await here.client.rename_streams({other: "b"})
        await here.client.rename_streams(one, "a")

        assert [here.world.streams[number]["name"] for number in (one, other)] == ["a", "b"]


@pytest.mark.parametrize(
    ("streams", "names", "error"),
    [
        ([7_700_101, 7_700_102], ["a"], UnequalInput),
        ([7_700_101, 7_700_102], "a", UnequalInput),
        ([7_700_101], None, UnequalInput),
        ([7_700_101], [""], ConfigError),
        ([7_700_101], [5], ConfigError),
        ({7_700_101: "a"}, ["a"], ConfigError),
        ([7_700_101, 999], ["a", "b"], UnknownStream),
        ({}, None, ConfigError),
    ],
    ids=str,
)
async def test_names_that_cannot_be_are_said_before_anything_is_sent(
    streams: Any, names: Any, error: type[Exception]
) -> None:
    async with scene(streams=2) as here:
        with pytest.raises(error):
            await here.client.rename_streams(streams, names)
        assert {call.method for call in here.sandbox.datorama.calls} <= {"GET"}


async def test_streams_are_switched_off_and_on() -> None:
    async with scene(streams=3) as here:
        await here.client.disable_streams(here.streams)
        assert not any(stream["enabled"] for stream in here.world.streams.values())
        here.fail(Fault("status", status=404, match=f"/v1/data-streams/{here.streams[1]}"))

        result = await here.client.enable_streams(here.streams)

        assert [item.outcome for item in result] == ["ok", "failed", "ok"]
        assert [stream["enabled"] for stream in here.world.streams.values()] == [True, False, True]
