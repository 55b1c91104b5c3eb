"""What takes rows, whatever becomes of them there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

    from asyncconn.core.buffer.receipts import FlushReport

__all__ = ["Sink"]

T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """Takes rows and says what became of them: a ``@batched`` method, a table of Panoply, or one of your own.

    >>> async def copy(rows: AsyncIterable[Row], sink: Sink[Row]) -> bool:
    ...     return (await sink.deliver(rows)).complete
    """

    async def deliver(self, rows: Iterable[T_contra] | AsyncIterable[T_contra], /) -> FlushReport:
        """Take all of ``rows``, wait until each has an outcome, and report of these and no others."""
        ...
