"""Limiters that share a part: what one of them frees is for whoever of all has waited longest and can go."""

from __future__ import annotations

import math
import weakref
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncconn.core.rates.parts import Part

__all__ = ["Family", "Member"]


class Member(Protocol):
    """What the others of its family know of a limiter."""

    def head(self) -> float:
        """The ticket of who waits first; infinity where nobody waits."""
        ...

    def serve(self, until: float = math.inf) -> bool:
        """Grant what is possible before the ticket ``until``: True if there it stopped."""
        ...


M = TypeVar("M", bound=Member)


class _Users:
    """The families of the limiters that a part stands in; kept alive by them."""

    def __init__(self, part: Part) -> None:
        self.part = part  # so that nothing else gets its id
        self.families: weakref.WeakSet[Family[Any]] = weakref.WeakSet()


_users: weakref.WeakValueDictionary[int, _Users] = weakref.WeakValueDictionary()  # by the part's id: any may be shared
_lock = Lock()
_FEW = 8  # others that are gone may be kept until somebody looks


class Family(Generic[M]):
    """The limiters that share a part with ``member``, whose family it is."""

    def __init__(self, member: M, parts: Sequence[Part]) -> None:
        self.others: tuple[weakref.ref[M], ...] = ()
        self._self = weakref.ref(member)
        with _lock:
            self._users = [_users.setdefault(id(part), _Users(part)) for part in parts]
            members = {other for users in self._users for other in users.families}
            for other in members:
                self.others += (other._self,)
                other.others += (self._self,)
                if len(other.others) > 2 * len(members) + _FEW:
                    other._forget_gone()
            for users in self._users:
                users.families.add(self)

    def alive(self) -> list[M]:
        """All of them that are still there."""
        found = [one for reference in (self._self, *self.others) if (one := reference()) is not None]
        if len(found) <= len(self.others):
            with _lock:
                self._forget_gone()
        return found

    def _forget_gone(self) -> None:
        self.others = tuple([other for other in self.others if other() is not None])

    def leave(self, ended: Sequence[M]) -> None:
        """Part from limiters whose loop has ended: whoever waited there is gone."""
        with _lock:
            self.others = tuple(other for other in self.others if other() not in ended)
            for users in self._users:
                users.families.difference_update([one for one in users.families if one._self() in ended])

    @staticmethod
    def serve(waiting: list[M]) -> None:
        """Let these grant what they can, in the order of asking across all of them.

        One whose head cannot go yet does not hold up the others: it may lack something that they do not need.
        """
        while waiting:
            waiting.sort(key=lambda one: one.head())
            until = waiting[1].head() if len(waiting) > 1 else math.inf
            if not waiting[0].serve(until):
                del waiting[0]
