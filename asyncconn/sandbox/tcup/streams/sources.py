"""Where a client wants to publish, or what it wants to hear; and the buffer in which that waits for it.

Contract: tcup sections 4.2 to 4.4 and 13.24.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from asyncconn.sandbox.tcup.broker import DIRECT
from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.sandbox.tcup.asking import Ask
    from asyncconn.sandbox.tcup.broker import Broker, Message

__all__ = ["DELETED", "SLOW", "Source", "Subscriber", "Target"]

#: Close codes of ours: the exchange or queue is gone; the subscriber was too far behind.
DELETED, SLOW = 4404, 4429


class Target(NamedTuple):
    """A place to publish to; ``topic`` is the routing key of a direct exchange."""

    kind: str
    name: str
    topic: str = ""

    def __str__(self) -> str:
        """For somebody who looks; a routing key is not for all eyes."""
        return f"{self.name} {self.topic}" if self.kind == "topic" else f"{self.kind} {self.name}"

    @classmethod
    def of(cls, ask: Ask, broker: Broker, routing_key: str) -> Target:
        """From the query. Raises 400, and 404 for an exchange that is not there."""
        kind = ask.param("type")
        if kind == "queue":
            return cls(kind, _given(ask, "queue"))
        if kind == "direct":
            name = ask.param("exchange", DIRECT)
            if not broker.knows_direct(name):
                raise Refused(404, f"there is no direct exchange {name}")
            return cls(kind, name, ask.param("routingKey", routing_key))
        if kind == "topic":
            return cls(kind, _exchange(ask, broker), _given(ask, "topic"))
        raise Refused(400, "type must be direct, topic or queue")

    def publish(self, broker: Broker, body: object, raw: bytes) -> None:
        """Send it there. Raises 404 where the exchange is gone by now."""
        if self.kind == "queue":
            broker.to_queue(self.name, body, raw=raw)
        elif self.kind == "direct":
            broker.to_direct(self.name, self.topic, body, raw=raw)
        else:
            broker.to_topic(self.name, self.topic, body, raw=raw)


class Source(NamedTuple):
    """Topics of an exchange, or a queue (``exchange`` fills it, where given)."""

    kind: str
    exchange: str
    topic: str = "#"
    queue: str = ""

    def __str__(self) -> str:
        """For somebody who looks."""
        return f"queue {self.queue}" if self.kind == "queue" else f"{self.exchange} {self.topic}"

    @classmethod
    def of(cls, ask: Ask, broker: Broker) -> Source:
        """From the query. Raises 400, and 404 for an exchange that is not there."""
        kind = ask.param("type")
        if kind == "topic":
            return cls(kind, _exchange(ask, broker), ask.param("topic", "#"))
        if kind == "queue":
            exchange = _exchange(ask, broker) if ask.param("exchange") else ""
            return cls(kind, exchange, queue=_given(ask, "queue"))
        raise Refused(400, "type must be topic or queue")


def _given(ask: Ask, name: str) -> str:
    if not (value := ask.param(name)):
        raise Refused(400, f"{name} is missing")
    return value


def _exchange(ask: Ask, broker: Broker) -> str:
    name = _given(ask, "exchange")
    if name not in broker.topic_exchanges:
        raise Refused(404, f"there is no topic exchange {name}")
    return name


class Subscriber:
    """Hears a source from its making to :meth:`leave`; ``size`` messages may wait in it.

    A topic's subscriber that falls further behind is ended with :data:`SLOW`, one whose exchange or queue goes with
    :data:`DELETED`: ``ended`` is called with the code. A queue keeps what its subscribers have no room for.
    """

    def __init__(self, broker: Broker, source: Source, size: int, ended: Callable[[int], None]) -> None:
        self._broker = broker
        self._source = source
        self._size = size
        self._ended = ended
        self._waiting: deque[Message] = deque()
        self._news = asyncio.Event()
        if source.kind == "queue":
            if source.exchange:
                broker.fill(source.queue, source.exchange)
            self._unbind = broker.on_queue(source.queue, self, self._gone)
        else:
            self._unbind = broker.on_topic(source.exchange, source.topic, self, self._gone)

    @property
    def full(self) -> bool:
        """Whether no more fits in."""
        return len(self._waiting) >= self._size

    def take(self, message: Message) -> None:
        """Let it wait."""
        if self.full:
            self._ended(SLOW)
            return
        self._waiting.append(message)
        self._news.set()

    async def ready(self, seconds: float | None = None) -> bool:
        """Wait until there is something to :meth:`pop`; False when there is nothing after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def wake(self) -> None:
        """Have :meth:`ready` return; there may be nothing."""
        self._news.set()

    def pop(self) -> Message:
        """The next message, which counts as delivered."""
        message = self._waiting.popleft()
        if self._source.kind == "queue":
            self._broker.hand_out(self._source.queue)
        if not self._waiting:
            self._news.clear()
        return message

    def leave(self) -> None:
        """Hear no more; what is not delivered goes back to the queue."""
        self._unbind()
        if self._source.kind == "queue" and self._source.queue in self._broker.queues:
            self._broker.put_back(self._source.queue, self._waiting)

    def _gone(self) -> None:
        self._ended(DELETED)
