"""``asyncconn limits structures``, ``limits``, ``upload``, ``evaluate`` and ``incidents``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from asyncconn.atoti_limits import Incident, IncidentType, Limit, LimitsValidationError, Structure
from asyncconn.atoti_limits.models import iso
from asyncconn.atoti_limits.versions import LATEST
from asyncconn.cli.limits.common import Where, listed
from asyncconn.cli.options import STANDARD, DryRun, Output, known
from asyncconn.cli.output import BAD_INPUT, count, error, plain, remark, spoken
from asyncconn.cli.sheets import Sheet, record
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn import AtotiLimits, Pager
    from asyncconn.atoti_limits import Evaluation
    from asyncconn.http.models import TolerantModel

__all__ = ["evaluate", "incidents", "limits", "structures", "upload"]

M = TypeVar("M", Structure, Limit, Incident)

Word = str | None
Day = Annotated[Word, typer.Option("--date", metavar="YYYY-MM-DD", help="Of this day.")]

_SHOWN = {
    Structure: ("structureId", "name", "cubeName", "measureName", "kpiType", "warningThreshold", "scopeKeys"),
    Limit: ("limitId", "limitName", "structureId", "scope", "limitValue", "startDate", "endDate", "limitStatus"),
    Incident: ("incidentKey", "limitId", "incidentType", "measureValue", "location", "asOfDate", "status"),
}
_EVALUATED = ("Limit ID", "Incident Type", "Measure Value", "Location", "As Of Date", "Status")


def structures(
    where: Where,
    to: Output,
    server: Annotated[Word, typer.Option("--server", metavar="NAME", help="Of this session.")] = None,
    cube: Annotated[Word, typer.Option("--cube", metavar="NAME", help="Of this cube.")] = None,
    group: Annotated[Word, typer.Option("--group", metavar="NAME", help="Of this group.")] = None,
) -> None:
    """List limit structures."""
    _list(where, to, Structure, lambda at, _: at.structures.list(server_name=server, cube_name=cube, group=group))


def limits(
    where: Where,
    to: Output,
    structure: Annotated[Word, typer.Option("--structure", metavar="ID", help="Of this structure.")] = None,
    status: Annotated[Word, typer.Option("--status", metavar="WORD", help="Such as APPROVED.")] = None,
    alive: Annotated[bool | None, typer.Option("--alive/--not-alive", help="Those that are valid, or no more.")] = None,
) -> None:
    """List limits."""

    def ask(client: AtotiLimits, word: Word) -> Pager[Limit]:
        return client.limits.list(structure_id=structure, status=word, alive=alive)

    _list(where, to, Limit, ask, status)


def incidents(
    where: Where,
    to: Output,
    day: Day = None,
    limit: Annotated[Word, typer.Option("--limit", metavar="ID", help="Of this limit.")] = None,
    kind: Annotated[Word, typer.Option("--type", metavar="WORD", help="BREACH or WARNING.")] = None,
    status: Annotated[Word, typer.Option("--status", metavar="WORD", help="In this status.")] = None,
) -> None:
    """List incidents: breaches and warnings."""
    on, which = iso(day), known([kind], IncidentType, "--type")[0] if kind is not None else None

    def ask(client: AtotiLimits, word: Word) -> Pager[Incident]:
        return client.incidents.list(as_of_date=on, limit_id=limit, incident_type=which, status=word)

    _list(where, to, Incident, ask, status)


def _list(
    where: Where, to: Output, kind: type[M], ask: Callable[[AtotiLimits, Word], Pager[M]], status: Word = None
) -> None:
    """All fields that the documentation names, and on a screen the first of them."""

    async def work(client: AtotiLimits) -> list[M]:
        found = [one async for one in ask(client, status)]
        if status is not None and not found:  # a server may have statuses that nobody here knows
            words = {word async for one in ask(client, None) if (word := _status(one))}
            if words:
                there = plain(", ".join(sorted(words)))
                remark(f"no {kind.__name__.lower()} has the status {status!r}; they have {there}")
        return found

    columns = [field.alias or name for name, field in kind.model_fields.items()]
    found = [dict(zip(columns, record(one, columns), strict=True)) | _id(one) for one in where.run(work)]
    shown = {name: name for name in _SHOWN[kind]}
    to.put(Sheet(kind.__name__.lower(), columns, [list(one.values()) for one in found], shown))


def _status(one: TolerantModel) -> str | None:
    return one.limit_status if isinstance(one, Limit) else one.status if isinstance(one, Incident) else None


def _id(one: TolerantModel) -> dict[str, str | None]:
    return {"structureId": one.id} if isinstance(one, Structure) else {}


def evaluate(
    where: Where,
    to: Output,
    limit: Annotated[list[str] | None, typer.Option("--limit", metavar="ID", help="Only this; repeatable.")] = None,
    structure: Annotated[
        list[str] | None, typer.Option("--structure", metavar="ID", help="Only the limits of this; repeatable.")
    ] = None,
    day: Annotated[
        Word, typer.Option("--date", metavar="YYYY-MM-DD", help="For this day, else for the server's own.")
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
        named = count(len(limit), "limit") if limit else count(len(structure or ()), "structure")
        what = named if limit or structure else "all limits"
        remark(f"would evaluate {what} for {on or 'the day that the server is set to'}; nothing was sent", result=True)
        return

    async def work(client: AtotiLimits) -> Evaluation:
        if limit:
            return await client.evaluate.limits(limit, on)
        return await (client.evaluate.structures(structure, on) if structure else client.evaluate.all(on))

    found = where.run(work)
    columns = found.columns()
    shown = {name: name for name in _EVALUATED if name in columns}
    rows = [[row.get(name) for name in columns] for row in found.rows()]
    to.put(Sheet("finding", columns, rows, shown or None))


def upload(
    where: Where,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="limit_structures.csv or limits_approve.csv; - is standard input.")
    ],
    kind: Annotated[
        Literal["structures", "limits"] | None, typer.Option("--kind", help="What it holds; else its columns tell.")
    ] = None,
    version: Annotated[
        str,
        typer.Option(
            "--limits-version", metavar="VERSION", help="The Limits server's, which decides on its CSV columns."
        ),
    ] = LATEST,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Check the whole file before it is sent.")] = True,
    dry_run: DryRun = False,
) -> None:
    """Upload a CSV file of structures or of limits: all of it or, when a line is bad, nothing.

    Structures come before the limits that refer to them. Uploaded limits are approved at once. A bad file ends with 2
    and a list of what is wrong; a refusal of the server ends with 1.
    """
    name, source = ("<stdin>", sys.stdin.buffer.read()) if file == STANDARD else (str(file), file)

    async def work(client: AtotiLimits) -> None:
        plan = await client.plan_upload(source, kind=kind, version=version, check=check)
        what = plan.kind if plan.rows is None else count(plan.rows, plan.kind.removesuffix("s"))
        if dry_run:
            looked = "not checked" if plan.rows is None else "without a fault"
            remark(f"{name}: {what} {looked}; nothing was sent", result=True)
            return
        report = await plan.run()
        told = [f"{number} {word}" for number, word in ((report.created, "new"), (report.updated, "changed")) if number]
        remark(f"{name}: {what} uploaded{': ' if told else ''}{', '.join(told)}", result=True)

    try:
        where.run(work, version=version, offline=dry_run)
    except LimitsValidationError as problem:
        if spoken.debug:
            raise
        error(f"{name}: {problem.message}{'; nothing was sent' if problem.local else ''}")
        if problem.details:
            listed("What is wrong (the header is row 1):", [str(one) for one in problem.details])
        raise typer.Exit(BAD_INPUT if problem.local else 1) from None
