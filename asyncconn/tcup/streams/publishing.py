"""Publishing over whatever connection: what was accepted is sent until it is acknowledged. Contract: tcup 4.3, 5.3."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar
from weakref import WeakSet

from asyncconn.core.buffer.figures import BufferFigures
from asyncconn.core.buffer.unheard import watch
from asyncconn.core.closing import each
from asyncconn.core.durations import seconds
from asyncconn.core.events import Events
from asyncconn.core.spooled_outbox import SpooledOutbox
from asyncconn.core.supervise import Supervisor
from asyncconn.core.tasks import Ending, reap
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import (
    AsyncConnError,
    BufferClosed,
    ConnectionLost,
    InvalidRecord,
    LifecycleError,
    SpoolFull,
    WrongLoop,
)  # fmt: skip
from asyncconn.tcup.streams.books import Books

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncconn.core.buffer.attached import Attached
    from asyncconn.core.buffer.receipts import BatchStats, FlushReport
    from asyncconn.core.clock import Clock
    from asyncconn.core.events import Handler
    from asyncconn.core.outbox import Outbox, Posted
    from asyncconn.core.supervise import Change, Link, Reconnect, State, StreamTally
    from asyncconn.core.watching import Watching

__all__ = ["Publisher"]

T = TypeVar("T")

_TOGETHER = 100  # documents of a delivery that go into a spool with one commit
_GRACE = 5.0  # seconds beyond the time to close

# None in a forked child, too, which has its parent's publishers and none of its loops.
_running_loop = asyncio._get_running_loop


class Mouth(Protocol):
    """Makes connections that send what an outbox holds, and settle it."""

    def connect(self) -> AbstractAsyncContextManager[Link]:
        """One connection."""
        ...

    def final(self, error: Exception, /) -> bool:
        """Whether no further attempt helps."""
        ...


class Publisher(Unpicklable, Generic[T]):
    """Publishes documents, over as many connections as it takes.

        >>> async with tcup.stream.publisher(exchange="ex1", topic="test", spool="outbox.spool") as publisher:
        ...     await publisher.send({"any": "json"})

    Everything accepted is sent in order, at least once: what a break left unacknowledged goes out again, before
    everything else. While there is no connection documents are accepted, too: up to ``max_pending``, or into the
    ``spool``. The block begins when the server was asked for the first time: a refusal that cannot get better is raised
    there. Leaving it waits for the acknowledgements; ``DeliveryFailed`` then has what was refused or is not
    acknowledged, unless an ``error`` handler was told of it. What a spool holds is not lost: the next publisher with
    that file sends it.

    ``state`` is connecting, live, lost or closed. ``on("live" | "lost" | "error", handler)``: a Change, a Change, a
    ``DeliveryFailed``.
    """

    _elsewhere = "make a client there, and a publisher of it"

    def __init__(
        self,
        mouth: Mouth,
        outbox: Outbox[T],
        *,
        name: str,
        check: Callable[[], object],
        encode: Callable[[Any], T],
        payload: Callable[[T], bytes],
        timeout: float,
        reconnect: Reconnect | None,
        clock: Clock,
        kind: str,
        tally: StreamTally,
        watching: Watching | None = None,
    ) -> None:
        self.name = name
        self._kind = kind
        self._check_hub = check
        self._encode = encode
        self._payload = payload
        self._timeout = timeout
        self._clock = clock
        self._events = Events("live", "lost", "error")
        self._books = Books(name, clock=clock)
        self._accounts = self._books.accounts
        self._callers: WeakSet[Books] = WeakSet()
        self._outbox = outbox
        outbox.on_settled = self._settled
        self._supervisor = Supervisor(
            mouth.connect, name=name, policy=reconnect, final=mouth.final, clock=clock, tally=tally, watching=watching
        )
        for change in ("live", "lost"):
            self._supervisor.events.on(change, self._changed)
        self._asked = asyncio.Event()
        self._problem: Exception | None = None
        self._watching: asyncio.Task[None] | None = None
        self._ending: Ending[FlushReport] = Ending(f"{name}:close", grace=_GRACE)
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._attached: Attached | None = None
        watch(self)

    def attach(self, attached: Attached) -> Self:
        """Have it drained with its client, who goes on telling of it once it is gone. Raises ``HubClosed``."""
        attached.add(self)
        self._attached = attached
        return self

    def __del__(self) -> None:
        if (attached := getattr(self, "_attached", None)) is not None:
            attached.left(self._report(self._clock.now()), self.figures())

    def __repr__(self) -> str:
        return f"<Publisher {self.name}: {self.state}, {len(self._outbox)} unacknowledged>"

    @property
    def state(self) -> State:
        """The connection's: connecting, live, lost or closed."""
        return self._supervisor.state

    @property
    def full(self) -> bool:
        """Whether there is no room for another document: ``send`` waits, or raises ``BufferFull``."""
        return self._outbox.full

    @property
    def stats(self) -> BatchStats:
        """The totals, in which every document is in one place at every moment."""
        return self._books.stats

    def figures(self) -> BufferFigures:
        """The totals under the name of its kind, and those of its spool."""
        outbox = self._outbox
        spool = outbox.spool.stats if isinstance(outbox, SpooledOutbox) else None
        return BufferFigures(self._kind, replace(self.stats, in_flight=outbox.in_flight), spool, outbox.full)

    def on(self, name: str, handler: Handler) -> Handler:
        """Call ``handler`` with each ``live`` and ``lost`` (a Change), or with each ``error`` (a DeliveryFailed)."""
        return self._events.on(name, handler)

    # -- the block -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.open()
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
            self._accounts.tell(failure)
            raise failure

    async def open(self) -> None:
        """Begin to connect, and to send what an earlier run left in the spool.

        Raises ``SpoolError`` and its kinds, ``HubNotOpen``, ``HubClosed`` and ``WrongLoop``.
        """
        if self._watching is not None:
            raise LifecycleError(f"{self.name} was opened before: make another publisher")
        self._check_hub()
        self._loop = asyncio.get_running_loop()
        await self._outbox.open()
        self._books.accepted = self._outbox.accepted
        await self._supervisor.__aenter__()
        self._watching = asyncio.create_task(self._watch(), name=f"{self.name}:watch")

    async def aclose(self, timeout: float | None = None) -> FlushReport:
        """Wait ``timeout`` seconds at most for the acknowledgements, then end the connection. Once; a report of all.

        What is left then has failed; in a spool it is pending, and there is no wait for it without a connection.
        """
        limit = self._timeout if timeout is None else seconds("timeout", timeout)
        if not self._closed:  # the report of one that is closed may be asked for anywhere
            self._check_here()
        return await self._ending.reached(self._close, limit)

    async def _close(self, limit: float) -> FlushReport:
        started = self._clock.now()
        self._outbox.refuse(BufferClosed(f"{self.name} is closing"))
        if self.state == "live" or not self._outbox.keeps:
            await self._drained(limit)
        await self._supervisor.aclose()
        self._give_up(BufferClosed(f"{self.name} was closed before it was sent"))
        if self._watching is not None:
            await reap([self._watching])
        await self._outbox.aclose()
        self._closed = True
        return self._report(started)

    def _check_here(self) -> None:
        if self._loop is not None and _running_loop() is not self._loop:
            raise self._misplaced()

    def _misplaced(self) -> WrongLoop:
        return WrongLoop(f"{self.name} was opened on another event loop or in another process")

    def forsaken(self) -> None:
        """Warn of what is pending: the program ends, and nobody has closed it."""
        if self._pid == os.getpid() and not self._ending.begun and not self._outbox.keeps:  # in a child: the parent's
            self._accounts.dropped(self._books.pending)

    # -- documents -----------------------------------------------------------------------------------------------------

    async def send(self, document: Any) -> Posted[T]:
        """Accept a document; with a spool it is on disk then.

        Waits while there is no room, or raises ``BufferFull`` (``SpoolFull``). Awaiting the ``done`` of what it returns
        waits for the acknowledgement; it raises why there is none, ``BadRequest`` for a document that is refused.

        Raises ``ConfigError`` or ``InvalidRecord`` for what cannot be sent, ``RecordTooLarge``, ``SpoolError``,
        ``WrongLoop``, and ``BufferClosed`` after the end, with the error that ended it as its cause.
        """
        return await self.post(self._encode(document))

    async def deliver(
        self, documents: Iterable[Any] | AsyncIterable[Any], *, timeout: float | None = None
    ) -> FlushReport:
        """Send all of them, and wait until each is acknowledged or lost; a report of these and no others.

        ``timeout`` bounds, in seconds, the wait after the last was accepted: what has no outcome by then is pending.
        """
        limit = None if timeout is None else seconds("timeout", timeout)
        self._check_here()
        started = self._clock.now()
        books = self.books()
        together = _TOGETHER if self._outbox.keeps and not isinstance(documents, AsyncIterable) else 1
        messages: list[T] = []
        try:
            async with aclosing(each(documents)) as found:
                async for document in found:
                    try:
                        messages.append(self._encode(document))
                    except InvalidRecord as error:
                        books.accepted += 1
                        books.enter(books.failure([document], error))
                    if len(messages) >= together:
                        some, messages = messages, []
                        await self._post_all(some, books)
        finally:
            await self._post_all(messages, books)  # also where the next document raises
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await books.below(1)
        return books.report(self._clock.now() - started)

    async def flush(self, timeout: float | None = None) -> FlushReport:
        """Wait, ``timeout`` seconds at most, until everything accepted so far has an outcome. A report of all."""
        limit = None if timeout is None else seconds("timeout", timeout)
        self._check_here()
        started = self._clock.now()
        await self._drained(limit)
        return self._report(started)

    def books(self) -> Books:
        """Those of one caller, for :meth:`post`."""
        books = Books(self.name, told=self._accounts.tell)
        self._callers.add(books)
        return books

    async def post(self, message: T, books: Books | None = None) -> Posted[T]:
        """:meth:`send` for what is encoded; what becomes of it stands in ``books``, too."""
        if self._watching is None:
            raise LifecycleError(f"{self.name} is not open: use 'async with'")
        if _running_loop() is not self._loop:
            raise self._misplaced()
        posted = await self._outbox.post(message, books)
        self._books.accepted += 1
        if books is not None:
            books.accepted += 1
        return posted

    async def _post_all(self, messages: Sequence[T], books: Books) -> None:
        if len(messages) > 1 and isinstance(self._outbox, SpooledOutbox):
            with suppress(SpoolFull):
                await self._outbox.post_many(messages, books)
                self._books.accepted += len(messages)
                books.accepted += len(messages)
                return
        for message in messages:
            await self.post(message, books)

    def withdraw(self, posted: Posted[T], error: AsyncConnError) -> None:
        """Whoever posted it waits no longer: it ends with ``error``, and is not sent again."""
        self._outbox.withdraw(posted, error)

    def give_up(self, books: Books, error: Callable[[Posted[T]], AsyncConnError]) -> None:
        """:meth:`withdraw` all that is in ``books`` and has no outcome, for its own ``error`` each."""
        if books.pending:
            for posted in self._outbox.of(books):
                self._outbox.withdraw(posted, error(posted))

    async def _drained(self, limit: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._outbox.drained()

    def _report(self, started: float) -> FlushReport:
        return self._books.report(self._clock.now() - started, self._outbox.spooled)

    # -- what becomes of them ------------------------------------------------------------------------------------------

    def _settled(self, ended: Sequence[Posted[T]], error: Exception | None) -> None:
        if error is None:
            self._books.arrived(len(ended))
            for posted in ended:
                if posted.tag is not None:
                    posted.tag.arrived()
            return
        ours = error if isinstance(error, AsyncConnError) else _ours(error)
        shares: dict[tuple[Books | None, bool], list[bytes]] = {}
        for posted in ended:
            shares.setdefault((posted.tag, posted.awaited), []).append(self._payload(posted.item))
        for (books, awaited), messages in shares.items():
            failure = self._books.failure(messages, ours)
            self._books.enter(failure)
            if books is not None:
                books.enter(failure)
            if self._events.emit("error", failure) or awaited:
                self._accounts.tell(failure)
            elif books is None:
                self._accounts.unheard(failure)

    def _changed(self, change: Change) -> None:
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
        for books in self._callers:
            books.end()


def _ours(error: Exception) -> AsyncConnError:
    ours = ConnectionLost(f"the connection failed: {type(error).__name__}")
    ours.__cause__ = error
    return ours
