"""Rows as a table on a screen, or as CSV or JSON in a file; and input that cannot work as one line and status 2."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from asyncconn.cli.output import bad_input, console, count, plain, table
from asyncconn.core.files import replace_file
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn.http.models import TolerantModel

__all__ = ["Form", "FormName", "Group", "Output", "Sheet", "Sink", "record"]

_UNFOLDED = 500  # columns of a screen that is none: whatever reads it wants a line a row

Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there, as CSV or JSON by its ending.")
]


class FormName(StrEnum):
    """What rows are written as."""

    CSV = "csv"
    JSON = "json"


Form = Annotated[FormName | None, typer.Option("--format", "-f", help="CSV or JSON, whatever the ending.")]


class Group(TyperGroup):
    """What cannot work is one line and status 2, in each of the commands."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with bad_input(ctx):
            return super().invoke(ctx)


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


@dataclass(frozen=True, slots=True)
class Sink:
    """Where the rows of a command go. Raises ``ConfigError`` for a place that cannot be, before anything is sent."""

    path: Path | None
    form: FormName | None

    @classmethod
    def of(cls, path: Path | None, form: FormName | None) -> Sink:
        """From ``--output`` and ``--format``."""
        if path is None:
            return cls(None, form)
        if form is None:
            try:
                form = FormName(path.suffix.lower().removeprefix("."))
            except ValueError:
                raise ConfigError(f"is {path} to be CSV or JSON? End its name so, or give --format") from None
        if path.is_dir() or not path.parent.is_dir():
            why = "it is a folder" if path.is_dir() else "there is no such folder"
            raise ConfigError(f"{path} cannot be written: {why}")
        return cls(path, form)

    def put(self, sheet: Sheet) -> None:
        """Show the rows, or write them. A file is the old or the new one, never a part."""
        if self.form is None:
            _show(sheet)
            return
        text = _csv(sheet) if self.form is FormName.CSV else _json(sheet)
        if self.path is None:
            print(text, end="")
            return
        try:
            replace_file(self.path, text.encode())
        except OSError as problem:
            raise ConfigError(f"{self.path} cannot be written: {problem.strerror or problem}") from None
        console().print(Text(f"{count(len(sheet.rows), sheet.noun)} written to {self.path}"))


def _show(sheet: Sheet) -> None:
    shown = sheet.shown if sheet.shown is not None else {name: name for name in sheet.columns}
    if not sheet.rows:
        console().print(Text(f"no {sheet.noun}s"))
        return
    at = [sheet.columns.index(column) for column in shown.values()]
    rows = [[row[index] for index in at] for row in sheet.rows]
    numbers = [title for index, title in enumerate(shown) if all(_numeric(row[index]) for row in rows)]
    cells = [[_cell(value) for value in row] for row in rows]
    out = console()
    if not out.is_terminal:
        out.width = _UNFOLDED
    out.print(table(sheet.title, [*shown], cells, numbers=numbers))
    out.print(Text(f"\n{count(len(rows), sheet.noun)}"))


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
    if isinstance(value, bool | dict | list):
        return json.dumps(value, default=_native)
    return str(_native(value)) if isinstance(value, date) else str(value)


def _native(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else str(value)


def _csv(sheet: Sheet) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(sheet.columns)
    writer.writerows([_text(value) for value in row] for row in sheet.rows)
    return out.getvalue()


def _json(sheet: Sheet) -> str:
    records = [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]
    return json.dumps(records, indent=2, ensure_ascii=False, default=_native) + "\n"
