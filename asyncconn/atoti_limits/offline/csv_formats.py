"""The Limits server's files: read, checked as a whole, and written.

All are UTF-8 (a byte order mark is accepted) with commas, quotes as in RFC 4180, a header row, ISO dates and a point in
numbers. Contract: limits section 11.5.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.errors import Detail, LimitsProtocolError, LimitsValidationError
from asyncconn.atoti_limits.offline.csv_columns import BETA_NAMES, FORMER_NAMES, Column, Kind, columns
from asyncconn.atoti_limits.versions import LATEST
from asyncconn.core.csv_text import CsvError, csv_reader
from asyncconn.core.frames import exact_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from asyncconn.atoti_limits.versions import Version

__all__ = [
    "CsvTable",
    "Row",
    "Source",
    "evaluation_columns",
    "evaluation_rows",
    "frame",
    "read_as_of_date",
    "read_incidents",
    "read_legacy_limits",
    "read_limits",
    "read_structures",
    "write_as_of_date",
    "write_incidents",
    "write_limits",
    "write_structures",
]

Row = dict[str, Any]
#: The text of a file, its bytes, or rows as mappings from column to value.
Source = str | bytes | Iterable[Mapping[str, Any]]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_NOT_BETA = {beta: name for name, beta in BETA_NAMES.items()}
_DIGITS = 300  # a double has no more; Python refuses to read integers of thousands
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A file that was read: all its columns in their order, also unknown ones, and its rows.

    Values are text, ``int`` and ``float`` (as the number is written), ``bool``, ``date``, a list of numbers, or None
    where a cell is empty.
    """

    kind: Kind
    columns: tuple[str, ...]
    rows: list[Row]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def frame(self) -> pd.DataFrame:
        """A pandas ``DataFrame``. Raises ``ConfigError`` without pandas."""
        return frame(self.rows, self.columns)


def frame(rows: Iterable[Mapping[str, Any]], named: Iterable[str] | None = None) -> pd.DataFrame:
    """Rows as a pandas ``DataFrame``, the columns in the order of ``named``. Raises ``ConfigError`` without pandas."""
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row)) if named is None else list(named)
    made: pd.DataFrame = exact_frame(names, [[row.get(name) for name in names] for row in rows])
    return made


# -- the files ---------------------------------------------------------------------------------------------------------


def read_structures(source: Source, version: str | Version = LATEST, *, complete: bool = True) -> CsvTable:
    """Read ``limit_structures.csv`` of a Limits server of ``version``, from its text or bytes, or check rows for it.

    A file must have every column of its version, which the server insists on; ``complete=False`` lets those be missing
    that need no value. Columns that are not known are kept.

    Raises ``LimitsValidationError`` whose ``details`` name the row (the header is row 1) and the column of everything
    that is wrong, and ``ConfigError`` for a version without this file.
    """
    return _read("structures", source, version, complete)


def read_limits(source: Source, version: str | Version = LATEST, *, complete: bool = True) -> CsvTable:
    """Read ``limits_approve.csv``; see :func:`read_structures`. The values of 2.0 to 3.2 are lists, later numbers."""
    return _read("limits", source, version, complete)


def read_incidents(source: Source, version: str | Version = LATEST, *, complete: bool = True) -> CsvTable:
    """Read a file of incidents; see :func:`read_structures`. For an answer of evaluate use :func:`evaluation_rows`.

    ``Limit ID``, as it is called from 3.3 on, and ``limitKey`` of the beta of 4.0 are both read; rows have the name of
    ``version``.
    """
    return _read("incidents", source, version, complete)


def read_legacy_limits(source: Source, version: str | Version = "1.1", *, complete: bool = True) -> CsvTable:
    """Read ``legacy_limits.csv`` of Limits 1.x to 3.x; see :func:`read_structures`."""
    return _read("legacy_limits", source, version, complete)


def read_as_of_date(source: Source, version: str | Version = LATEST) -> date:
    """Read ``as_of_date.csv``: the one date in it. Raises ``LimitsValidationError``, also for several."""
    rows = _read("as_of_date", source, version, complete=True).rows
    if len(rows) != 1:
        raise _refused("as_of_date", [Detail(f"one date is expected, not {len(rows)}", field="AsOfDate")])
    found: date = rows[0]["AsOfDate"]
    return found


def write_structures(rows: Iterable[Mapping[str, Any]], version: str | Version = LATEST) -> str:
    """The text of ``limit_structures.csv``, with the columns of ``version``, then those that are not known.

    Values may be as :class:`CsvTable` has them, or text. A column that needs no value may be left out of the rows.
    Raises ``LimitsValidationError`` as :func:`read_structures` does, so that nothing is written which cannot be read.
    """
    return _write("structures", rows, version)


def write_limits(rows: Iterable[Mapping[str, Any]], version: str | Version = LATEST) -> str:
    """The text of ``limits_approve.csv``; see :func:`write_structures`."""
    return _write("limits", rows, version)


def write_incidents(rows: Iterable[Mapping[str, Any]], version: str | Version = LATEST) -> str:
    """The text of a file of incidents; see :func:`write_structures`."""
    return _write("incidents", rows, version)


def write_as_of_date(day: date, version: str | Version = LATEST) -> str:
    """The text of ``as_of_date.csv``."""
    return _write("as_of_date", [{"AsOfDate": day}], version)


def evaluation_rows(lines: Iterable[str]) -> list[Row]:
    """The answer of an evaluation, a list of CSV lines with the header first, as rows.

    Numbers and dates are converted where they can be, and stay text where not: the evaluation has happened, and its
    incidents are stored. Empty cells are None. What the beta of 4.0 calls ``limitKey`` is ``Limit ID`` here, too.

        >>> evaluation_rows(["Limit ID,Measure Value", "lim_0001,120000.5"])
        [{'Limit ID': 'lim_0001', 'Measure Value': 120000.5}]

    Raises ``LimitsProtocolError`` that names the line for what is no list of CSV lines.
    """
    lines = list(lines)
    for index, line in enumerate(lines):
        if not isinstance(line, str):
            raise LimitsProtocolError(f"a line of CSV is expected, not {type(line).__name__}", path=f"$[{index}]")
    lines[:1] = [line.removeprefix("\ufeff") for line in lines[:1]]
    reader = csv_reader((f"{line}\n" for line in lines), strict=True)
    known = {column.name: column for column in (*columns("incidents", "3.3"), *columns("incidents", LATEST))}
    header: list[str] | None = None
    rows: list[Row] = []
    try:
        for cells in reader:
            if header is None:
                header = _named(cells, _NOT_BETA)
                if len(set(header)) < len(header):
                    raise LimitsProtocolError("two columns share a name", path="$[0]")
            elif cells:
                if len(cells) != len(header):
                    message = f"{len(cells)} cells under a header of {len(header)}"
                    raise LimitsProtocolError(message, path=f"$[{reader.line_num - 1}]")
                rows.append({name: _lenient(known.get(name), cell) for name, cell in zip(header, cells, strict=True)})
    except CsvError as error:
        raise LimitsProtocolError(f"this is not CSV: {error}", path=f"$[{reader.line_num - 1}]") from error
    return rows


def evaluation_columns(lines: Iterable[str]) -> list[str]:
    """The columns of an answer that :func:`evaluation_rows` has read, also if it has no row."""
    return _named(next(csv_reader(lines), []), _NOT_BETA)


def _lenient(column: Column | None, cell: str) -> Any:
    try:
        return _value(column or Column(""), cell)
    except ValueError:
        return cell


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Found:
    """The header and, with the number of its row, each row as it was found; and what is wrong with it."""

    header: list[str]
    rows: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    details: list[Detail] = field(default_factory=list)


def _refused(kind: Kind, details: list[Detail]) -> LimitsValidationError:
    count = "1 problem" if len(details) == 1 else f"{len(details)} problems"
    return LimitsValidationError(f"{kind}: {count}", details=details, local=True)


def _read(kind: Kind, source: Source, version: str | Version, complete: bool) -> CsvTable:
    wanted = columns(kind, version)
    if isinstance(source, str | bytes):
        found = _cells(kind, source)
        _call_alike(found, wanted)
        _check_header(found, wanted, complete)
    else:
        found = _given(source)
        _call_alike(found, wanted)
    known = {column.name: column for column in wanted}
    missing = {detail.field for detail in found.details if detail.row == 1} | set(found.header)
    absent = [column.name for column in wanted if column.required and column.name not in missing]
    rows = []
    for number, cells in found.rows:
        row: Row = {}
        for name in found.header:
            try:
                row[name] = _value(known.get(name) or Column(name), cells.get(name))
            except ValueError as error:
                found.details.append(Detail(str(error), row=number, field=name))
        found.details += [Detail("a value is required", row=number, field=name) for name in absent]
        rows.append(row)
    if found.details:
        raise _refused(kind, found.details)
    return CsvTable(kind, tuple(found.header), rows)


def _cells(kind: Kind, source: str | bytes) -> _Found:
    if isinstance(source, bytes):
        try:
            source = source.decode()
        except UnicodeDecodeError as error:
            raise _refused(kind, [Detail(f"not UTF-8 at byte {error.start}")]) from error
    reader = csv_reader(io.StringIO(source.removeprefix("\ufeff"), newline=""), strict=True)
    found: _Found | None = None
    number = 0
    try:
        for cells in reader:
            number += 1
            if not cells:
                continue  # a blank line
            if found is None:
                found = _Found(cells)
            elif len(cells) != len(found.header):
                found.details.append(Detail(f"{len(cells)} cells, and the header has {len(found.header)}", row=number))
            else:
                found.rows.append((number, dict(zip(found.header, cells, strict=True))))
    except CsvError as error:
        broken = Detail(f"this is not CSV: {error}", row=number + 1)
        raise _refused(kind, [*(found.details if found else ()), broken]) from error
    if found is None:
        raise _refused(kind, [Detail("the header is missing", row=1)])
    return found


def _given(source: Iterable[Any]) -> _Found:
    rows: list[tuple[int, Mapping[str, Any]]] = []
    details = []
    for number, row in enumerate(source, start=2):
        if isinstance(row, Mapping) and all(isinstance(name, str) for name in row):
            rows.append((number, row))
        else:
            details.append(Detail(f"a mapping from column to value is expected, not {type(row).__name__}", row=number))
    return _Found(list(dict.fromkeys(name for _, row in rows for name in row)), rows, details)


def _call_alike(found: _Found, wanted: tuple[Column, ...]) -> None:
    """Give a column that another version calls otherwise the name that this one has for it."""
    wanted_names = {column.name for column in wanted}
    both = {**BETA_NAMES, **_NOT_BETA}
    names = {other: name for name, other in both.items() if name in wanted_names and other not in wanted_names}
    if names.keys() & set(found.header):
        found.rows = [
            (number, dict(zip(_named(list(row), names), row.values(), strict=True))) for number, row in found.rows
        ]
        found.header = list(_named(found.header, names))


def _named(header: list[str], names: Mapping[str, str]) -> list[str]:
    """``header`` with other names for some, unless such a column is there already."""
    return [names[name] if name in names and names[name] not in header else name for name in header]


def _check_header(found: _Found, wanted: tuple[Column, ...], complete: bool) -> None:
    found.details += [
        Detail("this column is there twice", row=1, field=name)
        for name, count in Counter(found.header).items()
        if count > 1
    ]
    names = {column.name for column in wanted}
    former = {**FORMER_NAMES, **{old: new for new, old in FORMER_NAMES.items()}}
    for column in wanted:
        if column.name not in found.header and (complete or column.required):
            other = former.get(column.name)
            hint = f"; {other!r} is its name in another version" if other in set(found.header) - names else ""
            found.details.append(Detail(f"this column is missing{hint}", row=1, field=column.name))


def _value(column: Column, cell: Any) -> Any:
    """The value of a cell. Raises ``ValueError`` that says what is wrong."""
    text = _text(cell)
    if not text.strip():
        if column.required:
            raise ValueError("a value is required")
        return None
    match column.values:
        case "number":
            return _number(text)
        case "integer":
            if not _INTEGER.fullmatch(text):
                raise ValueError(f"{_short(text)} is not a whole number")
            return _number(text)
        case "numbers":
            listed = text[1:-1].split(",") if text.startswith("[") and text.endswith("]") else [text]
            return [_number(part.strip()) for part in listed]
        case "boolean":
            if text.lower() not in ("true", "false"):
                raise ValueError(f"{_short(text)} is neither true nor false")
            return text.lower() == "true"
        case "date":
            return _date(text)
    return text


def _number(text: str) -> float:
    if _INTEGER.fullmatch(text) and len(text) <= _DIGITS:
        return int(text)
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    if math.isinf(value):
        raise ValueError(f"{_short(text)} is not a number such as 100000.5")
    return value


def _date(text: str) -> date:
    if _DATE.fullmatch(text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass  # a day that is not in the calendar
    raise ValueError(f"{_short(text)} is not a date such as 2026-01-31")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


# -- writing -----------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    """A value as it stands in a file; empty for none."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas' words for none
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat()
    if isinstance(value, float):
        return "" if math.isnan(value) else json.dumps(float(value))
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return str(value)


def _write(kind: Kind, rows: Iterable[Mapping[str, Any]], version: str | Version) -> str:
    table = _read(kind, list(rows), version, complete=True)
    names = [column.name for column in columns(kind, version)]
    names += [name for name in table.columns if name not in names]
    lines: list[str] = []
    # Its own line ends decide which characters the writer quotes: with both, each is read again as it was.
    writer = csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n")
    writer.writerows([names, *([_text(row.get(name)) for name in names] for row in table.rows)])
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines)
