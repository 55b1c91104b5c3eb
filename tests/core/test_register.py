"""What a limiter borrows from its windows, and how long it takes to look into their books."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.core.rates.limiter import Quota, RateLimiter, TokenBucket, Window
from asyncconn.core.rates.register import Log

from .limiter_scene import take, use_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.clock import VirtualClock


def lines(call: Callable[[], object]) -> int:
    """How many lines of Python a call runs."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@virtual
async def test_what_one_limiter_has_granted_of_its_loan_counts_for_all_that_share_the_window(
    clock: VirtualClock,
) -> None:
    account = Window(10, 1.0, name="account")
    reads = RateLimiter(account, clock=clock)
    orders = RateLimiter(Window(20, 1.0, name="own"), account, clock=clock)
    await take(reads, 4)
    await take(orders, 3)
    await take(reads, 2)

    assert [limiter.snapshot().remaining for limiter in (reads, orders)] == [1, 1]
    assert orders.acquire_nowait(1) is not None
    assert reads.acquire_nowait(1) is None


@virtual
async def test_a_loan_ends_when_the_server_says_that_less_is_left(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 1.0, name="window"), clock=clock)
    await take(limiter, 2)
    limiter.observe(part="window", remaining=1)

    assert limiter.acquire_nowait() is not None
    assert limiter.acquire_nowait() is None


@virtual
async def test_a_loan_ends_with_a_pause(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 1.0), clock=clock)
    await take(limiter, 2)
    limiter.pause(5.0)

    assert limiter.acquire_nowait() is None


@virtual
async def test_who_waits_for_more_than_was_lent_is_not_overtaken(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 1.0), clock=clock)
    await use_up(limiter, 2)
    large = asyncio.create_task(limiter.acquire(9))
    await asyncio.sleep(0)

    assert limiter.acquire_nowait() is None
    (await large).cancel()


@pytest.mark.parametrize("other", [lambda: TokenBucket(1.0, 5), lambda: Quota(5)], ids=["bucket", "quota"])
@virtual
async def test_beside_a_loan_the_other_parts_are_asked_each_time(clock: VirtualClock, other: Any) -> None:
    limiter = RateLimiter(Window(100, 1.0), other(), clock=clock)
    held = await take(limiter, 5)
    left = [part.remaining for part in limiter.snapshot().parts]
    for permit in held:
        permit.cancel()

    assert left == [95, 0]
    assert [part.remaining for part in limiter.snapshot().parts] == [100, 5]


@virtual
async def test_windows_that_wait_for_answers_differently_long_free_their_slots_each_by_its_own_rule(
    clock: VirtualClock,
) -> None:
    limiter = RateLimiter(Window(5, 1.0, skew=1.0, name="a"), Window(5, 1.0, skew=4.0, name="b"), clock=clock)
    for permit in await take(limiter, 2):
        permit.sent()
    await asyncio.sleep(2.1)

    assert [part.remaining for part in limiter.snapshot().parts] == [5, 3]


@virtual
async def test_an_estimate_takes_as_long_at_any_limit(clock: VirtualClock) -> None:
    async def looked(limit: int) -> int:
        limiter = RateLimiter(Window(limit, 60.0), clock=clock)
        await use_up(limiter, limit)
        assert limiter.estimated_wait(limit // 2) == pytest.approx(60.0)
        return lines(lambda: limiter.estimated_wait(limit // 2))

    assert await looked(5_000) == await looked(10)


def test_a_log_knows_when_slots_of_any_cost_are_free_whatever_their_order() -> None:
    log = Log()
    for at, cost in ((1.0, 2), (3.0, 1), (2.0, 5), (2.5, 1)):
        log.add(at, cost, 0.0)

    assert list(log) == [(1.0, 2), (2.0, 5), (2.5, 1), (3.0, 1)]
    assert [log.freed_at(need) for need in (1, 2, 3, 7, 8, 9, 10)] == [1.0, 1.0, 2.0, 2.0, 2.5, 3.0, None]
    log.forget(2.0)
    assert (len(log), log.freed_at(1), log.freed_at(2), log.freed_at(3)) == (2, 2.5, 3.0, None)
