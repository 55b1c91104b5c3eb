"""Closing what a loop has gone over, so that a cursor or file behind it is closed too."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

__all__ = ["closing_iterator", "each"]

T = TypeVar("T")


@asynccontextmanager
async def closing_iterator(found: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """``aclosing`` for what can be closed; another iterator is its owner's."""
    try:
        yield found
    finally:
        if isinstance(found, AsyncGenerator):
            await found.aclose()


async def each(rows: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[T, None]:
    """The rows one by one, of either kind. A generator is closed with the loop over them, if that is closed."""
    if isinstance(rows, AsyncIterable):
        async with closing_iterator(aiter(rows)) as found:
            async for row in found:
                yield row
        return
    try:
        for row in rows:
            yield row
    finally:
        if isinstance(rows, Generator):
            rows.close()
