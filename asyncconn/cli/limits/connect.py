"""``asyncconn limits connect``, ``status`` and ``check-cube``: the way to a connection, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn.atoti_limits import Connected, ConnectionTimedOut, SlicingHierarchyMissing
from asyncconn.cli.limits.common import Where, listed
from asyncconn.cli.options import DryRun, Output
from asyncconn.cli.output import count, error, plain, remark, spoken
from asyncconn.cli.sheets import Sheet
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn import AtotiLimits
    from asyncconn.atoti_limits import CubeCheck, PreflightReport

__all__ = ["check_cube", "connect", "status"]

AsOfDate = Annotated[
    str | None,
    typer.Option("--as-of-date", metavar="LEVEL", help="The level of the date: level, with @hierarchy@dimension."),
]


def connect(
    where: Where,
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
    if where.generation == 1 and not wait:
        raise ConfigError("a session of generation 1 connects by itself, once the cube exists: use --wait")
    options: Any = {"as_of_date": as_of_date} if preflight else False

    async def ask(client: AtotiLimits) -> Connected | PreflightReport | None:
        if wait and not dry_run:
            return await client.wait_connected(timeout, preflight=options)
        report = await client.preflight(**options) if preflight else None
        words = f"{client.session_url} to connect to {client.limits_url} as {client.server_name!r}"
        if dry_run:
            remark(plain(f"would ask {words}; nothing was asked"), result=True)
        else:
            await client.connect()
            remark(plain(f"asked {words}; 'asyncconn limits status' tells how it went"), result=True)
        return report

    try:
        found = where.run(ask)
    except (ConnectionTimedOut, SlicingHierarchyMissing) as problem:
        if spoken.debug:
            raise
        if isinstance(problem, ConnectionTimedOut):
            error(f"{problem.message}; last answer {problem.last!r} after {count(problem.polls, 'poll')}")
            if problem.causes:
                listed("Not excluded as the cause:", list(problem.causes))
        else:
            error(problem)
        raise typer.Exit(1) from None
    report = found.preflight if isinstance(found, Connected) else found
    for warning in report.warnings if report is not None else ():
        remark(plain(f"warning: {warning}"))
    if isinstance(found, Connected):
        remark(f"connected after {found.seconds:.1f} s, {count(found.polls, 'poll')}", result=True)


def check_cube(where: Where, to: Output, as_of_date: AsOfDate = None) -> None:
    """Check each cube of a session for the slicing date hierarchy that Limits needs.

    Ends with 1 if a cube has none, or if there is no cube.
    """

    async def work(client: AtotiLimits) -> tuple[CubeCheck, ...]:
        try:
            return (await client.preflight(ping=False, limits=False, as_of_date=as_of_date)).cubes
        except SlicingHierarchyMissing as problem:
            return problem.checks

    checks = where.run(work)
    columns = ("catalog", "cube", "status", "candidates", "message")
    rows = [(one.catalog, one.cube, one.status, ", ".join(one.candidates), one.message) for one in checks]
    to.put(Sheet("cube", columns, rows))
    raise typer.Exit(1 if not checks or any(one.status == "missing" for one in checks) else 0)


def status(where: Where, to: Output) -> None:
    """Show what works: session, credential, cubes, Limits server, connection.

    Changes nothing. Ends with 0 if they are connected, else with 1.
    """
    found = where.run(lambda client: client.status())
    to.put(Sheet("check", ("what", "ok", "found"), [(one.what, one.ok, one.found) for one in found.steps]))
    raise typer.Exit(0 if found.connected else 1)
