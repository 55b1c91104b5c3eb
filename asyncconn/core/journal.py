"""Which rows of a run have arrived, in a file: added as they do, so that a run that was killed can go on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["SIZE", "Journal"]

T = TypeVar("T")

#: Bytes of a digest.
SIZE = 16

_MARK = b"asyncconn"


class Journal:
    """Digests of ``SIZE`` bytes, one a row. Those of another ``run`` count for nothing, and an end that is cut neither.

    Everything is done in a thread, and is on disk then. Raises ``ConfigError`` where that is not possible.
    """

    def __init__(self, path: Path, run: int) -> None:
        self.path = path
        self._head = _MARK + run.to_bytes(SIZE - len(_MARK), "big")
        self._file: BinaryIO | None = None

    async def open(self) -> list[bytes]:
        """What an earlier try of this run has left."""
        return await self._done(self._open)

    async def add(self, digests: Iterable[bytes]) -> None:
        """These have arrived."""
        await self._done(lambda: self._add(b"".join(digests)))

    async def remove(self) -> None:
        """The run has come to its end."""
        await self._done(lambda: self.path.unlink(missing_ok=True))

    async def aclose(self) -> None:
        """Let go of the file, which stays."""
        file, self._file = self._file, None
        if file is not None:
            await self._done(file.close)

    async def _done(self, work: Callable[[], T]) -> T:
        try:
            return await in_thread(work)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be used: {error.strerror or error}") from error

    def _open(self) -> list[bytes]:
        self._file = file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        data = file.read()
        whole = len(data) - len(data) % SIZE
        if data[:SIZE] != self._head:
            file.seek(0)
            file.truncate()
            file.write(self._head)
            file.flush()
            return []
        file.seek(whole)
        file.truncate()
        return [data[at : at + SIZE] for at in range(SIZE, whole, SIZE)]

    def _add(self, data: bytes) -> None:
        if self._file is not None:
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
