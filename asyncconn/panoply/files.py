"""Files for a table: looked at as a whole before anything is sent, then sent, and what did not arrive is kept."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Self, Unpack

from asyncconn.core.files import replace_file
from asyncconn.core.paths import file_path
from asyncconn.core.progress import OnProgress, Progress, telling
from asyncconn.core.row_files import Problem, Row, RowFile
from asyncconn.core.shown import Shown
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError, InvalidRecord, LifecycleError
from asyncconn.panoply import wire
from asyncconn.panoply.encoding import TABLE, dump_record, record_encoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from asyncconn.core.buffer.receipts import BatchStats, Delivery
    from asyncconn.core.row_files import RowOptions
    from asyncconn.errors import DeliveryFailed
    from asyncconn.panoply.writer import Panoply

__all__ = ["CheckedFile", "FileReport", "check_file"]

_MOST = 1000  # problems of a file that are kept; the rest is counted
_FLUSH_SECONDS = 120.0


@dataclass(frozen=True, repr=False)
class FileReport(Shown):
    """What became of a file of ``records``: so many were ``accepted`` by the writer, and have been ``delivered``.

    ``messages`` and ``bytes`` are how they travelled. ``undelivered`` are the records of the batches that failed, and
    those behind them, which were not sent any more; ``failures`` say why. ``next_line`` is that of the first record
    that was not accepted, 0 when all were. ``changed`` is whether somebody wrote to the file after it was checked.
    """

    records: int
    accepted: int
    delivered: int
    messages: int
    bytes: int
    undelivered: Sequence[dict[str, Any]] = field(default=(), repr=False)
    failures: Sequence[DeliveryFailed] = ()
    next_line: int = 0
    changed: bool = False

    @property
    def complete(self) -> bool:
        """Whether all of it has arrived, as it was checked."""
        return self.delivered == self.records and not self.changed

    async def save(self, path: str | os.PathLike[str]) -> Path:
        """Write ``undelivered`` as JSON lines, with all their digits; returns where: an earlier file stays as it is.

        That is ``path``, or ``NAME-2`` and so on where something is already: it may be the only copy of what it holds.
        Raises ``OSError``.
        """
        data = "".join(dump_record(record) + "\n" for record in self.undelivered).encode("ascii")
        return await in_thread(_saved, file_path(path, "the file of what did not arrive"), data)


async def check_file(
    source: str | os.PathLike[str] | BinaryIO,
    table: str,
    *,
    into: Panoply | None = None,
    id_column: str | None = None,
    on_progress: OnProgress | None = None,
    **how: Unpack[RowOptions],
) -> CheckedFile:
    """Look at all of a file before anything of it is sent; every fault is named with its line.

        >>> async with await check_file("people.csv", "people", into=panoply, id_column="email") as file:
        ...     print(file.records, file.problems)
        ...     report = await file.write()

    ``source`` is a path or a stream of bytes; ``how`` it is read as in :func:`~asyncconn.read_rows`. ``into`` is the
    writer that will send it; without one it can only be looked at, and no account is needed. ``id_column`` tells
    records apart, each exactly one, and becomes their ``id``. ``on_progress`` hears of records.

    Raises ``ConfigError`` for a file that cannot be read, or options that cannot be; ``InvalidRecord`` for a table that
    is no name.
    """
    if isinstance(source, str | os.PathLike):
        name, opened = str(source), RowFile(file_path(source, "the file of rows"), **how)
    else:
        name, opened = getattr(source, "name", "<stream>"), RowFile(source, **how)
    file = CheckedFile(opened, name, table, into, id_column)
    try:
        await file._look(on_progress)
    except OSError as error:
        await file.aclose()
        raise ConfigError(f"{file.name}: {error.strerror or error}") from error
    except BaseException:
        await file.aclose()
        raise
    return file


class CheckedFile:
    """A file that :func:`check_file` has looked at, open until it is closed: what is sent is what was looked at.

    ``name`` as it was given; ``told``, how it is read where that may surprise; ``records`` and ``bytes`` as they would
    be sent. ``problems`` are the first 1,000 of ``problem_count``.
    """

    def __init__(self, file: RowFile, name: str, table: str, into: Panoply | None, id_column: str | None) -> None:
        self.name = name
        self.table = table
        self.told = ""
        self.records = self.bytes = self.problem_count = 0
        self.problems: list[Problem] = []
        self._file = file
        self._encode = record_encoder(table)
        self._into = into
        self._room = wire.DEFAULT_MAX_MESSAGE_BYTES if into is None else into.room
        self._id_column = id_column
        self._lines_of_ids: dict[Any, int] = {}
        self._before: BatchStats | None = None
        self._failures: list[DeliveryFailed] = []
        self._unsent: list[dict[str, Any]] = []
        self._given = 0  # records that the writer has been given; it takes some at a time
        self._lines: deque[int] = deque(maxlen=1024)  # of the last of them
        self._behind = 0  # the line of the first that it has not been given, if that is known
        self._changed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the file. Idempotent."""
        await in_thread(self._file.close)

    # -- looking -------------------------------------------------------------------------------------------------------

    async def _look(self, on_progress: OnProgress | None) -> None:
        tell = telling(on_progress, f"reading {self.name}")
        self.told = await in_thread(lambda: self._file.open().told)
        pieces = self._file.pieces()
        while await in_thread(self._look_at_some, pieces):
            if tell is not None:
                tell(Progress(self.records, None, "records"))
        self._lines_of_ids.clear()

    def _look_at_some(self, pieces: Iterator[list[Row | Problem]]) -> bool:
        some = next(pieces, None)
        for row in self._identified(some or ()):
            found = self._problem(row) if isinstance(row, Row) else row
            if isinstance(found, Problem):
                self.problem_count += 1
                if self.problem_count <= _MOST:
                    self.problems.append(found)
            else:
                self.records += 1
                self.bytes += found
        return some is not None

    def _identified(self, rows: Iterable[Row | Problem]) -> Iterator[Row | Problem]:
        for row in rows:
            yield _identified(row, self._id_column) if self._id_column and isinstance(row, Row) else row

    def _problem(self, row: Row) -> Problem | int:
        """What would keep this record from being sent, or its size in bytes."""
        if TABLE in row.record:
            return Problem(row.line, f"{TABLE!r} is not for records to use: it names the table")
        try:
            length = len(self._encode(row.record)) + wire.RECORD_OVERHEAD
        except InvalidRecord as problem:
            return Problem(row.line, problem.message)
        if length > self._room:
            return Problem(row.line, f"the record takes {length:,} bytes as sent; a message holds {self._room:,}")
        if self._id_column:
            own = row.record["id"]
            first = self._lines_of_ids.setdefault(own, row.line)
            if first != row.line:
                return Problem(row.line, f"the id {own!r} is that of line {first} too: one would replace the other")
        return length

    # -- sending -------------------------------------------------------------------------------------------------------

    async def write(self, *, timeout: float = _FLUSH_SECONDS, on_progress: OnProgress | None = None) -> FileReport:
        """Send it, once, and wait for the outcome: ``timeout`` seconds after the last record was accepted.

        The first batch that fails ends the sending. The writer is for this file alone meanwhile: its totals are counted
        as the file's. ``on_progress`` hears of records that have arrived. When this is cancelled, what was accepted is
        on its way, and :attr:`report` tells how it went.

        Raises ``ConfigError`` for a file with problems, or one that was checked without ``into``, ``LifecycleError``
        the second time; and what :meth:`Panoply.write_many` raises.
        """
        writer = self._into
        if writer is None or self.problem_count:
            raise ConfigError(f"{self.name}: a file {'with problems' if writer else 'without a writer'} is not sent")
        if self._before is not None:
            raise LifecycleError(f"{self.name} was sent: check it again")
        before = self._before = writer.stats
        tell = telling(on_progress, f"writing {self.name}")

        def arrived(_: Delivery) -> None:
            if tell is not None:
                tell(Progress(writer.stats.delivered - before.delivered, self.records, "records"))

        writer.on("flush", arrived)
        writer.on("error", self._failures.append)
        try:
            pieces = self._file.pieces()
            some = await in_thread(next, pieces, None)
            while some is not None:
                self._behind = some[0].line
                following = await in_thread(next, pieces, None)
                self._behind = following[0].line if following else 0
                await writer.write_many(self.table, self._to_send(some))
                some = following
            await writer.flush(timeout)
        finally:
            self._changed = self._file.changed
        # Only now: after a cancellation, too, what fails on the way out is the file's.
        writer.off("error", self._failures.append)
        writer.off("flush", arrived)
        return self.report

    def _to_send(self, some: Sequence[Row | Problem]) -> Iterator[dict[str, Any]]:
        """The records, up to the first batch that fails: what is left then is kept beside its records."""
        for row in self._identified(some):
            if isinstance(row, Problem):
                continue  # the file has changed, as will be said
            if self._failures:
                self._unsent.append(row.record)
                continue
            self._given += 1
            self._lines.append(row.line)
            yield row.record

    @property
    def report(self) -> FileReport:
        """How far it is now."""
        if self._into is None or self._before is None:
            return FileReport(self.records, 0, 0, 0, 0)
        now, before = self._into.stats, self._before
        accepted = now.accepted - before.accepted
        failed = [record for failure in self._failures for record in failure.records]
        return FileReport(
            records=self.records,
            accepted=accepted,
            delivered=now.delivered - before.delivered,
            messages=now.batches_delivered - before.batches_delivered,
            bytes=now.bytes_delivered - before.bytes_delivered,
            undelivered=[{name: record[name] for name in record if name != TABLE} for record in failed] + self._unsent,
            failures=tuple(self._failures),
            # A writer that is cancelled leaves some that it was given.
            next_line=self._lines[accepted - self._given] if self._given > accepted else self._behind,
            changed=self._changed,
        )


def _saved(wanted: Path, data: bytes) -> Path:
    number, path = 1, wanted
    while True:
        try:
            replace_file(path, data, replace=False)
        except FileExistsError:
            number += 1
            path = wanted.with_stem(f"{wanted.stem}-{number}")
        else:
            return path


def _identified(row: Row, column: str) -> Row | Problem:
    value = row.record.get(column)
    if isinstance(value, dict | list):
        return Problem(row.line, f"the id in {column!r} is neither a text nor a number")
    if value is None or value == "":
        missing = f"there is no {column!r} to be its id"
        return Problem(row.line, f"{column!r} is empty: it is to be the id" if column in row.record else missing)
    if row.record.get("id", value) != value:
        return Problem(row.line, f"it has an 'id' already, another one than its {column!r}")
    return Row(row.line, {"id": value, **row.record})
