"""A platform whose limits are shared, and callers of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncconn import Connector, Platform, RateLimiter, Window
from asyncconn.errors import RateLimited, RateStoreUnavailable
from asyncconn.http.auth import TokenAuth

if TYPE_CHECKING:
    from redis_scene import Counting

SECRET = "s3cret-token"


class Acme(Connector):
    platform = Platform("acme", rates=Window(20, 60.0))

    def __init__(self, url: str, token: str = SECRET, **options: Any) -> None:
        super().__init__(base_url=url, auth=TokenAuth(token), **options)


async def granted(*limiters: RateLimiter) -> int:
    """How many calls go at once."""
    count = 0
    for one in limiters:
        try:
            while True:
                permit = await one.acquire(max_wait=2.0)
                permit.sent()
                permit.done()
                count += 1
        except RateLimited:
            pass
    return count


async def at_full_demand(platform: Counting, seconds: float, *limiters: RateLimiter, callers: int = 4) -> list[str]:
    """Callers of each limiter call the platform; the kinds of errors that they saw meanwhile."""
    errors: list[str] = []

    async def caller(limiter: RateLimiter) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", platform.port)
        try:
            while True:
                try:
                    permit = await limiter.acquire()
                except RateStoreUnavailable as error:
                    errors.append(type(error).__name__)
                    await asyncio.sleep(0.02)
                    continue
                writer.write(b"one\n")
                permit.sent()
                await reader.readline()
                permit.done()
        finally:
            writer.close()

    working = [asyncio.create_task(caller(one)) for one in limiters for _ in range(callers)]
    await asyncio.sleep(seconds)
    for task in working:
        task.cancel()
    await asyncio.wait(working)
    return errors
