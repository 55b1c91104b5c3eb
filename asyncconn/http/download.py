"""Downloads to disk: never whole in memory, and never half a file under the name that was asked for."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from asyncconn.core.paths import file_path
from asyncconn.core.tasks import drain_guard
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["save"]

_PIECE = 1024 * 1024  # bytes collected before a thread writes them
_DISK = 60.0  # seconds that a cancelled download waits for the disk


async def save(chunks: AsyncIterator[bytes], path: Path) -> int:
    """Write ``chunks`` to ``path``; the bytes there were. The file appears when it is complete.

    It is readable by its owner alone, and written in a thread. Raises ``ConfigError`` when it cannot be written, and
    what ``chunks`` raises; either way, and when it is cancelled, nothing is left behind.
    """
    partial = _Partial(file_path(path, "the download"))
    try:
        await _in_thread(partial.open)
        size = await _write(chunks, partial)
        await _in_thread(partial.finish)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        await _in_thread(partial.discard)
    return size


async def _write(chunks: AsyncIterator[bytes], partial: _Partial) -> int:
    size = 0
    pieces: list[bytes] = []
    held = 0
    async for chunk in chunks:
        pieces.append(chunk)
        held += len(chunk)
        if held >= _PIECE:
            await _in_thread(partial.write, pieces)
            size, pieces, held = size + held, [], 0
    await _in_thread(partial.write, pieces)
    return size + held


async def _in_thread(work: Callable[..., None], *args: Any) -> None:
    """A thread cannot be cancelled: wait for its end, or it would go on with a file that has been given up."""
    await drain_guard(asyncio.to_thread(work, *args), timeout=_DISK, name="asyncconn:download")


class _Partial:
    """The file while it is written, under a hidden name beside its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary: Path | None = None
        self._file: BinaryIO | None = None

    def open(self) -> None:
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        self._temporary, self._file = Path(name), os.fdopen(handle, "wb")

    def write(self, pieces: list[bytes]) -> None:
        if self._file is not None:
            self._file.writelines(pieces)

    def finish(self) -> None:
        if self._temporary is not None and self._file is not None:
            self._file.close()
            self._temporary.replace(self._path)
            self._temporary = None

    def discard(self) -> None:
        """What is left of it, if it was not finished."""
        if self._file is not None and self._temporary is not None:
            with suppress(OSError):  # what did not fit on the disk does not fit now
                self._file.close()
            self._temporary.unlink(missing_ok=True)
