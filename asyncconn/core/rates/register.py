"""The books of windows: what a limiter has lent from them and sent, and when the slots of it are free again."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from asyncconn.core.rates.parts import Slot

__all__ = ["Counting", "Log", "Register"]

_TOTAL = itemgetter(1)


class Log:
    """Slots in order of the time at which they are free. When some will be is found without going through all."""

    __slots__ = ("_entries", "gone", "total")

    def __init__(self) -> None:
        self._entries: deque[tuple[float, int]] = deque()  # free at, and the total with it
        self.total = 0  # of all that were ever added
        self.gone = 0  # of those that are free

    def __len__(self) -> int:
        return self.total - self.gone

    def __iter__(self) -> Iterator[tuple[float, int]]:
        """The time and the cost of each."""
        before = self.gone
        for at, total in self._entries:
            yield at, total - before
            before = total

    @classmethod
    def of(cls, entries: Iterable[tuple[float, int]]) -> Log:
        """One of these, in whatever order they come."""
        log = cls()
        for at, cost in sorted(entries):
            log.add(at, cost, -math.inf)
        return log

    def add(self, at: float, cost: int, now: float) -> None:
        """``cost`` more are free at ``at``. What is free by now is forgotten, or a log that nobody asks would grow."""
        entries = self._entries
        while entries and entries[0][0] <= now:
            self.gone = entries.popleft()[1]
        total = self.total = self.total + cost
        if entries and entries[-1][0] > at:  # rare: it comes from another register than the last
            self._insert(at, cost)
        else:
            entries.append((at, total))

    def _insert(self, at: float, cost: int) -> None:
        entries, later = self._entries, []
        while entries and entries[-1][0] > at:
            later.append(entries.pop())
        entries.append((at, (entries[-1][1] if entries else self.gone) + cost))
        entries.extend((when, total + cost) for when, total in reversed(later))

    def forget(self, now: float) -> None:
        """What is free by now is not counted any more."""
        entries = self._entries
        while entries and entries[0][0] <= now:
            self.gone = entries.popleft()[1]

    def clear(self) -> None:
        """All are free."""
        self._entries.clear()
        self.gone = self.total

    def freed_at(self, need: int) -> float | None:
        """When so many will be free; None if that is more than there are."""
        entries, wanted = self._entries, self.gone + need
        if wanted > self.total:
            return None
        if need <= len(entries) and entries[need - 1][1] == wanted:  # the usual: each of them costs one
            return entries[need - 1][0]
        return entries[bisect_left(entries, wanted, key=_TOTAL)][0]


class Counting(Protocol):
    """A window, as far as a register knows it."""

    period: float
    skew: float
    taken: int
    log: Log

    def join(self, register: Register) -> None:
        """Be counted in ``register`` as well."""
        ...

    def room(self, now: float) -> int:
        """How many may go at once, now and until something tightens it."""
        ...


class Register:
    """The calls of one limiter out of those ``windows`` that have the skew of the first: lent, on the wire, answered.

    What the windows have left is lent: as long as that lasts, a call is granted without asking them or the clock.
    A window that is asked by anybody calls in what it has lent first. What was sent and answered is kept here, once for
    all windows. ``user`` grants by it; it is not kept alive.
    """

    def __init__(self, windows: Sequence[Counting], user: object) -> None:
        self.credit = 0  # left of what was lent
        self.wire: deque[Slot] = deque()  # in order of sending; some may be answered
        self._lent = 0
        self._skew = windows[0].skew if windows else 0.0
        self.windows = [window for window in windows if window.skew == self._skew]
        self._user = ref(user)
        for window in self.windows:
            window.join(self)

    @property
    def over(self) -> bool:
        """Whether nothing is in it, and nobody is left to use it."""
        return not self.wire and not self._lent and self._user() is None

    def lend(self, now: float) -> None:
        """Borrow what all windows have left, once the last loan is called in."""
        if self.windows:
            self.credit = self._lent = max(0, min([window.room(now) for window in self.windows]))

    def call_in(self) -> None:
        """End the loan: the windows hear what was granted of it."""
        if self._lent:
            spent, self._lent, self.credit = self._lent - self.credit, 0, 0
            for window in self.windows:
                window.taken += spent

    def take(self, cost: int) -> None:
        """Grant, out of the loan if it suffices."""
        if cost <= self.credit:
            self.credit -= cost
        else:
            for window in self.windows:
                window.taken += cost

    def give_back(self, slot: Slot) -> None:
        """It never was sent."""
        if not slot.settled:
            slot.settled = True
            for window in self.windows:
                window.taken -= slot.cost

    def sent(self, now: float, slot: Slot) -> None:
        """The request is on the wire."""
        if slot.sent_at is None and not slot.settled:
            slot.sent_at = now
            self.wire.append(slot)

    def done(self, now: float, slot: Slot) -> None:
        """The answer is here, or with ``slot.lost`` nobody waits for it any more."""
        wire = self.wire
        if wire and (wire[0].settled or (wire[0].sent_at or 0.0) + self._skew <= now):
            self.settle(now)  # keeps the logs in order; it may settle this very slot
        # Without an answer only the skew bound tells when the server has surely counted the call.
        if not slot.settled and (slot.sent_at is None or not slot.lost):
            self._count(slot, now)
            if wire and wire[0] is slot:
                wire.popleft()

    def settle(self, now: float) -> None:
        """What was sent ``skew`` ago has been counted, answered or not."""
        wire = self.wire
        while wire and (wire[0].settled or (wire[0].sent_at or 0.0) + self._skew <= now):
            slot = wire.popleft()
            if not slot.settled:
                self._count(slot, (slot.sent_at or 0.0) + self._skew)

    def _count(self, slot: Slot, at: float) -> None:
        slot.settled = True
        for window in self.windows:
            window.log.add(at + window.period, slot.cost, at)
