"""The embedded TCUP, and WebSockets and streams of events opened with plain aiohttp."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import ClientResponse, ClientTimeout, ClientWebSocketResponse, WSMsgType

from .observing_scene import Client, tcup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn.sandbox import TcupWorld
    from asyncconn.sandbox.tcup.broker import Broker

_ENDLESS = ClientTimeout()
WS, SSE = "/WebSocket", "/SSE"
TOPIC = {"type": "topic", "exchange": "ex1", "topic": "test"}
QUEUE = {"type": "queue", "queue": "q1"}


class Event(NamedTuple):
    id: int
    data: str


class EventReader:
    """Reads blocks of lines."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def block(self) -> str:
        """The next one; raises ``IncompleteReadError`` at the end."""
        async with asyncio.timeout(5):
            lines: list[str] = []
            while line := await self.response.content.readline():
                if line == b"\n":
                    return "\n".join(lines)
                lines.append(line.decode().removesuffix("\n"))
        raise asyncio.IncompleteReadError(b"", None)

    async def event(self) -> Event:
        number, kind, *data = (await self.block()).split("\n")
        assert kind == "event: message"
        return Event(int(number.removeprefix("id: ")), "\n".join(line.removeprefix("data: ") for line in data))


class Stage:
    """A world with the exchange ``ex1``."""

    def __init__(self, client: Client, stack: AsyncExitStack) -> None:
        self.client = client
        self.world: TcupWorld = client.world
        self.broker: Broker = client.world.mr.broker
        self._stack = stack

    async def socket(self, end: str, params: dict[str, str], **options: Any) -> ClientWebSocketResponse:
        headers = {"x-api-key": self.world.api_key, **options.pop("headers", {})}
        opening = self.client.http.ws_connect(self.world.url + WS + end, params=params, headers=headers, **options)
        return await self._stack.enter_async_context(opening)

    async def publisher(self, **params: str) -> ClientWebSocketResponse:
        return await self.socket("/publish", params)

    async def listener(self, params: dict[str, str] = TOPIC, **options: Any) -> ClientWebSocketResponse:
        return await self.socket("/subscribe", params, **options)

    async def events(
        self, params: dict[str, str] = TOPIC, path: str = f"{SSE}/subscribe", last: int | str | None = None
    ) -> EventReader:
        """A stream whose first block was read."""
        headers = {"x-api-key": self.world.api_key, **({} if last is None else {"Last-Event-ID": str(last)})}
        opening = self.client.http.get(self.world.url + path, params=params, headers=headers, timeout=_ENDLESS)
        response = await self._stack.enter_async_context(opening)
        assert (response.status, response.content_type) == (200, "text/event-stream")
        reader = EventReader(response)
        assert await reader.block() == "retry: 3000"
        return reader

    def send(self, *bodies: Any, topic: str = "test") -> None:
        for body in bodies:
            self.broker.to_topic("ex1", topic, body)


async def said(socket: ClientWebSocketResponse) -> Any:
    """The next text, as JSON."""
    return json.loads(await socket.receive_str(timeout=5))


async def closed(socket: ClientWebSocketResponse) -> int | None:
    """The code it is closed with, after whatever comes before."""
    while (await socket.receive(timeout=5)).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR):
        pass
    return socket.close_code


@asynccontextmanager
async def stage(**options: Any) -> AsyncIterator[Stage]:
    async with tcup(**options) as client:
        await client.exchange()
        async with AsyncExitStack() as stack:
            yield Stage(client, stack)
