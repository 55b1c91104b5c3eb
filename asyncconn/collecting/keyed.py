"""Partitions into any sink: what arrives there twice has the same key, and is one row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeGuard

from asyncconn.collecting.folders import Folder
from asyncconn.core.files import replace_file
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError, DeliveryFailed, InvalidRecord

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from asyncconn.collecting.sinks import Run
    from asyncconn.core.sinks import Sink
    from asyncconn.hub import Hub

__all__ = ["Keyed"]

logger = logging.getLogger("asyncconn.collecting")

_BATCH = 500  # rows that are given to the sink at a time


class Keyed:
    """A sink that knows a row by its ``key`` column: a table of Panoply with an ``id``, or a ``@batched`` method.

        >>> into = Keyed(lambda hub: Panoply.from_env(hub=hub).table("jobs"), key="id", done="jobs.done")
        >>> report = await collect(streams, jobs_of, into=into)

    ``sink`` is one, or a function of the hub that makes one, as each worker of a cluster needs its own. ``done`` is a
    folder that keeps which partitions have arrived. Of one that was cut short rows may arrive twice, which is why each
    has the column ``key``, and why the sink makes one of them: that is its part.

    A partition fails when its rows did not arrive, or one lacks the key. Rows that the sink rejects for good are
    logged, and not sent again. Raises ``ConfigError``.
    """

    def __init__(self, sink: Sink[Any] | Callable[[Hub], Sink[Any]], *, key: str, done: str | os.PathLike[str]) -> None:
        if not key:
            raise ConfigError(f"key is the name of a column, not {key!r}")
        self._sink = sink
        self._key = key
        self._marks = _Marks(done)

    @property
    def by_batch(self) -> bool:
        """Each partition arrives by itself."""
        return False

    def hold(self, run: Run) -> AbstractAsyncContextManager[set[str]]:
        """The names of the partitions that have arrived. Raises as a folder's does."""
        return self._marks.hold(run)

    async def open(self, run: Run, hub: Hub) -> _Place:
        """For the process that does batches."""
        await self._marks.check(run)
        return _Place(_made(self._sink, hub), self._key, self._marks)


def _made(sink: Sink[Any] | Callable[[Hub], Sink[Any]], hub: Hub) -> Sink[Any]:
    return sink if _is_sink(sink) else sink(hub)  # type: ignore[operator] # it is one or the other


def _is_sink(sink: Any) -> TypeGuard[Sink[Any]]:
    return hasattr(sink, "deliver")


class _Marks(Folder):
    """A file for each partition that has arrived, with the number of its rows."""

    ending = ".done"

    def found(self, name: str) -> int | None:
        with suppress(FileNotFoundError, ValueError):
            return int(self.place(name).read_bytes())
        return None

    def mark(self, name: str, rows: int) -> None:
        path = self.place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, str(rows).encode())


class _Place:
    def __init__(self, sink: Sink[Any], key: str, marks: _Marks) -> None:
        self._sink = sink
        self._key = key
        self._marks = marks

    def writing(self, names: Sequence[str]) -> _Place:
        return self

    async def found(self, name: str) -> int | None:
        return await in_thread(self._marks.found, name)

    async def write(self, name: str, rows: AsyncIterable[Any]) -> int:
        count, some = 0, list[Mapping[str, Any]]()
        async for row in rows:
            if not isinstance(row, Mapping) or row.get(self._key) is None:
                raise InvalidRecord(
                    f"it has no {self._key!r}, by which the sink would know it", index=count + len(some)
                )
            some.append(row)
            if len(some) == _BATCH:
                count += await self._deliver(some)
                some = []
        count += await self._deliver(some) if some else 0
        await in_thread(self._marks.mark, name, count)
        return count

    async def _deliver(self, rows: list[Mapping[str, Any]]) -> int:
        report = await self._sink.deliver(rows)
        if report.rejections:  # looking at them tells of them, and so does this line
            logger.warning("%d rows were rejected: %s", report.rejected, report.rejections[0].reason)
        left = report.failed + report.unknown + report.pending - report.spooled
        if left:
            reason = next((one for one in report.failures if not one.reasons), None)
            why = "they had no outcome in time" if reason is None else reason.message
            maybe = bool(report.unknown)
            text = f"{left} rows did not arrive: {why}"
            raise DeliveryFailed(text, records=report.undelivered, maybe_delivered=maybe) from reason
        return len(rows)

    async def finish(self) -> None:
        """Each has arrived already."""
