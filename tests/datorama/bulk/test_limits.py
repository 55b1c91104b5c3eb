"""The cap, as the server counts it: nothing is refused, and the allowance is used."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn import Hub
from asyncconn.sandbox import DatoramaWorld, Fault, Sandbox

from .scene import client, scene

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock
    from asyncconn.datorama import BulkProgress

CAP: dict[str, Any] = {"platform_per_minute": 60, "per_day": 20_000}


@pytest.mark.slow(60)  # five thousand real calls: some 10 s of a machine that has nothing else to do
@virtual
async def test_five_thousand_streams_cost_what_the_paging_says_and_as_long_as_the_cap_says(clock: VirtualClock) -> None:
    async with scene(clock, workspaces=40, streams=5000, jobs=1, **CAP) as here:
        result = await here.client.fetch_all_jobs()

        calls = 1 + 40 + 5000  # the workspaces, their streams, and one job is less than a page
        assert here.calls() == calls
        assert sum(map(len, result.values)) == 5000
        assert here.sandbox.datorama.refused == 0
        assert calls / 60 * 0.98 <= clock.now() / 60 <= calls / 60 * 1.02


@virtual
async def test_a_full_page_costs_one_more_call(clock: VirtualClock) -> None:
    async with scene(clock, workspaces=3, streams=90, jobs=4, **CAP) as here:
        for page_size in (1, 2, 3, 4, 5):
            here.mark()
            result = await here.client.fetch_all_jobs(page_size=page_size)

            assert sum(map(len, result.values)) == 360
            assert here.calls("/stats") == 90 * (math.floor(4 / page_size) + 1)


@pytest.mark.parametrize("windows", ["sliding", "fixed"])
@pytest.mark.parametrize("tokens", [1, 3])
def test_full_demand_is_never_refused_and_uses_the_allowance(tokens: int, windows: str) -> None:
    @virtual
    async def demand(clock: VirtualClock) -> None:
        async with scene(
            clock, workspaces=4, streams=720 * tokens, jobs=1, tokens=tokens, windows=windows, **CAP
        ) as here:
            await here.client.fetch_all_jobs()

            calls = here.sandbox.datorama.calls
            assert here.sandbox.datorama.refused == 0
            whole_minutes = math.floor(clock.now() / 60)
            assert whole_minutes >= 10
            within = [call for call in calls if call.at < whole_minutes * 60]
            assert len(within) >= 0.98 * 60 * tokens * whole_minutes
            assert {call.token for call in calls} == set(range(tokens))

    demand()


@virtual
async def test_two_clients_of_one_token_share_its_allowance(clock: VirtualClock) -> None:
    world = DatoramaWorld(workspaces=2, streams=300, jobs=1, file_every=0)
    async with Sandbox(world, seed=1, clock=clock) as sandbox, Hub(clock=clock) as hub:
        one, other = client(sandbox, hub), client(sandbox, hub)
        await asyncio.gather(one.fetch_all_jobs(), other.fetch_all_jobs())

        assert sandbox.datorama.refused == 0
        assert len(sandbox.datorama.calls) == 2 * 303
        within = [call for call in sandbox.datorama.calls if call.at < 600]
        assert len(within) >= 0.98 * 600


@pytest.mark.parametrize("tokens", [1, 3])
def test_the_time_left_is_what_it_then_takes(tokens: int) -> None:
    @virtual
    async def fetch(clock: VirtualClock) -> None:
        seen: list[BulkProgress] = []
        async with scene(clock, workspaces=2, streams=600, jobs=1, tokens=tokens, **CAP) as here:
            streams = [stream for some in (await here.client.fetch_all_streams()).values for stream in some]
            await here.client.fetch_all_jobs(streams, on_progress=seen.append)

            assert (seen[0].done, seen[-1].done, len(seen)) == (0, 600, 601)
            end = seen[-1].elapsed
            for progress in seen:
                assert progress.seconds_left is not None
                # Calls go in bursts, a minute apart: within one nobody can say more.
                assert abs(progress.elapsed + progress.seconds_left - end) <= 60.0, progress
            assert seen[-1].seconds_left == 0.0

    fetch()


@virtual
async def test_a_slow_server_is_seen_in_the_time_left(clock: VirtualClock) -> None:
    seen: list[BulkProgress] = []
    async with scene(
        clock, streams=60, jobs=1, faults=[Fault("delay", seconds=20, match=_is_stats, times=None)]
    ) as here:
        await here.client.fetch_all_jobs(on_progress=seen.append)

        [half] = [progress for progress in seen if progress.done == 30]
        assert half.elapsed == pytest.approx(60, abs=1)
        assert half.seconds_left == pytest.approx(60, abs=1)


def _is_stats(call: object) -> bool:
    return str(getattr(call, "path", "")).endswith("/stats")
