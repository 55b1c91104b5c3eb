"""A small file in which a run keeps how far it is: one run has it at a time, none sets back what another reached."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asyncconn.core.files import FileLock, replace_file
from asyncconn.core.paths import file_path
from asyncconn.core.tasks import drain_guard
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError, StateInUse

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator

__all__ = ["HeldFile"]

_DISK = 60.0  # seconds that locking may take when nobody waits for it any more


class HeldFile:
    """Replaced whole or not at all; a new one is readable by its owner alone. A symbolic link is followed.

    ``what`` it is, as in "the state file", is in each message. Everything is done in a thread.
    """

    def __init__(self, path: str | os.PathLike[str], what: str) -> None:
        self.path = file_path(path, what)
        self._what = what
        self._seen: bytes | None = None  # what it held when it was last read or written here

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Keep every other run off the file, in this process and on this machine. Raises ``StateInUse``.

        The lock is on ``FILE.lock`` beside it, and ends with the process at the latest. A system without ``flock`` has
        none: there, only what another run has saved meanwhile is noticed.
        """
        lock = FileLock(self.path)
        try:
            # A cancellation is held back until it is known what has to be let go again.
            await drain_guard(asyncio.to_thread(self._lock, lock), timeout=_DISK, name="asyncconn:state:lock")
            yield
        finally:
            if lock.held:
                await drain_guard(asyncio.to_thread(lock.release), timeout=_DISK, name="asyncconn:state:unlock")

    async def load(self) -> bytes | None:
        """What is in it; None where there is none. Raises ``ConfigError`` when it cannot be read."""
        return await in_thread(self._load)

    async def save(self, data: bytes) -> None:
        """Put ``data`` in its place; it is on disk then. Raises ``ConfigError`` when that cannot be done.

        ``StateInUse`` when it is no longer as it was loaded or saved here.
        """
        await in_thread(self._save, data)

    def _lock(self, lock: FileLock) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not lock.take():
                raise StateInUse(f"{self._what} {self.path} is in use by another run")
        except ImportError:
            return
        except OSError as error:
            raise self._problem("locked", error) from error

    def _load(self) -> bytes | None:
        self._seen = b""
        try:
            self._seen = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._problem("read", error) from error
        return self._seen

    def _save(self, data: bytes) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._changed():
                raise StateInUse(
                    f"{self._what} {self.path} has been changed by another run meanwhile; it is left as it is"
                )
            replace_file(self.path, data)
            self._seen = data
        except OSError as error:
            raise self._problem("written", error) from error

    def _changed(self) -> bool:
        if self._seen is None:
            return False
        try:
            return self.path.read_bytes() != self._seen
        except FileNotFoundError:
            return False  # somebody wants to begin anew

    def _problem(self, what: str, error: OSError) -> ConfigError:
        return ConfigError(f"{self._what} {self.path} cannot be {what}: {error.strerror}")
