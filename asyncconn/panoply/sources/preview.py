"""A run of a source that sends nothing: what it would write is shown."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.errors import InvalidRecord
from asyncconn.panoply.encoding import record_encoder
from asyncconn.panoply.sources.runner import run_source
from asyncconn.panoply.sources.states import Saved, StateFile
from asyncconn.panoply.writer import WriteReport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from asyncconn.panoply.sources.source import DataSource

__all__ = ["preview_source"]


async def preview_source(
    source: DataSource | Callable[..., DataSource],
    params: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    show: Callable[[str, str], object],
    state: str | os.PathLike[str] | None = None,
    destination: str | None = None,
    batch_size: int = 1000,
    limit: int | None = None,
) -> None:
    """Read ``source`` as :func:`run_source` does, and ``show`` each row that it would write: its table, and its JSON.

        >>> await preview_source(Stream, {"type": "typeform"}, show=print, limit=10)

    It goes on from ``state``, which stays as it is and may be in use by a run, and ends after ``limit`` rows. Raises
    what :func:`run_source` and ``show`` raise.
    """
    kept = None if state is None else _Unchanged(state)
    into = _Shown(show, limit)
    try:
        await run_source(source, params, options, into=into, state=kept, destination=destination, batch_size=batch_size)
    except _Enough:
        return


class _Enough(Exception):
    """What was asked for has been shown."""


class _Shown:
    """Takes rows as Panoply does."""

    def __init__(self, show: Callable[[str, str], object], limit: int | None) -> None:
        self._show = show
        self._left = limit

    async def write_many(self, table: str, records: Iterable[Mapping[Any, Any]]) -> WriteReport:
        encode = record_encoder(table)
        written = 0
        for written, record in enumerate(records, 1):
            try:
                line = encode(record)
            except InvalidRecord as problem:
                problem.index = written - 1
                raise
            self._show(table, line.decode())
            if self._left is not None:
                self._left -= 1
                if not self._left:
                    raise _Enough
        return WriteReport(written, ())

    async def flush(self, timeout: float | None = None) -> FlushReport:
        return FlushReport()


class _Unchanged(StateFile):
    """A state to go on from that stays as it is. Looking at it keeps nobody else from it."""

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        yield

    async def save(self, saved: Saved) -> None:
        pass
