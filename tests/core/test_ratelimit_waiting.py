"""Those who wait for a limiter: refused when it would be too long, cancelled, and what they give back."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import pytest
from helpers import cancel_at_every_await, turns, virtual

from asyncconn.core.rates.limiter import Quota, RateLimiter, Window
from asyncconn.errors import RateLimited

from .limiter_scene import PARTS, remaining, use_up

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn.core.clock import VirtualClock

# -- max_wait ----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_wait_known_to_be_too_long_is_refused_at_once(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(2, 60.0), clock=clock, name="platform")
    await use_up(limiter, 2)
    with pytest.raises(RateLimited) as refused:
        await limiter.acquire(max_wait=59.0)

    assert clock.now() == 0.0
    assert (refused.value.retry_after, refused.value.local, refused.value.service) == (60.0, True, "platform")


@virtual
async def test_the_estimate_of_many_rounds_begins_now_whatever_the_clock_says(clock: VirtualClock) -> None:
    await clock.sleep(1000.0)
    limiter = RateLimiter(Window(60, 60.0), clock=clock)
    assert limiter.estimated_wait(60) == 0.0
    assert limiter.estimated_wait(150) == 120.0


@virtual
async def test_the_estimate_counts_those_in_front(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(2, 60.0), clock=clock)
    await use_up(limiter, 2)
    waiters = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await turns()
    with pytest.raises(RateLimited) as refused:
        await limiter.acquire(max_wait=61.0)
    for waiter in waiters:
        waiter.cancel()
    await asyncio.wait(waiters)

    assert refused.value.retry_after == pytest.approx(120.0)


@virtual
async def test_a_wait_that_turns_out_too_long_is_refused_at_the_deadline(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 60.0), clock=clock)
    holder = await limiter.acquire()  # never answered: no estimate is possible
    with pytest.raises(RateLimited):
        await limiter.acquire(max_wait=5.0)
    after = clock.now()
    holder.cancel()

    assert after == pytest.approx(5.0)
    assert (limiter.snapshot().waiting, limiter.snapshot().in_flight, remaining(limiter)) == (0, 0, 1)


@virtual
async def test_a_wait_within_max_wait_is_granted(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 60.0), clock=clock)
    await use_up(limiter, 1)
    await limiter.acquire(max_wait=60.5)

    assert clock.now() == pytest.approx(60.0)


@virtual
async def test_max_wait_zero_takes_what_is_free_and_refuses_the_rest(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 60.0), clock=clock)
    (await limiter.acquire(max_wait=0.0)).done()
    with pytest.raises(RateLimited):
        await limiter.acquire(max_wait=0.0)

    assert clock.now() == 0.0


@virtual
async def test_a_refused_waiter_leaves_no_weight_in_the_estimate(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 60.0), clock=clock)
    holder = await limiter.acquire()
    for _ in range(3):
        with pytest.raises(RateLimited):
            await limiter.acquire(max_wait=1.0)
    holder.done()
    with pytest.raises(RateLimited) as refused:
        await limiter.acquire(max_wait=1.0)

    assert refused.value.retry_after == pytest.approx(60.0)


# -- cancellation ------------------------------------------------------------------------------------------------------


@virtual
async def test_a_waiter_cancelled_in_the_turn_of_its_grant_gives_the_call_back(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 60.0), clock=clock)
    holder = await limiter.acquire()
    waiter = asyncio.create_task(limiter.acquire())
    await turns()
    holder.cancel()  # grants to the waiter ...
    granted = limiter.snapshot().in_flight
    waiter.cancel()  # ... who is cancelled before he wakes
    await asyncio.wait({waiter})

    assert granted == 1
    assert waiter.cancelled()
    assert (limiter.snapshot().in_flight, remaining(limiter)) == (0, 1)


@virtual
async def test_the_next_in_line_gets_the_call_of_one_cancelled_in_the_turn_of_its_grant(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 60.0), clock=clock)
    holder = await limiter.acquire()
    waiters = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
    await turns()
    holder.cancel()
    waiters[0].cancel()
    permit = await waiters[1]
    permit.cancel()

    assert clock.now() == 0.0


@virtual
async def test_a_deadline_in_the_turn_of_the_grant_gives_the_call_back(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 60.0), clock=clock)
    holder = await limiter.acquire()
    asyncio.get_running_loop().call_at(5.0, holder.cancel)
    with contextlib.suppress(RateLimited):
        (await limiter.acquire(max_wait=5.0)).cancel()  # the grant may come first: just as good

    assert (limiter.snapshot().in_flight, remaining(limiter)) == (0, 1)


@virtual
async def test_a_permit_in_hand_is_given_back_if_nothing_was_sent(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 60.0), clock=clock)
    permit = await limiter.acquire()
    permit.cancel()
    permit.cancel()

    assert (limiter.snapshot().in_flight, remaining(limiter)) == (0, 1)


@virtual
async def test_a_permit_cancelled_after_sending_stays_counted_until_it_has_surely_arrived(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 60.0, skew=2.0), clock=clock)
    permit = await limiter.acquire()
    permit.sent()
    permit.cancel()
    in_flight = limiter.snapshot().in_flight
    await limiter.acquire()

    assert in_flight == 0
    assert clock.now() == pytest.approx(62.0)


@virtual
async def test_an_error_inside_async_with_counts_like_a_call_without_an_answer(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 60.0, skew=2.0), clock=clock)
    with pytest.raises(OSError, match="broken"):
        async with limiter:
            raise OSError("broken")
    await limiter.acquire()

    assert clock.now() == pytest.approx(62.0)


@pytest.mark.parametrize("part", PARTS)
@virtual
async def test_after_a_storm_of_cancelled_waiters_the_books_are_clean(clock: VirtualClock, part: str) -> None:
    limiter = RateLimiter(PARTS[part](), clock=clock)
    rng = random.Random(7)

    async def call() -> None:
        permit = await limiter.acquire()
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            permit.cancel()
            raise
        permit.done()

    tasks = [asyncio.create_task(call()) for _ in range(10_000)]
    await asyncio.sleep(0.5)
    rng.shuffle(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(10.0)
    snapshot = limiter.snapshot()

    assert (snapshot.waiting, snapshot.in_flight, snapshot.remaining) == (0, 0, 10)


@virtual
async def test_waiters_that_are_cancelled_are_not_kept_behind_a_patient_one(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 3600.0), clock=clock)
    await use_up(limiter, 1)
    patient = asyncio.create_task(limiter.acquire())
    for _ in range(1000):
        hasty = asyncio.create_task(limiter.acquire())
        await turns()
        hasty.cancel()
    last = asyncio.create_task(limiter.acquire())
    await turns()

    assert len(limiter._queue) < 100
    (await patient).done()
    assert clock.now() == pytest.approx(3600.0)
    (await last).done()
    assert clock.now() == pytest.approx(7200.0)


@virtual
async def test_acquire_cancelled_at_every_await_leaves_the_books_clean(clock: VirtualClock) -> None:
    limiters: list[RateLimiter] = []
    store = SlowStore()

    async def make() -> Callable[[], Awaitable[object]]:
        quota = Quota(50, store=store, chunk=1)
        limiter = RateLimiter(Window(1, 60.0), quota, clock=clock, name=f"l{len(limiters)}")
        limiters.append(limiter)
        (await limiter.acquire()).cancel()
        await quota.aclose()
        holder = await limiter.acquire()
        asyncio.get_running_loop().call_later(1.0, holder.cancel)

        async def acquire() -> None:
            (await limiter.acquire(max_wait=100.0)).cancel()

        return acquire

    async def check(error: BaseException | None) -> None:
        await asyncio.sleep(5.0)
        limiter = limiters[-1]
        snapshot = limiter.snapshot()
        assert (snapshot.waiting, snapshot.in_flight, snapshot.parts[0].remaining) == (0, 0, 1)
        await limiter.aclose()
        assert store.counts[f"l{len(limiters) - 1}/quota"] == 0

    assert await cancel_at_every_await(make, check) >= 1


class SlowStore:
    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    async def add(self, key: str, window: str, amount: int) -> int:
        await asyncio.sleep(0.25)
        self.counts[key] = max(0, self.counts.get(key, 0) + amount)
        return self.counts[key]
