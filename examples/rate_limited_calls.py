"""A connector with a limit under more demand than it allows: the server never sees more than it permits."""

from __future__ import annotations

import asyncio
from collections import deque

from aiohttp import web

from asyncconn import Connector, Hub, Platform, Window
from asyncconn.errors import RateLimited

LIMIT, PERIOD = 20, 1.0


class Quotes(Connector):
    platform = Platform("quotes", rates=Window(LIMIT, PERIOD, skew=0.2))

    async def quote(self, number: int, *, max_wait: float | None = None) -> str:
        return (await self.http.request("GET", f"/quotes/{number}", max_wait=max_wait)).text


async def main() -> None:
    recent: deque[float] = deque()
    busiest = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal busiest
        now = asyncio.get_running_loop().time()
        recent.append(now)
        while recent[0] <= now - PERIOD:
            recent.popleft()
        busiest = max(busiest, len(recent))
        return web.Response(text=f"quote {request.match_info['number']}")

    app = web.Application()
    app.router.add_get("/quotes/{number}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Hub() as hub:
            quotes = Quotes(hub=hub, base_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
            answers = await asyncio.gather(*[quotes.quote(number) for number in range(3 * LIMIT)])
            print(f"{len(answers)} answers; busiest second at the server within the limit: {busiest <= LIMIT}")
            try:
                await asyncio.gather(*[quotes.quote(number, max_wait=0.1) for number in range(LIMIT)])
            except RateLimited as error:
                print(f"who will not wait is told how long it would take: {error.retry_after is not None}")
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
