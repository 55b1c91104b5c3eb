"""Server-sent events: what comes to topics and queues, to be read by anybody who can read HTTP.

Contract: tcup sections 2.2 (feed), 4.2 and 4.6.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.tcup.service import Service
from asyncconn.sandbox.tcup.streams.connections import Connection
from asyncconn.sandbox.tcup.streams.sources import Source, Subscriber

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncconn.sandbox.tcup.asking import Ask, Route
    from asyncconn.sandbox.tcup.broker import Broker, Message
    from asyncconn.sandbox.tcup.streams.connections import Streams
    from asyncconn.sandbox.tcup.tenants import Tenant

__all__ = ["EventStream", "Events", "as_event", "stream"]

_RETRY = b"retry: 3000\n\n"
_COMMENT = b": keep-alive\n\n"
_MOST_REPLAYED = 1000
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


class Events(Service):
    """One tenant's streams of events."""

    def __init__(self, tenant: Tenant, broker: Broker, streams: Streams) -> None:
        self._tenant = tenant
        self._broker = broker
        self._streams = streams

    def routes(self) -> list[Route]:
        """The call of the contract's table."""
        return [("GET", "/subscribe", self._subscribe)]

    def _subscribe(self, ask: Ask) -> Answer:
        source = Source.of(ask, self._broker)
        return stream(ask, EventStream(self._streams, "subscribe", self._tenant.user), self._broker, source)


def stream(ask: Ask, events: EventStream, broker: Broker, source: Source) -> Answer:
    """The answer that goes on, after the event that the client says it had last."""
    said = ask.header("Last-Event-ID")
    last = int(said) if re.fullmatch(r"[0-9]{1,18}", said) else None
    headers = {"Cache-Control": "no-store"}
    return Answer(200, content_type="text/event-stream", headers=headers, pieces=events.pieces(broker, source, last))


def as_event(message: Message) -> bytes:
    """A message as an event; lines of its body are lines of data.

    >>> from asyncconn.sandbox.tcup.broker import Message
    >>> as_event(Message("ex1", "test", {"a": 1}, number=7))
    b'id: 7\\nevent: message\\ndata: {"a":1}\\n\\n'
    """
    lines = _LINE_ENDS.split(message.payload.decode("utf-8", "replace"))
    data = "".join(f"data: {line}\n" for line in lines)
    return f"id: {message.number}\nevent: message\n{data}\n".encode()


class EventStream(Connection):
    """One of them. What is done to it shows when the client has read what was written."""

    protocol = "sse"

    def __init__(self, streams: Streams, name: str, user: str) -> None:
        super().__init__(streams, name, user)
        self._subscriber: Subscriber | None = None
        self._ends = False
        self._breaks = False

    async def pieces(self, broker: Broker, source: Source, last: int | None) -> AsyncGenerator[bytes, None]:
        """The body; it breaks off where a fault says so."""
        subscriber = Subscriber(broker, source, self.streams.options.buffer, self.leave)
        self._subscriber = subscriber
        self.about = str(source)
        replayed = [] if last is None or source.kind == "queue" else broker.since(source.exchange, source.topic, last)
        self.opened()
        try:
            yield _RETRY
            for message in replayed[-_MOST_REPLAYED:]:
                if await self._ended():
                    return
                yield as_event(message)
                self.gave()
            while not await self._ended():
                if not await subscriber.ready(self.streams.options.keep_alive):
                    yield _COMMENT
                elif not await self._ended():
                    yield as_event(subscriber.pop())
                    self.gave()
        finally:
            self.closed()
            subscriber.leave()

    def kill(self) -> None:
        """Break off in the middle of the body."""
        self._breaks = True
        self.leave(0)

    def leave(self, code: int) -> None:
        """End the body in order."""
        self._ends = True
        self.flow()
        if self._subscriber is not None:
            self._subscriber.wake()

    async def _ended(self) -> bool:
        """Whether it is over. Raises ``ConnectionError`` where it is to break off."""
        await self.flowing.wait()
        if self._breaks:
            raise ConnectionError
        return self._ends
