"""``asyncconn datorama process | rerun | rename``: many streams, under the cap, each with an outcome."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn.cli.datorama.common import Known
from asyncconn.cli.datorama.input import jobs_to_rerun, names_to_give, ranges_to_process
from asyncconn.cli.datorama.plan import Planned, plan_process, plan_rename, plan_rerun, show_plan
from asyncconn.cli.datorama.watch import checked, put_results, settle, watching
from asyncconn.cli.options import DryRun, Output
from asyncconn.cli.output import error, stderr
from asyncconn.datorama.bulk.history import History
from asyncconn.datorama.log import read_log
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn import Datorama
    from asyncconn.datorama.bulk.progress import BulkProgress
    from asyncconn.datorama.bulk.results import BulkResult

    Bulk = Callable[[Datorama, Callable[[BulkProgress], None]], Awaitable[BulkResult[Any, Any]]]

__all__ = ["process", "rename", "rerun"]


class SplitName(StrEnum):
    """How a range is cut."""

    WINDOW = "window"
    EVEN = "even"


_FILE = "CSV or JSON with a line for each, instead of arguments: columns "
Log = Annotated[
    Path | None, typer.Option("--log", metavar="FILE", help="Keep what was accepted in a CSV file, line by line.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the log: what it says was accepted is left out.")]
Wait = Annotated[bool, typer.Option("--wait", help="Until the jobs have ended; a bad end is a failure.")]
MaxPending = Annotated[
    int, typer.Option("--max-pending", metavar="N", help="Unfinished jobs that a workspace may have; 0 for any number.")
]


def process(
    where: Known,
    to: Output,
    streams: Annotated[list[int] | None, typer.Argument(metavar="[STREAM]...", help="Ids of data streams.")] = None,
    starts: Annotated[
        list[str] | None, typer.Option("--start", metavar="DATE", help="First day, for all or once for each.")
    ] = None,
    ends: Annotated[
        list[str] | None, typer.Option("--end", metavar="DATE", help="Last day, included; as --start.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", metavar="FILE", help=f"{_FILE}stream, start, end.")] = None,
    days: Annotated[int, typer.Option("--days", metavar="N", help="Days of one job, at most.")] = 10,
    split: Annotated[
        SplitName, typer.Option("--split", help="Every N days, as the platform does; or in even parts.")
    ] = SplitName.WINDOW,
    max_pending: MaxPending = 15,
    create: Annotated[bool, typer.Option("--create", help="These streams are processed for the first time.")] = False,
    no_batch: Annotated[bool, typer.Option("--no-batch", help="A call for each stream, even for equal days.")] = False,
    wait: Wait = False,
    dry_run: DryRun = False,
    log: Log = None,
    resume: Resume = False,
) -> None:
    """Process days of many streams. Equal days of streams in one workspace share a call.

    Status: 0 all ok, 1 some failed or unknown, 2 bad input (nothing was sent).
    """
    numbers, firsts, lasts = ranges_to_process(streams or [], starts or [], ends or [], file)
    most = _most(max_pending)
    options: dict[str, Any] = {"d_range": days, "split": split.value, "create": create}
    options["batch"] = not no_batch
    history = _history(log, resume=resume)

    async def planned(datorama: Datorama) -> Planned:
        return await plan_process(datorama, numbers, firsts, lasts, history, most=most, **options)

    async def work(datorama: Datorama, show: Callable[[BulkProgress], None]) -> BulkResult[Any, Any]:
        return await datorama.process_streams(
            numbers, firsts, lasts, **options, max_pending=most, wait=wait, log=log, resume=resume, on_progress=show
        )

    if dry_run:
        show_plan(where.run(planned))
        return
    _go(where, work, to, "ended well" if wait else "accepted", log)


def rerun(
    where: Known,
    to: Output,
    job_ids: Annotated[list[int] | None, typer.Argument(metavar="[JOB]...", help="Jobs of the stream.")] = None,
    streams: Annotated[
        list[int] | None, typer.Option("--stream", metavar="ID", help="Whose jobs: once, or once for each job.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All jobs of each --stream.")] = False,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help=f"{_FILE}stream, job; or what 'jobs' wrote.")
    ] = None,
    max_pending: MaxPending = 15,
    wait: Wait = False,
    dry_run: DryRun = False,
    log: Log = None,
    resume: Resume = False,
) -> None:
    """Queue jobs again. Jobs of one stream share a call.

    Status: 0 all ok, 1 some failed or unknown, 2 bad input (nothing was sent).
    """
    most = _most(max_pending)
    history = _history(log, resume=resume)
    options: dict[str, Any] = {"max_pending": most, "wait": wait, "log": log, "resume": resume}
    if everything:
        if job_ids or file or not streams:
            raise ConfigError("--all is for each --stream, without jobs or a file")
        pairs: list[tuple[int, int | None]] = [(stream, None) for stream in streams]
    else:
        of_streams, numbers = jobs_to_rerun(job_ids or [], streams or [], file)
        pairs = list(zip(of_streams, numbers, strict=True))

    async def work(datorama: Datorama, show: Callable[[BulkProgress], None]) -> BulkResult[Any, Any]:
        if everything:
            return await datorama.rerun_all([stream for stream, _ in pairs], **options, on_progress=show)
        return await datorama.rerun(of_streams, numbers, **options, on_progress=show)

    if dry_run:
        show_plan(where.run(lambda datorama: plan_rerun(datorama, pairs, history, most=most)))
        return
    _go(where, work, to, "ended well" if wait else "accepted", log)


def rename(
    where: Known,
    to: Output,
    stream: Annotated[int | None, typer.Argument(metavar="[STREAM]", help="The data stream.")] = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Its new name.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help=f"{_FILE}stream, name; or what 'streams' wrote.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Rename one stream, or many. Nothing else of them is changed.

    Status: 0 all ok, 1 some failed or unknown, 2 bad input (nothing was sent).
    """
    numbers, names = names_to_give(stream, name, file)

    async def work(datorama: Datorama, show: Callable[[BulkProgress], None]) -> BulkResult[Any, Any]:
        return await datorama.rename_streams(numbers, names, on_progress=show)

    if dry_run:
        show_plan(where.run(lambda datorama: plan_rename(datorama, numbers, names)))
        return
    _go(where, work, to, "renamed", None)


# -- what they share ---------------------------------------------------------------------------------------------------


def _go(where: Known, work: Bulk, to: Output, done: str, log: Path | None) -> None:
    async def main(datorama: Datorama) -> tuple[BulkResult[Any, Any], dict[int, str]]:
        with watching() as show:
            result = await work(datorama, show)
        return result, await checked(result)

    try:
        result, checks = where.run(main)
    except (KeyboardInterrupt, SystemExit):
        if log is not None:
            stderr().print(f"what was accepted is in {log}: the same command with --resume goes on", markup=False)
        raise
    status = settle(result, checks)
    try:
        put_results(to, result, done, log)
    except ConfigError as problem:  # it is too late to call that bad input
        error(problem.message)
        status = 1
    raise typer.Exit(status)


def _most(max_pending: int) -> int | None:
    if max_pending < 0:
        raise ConfigError(f"--max-pending must be 0 or more, not {max_pending}")
    return max_pending or None


def _history(log: Path | None, *, resume: bool) -> History:
    """What the log says, if that is to be gone on from. Raises ``ConfigError`` where log and ``resume`` do not fit."""
    if log is None:
        if resume:
            raise ConfigError("--resume goes on from a log: give --log, too")
        return History()
    if resume and not log.exists():
        raise ConfigError(f"there is no log {log} to go on from")
    if not resume and log.exists():
        raise ConfigError(f"{log} is there already: --resume goes on from it, or choose another name")
    if not log.parent.is_dir():
        raise ConfigError(f"{log} cannot be written: there is no such folder")
    return History(read_log(log))
