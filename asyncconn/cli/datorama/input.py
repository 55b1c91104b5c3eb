"""Which streams, days, jobs and names a bulk command is about: from its arguments, or from a file with a line for each.

All of it is looked at before anything is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from asyncconn.cli.output import count, stderr
from asyncconn.core.row_files import Problem, RowFile
from asyncconn.datorama import paths
from asyncconn.datorama.dates import DateRange
from asyncconn.datorama.errors import BadDate, UnequalInput
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncconn.core.row_files import Row

__all__ = ["Ranges", "jobs_to_rerun", "names_to_give", "ranges_to_process"]

T = TypeVar("T")

Ranges = tuple[list[int], list[str], list[str]]

# A column by any of these names: ours, those of ``--output``, those of a job log.
_STREAM = ("stream", "streamId", "dataStreamId")
_SHOWN = 20


def ranges_to_process(streams: Sequence[int], starts: Sequence[str], ends: Sequence[str], file: Path | None) -> Ranges:
    """Streams, first and last days, equally many. Raises ``BadDate``, ``UnequalInput``, ``ConfigError``."""
    if file is not None:
        if streams or starts or ends:
            raise ConfigError("give streams and days, or a file of them: not both")
        rows = _read(file, {"stream": (*_STREAM, "id"), "start": ("start",), "end": ("end",)})
        found = [[row[at] for row in rows] for at in range(3)]
        numbers, firsts, lasts = [paths.number(one, "stream") for one in found[0]], found[1], found[2]
    else:
        if not streams:
            raise ConfigError("which streams? Give their ids, or --file")
        if not starts or not ends:
            raise ConfigError("which days? Give --start and --end")
        numbers = list(streams)
        firsts, lasts = _for_each(starts, len(numbers), "--start"), _for_each(ends, len(numbers), "--end")
    for number, first, last in zip(numbers, firsts, lasts, strict=True):
        try:
            DateRange.of(first, last)
        except BadDate as error:
            raise BadDate(f"stream {number}: {error.message}") from None
    return numbers, firsts, lasts


def jobs_to_rerun(jobs: Sequence[int], streams: Sequence[int], file: Path | None) -> tuple[list[int], list[int]]:
    """Streams and jobs, equally many."""
    if file is not None:
        if jobs or streams:
            raise ConfigError("give a stream and its jobs, or a file of them: not both")
        # "id" is the job in what `jobs --output` writes, which names its streams "streamId".
        rows = _read(file, {"stream": _STREAM, "job": ("job", "id")})
        return [paths.number(row[0], "stream") for row in rows], [paths.number(row[1], "job") for row in rows]
    if not jobs or not streams:
        raise ConfigError("which jobs? Give their ids and their --stream, or --file")
    return _for_each(streams, len(jobs), "--stream"), list(jobs)


def names_to_give(stream: int | None, name: str | None, file: Path | None) -> tuple[list[int], list[str]]:
    """Streams and their new names."""
    if file is not None:
        if stream is not None or name is not None:
            raise ConfigError("give a stream and a name, or a file of them: not both")
        rows = _read(file, {"stream": (*_STREAM, "id"), "name": ("name",)})
        return [paths.number(row[0], "stream") for row in rows], [row[1] for row in rows]
    if stream is None or name is None:
        raise ConfigError("give a stream and its new name, or --file")
    if not name.strip():
        raise ConfigError("a stream needs a name")
    return [stream], [name]


def _for_each(values: Sequence[T], wanted: int, what: str) -> list[T]:
    if len(values) == 1:
        return [*values] * wanted
    if len(values) != wanted:
        raise UnequalInput(f"{what} is given {len(values)} times for {wanted}: give it once, or once for each")
    return [*values]


def _read(path: Path, wanted: dict[str, tuple[str, ...]]) -> list[list[str]]:
    """For each line the texts of the columns wanted, none of them empty. Names all that is wrong, then raises."""
    rows: list[list[str]] = []
    problems: list[Problem] = []
    try:
        with RowFile(path).open() as file:
            if file.told:
                stderr().print(f"{path}: read as {file.told}", markup=False)
            for row in file.rows():
                found = row if isinstance(row, Problem) else _columns(row, wanted)
                if isinstance(found, Problem):
                    problems.append(found)
                else:
                    rows.append(found)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    for problem in problems[:_SHOWN]:
        stderr().print(f"{path}:{problem.line}: {problem.what}", markup=False)
    if problems:
        raise ConfigError(f"{count(len(problems), 'problem')} in {path}")
    if not rows:
        raise ConfigError(f"{path} holds nothing to do")
    return rows


def _columns(row: Row, wanted: dict[str, tuple[str, ...]]) -> list[str] | Problem:
    found = []
    for what, names in wanted.items():
        value = next((row.record[name] for name in names if row.record.get(name) not in (None, "")), None)
        if value is None or isinstance(value, dict | list | bool):
            return Problem(row.line, f"there is no {what} (a column {' or '.join(names)})")
        if what in ("stream", "job") and not str(value).strip().isdecimal():
            return Problem(row.line, f"the {what} is no id: {value!r}")
        found.append(str(value).strip())
    return found
