"""A client of TCUP and the broker that the sandbox embeds, or a real one."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Hub, Tcup
from asyncconn.core.supervise import Reconnect
from asyncconn.sandbox import Sandbox, TcupWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from asyncconn.tcup.streams.messages import Message, Messages

SOON = Reconnect(initial=0.01, maximum=0.05, timeout=5.0)
KEY = "0" * 64

mosquitto = pytest.mark.skipif(shutil.which("mosquitto") is None, reason="needs mosquitto: apt-get install mosquitto")


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


async def until(condition: Callable[[], object]) -> None:
    """Wait for what comes by another connection."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@contextmanager
def real_broker(folder: Path) -> Iterator[dict[str, Any]]:
    """mosquitto, on a port of its own, and how to get there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
    program = shutil.which("mosquitto")
    assert program is not None
    with subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            yield {"host": "127.0.0.1", "port": port, "tls": False, "reconnect": SOON}
        finally:
            process.terminate()
