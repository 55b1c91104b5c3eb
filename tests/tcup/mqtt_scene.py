"""A client of TCUP and the broker that the sandbox embeds."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from loopback import Server

from asyncconn import Hub, Tcup
from asyncconn.core.supervise import Reconnect
from asyncconn.core.tasks import together
from asyncconn.sandbox import Sandbox, TcupWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn.tcup.streams.messages import Message, Messages

SOON = Reconnect(initial=0.01, maximum=0.05, timeout=5.0)
KEY = "0" * 64


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[TcupWorld]:
    async with Sandbox(TcupWorld(**options), seed=1) as sandbox:
        yield sandbox.tcup


def at(place: TcupWorld, **options: Any) -> dict[str, Any]:
    """How to get to a world's broker."""
    return {
        "host": place.mqtt.host,
        "port": place.mqtt.port,
        "tls": False,
        "username": place.tenant.mqtt_username,
        "password": place.tenant.mqtt_password,
        "reconnect": SOON,
        **options,
    }


def at_port(port: int) -> dict[str, Any]:
    """How to get to whatever listens there."""
    return {"host": "127.0.0.1", "port": port, "tls": False, "reconnect": SOON}


@asynccontextmanager
async def client(mqtt: dict[str, Any]) -> AsyncIterator[Tcup]:
    async with Hub() as hub:
        yield Tcup("http://localhost:9", KEY, hub=hub, mqtt=mqtt)


@asynccontextmanager
async def scene(mqtt: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[tuple[Tcup, TcupWorld]]:
    async with world(**options) as place, client(at(place, **(mqtt or {}))) as tcup:
        yield tcup, place


async def numbers(messages: Messages[Message], count: int) -> list[int]:
    """So many messages, each a number."""
    found: list[int] = []
    async for message in messages:
        found.append(message.json)
        if len(found) == count:
            break
    return found


def new_id() -> str:
    """A client id that no broker has a session of."""
    return f"c-{secrets.token_hex(6)}"


class Relay:
    """Stands before a broker, so that connections can be cut while both ends are well."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._writers: list[asyncio.StreamWriter] = []
        self._server = Server(self._serve)

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.cut()
        await self._server.__aexit__(None, None, None)

    @property
    def port(self) -> int:
        return self._server.port

    def cut(self) -> None:
        """Break off every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beyond, there = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, there]
        try:
            await together((_pump(reader, there), _pump(beyond, writer)), name="relay")
        finally:
            there.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
