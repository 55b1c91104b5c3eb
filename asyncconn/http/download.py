"""Downloads to disk: never whole in memory, and never half a file under the name that was asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncconn.core.files import PartialFile
from asyncconn.core.paths import file_path
from asyncconn.core.tasks import drain_guard
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

__all__ = ["save"]

_PIECE = 1024 * 1024  # bytes collected before a thread writes them
_DISK = 60.0  # seconds that a cancelled download waits for the disk


async def save(chunks: AsyncIterator[bytes], path: Path, *, replace: bool = True) -> int:
    """Write ``chunks`` to ``path``; the bytes there were. The file appears when it is complete.

    A new file is readable by its owner alone; one that is replaced keeps its mode, and a symbolic link is followed.
    With ``replace=False`` a file that is there already stays. It is written in a thread. Raises ``ConfigError`` when it
    cannot be written, and what ``chunks`` raises; either way, and when it is cancelled, nothing is left behind.
    """
    partial = PartialFile(file_path(path, "the download"), replace=replace)
    try:
        await _in_thread(partial.open)
        size = await _write(chunks, partial)
        await _in_thread(partial.finish)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already: remove it, or name the file to write") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        await _in_thread(partial.discard)
    return size


async def _write(chunks: AsyncIterator[bytes], partial: PartialFile) -> int:
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
