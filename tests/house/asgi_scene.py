"""An ASGI application as a server runs it: its lifespan around requests, which share what it yields."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of ``app``, any framework's, in this loop. What its lifespan raises is raised here."""
    state: dict[str, Any] = {}
    told: asyncio.Queue[Message] = asyncio.Queue()
    said: asyncio.Queue[str] = asyncio.Queue()

    async def send(message: Message) -> None:
        said.put_nowait(message["type"])

    async def with_state(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    async def run(event: str) -> None:
        told.put_nowait({"type": f"lifespan.{event}"})
        answer = asyncio.create_task(said.get())
        await asyncio.wait({answer, lifespan}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            await lifespan
        elif answer.result() != f"lifespan.{event}.complete":
            await lifespan

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
    lifespan: asyncio.Task[None] = asyncio.create_task(app(scope, told.get, send))
    try:
        await run("startup")
        transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            yield client
        await run("shutdown")
        await lifespan
    finally:
        lifespan.cancel()
        await asyncio.wait({lifespan})
