"""Objects of one kind: made, replaced, merged and taken away as the platform does it.

Contract: datorama section 1.4.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Shelf"]

_HISTORY = frozenset(
    {"id", "createUserId", "createUser", "createTime", "updateUserId", "updateUser", "updateTime", "lastUpdate"}
)


class Shelf:
    """``objects`` by id; free to be changed by a test.

    ``defaults`` are the fields of a new object. ``parent`` names the field with the id of what it belongs to, which
    no write changes; ``owned`` are fields that only the platform writes, beside the history.
    """

    def __init__(
        self, first_id: int, defaults: Mapping[str, Any], parent: str | None = None, owned: Iterable[str] = ()
    ) -> None:
        self.objects: dict[int, dict[str, Any]] = {}
        self.parent = parent
        self._defaults = defaults
        self._next_id = first_id
        self._ignored = _HISTORY | frozenset(owned)

    def add(self, given: Mapping[str, Any], user: int, millis: int) -> dict[str, Any]:
        """A new object of ``given`` fields."""
        made: dict[str, Any] = {"id": self._next_id}
        for name, value in self._defaults.items():
            made[name] = copy.deepcopy(value) if isinstance(value, list | dict) else value
        made.update((name, value) for name, value in given.items() if name not in self._ignored)
        if "createTime" in made:
            made["createTime"] = millis
        if "createUserId" in made:
            made["createUserId"], made["createUser"] = user, _user_name(user)
        self._touch(made, user, millis)
        self.objects[self._next_id] = made
        self._next_id += 1
        return made

    def merge(self, there: dict[str, Any], given: Mapping[str, Any], user: int, millis: int) -> None:
        """PATCH: the fields that are given."""
        kept = self._ignored | {self.parent}
        there.update((name, value) for name, value in given.items() if name not in kept)
        self._touch(there, user, millis)

    def replace(self, there: dict[str, Any], given: Mapping[str, Any], user: int, millis: int) -> None:
        """PUT: what is not given is cleared."""
        kept = self._ignored | {self.parent}
        for name in [name for name in there if name not in kept and name not in given]:
            if name in self._defaults:
                there[name] = _cleared(self._defaults[name])
            else:
                del there[name]
        self.merge(there, given, user, millis)

    def of(self, parent_id: int) -> list[dict[str, Any]]:
        """Those that belong to ``parent_id``."""
        assert self.parent is not None  # noqa: S101 - asked only of shelves whose objects belong to something
        return [each for each in self.objects.values() if each.get(self.parent) == parent_id]

    def _touch(self, changed: dict[str, Any], user: int, millis: int) -> None:
        for name in ("updateTime", "lastUpdate"):
            if name in self._defaults:
                changed[name] = millis
        if "updateUserId" in self._defaults:
            changed["updateUserId"], changed["updateUser"] = user, _user_name(user)


def _user_name(user: int) -> str:
    return f"User {user}"


def _cleared(default: object) -> object:
    """Truth values and lists of the real platform are hardly ever null."""
    return False if isinstance(default, bool) else [] if isinstance(default, list) else None
