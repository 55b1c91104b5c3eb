"""``asyncconn datorama query | report | download``: what comes out of the platform as data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from asyncconn.cli.datorama.common import Where, stream_of
from asyncconn.cli.datorama.watch import reason, watching
from asyncconn.cli.options import Output
from asyncconn.cli.output import console, count, error, plain, progress, stderr
from asyncconn.cli.sheets import Sheet, record
from asyncconn.core.polling import PollPolicy
from asyncconn.datorama.dates import DateRange
from asyncconn.datorama.models import JobStatus
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn import Datorama
    from asyncconn.datorama.bulk.results import BulkResult
    from asyncconn.datorama.models import Job

__all__ = ["download", "query", "report"]

_REPORT_COLUMNS = ("id", "name", "workspaceId", "exportFormat", "compressed")


# -- query -------------------------------------------------------------------------------------------------------------


def query(
    where: Where,
    to: Output,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="A query as JSON, or - for standard input.")
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
    given = (workspace, measurements, dimensions, start, end, date_range)
    if file is not None:
        if any(one for one in given):
            raise ConfigError("give a file, or the options that make a query: not both")
        body = _read_object(file)
    else:
        body = _made(workspace, measurements or [], dimensions or [], _days(start, end, date_range))

    async def work(datorama: Datorama) -> Any:
        return await datorama.query(body, system_names=system_names)

    found = where.run(work)
    to.put(Sheet("row", found.headers, found.rows))


def _days(start: str | None, end: str | None, name: str | None) -> dict[str, str]:
    if name is not None and (start or end):
        raise ConfigError("give --range, or --start and --end: not both")
    if name is not None:
        return {"dateRange": name}
    if start is None or end is None:
        raise ConfigError("which days? Give --start and --end, or --range")
    return {"dateRange": "CUSTOM", **DateRange.of(start, end).body}


def _made(
    workspace: int | None, measurements: list[str], dimensions: list[str], days: dict[str, str]
) -> dict[str, Any]:
    if workspace is None:
        raise ConfigError("whose data? Give --workspace")
    return {
        "workspaceId": workspace,
        **days,
        "measurements": [{"name": name} for name in measurements],
        "dimensions": dimensions,
    }


def _read_object(name: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        found = json.loads(text)
    except OSError as problem:
        raise ConfigError(f"{name}: {problem.strerror or problem}") from None
    except (ValueError, RecursionError) as problem:  # bytes that are no text among them
        raise ConfigError(f"{name} is not JSON: {problem}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{name} holds no JSON object")
    return found


# -- report ------------------------------------------------------------------------------------------------------------


def report(
    where: Where,
    report_id: Annotated[int | None, typer.Argument(metavar="[REPORT]", help="The report to run.")] = None,
    create: Annotated[
        str | None, typer.Option("--create", metavar="FILE", help="Make a report from JSON, and run that.")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the report that was made, afterwards.")] = False,
    workspace: Annotated[
        int | None, typer.Option("--workspace", "-w", metavar="ID", help="Run none: list those of a workspace.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="File or folder for what is exported.")
    ] = Path(),
    skip_preamble: Annotated[
        bool, typer.Option("--skip-preamble", help="Leave out the lines that stand before a CSV's header.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="In a folder, replace a file that is called as the platform calls it.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait for it.")] = 3600.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the calls, and make none.")] = False,
) -> None:
    """Run a report, wait for it, and download what it exports; or list the reports of a workspace.

    Status: 0 all ok, 1 it failed, 2 bad input.
    """
    if sum(one is not None for one in (report_id, create, workspace)) != 1:
        raise ConfigError("give a report's id, or --create, or --workspace")
    if delete and create is None:
        raise ConfigError("--delete is for a report that --create has made")
    if workspace is not None:
        _list(where, workspace)
        return
    if not output.is_dir() and not output.parent.is_dir():
        raise ConfigError(f"{output} cannot be written: there is no such folder")
    fields = None if create is None else _read_object(create)
    if dry_run:
        for line in _calls(report_id, delete=delete):
            console().print(Text(line))
        return
    policy = PollPolicy(minimum=5.0, maximum=60.0, first=2.0, deadline=timeout)

    async def work(datorama: Datorama) -> Path:
        number = report_id if fields is None else (await datorama.reports.create(fields)).id
        try:
            job = await _finished(datorama, number or 0, policy)
            return await datorama.reports.download(job, output, skip_preamble=skip_preamble, overwrite=overwrite)
        finally:
            if delete and number is not None:
                await datorama.reports.delete(number)

    path = where.run(work)
    console().print(Text(f"written to {path}"))


def _list(where: Where, workspace: int) -> None:
    async def work(datorama: Datorama) -> list[list[Any]]:
        return [record(one, _REPORT_COLUMNS) async for one in datorama.reports.list(workspace)]

    Sheet("report", _REPORT_COLUMNS, where.run(work)).show()


def _calls(report_id: int | None, *, delete: bool) -> list[str]:
    name = "{report}" if report_id is None else str(report_id)
    return [
        *(["POST /v1/reports"] if report_id is None else []),
        f"POST /v1/reports/{name}/process",
        "GET /v1/report-jobs/{job}, until it has ended",
        "GET /v1/report-jobs/{job}/download",
        *([f"DELETE /v1/reports/{name}"] if delete else []),
        "nothing was sent",
    ]


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

    found = where.run(work)
    items = list(found or ())
    for item in items:
        if item.outcome == "ok":
            print(item.value)
        else:
            error(plain(f"job {item.key[1]}: {reason(item)}"))
    done, there = sum(item.outcome == "ok" for item in items), sum(item.skipped for item in items)
    words = f"{done} of {count(len(items), 'file')} downloaded to {folder}"
    stderr().print(Text(f"{words}, {there} of them before" if there else words))
    raise typer.Exit(0 if done == len(items) else 1)
