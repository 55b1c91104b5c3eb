"""The buffers of one owner, which are drained with it; those that nobody holds any more are not held here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from asyncconn.core.buffer.figures import Past
from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.errors import HubClosed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.core.buffer.figures import BufferFigures

__all__ = ["Attached"]


class Drained(Protocol):
    """What is drained at the end."""

    def figures(self) -> BufferFigures:
        """Its totals, under the name of its kind."""
        ...

    async def aclose(self, timeout: float | None = None) -> FlushReport:
        """Take no more, and deliver what was accepted."""
        ...


class Attached:
    """Buffers that are held weakly, unless they are to be ``kept``: one with records in it is held by its own work.

    What became of the records of one that is gone it leaves here (:meth:`left`), so that the report forgets none.
    """

    def __init__(self) -> None:
        self._buffers: WeakSet[Drained] = WeakSet()
        self._kept: list[Drained] = []
        self._past: list[FlushReport] = []
        self._gone = Past()
        self._closed = False

    def add(self, buffer: Drained, *, kept: bool = False) -> None:
        """Take one in. Raises ``HubClosed`` once the draining has begun."""
        if self._closed:
            raise HubClosed(f"{buffer!r} comes too late: its connector is closing or closed")
        self._buffers.add(buffer)
        if kept:
            self._kept.append(buffer)

    def left(self, report: FlushReport, figures: BufferFigures) -> None:
        """What one that is gone has to say."""
        self._past = [FlushReport.joined([*self._past, report])]
        self._gone.add(figures)

    def figures(self) -> Iterable[BufferFigures]:
        """Those of each that is there, and of those that are gone by their names."""
        here = list(self._buffers)  # held until the sum is made: none of them is counted twice
        return [*(one.figures() for one in here), *self._gone.figures()]

    async def drain(self, timeout: float) -> tuple[FlushReport | None, BaseException | None]:
        """Close all within ``timeout`` seconds, side by side: their report, if there ever was one; the first error."""
        self._closed = True
        buffers = list(self._buffers)
        outcomes = await asyncio.gather(*[one.aclose(timeout) for one in buffers], return_exceptions=True)
        self._kept.clear()
        reports = [outcome for outcome in outcomes if isinstance(outcome, FlushReport)]
        error = next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None)
        return (FlushReport.joined([*self._past, *reports]) if self._past or reports else None), error
