"""TCUP's streams beside the bare libraries: MQTT one by one and in a window, and what comes by WebSocket.

``python -m benchmarks.streams aiomqtt|publish|publish_many PORT COUNT`` and ``python -m benchmarks.streams
websockets|subscribe PORT COUNT``. The figures are ``per_s`` and ``cpu_us`` a message. MQTT goes to mosquitto, which has
to be installed; frames come from ``python -m benchmarks.streams serve COUNT``, which has them ready: what is measured
is who receives.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiomqtt
import orjson
from websockets.asyncio.client import connect

from asyncconn import Hub
from asyncconn.tcup import Tcup, payload
from benchmarks.measure import Figures, cpu_seconds, report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

DOCUMENT = payload("ts1", {"temperature": 21.5, "humidity": 40}, "tf1", time="05-JAN-2026 00:00:00.000 UTC")
TOPIC = "plant/1"
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))  # where brokers are
WARM = 200  # messages before the clock starts
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of RFC 6455
_AT_ONCE = 500  # frames


class Clock:
    """Wall and CPU time of so many messages."""

    def __init__(self) -> None:
        self._began, self._used = time.perf_counter(), cpu_seconds()

    def figures(self, count: int) -> Figures:
        used = cpu_seconds() - self._used
        return {"per_s": count / (time.perf_counter() - self._began), "cpu_us": used / count * 1e6}


# -- MQTT --------------------------------------------------------------------------------------------------------------


async def timed(publish: Callable[[int], Awaitable[None]], count: int) -> Figures:
    await publish(WARM)
    clock = Clock()
    await publish(count)
    return clock.figures(count)


async def bare_publish(port: int, count: int) -> Figures:
    async with aiomqtt.Client("127.0.0.1", port) as client:

        async def publish(number: int) -> None:
            for _ in range(number):
                await client.publish(TOPIC, orjson.dumps(DOCUMENT), qos=1)

        return await timed(publish, count)


async def our_publish(peer: str, port: int, count: int) -> Figures:
    async with Hub(proxy="") as hub:
        mqtt = Tcup("http://127.0.0.1:9", "key", hub=hub, mqtt={"host": "127.0.0.1", "port": port, "tls": False}).mqtt

        async def one_by_one(number: int) -> None:
            for _ in range(number):
                await mqtt.publish(TOPIC, DOCUMENT)

        async def window(number: int) -> None:
            found = await mqtt.publish_many(TOPIC, (DOCUMENT for _ in range(number)), window=100)
            if found.delivered != number:
                raise RuntimeError(f"{found.delivered} of {number} messages were acknowledged")

        return await timed(one_by_one if peer == "publish" else window, count)


@contextlib.contextmanager
def broker() -> Iterator[int]:
    """The port of a mosquitto of one's own."""
    program = shutil.which("mosquitto", path=PATH)
    if program is None:
        raise RuntimeError("the streams are measured with mosquitto: apt-get install mosquitto")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        with subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL) as process:
            try:
                _wait_for(port)
                yield port
            finally:
                process.terminate()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.05)
    raise RuntimeError("mosquitto takes no connections")


# -- WebSockets --------------------------------------------------------------------------------------------------------


async def bare_receive(port: int, count: int) -> Figures:
    async with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None) as found:
        for _ in range(WARM):
            await found.recv(decode=False)
        clock = Clock()
        for _ in range(count):
            _check(orjson.loads(await found.recv(decode=False)))
        return clock.figures(count)


async def our_receive(port: int, count: int) -> Figures:
    async with Hub(proxy="") as hub:
        tcup = Tcup(f"http://127.0.0.1:{port}", "key", hub=hub)
        async with tcup.stream.subscribe(exchange="ex1", topic="test") as messages:
            for _ in range(WARM):
                await anext(messages)
            clock = Clock()
            for _ in range(count):
                _check((await anext(messages)).json)
            return clock.figures(count)


def _check(document: object) -> None:
    if document != DOCUMENT:
        raise RuntimeError(f"not the document that was sent: {document}")


async def serve(count: int) -> None:
    """Send so many frames to whoever connects; print the port, and end with standard input."""
    body = orjson.dumps(DOCUMENT)
    frames = (b"\x81\x7e" + len(body).to_bytes(2, "big") + body) * _AT_ONCE

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            found = re.search(rb"(?i)sec-websocket-key: *(\S+)", await reader.readuntil(b"\r\n\r\n"))
            key = found[1] if found else b""
            accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
            upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            writer.write(upgrade + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            for _ in range(-(-(count + WARM) // _AT_ONCE)):
                writer.write(frames)
                await writer.drain()
            await reader.read(1)  # the client says goodbye
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, gone.set)
    await gone.wait()
    server.close()


@contextlib.contextmanager
def server(count: int) -> Iterator[int]:
    """The port of one in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.streams", "serve", str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.terminate()


def main() -> None:
    peer, *numbers = sys.argv[1], *map(int, sys.argv[2:])
    if peer == "serve":
        asyncio.run(serve(*numbers))
        return
    port, count = numbers
    if peer == "aiomqtt":
        found = asyncio.run(bare_publish(port, count))
    elif peer in ("publish", "publish_many"):
        found = asyncio.run(our_publish(peer, port, count))
    else:
        found = asyncio.run((bare_receive if peer == "websockets" else our_receive)(port, count))
    report(found)


if __name__ == "__main__":
    main()
