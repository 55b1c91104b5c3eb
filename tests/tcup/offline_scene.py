"""A publisher of either protocol, a world to publish to, and what cuts it off."""

from __future__ import annotations

import asyncio
import json
import sys
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox import Fault, Sandbox, StreamFault, TcupWorld
from asyncconn.tcup import Tcup

from .mqtt_scene import at
from .stream_scene import SOON, TOPIC

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncconn import Hub
    from asyncconn.tcup.streams.publishing import Publisher


class Road(ABC):
    """One protocol."""

    name = ""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.world: TcupWorld = sandbox.tcup

    @abstractmethod
    def publisher(self, tcup: Tcup, **options: Any) -> Publisher[Any]:
        """One for the topic ``test``."""

    @abstractmethod
    def arrived(self) -> list[Any]:
        """What has come to it."""

    @abstractmethod
    def refuse(self) -> None:
        """Let nobody in any more, for now."""

    def client(self, hub: Hub) -> Tcup:
        return Tcup(self.sandbox.url, self.world.api_key, hub=hub, mqtt=at(self.world))

    def cut(self) -> None:
        """No connection any more, and none to be had."""
        self.refuse()
        self.world.streams.kill(self.name)

    def mend(self) -> None:
        self.sandbox.faults.clear()
        self.world.streams.faults.clear()

    def swallow(self) -> None:
        """Take messages, and acknowledge none."""
        self.world.streams.faults.add(StreamFault("swallow_ack", match=self.name, times=None))


class OverMqtt(Road):
    name = "mqtt"

    def publisher(self, tcup: Tcup, **options: Any) -> Publisher[Any]:
        return tcup.mqtt.publisher("test", **{"reconnect": SOON, **options})

    def arrived(self) -> list[Any]:
        return self.world.mr.broker.routed("amq.topic", "test")

    def refuse(self) -> None:
        self.world.streams.faults.add(StreamFault("refuse", code=3, times=None))


class OverWebSocket(Road):
    name = "websocket"

    def publisher(self, tcup: Tcup, **options: Any) -> Publisher[Any]:
        return tcup.stream.publisher(**{**TOPIC, "reconnect": SOON, **options})

    def arrived(self) -> list[Any]:
        return self.world.mr.broker.routed("ex1", "test")

    def refuse(self) -> None:
        self.sandbox.faults.add(Fault("drop_before", match="/WebSocket", times=1_000_000))


ROADS: dict[str, type[Road]] = {road.name: road for road in (OverMqtt, OverWebSocket)}


@asynccontextmanager
async def road(name: str) -> AsyncIterator[Road]:
    async with Sandbox(TcupWorld(), seed=1) as sandbox:
        sandbox.tcup.mr.broker.create("ex1")
        yield ROADS[name](sandbox)


#: A program that publishes numbers, and tells each that was accepted: url, key, options of MQTT, protocol, spool, from.
PROGRAM = """
import asyncio, itertools, json, sys
from asyncconn import Hub, Tcup
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.supervise import Reconnect

async def main(url, key, mqtt, protocol, path, start):
    soon = Reconnect(initial=0.01, maximum=0.05)
    async with Hub() as hub:
        tcup = Tcup(url, key, hub=hub, mqtt=json.loads(mqtt))
        options = {"spool": Spool(path, fsync=False), "reconnect": soon, "max_unacked": 20, "max_pending": 50}
        if protocol == "mqtt":
            publisher = tcup.mqtt.publisher("test", **options)
        else:
            publisher = tcup.stream.publisher(exchange="ex1", topic="test", **options)
        async with publisher:
            for number in itertools.count(int(start)):
                await publisher.send(number)
                print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def program(made: Road, path: Path, start: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program, at work; at the end it is killed."""
    mqtt = {name: value for name, value in at(made.world).items() if name != "reconnect"}
    given = [made.sandbox.url, made.world.api_key, json.dumps(mqtt), made.name, str(path), str(start)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def told(process: asyncio.subprocess.Process, enough: int | None = None) -> int:
    """How many numbers it says it has accepted, all runs together: after so many of this one, or at its end."""
    assert process.stdout is not None
    if enough is None:
        lines = (await process.stdout.read()).splitlines()
    else:
        lines = [await process.stdout.readline() for _ in range(enough)]
    return int(lines[-1]) + 1 if lines else 0
