"""``asyncconn datorama workspaces | streams | jobs | reports | rate``: what there is, and what tokens may still do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn.cli.datorama.common import Known, Where
from asyncconn.cli.datorama.spread import Spread, jobs_into
from asyncconn.cli.datorama.watch import settle, watching
from asyncconn.cli.options import Output, known
from asyncconn.cli.output import error
from asyncconn.cli.sheets import Sheet, record
from asyncconn.datorama import JobStatus, wire
from asyncconn.datorama.frames import STREAM_FIELDS
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn import Datorama
    from asyncconn.datorama import DataStream, Job

__all__ = ["jobs", "rate", "reports", "streams", "workspaces"]

_WORKSPACE = (
    "id", "name", "accountId", "currencyId", "timezoneId", "cultureId", "verticalId", "executiveWorkspace",
)  # fmt: skip
_JOB = (
    "id",
    "status",
    "dataStartDate",
    "dataEndDate",
    "startExecutionTime",
    "endExecutionTime",
    "userId",
    "statusReason",
)  # fmt: skip - as in pyDatorama's tables
_JOB_AND_STREAM = ("workspaceId", "streamId", "dataSourceName", *_JOB)
_REPORT = ("id", "name", "workspaceId", "exportFormat", "compressed")
_LIMITS = {wire.PLATFORM: "calls a minute", wire.QUERY: "queries a minute", wire.DAILY: "both, today (UTC)"}
_UNKNOWN = (None, None, None, "refused by the server")

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
        return [record(one, _WORKSPACE) async for one in datorama.workspaces.list(account)]

    shown = {"id": "id", "name": "name", "account": "accountId", "time zone": "timezoneId", "currency": "currencyId"}
    to.put(Sheet("workspace", _WORKSPACE, where.run(work), shown))


def streams(where: Known, to: Output, workspace: Workspaces = None) -> None:
    """List data streams, of all workspaces in sight or of some. One call for each workspace.

    Status: 0 all ok, 1 some workspaces could not be read, 2 bad input.
    """

    async def work(datorama: Datorama) -> tuple[int, list[DataStream]]:
        return await _streams(datorama, where, workspace)

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


async def _streams(datorama: Datorama, where: Known, workspaces: list[int] | None) -> tuple[int, list[DataStream]]:
    """The status so far, and the streams of some workspaces, or of all."""
    if where.snapshot is not None:
        return 0, await datorama.snapshots.restore_streams(where.snapshot, workspaces)
    with watching() as show:
        found = await datorama.fetch_all_streams(workspaces, on_progress=show)
    return settle(found), [stream for some in found.values for stream in some]


def jobs(
    where: Known,
    to: Output,
    stream_ids: Annotated[
        list[int] | None, typer.Argument(metavar="[STREAM]...", help="Data streams; none: all in sight.")
    ] = None,
    workspace: Workspaces = None,
    status: Annotated[
        list[str] | None, typer.Option("--status", metavar="WORD", help="Such as FAILURE; repeat for more.")
    ] = None,
    page_size: Annotated[int, typer.Option("--page-size", metavar="N", help="Jobs in a call.")] = 100,
    *,
    spread: Spread,
) -> None:
    """List the jobs of data streams. One call or more for each stream: 5,000 streams take some 83 minutes.

    With --folder they are kept there as they are read: called again, it reads the streams that are not there yet. What
    it writes is what `rerun --file` reads. Status: 0 all ok, 1 some streams could not be read, 2 bad input.
    """
    if stream_ids and workspace:
        raise ConfigError("give streams or workspaces: not both")
    if spread.folder is not None and where.snapshot is not None:
        raise ConfigError("--folder is for what is read now, and --snapshot for what was read before: not both")
    wanted = known(status or (), JobStatus, "--status")

    async def work(datorama: Datorama) -> tuple[int, list[list[Any]]]:
        if where.snapshot is not None:
            chosen = (await _streams(datorama, where, workspace))[1] if workspace else stream_ids
            return 0, _rows(await datorama.snapshots.restore_jobs(where.snapshot, chosen))
        ended, chosen = (0, stream_ids) if stream_ids else await _streams(datorama, where, workspace)
        if not chosen:
            return ended, []
        if spread.folder is not None:
            read, jobs = await jobs_into(spread, spread.folder, chosen, where.options(), page_size)
            return ended | read, [[at, id_, name, *record(job, _JOB)] for (id_, at, name), job in jobs]
        with watching() as show:
            result = await datorama.fetch_all_jobs(chosen, page_size=page_size, on_progress=show)
        return ended | settle(result), _rows([job for item in result for job in item.value or ()])

    ended, found = where.run(work, hub=spread.hubs() if spread.redis else None)
    place = _JOB_AND_STREAM.index("status")
    rows = [row for row in found if not wanted or str(row[place]).upper() in wanted]
    shown = {
        "job": "id",
        "stream": "streamId",
        "status": "status",
        "from": "dataStartDate",
        "to": "dataEndDate",
        "began": "startExecutionTime",
        "ended": "endExecutionTime",
    }
    to.put(Sheet("job", _JOB_AND_STREAM, rows, shown))
    raise typer.Exit(ended)


def _rows(jobs: list[Job]) -> list[list[Any]]:
    return [[*_stream_of(job), *record(job, _JOB)] for job in jobs]


def _stream_of(job: Job) -> tuple[Any, Any, Any]:
    stream = job._stream
    return (
        (None, job.data_stream_id, None)
        if stream is None
        else (stream.workspace_id, stream.id, stream.data_source_name)
    )


def reports(
    where: Where,
    to: Output,
    workspace: Annotated[int, typer.Option("--workspace", "-w", metavar="ID", help="Whose.")],
) -> None:
    """List the reports of a workspace."""

    async def work(datorama: Datorama) -> list[list[Any]]:
        return [record(one, _REPORT) async for one in datorama.reports.list(workspace)]

    to.put(Sheet("report", _REPORT, where.run(work)))


def rate(where: Where, to: Output) -> None:
    """Show what each token may still do, in this minute and today, as the server counts. Costs each one call.

    Of a token that is refused for its rate nothing is known but what the refusal tells.

    Status: 0 all tokens work, 1 one does not, 2 bad input.
    """
    found = where.run(lambda datorama: datorama.allowances())
    rows: list[tuple[Any, ...]] = []
    for one in found:
        for name, part in one.parts.items():
            resets = round(part.resets_in) if part.resets_in else None
            by = "the server" if name in one.told else "our own count"
            rows.append((one.token, _LIMITS[name], part.remaining, part.limit, resets, by))
        rows += [(one.token, _LIMITS[name], *_UNKNOWN) for name in _LIMITS if name not in one.parts]
    shown = {"token": "token", "limit": "limit", "left": "left", "of": "of", "resets in s": "resetsIn", "by": "by"}
    to.put(Sheet("limit", ("token", "limit", "left", "of", "resetsIn", "by"), rows, shown))
    for one in found:
        if one.error is not None:
            error(f"token {one.token}: {one.error}")
    raise typer.Exit(1 if any(one.error is not None for one in found) else 0)
