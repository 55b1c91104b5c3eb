"""From a message's body to rows: what the consumer behind the queue makes of it. Pure functions.

Contract: panoply section 3 (LF between documents, ``__table``) and section 6 (table names are lower-cased).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

__all__ = ["InvalidDocument", "Layout", "Rows", "count_documents", "fold", "read_documents"]

SENT_TIME = "__senttime"
_TABLE = "__table"
_EXCERPT = 2000
_INT64 = range(-(2**63), 2**63)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class InvalidDocument:
    """A document that was not loaded: its first 2,000 characters, and why."""

    text: str
    reason: str


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """What records with the same keys have in common: the keys to take, and the columns they go to."""

    keys: tuple[str, ...]
    columns: tuple[str, ...]
    has_id: bool
    problem: str | None = None


@dataclass(slots=True)
class Rows:
    """The rows of one table in the order of writing, each with its layout and its document."""

    items: list[tuple[Layout, list[_Value], str]] = field(default_factory=list)


def fold(name: str) -> str:
    """SQLite's idea of "the same name": ASCII letters without case."""
    return name.translate(_LOWER)


def count_documents(body: str) -> int:
    """How many non-empty pieces lie between the LFs."""
    return sum(1 for piece in body.split("\n") if _is_document(piece))


def read_documents(body: str) -> tuple[dict[str, Rows], list[InvalidDocument]]:
    """Rows by table name, and the documents that are none.

    >>> tables, invalid = read_documents('{"a": 1, "__table": "T"}\\n\\n[2]\\n')
    >>> list(tables), invalid[0].reason
    (['t'], 'not a JSON object')
    """
    # Only an escape can bring a surrogate, so most bodies need no look at their strings.
    cleaning = _SURROGATE_ESCAPE.search(body) is not None
    layouts: dict[tuple[str, ...], Layout] = {}
    tables: dict[str, Rows] = {}
    invalid: list[InvalidDocument] = []
    for piece in body.split("\n"):
        if not _is_document(piece):
            continue
        try:
            document = _parse(piece)
            name = _table_name(document)
            keys = tuple(document)
            layout = layouts.get(keys) or layouts.setdefault(keys, _layout(keys))
            if layout.problem is not None:
                raise _NotLoadable(layout.problem)
            row = [_plain(document[key], cleaning) for key in layout.keys]
        except _NotLoadable as error:
            invalid.append(InvalidDocument(piece[:_EXCERPT], str(error)))
            continue
        tables.setdefault(name, Rows()).items.append((layout, row, piece[:_EXCERPT]))
    return tables, invalid


class _NotLoadable(Exception):
    pass


def _is_document(piece: str) -> bool:
    return bool(piece) and bool(piece.strip(" \t\r"))


def _refuse_word(word: str) -> NoReturn:
    raise _NotLoadable(f"not valid JSON: {word}")


def _long_int(digits: str) -> int | str:
    return int(digits) if len(digits) < 20 else digits


_decoder = json.JSONDecoder(parse_constant=_refuse_word)
_long_decoder = json.JSONDecoder(parse_constant=_refuse_word, parse_int=_long_int)


def _parse(piece: str) -> dict[str, Any]:
    try:
        try:
            document = _decoder.decode(piece)
        except json.JSONDecodeError:
            raise
        except ValueError:  # Python refuses integers of more than 4,300 digits; JSON does not
            document = _long_decoder.decode(piece)
    except json.JSONDecodeError as error:
        raise _NotLoadable(f"not valid JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise _NotLoadable("not valid JSON: nested too deeply") from None
    if not isinstance(document, dict):
        raise _NotLoadable("not a JSON object")
    return document


def _table_name(document: dict[str, Any]) -> str:
    name = document.get(_TABLE)
    if not isinstance(name, str) or not name:
        raise _NotLoadable("no table: __table is not a text of at least one character")
    name = _clean(name).lower()
    if "\0" in name:
        raise _NotLoadable("the table name holds a NUL")
    if fold(name).startswith("sqlite_"):
        raise _NotLoadable("the table name is reserved by SQLite")
    return name


def _layout(keys: tuple[str, ...]) -> Layout:
    taken: dict[str, str] = {}
    spelt: dict[str, str] = {}
    for key in keys:
        if "\0" in key:
            return Layout((), (), has_id=False, problem="a key holds a NUL")
        column = fold(_clean(key))
        if key != _TABLE and column != SENT_TIME:
            taken[column] = key  # of keys that share a column, the last one wins
            spelt.setdefault(column, _clean(key))
    return Layout(tuple(taken.values()), tuple(spelt.values()), has_id="id" in taken)


def _plain(value: object, cleaning: bool) -> _Value:
    """As SQLite can hold it."""
    if isinstance(value, str):
        return _clean(value) if cleaning else value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if value in _INT64 else str(value)
    if value is None or isinstance(value, float):
        return value
    try:
        nested = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise _NotLoadable("nested too deeply") from None
    return _clean(nested) if cleaning else nested


def _clean(text: str) -> str:
    """Without lone surrogates, which UTF-8 (and so the database) cannot hold."""
    return _LONE_SURROGATE.sub("\ufffd", text)
