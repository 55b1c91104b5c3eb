"""Downloads to disk: never whole in memory, and never half a file under the name that was asked for."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["save"]

_PIECE = 1024 * 1024  # bytes collected before a thread writes them


async def save(chunks: AsyncIterator[bytes], path: Path) -> int:
    """Write ``chunks`` to ``path``; the bytes there were. The file appears when it is complete.

    Files are written in a thread. Raises ``ConfigError`` when it cannot be written, and what ``chunks`` raises; either
    way nothing is left behind.
    """
    try:
        handle, name = await asyncio.to_thread(tempfile.mkstemp, dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    temporary = Path(name)
    file = os.fdopen(handle, "wb")
    try:
        size = await _write(chunks, file)
        await asyncio.to_thread(_finish, file, temporary, path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        file.close()
        await asyncio.to_thread(temporary.unlink, missing_ok=True)
    return size


async def _write(chunks: AsyncIterator[bytes], file: BinaryIO) -> int:
    size = 0
    pieces: list[bytes] = []
    held = 0
    async for chunk in chunks:
        pieces.append(chunk)
        held += len(chunk)
        if held >= _PIECE:
            await asyncio.to_thread(file.write, b"".join(pieces))
            size, pieces, held = size + held, [], 0
    await asyncio.to_thread(file.write, b"".join(pieces))
    return size + held


def _finish(file: BinaryIO, temporary: Path, path: Path) -> None:
    file.flush()
    file.close()
    temporary.replace(path)
