"""``asyncconn datorama workspaces | streams | jobs | rate``: what there is, and what the tokens may still do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn.cli.datorama_common import BaseUrl, Form, Output, Place, Region, Sheet, Sink, record, run, span
from asyncconn.cli.output import console, error, table
from asyncconn.datorama import paths, wire
from asyncconn.errors import AsyncConnError

if TYPE_CHECKING:
    from asyncconn import Datorama
    from asyncconn.core.limits import PartSnapshot
    from asyncconn.http.transport import RateHint

__all__ = ["rate", "workspaces"]

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

_LIMITS = {wire.PLATFORM: "calls a minute", wire.QUERY: "queries a minute", wire.DAILY: "both, today (UTC)"}


def workspaces(
    account: Annotated[
        int | None, typer.Option("--account", metavar="ID", help="Those of an account, instead of all in sight.")
    ] = None,
    output: Output = None,
    form: Form = None,
    region: Region = None,
    base_url: BaseUrl = None,
) -> None:
    """List the workspaces that the tokens may see. One call for each token."""
    sink = Sink.of(output, form)

    async def work(datorama: Datorama) -> list[list[Any]]:
        return [record(one, WORKSPACE_COLUMNS) async for one in datorama.workspaces.list(account)]

    shown = {"id": "id", "name": "name", "account": "accountId", "time zone": "timezoneId", "currency": "currencyId"}
    sink.put(Sheet("workspace", WORKSPACE_COLUMNS, run(Place(region, base_url), work), shown))


def rate(region: Region = None, base_url: BaseUrl = None) -> None:
    """Show what each token may still do, in this minute and today, as the server counts. Costs each one call.

    Status: 0 all tokens work, 1 one does not, 2 bad input.
    """

    async def work(datorama: Datorama) -> tuple[list[tuple[Any, ...]], list[str]]:
        rows, wrong = [], []
        for number, transport in enumerate(datorama.pool.transports, 1):
            told: dict[str, RateHint] = {}
            try:
                answer = await transport.request("GET", paths.WORKSPACES, headers=wire.HEADERS)
                told = {hint.part: hint for hint in wire.hints(answer)}
            except AsyncConnError as problem:
                wrong.append(f"token {number}: {problem}")
            books = {part.name: part for one in transport.limiters.values() for part in one.snapshot().parts}
            rows += [_row(number, part, told.get(part.name)) for part in books.values()]
        return rows, wrong

    rows, wrong = run(Place(region, base_url), work)
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
