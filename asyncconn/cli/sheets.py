"""Rows as a table for eyes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from asyncconn.cli.output import console, count, table
from asyncconn.core.tables import cell, right_aligned
from asyncconn.core.words import plural

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
            out.print(Text(f"no {plural(self.noun)}"))
            return
        shown = self.shown if self.shown is not None else {name: name for name in self.columns}
        at = [self.columns.index(column) for column in shown.values()]
        rows = [[row[index] for index in at] for row in self.rows]
        titles = [*shown]
        numbers = [titles[at] for at in right_aligned(titles, rows)]
        cells = [[cell(value) for value in row] for row in rows]
        if not out.is_terminal:
            out.width = _UNFOLDED
        out.print(table(self.title, titles, cells, numbers=numbers))
        out.print(Text(f"\n{count(len(rows), self.noun)}"))
