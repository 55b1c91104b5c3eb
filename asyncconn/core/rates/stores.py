"""Where a day's count lives on after the process: one small JSON file, locked and replaced atomically."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from asyncconn.core.files import FileLock, replace_file
from asyncconn.core.paths import file_path
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FileQuotaStore", "QuotaStore"]

_PATIENCE = 10.0  # seconds for a lock that others hold for some milliseconds
_BESIDE = 3  # windows that are kept on either side of the one in use, for clocks that were wrong


class QuotaStore(Protocol):
    """A shared counter.

    ``key`` identifies limit and credential (hashed), ``window`` the day or whatever the quota spans.
    """

    async def add(self, key: str, window: str, amount: int) -> int:
        """Add ``amount`` (negative gives back) to the count of this window, atomically; return the new total.

        Each window (they sort as text) has a count of its own, from zero on, and none resets another: two processes
        may disagree on the day for a moment. A later window that is stored already was counted under a wrong clock,
        or this one is: what is counted there is added to this window's count as well, once. It must not close this
        window, or a clock that was a year ahead would do so for a year. A store may forget windows long over.
        """
        ...


class FileQuotaStore:
    """A JSON file that several processes of one machine may share.

        >>> quota = Quota(20_000, store=FileQuotaStore("quota.json"))

    Raises ``ConfigError`` naming the file when it cannot be read or written, or does not hold what it should (delete
    it to start from zero), and when another process holds it for ten seconds.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = file_path(path, "the quota file")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileQuotaStore) and other._path == self._path

    def __hash__(self) -> int:
        return hash(self._path)

    async def add(self, key: str, window: str, amount: int) -> int:
        """See :class:`QuotaStore`. Runs in a thread; waits for other processes that hold the lock."""
        return await asyncio.to_thread(self._add, key, window, amount)

    async def check(self) -> int:
        """How many limits of credentials are counted in it: a look that changes nothing, and raises as :meth:`add`."""
        return len(await asyncio.to_thread(self._looked))

    def _looked(self) -> dict[str, Any]:
        try:
            return self._read()
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(f"the quota file {self._path} cannot be used: {error.strerror}")

    def _add(self, key: str, window: str, amount: int) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                counts = self._read()
                counts[key] = _counted(counts.get(key), window, amount)
                total: int = counts[key]["used"]
                self._write(counts)
        except OSError as error:
            raise self._unusable(error) from error
        return total

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self._path)
        if not lock.take(within=_PATIENCE):
            error = ConfigError(f"the quota file {self._path} was held by another process for {_PATIENCE:g} s")
            error.advice = "see which process holds it, and whether that was stopped; nothing was sent"
            raise error
        try:
            yield
        finally:
            lock.release()

    def _read(self) -> dict[str, Any]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        try:
            counts = json.loads(data)
            if not all(map(_is_entry, counts.values())):
                raise ValueError("an entry without window and used")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ConfigError(
                f"the quota file {self._path} is damaged ({error}); delete it to start from zero"
            ) from error
        return dict(counts)

    def _write(self, counts: dict[str, Any]) -> None:
        replace_file(self._path, json.dumps(counts).encode())


def _is_entry(entry: Any) -> bool:
    others = entry.get("others", {})
    return (
        isinstance(entry["window"], str)
        and isinstance(entry["used"], int)
        and all(isinstance(used, int) and isinstance(passed_on, int) for used, passed_on in others.values())
    )


def _counted(entry: dict[str, Any] | None, window: str, amount: int) -> dict[str, Any]:
    """The entry of a key after one more ``add``: the window asked for, and beside it the nearest others.

    Of each of those, what is counted there, and how much of that was passed on to an earlier window.
    """
    if entry is None:
        return {"window": window, "used": max(0, amount)}
    others: dict[str, list[int]] = {name: list(counts) for name, counts in entry.get("others", {}).items()}
    others.setdefault(entry["window"], [entry["used"], entry.get("passed_on", 0)])
    used, passed_on = others.pop(window, [0, 0])
    for later in (name for name in others if name > window):
        used += others[later][0] - others[later][1]
        others[later][1] = others[later][0]
    earlier, ahead = (sorted(name for name in others if (name > window) is after) for after in (False, True))
    kept = {name: others[name] for name in (*earlier[-_BESIDE:], *ahead[:_BESIDE])}
    counted: dict[str, Any] = {"window": window, "used": max(0, used + amount)}
    if passed_on:
        counted["passed_on"] = passed_on
    if kept:
        counted["others"] = kept
    return counted
