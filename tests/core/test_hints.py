"""What a server's headers tell holds back for calls that are not our own: it costs a sole user nothing."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.core.clock import VirtualClock
from asyncconn.core.rates.limiter import RateLimiter, TokenBucket, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.rates.windows import Part

LIMIT = 20  # calls in a second
KINDS: dict[str, Callable[[], Part]] = {
    "window": lambda: Window(LIMIT, 1.0, name="second"),
    "bucket": lambda: TokenBucket(rate=float(LIMIT), burst=1, name="second"),
}


class Server:
    """Counts in a sliding window or by the second, and tells what is left and when there is more: in whole seconds, of
    a clock that is ``phase`` ahead of ours, or exactly."""

    def __init__(self, clock: VirtualClock, phase: float, *, fixed: bool, whole: bool) -> None:
        self.clock, self.phase, self.fixed, self.whole = clock, phase, fixed, whole
        self.served: deque[float] = deque()
        self.second = -1

    def call(self) -> bool:
        now = self.clock.now()
        if self.fixed and (second := math.floor(now + self.phase)) != self.second:
            self.second = second
            self.served.clear()
        while not self.fixed and self.served and self.served[0] <= now - 1:
            self.served.popleft()
        if len(self.served) >= LIMIT:
            return False
        self.served.append(now)
        return True

    def told(self) -> tuple[int, float]:
        resets = self.second + 1 - self.phase if self.fixed else self.served[0] + 1
        if self.whole:
            resets = math.ceil(resets + self.phase) - self.phase
        return LIMIT - len(self.served), max(0.0, resets - self.clock.now())


def a_hundred_calls(
    kind: str, *, hints: bool, phase: float, foreign: int = 0, fixed: bool = False, whole: bool = True
) -> tuple[float, int]:
    """Seconds that a hundred calls took, four at once, and how many were refused."""
    clock = VirtualClock()
    server = Server(clock, phase, fixed=fixed, whole=whole)
    refused = 0

    async def others() -> None:
        while True:
            server.call()
            await asyncio.sleep(1 / foreign)

    async def main() -> float:
        limiter, places = RateLimiter(KINDS[kind](), clock=clock), asyncio.Semaphore(4)

        async def call() -> None:
            nonlocal refused
            async with places:
                while True:
                    permit = await limiter.acquire()
                    permit.sent()
                    served, (remaining, reset) = server.call(), server.told()
                    await asyncio.sleep(0.005)
                    permit.done()
                    if hints:
                        limiter.observe(part="second", remaining=remaining, reset_after=reset)
                    if served:
                        return
                    refused += 1
                    limiter.pause(1.0)

        other = asyncio.create_task(others()) if foreign else None
        await asyncio.gather(*[call() for _ in range(100)])
        if other is not None:
            other.cancel()
            await asyncio.wait({other})
        return clock.now()

    return clock.run(main()), refused


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_hints_cost_a_sole_user_nothing(kind: str, fixed: bool, whole: bool) -> None:
    for phase in (0.0, 0.3, 0.7):
        scene: dict[str, Any] = {"phase": phase, "fixed": fixed, "whole": whole}
        assert a_hundred_calls(kind, hints=True, **scene) == a_hundred_calls(kind, hints=False, **scene)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("foreign", [1, 3, 8, 15])
def test_beside_a_second_user_hints_make_fewer_refusals_and_cost_no_time(
    foreign: int, fixed: bool, whole: bool
) -> None:
    scene: dict[str, Any] = {"foreign": foreign, "fixed": fixed, "whole": whole}
    phases = [number / 5 for number in range(5)]
    without = [a_hundred_calls("window", hints=False, phase=phase, **scene) for phase in phases]
    with_hints = [a_hundred_calls("window", hints=True, phase=phase, **scene) for phase in phases]

    assert sum(refused for _, refused in with_hints) <= sum(refused for _, refused in without)
    assert sum(seconds for seconds, _ in with_hints) <= 1.1 * sum(seconds for seconds, _ in without)


@virtual
async def test_what_is_found_after_the_first_answer_stays_for_a_period(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 60.0), clock=clock)
    limiter.observe(part="window", remaining=10, reset_after=60.0)
    await asyncio.sleep(30.0)
    limiter.observe(part="window", remaining=4, reset_after=5.0)  # the oldest is gone then, not all of them
    await asyncio.sleep(6.0)
    after_the_reset = limiter.snapshot().remaining
    await asyncio.sleep(54.0)

    assert (after_the_reset, limiter.snapshot().remaining) == (4, 10)


@virtual
async def test_our_own_calls_are_not_held_until_a_reset_that_is_rounded_up(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(1, 10.0), clock=clock)
    (await limiter.acquire()).done()
    limiter.observe(part="window", remaining=0, reset_after=10.9)
    await limiter.acquire()

    assert clock.now() == pytest.approx(10.0)


@virtual
async def test_a_bucket_takes_no_part_of_a_call_for_a_call_of_somebody_else(clock: VirtualClock) -> None:
    limiter = RateLimiter(TokenBucket(rate=1.0, burst=3), clock=clock)
    (await limiter.acquire(3)).done()
    for _ in range(10):
        await asyncio.sleep(0.1)
        limiter.observe(part="bucket", remaining=int(clock.now()), reset_after=1.0)
    await limiter.acquire()

    assert clock.now() == pytest.approx(1.0)
