"""How far a source got, and how much of that may be kept: no more than what has been delivered.

Contract: panoply section 6, ``state``.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from asyncconn.core.held_file import HeldFile
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    import os
    from datetime import datetime
    from pathlib import Path

__all__ = ["Saved", "StateFile", "StateStore", "StateTracker", "held", "state_text"]

_REMEMBERED = 1024  # ids of recent rows: a state may be reported after them


@dataclass(frozen=True)
class Saved:
    """What outlives a run: the merged ``state``, and the parameters that the source ``changes`` (its tokens, say).

    ``given`` has, for each of these, a digest of what the parameter was when the run began. ``last`` is what the last
    run that brought everything leaves to the next one: ``lastTimeSucceed``, and where there is an incremental key,
    ``inckey`` with its greatest value, ``incval``.
    """

    state: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict, repr=False)
    given: dict[str, str] = field(default_factory=dict, repr=False)
    last: dict[str, Any] = field(default_factory=dict)

    def over(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """``params`` for the next run, with what was kept in them; a parameter that is given anew counts more."""
        kept = {
            name: value
            for name, value in self.changes.items()
            if self.given.get(name) in (None, digest(params.get(name)))
        }
        state = {"state": self.state} if self.state else {}
        return {**params, **self._of_last(params), **kept, **state}

    def after_success(self, began: datetime, key: str, incval: Any, params: Mapping[str, Any]) -> Saved:
        """What a run leaves that has brought everything: it began then, with these parameters.

        ``key`` is its incremental key, if it has one, and ``incval`` the greatest value of that; None if none came.
        """
        last: dict[str, Any] = {"lastTimeSucceed": began.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        if incval is not None:
            last |= {"inckey": key, "incval": incval, "began": digest(params.get("incval"))}
        elif key and self.last.get("inckey") == key:
            last = {**self.last, **last}
        return replace(self, last=last)

    def _of_last(self, params: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        if "lastTimeSucceed" in self.last and params.get("lastTimeSucceed") in (None, ""):
            found["lastTimeSucceed"] = self.last["lastTimeSucceed"]
        same_key = params.get("inckey") in (None, "", self.last.get("inckey"))
        if "incval" in self.last and same_key and self.last.get("began") == digest(params.get("incval")):
            found["incval"] = self.last["incval"]
        return found


def digest(value: Any) -> str:
    """Tells values apart without keeping them."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


class StateStore(Protocol):
    """Where a run's state is kept.

    One that has a method ``hold()`` as well, which gives an async context manager, is held for the whole of a run.
    """

    async def load(self) -> Saved:
        """What the last run left, or an empty ``Saved``."""
        ...

    async def save(self, saved: Saved) -> None:
        """Keep it, whole or not at all."""
        ...


def held(store: StateStore | None) -> AbstractAsyncContextManager[None]:
    """The store, kept from other runs, if it knows how to do that."""
    hold: Callable[[], AbstractAsyncContextManager[None]] | None = getattr(store, "hold", None)
    return nullcontext() if hold is None else hold()


class StateFile:
    """A JSON file, replaced atomically; a new one is readable by its owner alone: changed parameters may hold tokens.

    A symbolic link is followed. A run holds the file: ``StateInUse`` for another one that begins meanwhile. Raises
    ``ConfigError``, naming the file, when it cannot be read or written, or is not what was written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = HeldFile(path, "the state file")

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._file.path

    def __repr__(self) -> str:
        return f"StateFile({str(self.path)!r})"

    def hold(self) -> AbstractAsyncContextManager[None]:
        """Keep every other run off the file. Raises ``StateInUse``; see :meth:`HeldFile.hold`."""
        return self._file.hold()

    async def load(self) -> Saved:
        """See :class:`StateStore`. In a thread."""
        data = await self._file.load()
        if data is None:
            return Saved()
        try:
            found = json.loads(data)
            if not (isinstance(found, dict) and isinstance(found["state"], dict) and isinstance(found["source"], dict)):
                raise ValueError("it holds something else")
        except (ValueError, KeyError, RecursionError):
            # "from None": the error would quote the file, and it may hold tokens.
            raise ConfigError(
                f"the state file {self.path} is damaged or none of ours: restore it, or delete it to start anew"
            ) from None
        given, last = (value if isinstance(value := found.get(name), dict) else {} for name in ("given", "last"))
        return Saved(found["state"], found["source"], given, last)

    async def save(self, saved: Saved) -> None:
        """See :class:`StateStore`. In a thread; on disk when it returns.

        Raises ``StateInUse`` when the file is no longer as it was loaded or saved here: an older run must not set back
        what a newer one has reached.
        """
        whole = {"state": saved.state, "source": saved.changes, "given": saved.given, "last": saved.last}
        try:
            data = json.dumps(whole, indent=1).encode()
        except (TypeError, ValueError, RecursionError):  # only the changes: states have been through JSON before
            raise ConfigError("source-change: the changed parameters are not JSON; nothing of them was kept") from None
        await self._file.save(data)


def state_text(state: Any) -> str:
    """A reported state as JSON, at the moment it is reported. Raises ``ConfigError`` when it cannot be."""
    if not isinstance(state, Mapping):
        raise ConfigError(f"a state must be a mapping, not {type(state).__name__}")
    try:
        text = json.dumps(dict(state), allow_nan=False)
        json.loads(text, object_pairs_hook=_each_once)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"a state must be JSON: {error}") from None
    return text


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keys such as 1 and "1" are one once written: a value would be lost."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two of its keys are {twice!r} once written")
    return members


@dataclass(slots=True)
class _Reported:
    state_id: str
    text: str
    read: int
    place: int | None = None  # the read that has to be delivered first; None while its rows are still to come


class StateTracker:
    """Merges reported states, each once the rows it covers have been delivered. Pure: knows reads by number, from 1.

    A state covers the rows that carry its id, and everything that was read before them. One whose rows have not been
    seen yet waits for them, or for a state of a later read that had some: a page without rows reports a state too.
    Where no row ever carried an id, a state covers the rows of the read that reported it, or if that had none, of the
    next that has.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self._merged: dict[str, Any] = dict(state or {})
        self._reported: deque[_Reported] = deque()
        self._unplaced: list[_Reported] = []
        self._by_id: dict[str, _Reported] = {}
        self._recent: OrderedDict[str, None] = OrderedDict()

    def report(self, read: int, state_id: Any, text: str) -> None:
        """Read number ``read`` reported a state, as :func:`state_text`."""
        one = _Reported(str(state_id), text, read)
        self._reported.append(one)
        self._unplaced.append(one)
        self._by_id[one.state_id] = one

    def end_read(self, read: int, ids: Collection[str], rows: int) -> None:
        """Read number ``read`` returned ``rows`` rows, which carried these state ids."""
        for state_id in ids:
            if (one := self._by_id.get(state_id)) is not None:
                one.place = read
            self._recent[state_id] = None
            self._recent.move_to_end(state_id)
        while len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        for one in self._unplaced:
            if one.place is None and ((rows and not self._recent) or one.state_id in self._recent):
                one.place = read
        self._unplaced = [one for one in self._unplaced if one.place is None]

    def end(self, read: int) -> None:
        """There is no more to read: what still waits for rows covers everything."""
        for one in self._unplaced:
            one.place = read
        self._unplaced = []

    def settle(self, read: int) -> dict[str, Any] | None:
        """Everything up to this read has been delivered: the merged state if that adds to it, else None.

        States are merged in the order of their reports, so none overtakes an older one.
        """
        ready = 0
        waits = -1  # the read of the last state that has seen no rows
        for number, one in enumerate(self._reported, 1):
            if one.place is None:
                waits = one.read
            elif one.place > read:
                break
            elif one.read > waits:
                ready = number
        if not ready:
            return None
        for _ in range(ready):
            one = self._reported.popleft()
            if one.place is None:
                self._unplaced.remove(one)
            if self._by_id.get(one.state_id) is one:
                del self._by_id[one.state_id]
            self._merged.update(json.loads(one.text))
        return dict(self._merged)
