"""What a process has of a shared limit: leases of calls, what became of them, and what the store has not heard yet."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

__all__ = ["Asked", "Leases"]


@dataclass(slots=True, eq=False)
class _Lease:
    """``left`` calls of ``size`` may still be granted, until ``until``; ``out`` are granted, and not over."""

    id: str
    size: int
    left: int
    until: float
    told: float  # when the store last heard that it is alive
    out: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of the store, and all that it is told when the call is repeated."""

    number: int
    at: float
    need: int  # 0: it only tells
    want: int
    reports: tuple[tuple[str, int, float | None], ...]  # lease, calls, when they were over; None: given back unused

    def told(self, now: float) -> list[str | int]:
        """The reports as the store wants them, with ages in milliseconds rather than times."""
        told: list[str | int] = []
        for lease, calls, at in self.reports:
            told += [lease, calls, -1 if at is None else max(0, int((now - at) * 1000))]
        return told


class Leases:
    """The books of one holder. A lease is good for ``ttl`` seconds from before it was asked for.

    Whichever lease a call was granted from, what is over is of the oldest one: the sums are the same, and what is left
    dies later. ``grain`` is how many seconds of reports become one.
    """

    def __init__(self, ttl: float, grain: float) -> None:
        self.room = 0  # calls that may be granted; those of leases that are over are counted until :meth:`advance`
        self._ttl = ttl
        self._grain = grain
        self._ready: deque[_Lease] = deque()  # with something left, the oldest first
        self._busy: deque[_Lease] = deque()  # with something out
        self._reports: dict[tuple[str, int | None], tuple[int, float | None]] = {}
        self._want = 0
        self._emptied = -math.inf  # when the last one was used up

    def __bool__(self) -> bool:
        """Whether there is anything that time or the store has to do with."""
        return bool(self._ready or self._busy or self._reports)

    def add(self, asked: Asked, lease: str, calls: int) -> None:
        """The store has granted so many."""
        self._ready.append(_Lease(lease, calls, calls, asked.at + self._ttl, asked.at))
        self.room += calls
        self._want = max(self._want, calls)  # where it is less than was wanted, others want some too

    def take(self, now: float, cost: int) -> None:
        """Grant so many, of the room there is."""
        self.room -= cost
        while cost:
            lease = self._ready[0]
            calls = min(cost, lease.left)
            if not lease.out:
                self._busy.append(lease)
            lease.left -= calls
            lease.out += calls
            cost -= calls
            if not lease.left:
                self._ready.popleft()
                if now < lease.until - self._ttl / 2:
                    self._want = min(2 * self._want, 1 << 30)  # the store has the last word
                    self._emptied = now

    def brisk(self, now: float) -> bool:
        """Whether the last lease was used up so quickly that another is wanted before somebody waits for it."""
        return not self.room and self._emptied > now - self._ttl / 2

    def want(self, need: int, first: int) -> int:
        """How many to ask for: twice what was used up quickly, what was used of the last one, or ``first``."""
        return max(need, self._want or first)

    def over(self, calls: int, at: float) -> None:
        """So many were counted by the server, at ``at`` at the latest."""
        for lease, some in self._oldest(calls):
            self._report(lease.id, some, at)

    def drop(self, calls: int) -> None:
        """So many are over, and the store need not hear of it."""
        self._oldest(calls)

    def unused(self, now: float, calls: int) -> None:
        """So many were granted and never sent."""
        for lease, some in self._oldest(calls):
            if lease.until > now:
                if not lease.left:
                    self._ready.appendleft(lease)
                lease.left += some
                self.room += some
            else:
                self._report(lease.id, some, None)

    def _oldest(self, calls: int) -> list[tuple[_Lease, int]]:
        found = []
        while calls and self._busy:
            lease = self._busy[0]
            some = min(calls, lease.out)
            lease.out -= some
            calls -= some
            if not lease.out:
                self._busy.popleft()
            found.append((lease, some))
        return found

    def _report(self, lease: str, calls: int, at: float | None) -> None:
        key = (lease, None if at is None else int(at / self._grain))
        before, latest = self._reports.get(key, (0, at))
        self._reports[key] = (before + calls, at if at is None or latest is None else max(at, latest))

    def advance(self, now: float) -> None:
        """Give back what is left of leases that are over."""
        while self._ready and self._ready[0].until <= now:
            self._return(self._ready.popleft())

    def end(self) -> None:
        """Give back all that is left."""
        while self._ready:
            self._return(self._ready.popleft())

    def _return(self, lease: _Lease) -> None:
        self.room -= lease.left
        self._want = max(1, lease.size - lease.left)
        self._report(lease.id, lease.left, None)
        lease.left = 0

    def reports(self, now: float) -> tuple[tuple[str, int, float | None], ...]:
        """What the store has not been told yet; from here on it counts as told."""
        told = [(lease, calls, at) for (lease, _), (calls, at) in self._reports.items()]
        self._reports.clear()
        for lease in self._busy:  # its calls may wait for a connection for long
            if lease.told < now - self._ttl / 2:
                lease.told = now
                told.append((lease.id, 0, now))
        return tuple(told)

    def due(self, now: float) -> bool:
        """Whether there is something to tell."""
        return bool(self._reports) or self.fading(now)

    def fading(self, now: float) -> bool:
        """Whether a lease would soon be taken for dead."""
        return any(lease.told < now - self._ttl / 2 for lease in self._busy)
