"""Rate limiters: the cost of one acquire, alone and with many waiters, and whether a cap holds at the server.

``python -m benchmarks.limiter PEER uncontended|contended|cap|waits [N]``. Peers of ``waits`` are limits of our own,
as ``100-a-second``: N waiters with ``max_wait``, as every request of a transport is one.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from aiolimiter import AsyncLimiter

from asyncconn.core.clock import VirtualClock
from asyncconn.core.rates.limiter import RateLimiter, Window
from benchmarks.instructions import counting
from benchmarks.measure import report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CAP_SECONDS = 720.0


def acquirer(peer: str, limit: int, period: float, clock: VirtualClock | None = None) -> Callable[[], Awaitable[Any]]:
    if peer == "aiolimiter":
        return AsyncLimiter(limit, period).acquire
    limiter = RateLimiter(Window(limit, period), clock=clock)
    if peer == "asyncconn":
        return limiter.acquire

    async def whole() -> None:
        permit = await limiter.acquire()
        permit.sent()
        permit.done()

    return whole  # with what the transport reports of each call, without which no slot is freed


async def uncontended(peer: str) -> dict[str, float]:
    acquire = acquirer(peer, 10**9, 60.0)
    rounds = []
    await acquire()
    with counting(100_000):
        for _ in range(5):
            started = time.process_time_ns()
            for _ in range(20_000):
                await acquire()
            rounds.append((time.process_time_ns() - started) / 20_000)
    return {"ns": sorted(rounds)[2]}


def contended(peer: str, waiters: int) -> dict[str, float]:
    clock = VirtualClock(turn=1e-6)

    async def main() -> float:
        acquire = acquirer(peer, max(1, waiters // 10), 1.0, clock)
        started = time.process_time_ns()
        await asyncio.gather(*[asyncio.ensure_future(acquire()) for _ in range(waiters)])
        return (time.process_time_ns() - started) / waiters / 1000

    return {"us_per_waiter": clock.run(main())}


def waits(peer: str, waiters: int) -> dict[str, float]:
    clock = VirtualClock(turn=1e-6)

    async def main() -> float:
        limiter = RateLimiter(Window(int(peer.partition("-")[0]), 1.0), clock=clock)

        async def whole() -> None:
            permit = await limiter.acquire(max_wait=1e6)
            permit.sent()
            permit.done()

        started = time.process_time_ns()
        await asyncio.gather(*[asyncio.ensure_future(whole()) for _ in range(waiters)])
        return (time.process_time_ns() - started) / waiters / 1000

    return {"us_per_waiter": clock.run(main())}


def cap(peer: str, seed: int) -> dict[str, float]:
    """Twelve virtual minutes of 200 workers against 60 a minute; the server counts arrivals, over jittery latency."""
    clock = VirtualClock(turn=1e-6)
    noise = random.Random(seed)
    granted = 0
    arrivals: list[float] = []

    def latency() -> float:
        return 1.5 if noise.random() < 0.01 else noise.uniform(0.005, 0.2)

    async def main() -> None:
        nonlocal granted
        ours = RateLimiter(Window(60, 60.0), clock=clock)
        theirs = AsyncLimiter(60, 60.0)

        async def worker() -> None:
            nonlocal granted
            while True:
                permit = None
                if peer == "asyncconn":
                    permit = await ours.acquire()
                else:
                    await theirs.acquire()
                granted += 1
                if permit is not None:
                    permit.sent()
                await asyncio.sleep(latency())
                arrivals.append(clock.now())
                await asyncio.sleep(latency())
                if permit is not None:
                    permit.done()

        workers = [asyncio.ensure_future(worker()) for _ in range(200)]
        await asyncio.sleep(CAP_SECONDS - 0.001)
        for task in workers:
            task.cancel()
        await asyncio.wait(workers)

    clock.run(main())
    refused = 0
    window: deque[float] = deque()
    for at in sorted(arrivals):
        while window and window[0] <= at - 60.0:
            window.popleft()
        if len(window) >= 60:
            refused += 1
        window.append(at)
    return {"granted": granted, "refused": refused, "of_ideal": granted / CAP_SECONDS}


def main() -> None:
    peer, what, *rest = sys.argv[1:]
    if what == "uncontended":
        report(asyncio.run(uncontended(peer)))
    elif what == "contended":
        report(contended(peer, int(rest[0])))
    elif what == "waits":
        report(waits(peer, int(rest[0])))
    else:
        report(cap(peer, int(rest[0])))


if __name__ == "__main__":
    main()
