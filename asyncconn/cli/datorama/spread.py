"""Jobs of many streams, kept in a folder as they come: read by this process, or by a cluster's workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn import Datorama, Hub, JsonLines, collect
from asyncconn.cli.output import SHOWN, error, plain, progress, stderr
from asyncconn.cli.running import advancing
from asyncconn.core.extras import extra
from asyncconn.datorama.models import DataStream, Job
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

__all__ = ["Spread", "jobs_into"]

#: Its id, and its workspace and source where they are known.
_Stream = tuple[int, int | None, str | None]


@dataclass(frozen=True)
class Spread:
    """Where the jobs are kept, and who reads them."""

    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", metavar="DIR", help="Keep each stream's jobs there, and go on where it was cut short."
        ),
    ] = None
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", metavar="ADDRESS", help="A Dask scheduler, whose workers read; all see --folder."),
    ] = None
    redis: Annotated[
        str | None,
        typer.Option(
            "--redis",
            metavar="URL",
            help="Keep to the cap together with all who use this server; 'env': ASYNCCONN_REDIS_URL, of each worker.",
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.folder is None and (self.cluster or self.redis):
            raise ConfigError("--cluster and --redis need --folder: where the jobs are kept")
        if self.cluster and "@" in (self.redis or ""):
            raise ConfigError("a password is not sent to workers: set ASYNCCONN_REDIS_URL there, and give --redis env")

    def hubs(self) -> Callable[[], Hub]:
        """What makes a hub, here and on workers. They are sent this function, and need none of these commands."""
        redis = self.redis
        if redis is None:
            return Hub

        def hub() -> Hub:
            from asyncconn.integrations.redis import RedisRates

            return Hub(shared_rates=RedisRates.from_env() if redis == "env" else RedisRates(redis))

        return hub


async def jobs_into(
    spread: Spread, folder: Path, streams: Sequence[DataStream | int], options: dict[str, Any], page_size: int
) -> tuple[int, list[tuple[_Stream, Job]]]:
    """The status, and the jobs of all streams that were read, now or before."""

    async def jobs_of(hub: Hub, stream: _Stream) -> AsyncIterator[dict[str, Any]]:
        number, workspace, source = stream
        fields = {"id": number, "workspaceId": workspace, "dataSourceName": source}
        known = number if workspace is None else DataStream.model_validate(fields)
        async for job in hub.connector(Datorama, **options).jobs.list(known, page_size=page_size):
            yield {**job.raw, "streamId": number}

    into = JsonLines(folder)
    partitions = [_told(one) for one in streams]
    what: dict[str, Any] = {"into": into, "hub": spread.hubs(), "key": _name, "run": f"jobs {options}"}
    with progress(stderr()) as bar:
        what["on_progress"] = advancing(bar, "streams")
        if spread.cluster is None:
            report = await collect(partitions, jobs_of, **what)
        else:
            client = extra("distributed", "dask").Client
            async with client(spread.cluster, asynchronous=True, set_as_default=False) as connected:
                report = await collect(partitions, jobs_of, client=connected, **what)
    for one in report.failures[:SHOWN]:
        error(plain(f"stream {one.partition[0]}: failed: {one.error}"))
    wanted = {stream[0]: stream for stream in partitions}
    found = [(stream, Job.model_validate(row)) async for row in into.rows() if (stream := wanted.get(row["streamId"]))]
    return (1 if report.failed else 0), found


def _told(stream: DataStream | int) -> _Stream:
    if isinstance(stream, int):
        return stream, None, None
    return stream.id, stream.workspace_id, stream.data_source_name


def _name(stream: _Stream) -> str:
    return str(stream[0])
