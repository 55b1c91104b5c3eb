"""The lines before the header of an exported CSV. Contract: datorama section 3.9, point 4."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["without_preamble"]

_EMPTY_LINE = re.compile(rb"(?:^|\n)[ \t]*\r?\n")
_ZIP = b"PK\x03\x04"  # spreadsheets, too
_MOST = 64 * 1024  # bytes in which an empty line must come, or there is no preamble


async def without_preamble(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What comes after the first empty line; everything, if the beginning has none, or is no text but a zip.

    An empty line after which nothing comes ends a file, not a preamble.
    """
    beginning = b""
    async for chunk in chunks:
        beginning += chunk
        zipped = beginning.startswith(_ZIP)
        found = None if zipped else _EMPTY_LINE.search(beginning)
        if found is not None and beginning[found.end() :].strip():
            yield beginning[found.end() :]
            break
        if zipped or len(beginning) > _MOST:
            yield beginning
            break
    else:
        yield beginning
        return
    async for chunk in chunks:
        yield chunk
