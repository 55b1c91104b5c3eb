"""MQTT 3.1.1 on the wire: the packets that a client may send, and those that it is answered with.

Whatever is not as the protocol has it raises :class:`Malformed`. Contract: tcup section 5.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import IntEnum

__all__ = [
    "ACCEPTED",
    "BAD_CREDENTIALS",
    "BAD_IDENTIFIER",
    "BAD_PROTOCOL",
    "NOT_AUTHORIZED",
    "REFUSED_FILTER",
    "Connect",
    "Kind",
    "Malformed",
    "Publish",
    "Will",
    "connack",
    "packet",
    "publish",
    "read",
    "read_connect",
    "read_number",
    "read_publish",
    "read_subscribe",
    "read_unsubscribe",
]

#: What a CONNACK says; 3 is "unavailable".
ACCEPTED, BAD_PROTOCOL, BAD_IDENTIFIER, BAD_CREDENTIALS, NOT_AUTHORIZED = 0, 1, 2, 4, 5
#: What a SUBACK says of a filter that is not granted.
REFUSED_FILTER = 0x80

_LEVEL = 4  # 3.1.1
_LARGEST = 16 * 1024 * 1024


class Kind(IntEnum):
    """The packets, by the upper half of their first byte."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


#: What a client may send, with the lower half of the first byte; PUBLISH has flags there.
_FLAGS = {
    Kind.CONNECT: 0,
    Kind.PUBACK: 0,
    Kind.SUBSCRIBE: 2,
    Kind.UNSUBSCRIBE: 2,
    Kind.PINGREQ: 0,
    Kind.DISCONNECT: 0,
}
_EMPTY = frozenset({Kind.PINGREQ, Kind.DISCONNECT})


class Malformed(Exception):
    """Not as the protocol has it: the connection is to be closed."""


@dataclass(frozen=True, slots=True)
class Publish:
    """A message; ``number`` is its packet's, 0 at QoS 0."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int = 0
    retain: bool = False
    dup: bool = False
    number: int = 0


@dataclass(frozen=True, slots=True)
class Will:
    """What is to be published when the client is lost."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    retain: bool


@dataclass(frozen=True, slots=True)
class Connect:
    """A client's first packet. Another ``level`` than 4 leaves the rest unread."""

    level: int
    client_id: str = ""
    clean: bool = True
    keepalive: int = 0
    will: Will | None = None
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)


class _Body:
    """A packet's body, read from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise Malformed("the packet ends too early")
        self._at += size
        return taken

    def number(self, size: int = 2) -> int:
        return int.from_bytes(self.take(size), "big")

    def packet_number(self) -> int:
        if not (number := self.number()):
            raise Malformed("a packet's number is 0")
        return number

    def binary(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        try:
            text = self.binary().decode()
        except UnicodeDecodeError:
            raise Malformed("a text is not UTF-8") from None
        if "\0" in text:
            raise Malformed("a text has a null in it")
        return text

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        if self:
            raise Malformed("the packet goes on after its end")


# -- reading -----------------------------------------------------------------------------------------------------------


async def read(reader: asyncio.StreamReader) -> tuple[Kind, int, bytes]:
    """The next packet: its kind, flags and body. Raises ``IncompleteReadError`` at the end."""
    head = (await reader.readexactly(1))[0]
    try:
        kind, flags = Kind(head >> 4), head & 15
    except ValueError:
        raise Malformed("there is no such packet") from None
    if kind is not Kind.PUBLISH and _FLAGS.get(kind) != flags:
        raise Malformed("this is no packet of a client")
    size = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        size |= (digit & 127) << shift
        if digit < 128:
            break
        shift += 7
        if shift > 21:
            raise Malformed("the length has more than four bytes")
    if size > _LARGEST or (kind in _EMPTY and size):
        raise Malformed("the packet is too large")
    return kind, flags, await reader.readexactly(size)


def read_connect(data: bytes) -> Connect:
    """A CONNECT."""
    body = _Body(data)
    name, level = body.text(), body.number(1)
    if name not in ("MQTT", "MQIsdp"):
        raise Malformed("this is not MQTT")
    if (name, level) != ("MQTT", _LEVEL):
        return Connect(level)
    flags, keepalive, client_id = body.number(1), body.number(), body.text()
    has_will, will_qos = flags & 4, flags >> 3 & 3
    if flags & 1 or will_qos == 3 or (not has_will and flags & 0x38) or flags & 0xC0 == 0x40:
        raise Malformed("the flags contradict each other")
    will = None
    if has_will:
        will = Will(_topic(body), body.binary(), min(1, will_qos), bool(flags & 0x20))
    username = body.text() if flags & 0x80 else None
    password = body.binary() if flags & 0x40 else None
    body.end()
    return Connect(level, client_id, bool(flags & 2), keepalive, will, username, password)


def read_publish(flags: int, data: bytes) -> Publish:
    """A PUBLISH, at QoS 2, too."""
    body = _Body(data)
    qos, dup = flags >> 1 & 3, bool(flags & 8)
    if qos == 3 or (dup and not qos):
        raise Malformed("the flags contradict each other")
    topic = _topic(body)
    number = body.packet_number() if qos else 0
    return Publish(topic, body.rest(), qos, bool(flags & 1), dup, number)


def read_subscribe(data: bytes) -> tuple[int, list[tuple[str, int]]]:
    """A SUBSCRIBE: its number, and filters with the QoS that is asked for."""
    body = _Body(data)
    number, asked = body.packet_number(), []
    while body:
        asked.append((body.text(), body.number(1)))
    if not asked or any(qos > 2 for _, qos in asked):
        raise Malformed("it asks for nothing, or for a QoS that is none")
    return number, asked


def read_unsubscribe(data: bytes) -> tuple[int, list[str]]:
    """An UNSUBSCRIBE: its number, and filters."""
    body = _Body(data)
    number, filters = body.packet_number(), []
    while body:
        filters.append(body.text())
    if not filters:
        raise Malformed("it asks for nothing")
    return number, filters


def read_number(data: bytes) -> int:
    """The number that a PUBACK acknowledges."""
    body = _Body(data)
    number = body.packet_number()
    body.end()
    return number


def _topic(body: _Body) -> str:
    """A topic to publish to."""
    topic = body.text()
    if not topic or "+" in topic or "#" in topic:
        raise Malformed("this is no topic to publish to")
    return topic


# -- writing -----------------------------------------------------------------------------------------------------------


def packet(kind: Kind, body: bytes = b"", flags: int = 0) -> bytes:
    """A whole packet."""
    head, size = bytearray([kind << 4 | flags]), len(body)
    while True:
        size, digit = divmod(size, 128)
        head.append(digit | (128 if size else 0))
        if not size:
            return bytes(head) + body


def connack(code: int, *, present: bool = False) -> bytes:
    """The answer to a CONNECT; ``present`` says that there was a session."""
    return packet(Kind.CONNACK, bytes([present, code]))


def publish(message: Publish) -> bytes:
    """A message for a client."""
    topic = message.topic.encode()
    number = message.number.to_bytes(2, "big") if message.qos else b""
    flags = message.dup << 3 | message.qos << 1 | message.retain
    return packet(Kind.PUBLISH, len(topic).to_bytes(2, "big") + topic + number + message.payload, flags)
