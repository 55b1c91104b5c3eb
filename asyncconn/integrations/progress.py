"""What a hub has under way, to be watched from a script or a notebook.

    >>> async with Hub() as hub, progress(hub):
    ...     await sync(acme.series(), into=panoply.table("series"))

On a terminal it is a block of bars below what the program prints (it needs rich: the extra ``cli``), in a notebook a
table that changes, and elsewhere a line now and then. Nothing has to be told to it: what the hub's connectors hold and
wait for it reads there, and work that takes time tells it how far it is.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import sys
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast
from weakref import WeakSet, finalize

from asyncconn.core.clock import shown_end
from asyncconn.core.durations import positive
from asyncconn.core.extras import extra
from asyncconn.core.progress import Progress, displayed
from asyncconn.core.tables import html_table
from asyncconn.core.tasks import reap
from asyncconn.core.threads import in_thread
from asyncconn.core.words import agreed, count, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from asyncconn.core.buffer.receipts import BatchStats
    from asyncconn.figures import AccountFigures, RateFigures
    from asyncconn.hub import Hub

__all__ = ["progress"]

logger = logging.getLogger("asyncconn.progress")

_OFTEN = 0.2  # seconds between two looks where they can be seen
_WORKS = 12  # pieces of work that are shown; the rest is counted
_BAR = 24  # columns
_TITLE = 40  # characters of a name


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is under way: ``done`` of ``total`` (None: nobody knows), and ``note`` about it."""

    what: str
    done: int
    total: int | None
    unit: str
    note: str = ""

    def __str__(self) -> str:
        of = "" if self.total is None else f" of {self.total:,}"
        unit = agreed(self.done if self.total is None else self.total, self.unit)
        return f"{self.what}: {self.done:,}{of} {unit}{f' ({self.note})' if self.note else ''}"


@asynccontextmanager
async def progress(hub: Hub, *, to: TextIO | None = None, every: float = 30.0) -> AsyncIterator[None]:
    """Show what ``hub`` has under way, as long as the block runs: ``async with progress(hub): ...``.

    Records that were accepted and have an outcome; each limit that is in use, who waits for it, and until when;
    connections that are kept up; polls; and how far each piece of work is that takes ``on_progress``, without giving it
    one. It goes to ``to``, by default standard error: on a terminal several times a second, elsewhere a line every
    ``every`` seconds and one at the end. In a notebook, where ``to`` is not given, it is a table below the cell.

    What is wrong with the display stops nothing: the log tells of it once, and the work goes on unseen. Without a
    standard error, as of a program without a window, nothing is shown. Raises ``ConfigError`` on a terminal without
    rich.
    """
    positive("every", every)
    screen, pause = await _chosen(to, every)
    display = _Display(hub, screen)
    with displayed(display.begun):
        looking = asyncio.get_running_loop().create_task(display.look(pause), name="asyncconn:progress")
        try:
            yield
        finally:
            try:
                await reap([looking])
            finally:  # also when that is cancelled: a terminal is to be given back
                display.end()


async def _chosen(to: TextIO | None, every: float) -> tuple[_Screen, float]:
    """Where it is shown, and how often."""
    notebook = _notebook() if to is None else None
    if notebook is not None:
        return _Notebook(notebook), _OFTEN
    to = sys.stderr if to is None else to
    if not _is_terminal(to):
        return _Lines(to), every
    await in_thread(_load_rich)
    return _Terminal(to), _OFTEN


def _is_terminal(to: TextIO | None) -> bool:
    try:
        return to is not None and to.isatty()
    except (AttributeError, OSError, ValueError):  # what stands in for a stream, has gone, or is closed
        return False


class _Display:
    """Looks at a hub, and at the work that has begun meanwhile."""

    def __init__(self, hub: Hub, screen: _Screen) -> None:
        self._hub = hub
        self._screen = screen
        self._works: WeakSet[_Work] = WeakSet()
        self._over: deque[_Told] = deque(maxlen=_WORKS)
        self._number = 0
        self._ended = False

    def begun(self, what: str) -> _Work:
        """A piece of work begins."""
        self._number += 1
        work = _Work(_Told(self._number, plain(what)[:_TITLE]))
        self._works.add(work)
        finalize(work, self._over.append, work.told).atexit = False
        return work

    async def look(self, pause: float) -> None:
        """Again and again."""
        while not self._ended:
            await self._hub.clock.sleep(pause)
            self.show()

    def show(self) -> None:
        """What there is now."""
        self._show([])

    def end(self) -> None:
        """That, and how far the latest work was that is over; it stays as it is."""
        self._show(self._over)
        self._guarded(self._screen.close)
        self._ended = True

    def _show(self, over: Iterable[_Told]) -> None:
        self._guarded(lambda: self._screen.show(list(self._lines([*over, *(work.told for work in self._works)]))))

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do that, unless it has ended, or something has failed before."""
        if self._ended:
            return
        try:
            act()
        except Exception as error:  # noqa: BLE001 - a pipe that is closed, say: the work goes on unseen
            self._ended = True
            with suppress(Exception):  # what it can, as giving standard output back to the program
                self._screen.close()
            logger.warning("progress is not shown any more: %s: %s", type(error).__name__, error)

    def _lines(self, works: Iterable[_Told]) -> Iterator[Line]:
        figures = self._hub.figures()
        for buffer in figures.buffers:
            if buffer.stats.accepted:
                yield _of_buffer(buffer.name, buffer.stats)
        for account in figures.accounts:
            yield from self._of_account(account, len([one for one in figures.accounts if one.rates]) > 1)
        for stream in figures.streams:
            words = [count(stream.reconnects, "reconnect"), count(stream.gaps, "gap")]
            yield Line(stream.name, stream.live, stream.live + stream.down, "connections live", ", ".join(words))
        shown = sorted((one for one in works if one.now is not None), key=lambda one: one.number)
        for work in shown[-_WORKS:]:
            yield work.line()
        if len(shown) > _WORKS:
            yield Line("and more", len(shown) - _WORKS, None, "pieces of work")

    def _of_account(self, account: AccountFigures, several: bool) -> Iterator[Line]:
        """A line for each of its limits that is in use: of parts that several share, the first tells."""
        told: set[str] = set()
        by_limit = groupby(sorted(account.rates, key=_limit_of), key=_limit_of)
        for limit, services in by_limit:
            books = [one.snapshot for one in services]
            parts = books[0].parts  # the services of an account share them, and each has its own who wait
            tightest = min(parts, key=lambda part: part.remaining / part.limit)
            waiting, paused = sum(book.waiting for book in books), max(book.paused_for for book in books)
            used = tightest.limit - tightest.remaining
            if waiting or paused or (used and tightest.name not in told):
                told |= {part.name for part in parts}
                wait = max(paused, *(part.resets_in for part in parts if not part.remaining), 0.0)
                whose = f" #{account.account}" if several else ""
                yield Line(
                    f"{account.platform}.{limit}{whose}",
                    used,
                    tightest.limit,
                    f"calls of its {tightest.name} limit",
                    self._wait(waiting, paused, wait),
                )

    def _wait(self, waiting: int, paused: float, seconds: float) -> str:
        if not waiting and not paused:
            return ""
        what = "paused" if paused else f"{waiting:,} waiting"
        if not seconds:
            return what
        until = shown_end(self._hub.clock.utcnow(), seconds, "%H:%M:%S UTC")
        return f"{what} until {until}, {seconds:.0f} s" if seconds < math.inf else f"{what} until {until}"


def _limit_of(rate: RateFigures) -> str:
    return rate.limit


class _Told:
    """What a piece of work has told of itself."""

    __slots__ = ("now", "number", "what")

    def __init__(self, number: int, what: str) -> None:
        self.number = number
        self.what = what
        self.now: Progress | None = None

    def line(self) -> Line:
        now = self.now or Progress(0, None, "")
        return Line(self.what, now.done, now.total, now.unit, plain(getattr(now, "msg", "")))


class _Work:
    """Who a piece of work tells how far it is. Held by the work itself: gone when that is over."""

    __slots__ = ("__weakref__", "told")

    def __init__(self, told: _Told) -> None:
        self.told = told

    def __call__(self, now: Progress) -> None:
        self.told.now = now


def _of_buffer(name: str, stats: BatchStats) -> Line:
    notes = [f"{number:,} {what}" for what in ("rejected", "failed", "unknown") if (number := getattr(stats, what))]
    if stats.pending:
        notes.append(f"{stats.pending:,} pending, the oldest {stats.oldest_age:.1f} s")
    return Line(name, stats.accepted - stats.pending, stats.accepted, "records", ", ".join(notes))


# -- where it is shown -------------------------------------------------------------------------------------------------


class _Screen(Protocol):
    def show(self, lines: list[Line]) -> None:
        """These now."""

    def close(self) -> None:
        """It stays as it is."""


class _Lines:
    """One line of text, where nothing can be drawn over."""

    def __init__(self, to: TextIO | None) -> None:
        self._to = to
        self._last = ""

    def show(self, lines: list[Line]) -> None:
        text = "; ".join(map(str, lines))
        if self._to is not None and text != self._last:
            self._last = text
            self._to.write(f"{text}\n")
            self._to.flush()

    def close(self) -> None:
        pass


def _load_rich() -> None:
    extra("rich", "cli")
    for module in ("console", "live", "progress_bar", "table", "text"):
        importlib.import_module(f"rich.{module}")


class _Terminal:
    """Bars, redrawn in place; what the program prints meanwhile goes above them."""

    def __init__(self, to: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._to = _Unfailing(to)
        self._live = Live(
            console=Console(file=cast("TextIO", self._to), highlight=False),
            auto_refresh=False,
            redirect_stdout=_is_terminal(sys.stdout),  # what goes into a file or a pipe stays there
            redirect_stderr=_is_terminal(sys.stderr),
        )

    def show(self, lines: list[Line]) -> None:
        self._live.start()  # once
        self._live.update(_bars(lines), refresh=True)
        self._to.check()

    def close(self) -> None:
        self._live.stop()
        self._to.check()


class _Unfailing:
    """A terminal that may go away, for rich, which ends the program then, and for a program that prints by it."""

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._to, name)

    def write(self, text: str) -> int:
        try:
            return self._to.write(text)
        except (OSError, ValueError) as error:
            self._error = error
            return len(text)

    def flush(self) -> None:
        try:
            self._to.flush()
        except (OSError, ValueError) as error:
            self._error = error

    def check(self) -> None:
        """Raise what went wrong."""
        if self._error is not None:
            raise self._error


def _bars(lines: list[Line]) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 1))
    made.add_column(no_wrap=True)
    made.add_column(width=_BAR)
    made.add_column()
    for line in lines:
        bar = Text("") if line.total is None else ProgressBar(max(line.total, 1), line.done, width=_BAR)
        made.add_row(Text(line.what), bar, Text(str(line).removeprefix(f"{line.what}: ")))
    return made


class _Notebook:
    """A table below the cell."""

    def __init__(self, display: Any) -> None:
        self._lines: list[Line] = []
        self._display = display
        self._handle: Any = None

    def show(self, lines: list[Line]) -> None:
        self._lines = lines
        self._handle = self._handle or self._display(self, display_id=True)
        self._handle.update(self)

    def close(self) -> None:
        pass

    def __repr__(self) -> str:
        return "\n".join(map(str, self._lines))

    def _repr_html_(self) -> str:
        rows = [(line.what, line.done, line.total, line.unit, line.note) for line in self._lines]
        return html_table(("under way", "done", "of", "", ""), rows, noun="line")


def _notebook() -> Any:
    """What displays in the notebook that this runs in; None where it runs in none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if not hasattr(shell, "kernel"):  # the shell of a terminal has none
        return None
    return importlib.import_module("IPython.display").display
