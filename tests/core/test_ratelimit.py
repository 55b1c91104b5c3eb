"""A limiter's grants: order, cost, what the server says, pauses, and arguments that cannot work."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from helpers import turns, virtual

from asyncconn.core.rates.limiter import Quota, RateLimiter, TokenBucket, Window
from asyncconn.errors import ConfigError, LifecycleError, QuotaExhausted, RateLimited

from .limiter_scene import PARTS, remaining, take, use_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.clock import VirtualClock
    from asyncconn.core.rates.windows import Part

# -- order and cost ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
@virtual
async def test_nobody_is_overtaken(clock: VirtualClock, part: str) -> None:
    limiter = RateLimiter(PARTS[part](), clock=clock)
    order: list[int] = []

    async def call(number: int) -> None:
        await asyncio.sleep(number / 1000)
        permit = await limiter.acquire()
        order.append(number)
        permit.done()

    await asyncio.gather(*[call(number) for number in range(200)])

    assert order == list(range(200))


@virtual
async def test_a_newcomer_does_not_slip_in_between_a_grant_and_its_waking(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 10.0), clock=clock)
    order: list[str] = []

    async def call(name: str) -> None:
        (await limiter.acquire()).done()
        order.append(name)

    first = await limiter.acquire()
    waiter = asyncio.create_task(call("waiter"))
    await turns()
    first.cancel()  # grants to the waiter, who has not woken yet
    newcomer = asyncio.create_task(call("newcomer"))
    await asyncio.gather(waiter, newcomer)

    assert order == ["waiter", "newcomer"]


@virtual
async def test_a_small_cost_that_would_fit_does_not_overtake_a_large_one_that_waits(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 60.0), clock=clock)
    await use_up(limiter, 5)
    large = asyncio.create_task(limiter.acquire(10))
    await turns()
    small = asyncio.create_task(limiter.acquire(1))
    await turns()
    overtaken = small.done()
    (await large).cancel()
    (await small).cancel()

    assert not overtaken


@pytest.mark.parametrize("part", PARTS)
@virtual
async def test_a_large_cost_is_not_starved_by_a_stream_of_small_ones(clock: VirtualClock, part: str) -> None:
    limiter = RateLimiter(PARTS[part](), clock=clock)

    async def stream() -> None:
        while True:
            (await limiter.acquire()).done()
            await asyncio.sleep(0.01)

    streams = [asyncio.create_task(stream()) for _ in range(20)]
    await asyncio.sleep(0.5)
    started = clock.now()
    (await limiter.acquire(10)).done()
    waited = clock.now() - started
    for task in streams:
        task.cancel()
    await asyncio.wait(streams)

    assert waited <= 3.1  # the twenty that were there before it, then itself


@pytest.mark.parametrize("part", PARTS)
@virtual
async def test_a_cost_counts_in_full(clock: VirtualClock, part: str) -> None:
    limiter = RateLimiter(PARTS[part](), clock=clock)
    (await limiter.acquire(7)).done()

    assert remaining(limiter) == 3


@virtual
async def test_a_cost_frees_in_full(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 1.0), clock=clock)
    (await limiter.acquire(10)).done()
    await limiter.acquire(10)

    assert clock.now() == pytest.approx(1.0)


@virtual
async def test_all_parts_grant_together_or_none_does(clock: VirtualClock) -> None:
    window, bucket = Window(5, 10.0), TokenBucket(rate=1.0, burst=2)
    limiter = RateLimiter(window, bucket, clock=clock)
    await use_up(limiter, 2)
    waiter = asyncio.create_task(limiter.acquire())
    await turns()
    used = [part.limit - part.remaining for part in limiter.snapshot().parts]
    waiter.cancel()
    await asyncio.wait({waiter})

    assert used == [2, 2]


@virtual
async def test_a_call_that_is_neither_sent_nor_answered_keeps_its_slot(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 1.0), clock=clock)
    permit = await limiter.acquire()
    waiter = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(3600)
    waited = not waiter.done()
    permit.done()
    await waiter

    assert waited
    assert clock.now() == pytest.approx(3601.0)


@virtual
async def test_a_slow_answer_holds_its_slot_no_longer_than_the_skew(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 10.0, skew=2.0), clock=clock)
    (await limiter.acquire()).sent()
    await limiter.acquire()

    assert clock.now() == pytest.approx(12.0)


@virtual
async def test_a_late_answer_to_a_settled_call_frees_nothing_twice(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(2, 10.0, skew=2.0), clock=clock)
    first, second = await take(limiter, 2)
    for permit in (first, second):
        permit.sent()
    await asyncio.sleep(5.0)
    first.done()
    first.done()
    await asyncio.sleep(8.0)
    third = await take(limiter, 2)
    second.done()
    left = remaining(limiter)
    for permit in third:
        permit.cancel()

    assert (left, remaining(limiter), limiter.snapshot().in_flight) == (0, 2, 0)


# -- what the server says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [Window(10, 60.0, name="p"), TokenBucket(0.1, 10, name="p"), Quota(10, name="p")])
@virtual
async def test_the_server_may_tighten_but_never_loosen(clock: VirtualClock, part: Part) -> None:
    limiter = RateLimiter(part, clock=clock)
    await use_up(limiter, 2)
    seen = []
    for told in (9, 8, 3, 5, None):
        limiter.observe(part="p", remaining=told)
        seen.append(remaining(limiter))

    assert seen == [8, 8, 3, 3, 3]


@pytest.mark.parametrize("name", ["window", "bucket"])
@virtual
async def test_nothing_remaining_holds_everybody_until_the_reset(clock: VirtualClock, name: str) -> None:
    part: Part = Window(10, 60.0, name="p") if name == "window" else TokenBucket(rate=10.0, burst=10, name="p")
    limiter = RateLimiter(part, clock=clock)
    limiter.observe(part="p", remaining=0, reset_after=17.0)
    held = limiter.snapshot()
    await limiter.acquire()

    assert held.remaining == 0
    assert held.parts[0].resets_in == pytest.approx(17.0)
    assert clock.now() == pytest.approx(17.0)


@virtual
async def test_calls_of_others_free_after_the_reset_the_server_named(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 60.0), clock=clock)
    limiter.observe(part="window", remaining=2, reset_after=20.0)
    await use_up(limiter, 2)
    await limiter.acquire()
    at = clock.now()

    assert at == pytest.approx(20.0)
    assert remaining(limiter) == 7


@virtual
async def test_calls_of_others_free_after_a_period_when_no_reset_is_named(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 60.0), clock=clock)
    limiter.observe(part="window", remaining=0)
    await limiter.acquire()

    assert clock.now() == pytest.approx(60.0)


@virtual
async def test_a_waiter_feels_what_the_server_says_while_it_waits(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 10.0), clock=clock)
    await use_up(limiter, 1)
    waiter = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(5.0)
    limiter.observe(part="window", remaining=0, reset_after=40.0)
    await waiter

    assert clock.now() == pytest.approx(45.0)


@virtual
async def test_a_quota_that_the_server_calls_empty_is_exhausted(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(100), clock=clock)
    limiter.observe(part="quota", remaining=0)
    with pytest.raises(QuotaExhausted):
        await limiter.acquire()


@virtual
async def test_a_part_that_does_not_exist_cannot_be_observed(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 60.0, name="minute"), clock=clock)
    with pytest.raises(ConfigError, match=r"hour.*minute"):
        limiter.observe(part="hour", remaining=0)


# -- pause -------------------------------------------------------------------------------------------------------------


@virtual
async def test_a_pause_holds_newcomers_and_waiters(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 10.0), clock=clock)
    await use_up(limiter, 1)
    waiter = asyncio.create_task(limiter.acquire())
    await turns()
    limiter.pause(30.0)
    paused = limiter.snapshot()
    (await waiter).done()

    assert (paused.paused_for, paused.remaining) == (30.0, 0)
    assert clock.now() == pytest.approx(30.0)


@virtual
async def test_a_shorter_pause_does_not_shorten_one_that_runs(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 10.0), clock=clock)
    limiter.pause(30.0)
    limiter.pause(1.0)
    limiter.pause(-5.0)
    await limiter.acquire()

    assert clock.now() == pytest.approx(30.0)


@virtual
async def test_a_pause_counts_in_the_estimate(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 10.0), clock=clock)
    limiter.pause(30.0)
    with pytest.raises(RateLimited) as refused:
        await limiter.acquire(max_wait=29.0)

    assert refused.value.retry_after == pytest.approx(30.0)


# -- arguments and context manager -------------------------------------------------------------------------------------


BAD: dict[str, Callable[[], Any]] = {
    "no parts": RateLimiter,
    "two of one name": lambda: RateLimiter(Window(1, 1.0), Window(2, 2.0)),
    "window without room": lambda: Window(0, 60.0),
    "window of half a call": lambda: Window(1.5, 60.0),  # type: ignore[arg-type] # wrong on purpose
    "endless window": lambda: Window(float("inf"), 60.0),  # type: ignore[arg-type] # wrong on purpose
    "window of nan calls": lambda: Window(float("nan"), 60.0),  # type: ignore[arg-type] # wrong on purpose
    "window of no time": lambda: Window(1, 0.0),
    "window of nan time": lambda: Window(1, float("nan")),
    "negative skew": lambda: Window(1, 1.0, skew=-1.0),
    "bucket that never fills": lambda: TokenBucket(0.0, 1),
    "bucket without room": lambda: TokenBucket(1.0, 0),
    "quota of nothing": lambda: Quota(0),
    "chunk of nothing": lambda: Quota(10, chunk=0),
    "negative quota skew": lambda: Quota(10, skew=-1.0),
}


@pytest.mark.parametrize("what", BAD)
def test_arguments_that_cannot_work_are_config_errors(what: str) -> None:
    with pytest.raises(ConfigError):
        BAD[what]()


@pytest.mark.parametrize("cost", [0, -1, 11])
@virtual
async def test_a_cost_that_can_never_be_granted_is_a_config_error(clock: VirtualClock, cost: int) -> None:
    with pytest.raises(ConfigError):
        await RateLimiter(Window(10, 1.0), Quota(1000), clock=clock).acquire(cost)


@virtual
async def test_many_tasks_may_use_one_limiter_as_a_context_manager_at_once(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 1.0), clock=clock)
    most = inside = 0

    async def call() -> None:
        nonlocal most, inside
        async with limiter, asyncio.timeout(None):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(random.Random(inside).uniform(0.0, 0.5))
            inside -= 1

    await asyncio.gather(*[call() for _ in range(100)])

    assert most == 10
    assert limiter.snapshot().in_flight == 0


@virtual
async def test_a_task_may_hold_one_limiter_twice(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 1.0), clock=clock)
    async with limiter, limiter:
        held = limiter.snapshot().in_flight

    assert (held, limiter.snapshot().in_flight) == (2, 0)


@virtual
async def test_a_closed_limiter_leaves_no_timer_behind(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 3600.0), clock=clock)
    await use_up(limiter, 1)
    waiter = asyncio.create_task(limiter.acquire())
    await turns()
    waiter.cancel()
    await asyncio.wait({waiter})
    await limiter.aclose()
    await asyncio.sleep(0)

    assert clock.now() == 0.0


async def test_the_limiter_works_on_the_real_clock() -> None:
    limiter = RateLimiter(Window(5, 0.05))
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(11):
        async with limiter:
            pass

    assert loop.time() - started >= 0.1


@virtual
async def test_a_closed_limiter_keeps_nobody_waiting(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 60.0), clock=clock)
    await limiter.acquire()
    waiting = asyncio.ensure_future(limiter.acquire())
    await turns()
    await limiter.aclose()

    for late in (waiting, limiter.acquire()):
        with pytest.raises(LifecycleError, match="closed"):
            await late
    assert limiter.snapshot().waiting == 0


@virtual
async def test_an_answer_brings_forward_a_waiter_who_was_to_wait_for_the_skew(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 1.0, skew=5.0), clock=clock)
    running = await limiter.acquire()
    running.sent()
    waiting = asyncio.ensure_future(limiter.acquire())
    await asyncio.sleep(0.1)
    running.done()
    await waiting

    assert clock.now() == pytest.approx(1.1)
