"""Which batch may leave next: none that holds a key which an earlier one, whose outcome is still open, holds too."""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from asyncconn.core.buffer.batch import Batch

__all__ = ["BatchQueue"]

T = TypeVar("T")


class BatchQueue(Generic[T]):
    """Batches that wait for a sender, in the order in which they were cut.

    Each leaves as soon as no earlier one that shares a key with it waits, is under way or is kept to be sent again;
    the others overtake it meanwhile. Without shared keys a batch costs one look at those under way. With them the cost
    grows with its own keys, not with the number of batches that wait.
    """

    def __init__(self) -> None:
        self._ready: deque[Batch[T]] = deque()  # not looked at yet
        self._waiting: dict[Batch[T], int] = {}  # those that had to wait: for how many others they still do
        self._free: deque[Batch[T]] = deque()  # of these, who need not any more
        self._away: dict[Batch[T], None] = {}  # under way
        # Of those that had to wait or are kept: which of them is the last to hold a key.
        self._last: dict[str, dict[Hashable, Batch[T]]] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._ready)

    def __iter__(self) -> Iterator[Batch[T]]:
        return chain(self._waiting, self._ready)

    @property
    def oldest(self) -> Batch[T] | None:
        """The one that has waited longest."""
        return next(iter(self), None)

    def append(self, batch: Batch[T]) -> None:
        """A batch that takes no more records."""
        self._ready.append(batch)

    def take(self) -> Batch[T] | None:
        """The next that may leave, which is under way from now on; None while there is none."""
        if self._free:
            batch = self._free.popleft()
            del self._waiting[batch]
            self._unlist(batch)
            self._away[batch] = None
            return batch
        while self._ready:
            batch = self._ready.popleft()
            if not (earlier := self._earlier(batch)):
                self._away[batch] = None
                return batch
            self._waiting[batch] = len(earlier)
            for other in earlier:
                other.followers.append(batch)
            self._list(batch, last=True)
        return None

    def start(self, batch: Batch[T]) -> bool:
        """Whether a batch that is later than all here may leave; if so, it is under way from now on."""
        if self._earlier(batch):
            return False
        self._away[batch] = None
        return True

    def over(self, batch: Batch[T]) -> None:
        """The outcome of a batch is known, and it is not sent again: who waited for it waits no more."""
        if batch.kept:
            batch.kept = False
            self._unlist(batch)
        else:
            self._away.pop(batch, None)
        for follower in batch.followers:
            self._waits_less(follower)
        batch.followers.clear()

    def _waits_less(self, follower: Batch[T]) -> None:
        if follower in self._waiting:
            self._waiting[follower] -= 1
            if not self._waiting[follower]:
                self._free.append(follower)

    def split(self, batch: Batch[T], rests: Sequence[Batch[T]]) -> None:
        """``batch`` is over but for ``rests``, which are kept: who shares none of their keys waits no more."""
        self._away.pop(batch, None)
        followers, batch.followers = batch.followers, []
        for follower in followers:
            waits_for = [rest for rest in rests if _share(rest, follower)]
            for rest in waits_for:
                rest.followers.append(follower)
            if not waits_for:
                self._waits_less(follower)
            elif follower in self._waiting:
                self._waiting[follower] += len(waits_for) - 1
        for rest in rests:
            rest.kept = True
            self._list(rest, last=False)

    def keep(self, batch: Batch[T]) -> None:
        """A batch under way has failed and will be sent again: whoever shares a key with it waits until then."""
        self._away.pop(batch, None)
        batch.kept = True
        self._list(batch, last=False)  # who waits for it already is later

    def again(self, kept: Sequence[Batch[T]], batch: Batch[T]) -> None:
        """``batch`` is what was ``kept``, to be sent again: it takes their place, before all who wait for them."""
        for one in kept:
            self._unlist(one)
            one.kept = False
            batch.followers += one.followers
            one.followers.clear()
        self._list(batch, last=False)
        self._waiting[batch] = 0
        self._free.append(batch)

    def clear(self) -> list[Batch[T]]:
        """All that wait: none of them will be sent."""
        batches = list(self)
        for some in (self._ready, self._waiting, self._free, self._last):
            some.clear()
        return batches

    def _earlier(self, batch: Batch[T]) -> set[Batch[T]]:
        """Who has to be over before ``batch`` may leave, which is later than all of them."""
        found: set[Batch[T]] = set()
        if not (self._away or self._last):
            return found
        for space, keys in batch.keys.items():
            rivals = [
                (other, theirs)
                for other in self._away
                if (theirs := other.keys.get(space)) and not _apart(other, batch, space)
            ]
            listed = self._last.get(space)
            if not rivals and not listed:
                continue
            mine = set(keys)
            mine.discard(None)
            found.update(other for other, theirs in rivals if not mine.isdisjoint(theirs))
            if listed:
                # The last one is enough: it waits itself for those before it.
                found.update(listed[key] for key in mine & listed.keys())
        return found

    def _list(self, batch: Batch[T], *, last: bool) -> None:
        for space, keys in batch.keys.items():
            listed = self._last.setdefault(space, {})
            for key in set(keys):
                if key is not None and (last or key not in listed):
                    listed[key] = batch

    def _unlist(self, batch: Batch[T]) -> None:
        for space, keys in batch.keys.items():
            listed = self._last.get(space, {})
            for key in set(keys):
                if listed.get(key) is batch:
                    del listed[key]
            if not listed:
                self._last.pop(space, None)


def _apart(one: Batch[T], other: Batch[T], space: str) -> bool:
    """Whether all keys of one are greater than the other's, as numbers that run on are: a third of what sets cost."""
    mine, theirs = _span(one, space), _span(other, space)
    if mine is None or theirs is None or type(mine[0]) is not type(theirs[0]):
        return False
    return bool(mine[1] < theirs[0] or theirs[1] < mine[0])


def _span(batch: Batch[T], space: str) -> tuple[Any, Any] | None:
    """The least and the greatest of its keys, where all are whole numbers or all are texts; else None."""
    try:
        return batch.spans[space]
    except KeyError:
        keys: list[Any] = batch.keys[space]
    try:
        span = (min(keys), max(keys)) if type(keys[0]) in (int, str) else None
    except TypeError:  # of several kinds, or None among them
        span = None
    if span is not None and not (type(span[0]) is type(span[1]) is type(keys[0])):
        span = None
    batch.spans[space] = span
    return span


def _share(one: Batch[T], other: Batch[T]) -> bool:
    """Whether two batches have a key in common."""
    return any(
        key is not None and key in theirs
        for space, keys in one.keys.items()
        if (theirs := set(other.keys.get(space, ())))
        for key in keys
    )
