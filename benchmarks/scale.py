"""What one of many costs: the CPU of each must not grow with their number.

``python -m benchmarks.scale pollers|connectors|pending|waiters COUNT``: ``cpu_us`` a poll, a connector (made, asked
once and closed), a record (put, and reported when the buffer closes), a waiter (with ``max_wait``); ``kb`` of memory
each.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import TYPE_CHECKING

from asyncconn import Hub
from asyncconn.core.buffer.memory import Batch, BatchBuffer, BatchPolicy
from asyncconn.core.clock import VirtualClock
from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.core.rates.limiter import RateLimiter, Window
from benchmarks.measure import Figures, cpu_seconds, report, resident_mb
from benchmarks.sink import running
from benchmarks.transport import Bench

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = 60.0  # virtual seconds of a job


class Cost:
    """CPU and memory from here on; the cyclic collector, which looks at all that lives for Python, is at rest."""

    def __init__(self) -> None:
        gc.collect()
        gc.disable()
        self.memory, self.cpu = resident_mb(), cpu_seconds()

    def each(self, count: int) -> Figures:
        used = cpu_seconds() - self.cpu
        return {"cpu_us": used / count * 1e6, "kb": (resident_mb() - self.memory) * 1024 / count}


def pollers(count: int) -> Figures:
    clock = VirtualClock(turn=1e-6)

    async def main() -> Figures:
        async def elapsed() -> float:
            return clock.now()

        ends = clock.now() + LENGTH
        cost = Cost()
        some = [
            Poller(elapsed, done=ends.__le__, result=float, policy=PollPolicy(deadline=600.0), clock=clock)
            for _ in range(count)
        ]
        await asyncio.gather(*[poller.wait() for poller in some])
        return cost.each(sum(poller.polls for poller in some))

    return clock.run(main())


def connectors(count: int) -> Figures:
    async def main(url: str) -> Figures:
        hub = await Hub(proxy="").open()
        await Bench(hub=hub, base_url=url).get()
        cost = Cost()
        some = [Bench(hub=hub, base_url=url) for _ in range(count)]
        for one in some:
            await one.get()
        await hub.aclose()
        return cost.each(count)

    with running() as url:
        return asyncio.run(main(url))


def pending(count: int) -> Figures:
    async def never(batch: Batch[bytes]) -> None:
        await asyncio.Event().wait()

    async def main() -> Figures:
        policy = BatchPolicy(max_pending_items=2 * count, max_pending_bytes=2**31, max_in_flight=1000)
        buffer = BatchBuffer(never, size=len, policy=policy)
        item = bytes(100)
        cost = Cost()
        for number in range(count):
            if buffer.offer(item, number) is None:
                await buffer.put(item, number)
        if buffer.stats.pending != count:
            raise RuntimeError(f"{buffer.stats.pending} of {count} are pending")
        report = await buffer.aclose(0.01)
        if report.delivered or report.failed + report.unknown != count:
            raise RuntimeError(f"not all of {count} are accounted for: {report}")
        return cost.each(count)

    return asyncio.run(main())


def waiters(count: int) -> Figures:
    clock = VirtualClock(turn=1e-6)

    async def main() -> Figures:
        limiter = RateLimiter(Window(1_000, 1.0), clock=clock)

        async def one() -> None:
            permit = await limiter.acquire(max_wait=1e6)
            permit.sent()
            permit.done()

        cost = Cost()
        await asyncio.gather(*[one() for _ in range(count)])
        return cost.each(count)

    return clock.run(main())


#: Of each: what is measured, and how many of them the goals name.
MANY: dict[str, tuple[Callable[[int], Figures], int]] = {
    "pollers": (pollers, 10_000),
    "connectors": (connectors, 1_000),
    "pending": (pending, 1_000_000),
    "waiters": (waiters, 100_000),
}


def main() -> None:
    peer, count = sys.argv[1], int(sys.argv[2])
    report(MANY[peer][0](count))


if __name__ == "__main__":
    main()
