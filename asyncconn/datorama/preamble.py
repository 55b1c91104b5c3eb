"""The lines before the header of an exported CSV. Contract: datorama section 3.9, point 4."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["without_preamble"]

_EMPTY_LINE = re.compile(rb"(?:^|\n)[ \t]*\r?\n")
_MOST = 64 * 1024  # bytes in which an empty line must come, or there is no preamble


async def without_preamble(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What comes after the first empty line; everything, if the beginning has none."""
    beginning = b""
    async for chunk in chunks:
        beginning += chunk
        if (found := _EMPTY_LINE.search(beginning)) is not None:
            yield beginning[found.end() :]
            break
        if len(beginning) > _MOST:
            yield beginning
            break
    else:
        yield beginning
        return
    async for chunk in chunks:
        yield chunk
