"""``asyncconn datorama process | rerun | rename``: many streams, under the cap, each with an outcome."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from asyncconn.cli.datorama.common import Known, span
from asyncconn.cli.datorama.input import jobs_to_rerun, names_to_give, ranges_to_process
from asyncconn.cli.datorama.watch import checked, put_results, settle, watching
from asyncconn.cli.options import DryRun, Input, Output
from asyncconn.cli.output import console, count, error, remark
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn import Datorama
    from asyncconn.datorama import BulkResult, Plan

    Planning = Callable[[Datorama], Awaitable[Plan[Any, Any]]]

__all__ = ["process", "rename", "rerun"]


class SplitName(StrEnum):
    """How a range is cut."""

    WINDOW = "window"
    EVEN = "even"


@dataclass(frozen=True)
class Queueing:
    """How work is queued, and what is kept of it."""

    max_pending: Annotated[
        int,
        typer.Option("--max-pending", metavar="N", help="Unfinished jobs that a workspace may have; 0: any number."),
    ] = 15
    wait: Annotated[bool, typer.Option("--wait", help="Until the jobs have ended; a bad end is a failure.")] = False
    log: Annotated[
        Path | None, typer.Option("--log", metavar="FILE", help="Keep what was accepted in a CSV file, line by line.")
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the log: what it says was accepted is left out.")
    ] = False

    def __post_init__(self) -> None:
        log = self.log
        if self.max_pending < 0:
            raise ConfigError(f"--max-pending must be 0 or more, not {self.max_pending}")
        if log is None:
            if self.resume:
                raise ConfigError("--resume goes on from a log: give --log, too")
        elif self.resume and not log.exists():
            raise ConfigError(f"there is no log {log} to go on from")
        elif not self.resume and log.exists():
            raise ConfigError(f"{log} is there already: --resume goes on from it, or choose another name")
        elif not log.parent.is_dir():
            raise ConfigError(f"{log} cannot be written: there is no such folder")

    @property
    def options(self) -> dict[str, Any]:
        """Those of the library's call."""
        most = self.max_pending or None
        return {"max_pending": most, "wait": self.wait, "log": self.log, "resume": self.resume}

    @property
    def done(self) -> str:
        """What a good outcome is."""
        return "ended well" if self.wait else "accepted"


def process(
    where: Known,
    given: Input,
    queueing: Queueing,
    to: Output,
    streams: Annotated[list[int] | None, typer.Argument(metavar="[STREAM]...", help="Ids of data streams.")] = None,
    starts: Annotated[
        list[str] | None, typer.Option("--start", metavar="DATE", help="First day, for all or once for each.")
    ] = None,
    ends: Annotated[
        list[str] | None, typer.Option("--end", metavar="DATE", help="Last day, included; as --start.")
    ] = None,
    days: Annotated[int, typer.Option("--days", metavar="N", help="Days of one job, at most.")] = 10,
    split: Annotated[
        SplitName, typer.Option("--split", help="Every N days, as the platform does; or in even parts.")
    ] = SplitName.WINDOW,
    create: Annotated[bool, typer.Option("--create", help="These streams are processed for the first time.")] = False,
    no_batch: Annotated[bool, typer.Option("--no-batch", help="A call for each stream, even for equal days.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Process days of many streams. Equal days of streams in one workspace share a call.

    FILE has the columns stream, start, end. Status: 0 all ok, 1 some failed or unknown, 2 bad input (nothing was sent).
    """
    ranges = ranges_to_process(streams or [], starts or [], ends or [], given.file)

    async def plan(datorama: Datorama) -> Plan[Any, Any]:
        how: Any = {"d_range": days, "split": split.value, "create": create, "batch": not no_batch}
        numbers, firsts, lasts = ranges
        return await datorama.plan_process(numbers, firsts, lasts, **how, **queueing.options)

    _carry_out(where, plan, to, queueing.done, queueing, dry_run=dry_run)


def rerun(
    where: Known,
    given: Input,
    queueing: Queueing,
    to: Output,
    job_ids: Annotated[list[int] | None, typer.Argument(metavar="[JOB]...", help="Jobs of the stream.")] = None,
    streams: Annotated[
        list[int] | None, typer.Option("--stream", metavar="ID", help="Whose jobs: once, or once for each job.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All jobs of each --stream.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Queue jobs again. Jobs of one stream share a call.

    FILE has the columns stream, job, or is what 'jobs' wrote. Status: as of 'process'.
    """
    if everything and (job_ids or given.file or not streams):
        raise ConfigError("--all is for each --stream, without jobs or a file")
    pairs = ([], []) if everything else jobs_to_rerun(job_ids or [], streams or [], given.file)

    async def plan(datorama: Datorama) -> Plan[Any, Any]:
        if everything:
            return await datorama.plan_rerun_all(streams or [], **queueing.options)
        return await datorama.plan_rerun(*pairs, **queueing.options)

    _carry_out(where, plan, to, queueing.done, queueing, dry_run=dry_run)


def rename(
    where: Known,
    given: Input,
    to: Output,
    stream: Annotated[int | None, typer.Argument(metavar="[STREAM]", help="The data stream.")] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Its new name.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Rename one stream, or many. Nothing else of them is changed.

    FILE has the columns stream, name, or is what 'streams' wrote. Status: as of 'process'.
    """
    pairs = names_to_give(stream, name, given.file)
    _carry_out(where, lambda datorama: datorama.plan_rename(*pairs), to, "renamed", Queueing(), dry_run=dry_run)


# -- what they share ---------------------------------------------------------------------------------------------------


def _carry_out(where: Known, planning: Planning, to: Output, done: str, queueing: Queueing, *, dry_run: bool) -> None:
    """Show the plan, or run it, and tell what came of it."""

    async def main(datorama: Datorama) -> tuple[BulkResult[Any, Any], dict[int, str]] | None:
        plan = await planning(datorama)
        if dry_run:
            _show(plan, queueing.max_pending)
            return None
        with watching() as show:
            result = await plan.run(on_progress=show)
        return result, await checked(result)

    log = queueing.log
    try:
        found = where.run(main)
    except (KeyboardInterrupt, SystemExit):
        if log is not None and not dry_run:
            remark(f"what was accepted is in {log}: the same command with --resume goes on")
        raise
    if found is None:
        return
    status = settle(*found)
    try:
        put_results(to, found[0], done, log)
    except ConfigError as problem:  # it is too late to call that bad input
        error(problem.message)
        status = 1
    raise typer.Exit(status)


def _show(plan: Plan[Any, Any], most: int) -> None:
    """The calls on standard output, a line each; what they come to on standard error."""
    out = console()
    for call in plan.calls:
        out.print(Text(f"{call.method} {call.path}" + ("" if call.body is None else f" {json.dumps(call.body)}")))
    calls = count(len(plan.calls), "call")
    jobs = "" if plan.jobs is None else f" for {count(plan.jobs, 'job')}"
    time = "at once" if plan.seconds < 1 else f"in {span(plan.seconds)}"
    remark(f"{calls}{jobs}; the cap allows them {time}. None of them was made.")
    if plan.jobs and most:
        remark(f"no more than {most} jobs may be unfinished in a workspace: calls wait for room, too")
