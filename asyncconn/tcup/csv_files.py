"""Files of observations: CSV in its long and its wide form, line by line. Contract: tcup sections 2.7, 13.21, 13.22."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.core.csv_text import CsvError, csv_reader
from asyncconn.core.paths import file_path
from asyncconn.core.progress import Progress, telling
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError
from asyncconn.http.download import save
from asyncconn.tcup.documents import time_of
from asyncconn.tcup.envelope import ItemResult
from asyncconn.tcup.inserting import InsertReport
from asyncconn.tcup.rows import COLUMNS

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from datetime import tzinfo
    from pathlib import Path
    from typing import TextIO

    from asyncconn.core.progress import OnProgress
    from asyncconn.http.stream import Stream

__all__ = ["BadLine", "CsvReport", "Line", "Lines", "save_csv"]

_AT_ONCE = 500  # lines that are read at a time
_SHARED = ("sensor", "feature", "starttime", "endtime")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file: its ``number`` (the header is 1; of one with line breaks in it, the last), and its cells."""

    number: int
    cells: list[str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not stored: its ``number`` in the file, and what is wrong with it."""

    number: int
    message: str


@dataclass(frozen=True, slots=True, repr=False)
class CsvReport(InsertReport):
    """What became of the lines of a file."""

    @property
    def bad_lines(self) -> tuple[BadLine, ...]:
        """Those that were rejected, here or by the platform, in order: the newest 10,000."""
        found = [BadLine(one.record.number, _told(one.reason)) for one in self.rejections]
        return tuple(sorted(found, key=lambda line: line.number))

    @classmethod
    def of(cls, report: InsertReport) -> CsvReport:
        """The report of a call whose rows were lines."""
        return cls(**{field.name: getattr(report, field.name) for field in dataclasses.fields(report)})


def _told(reason: Any) -> str:
    if isinstance(reason, ItemResult):
        return reason.message or reason.status or str(reason.code)
    return str(getattr(reason, "message", reason))


class Lines:
    """The lines of a file, read in a thread, a few hundred at a time; and the observation that each one means.

    It is in long form where its header has both ``name`` and ``value``; in wide form each column that is none of
    ``sensor``, ``feature``, ``starttime``, ``endtime`` is an output, and an empty cell there is none. ``zone`` is that
    of ISO 8601 times that name none.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        on_unknown: Literal["error", "ignore"],
        zone: str | tzinfo | None = None,
    ) -> None:
        if on_unknown not in ("error", "ignore"):
            raise ConfigError(f"on_unknown is 'error' or 'ignore', not {on_unknown!r}")
        self._source = source if isinstance(source, bytes) else file_path(source, "the CSV file")
        self._ignores = on_unknown == "ignore"
        self._zone = zone
        self._what = "the CSV" if isinstance(source, bytes) else str(self._source)
        self._file: TextIO | None = None
        self._reader: Any = None
        self._at: dict[str, int] = {}  # columns by their names
        self._outputs: dict[str, int] = {}  # of the wide form
        self._width = 0

    async def __aiter__(self) -> AsyncGenerator[Line, None]:
        """Every line below the header. Raises ``ConfigError`` for a file or a header that cannot be."""
        try:
            await in_thread(self._open)
            while some := await in_thread(self._some):
                for line in some:
                    yield line
        finally:
            await in_thread(self._close)

    def _open(self) -> None:
        try:
            raw = io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")
        except OSError as error:
            raise ConfigError(f"{self._what} cannot be read: {error.strerror}") from error
        self._file = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        self._reader = csv_reader(self._file)
        header = self._next()
        while header is not None and not header.cells:
            header = self._next()
        if header is None or header.problem:
            raise ConfigError(f"{self._what} has no header")
        self._learn([cell.strip() for cell in header.cells])

    def _learn(self, names: Sequence[str]) -> None:
        low = [name.lower() for name in names]
        if twice := [name for name in low if low.count(name) > 1]:
            raise ConfigError(f"{self._what} has the column {twice[0]!r} twice")
        self._width = len(names)
        places = {name: place for place, name in enumerate(low)}
        long = "name" in places and "value" in places
        self._at = {name: places[name] for name in (COLUMNS if long else _SHARED) if name in places}
        others = [name for name, lower in zip(names, low, strict=True) if lower not in self._at]
        if missing := [name for name in ("sensor", "starttime") if name not in places]:
            raise ConfigError(f"{self._what} has no column {missing[0]!r}")
        if long and others and not self._ignores:
            raise ConfigError(f"{self._what} has columns that nobody knows: {', '.join(map(repr, others))}")
        if not long:
            self._outputs = {name: places[name.lower()] for name in others if name}
            if not self._outputs:
                raise ConfigError(f"{self._what} has no column for an output, or one of 'name' and 'value' is missing")

    def _some(self) -> list[Line]:
        lines: list[Line] = []
        while len(lines) < _AT_ONCE and (line := self._next()) is not None:
            if line.cells or line.problem:
                lines.append(line)
        return lines

    def _next(self) -> Line | None:
        try:
            cells = next(self._reader)
            return Line(self._reader.line_num, cells)
        except StopIteration:
            return None
        except CsvError as error:
            return Line(self._reader.line_num, [], f"it is no CSV: {error}")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self._what} is not UTF-8") from error
        except OSError as error:
            raise ConfigError(f"{self._what} cannot be read: {error.strerror}") from error

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    # -- a line as an observation --------------------------------------------------------------------------------------

    def observation(self, line: Line) -> dict[str, Any]:
        """What a line means. Raises ``ConfigError`` for what it lacks."""
        cells = line.cells
        if line.problem:
            raise ConfigError(line.problem)
        if len(cells) != self._width:
            raise ConfigError(f"it has {len(cells)} cells, and the header {self._width}")
        found = {name: cells[place] for name, place in self._at.items()}
        if not found["sensor"]:
            raise ConfigError("it names no sensor")
        record: dict[str, Any] = {"starttime": time_of(found["starttime"], self._zone)}
        if found.get("endtime"):
            record["endtime"] = time_of(found["endtime"], self._zone)
        record["output"] = self._output(found, cells)
        made: dict[str, Any] = {"sensor": found["sensor"]}
        if found.get("feature"):
            made["feature"] = found["feature"]
        made["record"] = [record]
        return made

    def _output(self, found: dict[str, str], cells: list[str]) -> list[dict[str, str]]:
        if self._outputs:
            output = [{"name": name, "value": cells[place]} for name, place in self._outputs.items() if cells[place]]
            if not output:
                raise ConfigError("it has no value")
            return output
        if not found["name"]:
            raise ConfigError("it names no output")
        more = {name: found[name] for name in ("type", "unit") if found.get(name)}
        return [{"name": found["name"], "value": found["value"], **more}]


# -- down --------------------------------------------------------------------------------------------------------------


async def save_csv(stream: Stream, to: str | os.PathLike[str], on_progress: OnProgress | None = None) -> Path | None:
    """Save an open answer of CSV as ``to``; None, and no file, where there is nothing below the header."""
    target = file_path(to, "the CSV file")
    begun = b""
    async with aclosing(_counted(stream, telling(on_progress, f"download {target.name}"))) as chunks:
        async for chunk in chunks:
            begun += chunk
            if begun.rstrip(b"\r\n").count(b"\n"):
                await save(_after(begun, chunks), target)
                return target
    return None


async def _counted(stream: Stream, tell: OnProgress | None) -> AsyncGenerator[bytes, None]:
    size = 0
    async for chunk in stream:
        size += len(chunk)
        if tell is not None:
            tell(Progress(size, None, "bytes"))
        yield chunk


async def _after(begun: bytes, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    yield begun
    async for chunk in chunks:
        yield chunk
