"""``asyncconn limits structures``, ``limits``, ``upload``, ``evaluate`` and ``incidents``."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from asyncconn.atoti_limits import Incident, Limit, Structure
from asyncconn.atoti_limits.errors import LimitsValidationError
from asyncconn.atoti_limits.models import iso
from asyncconn.atoti_limits.offline.csv_formats import read_legacy_limits, read_limits, read_structures
from asyncconn.atoti_limits.versions import LATEST, Version
from asyncconn.cli.limits.common import DryRun, LimitsVersion, listed, run
from asyncconn.cli.options import Output
from asyncconn.cli.output import BAD_INPUT, console, count, error, spoken
from asyncconn.cli.sheets import Sheet, record
from asyncconn.core.csv_text import csv_reader
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn import AtotiLimits
    from asyncconn.atoti_limits import UploadReport
    from asyncconn.core.paging import Pager
    from asyncconn.http.models import TolerantModel

__all__ = ["evaluate", "incidents", "limits", "structures", "upload"]


Day = Annotated[str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="Of this day.")]

_SHOWN = {
    Structure: ("structureId", "name", "cubeName", "measureName", "kpiType", "warningThreshold", "scopeKeys"),
    Limit: ("limitId", "limitName", "structureId", "scope", "limitValue", "startDate", "endDate", "limitStatus"),
    Incident: ("incidentKey", "limitId", "incidentType", "measureValue", "location", "asOfDate", "status"),
}
_EVALUATED = ("Limit ID", "Incident Type", "Measure Value", "Location", "As Of Date", "Status")


def structures(
    ctx: typer.Context,
    to: Output,
    server: Annotated[str | None, typer.Option("--server", metavar="NAME", help="Of this session.")] = None,
    cube: Annotated[str | None, typer.Option("--cube", metavar="NAME", help="Of this cube.")] = None,
    group: Annotated[str | None, typer.Option("--group", metavar="NAME", help="Of this group.")] = None,
) -> None:
    """List limit structures."""

    async def work(client: AtotiLimits) -> list[Structure]:
        return await client.structures.list(server_name=server, cube_name=cube, group=group).collect()

    found = run(ctx.obj, work)
    to.put(_sheet("structure", Structure, found, {"structureId": [one.id for one in found]}))


def limits(
    ctx: typer.Context,
    to: Output,
    structure: Annotated[str | None, typer.Option("--structure", metavar="ID", help="Of this structure.")] = None,
    status: Annotated[str | None, typer.Option("--status", metavar="WORD", help="Such as APPROVED.")] = None,
    alive: Annotated[bool | None, typer.Option("--alive/--not-alive", help="Those that are valid, or no more.")] = None,
) -> None:
    """List limits."""

    async def work(client: AtotiLimits) -> list[Limit]:
        return await _all(client.limits.list(structure_id=structure, status=status, alive=alive))

    to.put(_sheet("limit", Limit, run(ctx.obj, work)))


def incidents(
    ctx: typer.Context,
    to: Output,
    day: Day = None,
    limit: Annotated[str | None, typer.Option("--limit", metavar="ID", help="Of this limit.")] = None,
    kind: Annotated[str | None, typer.Option("--type", metavar="WORD", help="BREACH or WARNING.")] = None,
    status: Annotated[str | None, typer.Option("--status", metavar="WORD", help="In this status.")] = None,
) -> None:
    """List incidents: breaches and warnings."""
    on = iso(day)

    async def work(client: AtotiLimits) -> list[Incident]:
        return await _all(client.incidents.list(as_of_date=on, limit_id=limit, incident_type=kind, status=status))

    to.put(_sheet("incident", Incident, run(ctx.obj, work)))


def evaluate(
    ctx: typer.Context,
    to: Output,
    limit: Annotated[list[str] | None, typer.Option("--limit", metavar="ID", help="Only this; repeatable.")] = None,
    structure: Annotated[
        list[str] | None, typer.Option("--structure", metavar="ID", help="Only the limits of this; repeatable.")
    ] = None,
    day: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="For this day, else for the server's own.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Evaluate limits now, all or those named, and show what was found.

    Each evaluation is stored by the server as incidents.
    """
    if limit and structure:
        raise ConfigError("give --limit or --structure, not both")
    on = iso(day)
    if dry_run:
        what = (
            count(len(limit), "limit") if limit else count(len(structure), "structure") if structure else "all limits"
        )
        console().print(f"would evaluate {what} for {on or 'the day that the server is set to'}; nothing was sent")
        return

    async def work(client: AtotiLimits) -> tuple[list[str], list[dict[str, Any]]]:
        if limit:
            found = await client.evaluate.limits(limit, on)
        elif structure:
            found = await client.evaluate.structures(structure, on)
        else:
            found = await client.evaluate.all(on)
        return next(csv_reader(found.lines), []), found.rows()

    columns, rows = run(ctx.obj, work)
    shown = {name: name for name in _EVALUATED if name in columns}
    to.put(Sheet("finding", columns, [[row.get(name) for name in columns] for row in rows], shown or None))


# -- upload ------------------------------------------------------------------------------------------------------------


class Kind(StrEnum):
    """What a file holds."""

    STRUCTURES = "structures"
    LIMITS = "limits"


_READ = {Kind.STRUCTURES: read_structures, Kind.LIMITS: read_limits}


def upload(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="limit_structures.csv or limits_approve.csv.")],
    kind: Annotated[Kind | None, typer.Option("--kind", help="What it holds; else its columns tell.")] = None,
    version: LimitsVersion = LATEST,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Check the whole file before it is sent.")] = True,
    dry_run: DryRun = False,
) -> None:
    """Upload a CSV file of structures or of limits: all of it or, when a line is bad, nothing.

    Structures come before the limits that refer to them. Uploaded limits are approved at once. A bad file ends with 2
    and a list of what is wrong; a refusal of the server ends with 1.
    """
    try:
        data = file.read_bytes()
    except OSError as problem:
        raise ConfigError(f"{file} cannot be read: {problem.strerror or problem}") from None
    old = Version.parse(version, "--limits-version").release < (2,)
    kind = kind or (Kind.LIMITS if old else _kind_of(file, data))
    if old and kind is Kind.STRUCTURES:
        raise ConfigError(f"Limits {version} has no structures")

    async def work(client: AtotiLimits) -> UploadReport:
        send = client.upload.structures if kind is Kind.STRUCTURES else client.upload.limits
        return await send(data, version=version)

    try:
        rows = len((read_legacy_limits if old else _READ[kind])(data, version)) if check else None
        what = f"{file}: {kind.value}" if rows is None else f"{file}: {count(rows, kind.value.removesuffix('s'))}"
        if dry_run:
            console().print(Text(f"{what} {'not checked' if rows is None else 'without a fault'}; nothing was sent"))
            return
        report = run(ctx.obj, work, version)
    except LimitsValidationError as problem:
        if spoken.debug:
            raise
        error(f"{file}: {problem.message}{'; nothing was sent' if problem.local else ''}")
        if problem.details:
            listed("What is wrong (the header is row 1):", [str(one) for one in problem.details])
        raise typer.Exit(BAD_INPUT if problem.local else 1) from None
    told = [f"{number} {word}" for number, word in ((report.created, "new"), (report.updated, "changed")) if number]
    console().print(Text(f"{what} uploaded{': ' if told else ''}{', '.join(told)}"))


def _kind_of(file: Path, data: bytes) -> Kind:
    """What the header is that of. Raises ``ConfigError`` when it is neither's."""
    first = data.decode("utf-8-sig", "replace").lstrip("\r\n").partition("\n")[0]
    header = set(next(csv_reader([first]), []))
    found = [kind for kind, column in ((Kind.STRUCTURES, "Scope Keys"), (Kind.LIMITS, "Limit ID")) if column in header]
    if len(found) != 1:
        raise ConfigError(f"{file}: its columns do not tell whether it holds structures or limits: give --kind")
    return found[0]


# -- rows --------------------------------------------------------------------------------------------------------------


async def _all(pager: Pager[Any]) -> list[Any]:
    return [one async for one in pager]


def _sheet(
    noun: str, kind: type[TolerantModel], found: Sequence[TolerantModel], over: dict[str, list[Any]] | None = None
) -> Sheet:
    """All fields that the documentation names; ``over`` are columns with values of another origin."""
    columns = [field.alias or name for name, field in kind.model_fields.items()]
    rows = [record(one, columns) for one in found]
    for column, values in (over or {}).items():
        at = columns.index(column)
        for row, value in zip(rows, values, strict=True):
            row[at] = value
    return Sheet(noun, columns, rows, {name: name for name in _SHOWN[kind]})
