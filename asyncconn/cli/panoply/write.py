"""``asyncconn panoply write``: a file into Panoply, all of it or, when a line of it is bad, nothing."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from asyncconn import Panoply
from asyncconn.cli.options import STANDARD, DryRun, Reading, SenderName
from asyncconn.cli.output import BAD_INPUT, complain, console, count, error, progress, remark, size, stderr
from asyncconn.cli.running import advancing, run_to_end
from asyncconn.errors import ConfigError, InvalidRecord
from asyncconn.panoply import CheckedFile, FileReport, check_file

if TYPE_CHECKING:
    from asyncconn import Hub

__all__ = ["write"]

_SHOWN = 20  # problems of a file; the rest is counted


def write(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file, or - for standard input.")],
    table: Annotated[str, typer.Option("--table", "-t", help="The table in the warehouse.")],
    reading: Reading,
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="What tells records apart; becomes their 'id'.")
    ] = None,
    endpoint_url: Annotated[
        str | None, typer.Option("--endpoint-url", metavar="URL", help="Instead of the address in the secret.")
    ] = None,
    sender: Annotated[SenderName | None, typer.Option("--sender", help="How messages go to the queue.")] = None,
    save_failed: Annotated[
        Path, typer.Option("--save-failed", metavar="FILE", help="Where records go that could not be delivered.")
    ] = Path("undelivered.jsonl"),
    dry_run: DryRun = False,
) -> None:
    """Stream a CSV, JSON lines, JSON or Parquet file into a table.

    The whole input is checked first: when any line of it is bad, nothing is sent. It may be compressed with gzip.

    ASYNCCONN_PANOPLY_API_KEY and ASYNCCONN_PANOPLY_API_SECRET hold the credentials, in the environment or in .env.

    Status: 0 all delivered, 1 not all delivered, 2 bad input.
    """
    name, source = ("<stdin>", sys.stdin.buffer) if file == STANDARD else (str(file), file)
    given = {"endpoint_url": endpoint_url, "sender": sender and sender.value}
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    checked: CheckedFile | None = None

    async def main(hub: Hub) -> None:
        nonlocal checked
        into = _writer(hub, options, dry_run=dry_run)
        with progress(stderr()) as bar:
            looked = advancing(bar, "checking")
            checked = await check_file(source, table, into=into, id_column=id_column, on_progress=looked, **reading.how)
        async with checked:
            if checked.told:
                remark(f"{name}: read as {checked.told}")
            if checked.records and not checked.problem_count and not dry_run:
                with progress(stderr()) as bar:
                    await checked.write(on_progress=advancing(bar, "delivering"))

    status, problem = run_to_end(main)
    if checked is None:
        if isinstance(problem, InvalidRecord):
            raise ConfigError(f"--table: {problem.message}")
        if problem is not None:
            raise problem
        error("interrupted before anything was sent")
        raise typer.Exit(status)
    if checked.problem_count:
        _refuse(name, checked, guessed=reading.encoding is None)
    elif dry_run:
        told = f"{count(checked.records, 'record')} ({size(checked.bytes)}) would go to {table!r}; none was sent"
        remark(told, result=True)
    elif not checked.records:
        remark(f"{name} holds no records: nothing to send", result=True)
    else:
        if problem is not None:
            error(problem)
        _tell(name, table, checked.report, save_failed, interrupted=status != 0)
        status = status or (0 if checked.report.complete else 1)
    raise typer.Exit(status)


def _writer(hub: Hub, options: dict[str, Any], *, dry_run: bool) -> Panoply | None:
    """None where nothing is sent, and there are no credentials: the file can be looked at all the same."""
    try:
        # The spool of the environment is a service's, and has one user at a time. What fails here goes to a file.
        return Panoply.from_env(hub=hub, **options, spool=None)
    except ConfigError as problem:
        if dry_run and problem.missing:
            return None
        raise


def _refuse(name: str, checked: CheckedFile, *, guessed: bool) -> None:
    for problem in checked.problems[:_SHOWN]:
        other = guessed and problem.what.startswith("not UTF-8")
        hint = " (is it in another encoding? Say --encoding cp1252, or which)" if other else ""
        complain(f"{name}:{problem.line}: {problem.what}{hint}")
    left = checked.problem_count - _SHOWN
    more = f", {left:,} of them not shown" if left > 0 else ""
    error(f"{count(checked.problem_count, 'problem')} in {name}{more}; nothing was sent")
    raise typer.Exit(BAD_INPUT)


def _tell(name: str, table: str, report: FileReport, save_failed: Path, *, interrupted: bool) -> None:
    where = f"{count(report.messages, 'message')}, {size(report.bytes)}"
    told = f"{report.delivered:,} of {count(report.records, 'record')} delivered to {table!r} ({where})"
    console().print(Text(told))
    if interrupted:
        rest = report.records - report.accepted
        unsent = f"; {rest:,} were not sent, from {name}:{report.next_line} on" if rest else ""
        accepted = f"{report.delivered:,} of {count(report.accepted, 'accepted record')}"
        error(f"interrupted: {accepted} were delivered{unsent}")
    if report.undelivered:
        for message in dict.fromkeys(failure.message for failure in report.failures[:3]):
            error(message)
        if any(failure.maybe_delivered for failure in report.failures):
            error("some of these may have arrived all the same: records with an id can be written again without harm")
        saved = f"{count(len(report.undelivered), 'record')} not delivered; saved to {_save(report, save_failed)}"
        error(f"{saved}, to be written again")
    if report.changed:
        error(f"{name} was changed while it was being sent; what was sent may not be what was checked")


def _save(report: FileReport, wanted: Path) -> Path:
    try:
        return asyncio.run(report.save(wanted))
    except OSError as problem:
        error(f"{wanted}: {problem.strerror or problem}")
        return asyncio.run(report.save(Path(tempfile.gettempdir()) / wanted.name))
