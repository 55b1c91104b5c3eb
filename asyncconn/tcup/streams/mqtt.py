"""The noun ``mqtt``: publish, subscribe, and deliver into a sink. Contract: tcup section 5."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet

from asyncconn.core.closing import each
from asyncconn.core.durations import positive
from asyncconn.core.extras import needed
from asyncconn.core.outbox import Outbox
from asyncconn.core.spooled_outbox import outbox_for
from asyncconn.core.supervise import StreamTally
from asyncconn.errors import (
    AsyncConnError,
    BufferFull,
    ConfigError,
    ConnectTimeout,
    HubClosed,
    InvalidRecord,
    ReadTimeout,
)  # fmt: skip
from asyncconn.tcup.streams.bridge import bridged
from asyncconn.tcup.streams.finality import Finality
from asyncconn.tcup.streams.messages import Ack, Message, Messages
from asyncconn.tcup.streams.publisher import LARGEST_WINDOW, Broker, MqttPublisher, Outgoing
from asyncconn.tcup.streams.sockets import tls_context
from asyncconn.tcup.streams.topics import encoded, filter_checked, topic_checked

if TYPE_CHECKING:
    import os
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable

    from asyncconn.connector import Connector
    from asyncconn.core.buffer.figures import BufferFigures
    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.core.buffer.spool import Spool
    from asyncconn.core.outbox import Posted
    from asyncconn.core.sinks import Sink
    from asyncconn.core.supervise import Reconnect, StreamFigures
    from asyncconn.tcup.streams.inbox import Inbox, Overflow
    from asyncconn.tcup.streams.link import MqttLink, Standing
    from asyncconn.tcup.streams.options import MqttOptions, Will

__all__ = ["Mqtt"]

Session = Literal["clean", "persistent"]

_LONGEST_ID = 65_535  # bytes


class Mqtt:
    """Messages over MQTT 3.1.1, at least once.

        >>> await tcup.mqtt.publish("amq.topic", {"sensor": "ts1"})
        >>> async with tcup.mqtt.subscribe("amq.topic", client_id="c1", session="persistent") as messages:
        ...     async for message in messages:
        ...         print(message.json)

    Connections are made anew when they break, with growing pauses; what was published and not acknowledged is sent
    again. Messages keep their order but for such a break, and only those under way then can come twice. QoS 2 there is
    not: brokers grant 1 for it.
    """

    def __init__(self, options: MqttOptions | None, owner: Connector) -> None:
        self._given = options
        self._owner = owner
        self._hub = owner.hub
        self._publisher: MqttPublisher | None = None  # of what is published without one
        self._subscriptions: WeakSet[Messages[Message]] = WeakSet()
        self._published, self._heard = map(StreamTally, ("tcup.mqtt.publish", "tcup.mqtt.subscribe"))
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    # -- publish -------------------------------------------------------------------------------------------------------

    async def publish(
        self, topic: str | None, document: Any, *, qos: int = 1, retain: bool = False, timeout: float | None = 60.0
    ) -> None:
        """Publish one message; returns when the broker has acknowledged it, with QoS 0 when it has left.

        ``document`` goes as JSON, bytes and texts as they are; ``topic`` None is that of the options. Without a
        connection it waits for the next one, ``timeout`` seconds at most (None: without end).

        Raises ``ConfigError`` for a topic that cannot be, ``InvalidRecord`` and ``RecordTooLarge`` for a document that
        cannot; ``ConnectTimeout`` when it was not sent in time, ``ReadTimeout`` when it was and is not acknowledged;
        ``Unauthorized``, ``Forbidden`` and other refusals that cannot get better.
        """
        limit = None if timeout is None else positive("timeout", timeout)
        message = self._outgoing(topic, document, qos, retain)
        publisher = await self._out()
        posted: Posted[Outgoing] | None = None
        try:
            async with asyncio.timeout(limit):
                posted = await publisher.post(message)
                posted.awaited = True
                await asyncio.shield(posted.done)
        except TimeoutError as error:
            if posted is None:
                raise BufferFull("the messages that wait for their acknowledgement leave no room") from error
            given_up = _given_up(posted)
            publisher.withdraw(posted, given_up)
            raise given_up from error
        except asyncio.CancelledError:
            if posted is not None:
                posted.awaited = False
            raise

    async def publish_many(
        self,
        topic: str | None,
        documents: Iterable[Any] | AsyncIterable[Any],
        *,
        qos: int = 1,
        retain: bool = False,
        window: int = 100,
        timeout: float | None = 60.0,
    ) -> FlushReport:
        """Publish many, with at most ``window`` (1 to 1,000) unacknowledged, and report what became of them.

        ``timeout`` bounds, in seconds, the wait after the last was taken: what is not acknowledged then is ``unknown``,
        what was not sent has ``failed``, and ``report.undelivered`` has both. It also ends a wait for room in which
        nothing is acknowledged: then no more is taken, and ``report.accepted`` says how many were; the document that
        waited is the next. Raises as :meth:`publish`, with the ``index`` of a document that cannot be sent; those
        before it are on their way.

            >>> report = await tcup.mqtt.publish_many("amq.topic", documents)
            >>> report.delivered, report.unknown
            (1000, 0)
        """
        limit = None if timeout is None else positive("timeout", timeout)
        _check_window("a window", window)
        self._hub.check()
        started = self._hub.clock.now()
        publisher = await self._out()
        books = publisher.books()
        stuck = False
        async with aclosing(each(documents)) as found:
            async for document in found:
                try:
                    message = self._outgoing(topic, document, qos, retain)
                except InvalidRecord as error:
                    error.index = books.accepted
                    raise
                if books.pending < window and not publisher.full:
                    await publisher.post(message, books)
                    continue
                try:
                    async with asyncio.timeout(limit):
                        await books.below(window)
                        await publisher.post(message, books)
                except TimeoutError:
                    stuck = True
                    break
        if not stuck:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await books.below(1)
        publisher.give_up(books, _given_up)
        return books.report(self._hub.clock.now() - started)

    def publisher(
        self,
        topic: str | None = None,
        *,
        max_unacked: int = 100,
        max_pending: int = 10_000,
        overflow: Literal["wait", "raise"] = "wait",
        spool: str | os.PathLike[str] | Spool | None = None,
        reconnect: Reconnect | None = None,
    ) -> MqttPublisher:
        """A publisher that accepts also while there is no connection, and sends with QoS 1.

        ``max_unacked`` (1 to 1,000) messages may be under way, and ``max_pending`` accepted and not acknowledged: then
        ``send`` waits, or with ``overflow="raise"`` raises ``BufferFull``. With a ``spool``, a file's path, they are on
        disk when ``send`` returns: as many as it may hold, and what a killed program left is sent by the next publisher
        with that file. Several publishers need a file each. Raises ``ConfigError``.

            >>> async with tcup.mqtt.publisher("sensors/1", spool="outbox.spool") as publisher:
            ...     await publisher.send({"temperature": 21.5})
        """
        options = self._options()
        topic = options.topic if topic is None else topic_checked(topic)
        _check_window("max_unacked", max_unacked)
        outbox = outbox_for(
            spool,
            owner=f"mqtt:{options.username or ''}",
            encode=Outgoing.packed,
            decode=Outgoing.unpacked,
            window=max_unacked,
            max_pending=max_pending,
            overflow=overflow,
        )
        return self._publishing(outbox, topic, reconnect).attach(self._hub.attached(self._owner))

    # -- subscribe -----------------------------------------------------------------------------------------------------

    def subscribe(
        self,
        topic: str | None = None,
        *,
        qos: int = 1,
        client_id: str | None = None,
        session: Session = "clean",
        ack: Ack = "after",
        max_pending: int = 1_000,
        overflow: Overflow = "wait",
    ) -> Messages[Message]:
        """What is published to ``topic``, which may have wildcards, as an async iterator in a block of its own.

        With ``session="persistent"`` and a ``client_id`` the broker keeps what comes while there is no connection, and
        what was not acknowledged. ``ack`` says when that is done: see :class:`Messages`. At most ``max_pending``
        messages are in memory: then nothing more is read, and the broker waits; with ``overflow="drop_oldest"`` the
        oldest give way instead, and are counted.

        Raises ``ConfigError``, also for a ``client_id`` that another subscription of this client has: the broker would
        put out one for the other, in turns.
        """
        options = self._options()
        topic = filter_checked(options.topic if topic is None else topic)
        if qos not in (0, 1):
            raise ConfigError(f"mqtt: qos is 0 or 1, not {qos!r}: brokers grant 1 for 2")
        if session not in ("clean", "persistent"):
            raise ConfigError(f"mqtt: session is 'clean' or 'persistent', not {session!r}")
        if session == "persistent" and not client_id:
            raise ConfigError("mqtt: a persistent session needs a client_id, by which the broker knows it again")
        client_id = _new_id() if client_id is None else _checked_id(client_id)
        name = f"mqtt:{client_id}"
        final = Finality()
        if any(one.name == name and one.state != "closed" for one in self._subscriptions):
            raise ConfigError(f"mqtt: the client_id {client_id!r} is in use by another subscription")

        standing: Standing | None = None

        @asynccontextmanager
        async def connect(inbox: Inbox[Message]) -> AsyncIterator[MqttLink]:
            from asyncconn.tcup.streams.link import Standing, subscribed  # it needs a library that few programs have

            nonlocal standing
            standing = standing or Standing()
            kept = session == "persistent"
            link = await self._link(client_id, clean=not kept)
            async with subscribed(link, inbox, topic, qos, standing, kept=kept, at_once=ack == "before"):
                final.was_live = True
                yield link

        messages: Messages[Message] = Messages(
            connect,
            name=name,
            ack=ack,
            max_pending=max_pending,
            overflow=overflow,
            reconnect=options.reconnect,
            final=final,
            clock=self._hub.clock,
            watching=self._hub.watching,
            tally=self._heard,
        )
        self._subscriptions.add(messages)
        return messages

    async def deliver(
        self,
        topic: str | None,
        *,
        into: Sink[Any],
        client_id: str,
        qos: int = 1,
        row: Callable[[Message], Any] | None = None,
        max_items: int = 1_000,
    ) -> FlushReport:
        """Deliver what is published to ``topic`` into a sink, until the client is stopped; then the report.

        Each message is acknowledged after its row has arrived, so that nothing is lost whenever this ends. ``row``
        makes a row of a message, by default its JSON object; what is none, and what the sink rejects, is among
        ``report.rejections``. Raises ``DeliveryFailed`` when the sink could not deliver: those rows come again, to the
        next who delivers under this ``client_id``.

            >>> await tcup.mqtt.deliver("amq.topic", into=panoply.table("series"), client_id="bridge-1")
        """
        subscription = self.subscribe(
            topic, qos=qos, client_id=client_id, session="persistent", ack="manual", max_pending=max_items
        )
        return await bridged(subscription, into, row=row, max_items=max_items, clock=self._hub.clock)

    def figures(self) -> Iterable[BufferFigures | StreamFigures]:
        """Of what is published without a publisher, and of all connections by their kinds."""
        streams = [self._published.figures(), self._heard.figures()]
        return streams if self._publisher is None else [self._publisher.figures(), *streams]

    # -- the end -------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Take nothing more in: subscriptions end with what came already."""
        for messages in list(self._subscriptions):
            messages.stop()

    async def drain(self, timeout: float) -> FlushReport | None:
        """Wait for what was published, and for those who still handle messages; then end all connections."""
        self._closed = True
        started = self._hub.clock.now()
        report = None if self._publisher is None else await self._publisher.aclose(timeout)
        for messages in list(self._subscriptions):
            await messages.left(max(0.0, timeout - (self._hub.clock.now() - started)))
        return report

    # ------------------------------------------------------------------------------------------------------------------

    def _options(self) -> MqttOptions:
        if self._given is None:
            raise ConfigError("mqtt needs to know the broker: Tcup(..., mqtt={'host': ..., 'username': ...})")
        if self._closed:
            raise HubClosed("the client is closed")
        needed("paho", "tcup")
        return self._given

    def _outgoing(self, topic: str | None, document: Any, qos: int, retain: bool) -> Outgoing:
        options = self._options()
        if qos not in (0, 1):
            raise ConfigError(f"mqtt: qos is 0 or 1, not {qos!r}: brokers grant 1 for 2")
        topic = options.topic if topic is None else topic_checked(topic)
        return Outgoing(topic, encoded(document, options.max_payload), qos, bool(retain))

    async def _out(self) -> MqttPublisher:
        """The publisher that is open. One that has given up is replaced: what was wrong may be right by now."""
        publisher = self._publisher
        if publisher is None or publisher.state == "closed":
            self._hub.check()
            options = self._options()
            window = min(LARGEST_WINDOW, options.max_pending)
            outbox = Outbox[Outgoing](window=window, max_pending=options.max_pending, overflow=options.overflow)
            past, publisher = publisher, self._publishing(outbox, options.topic, None)
            self._publisher = publisher
            await publisher.open()
            if past is not None:
                self._hub.attached(self._owner).left(await past.aclose(), past.figures())
        return publisher

    def _publishing(self, outbox: Outbox[Outgoing], topic: str, reconnect: Reconnect | None) -> MqttPublisher:
        options, client_id = self._options(), _new_id()
        return MqttPublisher(
            Broker(partial(self._link, client_id, will=options.will), outbox),
            outbox,
            name=f"mqtt:{client_id}",
            check=self._hub.check,
            outgoing=lambda given, document, retain: self._outgoing(given or topic, document, 1, retain),
            timeout=self._hub.settings.shutdown_timeout,
            reconnect=reconnect or options.reconnect,
            clock=self._hub.clock,
            watching=self._hub.watching,
            kind="tcup.mqtt",
            tally=self._published,
        )

    async def _link(self, client_id: str, *, clean: bool = True, will: Will | None = None) -> MqttLink:
        from asyncconn.tcup.streams.link import MqttLink  # as above

        options = self._options()
        self._hub.check()  # a subscription has no other place where it would be told
        if options.tls and self._tls is None:
            self._tls = await asyncio.to_thread(tls_context, options.ca_file, options.tls_minimum)
        return MqttLink(options, client_id, self._tls, clean=clean, will=will)


def _given_up(posted: Posted[Outgoing]) -> AsyncConnError:
    """Nobody waits for it any more: what to tell of it."""
    if posted.sent:
        return ReadTimeout("the broker has not acknowledged the message in time")
    return ConnectTimeout("no connection to the broker in time: the message was not sent")


def _check_window(what: str, given: object) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= LARGEST_WINDOW:
        raise ConfigError(f"{what} is a whole number of messages from 1 to {LARGEST_WINDOW:,}, not {given!r}")


def _new_id() -> str:
    return f"asyncconn-{secrets.token_hex(6)}"


def _checked_id(client_id: str) -> str:
    given: object = client_id
    if not isinstance(given, str) or not given or "\0" in given or len(given.encode(errors="replace")) > _LONGEST_ID:
        raise ConfigError(f"mqtt: client_id is a text of 1 to {_LONGEST_ID:,} bytes, not {client_id!r}")
    return client_id
