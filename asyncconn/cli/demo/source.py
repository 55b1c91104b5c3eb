"""The part of ``asyncconn demo`` that is about data sources: one that breaks off, and a run that goes on from there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncconn import Hub, Panoply
from asyncconn.cli.demo.part import Part, Verdict
from asyncconn.cli.demo.seattle import compare
from asyncconn.cli.output import count, plain, progress, stderr, table
from asyncconn.cli.running import advancing
from asyncconn.errors import AsyncConnError
from asyncconn.panoply import DataSource, PanoplyException, ReadFailed, run_source
from asyncconn.sandbox import PanoplyWorld, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import RenderableType

    from asyncconn.cli.demo.seattle import Record
    from asyncconn.panoply import RunReport
    from asyncconn.sandbox import Faults

__all__ = ["SourceReport", "last_word", "lines", "work"]

_TABLE = "hours"
_PAGES = 10  # about


@dataclass
class SourceReport(Part):
    """What ``--json`` prints under ``source``. ``before`` and ``after`` are the rows of the run that broke off, and of
    the one that went on.
    """  # fmt: skip

    rows: int = 0
    before: int = 0
    after: int = 0
    landed: int = 0
    altered: int = 0


class Archive(DataSource):
    """The rows of ``options``, a page a time. The archive goes away at ``breaks_at``, if that is not None."""

    def __init__(self, source: dict[str, Any], options: dict[str, Any] | None = None) -> None:
        super().__init__(source, options)
        self._rows: list[Record] = (options or {})["rows"]
        self._at: int = source.get("state", {}).get(_TABLE, 0)

    async def read(self, n: int | None = None) -> list[Record] | None:
        """The next page, and how far that is."""
        end = self.source["breaks_at"]
        if end is not None and self._at >= end:
            raise PanoplyException("the archive has gone away", retryable=False)
        page = self._rows[self._at : self._at + (n or len(self._rows))]
        if not page:
            return None
        self._at += len(page)
        covered = f"up to {self._at}"
        self.state(covered, {_TABLE: self._at})
        self.progress(self._at, len(self._rows))
        return [{**row, "__state": covered} for row in page]


async def work(rows: list[Record], faults: Faults, folder: Path) -> SourceReport:
    """Run a source that breaks off in the middle, run it again, and compare what landed with the files.

    ``folder`` is for the file that keeps how far it got.
    """
    report = SourceReport(rows=len(rows))
    with report.at_work():
        async with Sandbox(PanoplyWorld(), faults=faults, seed=1) as sandbox:
            with suppress(_Ended):
                await _run(sandbox, rows, folder / "state.json", report)
            landed = await asyncio.to_thread(_landed, sandbox)
        _compare(report, rows, landed)
    return report


def _landed(sandbox: Sandbox) -> list[Record]:
    there = _TABLE in sandbox.panoply.tables()
    return sandbox.panoply.sql(f"select * from {_TABLE}") if there else []  # noqa: S608 - a name of ours


def _why(error: AsyncConnError) -> str:
    cause = error.__cause__
    return plain(error.message if cause is None else f"{error.message}: {cause}")


class _Ended(Exception):
    """What cannot go on; the report says why."""


async def _run(sandbox: Sandbox, rows: list[Record], state: Path, report: SourceReport) -> None:
    account = sandbox.panoply
    options: Any = {"batch_size": max(1, len(rows) // _PAGES), "state": state}
    with progress(stderr()) as bar:
        show = advancing(bar, "hours from a source")

        async def read(breaks_at: int | None) -> RunReport:
            async with Hub(proxy="") as hub:  # each run as a program of its own
                panoply = Panoply(account.api_key, account.api_secret, endpoint_url=account.url, hub=hub)
                given = {"type": _TABLE, "breaks_at": breaks_at}
                return await run_source(Archive, given, {"rows": rows}, into=panoply, on_progress=show, **options)

        try:
            await read(len(rows) // 2)
            report.wrong.append("the source did not break off")
        except ReadFailed as error:
            report.before = error.report.delivered
        except AsyncConnError as error:
            report.wrong.append(_why(error))
            raise _Ended from None
        try:
            report.after = (await read(None)).delivered
        except AsyncConnError as error:
            report.wrong.append(_why(error))


def _compare(report: SourceReport, rows: list[Record], landed: list[Record]) -> None:
    difference = compare(rows, landed)
    report.landed, report.altered = len(landed), len(difference.altered)
    report.judge(
        (difference.missing, f"{count(len(difference.missing), 'row')} missing"),
        (difference.altered, f"{count(report.altered, 'row')} with other values"),
        (difference.unexpected, f"{count(len(difference.unexpected), 'row')} that nobody sent"),
        (not 0 < report.before < report.rows, f"{report.before:,} rows before the break, of {report.rows:,}"),
        (report.before + report.after != report.rows, f"{report.after:,} rows read by the run that went on"),
    )


def lines(report: SourceReport) -> Iterator[RenderableType]:
    """For the screen."""
    rows = [
        ("read until the archive goes away", f"{report.before:,} of {report.rows:,} rows delivered, and remembered"),
        ("run it again", f"the other {report.after:,}, and none of the first again"),
        ("what is in the warehouse", f"{report.landed:,} rows, {report.altered} altered"),
    ]
    yield table("A data source that breaks off, and goes on", ("step", "result"), rows)


def last_word(report: SourceReport) -> Verdict:
    """The verdict."""
    good = "every row of the source landed, the second run began where the first ended"
    return Verdict("source", report.ok, good if report.ok else "; ".join(report.wrong), report.seconds)
