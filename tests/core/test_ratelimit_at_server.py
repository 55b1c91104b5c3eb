"""Does the cap hold where it counts, at the server, and is the allowance used? Minutes of endless demand, virtually."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from helpers import turns, virtual

from asyncconn.core.rates.limiter import Quota, RateLimiter, TokenBucket, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.clock import VirtualClock
    from asyncconn.core.rates.windows import Part

LIMIT, PERIOD = 60, 60.0
MINUTES = 12
IDEAL = LIMIT * MINUTES


@dataclass
class CountingServer:
    """Counts each request when it arrives: in the last 60 s, and in the minute of the clock."""

    clock: VirtualClock
    arrivals: int = 0
    refused_sliding: int = 0
    refused_by_minute: int = 0
    _recent: deque[float] = field(default_factory=deque)
    _minutes: dict[int, int] = field(default_factory=dict)

    def arrive(self) -> None:
        now = self.clock.now()
        self.arrivals += 1
        while self._recent and self._recent[0] <= now - PERIOD:
            self._recent.popleft()
        self._recent.append(now)
        self.refused_sliding += len(self._recent) > LIMIT
        minute = int(now // 60)
        self._minutes[minute] = self._minutes.get(minute, 0) + 1
        self.refused_by_minute += self._minutes[minute] > LIMIT


@dataclass(frozen=True)
class Demand:
    """How callers behave."""

    report_sent: bool = True
    answer_after: float = 0.0
    storm: bool = False
    block: bool = False  # async with limiter
    parts: Callable[[], list[Part]] = lambda: [Window(LIMIT, PERIOD)]


VARIANTS = {
    "sent and done": Demand(),
    "only done": Demand(report_sent=False),
    "async with": Demand(report_sent=False, block=True),
    "slow answers": Demand(answer_after=60.0),
    "cancel storm": Demand(storm=True),
    "cancel storm, async with": Demand(storm=True, report_sent=False, block=True),
    "cancel storm, slow answers": Demand(storm=True, answer_after=20.0),
    "all parts together": Demand(
        parts=lambda: [Window(LIMIT, PERIOD), Quota(20_000), TokenBucket(rate=5.0, burst=30)],
    ),
    "all parts together, cancel storm": Demand(
        storm=True, parts=lambda: [Window(LIMIT, PERIOD), Quota(20_000), TokenBucket(rate=5.0, burst=30)]
    ),
}


class Simulation:
    def __init__(self, clock: VirtualClock, demand: Demand, seed: int) -> None:
        self.demand = demand
        self.rng = random.Random(seed)
        self.server = CountingServer(clock)
        self.limiter = RateLimiter(*demand.parts(), clock=clock)

    def latency(self) -> float:
        return 1.5 if self.rng.random() < 0.01 else self.rng.uniform(0.005, 0.2)

    async def travel(self) -> None:
        """One request; once it is on the wire it arrives, whatever becomes of its sender."""
        up = self.latency()
        asyncio.get_running_loop().call_later(up, self.server.arrive)
        await asyncio.sleep(up + self.demand.answer_after + self.latency())

    async def call(self) -> None:
        if self.demand.block:
            async with self.limiter:
                await self.travel()
            return
        permit = await self.limiter.acquire()
        try:
            if self.demand.storm:
                await asyncio.sleep(self.rng.uniform(0.0, 0.02))  # connecting: may be cancelled before anything is sent
            if self.demand.report_sent:
                permit.sent()
            await self.travel()
        except asyncio.CancelledError:
            permit.cancel()
            raise
        permit.done()

    async def worker(self) -> None:
        while True:
            await self.call()

    async def run(self, workers: int = 200) -> CountingServer:
        tasks = [asyncio.create_task(self.worker()) for _ in range(workers)]
        while (left := MINUTES * 60.0 - self.server.clock.now()) > 0:
            if not self.demand.storm:
                await asyncio.sleep(left)
                break
            await asyncio.sleep(min(left, self.rng.uniform(0.0, 1.0)))
            for _ in range(self.rng.randrange(40)):
                at = self.rng.randrange(workers)
                tasks[at].cancel()
                tasks[at] = asyncio.create_task(self.worker())
        counted = self.server.arrivals
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await turns()
        assert self.limiter.snapshot().waiting == 0
        assert self.limiter.snapshot().in_flight == 0
        self.server.arrivals = counted
        return self.server


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_cap_is_a_cap_at_the_server_and_the_allowance_is_used(variant: str, seed: int) -> None:
    @virtual
    async def simulate(clock: VirtualClock) -> None:
        server = await Simulation(clock, VARIANTS[variant], seed).run()

        assert (server.refused_sliding, server.refused_by_minute) == (0, 0)
        assert 0.98 * IDEAL <= server.arrivals <= IDEAL

    simulate()


@virtual
async def test_the_counting_server_would_notice_a_bucket_that_is_no_cap(clock: VirtualClock) -> None:
    server = await Simulation(clock, Demand(parts=lambda: [TokenBucket(rate=1.0, burst=60)]), seed=1).run()

    assert server.refused_sliding > 300


@virtual
async def test_the_counting_server_would_notice_slots_that_free_when_sent(clock: VirtualClock) -> None:
    server = await Simulation(clock, Demand(parts=lambda: [Window(LIMIT, PERIOD, skew=0.0)]), seed=1).run()

    assert server.refused_sliding > 100
