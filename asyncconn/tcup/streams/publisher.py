"""Messages on their way to an MQTT broker, over as many connections as it takes. Contract: tcup sections 5.1, 5.3."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncconn.core.supervise import cannot_get_better
from asyncconn.core.tasks import together
from asyncconn.tcup.streams.publishing import Publisher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from asyncconn.core.outbox import Outbox, Posted
    from asyncconn.tcup.streams.link import MqttLink

__all__ = ["LARGEST_WINDOW", "Broker", "MqttPublisher", "Outgoing"]

#: Unacknowledged messages at once: with more of them, every acknowledgement takes longer.
LARGEST_WINDOW = 1_000

_HEAD = struct.Struct(">?H")  # of a message in a spool: retained, and the bytes of its topic


class Outgoing(NamedTuple):
    """A message to publish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False

    def packed(self) -> bytes:
        """For a spool, which keeps what is sent with QoS 1."""
        topic = self.topic.encode()
        return _HEAD.pack(self.retain, len(topic)) + topic + self.payload

    @classmethod
    def unpacked(cls, kept: bytes) -> Outgoing:
        """The opposite of :meth:`packed`."""
        retain, size = _HEAD.unpack_from(kept)
        start = _HEAD.size + size
        return cls(kept[_HEAD.size : start].decode(), kept[start:], 1, retain)


class MqttPublisher(Publisher[Outgoing]):
    """A :class:`Publisher` of MQTT messages with QoS 1: to one topic, or for each message to another.

    >>> async with tcup.mqtt.publisher("sensors/1", spool="outbox.spool") as publisher:
    ...     await publisher.send({"temperature": 21.5})
    ...     await publisher.send({"temperature": 19.0}, topic="sensors/2", retain=True)
    """

    def __init__(self, *args: Any, outgoing: Callable[[str | None, Any, bool], Outgoing], **options: Any) -> None:
        super().__init__(*args, encode=lambda document: outgoing(None, document, False), payload=_payload, **options)
        self._outgoing = outgoing

    async def send(self, document: Any, *, topic: str | None = None, retain: bool = False) -> Posted[Outgoing]:
        """As :meth:`Publisher.send`, to ``topic`` instead of the publisher's own. ``retain``: the broker keeps it."""
        return await self.post(self._outgoing(topic, document, retain))


def _payload(message: Outgoing) -> bytes:
    return message.payload


class Broker:
    """Opens connections that send an outbox to the broker, each over a new link."""

    def __init__(self, link: Callable[[], Awaitable[MqttLink]], outbox: Outbox[Outgoing]) -> None:
        self.final = cannot_get_better
        self._link = link
        self._outbox = outbox

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[_Sending]:
        """One connection."""
        link = await self._link()
        sending = _Sending(link, self._outbox)
        async with link.up():
            try:
                yield sending
            finally:
                self._outbox.again()


class _Sending:
    """A connection over which the outbox is emptied."""

    def __init__(self, link: MqttLink, outbox: Outbox[Outgoing]) -> None:
        self._link = link
        self._outbox = outbox
        self._flying: dict[int, Posted[Outgoing]] = {}
        link.on_published = self._published

    async def ended(self) -> None:
        """Send until the connection is over."""
        await together((self._link.ended(), self._send()), name="mqtt:send")

    async def _send(self) -> None:
        while True:
            posted = await self._outbox.take()
            topic, payload, qos, retain = posted.item
            self._flying[self._link.publish(topic, payload, qos, retain=retain)] = posted

    def _published(self, number: int) -> None:
        posted = self._flying.pop(number, None)
        if posted is not None:
            self._outbox.settle(posted)
