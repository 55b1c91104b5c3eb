"""A connector for a platform that asyncconn does not know, in twenty lines, and a tiny server to try it on."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from asyncconn import Connector, HeaderKey, Pager, Platform, Poller, Window
from asyncconn.errors import ApiError, OperationFailed

# -- the connector -----------------------------------------------------------------------------------------------------


class Tides(Connector):
    """Harbours, and forecasts that take a while to compute. Errors come in a 200."""

    platform = Platform("tides", rates=Window(120, 60.0), error_at="error")

    def harbours(self) -> Pager[str]:
        return self.http.pages("/harbours", param="after")

    async def forecast(self, harbour: str) -> Poller[Any, Any]:
        """Order a forecast; await the poller for its last state, with the next high water in metres."""
        job = (await self.http.call("POST", "/forecasts", json={"harbour": harbour}))["job"]
        done, failed = {"state": "done"}, {"state": "failed"}
        return self.http.poll(f"/forecasts/{job}", until=done, failed=failed, minimum=0.05, deadline=30.0)


# -- a server to try it on ---------------------------------------------------------------------------------------------

HARBOURS = ["Amble", "Brest", "Cuxhaven", "Dover", "Esbjerg"]


def tiny_server() -> web.Application:
    polls: dict[str, int] = {}

    async def harbours(request: web.Request) -> web.Response:
        start = int(request.query.get("after", 0))
        after = start + 2 if start + 2 < len(HARBOURS) else None
        return web.json_response({"items": HARBOURS[start : start + 2], "next": after})

    async def order(request: web.Request) -> web.Response:
        harbour = (await request.json())["harbour"]
        if harbour not in HARBOURS:
            return web.json_response({"error": f"no harbour {harbour}"})
        polls[harbour] = 0
        return web.json_response({"job": harbour})

    async def state(request: web.Request) -> web.Response:
        job = request.match_info["job"]
        polls[job] += 1
        if polls[job] < 3:
            return web.json_response({"state": "computing"})
        return web.json_response({"state": "failed"} if job == "Brest" else {"state": "done", "height": 4.2})

    app = web.Application()
    app.add_routes([web.get("/harbours", harbours), web.post("/forecasts", order), web.get("/forecasts/{job}", state)])
    return app


async def main() -> None:
    key = HeaderKey("X-Tides-Key", "made-up-key")
    async with TestServer(tiny_server()) as server, Tides(base_url=str(server.make_url("")), auth=key) as tides:
        print("harbours:", *[harbour async for harbour in tides.harbours()])
        poller = await tides.forecast("Dover")
        print(f"high water at Dover: {(await poller)['height']} m, after {poller.polls} polls")
        try:
            await (await tides.forecast("Brest"))
        except OperationFailed as error:
            print("failed:", error.message)
        try:
            await tides.forecast("Atlantis")
        except ApiError as error:
            print("refused:", error.message)
        print("calls left in this minute:", tides.rate.remaining)


if __name__ == "__main__":
    asyncio.run(main())
