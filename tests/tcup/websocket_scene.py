"""What the tests of WebSockets share: the sandbox's end of them, and servers that talk as they are told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web

from asyncconn import Hub
from asyncconn.tcup import Tcup

from .scene import Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from asyncconn.tcup.streams.stream import Stream

WS = "/WebSocket"


def books(made: Scene) -> Any:
    return made.world.streams.books["websocket"]


def break_off(made: Scene) -> None:
    made.world.streams.kill("websocket")


@asynccontextmanager
async def serving(
    talk: Callable[[web.WebSocketResponse], Awaitable[None]], *, autoping: bool = True
) -> AsyncIterator[Stream]:
    """Live data of a server that talks so on each WebSocket."""

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=autoping)
        await socket.prepare(request)
        await talk(socket)
        return socket

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Hub() as hub:
            yield Tcup(f"http://127.0.0.1:{runner.addresses[0][1]}", "k" * 64, hub=hub).stream
    finally:
        await runner.cleanup()
