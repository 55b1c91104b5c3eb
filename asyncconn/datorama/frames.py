"""Tables with pyDatorama's columns, its times aware and in UTC. Contract: datorama sections 9.1, 9.9, 11.8.

They need pandas: ``pip install 'asyncconn[pandas]'``.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncconn.core.extras import extra
from asyncconn.core.files import replace_file
from asyncconn.core.frames import exact_frame
from asyncconn.datorama.log import COLUMNS, ERROR, SENDING, SOME_JOB, UNKNOWN, LogRow, read_log
from asyncconn.datorama.models import DataStream, Job
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

__all__ = ["job_log_frame", "jobs_frame", "log_rows_frame", "streams_frame", "write_csv"]

STREAM_FIELDS = (
    "id",
    "name",
    "dataSourceId",
    "sourceDisplayName",
    "workspaceId",
    "enabled",
    "hasData",
    "dataSourceAuthenticationId",
    "createTime",
    "lastUpdate",
    "lastRunStatus",
    "lastRowsRetrieved",
    "processedRows",
    "lastDataDate",
)
_JOB_FIELDS = (
    "id",
    "dataStreamId",
    "userId",
    "status",
    "dataStartDate",
    "dataEndDate",
    "startExecutionTime",
    "endExecutionTime",
    "processLog",
)
_TIMES = frozenset({"createTime", "updateTime", "lastUpdate", "startExecutionTime", "endExecutionTime"})
_DIGITS = 4_000  # Python reads no integer of more than 4,300
_CHANGES = ("stream", "new_params", "old_params", "status", "timestamp")


def streams_frame(streams: Iterable[DataStream], fields: Sequence[str] | None = None) -> pd.DataFrame:
    """A row for each stream: ``index`` and the fourteen columns of pyDatorama's ``create_stream_df``, or ``fields``.

    Fields are called as the platform calls them; those it left out are empty.
    """
    columns = list(STREAM_FIELDS if fields is None else fields)
    rows = [[_wire(stream).get(name) for name in columns] for stream in streams]
    return _table(columns, rows)


def jobs_frame(jobs: Iterable[Job]) -> pd.DataFrame:
    """A row for each job: ``index``, ``workspaceId``, ``streamId``, ``dataSourceName``, and every field of the jobs."""
    rows = [(job._stream, job.data_stream_id, _wire(job)) for job in jobs]
    found_names = dict.fromkeys(name for _, _, fields in rows for name in fields)
    declared = [name for name in _on_the_wire(Job).values() if name in found_names]
    fields = list(dict.fromkeys([*declared, *found_names])) or list(_JOB_FIELDS)
    return _table(
        ["workspaceId", "streamId", "dataSourceName", *fields],
        [
            [
                None if stream is None else stream.workspace_id,
                number if stream is None else stream.id,
                None if stream is None else stream.data_source_name,
                *map(found.get, fields),
            ]
            for stream, number, found in rows
        ],
    )


async def job_log_frame(path: str | os.PathLike[str]) -> pd.DataFrame:
    """What a job log says: a row for each job (or request that is no job yet), as it was last heard of.

    Raises ``ConfigError`` when the file cannot be read or is no job log.
    """
    rows = await asyncio.to_thread(_existing, path)
    return log_rows_frame(rows)


def log_rows_frame(rows: Iterable[LogRow]) -> pd.DataFrame:
    """The same from lines in memory."""
    last = list(_last_words(rows))
    frame: pd.DataFrame = _pandas().DataFrame(
        [[getattr(row, name) for name in COLUMNS] for row in last], columns=list(COLUMNS), dtype="object"
    )
    for name in ("exec_start", "exec_end"):
        frame[name] = _pandas().to_datetime(frame[name], utc=True, errors="coerce", format="ISO8601")
    for name in ("workspace", "stream"):  # not by way of a float, which has not every integer
        ids = [_id(getattr(row, name)) for row in last]
        fits = all(number is None or number < 2**63 for number in ids)
        frame[name] = _pandas().Series(ids, index=frame.index, dtype="Int64" if fits else "object")
    return frame


async def write_csv(frame: pd.DataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a table to a CSV file, without row numbers and without ``processLog``, as pyDatorama does.

    The file appears when it is complete. Raises ``ConfigError`` when it cannot be written.
    """
    target = Path(path)

    def write() -> None:
        text = frame.drop(columns=["processLog"], errors="ignore").to_csv(index=False)
        replace_file(target, text.encode())

    try:
        await asyncio.to_thread(write)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from error
    return target


def changes_frame(changes: Iterable[tuple[DataStream, Mapping[str, Any], str]], at: datetime) -> pd.DataFrame:
    """A row for each change (the stream before it, its fields, its outcome), as in pyDatorama's update log.

    Contract: section 9.9.
    """
    rows = []
    for stream, new, outcome in changes:
        old = {name: stream.raw.get(name) for name in new}
        rows.append([stream.id, dict(new), old, outcome, at])
    made: pd.DataFrame = _pandas().DataFrame(rows, columns=list(_CHANGES))
    return made


def _id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None


# -- inside ------------------------------------------------------------------------------------------------------------


def _pandas() -> Any:
    return extra("pandas")


def _table(columns: list[str], rows: list[list[Any]]) -> pd.DataFrame:
    frame: pd.DataFrame = exact_frame(columns, rows)
    for name in _TIMES.intersection(columns):
        frame[name] = _pandas().to_datetime(
            _pandas().to_numeric(frame[name], errors="coerce"), unit="ms", utc=True, errors="coerce"
        )
    frame.insert(0, "index", range(len(frame)))
    return frame


def _wire(thing: DataStream | Job) -> dict[str, Any]:
    """As the platform tells it; what was added here (a stream's workspace) too."""
    raw, names = thing.raw, _on_the_wire(type(thing))
    # What came is not written anew, which would be most of what a row costs.
    added = {name for name in thing.model_fields_set.union(thing.model_extra or ()) if names.get(name, name) not in raw}
    if not added:
        return raw
    return {**thing.model_dump(mode="json", by_alias=True, include=added, exclude_none=True, warnings=False), **raw}


@cache
def _on_the_wire(kind: type[DataStream | Job]) -> dict[str, str]:
    return {name: field.alias or name for name, field in kind.model_fields.items()}


def _existing(path: str | os.PathLike[str]) -> list[LogRow]:
    if not Path(path).exists():
        raise ConfigError(f"there is no job log {path}")
    return read_log(path)


def _last_words(rows: Iterable[LogRow]) -> Iterator[LogRow]:
    """The last line of each job, stream by stream; a request's own only where nothing came of it."""
    by_stream: defaultdict[str, dict[tuple[str, ...], LogRow]] = defaultdict(dict)
    for row in rows:
        found = by_stream[row.stream]
        if row.status in (SENDING, UNKNOWN, ERROR):
            found["request", row.job if row.job_type == "rerun" else "", row.start, row.end] = row
            continue
        for key in [key for key, known in found.items() if _is_answered(key, known, row)]:
            del found[key]
        job = ("job", row.job, "" if row.job.isdecimal() else row.start)
        before = found.get(job)
        found[job] = row if before is None else _merged(before, row)
    for found in by_stream.values():
        yield from found.values()


def _is_answered(key: tuple[str, ...], known: LogRow, row: LogRow) -> bool:
    """Whether a request, or what is known of its jobs in general, has become the job of this line."""
    if key[0] == "job" and known.job != SOME_JOB:
        return False
    if known.job_type == "rerun":
        return known.job == row.job
    return known.start <= row.start and row.end <= known.end


def _merged(before: LogRow, row: LogRow) -> LogRow:
    """A job that has ended keeps what it was queued as."""
    return LogRow(
        row.workspace,
        row.stream,
        row.job,
        before.job_type,
        row.start or before.start,
        row.end or before.end,
        row.status,
        row.exec_start,
        row.exec_end,
    )
