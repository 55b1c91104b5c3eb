"""Publishing over a WebSocket: what was accepted is sent until it is acknowledged. Contract: tcup sections 4.3, 4.5."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Literal, Self

from asyncconn.core.closing import each
from asyncconn.core.events import Events
from asyncconn.core.outbox import Outbox
from asyncconn.core.supervise import Supervisor
from asyncconn.core.tasks import Ending, reap
from asyncconn.errors import (
    AsyncConnError,
    BufferClosed,
    ConnectionLost,
    InvalidRecord,
    LifecycleError,
    RecordTooLarge,
)  # fmt: skip
from asyncconn.tcup.documents import json_text
from asyncconn.tcup.streams.books import Books

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Sequence

    from asyncconn.core.buffer.receipts import BatchStats, FlushReport
    from asyncconn.core.clock import Clock
    from asyncconn.core.outbox import Posted
    from asyncconn.core.supervise import Reconnect, State
    from asyncconn.tcup.streams.websocket import Mouth

__all__ = ["Publisher"]

_GRACE = 5.0  # seconds beyond the time to close


class Publisher:
    """Publishes documents to one exchange, topic or queue, over as many connections as it takes.

        >>> async with tcup.stream.publisher(exchange="ex1", topic="test") as publisher:
        ...     await publisher.send({"any": "json"})

    Everything accepted is sent in order, at least once: what a break left unacknowledged goes out again, before
    everything else. While there is no connection documents are accepted up to ``max_pending``. The block begins when
    the server was asked for the first time: a refusal that cannot get better is raised there. Leaving it waits for the
    acknowledgements; ``DeliveryFailed`` then has what was refused or is not acknowledged, unless an ``error`` handler
    was told of it.

    ``state`` is connecting, live, lost or closed. ``on("live" | "lost" | "error", handler)``: a Change, a Change, a
    ``DeliveryFailed``.
    """

    def __init__(
        self,
        mouth: Callable[[Outbox[bytes]], Mouth],
        *,
        name: str,
        largest: int,
        max_unacked: int,
        max_pending: int,
        overflow: Literal["wait", "raise"],
        timeout: float,
        reconnect: Reconnect | None,
        clock: Clock,
    ) -> None:
        self.name = name
        self._events = Events("live", "lost", "error")
        self._books = Books(name, self._events)
        self._own: dict[Posted[bytes], Books] = {}
        self._outbox: Outbox[bytes] = Outbox(
            window=max_unacked, max_pending=max_pending, overflow=overflow, on_settled=self._settled
        )
        self._largest = largest
        self._timeout = timeout
        self._clock = clock
        made = mouth(self._outbox)
        self._supervisor = Supervisor(made.connect, name=name, policy=reconnect, final=made.final, clock=clock)
        for change in ("live", "lost"):
            self._supervisor.events.on(change, self._changed)
        self._asked = asyncio.Event()
        self._problem: Exception | None = None
        self._watching: asyncio.Task[None] | None = None
        self._ending: Ending[FlushReport] = Ending(f"{name}:close", grace=_GRACE)

    def __repr__(self) -> str:
        return f"<Publisher {self.name}: {self.state}, {len(self._outbox)} unacknowledged>"

    @property
    def state(self) -> State:
        """The connection's: connecting, live, lost or closed."""
        return self._supervisor.state

    @property
    def stats(self) -> BatchStats:
        """The totals."""
        return self._books.stats

    def on(self, name: str, handler: Callable[[Any], object]) -> Callable[[Any], object]:
        """Call ``handler`` with each ``live`` and ``lost`` (a Change), or with each ``error`` (a DeliveryFailed)."""
        return self._events.on(name, handler)

    # -- the block -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._watching is not None:
            raise LifecycleError(f"{self.name} was opened before: make another publisher")
        await self._supervisor.__aenter__()
        self._watching = asyncio.create_task(self._watch(), name=f"{self.name}:watch")
        try:
            await self._asked.wait()
            if self._problem is not None:
                raise self._problem
        except BaseException:
            await self.aclose(0.0)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        report = await self.aclose()
        if kind is None and report.untold:
            failure = next(one for one in reversed(report.failures) if not one.told)
            self._books.tell(failure)
            raise failure

    async def aclose(self, timeout: float | None = None) -> FlushReport:
        """Wait ``timeout`` seconds at most for the acknowledgements, then end the connection. Once; a report of all."""
        return await self._ending.reached(self._close, self._timeout if timeout is None else timeout)

    async def _close(self, limit: float) -> FlushReport:
        started = self._clock.now()
        self._outbox.refuse(BufferClosed(f"{self.name} is closing"))
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._outbox.drained()
        await self._supervisor.aclose()
        self._give_up(BufferClosed(f"{self.name} was closed before it was sent"))
        if self._watching is not None:
            await reap([self._watching])
        return self._books.report(self._clock.now() - started)

    # -- documents -----------------------------------------------------------------------------------------------------

    async def send(self, document: Any) -> Posted[bytes]:
        """Accept a document: what JSON can hold, or a text or bytes that are JSON already and go as they are.

        Waits while there are ``max_pending`` (or raises ``BufferFull``). Awaiting the ``done`` of what it returns waits
        for the acknowledgement; it raises why there is none, ``BadRequest`` for a document that the server refuses.

        Raises ``ConfigError`` for what is no JSON, ``RecordTooLarge`` above 1 MiB, and ``BufferClosed`` after the end,
        with the error that ended it as its cause.
        """
        return await self._send(document, None)

    async def deliver(self, documents: Iterable[Any] | AsyncIterable[Any]) -> FlushReport:
        """Send all of them, and wait until each is acknowledged or lost; a report of these and no others."""
        started = self._clock.now()
        books = Books(self.name)
        waiting: deque[Posted[bytes]] = deque()
        async with aclosing(each(documents)) as found:
            async for document in found:
                try:
                    waiting.append(await self._send(document, books))
                except InvalidRecord as error:
                    books.accepted += 1
                    books.enter([json_text(document)], error)
                while waiting and waiting[0].done.done():
                    waiting.popleft()
        if waiting:
            await asyncio.wait({posted.done for posted in waiting})
        return books.report(self._clock.now() - started)

    async def flush(self, timeout: float | None = None) -> FlushReport:
        """Wait, ``timeout`` seconds at most, until everything accepted so far has an outcome. A report of all."""
        started = self._clock.now()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._outbox.drained()
        return self._books.report(self._clock.now() - started)

    async def _send(self, document: Any, books: Books | None) -> Posted[bytes]:
        message = json_text(document)
        if len(message) > self._largest:
            what = f"a document takes {len(message):,} bytes, and a frame has room for {self._largest:,}"
            raise RecordTooLarge(what, size=len(message), limit=self._largest)
        if self._watching is None:
            raise LifecycleError(f"{self.name} is not open: use 'async with'")
        posted = await self._outbox.post(message)
        self._books.accepted += 1
        if books is not None:
            books.accepted += 1
            self._own[posted] = books
        return posted

    # -- what becomes of them ------------------------------------------------------------------------------------------

    def _settled(self, ended: Sequence[Posted[bytes]], error: Exception | None) -> None:
        ours = error if error is None or isinstance(error, AsyncConnError) else _ours(error)
        self._books.enter([posted.item for posted in ended], ours)
        for posted in ended:
            if (books := self._own.pop(posted, None)) is not None:
                books.enter([posted.item], ours)

    def _changed(self, change: Any) -> None:
        self._asked.set()
        self._events.emit(change.state, change)

    async def _watch(self) -> None:
        try:
            await self._supervisor.over()
        except Exception as error:  # noqa: BLE001 - raised to whoever opens or sends
            self._problem = error
            self._give_up(error if isinstance(error, AsyncConnError) else _ours(error))
        self._asked.set()

    def _give_up(self, error: AsyncConnError) -> None:
        unknown = ConnectionLost(f"{self.name} ended before the acknowledgement came")
        unknown.__cause__ = error
        self._outbox.close(error, sent=unknown)


def _ours(error: Exception) -> AsyncConnError:
    ours = ConnectionLost(f"the connection failed: {type(error).__name__}")
    ours.__cause__ = error
    return ours
