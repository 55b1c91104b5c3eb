"""Files of rows, read as their bytes come: CSV with a header, JSON lines, one JSON array of objects.

No I/O here: feed a reader bytes, get the rows that are complete, and say when there is no more. What is held meanwhile
is one row that is not complete, of at most 64 MiB.
"""

from __future__ import annotations

import codecs
import io
import re
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from asyncconn.core.csv_text import LONGEST, CsvError, csv_reader
from asyncconn.core.decoding import json_of
from asyncconn.core.text_files import BEGINNING, find_delimiter, header_problem, look_at, separator_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncconn.core.text_files import Look

__all__ = ["BadRow", "RowForm", "RowReader", "form_of_name"]

RowForm = Literal["csv", "jsonl", "json"]

_SUFFIXES: dict[str, RowForm] = {"csv": "csv", "tsv": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "json": "json"}
_SHORTEST = 4  # bytes of a mark of the encoding
_BLANK = b" \t\r\n"
_SPACE = re.compile(rb"[ \t\r\n]*").match
# A text (which may hold brackets), the beginning of one that is not complete, or a bracket.
_MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)


class BadRow(ValueError):
    """A row that cannot be read: its ``number``, from 1 (0: what comes before the rows), and ``what`` is wrong."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"row {number}: {what}" if number else what)
        self.number = number
        self.what = what


def form_of_name(name: str) -> RowForm | None:
    """The format that a file's name ends in, ``.gz`` aside; None if it says none.

    >>> form_of_name("day.csv.gz"), form_of_name("day")
    ('csv', None)
    """
    _, dot, suffix = name.lower().removesuffix(".gz").rpartition(".")
    return _SUFFIXES.get(suffix) if dot else None


class RowReader:
    """Makes rows of bytes: ``feed`` them, then ``end``; each gives the rows that are complete by then.

    >>> reader = RowReader("csv")
    >>> list(reader.feed(b"id;name\\n1;Ada\\n2;")), list(reader.end())
    ([], [{'id': '1', 'name': 'Ada'}, {'id': '2', 'name': ''}])

    Without a ``form`` the first character decides: ``[`` is JSON, ``{`` JSON lines, all else CSV, or no row at all
    where it must be ``json``. The encoding is what the beginning shows, else the one given, else UTF-8; the delimiter
    is found. The values of CSV are texts, and its first line names them. Raises :class:`BadRow`, after the rows before.
    """

    def __init__(self, form: RowForm | None = None, *, json: bool = False, encoding: str | None = None) -> None:
        self._form = form
        self._other: RowForm = "jsonl" if json else "csv"
        self._encoding = encoding
        self._beginning: bytearray | None = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None
        self._old_line_ends = False
        self._rows: _Rows = _JsonLines()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The rows that these bytes complete."""
        if self._beginning is None:
            yield from self._rows.feed(self._utf8(data))
            return
        self._beginning += data
        if len(self._beginning) > BEGINNING or self._shows(self._beginning):
            yield from self._begin(bytes(self._beginning))

    def end(self) -> Iterator[dict[str, Any]]:
        """The last rows. An empty file has none."""
        if self._beginning is not None:
            yield from self._begin(bytes(self._beginning))
        yield from self._rows.feed(self._utf8(b"", final=True))
        yield from self._rows.end()

    def _shows(self, data: bytearray) -> bool:
        """Whether a few bytes show all there is to see: of JSON in an encoding like ASCII, whose rows come at once."""
        first = bytes(data[:BEGINNING].lstrip()[:1])
        return self._form != "csv" and len(data) >= _SHORTEST and first in (b"{", b"[") and b"\0" not in data[:4]

    def _begin(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Enough is there to see how it is written."""
        self._beginning = None
        look = look_at(io.BytesIO(data))
        if self._encoding and look.encoding == "utf-8" and not data.startswith(codecs.BOM_UTF8):
            look = look_at(io.BytesIO(data), self._encoding)
        if look.encoding not in ("utf-8", "ascii"):
            self._decoder = codecs.getincrementaldecoder(look.encoding)()
        self._old_line_ends = look.newline == "\r"
        first = look.beginning.lstrip()[:1]
        form = self._form or ("json" if first == "[" else "jsonl" if first == "{" else self._other)
        if form == "csv":
            self._rows = _Csv(look)
        elif form == "json":
            self._rows = _JsonArray()
        return self._rows.feed(self._utf8(data).removeprefix(codecs.BOM_UTF8))

    def _utf8(self, data: bytes, *, final: bool = False) -> bytes:
        if self._decoder is not None:
            try:
                data = self._decoder.decode(data, final).encode()
            except UnicodeError:
                data = b"\xff"  # in UTF-8, too, this is no text: the row that it stands in will say so
        return data.replace(b"\r", b"\n") if self._old_line_ends else data


class _Rows(Protocol):
    def feed(self, data: bytes) -> Iterator[dict[str, Any]]: ...

    def end(self) -> Iterator[dict[str, Any]]: ...


def _object(number: int, text: bytes) -> dict[str, Any]:
    try:
        value = json_of(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    raise BadRow(number, "it is not a JSON object")


class _Held:
    """Bytes of a row that is not complete, joined no more often than whenever they have doubled."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._enough = 0

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)

    def __bool__(self) -> bool:
        """Whether a look at them is worth its while."""
        return self._size >= self._enough

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self.keep(b"", 0)
        return taken

    def keep(self, rest: bytes, number: int) -> None:
        """``rest`` is of the row ``number``, and not complete."""
        self._pieces, self._size, self._enough = [rest], len(rest), 2 * len(rest)
        if self._size > LONGEST:
            raise BadRow(number, f"it has no end within {LONGEST:,} bytes")


# -- lines -------------------------------------------------------------------------------------------------------------


class _JsonLines:
    def __init__(self) -> None:
        self._count = 0
        self._held = _Held()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        self._held.add(data)
        if b"\n" in data:
            *lines, rest = self._held.take().split(b"\n")
            for line in lines:
                yield from self._row(line)
            self._held.keep(rest, self._count + 1)
        elif self._held:
            self._held.keep(self._held.take(), self._count + 1)  # for it may be too long

    def end(self) -> Iterator[dict[str, Any]]:
        yield from self._row(self._held.take())

    def _row(self, line: bytes) -> Iterator[dict[str, Any]]:
        if text := line.strip(_BLANK):
            self._count += 1
            yield _object(self._count, text)


# -- CSV ---------------------------------------------------------------------------------------------------------------


class _More(Exception):
    """The lines that are there end within a record."""


class _Lines:
    """The lines for the parser: those of a record that is not complete are given to it once more."""

    def __init__(self) -> None:
        self.ended = False
        self._lines: list[bytes] = []
        self._at = self._record = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        if self._at == len(self._lines):
            raise StopIteration if self.ended else _More
        self._at += 1
        return self._lines[self._at - 1].decode()

    def add(self, data: bytes) -> None:
        self._lines, self._at, self._record = data.splitlines(keepends=True), 0, 0

    def record_read(self) -> None:
        self._record = self._at

    def rest(self) -> bytes:
        return b"".join(self._lines[self._record :])


class _Csv:
    def __init__(self, look: Look) -> None:
        self._named = separator_line(look.beginning.partition(look.newline)[0]) is not None  # by a line of its own
        self._count = 0
        self._header: list[str] | None = None
        self._held = _Held()
        self._lines = _Lines()
        self._records = csv_reader(self._lines, delimiter=find_delimiter(look), strict=True)

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        self._held.add(data)
        if self._held:
            whole, newline, rest = self._held.take().rpartition(b"\n")
            self._lines.add(whole + newline)
            yield from self._read()
            self._held.keep(self._lines.rest() + rest, self._count + 1)

    def end(self) -> Iterator[dict[str, Any]]:
        self._lines.add(self._held.take())
        self._lines.ended = True
        return self._read()

    def _read(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                values = next(self._records)
            except (StopIteration, _More):
                return
            except (CsvError, UnicodeDecodeError) as error:
                fault = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"it is not CSV: {error}"
            else:
                self._lines.record_read()
                fault = ""
            if fault:  # out here, as the error holds what could not be decoded
                raise BadRow(self._count + (self._header is not None), fault)
            if self._named or not values:  # an empty line is no row
                self._named = False
            elif self._header is None:
                if wrong := header_problem(values):
                    raise BadRow(0, wrong)
                self._header = values
            else:
                self._count += 1
                if len(values) != len(self._header):
                    columns = f"{len(self._header):,} columns"
                    raise BadRow(self._count, f"it has {len(values):,} values, and there are {columns}")
                yield dict(zip(self._header, values, strict=True))


# -- a JSON array ------------------------------------------------------------------------------------------------------


class _JsonArray:
    def __init__(self) -> None:
        self._count = 0
        self._held = _Held()
        self._expected = "["  # or: "{" or "]", "{", "," or "]", nothing
        self._depth = 0
        self._scanned = 0

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        self._held.add(data)
        if self._held:
            yield from self._read()

    def _read(self) -> Iterator[dict[str, Any]]:
        text, at = self._held.take(), 0
        while (at := _after_space(text, at)) < len(text):
            mark = text[at : at + 1].decode("latin-1")
            if mark == "{" and "{" in self._expected:
                if (end := self._end_of_object(text, at)) is None:
                    break
                self._count += 1
                yield _object(self._count, text[at:end])
                at, self._expected = end, ",]"
            elif mark in self._expected and mark != "{":
                at, self._expected = at + 1, {"[": "{]", ",": "{", "]": ""}[mark]
            else:
                raise BadRow(self._count + (self._expected != "["), self._unexpected())
        self._scanned = max(0, self._scanned - at)
        self._held.keep(text[at:], self._count + 1)

    def end(self) -> Iterator[dict[str, Any]]:
        yield from self._read()
        if self._expected not in ("", "["):
            raise BadRow(self._count + 1, "the array has no end")

    def _unexpected(self) -> str:
        if self._expected in ("", "["):
            return "expected one JSON array of objects, and nothing else"
        return "it is not a JSON object" if "{" in self._expected else "it is not JSON: expected ',' or ']' before it"

    def _end_of_object(self, text: bytes, at: int) -> int | None:
        """Where the object ends that begins at ``at``, if all of it is there."""
        for found in _MARK.finditer(text, max(at, self._scanned)):
            mark = found[0]
            if mark in (b"{", b"["):
                self._depth += 1
            elif mark in (b"}", b"]"):
                self._depth -= 1
                if self._depth == 0:
                    self._scanned = 0
                    return found.end()
            elif mark == b'"':  # a text that is not complete
                self._scanned = found.start()
                return None
        self._scanned = len(text)
        return None


def _after_space(text: bytes, at: int) -> int:
    found = _SPACE(text, at)
    return at if found is None else found.end()
