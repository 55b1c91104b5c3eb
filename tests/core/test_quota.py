"""The quota: a day's calls, over midnight, over restarts, and shared through a store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from helpers import turns, virtual

from asyncconn.core.clock import VirtualClock
from asyncconn.core.rates.limiter import Permit, Quota, RateLimiter, Window
from asyncconn.errors import ConfigError, QuotaExhausted

DAY = 86_400.0
MIDNIGHT = datetime(2030, 1, 2, tzinfo=UTC)


class MemoryStore:
    """A store as another process would see it: one count per key, a new window replaces the old one."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.failing: Exception | None = None
        self.entries: dict[str, tuple[str, int]] = {}
        self.calls = 0

    @property
    def used(self) -> int:
        return sum(used for _, used in self.entries.values())

    async def add(self, key: str, window: str, amount: int) -> int:
        self.calls += 1
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.failing is not None:
            raise self.failing
        known, used = self.entries.get(key, (window, 0))
        total = max(0, (used if known == window else 0) + amount)
        self.entries[key] = (window, total)
        return total


async def calls(limiter: RateLimiter, count: int) -> None:
    for _ in range(count):
        (await limiter.acquire()).done()


async def calls_until_refused(limiter: RateLimiter, most: int = 1000) -> int:
    for count in range(most):
        try:
            (await limiter.acquire()).done()
        except QuotaExhausted:
            return count
    raise AssertionError("never refused")


# -- one process, no store ---------------------------------------------------------------------------------------------


@virtual
async def test_an_exhausted_quota_says_when_it_returns(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(3), clock=clock)
    await calls(limiter, 3)
    with pytest.raises(QuotaExhausted) as refused:
        await limiter.acquire()

    assert refused.value.resets_at == MIDNIGHT


def test_a_quota_counts_anew_from_utc_midnight_on() -> None:
    clock = VirtualClock(start=datetime(2031, 12, 31, 23, 59, 50, tzinfo=UTC))

    async def main() -> tuple[int, int, int]:
        limiter = RateLimiter(Quota(3, skew=2.0), clock=clock)
        before = await calls_until_refused(limiter)
        await asyncio.sleep(11.9)
        within_skew = await calls_until_refused(limiter)
        await asyncio.sleep(0.2)
        return before, within_skew, await calls_until_refused(limiter)

    assert clock.run(main()) == (3, 0, 3)


@virtual
async def test_a_quota_that_waits_goes_on_after_midnight_and_skew(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(1, wait=True, skew=3.0), clock=clock)
    await calls(limiter, 2)

    assert clock.now() == pytest.approx(DAY + 3.0)


@virtual
async def test_calls_running_over_midnight_count_on_the_new_day(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(5), clock=clock)
    clock.advance(DAY - 1)
    running = [await limiter.acquire() for _ in range(2)]
    await asyncio.sleep(5.0)
    for permit in running:
        permit.done()

    assert await calls_until_refused(limiter) == 3


@virtual
async def test_calls_in_the_seconds_around_midnight_count_on_both_days(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(5, skew=2.0), clock=clock)
    clock.advance(DAY - 1)
    await calls(limiter, 1)
    await asyncio.sleep(2.0)
    await calls(limiter, 1)
    await asyncio.sleep(2.0)

    assert await calls_until_refused(limiter) == 3


@virtual
async def test_a_call_given_back_after_midnight_is_given_back_to_the_new_day(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(5), clock=clock)
    clock.advance(DAY - 1)
    running = await limiter.acquire()
    await asyncio.sleep(5.0)
    limiter.snapshot()
    running.cancel()

    assert await calls_until_refused(limiter) == 5


@virtual
async def test_a_quota_may_reset_whenever_it_likes(clock: VirtualClock) -> None:
    def hourly(now: datetime) -> datetime:
        return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

    limiter = RateLimiter(Quota(2, resets=hourly, wait=True, skew=0.0), clock=clock)
    await calls(limiter, 5)

    assert clock.now() == pytest.approx(7200.0)


@virtual
async def test_a_wall_clock_that_runs_slow_does_not_bring_the_new_day_early(clock: VirtualClock) -> None:
    class SlowWall(VirtualClock):
        def utcnow(self) -> datetime:
            return clock.utcnow() - timedelta(seconds=100 if clock.now() > DAY / 2 else 0)

        def now(self) -> float:
            return clock.now()

    limiter = RateLimiter(Quota(2), clock=SlowWall())
    await calls(limiter, 2)
    await asyncio.sleep(DAY + 50)
    early = await calls_until_refused(limiter)
    await asyncio.sleep(60)

    assert (early, await calls_until_refused(limiter)) == (0, 2)


@virtual
async def test_the_snapshot_of_a_quota_says_what_is_left_and_until_when(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(10, skew=2.0), clock=clock)
    await calls(limiter, 4)
    part = limiter.snapshot().parts[0]

    assert (part.limit, part.remaining) == (10, 6)
    assert part.resets_in == pytest.approx(DAY + 2.0)


@virtual
async def test_every_waiter_hears_that_the_quota_is_exhausted(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 1.0), Quota(2), clock=clock)

    async def call() -> None:
        (await limiter.acquire()).done()

    results = await asyncio.gather(*[call() for _ in range(5)], return_exceptions=True)

    assert [type(result) for result in results] == [type(None)] * 2 + [QuotaExhausted] * 3


# -- with a store ------------------------------------------------------------------------------------------------------


@virtual
async def test_the_count_survives_a_new_limiter(clock: VirtualClock) -> None:
    store = MemoryStore()
    first = RateLimiter(Quota(100, store=store, chunk=7), name="user", clock=clock)
    await calls(first, 60)
    await first.aclose()
    second = RateLimiter(Quota(100, store=store, chunk=7), name="user", clock=clock)

    assert await calls_until_refused(second) == 40


@virtual
async def test_limiters_of_different_keys_do_not_share_a_count(clock: VirtualClock) -> None:
    store = MemoryStore()
    first = RateLimiter(Quota(10, store=store), key="a", clock=clock)
    second = RateLimiter(Quota(10, store=store), key="b", clock=clock)

    assert (await calls_until_refused(first), await calls_until_refused(second)) == (10, 10)


@pytest.mark.parametrize("chunk", [1, 3, 40, 1000])
@virtual
async def test_limiters_that_share_a_store_never_exceed_the_limit_together(clock: VirtualClock, chunk: int) -> None:
    store = MemoryStore(delay=0.05)
    limiters = [RateLimiter(Quota(100, store=store, chunk=chunk), name="user", clock=clock) for _ in range(3)]
    granted = await asyncio.gather(*[calls_until_refused(limiter) for limiter in limiters])

    assert sum(granted) <= 100
    assert sum(granted) >= 100 - 2 * min(chunk, 100)


@virtual
async def test_a_crash_forfeits_at_most_one_chunk(clock: VirtualClock) -> None:
    store = MemoryStore()
    crashed = RateLimiter(Quota(100, store=store, chunk=10), name="user", clock=clock)
    await calls(crashed, 11)  # and is never closed
    after = RateLimiter(Quota(100, store=store, chunk=10), name="user", clock=clock)

    assert 100 - 11 - 10 <= await calls_until_refused(after) <= 100 - 11


@virtual
async def test_closing_gives_back_what_was_reserved_and_not_used(clock: VirtualClock) -> None:
    store = MemoryStore()
    limiter = RateLimiter(Quota(100, store=store, chunk=50), clock=clock)
    await calls(limiter, 3)
    reserved = store.used
    await limiter.aclose()
    await limiter.aclose()

    assert (reserved, store.used) == (50, 3)


@virtual
async def test_closing_waits_for_a_reservation_that_is_under_way_and_gives_it_back(clock: VirtualClock) -> None:
    store = MemoryStore(delay=1.0)
    limiter = RateLimiter(Quota(100, store=store, chunk=50), clock=clock)
    waiter = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.5)
    waiter.cancel()
    await asyncio.wait({waiter})
    await limiter.aclose()

    assert store.used == 0


@virtual
async def test_a_cost_larger_than_a_chunk_is_reserved_at_once(clock: VirtualClock) -> None:
    store = MemoryStore()
    limiter = RateLimiter(Quota(100, store=store, chunk=5), clock=clock)
    (await limiter.acquire(30)).done()

    assert (store.used, store.calls) == (30, 1)


@virtual
async def test_calls_that_another_gives_back_are_found_within_a_minute(clock: VirtualClock) -> None:
    store = MemoryStore()
    one, other = (RateLimiter(Quota(100, store=store, chunk=50), name="q", clock=clock) for _ in range(2))
    await calls(other, 1)
    assert await calls_until_refused(one) == 50
    await other.aclose()
    asked = store.calls
    assert [await calls_until_refused(one) for _ in range(10)] == [0] * 10
    assert store.calls == asked
    await clock.sleep(60.0)

    assert await calls_until_refused(one) == 49


@virtual
async def test_who_waits_for_the_next_day_gets_calls_that_another_gives_back(clock: VirtualClock) -> None:
    store = MemoryStore()
    one, other = (RateLimiter(Quota(10, store=store, chunk=5, wait=True), name="q", clock=clock) for _ in range(2))
    await calls(other, 1)
    await calls(one, 5)
    waiting = asyncio.create_task(calls(one, 4))
    await clock.sleep(600.0)
    assert not waiting.done()
    await other.aclose()
    await waiting

    assert clock.now() <= 661.0
    assert store.used == 10


@virtual
async def test_a_store_is_not_asked_again_while_the_server_says_that_nothing_is_left(clock: VirtualClock) -> None:
    store = MemoryStore()
    limiter = RateLimiter(Quota(100, store=store, chunk=5), clock=clock)
    await calls(limiter, 1)
    limiter.observe(part="quota", remaining=0)
    asked = store.calls
    await clock.sleep(600.0)

    assert await calls_until_refused(limiter) == 0
    assert store.calls == asked


@virtual
async def test_a_stored_quota_starts_anew_at_midnight(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(10, store=MemoryStore(), chunk=4), clock=clock)
    first = await calls_until_refused(limiter)
    await asyncio.sleep(DAY + 3)

    assert (first, await calls_until_refused(limiter)) == (10, 10)


@virtual
async def test_stored_calls_running_over_midnight_are_paid_on_the_new_day(clock: VirtualClock) -> None:
    store = MemoryStore()
    limiter = RateLimiter(Quota(10, store=store, chunk=4), clock=clock)
    running: list[Permit] = [await limiter.acquire() for _ in range(3)]
    await asyncio.sleep(DAY + 3)
    granted = await calls_until_refused(limiter)
    for permit in running:
        permit.done()

    assert granted == 7


@virtual
async def test_closing_after_midnight_leaves_the_new_days_count_alone(clock: VirtualClock) -> None:
    store = MemoryStore()
    idle = RateLimiter(Quota(100, store=store, chunk=50), name="user", clock=clock)
    await calls(idle, 1)
    await asyncio.sleep(DAY + 3)
    busy = RateLimiter(Quota(100, store=store, chunk=50), name="user", clock=clock)
    await calls(busy, 50)
    await idle.aclose()

    assert store.used == 50


@pytest.mark.parametrize("error", [OSError("disk gone"), ConfigError("disk gone")])
@virtual
async def test_a_failing_store_reaches_the_waiter_as_a_config_error(clock: VirtualClock, error: Exception) -> None:
    store = MemoryStore()
    store.failing = error
    limiter = RateLimiter(Quota(10, store=store), clock=clock)
    with pytest.raises(ConfigError, match="disk gone"):
        await limiter.acquire()


@virtual
async def test_a_store_that_works_again_is_used_again(clock: VirtualClock) -> None:
    store = MemoryStore()
    store.failing = OSError("disk gone")
    limiter = RateLimiter(Quota(10, store=store), clock=clock)
    failed = await asyncio.gather(limiter.acquire(), limiter.acquire(), return_exceptions=True)
    store.failing = None

    assert [type(error) for error in failed] == [ConfigError, ConfigError]
    assert await calls_until_refused(limiter) == 10


@virtual
async def test_what_the_server_says_is_not_undone_by_a_reservation_under_way(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(100, store=MemoryStore(delay=1.0), chunk=10), clock=clock)
    waiter = asyncio.create_task(limiter.acquire())
    await turns()
    limiter.observe(part="quota", remaining=0)

    with pytest.raises(QuotaExhausted):
        await waiter


@virtual
async def test_waiting_for_the_store_is_bounded_by_max_wait(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(10, store=MemoryStore(delay=50.0)), clock=clock)
    with pytest.raises(Exception, match="no room within 5 s"):
        await limiter.acquire(max_wait=5.0)
    at = clock.now()
    await limiter.aclose()

    assert at == pytest.approx(5.0)
