"""Items that the platform did not take yet: gathered, and sent once more in few batches, in the order of their keys."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Generic, TypeVar

from asyncconn.core.buffer.batch import Batch, Returned

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from asyncconn.core.buffer.batch import BatchPolicy
    from asyncconn.core.buffer.ordering import BatchQueue
    from asyncconn.core.clock import Clock

__all__ = ["Returning", "fitting", "merged"]

T = TypeVar("T")

_PAUSE = 0.1  # seconds before an item is sent for the third time; then it doubles
_DOUBLINGS = 20
_STEP = 0.001  # seconds: a timer may be a rounding error early


@dataclass(slots=True, eq=False)
class _Rest(Generic[T]):
    batch: Batch[T]
    earliest: float
    latest: float


class Returning(Generic[T]):
    """What is left over of batches, each part kept in the ``queue``, until it is time to send it once more.

    That is when they fill a batch, when one has waited for ``linger`` seconds, or when others wait for its keys; never
    before the time that was asked for. The second time a pause is added, which doubles from then on, up to ``linger``.
    ``begin`` is called when the queue has a batch to send.
    """

    def __init__(
        self,
        queue: BatchQueue[T],
        policy: BatchPolicy,
        clock: Clock,
        linger: float,
        measure: Callable[[Sequence[T]], int],
        key_of: Callable[[T], tuple[str, Hashable]] | None,
        *,
        begin: Callable[[], object],
    ) -> None:
        self._queue = queue
        self._policy = policy
        self._clock = clock
        self._linger = linger
        self._measure = measure
        self._key_of = key_of
        self._begin = begin
        self._rests: list[_Rest[T]] = []
        self._timer: asyncio.TimerHandle | None = None

    def __iter__(self) -> Iterator[Batch[T]]:
        return (rest.batch for rest in self._rests)

    def take_over(self, batch: Batch[T], again: Mapping[float, Sequence[int]]) -> None:
        """``batch`` is over but for what is at the places to be sent ``again``, by the seconds until then at least."""
        rests = [self._part(batch, places) for places in again.values()]
        self._queue.split(batch, rests)
        now = self._clock.now()
        for after, rest in zip(again, rests, strict=True):
            tries = max(rest.tries(place) for place in range(len(rest.items)))
            pause = min(self._linger, _PAUSE * 2.0 ** min(tries - 2, _DOUBLINGS)) if tries > 1 else 0.0
            earliest = now + max(after, pause)
            latest = earliest if rest.followers else max(earliest, now + self._linger)
            self._rests.append(_Rest(rest, earliest, latest))
        self._leave(now, early=False)

    def _part(self, batch: Batch[T], places: Sequence[int]) -> Batch[T]:
        """What is at ``places`` of a batch that has been sent, as one that may be sent once more."""
        rest: Batch[T] = Batch(batch.born)
        rest.items += [batch.items[place] for place in places]
        rest.size = self._measure(rest.items)
        rest.returned = [Returned(*batch.origin(at), batch.tries(at) + 1, batch.number(at)) for at in places]
        if self._key_of is None:  # it is not known whose the keys are: all of them wait
            rest.keys = {space: [*keys] for space, keys in batch.keys.items()}
        else:
            for item in rest.items:
                space, key = self._key_of(item)
                rest.hold(key, space)
        return rest

    def hurry(self) -> None:
        """Nothing else is under way, and somebody waits: send what may be sent, and the rest as soon as it may."""
        if self._rests:
            self._leave(self._clock.now(), early=True)

    def clear(self) -> list[Batch[T]]:
        """All that are left: none of them will be sent."""
        rests, self._rests = self._rests, []
        self._set_timer(early=False)
        return [rest.batch for rest in rests]

    def _leave(self, now: float, *, early: bool) -> None:
        while some := self._next(now, early=early):
            self._rests = [rest for rest in self._rests if rest not in some]
            kept = [rest.batch for rest in some]
            self._queue.again(kept, merged(kept))
            self._begin()
        self._set_timer(early=early)

    def _next(self, now: float, *, early: bool) -> list[_Rest[T]]:
        """As many as make one batch, if it is time for it. No two share a key: the later one would have waited."""
        ripe = [rest for rest in self._rests if rest.earliest <= now + _STEP]
        count = fitting(((len(rest.batch.items), rest.batch.size) for rest in ripe), self._policy)
        some = ripe[:count]
        full = count < len(ripe) or sum(len(rest.batch.items) for rest in some) >= self._policy.max_items
        return some if early or full or any(rest.latest <= now + _STEP for rest in some) else []

    def _set_timer(self, *, early: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._rests:
            at = min(rest.earliest if early else rest.latest for rest in self._rests)
            self._timer = self._clock.call_at(at, self._on_time, early)

    def _on_time(self, early: bool) -> None:
        self._timer = None
        self._leave(self._clock.now(), early=early)


def fitting(parts: Iterable[tuple[int, int]], policy: BatchPolicy) -> int:
    """How many parts, of which the items and their bytes are given, make one batch: at least one, if there is one."""
    count = items = size = 0
    for more, bytes_more in parts:
        items += more
        size += bytes_more
        if count and (items > policy.max_items or size > policy.max_bytes):
            break
        count += 1
    return count


def merged(batches: Sequence[Batch[T]]) -> Batch[T]:
    """One batch of several that were kept, as old as the oldest."""
    whole: Batch[T] = Batch(min(one.born for one in batches))
    whole.items += chain.from_iterable(one.items for one in batches)
    whole.size = sum(one.size for one in batches)
    whole.returned = [*chain.from_iterable(one.returned or () for one in batches)]
    for one in batches:
        for space, keys in one.keys.items():
            whole.keys.setdefault(space, []).extend(keys)
    return whole
