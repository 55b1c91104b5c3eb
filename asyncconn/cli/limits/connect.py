"""``asyncconn limits connect``, ``status`` and ``check-cube``: the way to a connection, step by step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from asyncconn.atoti_limits import Connected
from asyncconn.atoti_limits.errors import ConnectionTimedOut, SessionUnreachable, SlicingHierarchyMissing
from asyncconn.cli.limits.common import DryRun, listed, run
from asyncconn.cli.options import Output
from asyncconn.cli.output import console, count, error, plain, spoken, stderr
from asyncconn.cli.sheets import Sheet
from asyncconn.core.notes import with_notes
from asyncconn.errors import AsyncConnError, ConfigError

if TYPE_CHECKING:
    from asyncconn import AtotiLimits
    from asyncconn.atoti_limits import CubeCheck, PreflightReport

__all__ = ["check_cube", "connect", "status"]

AsOfDate = Annotated[
    str | None,
    typer.Option("--as-of-date", metavar="LEVEL", help="The level of the date: level, with @hierarchy@dimension."),
]


def connect(
    ctx: typer.Context,
    wait: Annotated[bool, typer.Option("--wait", help="Until they are connected.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait in all.")] = 60.0,
    preflight: Annotated[
        bool, typer.Option("--preflight/--no-preflight", help="Look first whether it can work.")
    ] = True,
    as_of_date: AsOfDate = None,
    dry_run: DryRun = False,
) -> None:
    """Ask a session to connect to its Limits server.

    Looks first at both servers, at the credential, and for a slicing date hierarchy. With --wait it ends when they are
    connected; if they are not in time, what is known to be the cause and has not been excluded is listed. A session of
    generation 1 connects by itself: use --wait.
    """
    if timeout <= 0:
        raise ConfigError(f"--timeout must be more than 0 seconds, not {timeout:g}")

    if ctx.obj.generation == 1 and not wait:
        raise ConfigError("a session of generation 1 connects by itself, once the cube exists: use --wait")
    options: Any = {"as_of_date": as_of_date} if preflight else False

    async def ask(client: AtotiLimits) -> Connected | PreflightReport | None:
        if wait and not dry_run:
            return await client.wait_connected(timeout, preflight=options)
        report = await client.preflight(**options) if preflight else None
        words = f"{client.session_url} to connect to {client.limits_url} as {client.server_name!r}"
        if dry_run:
            console().print(Text(plain(f"would ask {words}; nothing was asked")))
        else:
            await client.connect()
            console().print(Text(plain(f"asked {words}; 'asyncconn limits status' tells how it went")))
        return report

    try:
        _show(run(ctx.obj, ask))
    except (ConnectionTimedOut, SlicingHierarchyMissing) as problem:
        if spoken.debug:
            raise
        _explain(problem)
        raise typer.Exit(1) from None


def _show(found: Connected | PreflightReport | None) -> None:
    report = found.preflight if isinstance(found, Connected) else found
    for warning in report.warnings if report is not None else ():
        stderr().print(Text.assemble(("warning: ", "yellow"), plain(warning)))
    if isinstance(found, Connected):
        console().print(f"connected after {found.seconds:.1f} s, {count(found.polls, 'poll')}")


def _explain(problem: ConnectionTimedOut | SlicingHierarchyMissing) -> None:
    if isinstance(problem, SlicingHierarchyMissing):
        error(problem)
        return
    error(f"{problem.message}; last answer {problem.last!r} after {count(problem.polls, 'poll')}")
    if problem.causes:
        listed("Not excluded as the cause:", list(problem.causes))


def check_cube(ctx: typer.Context, to: Output, as_of_date: AsOfDate = None) -> None:
    """Check each cube of a session for the slicing date hierarchy that Limits needs.

    Ends with 1 if a cube has none, or if there is no cube.
    """

    async def work(client: AtotiLimits) -> tuple[CubeCheck, ...]:
        try:
            report = await client.preflight(ping=False, limits=False, as_of_date=as_of_date)
        except SlicingHierarchyMissing as problem:
            return problem.checks
        return report.cubes

    checks = run(ctx.obj, work)
    columns = ("catalog", "cube", "status", "candidates", "message")
    rows = [(one.catalog, one.cube, one.status, ", ".join(one.candidates), one.message) for one in checks]
    to.put(Sheet("cube", columns, rows))
    raise typer.Exit(1 if not checks or any(one.status == "missing" for one in checks) else 0)


def status(ctx: typer.Context, to: Output) -> None:
    """Show what works: session, credential, cubes, Limits server, connection.

    Changes nothing. Ends with 0 if they are connected, else with 1.
    """
    rows = run(ctx.obj, _states)
    to.put(Sheet("check", ("what", "ok", "found"), rows))
    raise typer.Exit(0 if rows[-1][1] is True else 1)


async def _states(client: AtotiLimits) -> list[tuple[str, bool | None, str]]:
    """What, whether it is as it should be (None: not asked), and what was found; the connection comes last."""
    rows: list[tuple[str, bool | None, str]] = []
    away = False

    async def step(what: str, ask: Callable[[], Awaitable[tuple[bool, str]]], *, at_session: bool = True) -> None:
        nonlocal away
        if at_session and away:
            rows.append((what, None, "not asked"))
            return
        try:
            rows.append((what, *await ask()))
        except AsyncConnError as problem:
            away = away or isinstance(problem, SessionUnreachable)
            rows.append((what, False, with_notes(problem)))

    async def session() -> tuple[bool, str]:
        report = await client.preflight(ping=False, discovery=False, limits=False)
        return True, f"{report.session_version or 'an Atoti server'} at {client.session_url}"

    async def credential() -> tuple[bool, str]:
        await client.preflight(discovery=False, limits=False)
        return True, "accepted by the session"

    async def cubes() -> tuple[bool, str]:
        report = await client.preflight(ping=False, limits=False)
        return True, "; ".join(f"{one.cube}: {one.status}" for one in report.cubes)

    async def limits() -> tuple[bool, str]:
        report = await client.preflight(versions=False, ping=False, discovery=False)
        return True, f"{report.limits_version or 'a Limits server'} at {client.limits_url}"

    async def known() -> tuple[bool, str]:
        found = await client.connections.list()
        words = ", ".join(f"{one.server_name}{'' if one.connected else ' (not connected)'}" for one in found)
        return any(one.server_name == client.server_name for one in found), words or "no session"

    async def connected() -> tuple[bool, str]:
        answer = await client.connected()
        return answer, "yes" if answer else "no"

    await step("session", session)
    await step("credential", credential)
    await step("cubes", cubes)
    await step("Limits server", limits, at_session=False)
    await step("known to Limits", known, at_session=False)
    await step("connected", connected, at_session=client.generation > 1)
    return rows
