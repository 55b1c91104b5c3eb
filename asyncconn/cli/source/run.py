"""One run of a source from the command line: where its rows go, how far it is, and how it ended."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import AsyncExitStack, redirect_stdout
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from asyncconn import Panoply
from asyncconn.cli.options import DryRun
from asyncconn.cli.output import console, count, plain, progress, remark, stderr, table
from asyncconn.errors import ConfigError
from asyncconn.panoply import Destination, RunReport, SourceError, preview_source, run_source
from asyncconn.sandbox import PanoplyWorld, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress as Bar

    from asyncconn import Hub
    from asyncconn.core.buffer.memory import Delivery
    from asyncconn.panoply import DataSource, SourceProgress

__all__ = ["Job", "RunOptions"]


class To(StrEnum):
    """Where rows go."""

    ENV = "env"
    SANDBOX = "sandbox"


@dataclass(frozen=True)
class RunOptions:
    """How a source is to be run, whichever it is."""

    state: Annotated[
        Path | None, typer.Option("--state", metavar="FILE", help="Go on where a run that failed ended; keep how far.")
    ] = None
    keep_state: Annotated[
        bool, typer.Option("--keep-state", help="Go on after a run that brought everything, too: do not begin anew.")
    ] = False
    dry_run: DryRun = False
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="Of a dry run: end after N rows.")
    ] = None
    to: Annotated[To, typer.Option("--to", help="The Panoply of the environment, or a sandbox in this process.")] = (
        To.ENV
    )
    destination: Annotated[
        str | None, typer.Option("--destination", metavar="PATTERN", help="The table; {field} is filled from each row.")
    ] = None
    batch_size: Annotated[
        int, typer.Option("--batch-size", metavar="N", min=1, help="The number of rows that read is asked for.")
    ] = 1000
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=JSON", help="An entry of options. Repeatable.")
    ] = None
    spool: Annotated[
        Path | None, typer.Option("--spool", metavar="PATH", help="Keep rows there until they have arrived.")
    ] = None
    source: Annotated[
        Path | None, typer.Option("--source", metavar="FILE", help="A JSON object with more keys of source.")
    ] = None

    def __post_init__(self) -> None:
        if self.limit is not None and not self.dry_run:
            raise ConfigError("--limit is for --dry-run: a run that keeps state must not end in the middle")
        if self.keep_state and self.state is None:
            raise ConfigError("--keep-state is for a run with --state")
        if self.dry_run and (self.to is not To.ENV or self.spool is not None):
            raise ConfigError("--dry-run sends nothing: it goes with neither --to nor --spool")
        if self.destination is not None:
            Destination(self.destination)

    def entries(self) -> dict[str, Any]:
        """The ``options`` of the source."""
        entries = {}
        for one in self.option or []:
            name, mark, text = one.partition("=")
            if not (name and mark):
                raise ConfigError("--option takes NAME=JSON")
            try:
                entries[name] = json.loads(text)
            except (ValueError, RecursionError):
                # It may hold a client's secret: not repeated.
                raise ConfigError(f"--option {name}: not JSON after the '='; a text stands in double quotes") from None
        return entries


@dataclass
class Job:
    """What to run and how; and how far it got."""

    stream: Callable[..., DataSource]
    params: dict[str, Any] = field(repr=False)
    entries: dict[str, Any] = field(repr=False)
    how: RunOptions
    report: RunReport | None = None
    writer: Panoply | None = None
    landed: dict[str, int] | None = None  # in the sandbox
    shown: Counter[str] = field(default_factory=Counter)  # rows of a dry run, by table

    async def run(self, hub: Hub) -> None:
        """To the end, or to what ends it."""
        how = self.how
        async with AsyncExitStack() as stack:
            made = await self._writer(hub, stack)
            with progress(stderr()) as bar:
                task = bar.add_task("reading", total=None, note="")
                self._watch(made, bar, task)

                def advanced(now: SourceProgress) -> None:
                    # None leaves the bar as it is, which without a total only moves to and fro.
                    bar.update(task, completed=now.done, total=now.total, note=escape(plain(now.msg)))

                try:
                    self.report = await run_source(
                        self.stream,
                        self.params,
                        self.entries,
                        into=made,
                        state=how.state,
                        keep_state="always" if how.keep_state else "failure",
                        batch_size=how.batch_size,
                        on_progress=advanced,
                    )
                except SourceError as problem:
                    self.report = problem.report
                    raise

    async def preview(self, hub: Hub) -> None:
        """Print rows as JSON lines."""
        out = sys.stdout

        def show(name: str, line: str) -> None:
            print(line, file=out, flush=True)
            self.shown[name] += 1

        with redirect_stdout(sys.stderr):  # rows have standard output for themselves: old sources print
            await preview_source(
                self.stream,
                self.params,
                self.entries,
                show=show,
                state=self.how.state,
                batch_size=self.how.batch_size,
                limit=self.how.limit,
            )

    async def _writer(self, hub: Hub, stack: AsyncExitStack) -> Panoply:
        spool: dict[str, Any] = {} if self.how.spool is None else {"spool": self.how.spool}
        if self.how.to is To.SANDBOX:
            there = (await stack.enter_async_context(Sandbox(PanoplyWorld()))).panoply
            stack.callback(lambda: setattr(self, "landed", there.tables()))
            made = Panoply(there.api_key, there.api_secret, hub=hub, endpoint_url=there.url, **spool)
        else:
            made = Panoply.from_env(hub=hub, **spool)
        self.writer = made
        return made

    def _watch(self, made: Panoply, bar: Bar, task: Any) -> None:
        def arrived(delivery: Delivery) -> None:
            bar.update(task, description=f"{count(made.stats.delivered, 'row')} delivered")

        made.on("flush", arrived)

    def tell(self, title: str, *, interrupted: bool) -> None:
        """What has happened, if anything has."""
        if self.how.dry_run:
            shown = f"{count(self.shown.total(), 'row')} in {count(len(self.shown), 'table')}"
            remark(f"{shown} printed; nothing was sent")
            return
        of_report = None if self.report is None else self.report.tables
        where, tables = ("What landed in the sandbox", self.landed) if self.landed is not None else (title, of_report)
        if tables:
            rows = [(plain(name), f"{number:,}") for name, number in tables.items()]
            console().print(table(where, ("table", "rows"), rows, numbers=("rows",)))
        for line in self._words(interrupted=interrupted):
            console().print(Text(line))

    def _words(self, *, interrupted: bool) -> list[str]:
        state = self.how.state
        if (report := self.report) is not None:
            words = f"{report.delivered:,} of {count(report.rows, 'row')} delivered in {report.seconds:.1f} s"
            if report.retries:
                words += f"; {report.retries:,} of {report.reads + report.retries:,} reads were repeated"
            return [words] if state is None else [words, _kept(report, state, always=self.how.keep_state)]
        if self.writer is None:
            return []
        stats = self.writer.stats
        words = f"{stats.delivered:,} of {count(stats.accepted, 'row')} delivered"
        words = f"interrupted: {words}" if interrupted else words
        covers = f"the state in {state} covers no more than that: run it again to go on"
        return [words] if state is None else [words, covers]


def _kept(report: RunReport, state: Path, *, always: bool) -> str:
    if report.complete and not always:
        return f"all is there: the next run begins anew; {state} has when this one began"
    return (
        f"state saved in {state}" if report.state or report.changes else "the source reported no state: none was saved"
    )
