"""``asyncconn datorama snapshot``: workspaces, streams and jobs into files, to be looked at without a call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asyncconn.cli.datorama.common import Where
from asyncconn.cli.datorama.watch import settle, watching
from asyncconn.cli.output import count, remark
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn import Datorama

__all__ = ["snapshot"]


def snapshot(
    where: Where,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go; it is made if need be.")],
    workspace: Annotated[
        list[int] | None, typer.Option("--workspace", "-w", metavar="ID", help="Not all: these; repeat for more.")
    ] = None,
    with_jobs: Annotated[
        bool, typer.Option("--jobs", help="The jobs of the streams, too: a call or more for each stream.")
    ] = False,
) -> None:
    """Save workspaces, streams and jobs as JSON, in the files that pyDatorama made.

    'streams', 'jobs' and the bulk commands take them with --snapshot, and need no call then to know what there is.

    Status: 0 all ok, 1 some could not be read (the rest is saved), 2 bad input.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder")

    async def work(datorama: Datorama) -> tuple[int, str]:
        keep = datorama.snapshots
        spaces = [one async for one in datorama.workspaces.list() if not workspace or one.id in workspace]
        if missing := set(workspace or ()) - {one.id for one in spaces}:
            raise ConfigError(f"there is no workspace {', '.join(map(str, sorted(missing)))} that the token may see")
        await keep.save_workspaces(folder, spaces)
        with watching() as show:
            found = await datorama.fetch_all_streams(spaces, on_progress=show)
            await keep.save_streams(folder, found)
            streams = [stream for some in found.values for stream in some]
            words = [count(len(spaces), "workspace"), count(len(streams), "stream")]
            status = settle(found)
            if with_jobs and streams:
                jobs = await datorama.fetch_all_jobs(streams, on_progress=show)
                await keep.save_jobs(folder, jobs)
                words.append(count(sum(map(len, jobs.values)), "job"))
                status |= settle(jobs)
        return status, ", ".join(words)

    status, said = where.run(work)
    remark(f"{said} saved in {folder}", result=True)
    raise typer.Exit(status)
