"""The noun for live data over WebSockets and server-sent events. Contract: tcup sections 2.2, 4."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from weakref import WeakSet

from asyncconn.core.durations import positive
from asyncconn.core.extras import needed
from asyncconn.core.spooled_outbox import outbox_for
from asyncconn.core.supervise import Reconnect, StreamFigures, StreamTally
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError, RecordTooLarge
from asyncconn.tcup import fields
from asyncconn.tcup.documents import json_text
from asyncconn.tcup.streams.bridge import bridged
from asyncconn.tcup.streams.events import StreamEvent, Viewer
from asyncconn.tcup.streams.messages import Message, Messages
from asyncconn.tcup.streams.publishing import Publisher

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from asyncconn.connector import Connector
    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.core.buffer.spool import Spool
    from asyncconn.core.sinks import Sink
    from asyncconn.tcup.calling import Service

__all__ = ["Stream"]

M = TypeVar("M", bound=Message)

LARGEST = 1024 * 1024  # bytes of a frame
_PING = 20.0  # seconds between our pings, and to wait for the answer
_UNREAD = 1_000  # messages
_KINDS = ("tcup.stream.publish", "tcup.stream.subscribe", "tcup.stream.events")


class Stream(Unpicklable):
    """Live data: publish and hear over WebSockets, or view as server-sent events.

        >>> async with tcup.stream.publisher(exchange="ex1", topic="test") as publisher:
        ...     await publisher.send(payload("ts1", {"obs2": 31}))
        >>> async with tcup.stream.subscribe(exchange="ex1", topic="test") as messages:
        ...     async for message in messages:
        ...         print(message.json)

    All of them reconnect by themselves, by ``reconnect``, until it cannot get better: a refusal such as an unknown
    exchange, a revoked key (1008), a deleted exchange or queue (4404). What a break may have cost stands in
    ``messages.gaps``. WebSockets take the extra ``tcup``; they go out by the hub's proxy, and trust whom it trusts.
    """

    _elsewhere = "make a client there, and ask it"

    def __init__(
        self,
        owner: Connector,
        ws: Service,
        sse: Service,
        sos: Service,
        *,
        direct_exchange: str,
        routing_key: str | None,
    ) -> None:
        self._owner = owner
        self._ws = ws
        self._sse = sse
        self._sos = sos
        self._exchange = direct_exchange
        self._key = routing_key
        self._subscriptions: WeakSet[Messages[Any]] = WeakSet()
        self._published, self._heard, self._seen = map(StreamTally, _KINDS)

    def publisher(
        self,
        *,
        exchange: str | None = None,
        topic: str | None = None,
        queue: str | None = None,
        routing_key: str | None = None,
        max_unacked: int = 100,
        max_pending: int = 10_000,
        overflow: Literal["wait", "raise"] = "wait",
        spool: str | os.PathLike[str] | Spool | None = None,
        resend: bool = True,
        reconnect: Reconnect | None = None,
        ping: float = _PING,
    ) -> Publisher[bytes]:
        """A publisher to a ``topic`` of an exchange, to a ``queue``, or else to a direct ``exchange``.

        The direct exchange and its ``routing_key`` are by default the client's; without a key the server takes the
        tenant's own. ``max_unacked`` frames may be under way, and ``max_pending`` documents accepted and not
        acknowledged: then ``send`` waits, or with ``overflow="raise"`` raises ``BufferFull``. With a ``spool``, a
        file's path, they are on disk when ``send`` returns: as many as it may hold, and what a killed program left is
        sent by the next publisher with that file. Several publishers need a file each. Without ``resend`` what a break
        leaves unacknowledged is not sent again, but counted as unknown. ``ping``: seconds between pings, and after
        which a server that says nothing is taken for dead. Raises ``ConfigError``.
        """
        if topic is None and queue is None:
            key = (self._key if routing_key is None else routing_key) or ""
            name = fields.name(self._exchange if exchange is None else exchange, "exchange")
            params = {"type": "direct", "exchange": name, "routingKey": key}
        elif routing_key is not None:
            raise ConfigError("a routing_key is for a direct exchange: leave out topic and queue")
        elif queue is not None and exchange is not None:
            raise ConfigError("a queue has no exchange to publish to")
        else:
            params = _source(exchange, topic, queue)
        name = f"tcup:publish:{_named(params)}"
        needed("websockets", "tcup")
        from asyncconn.tcup.streams.websocket import Mouth, Place

        hub = self._owner.hub
        place = Place(self._ws, hub.network, params, name, LARGEST, positive("ping", ping))
        outbox = outbox_for(
            spool,
            owner=name,
            encode=bytes,
            decode=bytes,
            window=max_unacked,
            max_pending=max_pending,
            overflow=overflow,
        )
        return Publisher(
            Mouth(place, outbox, resend=resend),
            outbox,
            name=name,
            check=hub.check,
            encode=_frame,
            payload=bytes,
            timeout=hub.settings.shutdown_timeout,
            reconnect=reconnect,
            clock=hub.clock,
            watching=hub.watching,
            kind="tcup.stream",
            tally=self._published,
        ).attach(hub.attached(self._owner))

    def subscribe(
        self,
        *,
        exchange: str | None = None,
        topic: str | None = None,
        queue: str | None = None,
        max_pending: int = _UNREAD,
        reconnect: Reconnect | None = None,
        ping: float = _PING,
    ) -> Messages[Message]:
        """Hear a ``topic`` of an exchange (all of its topics without one), or a ``queue``, by WebSocket.

        A topic begins at the moment of subscribing and repeats nothing: each reconnect is a gap. Of a queue each
        message goes to one subscriber, and is gone once the server has written it: it is not at-least-once either.
        ``max_pending`` messages are held for who iterates; then nothing more is read, and a server that has a thousand
        waiting ends the connection (4429), which is a gap, too. ``ping`` is as for a publisher, while messages are
        read. Raises ``ConfigError``.
        """
        params = _source(exchange, topic, queue)
        name = f"tcup:subscribe:{_named(params)}"
        needed("websockets", "tcup")
        from asyncconn.tcup.streams.websocket import Ear, Place

        hub = self._owner.hub
        ear = Ear(Place(self._ws, hub.network, params, name, LARGEST, positive("ping", ping)))
        return self._kept(
            Messages(
                ear.connect,
                name=name,
                max_pending=max_pending,
                reconnect=reconnect,
                final=ear.final,
                clock=hub.clock,
                watching=hub.watching,
                tally=self._heard,
            )
        )

    def events(
        self,
        *,
        exchange: str | None = None,
        topic: str | None = None,
        queue: str | None = None,
        last_id: str = "",
        max_pending: int = _UNREAD,
        reconnect: Reconnect | None = None,
    ) -> Messages[StreamEvent]:
        """View a ``topic`` of an exchange (all of its topics without one), or a ``queue``, by server-sent events.

        A topic goes on after the event that was handed over last, as far as the server keeps them (a thousand);
        ``last_id`` is that of an earlier run. A queue repeats nothing. The iteration ends when the server says that
        there will be no more (204). Raises ``ConfigError``.

            >>> async with tcup.stream.events(exchange="ex1", topic="test") as messages:
            ...     async for message in messages:
            ...         print(message.id, message.json)
        """
        params = _source(exchange, topic, queue)
        return self._viewed(self._sse, "stream.events", params, last_id, max_pending, reconnect)

    def feed(
        self, *, last_id: str = "", max_pending: int = _UNREAD, reconnect: Reconnect | None = None
    ) -> Messages[StreamEvent]:
        """View what sensor observations tell of themselves; as :meth:`events`."""
        return self._viewed(self._sos, "observations.feed", {}, last_id, max_pending, reconnect)

    def _viewed(
        self,
        service: Service,
        call: str,
        params: dict[str, str],
        last_id: str,
        max_pending: int,
        reconnect: Reconnect | None,
    ) -> Messages[StreamEvent]:
        name = f"tcup:events:{_named(params) if params else 'feed'}"
        policy = reconnect or Reconnect()
        viewer = Viewer(service, call, params, name, last_id=last_id, timeout=policy.timeout)
        return self._kept(
            Messages(
                viewer.connect,
                name=name,
                max_pending=max_pending,
                reconnect=policy,
                final=viewer.final,
                handed=viewer.handed,
                clock=self._owner.hub.clock,
                watching=self._owner.hub.watching,
                tally=self._seen,
            )
        )

    async def deliver(
        self,
        *,
        into: Sink[Any],
        exchange: str | None = None,
        topic: str | None = None,
        queue: str | None = None,
        row: Callable[[Message], Any] | None = None,
        max_items: int = _UNREAD,
        reconnect: Reconnect | None = None,
    ) -> FlushReport:
        """Deliver what :meth:`subscribe` hears into a sink, until the server ends it or the client is stopped.

        ``row`` makes a row of a message, by default its JSON object; what is none, and what the sink rejects, is among
        ``report.rejections``. What was heard and had not arrived when this ends with an error comes not again: for that
        there is :meth:`Mqtt.deliver`. Raises ``DeliveryFailed`` when the sink could not deliver.

            >>> await tcup.stream.deliver(exchange="ex1", topic="test", into=panoply.table("series"))
        """
        heard = self.subscribe(exchange=exchange, topic=topic, queue=queue, max_pending=max_items, reconnect=reconnect)
        return await bridged(heard, into, row=row, max_items=max_items, clock=self._owner.hub.clock)

    def figures(self) -> Iterable[StreamFigures]:
        """Of all connections, by their kinds."""
        return [one.figures() for one in (self._published, self._heard, self._seen)]

    def stop(self) -> None:
        """Take nothing more in: subscriptions end with what came already."""
        for messages in list(self._subscriptions):
            messages.stop()

    async def aclose(self) -> None:
        """End the connections of all subscriptions; what was received is still handed out."""
        await asyncio.gather(*[messages.aclose() for messages in self._subscriptions])

    def _kept(self, messages: Messages[M]) -> Messages[M]:
        self._subscriptions.add(messages)
        return messages


def _frame(document: Any) -> bytes:
    message = json_text(document)
    if len(message) > LARGEST:
        what = f"a document takes {len(message):,} bytes, and a frame has room for {LARGEST:,}"
        raise RecordTooLarge(what, size=len(message), limit=LARGEST)
    return message


def _source(exchange: str | None, topic: str | None, queue: str | None) -> dict[str, str]:
    if (topic is not None and queue is not None) or (exchange is None and queue is None):
        raise ConfigError("name an exchange, with or without a topic, or a queue")
    given = {"type": "topic" if queue is None else "queue", "exchange": exchange, "topic": topic, "queue": queue}
    return {what: fields.name(name, what) for what, name in given.items() if name is not None}


def _named(params: dict[str, str]) -> str:
    return "/".join(value for what, value in params.items() if what != "type" and value)
