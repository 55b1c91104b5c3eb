"""One run of a source from the command line: where its rows go, how far it is, and how it ended."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.text import Text

from asyncconn import Panoply
from asyncconn.cli.output import count, plain, progress, stderr, table
from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.errors import InvalidRecord
from asyncconn.panoply.encoding import record_encoder
from asyncconn.panoply.errors import SourceError
from asyncconn.panoply.report import RunReport, SourceProgress
from asyncconn.panoply.sources.runner import run_source
from asyncconn.panoply.sources.states import Saved, StateFile
from asyncconn.panoply.writer import WriteReport
from asyncconn.sandbox import PanoplyWorld, Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import TextIO

    from rich.console import RenderableType

    from asyncconn import Hub
    from asyncconn.core.buffer.memory import Delivery
    from asyncconn.panoply.sources.source import DataSource

__all__ = ["Job", "Outcome"]


@dataclass
class Outcome:
    """How far it got. ``printed`` is where the rows of a dry run go, None for any other."""

    printed: TextIO | None = None
    report: RunReport | None = None
    writer: Panoply | None = None
    landed: dict[str, int] | None = None  # in the sandbox
    tables: Counter[str] = field(default_factory=Counter)  # of a dry run

    def lines(self, job: Job, title: str, *, interrupted: bool) -> Iterator[RenderableType]:
        """What to tell about it, when anything has happened."""
        if self.printed is not None:
            rows = sum(self.tables.values())
            yield Text(f"{count(rows, 'row')} in {count(len(self.tables), 'table')} printed; nothing was sent")
            return
        if self.landed is not None:
            rows_of = [(name, f"{rows:,}") for name, rows in self.landed.items()]
            yield table("What landed in the sandbox", ("table", "rows"), rows_of, numbers=("rows",))
        elif self.report is not None and self.report.tables:
            rows_of = [(plain(name), f"{rows:,}") for name, rows in self.report.tables.items()]
            yield table(title, ("table", "rows"), rows_of, numbers=("rows",))
        if (report := self.report) is not None:
            words = f"{report.delivered:,} of {count(report.rows, 'row')} delivered in {report.seconds:.1f} s"
            retries = f"; {report.retries:,} of {report.reads + report.retries:,} reads were repeated"
            yield Text(f"{words}{retries if report.retries else ''}")
            if job.state is not None:
                yield Text(_kept(job, report))
        elif self.writer is not None:
            stats = self.writer.stats
            before = "interrupted: " if interrupted else ""
            yield Text(f"{before}{stats.delivered:,} of {count(stats.accepted, 'row')} delivered")
            if job.state is not None:
                yield Text(f"the state in {job.state} covers no more than that: run it again to go on")


def _kept(job: Job, report: RunReport) -> str:
    if report.complete and not job.keep_state:
        return f"all is there: the next run begins anew; {job.state} has when this one began"
    kept = report.state or report.changes
    return f"state saved in {job.state}" if kept else "the source reported no state: none was saved"


@dataclass(frozen=True)
class Job:
    """What to run, and into what."""

    stream: Callable[..., DataSource]
    params: dict[str, Any] = field(repr=False)
    options: dict[str, Any] = field(repr=False)
    batch_size: int
    state: Path | None
    spool: Path | None
    sandbox: bool
    keep_state: bool = False

    async def run(self, hub: Hub, outcome: Outcome, limit: int | None) -> None:
        """To the end, or to what ends it; either way ``outcome`` says how far."""
        if outcome.printed is not None:
            await self._print(outcome, limit)
            return
        async with AsyncExitStack() as stack:
            panoply, landed = await self._writer(hub, stack)
            outcome.writer = panoply
            bar = stack.enter_context(progress(stderr()))
            task = bar.add_task("reading", total=None, note="")

            def advanced(now: SourceProgress) -> None:
                # None leaves the bar as it is, which without a total only moves to and fro.
                bar.update(task, completed=now.done, total=now.total, note=escape(plain(now.msg)))

            def arrived(delivery: Delivery) -> None:
                bar.update(task, description=f"{count(panoply.stats.delivered, 'row')} delivered")

            panoply.on("flush", arrived)
            try:
                outcome.report = await run_source(
                    self.stream,
                    self.params,
                    self.options,
                    into=panoply,
                    state=self.state,
                    keep_state="always" if self.keep_state else "failure",
                    batch_size=self.batch_size,
                    on_progress=advanced,
                )
            except SourceError as problem:
                outcome.report = problem.report
                raise
            finally:
                outcome.landed = landed()

    async def _writer(self, hub: Hub, stack: AsyncExitStack) -> tuple[Panoply, Callable[[], dict[str, int] | None]]:
        spool: dict[str, Any] = {} if self.spool is None else {"spool": self.spool}
        if not self.sandbox:
            return Panoply.from_env(hub=hub, **spool), lambda: None
        sandbox = await stack.enter_async_context(Sandbox(PanoplyWorld()))
        there = sandbox.panoply
        made = Panoply(there.api_key, there.api_secret, hub=hub, endpoint_url=there.url, **spool)
        return made, there.tables

    async def _print(self, outcome: Outcome, limit: int | None) -> None:
        store = None if self.state is None else _Unchanged(self.state)
        try:
            outcome.report = await run_source(
                self.stream,
                self.params,
                self.options,
                into=_Printer(outcome, limit),
                state=store,
                batch_size=self.batch_size,
            )
        except _Enough:
            return


class _Enough(Exception):
    """A dry run has printed what was asked for."""


class _Printer:
    """Takes rows as Panoply does, and prints what would be sent."""

    def __init__(self, outcome: Outcome, limit: int | None) -> None:
        self._outcome = outcome
        self._left = limit

    async def write_many(self, table: str, records: Iterable[Mapping[Any, Any]]) -> WriteReport:
        encode = record_encoder(table)
        written = 0
        for index, record in enumerate(records):
            try:
                line = encode(record)
            except InvalidRecord as problem:
                problem.index = index
                raise
            print(line.decode(), file=self._outcome.printed)
            self._outcome.tables[table] += 1
            written += 1
            if self._left is not None:
                self._left -= 1
                if not self._left:
                    raise _Enough
        await self.flush()
        return WriteReport(written, ())

    async def flush(self, timeout: float | None = None) -> FlushReport:
        if self._outcome.printed is not None:
            self._outcome.printed.flush()
        return FlushReport()


class _Unchanged(StateFile):
    """A state to go on from that stays as it is. Looking at it keeps nobody else from it."""

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        yield

    async def save(self, saved: Saved) -> None:
        pass
