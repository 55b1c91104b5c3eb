"""Rows as a table for eyes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from asyncconn.cli.output import console, count, plain, table

if TYPE_CHECKING:
    from asyncconn.http.models import TolerantModel

__all__ = ["Sheet", "record"]

_UNFOLDED = 500  # columns of a screen that is none: whatever reads it wants a line a row


def record(model: TolerantModel, names: Sequence[str]) -> list[Any]:
    """The fields of those names, spelt as on the wire."""
    found = model.model_dump(by_alias=True, warnings=False)
    return [found.get(name) for name in names]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows to show or to write. ``shown`` are the columns of the table on a screen, by their titles; none: all."""

    noun: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    shown: Mapping[str, str] | None = None
    title: str = ""

    def records(self) -> list[dict[str, Any]]:
        """Each row by the names of its columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def show(self) -> None:
        """On standard output."""
        self._print(console())

    def text(self) -> str:
        """As it is shown where there is no terminal."""
        out = io.StringIO()
        self._print(Console(file=out, highlight=False, soft_wrap=True))
        return out.getvalue()

    def _print(self, out: Console) -> None:
        if not self.rows:
            out.print(Text(f"no {self.noun}s"))
            return
        shown = self.shown if self.shown is not None else {name: name for name in self.columns}
        at = [self.columns.index(column) for column in shown.values()]
        rows = [[row[index] for index in at] for row in self.rows]
        numbers = [title for index, title in enumerate(shown) if all(_numeric(row[index]) for row in rows)]
        cells = [[_cell(value) for value in row] for row in rows]
        if not out.is_terminal:
            out.width = _UNFOLDED
        out.print(table(self.title, [*shown], cells, numbers=numbers))
        out.print(Text(f"\n{count(len(rows), self.noun)}"))


def _numeric(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    """For eyes: what a stranger wrote must not move the cursor."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    return plain(_text(value))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, default=_native)
    return _native(value)


def _native(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
