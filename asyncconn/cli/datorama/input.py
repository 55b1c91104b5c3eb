"""Which streams, days, jobs and names a bulk command is about: from its arguments, or from a file with a line for each.

All of it is looked at before anything is sent.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

from asyncconn.cli.options import STANDARD
from asyncconn.cli.output import count, faults, remark
from asyncconn.core.row_files import Problem, RowFile
from asyncconn.datorama import paths
from asyncconn.datorama.dates import DateRange
from asyncconn.datorama.errors import BadDate, UnequalInput
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncconn.core.row_files import Row

__all__ = ["jobs_to_rerun", "names_to_give", "ranges_to_process"]

T = TypeVar("T")

# A column by any of these names: ours, those of ``--output``, those of a job log.
_STREAM = ("stream", "streamId", "dataStreamId")


def ranges_to_process(
    streams: Sequence[int], starts: Sequence[str], ends: Sequence[str], file: Path | None
) -> tuple[list[int], list[str], list[str]]:
    """Streams, first and last days, equally many. Raises ``BadDate``, ``UnequalInput``, ``ConfigError``."""
    if file is not None:
        _either(streams or starts or ends, "streams and days")
        found, firsts, lasts = _columns(file, {"stream": (*_STREAM, "id"), "start": ("start",), "end": ("end",)})
        numbers = _ids(found)
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
        _either(jobs or streams, "a stream and its jobs")
        # "id" is the job in what `jobs --output` writes, which names its streams "streamId".
        of_streams, found = _columns(file, {"stream": _STREAM, "job": ("job", "id")})
        return _ids(of_streams), _ids(found, "job")
    if not jobs or not streams:
        raise ConfigError("which jobs? Give their ids and their --stream, or --file")
    return _for_each(streams, len(jobs), "--stream"), list(jobs)


def names_to_give(stream: int | None, name: str | None, file: Path | None) -> tuple[list[int], list[str]]:
    """Streams and their new names."""
    if file is not None:
        _either(stream is not None or name is not None, "a stream and a name")
        found, names = _columns(file, {"stream": (*_STREAM, "id"), "name": ("name",)})
        return _ids(found), names
    if stream is None or name is None:
        raise ConfigError("give a stream and its new name, or --file")
    if not name.strip():
        raise ConfigError("a stream needs a name")
    return [stream], [name]


def _either(arguments: object, what: str) -> None:
    if arguments:
        raise ConfigError(f"give {what}, or a file of them: not both")


def _for_each(values: Sequence[T], wanted: int, what: str) -> list[T]:
    if len(values) == 1:
        return [*values] * wanted
    if len(values) != wanted:
        raise UnequalInput(f"{what} is given {len(values)} times for {wanted}: give it once, or once for each")
    return [*values]


def _ids(texts: Sequence[str], what: str = "stream") -> list[int]:
    return [paths.number(text, what) for text in texts]


def _columns(path: Path, wanted: dict[str, tuple[str, ...]]) -> list[list[str]]:
    """The texts of the columns wanted, none of them empty. Names all that is wrong, then raises."""
    rows: list[list[str]] = []
    problems: list[Problem] = []
    name = "<stdin>" if path == STANDARD else str(path)
    try:
        with RowFile(sys.stdin.buffer if path == STANDARD else path).open() as file:
            if file.told:
                remark(f"{name}: read as {file.told}")
            for row in file.rows():
                found = row if isinstance(row, Problem) else _cells(row, wanted)
                if isinstance(found, Problem):
                    problems.append(found)
                else:
                    rows.append(found)
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror or error}") from None
    if problems:
        faults([f"{name}:{problem.line}: {problem.what}" for problem in problems])
        raise ConfigError(f"{count(len(problems), 'problem')} in {name}")
    if not rows:
        raise ConfigError(f"{name} holds nothing to do")
    return [list(column) for column in zip(*rows, strict=True)]


def _cells(row: Row, wanted: dict[str, tuple[str, ...]]) -> list[str] | Problem:
    found = []
    for what, names in wanted.items():
        value = next((row.record[name] for name in names if row.record.get(name) not in (None, "")), None)
        if value is None or isinstance(value, dict | list | bool):
            return Problem(row.line, f"there is no {what} (a column {' or '.join(names)})")
        if what in ("stream", "job") and not str(value).strip().isdecimal():
            return Problem(row.line, f"the {what} is no id: {value!r}")
        found.append(str(value).strip())
    return found
