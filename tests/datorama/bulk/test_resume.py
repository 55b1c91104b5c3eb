"""Interrupted half-way, and taken up again from the log: everything is queued once."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.sandbox import Fault

from .scene import scene

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock

DAYS = ("2026-01-01", "2026-01-25")
PARTS = 3


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("after", [0, 3, 9, 15, 24])
def test_a_cancelled_run_goes_on_from_its_log(tmp_path: Path, after: int, batch: bool) -> None:
    @virtual
    async def interrupt(clock: VirtualClock) -> None:
        log = tmp_path / "jobs.csv"
        async with scene(clock, workspaces=2, streams=12, outcomes={"SUCCESS": 1.0}) as here:
            await here.client.fetch_all_streams()
            options: dict[str, Any] = {"log": log, "batch": batch, "max_pending": 6}
            work = asyncio.create_task(here.client.process_streams(here.streams, *DAYS, **options))
            while len(here.accepted()) < after:
                await asyncio.sleep(0.001)
            work.cancel()
            await asyncio.wait({work})
            assert work.cancelled()
            assert len(here.accepted()) < 12 * PARTS

            result = await here.client.process_streams(here.streams, *DAYS, **options, resume=True)

            assert len(result.ok) == 12
            assert set(here.accepted().values()) == {1}
            assert len(here.accepted()) == 12 * PARTS

            here.mark()
            again = await here.client.process_streams(here.streams, *DAYS, **options, resume=True)
            assert all(item.skipped and item.outcome == "ok" for item in again)
            assert here.calls() == 0

    interrupt()


CHILD = """
import asyncio, sys
from asyncconn.datorama import Datorama, DatoramaLimits

async def main():
    streams = [int(part) for part in sys.argv[2].split(",")]
    limits = DatoramaLimits(calls_per_minute=100_000, calls_per_day=10_000_000)
    async with Datorama.from_env(limits=limits) as datorama:
        await datorama.process_streams(
            streams, "2026-01-01", "2026-01-25", log=sys.argv[1], batch=sys.argv[3] == "batch", max_pending=None
        )

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["batch", "single"])
@pytest.mark.parametrize("kind", ["delay", "stall_after"])
async def test_a_killed_process_is_gone_on_with(tmp_path: Path, kind: str, how: str) -> None:
    """``stall_after``: the platform has accepted some, and the process dies before it can know."""
    log = tmp_path / "jobs.csv"
    count = 40 if how == "single" else 400
    slow = [Fault("delay", seconds=0.03, match=lambda call: call.path.endswith("/process"), times=None)]
    if kind == "stall_after":
        at = 12 if how == "single" else 2
        slow.insert(0, Fault("stall_after", match=lambda call: call.path.endswith("/process"), after=at, times=1))
    async with scene(streams=count, faults=slow) as here:
        environment = {**os.environ, **here.sandbox.env}
        arguments = [str(log), ",".join(map(str, here.streams)), how]
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, *arguments, env=environment)
        try:
            target = count * PARTS // 2
            while len(here.accepted()) < target and child.returncode is None:
                await asyncio.sleep(0.002)
        finally:
            child.kill()
            await child.wait()
        assert child.returncode == -9
        here.sandbox.faults.clear()
        await asyncio.sleep(0.1)  # what is on its way to the sandbox arrives
        here.mark()

        options: dict[str, Any] = {"log": log, "batch": how == "batch", "max_pending": None}
        result = await here.client.process_streams(here.streams, *DAYS, **options, resume=True)

        assert len(result.ok) == count
        assert sum(item.skipped for item in result) > 0
        assert set(here.accepted().values()) == {1}
        assert len(here.accepted()) == count * PARTS


@virtual
async def test_what_is_unknown_is_looked_for_before_it_is_sent_again(clock: VirtualClock, tmp_path: Path) -> None:
    log = tmp_path / "jobs.csv"
    async with scene(clock, streams=4) as here:
        await here.client.fetch_all_streams()
        one, other, third, fourth = here.streams
        here.fail(
            Fault("drop_after", match=f"/v1/data-streams/{one}/process"),
            Fault("drop_before", match=f"/v1/data-streams/{other}/process"),
            Fault("status", status=422, match=f"/v1/data-streams/{third}/process"),
        )
        first = await here.client.process_streams(here.streams, *DAYS, log=log, batch=False)
        assert [item.outcome for item in first] == ["unknown", "unknown", "failed", "ok"]
        here.mark()

        second = await here.client.process_streams(
            here.streams, *DAYS, log=log, batch=False, resume=True, max_pending=None
        )

        assert [item.outcome for item in second] == ["ok"] * 4
        assert [item.skipped for item in second] == [True, False, False, True]
        assert here.calls("/stats") == 2
        assert here.calls("/process") == 2
        assert set(here.accepted().values()) == {1}
        assert fourth in {stream for stream, _, _ in here.accepted()}


@virtual
async def test_what_cannot_be_looked_for_is_not_sent(clock: VirtualClock, tmp_path: Path) -> None:
    log = tmp_path / "jobs.csv"
    async with scene(clock, streams=1) as here:
        await here.client.fetch_all_streams()
        here.fail(Fault("drop_after", match=f"/v1/data-streams/{here.streams[0]}/process"))
        await here.client.process_streams(here.streams, *DAYS, log=log)
        here.fail(Fault("status", status=500, match=lambda call: call.path.endswith("/stats"), times=3))
        here.mark()

        [item] = await here.client.process_streams(here.streams, *DAYS, log=log, resume=True)

        assert item.outcome == "unknown"
        assert here.calls("/process") == 0
        assert (await item.check()).there


@virtual
async def test_only_the_days_that_are_missing_are_sent(clock: VirtualClock, tmp_path: Path) -> None:
    log = tmp_path / "jobs.csv"
    async with scene(clock, streams=1) as here:
        await here.client.process_streams(here.streams, "2026-01-01", "2026-01-12", log=log)
        await here.client.process_streams(here.streams, "2026-01-01", "2026-01-20", log=log, resume=True)

        assert sorted(end for _, _, end in here.accepted()) == ["2026-01-10", "2026-01-12", "2026-01-20"]


@virtual
async def test_jobs_of_an_earlier_run_are_waited_for_too(clock: VirtualClock, tmp_path: Path) -> None:
    log = tmp_path / "jobs.csv"
    async with scene(clock, streams=6, outcomes={"SUCCESS": 1.0}) as here:
        await here.client.process_streams(here.streams[:3], *DAYS, log=log, batch=True)
        await here.client.process_streams(here.streams[3:4], *DAYS, log=log)

        result = await here.client.process_streams(here.streams, *DAYS, log=log, resume=True, wait=True)

        assert len(result.ok) == 6
        assert [len(value) for value in result.values] == [PARTS] * 6
        assert all(job.final for value in result.values for job in value)
        words = [line.split(",")[6] for line in log.read_text().splitlines()]
        assert words.count("success") == 6 * PARTS


@pytest.mark.parametrize("ids", ["keep", "renew"])
@pytest.mark.parametrize("after", [0, 1, 4])
def test_reruns_go_on_from_their_log(tmp_path: Path, after: int, ids: str) -> None:
    @virtual
    async def interrupt(clock: VirtualClock) -> None:
        log = tmp_path / "jobs.csv"
        async with scene(clock, streams=6, jobs=2, rerun_ids=ids, outcomes={"IN_PROGRESS": 1.0}) as here:
            for stat in here.world.stats.values():
                stat.final = "SUCCESS"
                stat.finish(stat.started_at, 1.0)
            await clock.sleep(3600)
            await here.client.fetch_all_streams()
            jobs = list(here.world.stats.values())
            arguments = ([stat.stream_id for stat in jobs], [stat.id for stat in jobs])
            here.fail(Fault("drop_after", match=lambda call: call.path.endswith("/rerun"), after=after))
            here.fail(Fault("drop_before", match=lambda call: call.path.endswith("/rerun"), after=after))
            first = await here.client.rerun(*arguments, log=log, max_pending=None)
            assert len(first.unknown) == 4

            second = await here.client.rerun(*arguments, log=log, max_pending=None, resume=True)

            assert len(second.ok) == 12
            carried_out = [
                call for call in here.sandbox.datorama.calls if call.path.endswith("/rerun") and call.status == 200
            ]
            assert len(carried_out) == 6  # one for each stream, as the sandbox saw it
            assert len(here.world.stats) == (12 if ids == "keep" else 24)

    interrupt()


@virtual
async def test_a_log_of_another_shape_ends_the_call_before_anything_is_sent(
    clock: VirtualClock, tmp_path: Path
) -> None:
    log = tmp_path / "jobs.csv"
    log.write_text("a,b,c\n1,2,3\n")
    async with scene(clock, streams=1) as here:
        with pytest.raises(ValueError, match="no job log"):
            await here.client.process_streams(here.streams, *DAYS, log=log)

        assert here.accepted() == {}


@virtual
async def test_a_cancelled_call_leaves_no_request_behind(clock: VirtualClock) -> None:
    async with scene(clock, streams=40, platform_per_minute=20) as here:
        work = asyncio.create_task(here.client.fetch_all_jobs())
        await asyncio.sleep(30)  # ten of them wait for the next minute
        assert here.client.rate.waiting == 10
        work.cancel()
        await asyncio.wait({work})

        assert work.cancelled()
        assert here.client.rate.waiting == 0
        before = here.calls()
        await asyncio.sleep(120)
        assert here.calls() == before
