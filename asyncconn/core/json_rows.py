"""JSON of files as records, with every digit: an object alone, and an array of objects read a piece at a time."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

from asyncconn.core.csv_text import LONGEST
from asyncconn.core.digits import exact_float, exact_int
from asyncconn.core.text_files import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

__all__ = ["LONGEST_INTEGER", "NotRows", "array_of", "explained", "kind_of", "object_of"]

#: Digits; Python reads no more than 4,300 from text.
LONGEST_INTEGER = 4_000
_PIECE = 64 * 1024  # characters that are looked at at a time
_NEAR = 16  # characters before the end of a piece in which a word, a number or an escape may be cut
_SPACE = re.compile(r"[ \t\r\n]*")


class NotRows(Exception):
    """What follows cannot be read: the ``problem`` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


def object_of(text: str) -> Any:
    """The value of a JSON text: numbers as int and float where these hold them exactly, else as Decimal.

    Raises ``ValueError`` or ``RecursionError``, which :func:`explained` puts into words; also for a key that stands
    twice in an object, and for what JSON does not know.
    """
    return _DECODER.decode(text)


def array_of(pieces: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """The members of the one array that a text is, each with the line on which it begins. Raises :class:`NotRows`."""
    text = _Text(pieces)
    if (first := text.mark()) != "[":
        what = {"": "nothing", "{": "an object (is it JSON lines?)"}.get(first, "no array")
        raise text.wrong(f"expected one JSON array of objects, found {what}")
    if text.after(1) == "]":
        text.after(1)
    else:
        while True:
            yield text.value()
            if (mark := text.mark()) not in (",", "]"):
                raise text.wrong("not JSON: expected ',' or ']'", column=True)
            text.after(1)
            if mark == "]":
                break
    if text.mark():
        raise text.wrong("there is more after the end of the JSON array")


class _Text:
    """A text that comes in pieces, as much of it as is being looked at, and where that is."""

    def __init__(self, pieces: Iterator[str]) -> None:
        self._pieces = pieces
        self._text = ""
        self._at = 0
        self._line, self._column = 1, 1  # of the beginning of what is there
        self._passed, self._counted = 0, 0  # lines in it, as far as they have been counted

    def mark(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = self._at if found is None else found.end()
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def after(self, characters: int) -> str:
        """Go on, and look at the next mark."""
        self._at += characters
        return self.mark()

    def value(self) -> tuple[int, Any]:
        """The line and the value that begins here."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._text) - _NEAR or error.msg.startswith("Unterminated string")
                if not (cut and self._more()):
                    raise NotRows(self._explained(error)) from None
            except (ValueError, RecursionError) as error:
                raise NotRows(Problem(self._line_at(), explained(error))) from None
            else:
                if end < len(self._text) or not self._more():  # or a number might be cut
                    line, self._at = self._line_at(), end
                    return line, value

    def wrong(self, what: str, *, column: bool = False) -> NotRows:
        """The error that something else was expected here."""
        here = self._column_at(self._at)
        return NotRows(Problem(self._line_at(), f"{what} at column {here}" if column else what))

    def _explained(self, error: json.JSONDecodeError) -> Problem:
        line = self._line + self._text.count("\n", 0, error.pos)
        return Problem(line, f"not JSON: {error.msg} at column {self._column_at(error.pos)}")

    def _line_at(self) -> int:
        self._passed += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line + self._passed

    def _column_at(self, at: int) -> int:
        newline = self._text.rfind("\n", 0, at)
        return at - newline if newline >= 0 else self._column + at

    def _more(self) -> bool:
        """Read on, at least as much as there is: a long value is looked at few times. False at the end."""
        rest = self._text[self._at :]
        if len(rest) > LONGEST:
            raise NotRows(Problem(self._line_at(), f"a record has no end within {LONGEST:,} characters"))
        added, size = [rest], 0
        while size < max(len(rest), _PIECE) and (piece := next(self._pieces, None)) is not None:
            added.append(piece)
            size += len(piece)
        if not size:
            return False
        self._line, self._column = self._line_at(), self._column_at(self._at)
        self._text, self._at = "".join(added), 0
        self._passed = self._counted = 0
        return True


def explained(error: Exception) -> str:
    """What is wrong with a JSON text, in words."""
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def kind_of(value: object) -> str:
    """What a JSON value that is no object is called."""
    if value is None:
        return "null"
    kinds = {bool: "a truth value", int: "a number", float: "a number", str: "a text", list: "an array"}
    return kinds.get(type(value), "a number")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return record


def _float(text: str) -> float | Decimal:
    if math.isfinite(float(text)):
        return exact_float(text)
    raise ValueError(f"the number {text[:40]} is too large")


def _integer(text: str) -> int | Decimal:
    if len(text) > LONGEST_INTEGER:
        raise ValueError(f"an integer of {len(text):,} digits is too large")
    return exact_int(text)


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON: write null")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=_float, parse_int=_integer, parse_constant=_not_json
)
