"""MQTT, WebSockets and server-sent events leave nothing behind, wherever they are cut off, on either kind of loop."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from helpers import cancel_at_every_await, open_sockets, until
from loopback import Server

from asyncconn import Hub
from asyncconn.errors import AsyncConnError
from asyncconn.sandbox import Fault, StreamFault
from asyncconn.sandbox.tcup.streams import events as sandbox_events
from asyncconn.tcup import Tcup

from .leaks_scene import AT_ONCE, KINDS, LOOPS, NEVER, gone, mqtt_of, place, run, use
from .stream_scene import TOPIC

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox asks for three seconds before each reconnect."""
    monkeypatch.setattr(sandbox_events, "_RETRY", b"retry: 1\n\n")


every = pytest.mark.parametrize("name", KINDS)
loops = pytest.mark.parametrize("loop", LOOPS)


@every
@loops
def test_cancelled_at_every_await_it_leaves_nothing(loop: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with place() as sandbox:
            world = sandbox.tcup
            before = open_sockets()

            async def work() -> None:
                async with Hub() as hub:
                    tcup = Tcup(sandbox.url, world.api_key, hub=hub, mqtt=mqtt_of(world, AT_ONCE))
                    async with KINDS[name].open(tcup, AT_ONCE) as stream:
                        await use(stream, world)

            async def make() -> Callable[[], Awaitable[object]]:
                return work

            async def check(_: BaseException | None) -> None:
                await gone(before)

            assert await cancel_at_every_await(make, check, most=200) >= 2

    run(loop, scene, caplog)


@every
@loops
def test_fifty_reconnects_leave_nothing(loop: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with place() as sandbox, Hub() as hub:
            world, kind = sandbox.tcup, KINDS[name]
            before = open_sockets()
            world.streams.faults.add(StreamFault("kill", match=kind.protocol, times=50))
            tcup = Tcup(sandbox.url, world.api_key, hub=hub, mqtt=mqtt_of(world, AT_ONCE))
            async with kind.open(tcup, AT_ONCE) as stream:
                await until(lambda: world.streams.books[kind.protocol].connects == 51 and stream.state == "live")
                await use(stream, world)
                await gone(before + 2)  # both ends of the one that is left

    run(loop, scene, caplog)


@every
@loops
def test_left_while_it_waits_to_reconnect_it_leaves_nothing(
    loop: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with place() as sandbox, Hub() as hub:
            tcup = Tcup(sandbox.url, sandbox.tcup.api_key, hub=hub, mqtt=mqtt_of(sandbox.tcup, NEVER))
            async with KINDS[name].open(tcup, NEVER) as stream:
                sandbox.tcup.streams.kill(KINDS[name].protocol)
                await until(lambda: stream.state == "lost")
            assert stream.state == "closed"

    run(loop, scene, caplog)


@every
@loops
def test_left_while_it_connects_anew_to_a_silent_server_it_leaves_nothing(
    loop: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with place() as sandbox, Hub() as hub:
            tcup = Tcup(sandbox.url, sandbox.tcup.api_key, hub=hub, mqtt=mqtt_of(sandbox.tcup, AT_ONCE))
            async with KINDS[name].open(tcup, AT_ONCE) as stream:
                KINDS[name].silence(sandbox)
                sandbox.tcup.streams.kill(KINDS[name].protocol)
                await until(lambda: stream.state == "connecting")
                await asyncio.sleep(0.05)  # in the middle of it
            assert stream.state == "closed"

    run(loop, scene, caplog)


@every
@loops
def test_cancelled_while_a_silent_server_is_asked_it_leaves_nothing(
    loop: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        asked = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            asked.set()
            await reader.read()

        async with Server(silent) as server, Hub() as hub:
            before = open_sockets()
            mqtt = {"host": "127.0.0.1", "port": server.port, "tls": False}
            tcup = Tcup(server.url, "k" * 64, hub=hub, mqtt=mqtt)
            entering = asyncio.ensure_future(KINDS[name].open(tcup, AT_ONCE).__aenter__())
            await asked.wait()
            entering.cancel()
            await asyncio.wait({entering})
            assert entering.cancelled()
            await gone(before)

    run(loop, scene, caplog)


@loops
def test_a_publish_that_is_cancelled_leaves_nothing(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with place() as sandbox:
            before = open_sockets()

            async def work() -> None:
                async with Hub() as hub:
                    tcup = Tcup(sandbox.url, sandbox.tcup.api_key, hub=hub, mqtt=mqtt_of(sandbox.tcup, AT_ONCE))
                    await tcup.mqtt.publish("test", 1)
                    await tcup.mqtt.publish_many("test", range(5), window=2)

            async def make() -> Callable[[], Awaitable[object]]:
                return work

            async def check(_: BaseException | None) -> None:
                await gone(before)

            assert await cancel_at_every_await(make, check, most=200) >= 2

    run(loop, scene, caplog)


# -- logs --------------------------------------------------------------------------------------------------------------

LIBRARIES = ("asyncio", "aiohttp", "aiohttp.client", "paho", "paho.mqtt.client", "websockets", "websockets.client")


@every
async def test_no_library_logs_a_credential_at_any_level(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for library in LIBRARIES:
        caplog.set_level(logging.DEBUG, library)
    asyncio.get_running_loop().set_debug(True)
    errors: list[str] = []
    async with place() as sandbox, Hub() as hub:
        world, kind = sandbox.tcup, KINDS[name]
        key, password = world.api_key, world.tenant.mqtt_password
        tcup = Tcup(sandbox.url, key, hub=hub, mqtt=mqtt_of(world, AT_ONCE))
        async with kind.open(tcup, AT_ONCE) as stream:
            stream.on("lost", lambda change: errors.append(f"{change!r} {change.error.__cause__!r}"))
            await use(stream, world)
            sandbox.faults.add(Fault("status", status=503))
            world.streams.faults.add(StreamFault("refuse", code=3))
            world.streams.kill(kind.protocol)
            await until(lambda: len(errors) == 2)
            await until(lambda: stream.state == "live")
        wrong = Tcup(sandbox.url, "wrong-key" * 6, hub=hub, mqtt=mqtt_of(world, AT_ONCE, password="wrong-password"))
        with pytest.raises(AsyncConnError) as refused:
            async with kind.open(wrong, AT_ONCE):
                pass
        seen = f"{caplog.text}{errors}{refused.value!r}{refused.value.__cause__!r}{wrong!r}{stream!r}"
    assert len(caplog.records) > 5
    for secret in (key, password, "wrong-key", "wrong-password"):
        assert secret not in seen


# -- imports -----------------------------------------------------------------------------------------------------------

_IMPORTED = """
import sys
import asyncconn, asyncconn.tcup
from asyncconn import Hub, Tcup
tcup = Tcup("http://localhost:9", "k" * 64, mqtt={"host": "localhost"})
tcup.mqtt, tcup.stream
print([name for name in ("paho", "websockets") if name in sys.modules])
"""


def test_whoever_opens_no_stream_loads_neither_library() -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORTED], capture_output=True, text=True, check=True, timeout=15)
    assert done.stdout.strip() == "[]"


async def test_each_protocol_loads_its_own_library_only() -> None:
    code = f"""
import asyncio, sys
from asyncconn import Hub, Tcup
async def main():
    async with Hub() as hub:
        tcup = Tcup("http://127.0.0.1:9", "k" * 64, hub=hub, mqtt={{"host": "127.0.0.1", "port": 9, "tls": False}})
        tcup.stream.events(**{TOPIC})
        print([name for name in ("paho", "websockets") if name in sys.modules])
        tcup.stream.publisher(**{TOPIC})
        print([name for name in ("paho", "websockets") if name in sys.modules])
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert said.decode().splitlines() == ["[]", "['websockets']"]
