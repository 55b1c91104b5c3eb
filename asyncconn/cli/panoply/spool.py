"""``asyncconn panoply spool``: what waits in a spool, as a table or a file; and the way to get rid of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from asyncconn.cli.output import console, count, remark, size, table
from asyncconn.panoply import spool_contents

__all__ = ["spool"]


def spool(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The spool, which nobody may be writing to.")],
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write the records there, as JSON lines.")
    ] = None,
    discard: Annotated[
        bool, typer.Option("--discard", help="Forget the records, after the export. They will not be sent.")
    ] = False,
) -> None:
    """Look at the records that have not arrived, take them out, or give them up.

    A program that writes with this spool sends them at its next start: this is for records that the platform refuses
    for good. An exported record names its table as "__table".
    """
    if discard and export is None:
        raise typer.BadParameter("is for records that are kept elsewhere: give --export too", param_hint="--discard")
    found = asyncio.run(spool_contents(file, export=export, discard=discard))
    if found.records:
        console().print(table("", ["table", "records"], found.tables.most_common(), numbers=["records"]))
    done = "" if export is None else f", written to {export}" + (" and discarded" if discard else "")
    remark(f"{count(found.records, 'record')} ({size(found.bytes)}) in {file}{done}", result=True)
