"""The parts of limiters, and calls that use them up, for the tests of the limiter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncconn.core.rates.limiter import Permit, RateLimiter, TokenBucket, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.rates.windows import Part


PARTS: dict[str, Callable[[], Part]] = {
    "window": lambda: Window(10, 1.0),
    "bucket": lambda: TokenBucket(rate=10.0, burst=10),
}


async def take(limiter: RateLimiter, count: int) -> list[Permit]:
    return [await limiter.acquire() for _ in range(count)]


def remaining(limiter: RateLimiter) -> int:
    return limiter.snapshot().remaining


async def use_up(limiter: RateLimiter, count: int) -> None:
    for permit in await take(limiter, count):
        permit.sent()
        permit.done()
