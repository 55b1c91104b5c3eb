"""Rows as a table, for a terminal or a notebook. No word of a cell is broken: a date or an id can be copied from it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from html import escape
from numbers import Number
from typing import TYPE_CHECKING, Any
from unicodedata import combining, east_asian_width

from asyncconn.core.words import count, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "GAP",
    "MOST_ROWS",
    "cell",
    "column_widths",
    "html_table",
    "items_html",
    "one_by_one",
    "right_aligned",
    "text_table",
    "wrapped",
]

#: Blanks between two columns.
GAP = 2

#: Rows of a table in a notebook; the rest is counted.
MOST_ROWS = 20

_WORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d\S*|\S+")  # a day and its time are one
_HIDDEN = re.compile(r"passw|secret|token|api.?key|credential|authoriz", re.IGNORECASE)
_MASK = "***"


def text_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", room: int = 80) -> str:
    """The ``rows`` below their ``columns``, in lines of ``room`` characters; numbers stand to the right.

    >>> print(text_table(("route", "calls"), [("GET /v1/jobs", 12), ("POST /v1/jobs", 3)], room=40))
    route          calls
    ────────────────────
    GET /v1/jobs      12
    POST /v1/jobs      3

    Where they do not fit without breaking a word, each row is a paragraph, with a line for each of its cells.
    """
    given = [list(row) for row in rows]
    cells = [[cell(value) for value in row] for row in given]
    widths = column_widths(columns, cells, room)
    right = right_aligned(columns, given)
    lines = one_by_one(columns, cells, room) if widths is None else _lines(columns, cells, widths, right)
    return "\n".join([title] * bool(title) + [line.rstrip() for line in lines])


def html_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str = "",
    noun: str = "row",
    total: int | None = None,
) -> str:
    """The same for a notebook: the first 20 of them, everything escaped; what bears a secret's name is masked.

    >>> html_table(("id", "token"), [(7, "t0ken")]).count("***")
    1

    Numbers, true and false are not. ``total`` is how many there are, where not all are given.
    """
    given = [list(row) for row in rows]
    more = (len(given) if total is None else total) - MOST_ROWS
    given = given[:MOST_ROWS]
    right = right_aligned(columns, given)
    parts = [f"<caption>{escape(title)}</caption>"] if title else []
    if any(columns):
        heads = (_tag("th", name, at in right) for at, name in enumerate(columns))
        parts.append(f"<thead><tr>{''.join(heads)}</tr></thead>")
    parts.append("<tbody>")
    for row in given:
        named = zip(columns, row, strict=True)
        texts = [cell(_MASK if _hidden(name, value) else _masked(value)) for name, value in named]
        parts.append(f"<tr>{''.join(_tag('td', text, at in right) for at, text in enumerate(texts))}</tr>")
    if more > 0:
        parts.append(f'<tr><td colspan="{len(columns)}">and {count(more, noun)} more</td></tr>')
    return f"<table>{''.join(parts)}</tbody></table>"


def items_html(items: Sequence[Any], *, title: str, noun: str = "item") -> str:
    """Things with fields, a row each, for a notebook: mappings, models, dataclasses; anything else is its own text."""
    records = [_fields(item) for item in items[:MOST_ROWS]]
    columns = list(dict.fromkeys(str(name) for record in records for name in record))
    rows = [[record.get(name) for name in columns] for record in records]
    return html_table(columns, rows, title=title, noun=noun, total=len(items))


def _fields(item: Any) -> Mapping[str, Any]:
    if isinstance(item, Mapping):
        return {str(name): value for name, value in item.items()}
    kind = type(item)
    names: Iterable[str] = getattr(kind, "model_fields", ()) or getattr(kind, "__struct_fields__", ())
    if dataclasses.is_dataclass(kind):
        names = [one.name for one in dataclasses.fields(kind) if one.repr]
    return {name: getattr(item, name) for name in names} or {"": item}


def _tag(kind: str, text: str, right: bool) -> str:
    return f'<{kind} style="text-align: {"right" if right else "left"}">{escape(text)}</{kind}>'


def _hidden(name: object, value: object) -> bool:
    """Whether it bears a secret's name and is neither a number, which counts or measures them, nor nothing."""
    shown = value is None or isinstance(value, Number) or (isinstance(value, str) and not value)
    return not shown and _HIDDEN.search(str(name)) is not None


def _masked(value: Any) -> Any:
    """The same without what bears a secret's name in it."""
    if isinstance(value, Mapping):
        return {name: _MASK if _hidden(name, one) else _masked(one) for name, one in value.items()}
    return [_masked(one) for one in value] if isinstance(value, list | tuple) else value


# -- cells -------------------------------------------------------------------------------------------------------------


def cell(value: Any) -> str:
    """A value for eyes, on one line: what a stranger wrote must not move the cursor."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if isinstance(value, dict | list):
        return plain(json.dumps(value, default=_native))
    return plain(_native(value))


def _native(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def right_aligned(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> set[int]:
    """The places of the columns that hold numbers only."""
    return {at for at in range(len(columns)) if rows and all(_numeric(row[at]) for row in rows)}


def _numeric(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


# -- in lines ----------------------------------------------------------------------------------------------------------


def column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """How wide each column may be, so that all fit into ``room``; None where a word would have to be broken."""
    texts = [[name, *(row[at] for row in rows)] for at, name in enumerate(columns)]
    wanted = [max(map(breadth, some)) for some in texts]
    found = [max(breadth(word) for text in some for word in _WORD.findall(text) or [""]) for some in texts]
    room -= GAP * (len(columns) - 1)
    left = room - sum(found)
    if left < 0:
        return None
    # Each column has room for its longest word; what is left goes first to those that need little.
    missing = [most - least for most, least in zip(wanted, found, strict=True)]
    for number, at in enumerate(sorted(range(len(columns)), key=missing.__getitem__)):
        given = min(missing[at], left // (len(columns) - number))
        found[at] += given
        left -= given
    return found


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of ``width``, of whole words."""
    lines: list[str] = []
    for word in _WORD.findall(text):
        if lines and breadth(lines[-1]) + 1 + breadth(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


def one_by_one(columns: Sequence[str], rows: Iterable[Sequence[str]], room: int) -> Iterator[str]:
    """Each row as a paragraph, with a line for each of its cells."""
    wide = max(map(breadth, columns), default=0)
    for number, row in enumerate(rows):
        if number:
            yield ""
        for name, text in zip(columns, row, strict=True):
            first, *more = wrapped(text, room - wide - GAP)
            yield f"{_padded(name, wide)}{' ' * GAP}{first}"
            yield from (f"{' ' * (wide + GAP)}{line}" for line in more)


def _lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], right: set[int]
) -> Iterator[str]:
    def laid_out(row: Sequence[str]) -> Iterator[str]:
        parts = [wrapped(text, width) for text, width in zip(row, widths, strict=True)]
        for line in range(max(map(len, parts), default=0)):
            texts = [some[line] if line < len(some) else "" for some in parts]
            yield (" " * GAP).join(_padded(text, widths[at], at in right) for at, text in enumerate(texts))

    if any(columns):
        yield from laid_out(columns)
        yield "─" * (sum(widths) + GAP * (len(widths) - 1))
    for row in rows:
        yield from laid_out(row)


def _padded(text: str, width: int, right: bool = False) -> str:
    blanks = " " * (width - breadth(text))
    return blanks + text if right else text + blanks


def breadth(text: str) -> int:
    """Columns that a terminal gives to a text.

    >>> breadth("naïve"), breadth("日本")
    (5, 4)
    """
    if text.isascii():
        return len(text)
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)
