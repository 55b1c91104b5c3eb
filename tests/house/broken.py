"""A platform in a few lines, a connector that keeps its promises at it, and five that each break one."""

from __future__ import annotations

import asyncio
import logging
import uuid
import warnings
from typing import Any

from aiohttp import web

from asyncconn import Batch, Connector, Hub, Platform, TokenAuth, Window, batched
from asyncconn.errors import AsyncConnError
from asyncconn.testing import Fake

TOKEN = "made-up-t0ken"
FIVE = Window(5, 0.5)


def tides(**options: Any) -> Fake:
    """Heights are read and stored; ``fake.taken`` counts the stored ones."""
    app = web.Application()
    fake = Fake(app, **options)

    async def show(request: web.Request) -> web.Response:
        return web.json_response({"m": 6.7})

    async def order(request: web.Request) -> web.Response:
        return web.json_response({"ordered": (await request.json())["harbour"]})

    async def store(request: web.Request) -> web.Response:
        heights = (await request.json())["heights"]
        fake.took(len(heights))
        return web.json_response({"results": ["stored"] * len(heights)})

    app.router.add_get("/heights", show)
    app.router.add_post("/orders", order)
    app.router.add_post("/heights", store)
    return fake


class Tides(Connector):
    """Keeps its promises."""

    platform = Platform("tides", rates=FIVE, error_at="error")

    def __init__(self, url: str, hub: Hub) -> None:
        super().__init__(base_url=url, auth=TokenAuth(TOKEN), hub=hub)

    async def height(self) -> Any:
        return await self.http.call("GET", "/heights")

    async def order(self, harbour: str) -> Any:
        return await self.http.call("POST", "/orders", json={"harbour": harbour})

    async def add(self, height: dict[str, Any]) -> None:
        await self.heights.put(height)

    @batched(max_items=4, max_bytes=10_000, max_age=60.0)
    async def heights(self, batch: Batch[Any]) -> None:
        await self.http.call("POST", "/heights", json={"heights": batch.items})


class Hasty(Tides):
    """Reads beside its rate limit."""

    async def height(self) -> Any:
        return await self.http.call("GET", f"{self.http.base_url}/heights", auth=None)


class Chatty(Tides):
    """Writes a line with its token when something fails."""

    async def height(self) -> Any:
        try:
            return await super().height()
        except AsyncConnError:
            headers = await self.http._auth.headers()
            logging.getLogger("tides").debug("failed with %s", dict(headers)["Authorization"][:])
            raise


class Blind(Tides):
    """Orders until an answer comes."""

    async def order(self, harbour: str) -> Any:
        for attempt in range(3):
            try:
                return await super().order(harbour)
            except AsyncConnError:
                if attempt == 2:
                    raise
        return None


class Keyed(Tides):
    """Orders with a key, by which the platform knows a repetition."""

    async def order(self, harbour: str) -> Any:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        return await self.http.call("POST", "/orders", json={"harbour": harbour}, headers=key, idempotent=True)


class Rekeyed(Tides):
    """Makes a new key each time, by which the platform knows nothing."""

    async def order(self, harbour: str) -> Any:
        for _ in range(2):
            try:
                key = {"Idempotency-Key": str(uuid.uuid4())}
                return await self.http.call("POST", "/orders", json={"harbour": harbour}, headers=key)
            except AsyncConnError:
                continue
        return None


class Alarming(Tides):
    """Warns of a refusal, and quotes the credential."""

    async def height(self) -> Any:
        try:
            return await super().height()
        except AsyncConnError:
            warnings.warn(f"refused with {TOKEN}", UserWarning, stacklevel=2)
            raise


class Printing(Tides):
    """Shows its token where it is printed."""

    def __repr__(self) -> str:
        return f"<Tides {TOKEN}>"


class Unsaid(Tides):
    """Has a credential of which nobody else is told that it is one: what the server quotes is shown."""

    def __init__(self, url: str, hub: Hub) -> None:
        super().__init__(url, hub)
        self.http = self.transport(headers={"X-Api-Key": TOKEN})


class Patient(Tides):
    """Asks for ever."""

    async def height(self) -> Any:
        while True:
            try:
                return await super().height()
            except AsyncConnError:
                await asyncio.sleep(1.0)


class Forgetful(Tides):
    """Holds records in a list, and sends when there are four of them."""

    def __init__(self, url: str, hub: Hub) -> None:
        super().__init__(url, hub)
        self._held: list[dict[str, Any]] = []

    async def add(self, height: dict[str, Any]) -> None:
        self._held.append(height)
        if len(self._held) == 4:
            await self.heights.deliver(self._held)
            self._held.clear()


class Boasting(Tides):
    """Calls delivered what was not."""

    @batched(max_items=4, max_bytes=10_000, max_age=60.0)
    async def more(self, batch: Batch[Any]) -> None:
        try:
            await self.http.call("POST", "/heights", json={"heights": batch.items})
        except AsyncConnError:
            return

    async def add(self, height: dict[str, Any]) -> None:
        await self.more.put(height)


async def height(tides: Tides) -> object:
    return await tides.height()


async def order(tides: Tides) -> object:
    return await tides.order("dover")


async def heights(tides: Tides) -> int:
    for number in range(6):
        await tides.add({"id": number, "m": 6.7})
    return 6
