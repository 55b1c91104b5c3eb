"""The job log: a CSV file with pyDatorama's columns, to read, and to go on from. Contract: datorama section 9.9.

Three lines tell the life of a job. ``sending``, before its request goes out, with ``na`` for the job; then one for each
job that was accepted (``queued``; its id, or ``generic`` where the answer does not tell), or ``error`` or ``unknown``;
and where jobs are waited for, one more with the platform's own word in lower case, when they have ended. What is
``sending`` or ``unknown`` to the last may have been accepted. Times are UTC, days ``YYYY-MM-DD``.
"""

from __future__ import annotations

import asyncio
import csv
import io
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from asyncconn.core.csv_text import CsvError, csv_reader
from asyncconn.core.paths import file_path
from asyncconn.core.tasks import drain_guard
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn.datorama.dates import DateRange
    from asyncconn.datorama.models import DataStream, Job

__all__ = ["COLUMNS", "JobLog", "JobType", "LogRow", "read_log"]

COLUMNS = ("workspace", "stream", "job", "job_type", "start", "end", "status", "exec_start", "exec_end")

JobType = Literal["process", "rerun", "batch_processing"]

NO_JOB, SOME_JOB, ALL_JOBS = "na", "generic", "all"
SENDING, QUEUED, UNKNOWN, ERROR = "sending", "queued", "unknown", "error"
_WRITING = 60.0  # seconds that a cancelled call still waits for its line to be on the disk


@dataclass(frozen=True, slots=True)
class LogRow:
    """One line; everything is text, as in the file."""

    workspace: str
    stream: str
    job: str
    job_type: str
    start: str
    end: str
    status: str
    exec_start: str
    exec_end: str = ""

    @classmethod
    def of(
        cls,
        stream: DataStream,
        job: Job | str,
        job_type: JobType,
        days: DateRange | None,
        status: str,
        at: datetime,
        ended: datetime | None = None,
    ) -> LogRow:
        """From what is known. ``days`` are the job's own unless given."""
        first, last = (days.start, days.end) if days is not None else ("", "")
        if not isinstance(job, str):
            first, last = job.data_start_date or first, job.data_end_date or last
        return cls(
            _text(stream.workspace_id),
            _text(stream.id),
            job if isinstance(job, str) else _text(job.id),
            job_type,
            _text(first),
            _text(last),
            status,
            _text(at),
            _text(ended),
        )


def _text(value: object) -> str:
    """Times in ISO form; what the platform gave for a time and is none, as it came."""
    return "" if value is None else value.isoformat() if isinstance(value, datetime) else str(value)


def read_log(path: str | os.PathLike[str]) -> list[LogRow]:
    """The lines of a log; blocks. A last line that was cut off, and lines of another shape, are left out.

    No file is an empty log. Raises ``ConfigError`` when it cannot be read, or is another kind of file.
    """
    try:
        text = file_path(path, "the job log").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"the job log {path} cannot be read: {error.strerror}") from error
    lines = csv_reader(text.splitlines())
    try:
        header = next(lines, None)
        if header is not None and tuple(header) != COLUMNS:
            raise ConfigError(f"{path} is no job log: its first line is not {','.join(COLUMNS)}")
        return [LogRow(*line) for line in lines if len(line) == len(COLUMNS)]
    except CsvError as error:
        raise ConfigError(f"{path} is no job log: {error}") from error


class JobLog:
    """Appends lines to a log, each batch with one write that is on the disk when :meth:`append` returns."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = file_path(path, "the job log")
        self._turn = asyncio.Lock()

    async def read(self) -> list[LogRow]:
        """What is in it already. Raises ``ConfigError``."""
        return await asyncio.to_thread(read_log, self.path)

    async def open(self) -> list[LogRow]:
        """The same, and a new one gets its header."""
        rows = await self.read()
        await self._guarded(self._begin)
        return rows

    async def append(self, rows: Iterable[LogRow]) -> None:
        """Add lines. A cancellation meanwhile waits until they are written. Raises ``ConfigError`` when they cannot."""
        lines = _csv([astuple(row) for row in rows])
        await self._guarded(lambda: self._write(lines))

    async def _guarded(self, work: Callable[[], None]) -> None:
        await drain_guard(self._in_turn(work), timeout=_WRITING, name=f"job log {self.path.name}")

    async def _in_turn(self, work: Callable[[], None]) -> None:
        async with self._turn:
            try:
                await asyncio.to_thread(work)
            except OSError as error:
                raise ConfigError(f"the job log {self.path} cannot be written: {error.strerror}") from error

    def _begin(self) -> None:
        data = self.path.read_bytes() if self.path.exists() else b""
        if not data:
            self._write(_csv([COLUMNS]))
        elif not data.endswith(b"\n"):
            self._write(b"\n")  # the line that was cut off stays alone

    def _write(self, data: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
