"""``asyncconn datorama query | report | download``: what comes out of the platform as data."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from asyncconn.cli.datorama.common import Where, stream_of
from asyncconn.cli.datorama.watch import watching
from asyncconn.cli.options import STANDARD, DryRun, Output, json_object
from asyncconn.cli.output import console, count, error, plain, progress, remark, stderr
from asyncconn.cli.sheets import Sheet
from asyncconn.core.polling import PollPolicy
from asyncconn.datorama import JobStatus, Paths, QueryResult, query_body
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn import Datorama
    from asyncconn.datorama import BulkResult, Job

__all__ = ["download", "query", "report"]


# -- query -------------------------------------------------------------------------------------------------------------


def query(
    where: Where,
    to: Output,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A query as JSON, or - for standard input.")
    ] = None,
    workspace: Annotated[int | None, typer.Option("--workspace", "-w", metavar="ID", help="Whose data.")] = None,
    measurements: Annotated[
        list[str] | None, typer.Option("--measurement", "-m", metavar="NAME", help="What to add up; repeat for more.")
    ] = None,
    dimensions: Annotated[
        list[str] | None, typer.Option("--dimension", "-d", metavar="NAME", help="What by; repeat for more.")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="DATE", help="The first day, YYYY-MM-DD.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="DATE", help="The last day, included.")] = None,
    date_range: Annotated[
        str | None, typer.Option("--range", metavar="NAME", help="Such as LAST_MONTH, instead of --start and --end.")
    ] = None,
    system_names: Annotated[bool, typer.Option("--system-names", help="Name columns as the system does.")] = False,
) -> None:
    """Run a query: a file of JSON as the platform spells it, or one made of the options.

    Status: 0 all ok, 1 it failed, 2 bad input.
    """
    if file is not None and any((workspace, measurements, dimensions, start, end, date_range)):
        raise ConfigError("give a file, or the options that make a query: not both")
    asked = {"measurements": measurements or (), "dimensions": dimensions or (), "date_range": date_range}
    body = query_body(workspace, start, end, **asked) if file is None else json_object(file)  # type: ignore[arg-type] # each as its name says

    async def work(datorama: Datorama) -> QueryResult:
        return await datorama.query(body, system_names=system_names)

    found = where.run(work)
    if not to.shown:
        found.records()  # raises where two columns have one name, which a table on a screen may show
    to.put(Sheet("row", found.headers, found.rows))


# -- report ------------------------------------------------------------------------------------------------------------


def report(
    where: Where,
    report_id: Annotated[int | None, typer.Argument(metavar="[REPORT]", help="The report to run.")] = None,
    create: Annotated[
        Path | None, typer.Option("--create", metavar="FILE", help="Make a report from JSON, and run that.")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the report that was made, afterwards.")] = False,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="File or folder for the export; - is standard output."),
    ] = Path(),
    skip_preamble: Annotated[
        bool, typer.Option("--skip-preamble", help="Leave out the lines that stand before a CSV's header.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="In a folder, replace a file that is called as the platform calls it.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait for it.")] = 3600.0,
    dry_run: DryRun = False,
) -> None:
    """Run a report, wait for it, and download what it exports.

    Status: 0 all ok, 1 it failed, 2 bad input.
    """
    if (report_id is None) == (create is None):
        raise ConfigError("give a report's id, or --create")
    if delete and create is None:
        raise ConfigError("--delete is for a report that --create has made")
    if output != STANDARD and not output.is_dir() and not output.parent.is_dir():
        raise ConfigError(f"{output} cannot be written: there is no such folder")
    fields = None if create is None else json_object(create)
    if dry_run:
        _show_calls(report_id, delete=delete)
        return
    policy = PollPolicy(minimum=5.0, maximum=60.0, first=2.0, deadline=timeout)

    async def work(datorama: Datorama, target: Path) -> Path:
        number = report_id if fields is None else (await datorama.reports.create(fields)).id
        try:
            job = await _finished(datorama, number or 0, policy)
            return await datorama.reports.download(job, target, skip_preamble=skip_preamble, overwrite=overwrite)
        finally:
            if delete and number is not None:
                await datorama.reports.delete(number)

    with ExitStack() as stack:
        piped = output == STANDARD
        target = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asyncconn-"))) if piped else output
        path = where.run(lambda datorama: work(datorama, target))
        if piped:
            sys.stdout.flush()
            with path.open("rb") as exported:
                shutil.copyfileobj(exported, sys.stdout.buffer)
        else:
            remark(f"written to {path}", result=True)


def _show_calls(report_id: int | None, *, delete: bool) -> None:
    names = ["reports.run", "reports.job", "reports.download"]
    if report_id is None:
        names = ["reports.create", *names, *(["reports.delete"] if delete else [])]
    entries, out = Paths().entries, console()
    for name in names:
        path = re.sub(r"{(id|report_id)(:\w+)?}", str(report_id or "{report}"), entries[name].path)
        path = re.sub(r"{job_id(:\w+)?}", "{job}", path)
        out.print(Text(f"{entries[name].method} {path}{', until it has ended' if name == 'reports.job' else ''}"))
    remark("nothing was sent")


async def _finished(datorama: Datorama, report_id: int, policy: PollPolicy) -> int:
    """The job of a report that was run."""
    with progress(stderr()) as bar:
        task = bar.add_task(f"report {report_id}", total=None, note="")
        poller = await datorama.reports.run(report_id, policy=policy)
        async for state in poller:
            bar.update(task, note=str(state.status).lower())
        bar.update(task, completed=1, total=1, note="")
    return int(poller.token())


# -- download ----------------------------------------------------------------------------------------------------------


def download(
    where: Where,
    stream_id: Annotated[int, typer.Argument(metavar="STREAM", help="The data stream the jobs are of.")],
    job_ids: Annotated[
        list[int] | None, typer.Argument(metavar="[JOB]...", help="Its jobs; none: all that succeeded.")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Where the files go, each under a name of its own.")
    ] = Path(),
    max_bytes: Annotated[
        int | None, typer.Option("--max-bytes", metavar="N", help="All files together have so many bytes at most.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Fetch what is there already again.")] = False,
) -> None:
    """Download what jobs have loaded: zip for API streams, CSV for file-based ones. What is there already is kept.

    Status: 0 all ok, 1 some failed, 2 bad input.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}")

    async def work(datorama: Datorama) -> BulkResult[Any, Path] | None:
        stream = await stream_of(datorama, stream_id)
        wanted: list[Job | int] = [*(job_ids or [])] or [
            job async for job in stream.jobs() if job.status == JobStatus.SUCCESS
        ]
        if not wanted:
            return None
        with watching() as show:
            return await datorama.download_jobs(
                wanted, folder, streams=stream, max_bytes=max_bytes, overwrite=overwrite, on_progress=show
            )

    items = list(where.run(work) or ())
    for item in items:
        if item.outcome == "ok":
            print(item.value)
        else:
            error(plain(f"job {item.key[1]}: {item.row()['error']}"))
    done, there = sum(item.outcome == "ok" for item in items), sum(item.skipped for item in items)
    words = f"{done} of {count(len(items), 'file')} downloaded to {folder}"
    remark(f"{words}, {there} of them before" if there else words)
    raise typer.Exit(0 if done == len(items) else 1)
