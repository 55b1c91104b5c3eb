"""How the commands speak: results on standard output, everything else on standard error, movement on terminals only."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from asyncconn.core.notes import with_notes
from asyncconn.core.tables import GAP, column_widths, one_by_one, wrapped
from asyncconn.core.words import count, plain, size
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

#: Lines of what is wrong that are shown; the rest is counted.
SHOWN = 20

#: The status of a command that was given what cannot work; nothing was sent.
BAD_INPUT = 2

__all__ = [
    "BAD_INPUT",
    "SHOWN",
    "Fitted",
    "complain",
    "console",
    "count",
    "error",
    "faults",
    "plain",
    "progress",
    "remark",
    "size",
    "spoken",
    "stderr",
    "table",
    "told",
    "unset",
    "waits_told",
    "warned",
]

_LONG = 5.0  # seconds: who looks on wonders what is the matter

# Where the credentials are that a user has to have; a sandbox makes some up.
_ORIGINS = {
    "ASYNCCONN_PANOPLY_API_KEY": "Panoply shows key and secret when a data source 'Panoply SDK' is added",
    "ASYNCCONN_PANOPLY_API_SECRET": "Panoply shows key and secret when a data source 'Panoply SDK' is added",
    "ASYNCCONN_DATORAMA_TOKEN": "the API token on your profile page in Datorama, or several with commas between them",
    "ASYNCCONN_TCUP_URL": "TCUP's address and your tenant's API key; --config FILE reads both from a file",
    "ASYNCCONN_TCUP_API_KEY": "TCUP's address and your tenant's API key; --config FILE reads both from a file",
}


@dataclass
class Words:
    """What was said for the whole command, wherever on the line: ``-v``, ``-q``, ``--debug``."""

    verbose: int = 0
    quiet: bool = False
    debug: bool = False
    scrub: Callable[[str], str] = str  # takes out what a command knows to be a secret of its user

    def listen(self) -> None:
        """Show what the package logs, as far as ``-v`` asks for it."""
        logger = logging.getLogger("asyncconn")
        if not _heard(logger):
            logger.addHandler(_Lines())
        logger.setLevel(logging.INFO if self.verbose == 1 else logging.DEBUG)


class _Lines(logging.Handler):
    def emit(self, line: logging.LogRecord) -> None:
        """On standard error as it is now: a bar that moves there is moved out of the way."""
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(plain(spoken.scrub(line.getMessage())), "dim"))


def _heard(logger: logging.Logger) -> bool:
    return any(isinstance(handler, _Lines) for handler in logger.handlers)


@contextmanager
def warned() -> Iterator[None]:
    """Show what the package warns of meanwhile, also without ``-v``: how a connection is that is to stay up."""
    logger, handler = logging.getLogger("asyncconn"), _Lines(logging.WARNING)
    if not _heard(logger):
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Waits(_Lines):
    """Of what is logged of the rate, what keeps somebody waiting who looks on, and what is a warning."""

    def emit(self, line: logging.LogRecord) -> None:
        if line.levelno >= logging.WARNING or getattr(line, "seconds", math.inf) > _LONG:  # others are of long ones
            line.msg, line.args = line.getMessage().partition("; resume()")[0], ()
            super().emit(line)


@contextmanager
def waits_told() -> Iterator[None]:
    """Say meanwhile, also without ``-v``, that calls wait for the rate for more than 5 s, and until when."""
    logger, handler = logging.getLogger("asyncconn.ratelimit"), _Waits(logging.INFO)
    level = logger.level
    if not (spoken.quiet or spoken.verbose):
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


#: Those of this process, which is one command.
spoken = Words()


def console() -> Console:
    """For results. Without a terminal it writes plain text."""
    return Console(highlight=False, soft_wrap=True)


def stderr() -> Console:
    """For progress and remarks, of which ``-q`` wants none."""
    return Console(stderr=True, highlight=False, soft_wrap=True, quiet=spoken.quiet)


def remark(what: str, *, result: bool = False) -> None:
    """A line beside the results, on standard error; the ``result`` of a command in words goes where results go."""
    (console() if result else stderr()).print(Text(what))


def error(what: str | Exception) -> None:
    """``error: ...``, on one line whatever is in it; of an exception its notes, too."""
    message = what if isinstance(what, str) else with_notes(what)
    complain(" ".join(message.split()), ("error: ", "bold red"))


def complain(what: str, *before: tuple[str, str]) -> None:
    """A line about what is wrong, on standard error; ``before`` it words and their style."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text.assemble(*before, what))


def faults(lines: Sequence[str]) -> None:
    """What is wrong with an input, a line each, before the error that counts them all."""
    for line in lines[:SHOWN]:
        complain(plain(line))


def told(problem: Exception) -> int:
    """Tell why a command cannot go on; the status to end with."""
    if not isinstance(problem, ConfigError):
        error(problem)
        return 1
    error(unset(problem.missing) if problem.missing else problem.message)
    return BAD_INPUT


def unset(names: Sequence[str]) -> str:
    """What to do about variables that are not set: where their values come from, and how to do without."""
    origins = dict.fromkeys(_ORIGINS[name] for name in names if name in _ORIGINS)
    where = f" ({'; '.join(origins)})" if origins else ""
    return (
        f"set {' and '.join(names)}{where}, in the environment or in .env; "
        "without an account: asyncconn sandbox --env-file .env, in another terminal"
    )


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Sequence[str] = ()) -> Fitted:
    """A table of texts; the columns named in ``numbers`` are set to the right."""
    return Fitted(title, columns, [list(row) for row in rows], numbers)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A table for whatever width there is, in which no word is broken: where it is too narrow, a paragraph a row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    numbers: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width
        if self.title:
            yield Text(f"\n{self.title}", "bold")
        texts = [["" if cell is None else str(cell) for cell in row] for row in self.rows]
        widths = column_widths(self.columns, texts, room)
        if widths is None:
            yield from map(Text, one_by_one(self.columns, texts, room))
            return
        padding = (0, GAP - 1, 0, 0)  # and one blank of the box
        made = Table(box=SIMPLE_HEAD, show_header=any(self.columns), show_edge=False, pad_edge=False, padding=padding)
        for name, width in zip(self.columns, widths, strict=True):
            title = "\n".join(wrapped(name, width))
            made.add_column(title, justify="right" if name in self.numbers else "left", width=width)
        for row, cells in zip(self.rows, texts, strict=True):
            made.add_row(
                *[
                    one if isinstance(one, Text) else Text("\n".join(wrapped(text, width)))
                    for one, text, width in zip(row, cells, widths, strict=True)
                ]
            )
        yield made


def progress(to: Console) -> Progress:
    """A bar with counts and time; shows nothing at all without a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=to,
        disable=spoken.quiet or not to.is_terminal,
    )
