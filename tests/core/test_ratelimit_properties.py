"""Whatever the callers do: the server never counts more than the limit, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from helpers import turns, virtual
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncconn.core.rates.limiter import Part, Quota, RateLimiter, TokenBucket, Window
from asyncconn.errors import QuotaExhausted

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock

PERIOD, SKEW = 10.0, 2.0


@dataclass(frozen=True)
class Call:
    after: float  # since the one before
    cost: int
    prepare: float  # between the permit and the wire
    up: float
    answer: float
    reports_sent: bool
    cancelled_after: float | None


CALLS = st.lists(
    st.builds(
        Call,
        after=st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 7.0]) | st.floats(0.0, 12.0),
        cost=st.integers(1, 3),
        prepare=st.just(0.0) | st.floats(0.0, 1.0),
        up=st.floats(0.0, SKEW - 0.01),
        answer=st.floats(0.0, 1.0) | st.just(30.0),
        reports_sent=st.booleans(),
        cancelled_after=st.none() | st.none() | st.floats(0.0, 30.0),
    ),
    max_size=40,
)


class Server:
    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.arrivals: list[tuple[float, int]] = []

    def arrive(self, cost: int) -> None:
        self.arrivals.append((self.clock.now(), cost))

    def worst(self, period: float) -> int:
        """The most that arrived within one period; a microsecond less, for the rounding of sums of floats."""
        ends = [end for end, _ in self.arrivals]
        return max((sum(c for at, c in self.arrivals if end - period + 1e-6 < at <= end) for end in ends), default=0)


async def carry_out(call: Call, limiter: RateLimiter, server: Server) -> None:
    permit = await limiter.acquire(call.cost)
    try:
        await asyncio.sleep(call.prepare)
        asyncio.get_running_loop().call_later(call.up, server.arrive, call.cost)
        if call.reports_sent or call.cancelled_after is not None:
            permit.sent()
        await asyncio.sleep(call.up + call.answer)
    except asyncio.CancelledError:
        permit.cancel()
        raise
    permit.done()


@settings(max_examples=150)
@given(calls=CALLS, limit=st.integers(3, 8), with_bucket=st.booleans())
@virtual
async def test_no_period_sees_more_than_the_limit_and_everybody_is_served(
    clock: VirtualClock, calls: list[Call], limit: int, with_bucket: bool
) -> None:
    parts: list[Part] = [Window(limit, PERIOD, skew=SKEW)]
    if with_bucket:
        parts.append(TokenBucket(rate=2.0, burst=3))
    limiter, server, tasks = RateLimiter(*parts, clock=clock), Server(clock), []
    for call in calls:
        await asyncio.sleep(call.after)
        tasks.append(task := asyncio.create_task(carry_out(call, limiter, server)))
        if call.cancelled_after is not None:
            asyncio.get_running_loop().call_later(call.cancelled_after, task.cancel)
    if tasks:
        await asyncio.wait(tasks, timeout=3600.0)
    await asyncio.sleep(PERIOD + 2 * SKEW)
    snapshot = limiter.snapshot()

    assert server.worst(PERIOD) <= limit
    assert all(task.done() for task in tasks)
    assert all(call.cancelled_after is not None for task, call in zip(tasks, calls, strict=True) if task.cancelled())
    assert (snapshot.waiting, snapshot.in_flight) == (0, 0)
    assert [part.remaining for part in snapshot.parts] == [part.limit for part in snapshot.parts]


@settings(max_examples=60)
@given(costs=st.lists(st.integers(1, 5), min_size=1, max_size=30), cancelled=st.sets(st.integers(0, 29)))
@virtual
async def test_grants_come_in_the_order_of_asking_whatever_is_cancelled(
    clock: VirtualClock, costs: list[int], cancelled: set[int]
) -> None:
    limiter = RateLimiter(Window(5, 1.0), clock=clock)
    order: list[int] = []

    async def call(number: int, cost: int) -> None:
        (await limiter.acquire(cost)).done()
        order.append(number)

    tasks = [asyncio.create_task(call(number, cost)) for number, cost in enumerate(costs)]
    await turns()
    for number in cancelled:
        if number < len(tasks):
            tasks[number].cancel()
    await asyncio.wait(tasks)

    assert order == [number for number, task in enumerate(tasks) if not task.cancelled()]


class SharedStore:
    """Shared by processes: each call takes as long as the script says."""

    def __init__(self, delays: list[float]) -> None:
        self.delays = delays
        self.calls = 0
        self.used = 0

    async def add(self, key: str, window: str, amount: int) -> int:
        self.calls += 1
        await asyncio.sleep(self.delays[self.calls % len(self.delays)])
        self.used = max(0, self.used + amount)
        total = self.used
        await asyncio.sleep(self.delays[(self.calls + 1) % len(self.delays)])
        return total


@settings(max_examples=80)
@given(
    limit=st.integers(1, 30),
    chunks=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    delays=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5),
    endings=st.lists(st.sampled_from(["close", "crash"]), min_size=4, max_size=4),
)
@virtual
async def test_processes_that_share_a_store_stay_within_the_quota_together(
    clock: VirtualClock, limit: int, chunks: list[int], delays: list[float], endings: list[str]
) -> None:
    store = SharedStore(delays)

    async def process(chunk: int, ending: str, most: int) -> int:
        limiter = RateLimiter(Quota(limit, store=store, chunk=chunk), name="user", clock=clock)
        granted = 0
        for _ in range(most):
            try:
                (await limiter.acquire()).done()
            except QuotaExhausted:
                break
            granted += 1
        if ending == "close":
            await limiter.aclose()
        return granted

    plan = list(zip(chunks, endings, [limit // 2 + 1, limit // 3 + 1, limit, 2], strict=False))
    granted = sum(await asyncio.gather(*[process(*one) for one in plan]))
    forfeited = store.used - granted

    assert granted <= limit
    assert 0 <= forfeited <= sum(chunk for chunk, ending, _ in plan if ending == "crash")
    assert granted + await process(1, "close", 2 * limit) <= limit
