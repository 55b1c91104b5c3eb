"""process_streams: the calls it makes, the capacity it keeps, what it refuses to begin."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.core.polling import PollPolicy
from asyncconn.datorama import DateRange
from asyncconn.datorama.coverage import days_of
from asyncconn.datorama.errors import BadDate, JobFailed, UnequalInput, UnknownStream
from asyncconn.errors import ConfigError, PollTimeout, Unprocessable
from asyncconn.sandbox import Fault
from asyncconn.sandbox.datorama.streams import Streams

from .scene import ONE_BY_ONE, scene

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock
    from asyncconn.datorama import BulkProgress

WELL: dict[str, Any] = {"outcomes": {"SUCCESS": 1.0}}


async def test_each_input_has_its_item_in_its_place_and_its_days_are_processed_once() -> None:
    async with scene(workspaces=2, streams=6, file_every=3) as here:
        streams = here.streams
        starts = ["2026-01-01", "2026-01-01", "2026-01-05", "2026-01-01", "2026-01-01", "2026-01-07"]

        result = await here.client.process_streams(streams, starts, "2026-01-15")

        assert [item.key.stream.id for item in result] == streams
        assert [str(item.key.days.start) for item in result] == starts
        assert all(item.outcome == "ok" for item in result)
        expected = {
            (stream, str(part.start), str(part.end)): 1
            for stream, start in zip(streams, starts, strict=True)
            for part in DateRange.of(start, "2026-01-15").split()
        }
        assert here.accepted() == expected


async def test_equal_days_of_api_streams_of_a_workspace_are_one_call() -> None:
    async with scene(workspaces=2, streams=20, file_every=10) as here:
        await here.client.fetch_all_streams()
        here.mark()

        await here.client.process_streams(here.streams, "2026-01-01", "2026-01-10", max_pending=None)

        assert here.calls() == 4  # a batch and a file-based stream in each workspace
        assert here.calls("/v1/data-streams/process") == 2


async def test_the_server_makes_windows_of_ten_days_by_itself() -> None:
    async with scene(streams=1) as here:
        await here.client.fetch_all_streams()
        here.mark()

        [item] = await here.client.process_streams(here.streams, "2026-01-01", "2026-01-25", max_pending=None)

        assert here.calls() == 1
        assert [days.days for job in item.value or [] if (days := days_of(job))] == [10, 10, 5]


async def test_other_windows_are_asked_for_one_by_one() -> None:
    async with scene(streams=2) as here:
        await here.client.fetch_all_streams()
        here.mark()

        await here.client.process_streams(here.streams[:1], "2026-01-01", "2026-01-25", split="even", max_pending=None)
        await here.client.process_streams(here.streams[1:], "2026-01-01", "2026-01-14", d_range=7, max_pending=None)

        assert here.calls() == 5
        assert sorted(end for _, _, end in here.accepted()) == [
            "2026-01-07",
            "2026-01-09",
            "2026-01-14",
            "2026-01-17",
            "2026-01-25",
        ]


async def test_the_same_days_given_twice_are_sent_once() -> None:
    async with scene(streams=2) as here:
        one = here.streams[0]

        result = await here.client.process_streams([one, one, one], "2026-01-01", ["2026-01-05"] * 2 + ["2026-01-06"])

        assert len(result.ok) == 3
        assert here.accepted() == {(one, "2026-01-01", "2026-01-05"): 1, (one, "2026-01-01", "2026-01-06"): 1}


async def test_a_stream_that_is_refused_does_not_spoil_its_batch() -> None:
    async with scene(streams=12) as here:
        await here.client.fetch_all_streams()
        refused = here.streams[4]
        here.world.streams[refused]["enabled"] = False  # since we looked
        here.mark()

        result = await here.client.process_streams(here.streams, "2026-01-01", "2026-01-05", max_pending=None)

        assert [item.key.stream.id for item in result.failed] == [refused]
        assert isinstance(result.failed[0].error, Unprocessable)
        assert len(result.ok) == 11
        assert set(here.accepted().values()) == {1}
        assert len(here.accepted()) == 11
        assert here.calls() <= 9  # halves, not one by one


async def test_the_first_time_is_told_to_the_platform() -> None:
    async with scene(streams=1) as here:
        await here.client.process_streams(here.streams, "2026-01-01", "2026-01-05", create=True)

        assert here.calls("/v1/data-streams/process") == 1


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"streams": [7_700_101, 999]}, UnknownStream),
        ({"starts": ["2026-01-01", "2026-01-02"]}, UnequalInput),
        ({"ends": ["2026-02-01", "2026-02-02"]}, UnequalInput),
        ({"starts": "2026-03-01"}, BadDate),
        ({"starts": "1st of May"}, BadDate),
        ({"ends": ["2026-02-01", "2025-02-01", "2026-02-01"]}, BadDate),
        ({"streams": []}, ConfigError),
        ({"streams": "seven"}, ConfigError),
        ({"d_range": 0}, BadDate),
        ({"split": "odd"}, BadDate),
        ({"max_pending": 0}, ConfigError),
    ],
    ids=str,
)
async def test_what_cannot_work_is_said_before_anything_is_sent(given: dict[str, Any], error: type[Exception]) -> None:
    async with scene(streams=3) as here:
        arguments = {"streams": here.streams, "starts": "2026-01-01", "ends": "2026-02-01", **given}

        with pytest.raises(error):
            await here.client.process_streams(**arguments)

        assert here.accepted() == {}
        assert {call.method for call in here.sandbox.datorama.calls} <= {"GET"}


async def test_an_unknown_id_costs_one_look_at_the_workspaces_and_a_known_one_none() -> None:
    async with scene(workspaces=3, streams=6) as here:
        with pytest.raises(UnknownStream, match="999"):
            await here.client.process_streams([999], "2026-01-01", "2026-01-02")
        assert here.calls() == 4
        here.mark()

        await here.client.process_streams(here.streams[:1], "2026-01-01", "2026-01-02", max_pending=None)

        assert here.calls() == 1


# -- capacity ----------------------------------------------------------------------------------------------------------


class Peak:
    """The most unfinished jobs that a workspace ever had, seen with each answer."""

    def __init__(self, here: Any) -> None:
        self.most = 0
        self._here = here
        here.client.http.events.on("attempt", self._look)

    def _look(self, _: object) -> None:
        world = self._here.world
        now = world.clock.seconds()
        count: dict[int, int] = {}
        for stat in world.stats.values():
            stat.look(world.options, now, counts=False)
            if stat.ended_at is None:
                where = world.streams[stat.stream_id]["workspaceId"]
                count[where] = count.get(where, 0) + 1
        self.most = max(self.most, *count.values(), 0) if count else self.most


@pytest.mark.parametrize("batch", [True, False])
def test_a_workspace_never_has_more_unfinished_jobs_than_its_capacity(batch: bool) -> None:
    @virtual
    async def process(clock: VirtualClock) -> None:
        async with scene(clock, workspaces=2, streams=40, batch_answer="list", **WELL) as here:
            peak = Peak(here)
            result = await here.client.process_streams(
                here.streams, "2026-01-01", "2026-01-15", max_pending=6, batch=batch
            )

            assert len(result.ok) == 40
            assert 4 <= peak.most <= 6

    process()


@virtual
async def test_jobs_that_somebody_else_queued_count(clock: VirtualClock) -> None:
    async with scene(clock, streams=4, job_seconds=(100.0, 100.0), **WELL) as here:
        for stream in here.streams[:3]:
            await here.client.streams.process(stream, "2025-01-01", "2025-01-10")

        await here.client.process_streams(here.streams[3:], "2026-01-01", "2026-01-10", max_pending=3)

        assert 200 <= clock.now() <= 230


@virtual
async def test_one_watcher_looks_for_room_and_not_every_request(clock: VirtualClock) -> None:
    async with scene(clock, streams=60, job_seconds=(300.0, 300.0), **WELL) as here:
        await here.client.fetch_all_streams()
        here.mark()

        await here.client.process_streams(here.streams, "2026-01-01", "2026-01-05", max_pending=30, batch=False)

        looks = here.calls("/workspaces/41001/data-streams")
        # Ten requests wait for 600 s, in which looks grow from 5 to 60 s apart.
        assert here.calls("/process") == 60
        assert 10 <= looks <= 40


@virtual
async def test_a_count_that_comes_late_is_noticed(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(clock, streams=12, job_seconds=(100.0, 100.0), **WELL) as here:
        peak = Peak(here)
        shown = Streams._shown
        # A cache, twenty minutes old: nothing is pending, says every stream.
        late = {"pendingStatsCount": 0}
        monkeypatch.setattr(Streams, "_shown", lambda self, stream, **how: {**shown(self, stream, **how), **late})

        await here.client.process_streams(here.streams, "2026-01-01", "2026-01-10", max_pending=4)

        assert peak.most <= 4
        assert len(here.accepted()) == 12


@virtual
async def test_a_request_of_more_jobs_than_the_capacity_goes_in_parts(clock: VirtualClock) -> None:
    async with scene(clock, streams=1, **WELL) as here:
        peak = Peak(here)
        [item] = await here.client.process_streams(here.streams, "2026-01-01", "2026-03-31", max_pending=3)

        assert item.outcome == "ok"
        assert peak.most == 3
        assert len(item.value or []) == 9


@virtual
async def test_waiting_for_room_ends_when_nothing_moves(clock: VirtualClock) -> None:
    never = {"IN_PROGRESS": 1.0}
    async with scene(clock, workspaces=2, streams=20, outcomes=never) as here:
        policy = PollPolicy(minimum=5, maximum=60, deadline=600)
        result = await here.client.process_streams(
            here.streams, "2026-01-01", "2026-01-10", max_pending=4, capacity_policy=policy
        )

        assert (len(result.ok), len(result.failed)) == (8, 12)
        assert all(isinstance(item.error, PollTimeout) for item in result.failed)
        assert clock.now() <= 700


@virtual
async def test_a_workspace_that_is_full_holds_up_no_other(clock: VirtualClock) -> None:
    async with scene(clock, workspaces=2, streams=30, outcomes={"IN_PROGRESS": 1.0}) as here:
        full, free = here.streams[:15], here.streams[15:]
        await here.client.process_streams(full, "2025-01-01", "2025-01-10", max_pending=None)
        policy = PollPolicy(minimum=5, maximum=60, deadline=600)
        work = asyncio.create_task(
            here.client.process_streams(here.streams, "2026-01-01", "2026-01-10", batch=False, capacity_policy=policy)
        )
        await asyncio.sleep(60)

        assert {stream for stream, start, _ in here.accepted() if start == "2026-01-01"} == set(free)
        result = await work
        assert {item.key.stream.id for item in result.failed} == set(full)


@virtual
async def test_passing_troubles_of_the_watcher_are_no_trouble(clock: VirtualClock) -> None:
    async with scene(clock, streams=12, **WELL) as here:
        here.fail(Fault("drop_before", match="/v1/workspaces/41001/data-streams", after=2, times=9))
        result = await here.client.process_streams(here.streams, "2026-01-01", "2026-01-10", max_pending=4)

        assert len(result.ok) == 12


async def test_no_look_without_a_bound() -> None:
    async with scene(streams=3) as here:
        await here.client.fetch_all_streams()
        here.mark()
        await here.client.process_streams(here.streams, "2026-01-01", "2026-01-10", max_pending=None, batch=False)

        assert here.calls() == here.calls("/process") == 3


# -- waiting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["empty", "list", "object"])
def test_waiting_gives_the_jobs_as_they_ended_whatever_the_batch_answered(answer: str) -> None:
    @virtual
    async def process(clock: VirtualClock) -> None:
        seen: list[BulkProgress] = []
        async with scene(clock, streams=8, batch_answer=answer, jobs=2, **WELL) as here:
            result = await here.client.process_streams(
                here.streams, "2026-01-01", "2026-01-15", wait=True, on_progress=seen.append
            )

            assert len(result.ok) == 8
            assert [len(value) for value in result.values] == [2] * 8
            assert {str(job.status) for value in result.values for job in value} == {"SUCCESS"}
            assert [progress.what for progress in (seen[0], seen[-1])] == ["requests", "jobs"]
            assert (seen[-1].done, seen[-1].total, seen[-1].ok) == (16, 16, 16)

    process()


@virtual
async def test_an_item_whose_job_ended_badly_is_failed_when_it_was_waited_for(clock: VirtualClock) -> None:
    async with scene(clock, streams=3, outcomes={"ABORTED": 1.0}) as here:
        result = await here.client.process_streams(here.streams, "2026-01-01", "2026-01-05", wait=True)

        assert len(result.failed) == 3
        assert all(isinstance(item.error, JobFailed) for item in result.failed)
        assert [str(job.status) for job in result.failed[0].value or []] == ["ABORTED"]
        assert result.failed[0].error is not None
        assert "ended as ABORTED" in str(result.failed[0].error)


@virtual
async def test_waiting_for_jobs_that_never_end_ends(clock: VirtualClock) -> None:
    async with scene(clock, streams=3, outcomes={"IN_PROGRESS": 1.0}) as here:
        policy = PollPolicy(minimum=5, maximum=60, deadline=600)
        result = await here.client.process_streams(here.streams, "2026-01-01", "2026-01-05", wait=policy)

        assert len(result.failed) == 3
        assert isinstance(result.failed[0].error, PollTimeout)
        assert 600 <= clock.now() <= 610


async def test_a_listener_that_raises_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise ValueError("no terminal")

    async with scene(streams=3) as here:
        result = await here.client.process_streams(here.streams, "2026-01-01", "2026-01-05", on_progress=broken)

        assert len(result.ok) == 3
        assert caplog.text.count("no terminal") == 1


async def test_the_log_tells_each_job(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    async with scene(streams=2) as here:
        await here.client.process_streams(here.streams[:1], "2026-01-01", "2026-01-15", log=path)
        await here.client.process_streams(here.streams, "2026-02-01", "2026-02-05", log=path)

        lines = [line.split(",") for line in path.read_text().splitlines()]
        done = [(line[2], line[3], line[4], line[5], line[6]) for line in lines[1:] if line[6] != "sending"]
        assert done == [
            ("900000001", "process", "2026-01-01", "2026-01-10", "queued"),
            ("900000002", "process", "2026-01-11", "2026-01-15", "queued"),
            ("generic", "batch_processing", "2026-02-01", "2026-02-05", "queued"),
            ("generic", "batch_processing", "2026-02-01", "2026-02-05", "queued"),
        ]
        assert {line[1] for line in lines[1:]} == {str(stream) for stream in here.streams}


async def test_nothing_is_sent_when_the_log_cannot_be_written(tmp_path: Path) -> None:
    async with scene(streams=2) as here:
        with pytest.raises(ConfigError, match="cannot be written"):
            await here.client.process_streams(here.streams, "2026-01-01", "2026-01-05", log=tmp_path / "no" / "log.csv")

        assert here.accepted() == {}


@virtual
async def test_a_call_that_waits_for_room_is_what_moves_jobs_on_in_a_world_of_reads(clock: VirtualClock) -> None:
    async with scene(clock, streams=1, progress="reads", outcomes={"SUCCESS": 1.0}) as here:
        result = await here.client.process_streams(
            here.streams, "2026-01-01", "2026-03-31", max_pending=2, capacity_policy=ONE_BY_ONE
        )
        assert [item.outcome for item in result] == ["ok"]
        assert len(here.accepted()) == 9
