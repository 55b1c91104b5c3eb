"""Limiters that share a part: what one of them frees is for whoever of all has waited longest and can go."""

from __future__ import annotations

import math
import weakref
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncconn.core.rates.limiter import RateLimiter
    from asyncconn.core.rates.parts import Part

__all__ = ["Family"]


class _Users:
    """The limiters that a part stands in; kept alive by them."""

    def __init__(self, part: Part) -> None:
        self.part = part  # so that nothing else gets its id
        self.limiters: weakref.WeakSet[RateLimiter] = weakref.WeakSet()


_users: weakref.WeakValueDictionary[int, _Users] = weakref.WeakValueDictionary()  # by the part's id: any may be shared
_lock = Lock()


class Family:
    """A limiter and the others that share one of its parts."""

    def __init__(self, limiter: RateLimiter, parts: Sequence[Part]) -> None:
        self.others: tuple[weakref.ref[RateLimiter], ...] = ()
        self._self = weakref.ref(limiter)
        with _lock:
            self._users = [_users.setdefault(id(part), _Users(part)) for part in parts]
            for other in {other for users in self._users for other in users.limiters}:
                self.others += (weakref.ref(other),)
                other._family.others += (self._self,)
            for users in self._users:
                users.limiters.add(limiter)

    def alive(self) -> Iterator[RateLimiter]:
        """All of them that are still there."""
        for reference in (self._self, *self.others):
            if (one := reference()) is not None:
                yield one

    def leave(self, ended: Sequence[RateLimiter]) -> None:
        """Part from limiters whose loop has ended: whoever waited there is gone."""
        with _lock:
            self.others = tuple(other for other in self.others if other() not in ended)
            for users in self._users:
                users.limiters.difference_update(ended)
        for one in ended:
            one._queue.clear()  # a part of theirs that wakes all who use it must find nobody there

    @staticmethod
    def serve(waiting: list[RateLimiter]) -> None:
        """Let these grant what they can, in the order of asking across all of them.

        One whose head cannot go yet does not hold up the others: it may lack something that they do not need.
        """
        while waiting:
            waiting.sort(key=_head)
            until = _head(waiting[1]) if len(waiting) > 1 else math.inf
            if not waiting[0]._serve(until):
                del waiting[0]


def _head(limiter: RateLimiter) -> float:
    return limiter._queue[0][2] if limiter._queue else math.inf
