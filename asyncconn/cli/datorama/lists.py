"""``asyncconn datorama workspaces | streams | jobs | rate``: what there is, and what the tokens may still do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn.cli.datorama.common import Known, Where, span
from asyncconn.cli.datorama.watch import settle, watching
from asyncconn.cli.options import Output
from asyncconn.cli.output import console, error, table
from asyncconn.cli.sheets import Sheet, record
from asyncconn.datorama import wire
from asyncconn.datorama.frames import STREAM_FIELDS
from asyncconn.errors import AsyncConnError, ConfigError

if TYPE_CHECKING:
    from asyncconn import Datorama
    from asyncconn.core.rates.windows import PartSnapshot
    from asyncconn.datorama.models import DataStream, Job
    from asyncconn.http.rules import RateHint

__all__ = ["jobs", "rate", "streams", "workspaces"]

WORKSPACE_COLUMNS = (
    "id",
    "name",
    "accountId",
    "currencyId",
    "timezoneId",
    "cultureId",
    "verticalId",
    "executiveWorkspace",
)

#: As in pyDatorama's tables.
_JOB_FIELDS = (
    "id",
    "status",
    "dataStartDate",
    "dataEndDate",
    "startExecutionTime",
    "endExecutionTime",
    "userId",
    "statusReason",
)
JOB_COLUMNS = ("workspaceId", "streamId", "dataSourceName", *_JOB_FIELDS)

_LIMITS = {wire.PLATFORM: "calls a minute", wire.QUERY: "queries a minute", wire.DAILY: "both, today (UTC)"}

Workspaces = Annotated[
    list[int] | None, typer.Option("--workspace", "-w", metavar="ID", help="Those of a workspace; repeat for more.")
]


def workspaces(
    where: Where,
    to: Output,
    account: Annotated[
        int | None, typer.Option("--account", metavar="ID", help="Those of an account, instead of all in sight.")
    ] = None,
) -> None:
    """List the workspaces that the tokens may see. One call for each token."""

    async def work(datorama: Datorama) -> list[list[Any]]:
        return [record(one, WORKSPACE_COLUMNS) async for one in datorama.workspaces.list(account)]

    shown = {"id": "id", "name": "name", "account": "accountId", "time zone": "timezoneId", "currency": "currencyId"}
    to.put(Sheet("workspace", WORKSPACE_COLUMNS, where.run(work), shown))


def streams(
    where: Known,
    to: Output,
    workspace: Workspaces = None,
) -> None:
    """List data streams, of all workspaces in sight or of some. One call for each workspace.

    Status: 0 all ok, 1 some workspaces could not be read, 2 bad input.
    """

    async def work(datorama: Datorama) -> tuple[int, list[DataStream]]:
        if where.snapshot is not None:
            return 0, await datorama.snapshots.restore_streams(where.snapshot, workspace)
        with watching() as show:
            result = await datorama.fetch_all_streams(workspace, on_progress=show)
        return settle(result), [stream for some in result.values for stream in some]

    status, found = where.run(work)
    shown = {
        "id": "id",
        "name": "name",
        "source": "sourceDisplayName",
        "workspace": "workspaceId",
        "enabled": "enabled",
        "last run ok": "lastRunStatus",
        "data until": "lastDataDate",
    }
    to.put(Sheet("stream", STREAM_FIELDS, [record(stream, STREAM_FIELDS) for stream in found], shown))
    raise typer.Exit(status)


def jobs(
    where: Known,
    to: Output,
    stream_ids: Annotated[
        list[int] | None, typer.Argument(metavar="[STREAM]...", help="Data streams; none: all in sight.")
    ] = None,
    workspace: Workspaces = None,
    words: Annotated[
        list[str] | None, typer.Option("--status", metavar="WORD", help="Such as FAILURE; repeat for more.")
    ] = None,
    page_size: Annotated[int, typer.Option("--page-size", metavar="N", help="Jobs in a call.")] = 100,
) -> None:
    """List the jobs of data streams. One call or more for each stream: 5,000 streams take some 83 minutes.

    What it writes is what `rerun --file` reads.

    Status: 0 all ok, 1 some streams could not be read, 2 bad input.
    """
    if stream_ids and workspace:
        raise ConfigError("give streams or workspaces: not both")
    statuses = {word.upper() for word in words or ()}

    async def work(datorama: Datorama) -> tuple[int, list[Job]]:
        if where.snapshot is not None:
            known = await datorama.snapshots.restore_streams(where.snapshot, workspace)
            return 0, await datorama.snapshots.restore_jobs(
                where.snapshot, stream_ids or (known if workspace else None)
            )
        with watching() as show:
            status, chosen = 0, list[Any](stream_ids or ())
            if workspace or not chosen:
                found = await datorama.fetch_all_streams(workspace, on_progress=show)
                status, chosen = settle(found), [stream for some in found.values for stream in some]
            if not chosen:
                return status, []
            result = await datorama.fetch_all_jobs(chosen, page_size=page_size, on_progress=show)
        return status | settle(result), [job for item in result for job in item.value or ()]

    status, found = where.run(work)
    rows = [
        [*_stream_of(job), *record(job, _JOB_FIELDS)]
        for job in found
        if not statuses or str(job.status).upper() in statuses
    ]
    shown = {
        "job": "id",
        "stream": "streamId",
        "status": "status",
        "from": "dataStartDate",
        "to": "dataEndDate",
        "began": "startExecutionTime",
        "ended": "endExecutionTime",
    }
    to.put(Sheet("job", JOB_COLUMNS, rows, shown))
    raise typer.Exit(status)


def _stream_of(job: Job) -> tuple[Any, Any, Any]:
    stream = job._stream
    return (
        (None, job.data_stream_id, None)
        if stream is None
        else (stream.workspace_id, stream.id, stream.data_source_name)
    )


def rate(where: Where) -> None:
    """Show what each token may still do, in this minute and today, as the server counts. Costs each one call.

    Status: 0 all tokens work, 1 one does not, 2 bad input.
    """

    async def work(datorama: Datorama) -> tuple[list[tuple[Any, ...]], list[str]]:
        rows, wrong = [], []
        for number, transport in enumerate(datorama.pool.transports, 1):
            told: dict[str, RateHint] = {}
            try:
                answer = await transport.request(*datorama.paths.resolve("workspaces.list"), headers=wire.HEADERS)
                told = {hint.part: hint for hint in wire.hints(answer)}
            except AsyncConnError as problem:
                wrong.append(f"token {number}: {problem}")
            books = {part.name: part for one in transport.limiters.values() for part in one.snapshot().parts}
            rows += [_row(number, part, told.get(part.name)) for part in books.values()]
        return rows, wrong

    rows, wrong = where.run(work)
    console().print(table("", ("token", "limit", "left", "of", "resets in", "by"), rows, numbers=("left", "of")))
    for line in wrong:
        error(line)
    raise typer.Exit(1 if wrong else 0)


def _row(token: int, part: PartSnapshot, hint: RateHint | None) -> tuple[Any, ...]:
    """The server's word where it gave one: others may use the token too."""
    left, resets_in = part.remaining, part.resets_in
    if hint is not None and hint.remaining is not None:
        left, resets_in = hint.remaining, hint.reset_after if hint.reset_after is not None else resets_in
    by = "our own count" if hint is None else "the server"
    return token, _LIMITS[part.name], f"{left:,}", f"{part.limit:,}", span(resets_in) if resets_in else "", by
