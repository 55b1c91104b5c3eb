"""What the whole stack (connector, limiter, retry, decoding) adds to bare aiohttp: CPU of one GET with a JSON answer.

``python -m benchmarks.transport PEER URL REQUESTS``: eight at once on one session. Peers: ``bare`` aiohttp;
``asyncconn``, and the same ``uncounted``; and what a user would write for retries and two limits: ``aiohttp-retry``,
``tenacity`` over aiohttp, and ``httpx-tenacity``, each with two aiolimiters.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
from aiohttp_retry import ExponentialRetry, RetryClient
from aiolimiter import AsyncLimiter
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from asyncconn import Connector, Hub, Platform
from asyncconn.core.rates.limiter import Window
from benchmarks.instructions import counting
from benchmarks.measure import Figures, cpu_seconds, report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Get = Callable[[], Awaitable[Any]]

AT_ONCE = 8


class Bench(Connector):
    platform = Platform("bench", rates=[Window(10**9, 60.0, name="minute"), Window(10**9, 3600.0, name="hour")])

    async def get(self) -> Any:
        return (await self.http.request("GET", "/json")).json()


async def measured(get: Get, requests: int) -> Figures:
    async def worker(requests: int) -> None:
        for _ in range(requests):
            if len((await get())["rows"]) != 6:
                raise RuntimeError("not the answer that was sent")

    await asyncio.gather(*[worker(50) for _ in range(AT_ONCE)])  # now all connections are open: they are no request
    before = cpu_seconds()
    with counting(requests):
        await asyncio.gather(*[worker(requests // AT_ONCE) for _ in range(AT_ONCE)])
    return {"cpu_us": (cpu_seconds() - before) / requests * 1e6}


async def bare(url: str, stack: AsyncExitStack) -> Get:
    session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))

    async def get() -> Any:
        async with session.get(f"{url}/json") as response:
            return orjson.loads(await response.read())

    return get


async def ours(url: str, stack: AsyncExitStack) -> Get:
    hub = await stack.enter_async_context(Hub(proxy=""))
    return Bench(hub=hub, base_url=url).get


async def uncounted(url: str, stack: AsyncExitStack) -> Get:
    """As ours, but for the traffic: what stands in its place is a function of C that does nothing."""
    hub = await stack.enter_async_context(Hub(proxy=""))
    bench = Bench(hub=hub, base_url=url)
    bench.http._road.traffic = SimpleNamespace(count="".format)  # type: ignore[assignment] # all that is called
    return bench.get


def limits() -> tuple[AsyncLimiter, AsyncLimiter]:
    return AsyncLimiter(10**9, 60.0), AsyncLimiter(10**9, 3600.0)


def attempts(*errors: type[Exception]) -> AsyncRetrying:
    wait = wait_random_exponential(0.25, 8)
    return AsyncRetrying(stop=stop_after_attempt(4), wait=wait, retry=retry_if_exception_type(errors), reraise=True)


async def with_aiohttp_retry(url: str, stack: AsyncExitStack) -> Get:
    session = await stack.enter_async_context(aiohttp.ClientSession(raise_for_status=True))
    client = RetryClient(client_session=session, retry_options=ExponentialRetry(attempts=4))
    minute, hour = limits()

    async def get() -> Any:
        async with minute, hour, client.get(f"{url}/json") as response:
            return await response.json()

    return get


async def with_tenacity(url: str, stack: AsyncExitStack) -> Get:
    session = await stack.enter_async_context(aiohttp.ClientSession(raise_for_status=True))
    minute, hour = limits()

    async def get() -> Any:
        async for attempt in attempts(aiohttp.ClientError, TimeoutError):
            with attempt:
                async with minute, hour, session.get(f"{url}/json") as response:
                    return await response.json()
        return None  # it returns or raises above

    return get


async def with_httpx(url: str, stack: AsyncExitStack) -> Get:
    import httpx  # here: the other peers need not have it in their memory

    client = await stack.enter_async_context(httpx.AsyncClient())
    minute, hour = limits()

    async def get() -> Any:
        async for attempt in attempts(httpx.TransportError):
            with attempt:
                async with minute, hour:
                    response = await client.get(f"{url}/json")
                response.raise_for_status()
                return response.json()
        return None  # it returns or raises above

    return get


PEERS: dict[str, Callable[[str, AsyncExitStack], Awaitable[Get]]] = {
    "bare": bare,
    "asyncconn": ours,
    "uncounted": uncounted,
    "aiohttp-retry": with_aiohttp_retry,
    "tenacity": with_tenacity,
    "httpx-tenacity": with_httpx,
}


async def run(peer: str, url: str, requests: int) -> Figures:
    async with AsyncExitStack() as stack:
        return await measured(await PEERS[peer](url, stack), requests)


def main() -> None:
    peer, url, requests = sys.argv[1], sys.argv[2], int(sys.argv[3])
    report(asyncio.run(run(peer, url, requests)))


if __name__ == "__main__":
    main()
