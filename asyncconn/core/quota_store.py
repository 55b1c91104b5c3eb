"""Where a day's count lives on after the process: one small JSON file, locked and replaced atomically."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from asyncconn.core.files import FileLock, replace_file
from asyncconn.core.paths import file_path
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FileQuotaStore", "QuotaStore"]


class QuotaStore(Protocol):
    """A shared counter.

    ``key`` identifies limit and credential (hashed), ``window`` the day or whatever the quota spans.
    """

    async def add(self, key: str, window: str, amount: int) -> int:
        """Add ``amount`` (negative gives back) to the count of this window, atomically; return the new total.

        A later window than the stored one (they sort as text) starts at zero and replaces it. An earlier one is over:
        a process whose clock is behind must neither reset the new count nor get any more, so the answer is a total
        above any limit.
        """
        ...


class FileQuotaStore:
    """A JSON file that several processes of one machine may share.

        >>> quota = Quota(20_000, store=FileQuotaStore("quota.json"))

    Raises ``ConfigError`` naming the file when it cannot be read or written, or does not hold what it should;
    delete it to start from zero.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = file_path(path, "the quota file")

    async def add(self, key: str, window: str, amount: int) -> int:
        """See :class:`QuotaStore`. Runs in a thread; waits for other processes that hold the lock."""
        return await asyncio.to_thread(self._add, key, window, amount)

    def _add(self, key: str, window: str, amount: int) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                counts = self._read()
                entry = counts.get(key)
                if entry is not None and entry["window"] > window:
                    return sys.maxsize
                used = entry["used"] if entry is not None and entry["window"] == window else 0
                total = max(0, used + amount)
                counts[key] = {"window": window, "used": total}
                self._write(counts)
        except OSError as error:
            raise ConfigError(f"the quota file {self._path} cannot be used: {error.strerror}") from error
        return total

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self._path)
        lock.take(wait=True)
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
            if not all(isinstance(e["window"], str) and isinstance(e["used"], int) for e in counts.values()):
                raise ValueError("an entry without window and used")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ConfigError(
                f"the quota file {self._path} is damaged ({error}); delete it to start from zero"
            ) from error
        return dict(counts)

    def _write(self, counts: dict[str, Any]) -> None:
        replace_file(self._path, json.dumps(counts).encode())
