"""Messages on their way out: in order, so many unacknowledged, and sent again on the next connection."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from asyncconn.errors import AsyncConnError, BufferClosed, BufferFull, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Outbox", "Posted"]

T = TypeVar("T")


class Posted(Generic[T]):
    """A message: ``item``, and how often it was ``sent``.

    ``tag`` is what the one who posted it knows it by, ``awaited`` whether somebody waits who will hear of its failure,
    ``number`` its place in the spool, where there is one.
    """

    __slots__ = ("__weakref__", "_done", "_error", "_over", "awaited", "item", "number", "sent", "tag")

    def __init__(self, item: T, tag: Any = None, number: int = 0) -> None:
        self.item = item
        self.tag = tag
        self.number = number
        self.sent = 0
        self.awaited = False
        self._over = False
        self._error: Exception | None = None
        self._done: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Posted, sent {self.sent} times, {'over' if self._over else 'pending'}>"

    @property
    def done(self) -> asyncio.Future[None]:
        """Ends when it is acknowledged, or with the error when it is given up. Nobody need wait for it."""
        if self._done is None:  # most messages are never asked
            self._done = asyncio.get_running_loop().create_future()
            if self._over:
                self._tell(self._done)
        return self._done

    def end(self, error: Exception | None) -> None:
        """For the outbox: this is what became of it."""
        self._over, self._error = True, error
        if self._done is not None:
            self._tell(self._done)

    def _tell(self, done: asyncio.Future[None]) -> None:
        if done.done():  # who waited for it was cancelled
            return
        if self._error is None:
            done.set_result(None)
        else:
            done.set_exception(self._error)
            done.exception()  # the counts and the report tell of it


class Outbox(Generic[T]):
    """What was accepted and is not acknowledged yet.

        >>> outbox = Outbox[bytes](window=100)
        >>> posted = await outbox.post(b"hello")       # accepted: waits for room
        >>> await posted.done                          # acknowledged

    Whoever holds a connection takes from it, and says what became of each:

        >>> outbox.again()                             # a new connection: what was not acknowledged goes first
        >>> while True:
        ...     posted = await outbox.take()           # waits for a message, and for a place in the window
        ...     await send(posted.item)
        >>> outbox.settle(posted)                      # when its acknowledgement comes

    At most ``window`` messages are under way, at most ``max_pending`` accepted and not acknowledged; for more of them
    ``post`` waits, or raises ``BufferFull`` with ``overflow="raise"``. ``on_settled`` is called with the messages that
    have an outcome, and the error if it is one.
    """

    def __init__(
        self,
        *,
        window: int = 100,
        max_pending: int = 10_000,
        overflow: Literal["wait", "raise"] = "wait",
        on_settled: Callable[[Sequence[Posted[T]], Exception | None], object] | None = None,
    ) -> None:
        if not 1 <= window <= max_pending:
            raise ConfigError(f"an outbox has 1 <= window <= max_pending, not {window} and {max_pending}")
        if overflow not in ("wait", "raise"):
            raise ConfigError(f"overflow is 'wait' or 'raise', not {overflow!r}")
        self.accepted = self.acknowledged = self.refused = 0
        self._window = window
        self._most = max_pending
        self._overflow = overflow
        #: Called with the messages that have an outcome, and the error if it is one.
        self.on_settled = on_settled
        self._waiting: deque[Posted[T]] = deque()
        self._flying: dict[Posted[T], None] = {}
        self._closed: AsyncConnError | None = None
        self._changed: asyncio.Event | None = None  # there while somebody waits: everyone who does looks again

    def __len__(self) -> int:
        """Messages that are accepted and not acknowledged."""
        return len(self._waiting) + len(self._flying)

    @property
    def full(self) -> bool:
        """Whether there is no room for another."""
        return len(self) >= self._most

    @property
    def in_flight(self) -> int:
        """Those of them that are under way on this connection."""
        return len(self._flying)

    #: Whether they outlive the process.
    keeps = False

    @property
    def spooled(self) -> int:
        """Those of them that are in a spool only."""
        return 0

    async def open(self) -> None:
        """Get at what an earlier run has left, where there is a spool."""

    async def aclose(self) -> None:
        """Leave the spool, where there is one. After :meth:`close`."""

    # -- who writes ----------------------------------------------------------------------------------------------------

    async def post(self, item: T, tag: Any = None) -> Posted[T]:
        """Accept a message. Raises ``BufferFull``, and ``BufferClosed`` after the end."""
        while len(self) >= self._most and self._closed is None:
            if self._overflow == "raise":
                raise BufferFull(f"{self._most:,} messages are waiting for their acknowledgement")
            await self._change()
        self._check()
        posted = Posted(item, tag)
        self.accepted += 1
        self._waiting.append(posted)
        self._tell()
        return posted

    def _check(self) -> None:
        if self._closed is not None:
            raise BufferClosed("the publisher is closed: it takes no more messages") from self._closed

    def of(self, tag: Any) -> list[Posted[T]]:
        """What was posted with this tag, and has no outcome."""
        return [posted for posted in (*self._flying, *self._waiting) if posted.tag is tag]

    async def drained(self) -> None:
        """Wait until everything is acknowledged or given up."""
        while len(self):
            await self._change()

    # -- who sends -----------------------------------------------------------------------------------------------------

    async def take(self) -> Posted[T]:
        """The next message for this connection. It counts as sent from here on."""
        while not self._waiting or len(self._flying) >= self._window:
            await self._more()
        posted = self._waiting.popleft()
        posted.sent += 1
        self._flying[posted] = None
        return posted

    def settle(self, posted: Posted[T], error: Exception | None = None) -> None:
        """It was acknowledged, or refused with ``error``. What is said a second time is passed over."""
        if posted in self._flying:
            del self._flying[posted]
        elif posted in self._waiting and posted.sent:  # an acknowledgement that a break overtook
            self._waiting.remove(posted)
        else:
            return
        self._settled(posted, error)
        self._tell()

    def withdraw(self, posted: Posted[T], error: AsyncConnError) -> None:
        """Whoever posted it waits no longer: it ends with ``error``, and is not sent again."""
        if posted in self._flying:
            del self._flying[posted]
        elif posted in self._waiting:
            self._waiting.remove(posted)
        else:
            return
        self._settled(posted, error)
        self._tell()

    def again(self) -> None:
        """The connection is lost: what was under way waits once more, before everything else and in its order."""
        self._waiting.extendleft(reversed(self._flying))
        self._flying.clear()
        self._tell()

    def refuse(self, error: AsyncConnError) -> None:
        """Accept nothing more: ``post`` raises ``BufferClosed`` from ``error``. What was accepted goes out."""
        self._closed = self._closed or error
        self._tell()

    def close(self, error: AsyncConnError, *, sent: AsyncConnError | None = None) -> list[Posted[T]]:
        """Give up: nothing more is accepted, and what is left ends with ``error``, or with ``sent`` if it was sent.

        Returns it, in order.
        """
        left = [*self._flying, *self._waiting]
        self._flying.clear()
        self._waiting.clear()
        for was_sent, why in ((True, sent or error), (False, error)):
            self._end([posted for posted in left if bool(posted.sent) is was_sent], why)
        self.refuse(error)
        return left

    # ------------------------------------------------------------------------------------------------------------------

    def _settled(self, posted: Posted[T], error: Exception | None) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.refused += 1
        self._end([posted], error)

    def _end(self, ended: Sequence[Posted[T]], error: Exception | None) -> None:
        if ended and self.on_settled is not None:
            self.on_settled(ended, error)
        for posted in ended:
            posted.end(error)

    async def _more(self) -> None:
        """Wait for what may let another message go out."""
        await self._change()

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
