"""``asyncconn panoply spool``: what waits in a spool, as a table or a file; and the way to get rid of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from asyncconn.cli.output import console, count, error, size, table
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.files import PartialFile
from asyncconn.errors import ConfigError
from asyncconn.panoply.encoding import TABLE, decode_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
    out = None if export is None else PartialFile(export, replace=False, sync=True)
    try:
        if out is not None:
            out.open()
        found, total = asyncio.run(_take(file, out, discard))
    except FileExistsError:
        error(f"{export} is there already: choose another name")
        raise typer.Exit(2) from None
    except OSError as problem:
        raise ConfigError(f"{export} cannot be written: {problem.strerror or problem}") from None
    finally:
        if out is not None:
            out.discard()
    records = sum(found.values())
    if records:
        console().print(table("", ["table", "records"], found.most_common(), numbers=["records"]))
    done = "" if export is None else f", written to {export}" + (" and discarded" if discard else "")
    console().print(Text(f"{count(records, 'record')} ({size(total)}) in {file}{done}"))


async def _take(file: Path, out: PartialFile | None, discard: bool) -> tuple[Counter[str], int]:
    kept = Spool(file)
    if not await kept.open(create=False):
        raise ConfigError(f"there is no spool {file}")
    found: Counter[str] = Counter()
    total = 0
    try:
        async for _, item in _records(kept):
            record: dict[str, Any] = decode_record(item)
            found[str(record.get(TABLE))] += 1
            total += len(item)
            if out is not None:
                await asyncio.to_thread(out.write, [item + b"\n"])
        if out is not None:
            await asyncio.to_thread(out.finish)  # before anything is forgotten
        if discard:
            await kept.trim([range(1, kept.last + 1)])
    finally:
        await kept.aclose()
    return found, total


async def _records(kept: Spool) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    while some := await kept.read(number):
        for number, item in some:
            yield number, item
