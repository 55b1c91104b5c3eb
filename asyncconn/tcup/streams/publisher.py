"""Messages on their way to an MQTT broker, over as many connections as it takes."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.core.outbox import Outbox
from asyncconn.core.supervise import Supervisor
from asyncconn.core.tasks import reap, together
from asyncconn.errors import AsyncConnError, ConnectTimeout, DeliveryFailed, LifecycleError, ReadTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any

    from asyncconn.core.clock import Clock
    from asyncconn.core.outbox import Posted
    from asyncconn.core.supervise import Reconnect
    from asyncconn.tcup.streams.link import MqttLink

__all__ = ["LARGEST_WINDOW", "Outgoing", "Publisher", "Shipment", "given_up"]

#: Unacknowledged messages at once: with more of them, every acknowledgement takes longer.
LARGEST_WINDOW = 1_000


class Outgoing(NamedTuple):
    """A message to publish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


class Publisher:
    """What was posted and is not acknowledged, and the connection that is to change that."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[MqttLink]],
        *,
        name: str,
        outbox: Outbox[Outgoing],
        reconnect: Reconnect,
        clock: Clock,
    ) -> None:
        self.outbox = outbox
        self._connect = connect
        self._name = name
        self._supervisor = Supervisor(self._connected, name=name, policy=reconnect, clock=clock)
        self._end: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has given up."""
        return self._end is not None and self._end.done()

    async def open(self) -> None:
        """Begin to connect."""
        await self._supervisor.__aenter__()
        self._end = asyncio.create_task(self._watch(), name=f"{self._name}:watch")

    async def aclose(self, timeout: float) -> list[Posted[Outgoing]]:
        """Wait so many seconds for what is not acknowledged, and end; what is left then."""
        try:
            async with asyncio.timeout(timeout):
                await self.outbox.drained()
        except TimeoutError:
            pass
        finally:
            left = self.outbox.close(LifecycleError("the MQTT client is closed"))
            await self._supervisor.aclose()
            if self._end is not None:
                await reap([self._end])
        return left

    async def _watch(self) -> None:
        try:
            await self._supervisor.over()
        except AsyncConnError as error:
            self.outbox.close(error)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Sending]:
        link = await self._connect()
        sending = _Sending(link, self.outbox)
        async with link.up():
            try:
                yield sending
            finally:
                self.outbox.again()


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


class Shipment:
    """Messages of one caller: at most ``window`` of them unacknowledged, and what became of each."""

    def __init__(self, outbox: Outbox[Outgoing], window: int) -> None:
        self.delivered = 0
        self._failed: list[tuple[Any, Exception]] = []
        self._unknown: list[tuple[Any, Exception]] = []
        self._outbox = outbox
        self._window = window
        self._open: deque[tuple[Posted[Outgoing], Any]] = deque()

    async def add(self, message: Outgoing, document: Any) -> None:
        """Post it, when there is room for it."""
        while len(self._open) >= self._window:
            await self._first()
        self._open.append((await self._outbox.post(message), document))

    async def arrived(self, timeout: float | None) -> None:
        """Wait until each has an outcome, so many seconds at most: what has none then is given up."""
        try:
            async with asyncio.timeout(timeout):
                while self._open:
                    await self._first()
        except TimeoutError:
            while self._open:
                posted, document = self._open.popleft()
                self.count(posted, document, given_up(self._outbox, posted))

    async def _first(self) -> None:
        posted, document = self._open[0]
        error: Exception | None = None
        try:
            await asyncio.shield(posted.done)
        except AsyncConnError as problem:
            error = problem
        self._open.popleft()
        self.count(posted, document, error)

    def count(self, posted: Posted[Outgoing], document: Any, error: Exception | None) -> None:
        """What became of one."""
        if error is None:
            self.delivered += 1
        else:
            (self._unknown if posted.sent else self._failed).append((document, error))

    def report(self, seconds: float) -> FlushReport:
        """What became of all of them."""
        return FlushReport(
            delivered=self.delivered,
            failed=len(self._failed),
            unknown=len(self._unknown),
            seconds=seconds,
            failures=(*_failures(self._failed, maybe=False), *_failures(self._unknown, maybe=True)),
        )


def _failures(lost: list[tuple[Any, Exception]], *, maybe: bool) -> list[DeliveryFailed]:
    if not lost:
        return []
    failure = DeliveryFailed(
        f"{len(lost):,} messages were not acknowledged: {lost[0][1]}",
        records=[document for document, _ in lost],
        maybe_delivered=maybe,
    )
    failure.__cause__ = lost[0][1]
    return [failure]


def given_up(outbox: Outbox[Outgoing], posted: Posted[Outgoing]) -> AsyncConnError:
    """Nobody waits for it any more: it is not sent again. What to tell of it."""
    outbox.withdraw(posted)
    if posted.sent:
        return ReadTimeout("the broker has not acknowledged the message in time")
    return ConnectTimeout("no connection to the broker in time: the message was not sent")
