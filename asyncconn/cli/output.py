"""How the commands speak: results on standard output, everything else on standard error, movement on terminals only."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from asyncconn.core.notes import with_notes
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: The status of a command that was given what cannot work; nothing was sent.
BAD_INPUT = 2

__all__ = ["BAD_INPUT", "bad_input", "console", "count", "error", "plain", "progress", "size", "stderr", "table"]


def console() -> Console:
    """For results. Without a terminal it writes plain text."""
    return Console(highlight=False, soft_wrap=True)


def stderr() -> Console:
    """For progress and errors."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def error(what: str | Exception) -> None:
    """``error: ...``, on one line whatever is in it; of an exception its notes, too."""
    message = what if isinstance(what, str) else with_notes(what)
    stderr().print(Text.assemble(("error: ", "bold red"), " ".join(message.split())))


@contextmanager
def bad_input(ctx: typer.Context) -> Iterator[None]:
    """``ConfigError`` as one line and status 2; with ``--debug`` as it is."""
    try:
        yield
    except ConfigError as problem:
        if ctx.find_root().params.get("debug"):
            raise
        error(problem.message)
        raise typer.Exit(BAD_INPUT) from None


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Sequence[str] = ()) -> Table:
    """A table of texts; the columns named in ``numbers`` are set to the right."""
    made = Table(
        title=f"\n{title}" if title else None,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_header=any(columns),
        show_edge=False,
        pad_edge=False,
    )
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*[cell if isinstance(cell, Text) else Text("" if cell is None else str(cell)) for cell in row])
    return made


def progress(to: Console) -> Progress:
    """A bar with counts and time; shows nothing at all without a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=to,
        disable=not to.is_terminal,
    )


def plain(text: str) -> str:
    """A stranger's text on one line, without what could move a terminal's cursor.

    >>> plain("50\\x1b[2J %")
    '50 [2J %'
    """
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def count(number: int, noun: str) -> str:
    """``1 record``, ``2,000 records``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(number: int) -> str:
    """Bytes as people read them.

    >>> size(1_234_567)
    '1.2 MB'
    """
    if number < 1_000:
        return count(number, "byte")
    power, unit = next(((p, u) for p, u in ((3, "kB"), (6, "MB")) if number < 10 ** (p + 3)), (9, "GB"))
    return f"{number / 10**power:.1f} {unit}"
