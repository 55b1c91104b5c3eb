"""An outbox over a spool: what it has accepted is on disk, also while there is no connection, and outlives a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar
from weakref import WeakValueDictionary

from asyncconn.core.buffer.spool import Spool
from asyncconn.core.outbox import Outbox, Posted
from asyncconn.errors import SpoolDamaged, SpoolFull

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from asyncconn.errors import AsyncConnError

__all__ = ["SpooledOutbox", "outbox_for"]

T = TypeVar("T")

_PAGE = 256 * 1024  # bytes that are read at once, about


class SpooledOutbox(Outbox[T], Generic[T]):
    """An :class:`Outbox` whose messages are in ``spool`` from before ``post`` returns until they have an outcome.

    What an earlier run left there is sent first, in order. ``max_pending`` messages at most are in memory too; the rest
    waits on disk. ``spool`` is a path or a :class:`Spool`. Where it is full, ``post`` waits, or raises ``SpoolFull``
    with ``overflow="raise"``. A crash makes at most ``window`` messages, and those whose acknowledgement was just being
    noted, arrive twice.

    ``encode`` and ``decode`` make bytes of a message and back; ``owner`` marks the file, see :meth:`Spool.open`.
    """

    keeps = True

    def __init__(
        self,
        spool: str | os.PathLike[str] | Spool,
        *,
        owner: str,
        encode: Callable[[T], bytes],
        decode: Callable[[bytes], T],
        window: int = 100,
        max_pending: int = 10_000,
        overflow: Literal["wait", "raise"] = "wait",
    ) -> None:
        super().__init__(window=window, max_pending=max_pending, overflow=overflow)
        self.spool = spool if isinstance(spool, Spool) else Spool(spool)
        self._owner = owner
        self._encode = encode
        self._decode = decode
        self._opened = self._owns = False
        # Of messages by their numbers: those up to ``_read`` have been in memory, ``_beyond`` others up to ``_last``
        # are on disk only. Of these, what those who posted them want to know.
        self._read = self._last = self._beyond = 0
        self._known: WeakValueDictionary[int, Posted[T]] = WeakValueDictionary()
        self._tags: dict[int, Any] = {}

    def __len__(self) -> int:
        return super().__len__() + self._beyond

    @property
    def spooled(self) -> int:
        """Those of them that are on disk only."""
        return self._beyond

    async def open(self) -> None:
        """Open the spool. Raises what :meth:`Spool.open` raises, and ``SpoolInUse``."""
        self.spool.claim(self)
        try:
            self._owns = not self.spool.is_open
            await self.spool.open(self._owner)
        except BaseException:
            self.spool.release(self)
            raise
        self._opened = True
        self._beyond = self.accepted = self.spool.stats.records
        self._last = self.spool.last
        self._tell()

    async def aclose(self) -> None:
        """Write what is noted, and close the spool if we have opened it."""
        if self._opened:
            self._opened = False
            try:
                if self._owns:
                    await self.spool.aclose()
            finally:
                self.spool.release(self)

    async def post(self, item: T, tag: Any = None) -> Posted[T]:
        """Accept a message, once it is on disk. Raises also what :meth:`Spool.append` raises. Cancelled: not taken."""
        [number] = await self._stored([self._encode(item)])
        return self._taken(item, tag, number)

    async def post_many(self, items: Sequence[T], tag: Any = None) -> list[Posted[T]]:
        """:meth:`post` several with one commit: all or none. Raises ``SpoolFull`` where there is no room for all."""
        numbers = await self._stored([self._encode(item) for item in items], patient=False)
        return [self._taken(item, tag, number) for item, number in zip(items, numbers, strict=True)]

    def _taken(self, item: T, tag: Any, number: int) -> Posted[T]:
        posted = Posted(item, tag, number)
        self.accepted += 1
        self._last = number
        if self._closed is not None:  # meanwhile: it is on disk
            self._beyond += 1
            posted.end(self._closed)
        elif self._beyond or super().__len__() >= self._most:
            self._beyond += 1
            self._known[number] = posted
            if tag is not None:
                self._tags[number] = tag
        else:
            self._read = number
            self._waiting.append(posted)
        self._tell()
        return posted

    def close(self, error: AsyncConnError, *, sent: AsyncConnError | None = None) -> list[Posted[T]]:
        """Give up for now: nothing more is accepted, who waits gets the error, and what is left stays in the spool."""
        left = [*self._flying, *self._waiting]
        self._beyond += len(left)
        self._flying.clear()
        self._waiting.clear()
        for posted in (*left, *self._known.values()):
            posted.end(sent or error if posted.sent else error)
        self.refuse(error)
        return []

    # ------------------------------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether there is no room for another in the spool."""
        return self.spool.full

    async def _stored(self, encoded: Sequence[bytes], *, patient: bool = True) -> range:
        while True:
            self._check()
            try:
                return await self.spool.append(encoded)
            except SpoolFull:
                if self._overflow == "raise" or not patient:
                    raise
                before = self._room()
                await self.spool.trim(())  # what is acknowledged may still be there
                if self._room() != before:
                    continue
                if not len(self):
                    raise
            await self._change()

    def _room(self) -> tuple[int, int]:
        """What changes when there may be more of it."""
        return self.spool.stats.bytes, self.acknowledged + self.refused

    def _end(self, ended: Sequence[Posted[T]], error: Exception | None) -> None:
        self.spool.forget([range(posted.number, posted.number + 1) for posted in ended])
        super()._end(ended, error)

    async def _more(self) -> None:
        if self._beyond and not self._waiting and len(self._flying) < self._most and self._closed is None:
            await self._refill()
        else:
            await self._change()

    async def _refill(self) -> None:
        try:
            found = await self.spool.read(self._read, last=self._last, max_bytes=_PAGE)
        except SpoolDamaged as error:
            error.permanent = True
            raise
        for number, encoded in found[: self._most - len(self._flying)]:
            posted = self._known.pop(number, None) or Posted(self._decode(encoded), number=number)
            posted.tag = self._tags.pop(number, posted.tag)
            self._waiting.append(posted)
            self._read = number
            self._beyond -= 1
        if not found:
            self._read, self._beyond = self._last, 0


def outbox_for(
    spool: str | os.PathLike[str] | Spool | None,
    *,
    owner: str,
    encode: Callable[[T], bytes],
    decode: Callable[[bytes], T],
    window: int,
    max_pending: int,
    overflow: Literal["wait", "raise"],
) -> Outbox[T]:
    """A :class:`SpooledOutbox`, or without a ``spool`` an :class:`Outbox`. Raises ``ConfigError``."""
    if spool is None:
        return Outbox(window=window, max_pending=max_pending, overflow=overflow)
    return SpooledOutbox(
        spool, owner=owner, encode=encode, decode=decode, window=window, max_pending=max_pending, overflow=overflow
    )
