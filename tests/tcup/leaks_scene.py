"""Each way to hold a connection, and a loop of either kind on which nothing may be left of it."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

import pytest
from helpers import fail_on_leaked_tasks, open_sockets, until

from asyncconn.core.supervise import Reconnect
from asyncconn.sandbox import Fault, Sandbox, StreamFault, TcupWorld
from asyncconn.tcup import Tcup

from .stream_scene import TOPIC, Steady

try:
    import uvloop
except ImportError:  # it has no wheels for some systems
    LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop] | None] = {"asyncio": None}
else:
    LOOPS = {"asyncio": None, "uvloop": uvloop.new_event_loop}

AT_ONCE = Steady(initial=0.001, maximum=0.002, timeout=5.0)
NEVER = Steady(initial=60.0, maximum=60.0, timeout=5.0)


class Kind(NamedTuple):
    """One way: its protocol, and what opens it with a policy for reconnects."""

    protocol: str
    open: Callable[[Tcup, Reconnect], AbstractAsyncContextManager[Any]]

    def silence(self, sandbox: Sandbox) -> None:
        """From now on connections are taken, and never answered."""
        if self.protocol == "mqtt":
            sandbox.tcup.streams.faults.add(StreamFault("silent", times=None))
        else:
            sandbox.faults.add(Fault("stall", times=1_000))


@asynccontextmanager
async def _mqtt(tcup: Tcup, reconnect: Reconnect) -> AsyncIterator[Any]:
    """Options are the client's."""
    async with tcup.mqtt.subscribe("test") as messages:
        yield messages


KINDS: dict[str, Kind] = {
    "mqtt subscribe": Kind("mqtt", _mqtt),
    "mqtt publisher": Kind("mqtt", lambda tcup, policy: tcup.mqtt.publisher("test", reconnect=policy)),
    "websocket subscribe": Kind("websocket", lambda tcup, policy: tcup.stream.subscribe(**TOPIC, reconnect=policy)),
    "websocket publisher": Kind("websocket", lambda tcup, policy: tcup.stream.publisher(**TOPIC, reconnect=policy)),
    "events": Kind("sse", lambda tcup, policy: tcup.stream.events(**TOPIC, reconnect=policy)),
}


@asynccontextmanager
async def place() -> AsyncIterator[Sandbox]:
    async with Sandbox(TcupWorld(), seed=1) as sandbox:
        sandbox.tcup.mr.broker.create("ex1")
        yield sandbox


def mqtt_of(world: TcupWorld, reconnect: Reconnect, **options: Any) -> dict[str, Any]:
    return {
        "host": world.mqtt.host,
        "port": world.mqtt.port,
        "tls": False,
        "username": world.tenant.mqtt_username,
        "password": world.tenant.mqtt_password,
        "reconnect": reconnect,
        **options,
    }


async def use(stream: Any, world: TcupWorld) -> None:
    """A message over it, in its direction."""
    if hasattr(stream, "send"):
        await (await stream.send(1)).done
        return
    for exchange in ("ex1", "amq.topic"):
        world.mr.broker.to_topic(exchange, "test", 1)
    await anext(stream)


async def gone(before: int) -> None:
    await until(lambda: open_sockets() <= before)


def run(loop: str, scene: Callable[[], Coroutine[Any, Any, None]], caplog: pytest.LogCaptureFixture) -> None:
    """Run it on a loop of this kind: no task, no socket and no complaint of the loop may be left."""
    complaints: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        before = open_sockets()
        async with asyncio.timeout(15.0):  # uvloop does not hear of the alarm that ends a test
            await scene()
        await gone(before)
        await fail_on_leaked_tasks()
        gc.collect()  # a future that nobody asked complains when it goes
        await asyncio.sleep(0)

    before = open_sockets()
    with caplog.at_level(logging.WARNING, "asyncio"), asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(watched())
    gc.collect()
    assert complaints == []
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    assert open_sockets() == before


Check = Callable[[BaseException | None], Awaitable[None]]
