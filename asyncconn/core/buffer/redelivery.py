"""Sending again what has failed and is in a spool, and what a failure means for later records of the same keys."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Self, TypeVar

from asyncconn.core.buffer.memory import Batch, BatchBuffer
from asyncconn.core.buffer.returning import fitting, merged
from asyncconn.errors import NotSent, RateLimited, outcome_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from asyncconn.core.buffer.receipts import Receipt
    from asyncconn.core.buffer.spool import Spool
    from asyncconn.core.buffer.spool_file import Span
    from asyncconn.core.clock import Clock

__all__ = ["KeepingBuffer", "Notes", "Redelivery", "Refused", "StuckKeys", "may_pass"]

T = TypeVar("T")

_DOUBLINGS = 30  # of a second's pause: 34 years, and no float overflows


@dataclass(slots=True)
class Notes:
    """The numbers of a batch's records, and how often it has failed before."""

    spans: list[Span] = field(default_factory=list)
    failures: int = 0

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Self:
        """Those of a batch that has just these."""
        made = cls()
        for number in numbers:
            made.add(number, number)
        return made

    def add(self, first: int, last: int) -> None:
        """The batch holds these too."""
        if self.spans and self.spans[-1][1] + 1 == first:
            self.spans[-1] = (self.spans[-1][0], last)
        else:
            self.spans.append((first, last))

    @property
    def count(self) -> int:
        """How many records they are."""
        return sum(last - first + 1 for first, last in self.spans)

    def numbers(self) -> Iterator[int]:
        """One by one, in the order of the batch."""
        return chain.from_iterable(range(first, last + 1) for first, last in self.spans)


class KeepingBuffer(BatchBuffer[T]):
    """A buffer whose failed batches may be sent again, before the later ones that share a key with them."""

    def keep(self, batch: Batch[T]) -> None:
        """For a ``send`` that is going to raise: its items will be given again, and who shares a key waits for that."""
        self._ready.keep(batch)

    def again(self, kept: Sequence[Batch[T]], items: list[T]) -> Receipt:
        """The items of what was kept, as one batch that leaves before all who wait for it. It asks for no room."""
        batch = merged(kept)
        batch.items[:] = items
        batch.returned = None  # they are taken as new, with a receipt of their own
        batch.size = self._measure(items)
        self._ready.again(kept, batch)
        self._books.enter(batch)
        self._pump()
        return batch.receipt

    def release(self, batch: Batch[T]) -> None:
        """One that was kept is not sent again after all."""
        self._ready.over(batch)
        self._pump()


@dataclass(frozen=True, slots=True)
class _Failed:
    batch: Batch[bytes]
    notes: Notes


class Redelivery:
    """Batches that failed for a cause that may pass: when, and how, they are sent again.

    That is after the next success or after ``after`` seconds; where others may wait for their keys after a second, two,
    four and so on. ``begin`` is called when it is time, and has to see to it that :meth:`send_next` is called while
    :attr:`due`; ``watch`` gets the receipt and the notes of each new batch.
    """

    def __init__(
        self,
        buffer: KeepingBuffer[bytes],
        spool: Spool,
        *,
        clock: Clock,
        after: float,
        begin: Callable[[], object],
        watch: Callable[[Receipt, Notes], object],
    ) -> None:
        self.after = after
        self._buffer = buffer
        self._spool = spool
        self._clock = clock
        self._begin = begin
        self._watch = watch
        self._failed: list[_Failed] = []
        self._due: list[_Failed] = []  # no longer to wait
        self._resent: list[tuple[Receipt, float]] = []  # and when the oldest record of each was taken
        self._not_before = self._at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def due(self) -> bool:
        """Whether something is to be sent now."""
        return bool(self._due)

    @property
    def oldest_age(self) -> float:
        """Seconds since the oldest record was taken that has failed and has not arrived, also if it goes out again."""
        taken = [one.batch.born for one in (*self._failed, *self._due)]
        taken += [born for receipt, born in self._resent if not receipt.done]
        return self._clock.now() - min(taken) if taken else 0.0

    def add(self, batch: Batch[bytes], notes: Notes) -> None:
        """It has failed, and its ``send`` is about to raise."""
        self._buffer.keep(batch)
        self._failed.append(_Failed(batch, notes))
        pause = min(self.after, 2.0 ** min(notes.failures, _DOUBLINGS)) if batch.keys else self.after
        at = self._clock.now() + pause
        if notes.failures:
            self._not_before = at  # once more at the next success; after that only now and then
        notes.failures += 1
        if self._timer is None or at < self._at:
            self._set_timer(at)

    def succeeded(self) -> None:
        """Another batch has arrived."""
        if self._clock.now() >= self._not_before:
            self._start()

    def stop(self) -> list[Batch[bytes]]:
        """From now on only what others wait for is sent, once, and at once. The rest, which is not sent again."""
        left = [one.batch for one in self._failed if not one.batch.followers]
        self._failed = [one for one in self._failed if one.batch.followers]
        self._start()
        return left

    def drop(self) -> list[Batch[bytes]]:
        """None of those that have failed so far is sent again. All of them."""
        self._set_timer(None)
        dropped = [one.batch for one in (*self._due, *self._failed)]
        self._due.clear()
        self._failed.clear()
        return dropped

    def _set_timer(self, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._at = at
            self._timer = self._clock.call_at(at, self._start)

    def _start(self) -> None:
        self._set_timer(None)
        if self._failed:
            self._due += self._failed
            self._failed.clear()
            self._begin()

    async def send_next(self) -> None:
        """The next batch. It may exceed what may be pending: all that is there may wait for it."""
        some = self._next()
        count, size = sum(one.notes.count for one in some), sum(one.batch.size for one in some)
        while under_way := [receipt.settled() for receipt, _ in self._resent if not receipt.done]:
            if len(under_way) < self._buffer.policy.max_in_flight and self._buffer.has_room(count, size):
                break
            await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        items: list[bytes] = []
        notes = Notes(failures=max(one.notes.failures for one in some))
        for first, last in chain.from_iterable(one.notes.spans for one in some):
            notes.add(first, last)
            after = first - 1
            while found := await self._spool.read(after, last=last):
                items += [item for _, item in found]
                after = found[-1][0]
        del self._due[: len(some)]
        receipt = self._buffer.again([one.batch for one in some], items)
        born = min(one.batch.born for one in some)
        self._resent = [*(one for one in self._resent if not one[0].done), (receipt, born)]
        self._watch(receipt, notes)

    def _next(self) -> list[_Failed]:
        """As many as make one batch. No two share a key: the later one would have waited for the other."""
        return self._due[: fitting(((one.notes.count, one.batch.size) for one in self._due), self._buffer.policy)]


def may_pass(error: BaseException | None) -> bool:
    """Whether what failed for this reason may get through later."""
    return isinstance(error, NotSent | RateLimited) or (error is not None and outcome_unknown(error))


class StuckKeys:
    """Keys of records that stay in the spool when it is closed: later records with them have to stay there too."""

    def __init__(self) -> None:
        self._keys: dict[str, set[Hashable]] = {}

    def add(self, batch: Batch[bytes]) -> None:
        """What ``batch`` holds is stuck."""
        for space, keys in batch.keys.items():
            known = self._keys.setdefault(space, set())
            known.update(keys)
            known.discard(None)

    def touch(self, batch: Batch[bytes]) -> bool:
        """Whether one of the batch's keys is stuck."""
        return any(not known.isdisjoint(batch.keys.get(space, ())) for space, known in self._keys.items())


class Refused:
    """Records that the receiver refused for good. To send one at the next start is right as long as no later one of its
    key has arrived: then it would undo that one.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, dict[Hashable, list[int]]] = {}

    def add(
        self, numbers: Iterable[int], items: Iterable[bytes], key_of: Callable[[bytes], tuple[str, Hashable]]
    ) -> None:
        """These were refused."""
        for number, item in zip(numbers, items, strict=True):
            space, key = key_of(item)
            if key is not None:
                self._numbers.setdefault(space, {}).setdefault(key, []).append(number)

    def undone_by(self, batch: Batch[bytes]) -> list[int]:
        """The numbers of those that ``batch``, which has arrived, makes obsolete; they are forgotten here."""
        found: list[int] = []
        for space, keys in batch.keys.items():
            known = self._numbers.get(space)
            if known:
                found += chain.from_iterable(known.pop(key) for key in known.keys() & set(keys))
        return found
