"""What a call costs whose window is shared through Redis, beside one of this process, and one acquire of aiolimiter.

``python -m benchmarks.shared aiolimiter|window|shared URL N``: N calls one after another; the URL is of no use here.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from aiolimiter import AsyncLimiter
from redis.asyncio import Redis

from asyncconn.core.rates.limiter import RateLimiter, Window
from asyncconn.integrations.redis import RedisRates
from benchmarks.instructions import counting
from benchmarks.measure import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

LIMIT, PERIOD = 3_000_000, 60.0
EVERY = 500  # calls after which the loop gets a turn


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """A server of our own: its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed: on Debian, apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", "/"]
    process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


async def known(url: str, part: Any) -> None:
    """Let the server know the limit: when it has just been started it grants nothing for a window."""
    async with Redis.from_url(url) as client:
        run = (await client.info("server"))["run_id"]
        await client.hset(part.cap.keys("window")[0], "run", run)


@contextlib.asynccontextmanager
async def caller(peer: str) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """What makes one call."""
    if peer == "aiolimiter":
        yield AsyncLimiter(LIMIT, PERIOD).acquire
        return
    window = Window(LIMIT, PERIOD)
    with redis() as url:
        async with RedisRates(url, timeout=30.0) as rates:
            parts: Any = {"default": [window]}
            if peer == "shared":
                parts = rates.share("bench", "nobody", window)
                await known(url, parts["default"][0])
            limiter = RateLimiter(*parts["default"])

            async def call() -> None:
                permit = await limiter.acquire()
                permit.sent()
                permit.done()

            yield call
            await limiter.aclose()


async def calls(peer: str, count: int) -> dict[str, float]:
    async with caller(peer) as call:

        async def some(count: int) -> None:
            for number in range(count):
                await call()
                if number % EVERY == 0:
                    await asyncio.sleep(0)

        await some(2_000)
        started = time.process_time_ns()
        with counting(count):
            await some(count)
        return {"ns": (time.process_time_ns() - started) / count}


def main() -> None:
    peer, _, count = sys.argv[1:]
    report(asyncio.run(calls(peer, int(count))))


if __name__ == "__main__":
    main()
