"""Files as records: CSV, JSON lines and a JSON array, each record with its line, each fault with its place.

Pure functions of a stream of bytes. They never raise for what is in it: a fault comes as a :class:`Problem` among the
rows, so that one look at a file can name all that is wrong with it.
"""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from asyncconn.core.csv_text import CsvError, csv_reader
from asyncconn.core.text_files import Problem, find_delimiter, header_problem, look_at, separator_line, text
from asyncconn.panoply.encoding import exact_float, exact_int

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from asyncconn.core.text_files import Look

__all__ = ["Format", "Problem", "Row", "detect_format", "infer", "read_csv", "read_json", "read_jsonl", "read_records"]

Format = Literal["csv", "jsonl", "json"]

_SUFFIXES: dict[str, Format] = {"csv": "csv", "tsv": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "json": "json"}
_WHITESPACE = " \t\r\n"
_SPACE = re.compile(rf"[{_WHITESPACE}]*")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LONGEST_INTEGER = 4_000  # digits; Python reads no more than 4,300 from text


@dataclass(frozen=True, slots=True)
class Row:
    """A record, and the line on which it begins (the first is 1)."""

    line: int
    record: dict[str, Any]


class _Wrong(Exception):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.problem = Problem(line, what)


def detect_format(name: str, beginning: bytes) -> Format:
    """By the ending of the file's name (``.gz`` aside), else by its first character.

    ``[`` is JSON, ``{`` JSON lines, all else CSV.
    """
    _, dot, suffix = name.lower().removesuffix(".gz").rpartition(".")
    if dot and suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    first = look_at(io.BytesIO(beginning)).beginning.lstrip()[:1]
    return "json" if first == "[" else "jsonl" if first == "{" else "csv"


def read_records(
    stream: BinaryIO, form: Format, *, types: bool = False, delimiter: str | None = None, encoding: str | None = None
) -> Iterator[Row | Problem]:
    """The records of ``stream`` in the format ``form``.

    ``types`` and ``delimiter`` are for CSV, where all is text without types. A delimiter or encoding that is not given
    is found.
    """
    if form == "csv":
        return read_csv(stream, types=types, delimiter=delimiter, encoding=encoding)
    return read_jsonl(stream, encoding=encoding) if form == "jsonl" else read_json(stream, encoding=encoding)


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
    except _Wrong as wrong:
        yield wrong.problem
        return
    try:
        header = next(lines, None)
        if header is None:
            yield Problem(1 + passed, "the file is empty: the first line must name the columns")
            return
        if what := header_problem(header):
            yield Problem(1 + passed, what)
            return
        before = lines.line_num
        for values in lines:
            line, before = before + 1 + passed, lines.line_num
            if len(values) != len(header):
                if values:  # an empty line is no record
                    yield Problem(line, f"{_count(len(values), 'value')} for {_count(len(header), 'column')}")
                continue
            yield Row(line, dict(zip(header, map(infer, values) if types else values, strict=True)))
    except CsvError as error:
        yield Problem(lines.line_num + passed, f"not CSV: {error}")
    except _Wrong as wrong:
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
    if _INTEGER.fullmatch(text) and len(text) <= _LONGEST_INTEGER:
        return exact_int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return exact_float(text)
    return {"true": True, "false": False}.get(text.lower(), text)


# -- JSON --------------------------------------------------------------------------------------------------------------


def read_jsonl(stream: BinaryIO, *, encoding: str | None = None) -> Iterator[Row | Problem]:
    """One JSON object a line; empty lines are passed over, and a faulty line does not hide the next."""
    for number, line in enumerate(text(stream, look_at(stream, encoding)), 1):
        if isinstance(line, Problem):
            yield line
        elif line.strip(_WHITESPACE):
            yield _row(number, line)


def _row(line: int, text: str) -> Row | Problem:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return Problem(line, _explained(error))
    if not isinstance(value, dict):
        return Problem(line, f"a record must be a JSON object, not {_kind(value)}")
    return Row(line, value)


def read_json(stream: BinaryIO, *, encoding: str | None = None) -> Iterator[Row | Problem]:
    """The objects of one JSON array. Holds the whole text in memory; the first fault of syntax is the last report."""
    look = look_at(stream, encoding)
    try:
        whole = "".join(_only_text(text(stream, look)))
    except _Wrong as wrong:
        yield wrong.problem
        return
    if look.newline == "\r":
        whole = whole.replace("\r", "\n")
    at, line, counted = _skip(whole, 0), 1, 0

    def line_at(position: int) -> int:
        nonlocal line, counted
        line, counted = line + whole.count("\n", counted, position), position
        return line

    if whole[at : at + 1] != "[":
        what = {"": "nothing", "{": "an object (is it JSON lines? then --format jsonl)"}.get(
            whole[at : at + 1], "no array"
        )
        yield Problem(line_at(at), f"expected one JSON array of objects, found {what}")
        return
    at = _skip(whole, at + 1)
    if whole[at : at + 1] == "]":
        at += 1
    else:
        while True:
            start = line_at(at)
            try:
                value, at = _DECODER.raw_decode(whole, at)
            except (ValueError, RecursionError) as error:
                yield Problem(getattr(error, "lineno", start), _explained(error))
                return
            kind = None if isinstance(value, dict) else _kind(value)
            yield Problem(start, f"a record must be a JSON object, not {kind}") if kind else Row(start, value)
            at = _skip(whole, at)
            mark, at = whole[at : at + 1], at + 1
            if mark == "]":
                break
            if mark != ",":
                column = at - 1 - whole.rfind("\n", 0, at - 1)
                yield Problem(line_at(at - 1), f"not JSON: expected ',' or ']' at column {column}")
                return
            at = _skip(whole, at)
    if (at := _skip(whole, at)) < len(whole):
        yield Problem(line_at(at), "there is more after the end of the JSON array")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return record


def _float(text: str) -> float | Decimal:
    if math.isfinite(float(text)):
        return exact_float(text)
    raise ValueError(f"the number {text[:40]} is too large")


def _integer(text: str) -> int | Decimal:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(text):,} digits is too large")
    return exact_int(text)


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON: write null")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=_float, parse_int=_integer, parse_constant=_not_json
)


def _explained(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds = {bool: "a truth value", int: "a number", float: "a number", str: "a text", list: "an array"}
    return kinds[type(value)]


# -- text --------------------------------------------------------------------------------------------------------------


def _only_text(lines: Iterator[str | Problem]) -> Iterator[str]:
    for line in lines:
        if isinstance(line, Problem):
            raise _Wrong(line.line, line.what)
        yield line


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
