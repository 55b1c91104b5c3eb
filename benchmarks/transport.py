"""What the whole stack (connector, limiter, retry, decoding) adds to bare aiohttp: CPU of one GET with a JSON answer.

``python -m benchmarks.transport bare|asyncconn URL REQUESTS``: eight at once on one session.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from asyncconn import Connector, Hub, Platform
from asyncconn.core.rates.limiter import Window
from benchmarks.instructions import counting
from benchmarks.measure import Figures, cpu_seconds, report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

AT_ONCE = 8


class Bench(Connector):
    platform = Platform("bench", rates=[Window(10**9, 60.0, name="minute"), Window(10**9, 3600.0, name="hour")])

    async def get(self) -> Any:
        return (await self.http.request("GET", "/json")).json()


async def measured(get: Callable[[], Awaitable[Any]], requests: int) -> Figures:

    async def worker(requests: int) -> None:
        for _ in range(requests // AT_ONCE):
            if len((await get())["rows"]) != 6:
                raise RuntimeError("not the answer that was sent")

    await asyncio.gather(*[worker(50) for _ in range(AT_ONCE)])  # all connections are there
    before = cpu_seconds()
    with counting(requests):
        await asyncio.gather(*[worker(requests) for _ in range(AT_ONCE)])
    return {"cpu_us": (cpu_seconds() - before) / requests * 1e6}


async def bare(url: str, requests: int) -> Figures:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def get() -> Any:
            async with session.get(f"{url}/json") as response:
                return orjson.loads(await response.read())

        return await measured(get, requests)


async def ours(url: str, requests: int) -> Figures:
    async with Hub(proxy="") as hub:
        return await measured(Bench(hub=hub, base_url=url).get, requests)


def main() -> None:
    peer, url, requests = sys.argv[1], sys.argv[2], int(sys.argv[3])
    report(asyncio.run((bare if peer == "bare" else ours)(url, requests)))


if __name__ == "__main__":
    main()
