"""Messages between a connection and whoever handles them: so many at most, and who brings more has to wait."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inbox", "Overflow"]

T = TypeVar("T")

Overflow = Literal["wait", "drop_oldest"]


class Inbox(Generic[T]):
    """At most ``bound`` messages in memory, over all connections.

    A connection that can wait awaits :meth:`put`. One that cannot says by ``flow`` how it stops and goes on reading:
    it is called with False while the box is full, and with True while it is half empty. ``overflow="drop_oldest"``
    makes room instead, and counts what it ``dropped``.

    >>> inbox = Inbox[str](bound=2, overflow="drop_oldest")
    >>> for letter in "abc":
    ...     inbox.add(letter)
    >>> len(inbox), inbox.dropped
    (2, 1)
    """

    def __init__(self, bound: int, overflow: Overflow = "wait") -> None:
        if not bound >= 1:
            raise ConfigError(f"max_pending is 1 message or more, not {bound!r}")
        if overflow not in ("wait", "drop_oldest"):
            raise ConfigError(f"overflow is 'wait' or 'drop_oldest', not {overflow!r}")
        self.bound = bound
        self.dropped = 0
        #: The most that were in it at once.
        self.most = 0
        #: How the connection that is live stops (False) and goes on (True) reading.
        self.flow: Callable[[bool], object] | None = None
        self._overflow = overflow
        self._messages: deque[T] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._getters: deque[asyncio.Future[None]] = deque()
        self._putters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def full(self) -> bool:
        """Whether whoever brings another has to wait."""
        return self._overflow == "wait" and len(self._messages) >= self.bound

    # -- who brings ----------------------------------------------------------------------------------------------------

    def add(self, message: T) -> None:
        """Take one in at once, also where the box is full: what was read from the wire cannot be put back."""
        messages = self._messages
        if self._overflow == "drop_oldest" and len(messages) >= self.bound:
            messages.popleft()
            self.dropped += 1
        messages.append(message)
        if len(messages) > self.most:
            self.most = len(messages)
        if self._getters:
            _wake(self._getters)
        if self.flow is not None and self.full:
            self.flow(False)

    async def put(self, message: T) -> None:
        """Take one in when there is room."""
        while self.full:
            await self._turn(self._putters)
        self.add(message)

    def discard(self, which: Callable[[T], bool]) -> None:
        """Forget the messages of which that is true: they come again."""
        self._messages = deque(message for message in self._messages if not which(message))
        self._room()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more comes: what is here is still handed out, then ``error`` is raised, or None returned."""
        if not self._ended:
            self._ended, self._error = True, error
            for getter in self._getters:
                if not getter.done():
                    getter.set_result(None)

    # -- who handles ---------------------------------------------------------------------------------------------------

    async def get(self) -> T | None:
        """The next message; None, or the error, when there will be none."""
        while not self._messages:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            await self._turn(self._getters)
        return self.next()

    def next(self) -> T | None:
        """The next message, if one is here."""
        if not self._messages:
            return None
        message = self._messages.popleft()
        if self._putters or self.flow is not None:
            self._room()
        return message

    # ------------------------------------------------------------------------------------------------------------------

    async def _turn(self, waiting: deque[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                _wake(waiting)  # what it was woken for is another's now
            raise
        finally:
            if turn in waiting:
                waiting.remove(turn)

    def _room(self) -> None:
        if self._putters and not self.full:
            _wake(self._putters)
        if self.flow is not None and len(self._messages) <= self.bound // 2:
            self.flow(True)


def _wake(waiting: deque[asyncio.Future[None]]) -> None:
    while waiting:
        turn = waiting.popleft()
        if not turn.done():
            turn.set_result(None)
            return
