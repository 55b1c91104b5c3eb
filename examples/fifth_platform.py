"""A connector for a platform that asyncconn does not know, in about forty lines, and a tiny server to try it on."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from asyncconn import (
    Connector,
    HeaderKey,
    Hub,
    Page,
    Pager,
    PlainRules,
    Platform,
    Poller,
    PollPolicy,
    Redactor,
    Response,
    Window,
)
from asyncconn.errors import AsyncConnError, Conflict, OperationFailed

# -- the connector -----------------------------------------------------------------------------------------------------


class TidesRules(PlainRules):
    """Tides answers 200 to everything; its errors are in the body."""

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        if response.status == 200 and response.content_type == "application/json":
            answer = response.json()
            if isinstance(answer, dict) and (said := answer.get("error")):  # a text, or an object
                return Conflict(redactor.scrub(said), response.answer(redactor, status=409))
        return super().error(response, redactor)


class Tides(Connector):
    """Harbours, and forecasts that take a while to compute."""

    platform = Platform("tides", base_url="https://api.tides.example", rules=TidesRules(), rates=Window(120, 60.0))

    def __init__(self, key: str, *, hub: Hub | None = None, base_url: str | None = None) -> None:
        super().__init__(hub=hub, base_url=base_url, auth=HeaderKey("X-Tides-Key", key))

    def harbours(self) -> Pager[str]:
        async def page(cursor: Any) -> Page[str]:
            answer = (await self.http.request("GET", "/harbours", params={"after": cursor})).json()
            return Page(answer["items"], answer["next"])

        return Pager(page)

    async def forecast(self, harbour: str) -> Poller[dict[str, Any], float]:
        """Order a forecast; await the poller for the height of the next high water in metres."""
        job = (await self.http.request("POST", "/forecasts", json={"harbour": harbour})).json()["job"]

        async def fetch() -> dict[str, Any]:
            state: dict[str, Any] = (await self.http.request("GET", f"/forecasts/{job}")).json()
            return state

        def done(state: dict[str, Any]) -> bool:
            if state["state"] == "failed":
                raise OperationFailed(f"the forecast for {harbour} failed", state=state)
            return bool(state["state"] == "done")

        policy = PollPolicy(minimum=0.05, deadline=30.0)
        return Poller(fetch, done=done, result=lambda state: float(state["height"]), policy=policy, token=job)


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
        return web.json_response({"state": "done", "height": 4.2} if polls[job] > 2 else {"state": "computing"})

    app = web.Application()
    app.add_routes([web.get("/harbours", harbours), web.post("/forecasts", order), web.get("/forecasts/{job}", state)])
    return app


async def main() -> None:
    runner = web.AppRunner(tiny_server())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with Hub() as hub:
            tides = Tides("made-up-key", hub=hub, base_url=url)
            print("harbours:", *[harbour async for harbour in tides.harbours()])
            poller = await tides.forecast("Dover")
            print(f"high water at Dover: {await poller} m, after {poller.polls} polls")
            try:
                await tides.forecast("Atlantis")
            except Conflict as error:
                print("refused:", error.message)
            print("calls left in this minute:", tides.rate.remaining)
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
