"""Files as rows, each with its line, and each fault with its place: CSV, JSON lines, a JSON array, Parquet.

What is in a file raises nothing: a fault comes as a :class:`Problem` among the rows, so that one look at a file can
name all that is wrong with it. Everything here blocks.
"""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import stat
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, get_args

from asyncconn.core.csv_text import CsvError, csv_reader
from asyncconn.core.digits import exact_float, exact_int
from asyncconn.core.json_rows import LONGEST_INTEGER, NotRows, array_of, explained, kind_of, object_of
from asyncconn.core.parquet import ParquetReader
from asyncconn.core.row_formats import form_of_name
from asyncconn.core.text_files import (
    Problem,
    check_delimiter,
    check_encoding,
    find_delimiter,
    header_problem,
    look_at,
    separator_line,
    text,
    text_in_pieces,
)
from asyncconn.core.words import count
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from asyncconn.core.text_files import Look

__all__ = [
    "FileForm",
    "NoRows",
    "Problem",
    "Row",
    "RowFile",
    "RowOptions",
    "form_of",
    "infer",
    "read_csv",
    "read_json",
    "read_jsonl",
    "read_parquet",
]

FileForm = Literal["csv", "jsonl", "json", "parquet"]

_NAMES: dict[FileForm, str] = {"csv": "CSV", "jsonl": "JSON lines", "json": "JSON", "parquet": "Parquet"}
_BEGINNING = 4096  # bytes that tell one form from another
_PIECE = 256 * 1024  # bytes of a file whose rows are handed on together
_ROWS = 1000  # of these at most
_WHITESPACE = " \t\r\n"
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Row:
    """A record, and the line on which it begins (the first is 1); of Parquet, its number."""

    line: int
    record: dict[str, Any]


class NoRows(Problem):
    """There is nothing in the file at all, not even the names of columns."""

    __slots__ = ()


class RowOptions(TypedDict, total=False):
    """How a file is to be read; what is not given is found out.

    ``form`` is ``"csv"``, ``"jsonl"``, ``"json"`` or ``"parquet"``, else the name's ending and the beginning tell.
    ``types`` makes numbers, truth values and nulls of what looks like them in CSV, whose values are texts otherwise.
    ``delimiter`` is one character, or a word such as ``"tab"``; ``encoding`` is one of Python's, such as ``"cp1252"``.
    """

    form: FileForm | None
    types: bool
    delimiter: str | None
    encoding: str | None


class RowFile:
    """A file of rows that can be read from its beginning as often as one likes, while it is open.

        >>> with RowFile(Path("people.csv"), types=True).open() as file:
        ...     for row in file.rows():
        ...         print(row)

    ``source`` is a path or a stream of bytes. What is no ordinary file, a stream among them, is copied to a temporary
    one, which has no name. Raises ``ConfigError`` for options that cannot be; :meth:`open` raises ``OSError``.
    """

    def __init__(
        self,
        source: Path | BinaryIO,
        *,
        form: FileForm | None = None,
        types: bool = False,
        delimiter: str | None = None,
        encoding: str | None = None,
    ) -> None:
        if form is not None and form not in _NAMES:
            raise ConfigError(f"a file of rows is one of {', '.join(get_args(FileForm))}, not {form!r}")
        self._source = source
        self._given = form
        self._types = types
        self._delimiter = None if delimiter is None else check_delimiter(delimiter)
        self._encoding = None if encoding is None else check_encoding(encoding)
        self._opened = ExitStack()
        self._stream: BinaryIO = io.BytesIO()
        self._before: tuple[int, int] | None = None
        self.form: FileForm = form or "csv"

    def open(self) -> Self:
        """Look how it begins."""
        source = self._source
        name = source.name if isinstance(source, Path) else ""
        stream = self._opened.enter_context(source.open("rb")) if isinstance(source, Path) else source
        if isinstance(source, Path) and stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            self._stream = stream
            self._before = self._fingerprint()
        else:
            copy = self._opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
            shutil.copyfileobj(stream, copy)
            self._stream = copy
        self._stream.seek(0)
        self.form = self._given or form_of(name, self._stream.read(_BEGINNING))
        return self

    def close(self) -> None:
        """Idempotent."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def told(self) -> str:
        """How it is read, such as ``CSV, gzip, columns separated by ';'``; empty where that surprises nobody."""
        if self.form == "parquet":
            return ""
        look = look_at(self._stream, self._encoding)
        delimiter = self._delimiter or (find_delimiter(look) if self.form == "csv" else None)
        words = look.told(delimiter)
        return words and f"{_NAMES[self.form]}, {words}"

    @property
    def changed(self) -> bool:
        """Whether somebody has written to it since it was opened."""
        return self._before is not None and self._fingerprint() != self._before

    def rows(self) -> Iterator[Row | Problem]:
        """From the beginning."""
        if self.form == "csv":
            return read_csv(self._stream, types=self._types, delimiter=self._delimiter, encoding=self._encoding)
        if self.form == "parquet":
            return read_parquet(self._stream)
        return (read_jsonl if self.form == "jsonl" else read_json)(self._stream, encoding=self._encoding)

    def pieces(self) -> Iterator[list[Row | Problem]]:
        """:meth:`rows`, some at a time."""
        some: list[Row | Problem] = []
        start = 0
        for row in self.rows():
            some.append(row)
            if len(some) >= _ROWS or abs(self._stream.tell() - start) >= _PIECE:
                yield some
                some, start = [], self._stream.tell()
        if some:
            yield some

    def _fingerprint(self) -> tuple[int, int]:
        status = os.fstat(self._stream.fileno())
        return status.st_size, status.st_mtime_ns


def form_of(name: str, beginning: bytes) -> FileForm:
    """By the ending of the file's name (``.gz`` aside), else by how it begins: ``[`` is JSON, ``{`` JSON lines.

    Which of the two a name that ends in JSON means is told by the beginning too: they are often mixed up.
    """
    if name.lower().endswith(".parquet") or beginning.startswith(b"PAR1"):
        return "parquet"
    named = form_of_name(name) or "csv"
    first = "" if form_of_name(name) == "csv" else look_at(io.BytesIO(beginning)).beginning.lstrip()[:1]
    return "json" if first == "[" else "jsonl" if first == "{" else named


# -- CSV ---------------------------------------------------------------------------------------------------------------


def read_csv(
    stream: BinaryIO, *, types: bool = False, delimiter: str | None = None, encoding: str | None = None
) -> Iterator[Row | Problem]:
    """Comma-separated values with a header; ``types`` makes numbers, truth values and nulls of what looks like them.

    A fault in a line is reported and the next line read; after a fault of quoting or encoding, where the next line
    begins is anybody's guess, so that one is the last.
    """
    look = look_at(stream, encoding)
    found = find_delimiter(look)
    if delimiter is not None and (problem := _delimiter_problem(look, delimiter, found)):
        yield problem
        return
    text_lines = _only_text(text(stream, look))
    passed = 0
    try:
        first = next(text_lines, "")
        if separator_line(first) is not None:
            first, passed = next(text_lines, ""), 1
        lines = csv_reader(chain([first] if first else [], text_lines), delimiter=delimiter or found, strict=True)
    except NotRows as wrong:
        yield wrong.problem
        return
    try:
        header = next(lines, None)
        if header is None:
            yield NoRows(1 + passed, "the file is empty: the first line must name the columns")
            return
        if what := header_problem(header):
            yield Problem(1 + passed, what)
            return
        before = lines.line_num
        for values in lines:
            line, before = before + 1 + passed, lines.line_num
            if len(values) != len(header):
                if values:  # an empty line is no record
                    yield Problem(line, f"{count(len(values), 'value')} for {count(len(header), 'column')}")
                continue
            yield Row(line, dict(zip(header, map(infer, values) if types else values, strict=True)))
    except CsvError as error:
        yield Problem(lines.line_num + passed, f"not CSV: {error}")
    except NotRows as wrong:
        yield wrong.problem


def _delimiter_problem(look: Look, given: str, found: str) -> Problem | None:
    """That the header is one column with the delimiter that was given, and several with another."""
    header = look.beginning.partition(look.newline)[0]
    if given in header or found == given or found not in header:
        return None
    way_out = f"a name of one column with {found!r} in it stands in quotes"
    return Problem(1, f"there is no {given!r} in the header, which looks separated by {found!r}; {way_out}")


def infer(text: str) -> Any:
    """What a CSV value looks like: int, float, ``true``/``false`` (in any case), None for nothing, else the text.

    A number is what JSON calls one, so codes such as ``007`` and ``+49`` stay texts. It is a Decimal where a float has
    not all its digits.

        >>> [infer(text) for text in ("7", "007", "7.50", "True", "", "NaN")]
        [7, '007', 7.5, True, None, 'NaN']
    """
    if not text:
        return None
    if _INTEGER.fullmatch(text) and len(text) <= LONGEST_INTEGER:
        return exact_int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return exact_float(text)
    return {"true": True, "false": False}.get(text.lower(), text)


# -- JSON and Parquet --------------------------------------------------------------------------------------------------


def read_jsonl(stream: BinaryIO, *, encoding: str | None = None) -> Iterator[Row | Problem]:
    """One JSON object a line; empty lines are passed over, and a faulty line does not hide the next."""
    for number, line in enumerate(text(stream, look_at(stream, encoding)), 1):
        if isinstance(line, Problem):
            yield line
        elif line.strip(_WHITESPACE):
            try:
                value = object_of(line)
            except (ValueError, RecursionError) as error:
                yield Problem(number, explained(error))
            else:
                yield _row(number, value)


def read_json(stream: BinaryIO, *, encoding: str | None = None) -> Iterator[Row | Problem]:
    """One JSON array of objects, read a piece at a time; the first fault of syntax is the last report."""
    try:
        for line, value in array_of(_only_text(text_in_pieces(stream, look_at(stream, encoding)))):
            yield _row(line, value)
    except NotRows as wrong:
        empty = wrong.problem.what.endswith("found nothing")
        yield NoRows(wrong.problem.line, wrong.problem.what) if empty else wrong.problem


def _row(line: int, value: Any) -> Row | Problem:
    if isinstance(value, dict):
        return Row(line, value)
    return Problem(line, f"a record must be a JSON object, not {kind_of(value)}")


def read_parquet(stream: BinaryIO) -> Iterator[Row | Problem]:
    """The rows of Parquet, by their numbers. Raises ``ConfigError`` without the extra ``parquet``."""
    number = 0
    stream.seek(0)
    try:
        reader = ParquetReader(stream)
        while (some := reader.some()) is not None:
            for record in some:
                number += 1
                yield Row(number, record)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        yield Problem(number + 1, f"it is not Parquet, or damaged: {error}")


def _only_text(lines: Iterator[str | Problem]) -> Iterator[str]:
    for line in lines:
        if isinstance(line, Problem):
            raise NotRows(line)
        yield line
