"""``asyncconn tcup upload | download | search``: files of the data lake."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn.cli.options import STANDARD, Output, known
from asyncconn.cli.output import plain, progress, remark, stderr
from asyncconn.cli.running import advancing
from asyncconn.cli.sheets import Sheet, record
from asyncconn.cli.tcup.common import Where, local, moment, pairs
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn import Tcup
    from asyncconn.tcup import LakeFile

__all__ = ["download", "search", "upload"]

_MODES = ("RESTRICT", "OVERWRITE", "APPEND", "ARCHIVE")
_FILE = (
    "name", "file-uri", "savepoint", "directory", "size-bytes", "created-on", "created-by",
    "locked", "external", "deleted",
)  # fmt: skip

Text = str | None


def upload(
    where: Where,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file, or - for standard input.")],
    name: Annotated[Text, typer.Option("--name", metavar="NAME", help="Its name there; else its own.")] = None,
    savepoint: Annotated[Text, typer.Option("--savepoint", metavar="PATH", help="Where in the user's space.")] = None,
    directory: Annotated[Text, typer.Option("--directory", metavar="PATH", help="The directory it goes to.")] = None,
    mode: Annotated[
        str, typer.Option("--mode", metavar="WORD", help=f"What if it is there: {', '.join(_MODES).lower()}.")
    ] = "restrict",
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="Repeat for more.")
    ] = None,
    comment: Annotated[Text, typer.Option("--comment", metavar="TEXT", help="A word about it.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="In chunks, going on with what is there; a version of each stays hidden.")
    ] = False,
) -> None:
    """Upload a file to the data lake, and print its URI."""
    if file == STANDARD and name is None:
        raise ConfigError("standard input needs a --name")
    given: dict[str, Any] = {
        "filename": name, "savepoint": savepoint, "directory": directory, "comment": comment,
        "mode": known([mode], _MODES, "--mode")[0],
        "metadata": pairs(metadata or (), "--metadata") or None,
    }  # fmt: skip
    with progress(stderr()) as bar, local(file) as path:
        shown = advancing(bar, f"uploading {plain(name or path.name)}")
        print(where.run(lambda tcup: tcup.datalake.upload(path, resume=resume, on_progress=shown, **given)))


def download(
    where: Where,
    uris: Annotated[list[str], typer.Argument(metavar="URI...", help="As 'upload' and 'search' tell them.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="A file, or a folder; - is standard output.")
    ] = Path(),
) -> None:
    """Download files of the data lake. One that was broken off is gone on with, and appears when it is complete."""
    if len(uris) > 1 and not output.is_dir():
        raise ConfigError("several files go to a folder that is there: --output DIR")
    if output == STANDARD:
        where.run(lambda tcup: _pour(tcup, uris[0]))
        return

    async def work(tcup: Tcup) -> None:
        with progress(stderr()) as bar:
            for uri in uris:
                path = await tcup.datalake.download(uri, output, on_progress=advancing(bar, plain(uri)))
                remark(f"written to {path}", result=True)

    where.run(work)


async def _pour(tcup: Tcup, uri: str) -> None:
    sys.stdout.flush()
    async with tcup.datalake.stream(uri) as chunks:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def search(
    where: Where,
    to: Output,
    text: Annotated[Text, typer.Argument(metavar="[TEXT]", help="A word in names and metadata.")] = None,
    metadata: Annotated[
        Text, typer.Option("--metadata", "-m", metavar="QUERY", help="Such as \"colour='blue' & rows>='10'\".")
    ] = None,
    any_: Annotated[bool, typer.Option("--any", help="One of the query's terms is enough.")] = False,
    name: Annotated[
        list[str] | None, typer.Option("--name", metavar="PATTERN", help="With * for any text; repeat for more.")
    ] = None,
    savepoint: Annotated[
        list[str] | None, typer.Option("--savepoint", metavar="PATTERN", help="The same, of where it was saved.")
    ] = None,
    directory: Annotated[Text, typer.Option("--directory", metavar="PATH", help="In this one.")] = None,
    size: Annotated[Text, typer.Option("--size", metavar="CONDITION", help="Such as '>=10.5MB'.")] = None,
    since: Annotated[Text, typer.Option("--since", metavar="TIME", help="Made then, or later.")] = None,
    until: Annotated[Text, typer.Option("--until", metavar="TIME", help="Made then, or earlier.")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that were deleted.")] = False,
) -> None:
    """Find files of the data lake for which all holds that is given."""
    asked: dict[str, Any] = {
        "metadata": metadata, "match": "any" if any_ else "all", "filename": name or None,
        "savepoint": savepoint or None, "directory": directory, "size": size, "deleted": deleted or None,
        "since": moment(since, "--since"), "until": moment(until, "--until"),
    }  # fmt: skip

    async def work(tcup: Tcup) -> list[LakeFile]:
        return await tcup.datalake.search(text, **asked).collect()

    rows = [[*record(one, _FILE), {each.name: each.value for each in one.metadata}] for one in where.run(work)]
    shown = {"name": "name", "uri": "file-uri", "bytes": "size-bytes", "created": "created-on", "metadata": "metadata"}
    to.put(Sheet("file", (*_FILE, "metadata"), rows, shown))
