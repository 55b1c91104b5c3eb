"""The embedded TCUP and a client that speaks MQTT byte by byte; no MQTT library is in it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from asyncconn.sandbox import Sandbox, TcupWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xB0, 0xD0


def text(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return len(data).to_bytes(2, "big") + data


def packet(head: int, body: bytes = b"") -> bytes:
    size, length = len(body), bytearray()
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (128 if size else 0))
        if not size:
            return bytes([head, *length]) + body


def connect(
    client_id: str = "c1",
    *,
    clean: bool = True,
    keepalive: int = 0,
    username: str | None = None,
    password: str | None = None,
    will: tuple[str, bytes] | None = None,
    will_flags: int = 0x0C,
    level: int = 4,
    name: str = "MQTT",
    reserved: int = 0,
) -> bytes:
    flags = clean << 1 | (username is not None) << 7 | (password is not None) << 6 | reserved
    body = text(client_id)
    if will is not None:
        flags |= will_flags
        body += text(will[0]) + text(will[1])
    body += b"".join(text(each) for each in (username, password) if each is not None)
    return packet(0x10, text(name) + bytes([level, flags]) + keepalive.to_bytes(2, "big") + body)


def publish(
    topic: str | bytes, payload: bytes = b"x", qos: int = 0, number: int = 1, *, retain: bool = False, dup: bool = False
) -> bytes:
    packet_number = number.to_bytes(2, "big") if qos else b""
    return packet(PUBLISH | dup << 3 | qos << 1 | retain, text(topic) + packet_number + payload)


def subscribe(*asked: tuple[str | bytes, int], number: int = 1) -> bytes:
    return packet(0x82, number.to_bytes(2, "big") + b"".join(text(name) + bytes([qos]) for name, qos in asked))


def puback(number: int) -> bytes:
    return packet(PUBACK, number.to_bytes(2, "big"))


class Got(NamedTuple):
    """A PUBLISH of the broker."""

    topic: str
    payload: bytes
    qos: int
    number: int
    retain: bool
    dup: bool


class Raw:
    """A connection to the broker."""

    def __init__(self, world: TcupWorld, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.world = world
        self.reader = reader
        self.writer = writer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        await asyncio.sleep(0)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def packet(self) -> tuple[int, bytes]:
        async with asyncio.timeout(5):
            head = (await self.reader.readexactly(1))[0]
            size = shift = 0
            while True:
                digit = (await self.reader.readexactly(1))[0]
                size |= (digit & 127) << shift
                if digit < 128:
                    return head, await self.reader.readexactly(size)
                shift += 7

    async def connect(self, client_id: str = "c1", **options: Any) -> bytes:
        """The body of what a CONNECT with the right credentials is answered with."""
        tenant = self.world.tenant
        login = {"username": tenant.mqtt_username, "password": tenant.mqtt_password}
        self.send(connect(client_id, **{**login, **options}))
        head, body = await self.packet()
        assert head == CONNACK
        return body

    async def subscribe(self, *asked: tuple[str | bytes, int]) -> bytes:
        """What is granted."""
        self.send(subscribe(*asked, number=7))
        head, body = await self.packet()
        assert (head, body[:2]) == (SUBACK, b"\0\x07")
        return body[2:]

    async def publish(self, topic: str, payload: bytes = b"x", **options: Any) -> None:
        """At QoS 1, with its acknowledgement."""
        self.send(publish(topic, payload, 1, **options))
        number = options.get("number", 1)
        assert await self.packet() == (PUBACK, number.to_bytes(2, "big"))

    async def got(self) -> Got:
        head, body = await self.packet()
        assert head & 0xF0 == PUBLISH, hex(head)
        qos, end = head >> 1 & 3, 2 + int.from_bytes(body[:2], "big")
        number = int.from_bytes(body[end : end + 2], "big") if qos else 0
        payload = body[end + 2 :] if qos else body[end:]
        return Got(body[2:end].decode(), payload, qos, number, bool(head & 1), bool(head & 8))

    async def silent(self) -> bool:
        """Whether the broker says nothing but to answer a ping: what it had to say was said before."""
        self.send(packet(0xC0))
        return await self.packet() == (PINGRESP, b"")

    async def ended(self) -> bytes:
        """What came until the broker broke off."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


class Stage:
    """A world, and connections to its broker."""

    def __init__(self, sandbox: Sandbox, stack: AsyncExitStack) -> None:
        self.sandbox = sandbox
        self.world = sandbox.tcup
        self._stack = stack

    async def raw(self) -> Raw:
        """A connection on which nothing was said."""
        reader, writer = await asyncio.open_connection(self.world.mqtt.host, self.world.mqtt.port)
        return await self._stack.enter_async_context(Raw(self.world, reader, writer))

    async def client(self, client_id: str = "c1", *asked: tuple[str | bytes, int], **options: Any) -> Raw:
        """A connected client with these filters."""
        raw = await self.raw()
        assert (await raw.connect(client_id, **options))[1] == 0
        if asked:
            await raw.subscribe(*asked)
        return raw


@asynccontextmanager
async def broker(**options: Any) -> AsyncIterator[Stage]:
    async with Sandbox(TcupWorld(**options), seed=1) as sandbox, AsyncExitStack() as stack:
        yield Stage(sandbox, stack)
