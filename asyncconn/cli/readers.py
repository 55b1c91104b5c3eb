"""Files as records: CSV, JSON lines and a JSON array, each record with its line, each fault with its place.

Pure functions of a stream of bytes. They never raise for what is in it: a fault comes as a :class:`Problem` among the
rows, so that one look at a file can name all that is wrong with it.
"""

from __future__ import annotations

import codecs
import csv
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = ["Format", "Problem", "Row", "detect_format", "infer", "read_csv", "read_json", "read_jsonl", "read_records"]

Format = Literal["csv", "jsonl", "json"]

_SUFFIXES: dict[str, Format] = {"csv": "csv", "jsonl": "jsonl", "ndjson": "jsonl", "json": "json"}
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


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and on which line."""

    line: int
    what: str


class _Wrong(Exception):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.problem = Problem(line, what)


def detect_format(name: str, beginning: bytes) -> Format:
    """By the ending of the file's name, else by its first character: ``[`` JSON, ``{`` JSON lines, all else CSV."""
    _, dot, suffix = name.lower().rpartition(".")
    if dot and suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    first = beginning.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    return "json" if first == b"[" else "jsonl" if first == b"{" else "csv"


def read_records(stream: BinaryIO, form: Format, *, types: bool = False) -> Iterator[Row | Problem]:
    """The records of ``stream`` in the format ``form``; ``types`` is for CSV, where all is text without it."""
    if form == "csv":
        return read_csv(stream, types=types)
    return read_jsonl(stream) if form == "jsonl" else read_json(stream)


# -- CSV ---------------------------------------------------------------------------------------------------------------


def read_csv(stream: BinaryIO, *, types: bool = False) -> Iterator[Row | Problem]:
    """Comma-separated values with a header; ``types`` makes numbers, truth values and nulls of what looks like them.

    A fault in a line is reported and the next line read; after a fault of quoting or encoding, where the next line
    begins is anybody's guess, so that one is the last.
    """
    lines = csv.reader(_text_lines(stream), strict=True)
    try:
        header = next(lines, None)
        if header is None:
            yield Problem(1, "the file is empty: the first line must name the columns")
            return
        if problem := _header_problem(header):
            yield Problem(1, problem)
            return
        before = lines.line_num
        for values in lines:
            line, before = before + 1, lines.line_num
            if len(values) != len(header):
                if values:  # an empty line is no record
                    yield Problem(line, f"{_count(len(values), 'value')} for {_count(len(header), 'column')}")
                continue
            yield Row(line, dict(zip(header, map(infer, values) if types else values, strict=True)))
    except csv.Error as error:
        yield Problem(lines.line_num, f"not CSV: {error}")
    except _Wrong as wrong:
        yield wrong.problem


def _header_problem(header: list[str]) -> str | None:
    seen: set[str] = set()
    for number, name in enumerate(header, 1):
        if not name.strip():
            return f"column {number} has no name"
        if name in seen:
            return f"two columns are named {name!r}"
        seen.add(name)
    return None if header else "the header is an empty line"


def infer(text: str) -> Any:
    """What a CSV value looks like: int, float, ``true``/``false`` (in any case), None for nothing, else the text.

    A number is what JSON calls one, so codes such as ``007`` and ``+49`` stay texts.

        >>> [infer(text) for text in ("7", "007", "7.50", "True", "", "NaN")]
        [7, '007', 7.5, True, None, 'NaN']
    """
    if not text:
        return None
    if _INTEGER.fullmatch(text) and len(text) <= _LONGEST_INTEGER:
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return {"true": True, "false": False}.get(text.lower(), text)


# -- JSON --------------------------------------------------------------------------------------------------------------


def read_jsonl(stream: BinaryIO) -> Iterator[Row | Problem]:
    """One JSON object a line; empty lines are passed over, and a faulty line does not hide the next."""
    lines = _Decoded(stream)
    for text in lines:
        if isinstance(text, Problem):
            yield text
        elif text.strip(_WHITESPACE):
            yield _row(lines.number, text)


def _row(line: int, text: str) -> Row | Problem:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        return Problem(line, _explained(error))
    if not isinstance(value, dict):
        return Problem(line, f"a record must be a JSON object, not {_kind(value)}")
    return Row(line, value)


def read_json(stream: BinaryIO) -> Iterator[Row | Problem]:
    """The objects of one JSON array. Holds the whole text in memory; the first fault of syntax is the last report."""
    try:
        text = "".join(_text_lines(stream))
    except _Wrong as wrong:
        yield wrong.problem
        return
    at, line, counted = _skip(text, 0), 1, 0

    def line_at(position: int) -> int:
        nonlocal line, counted
        line, counted = line + text.count("\n", counted, position), position
        return line

    if text[at : at + 1] != "[":
        what = {"": "nothing", "{": "an object (is it JSON lines? then --format jsonl)"}.get(
            text[at : at + 1], "no array"
        )
        yield Problem(line_at(at), f"expected one JSON array of objects, found {what}")
        return
    at = _skip(text, at + 1)
    if text[at : at + 1] == "]":
        at += 1
    else:
        while True:
            start = line_at(at)
            try:
                value, at = _DECODER.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                yield Problem(getattr(error, "lineno", start), _explained(error))
                return
            kind = None if isinstance(value, dict) else _kind(value)
            yield Problem(start, f"a record must be a JSON object, not {kind}") if kind else Row(start, value)
            at = _skip(text, at)
            mark, at = text[at : at + 1], at + 1
            if mark == "]":
                break
            if mark != ",":
                column = at - 1 - text.rfind("\n", 0, at - 1)
                yield Problem(line_at(at - 1), f"not JSON: expected ',' or ']' at column {column}")
                return
            at = _skip(text, at)
    if (at := _skip(text, at)) < len(text):
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


def _float(text: str) -> float:
    if math.isfinite(number := float(text)):
        return number
    raise ValueError(f"the number {text[:40]} is too large")


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(text):,} digits is too large")
    return int(text)


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


class _Decoded:
    """The lines of a stream as text, or the Problem of a line that is not UTF-8."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.number = 0
        self._at = 0

    def __iter__(self) -> Iterator[str | Problem]:
        for raw in self._stream:
            self.number += 1
            start, self._at = self._at, self._at + len(raw)
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                place = start + error.start
                yield Problem(self.number, f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {place} of the file")
                continue
            yield text.removeprefix("\ufeff") if self.number == 1 else text


def _text_lines(stream: BinaryIO) -> Iterator[str]:
    for text in _Decoded(stream):
        if isinstance(text, Problem):
            raise _Wrong(text.line, text.what)
        yield text


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
