"""``make demo-cluster``: thousands of partitions over a local cluster, under one cap, while workers are killed."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn import Datorama, Hub, JsonLines, Progress, collect
from asyncconn.cli.demo.part import Part, verdict
from asyncconn.cli.output import console, progress, remark, stderr
from asyncconn.cli.running import advancing
from asyncconn.core.extras import extra
from asyncconn.datorama import DatoramaLimits
from asyncconn.errors import ConfigError
from asyncconn.sandbox import DatoramaWorld, Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from rich.text import Text

__all__ = ["demo_cluster"]

_JOBS = 2  # of each stream
_FIRST = 7_700_101  # the sandbox counts its streams from here
_WORKERS, _THREADS, _KILLS = 3, 4, 2
_HELD = 72  # seconds for which a server that has just been started grants nothing of a limit of a minute
_A_DAY = 10_000_000  # calls, so that the cap of a minute is the one that counts


@dataclass
class _Report(Part):
    partitions: int = 0
    cap: int = 0
    killed: int = 0
    rows: int = 0
    done: int = 0
    twice: int = 0
    calls: int = 0
    refused: int = 0


def demo_cluster(
    partitions: Annotated[int, typer.Option("--partitions", metavar="N", help="Data streams to be read.")] = 20_000,
    cap: Annotated[
        int, typer.Option("--cap", metavar="N", help="Calls that the platform allows in a minute.")
    ] = 12_000,
) -> None:
    """Read the jobs of many data streams of an embedded Datorama over a local cluster, and kill two of its workers.

    Starts a Redis server, which keeps the cap for all workers, and the cluster. Needs no account and no network. Ends
    with 1 if a row is missing, is there twice, or the platform had to refuse a call.
    """
    report = _Report(partitions=partitions, cap=cap)
    remark(
        f"{partitions:,} streams are to be read by {_WORKERS} workers, under one cap of {cap:,} calls a minute, and "
        f"{_KILLS} of the workers are killed meanwhile"
    )
    remark(
        f"nothing is granted for the first {_HELD} s: a Redis server that has just been started does not know what was "
        f"granted before; from then on the cap alone takes {(partitions - 1) // cap} min"
    )
    with tempfile.TemporaryDirectory(prefix="asyncconn-") as folder, report.at_work():
        asyncio.run(_run(report, Path(folder)))
    for line in _lines(report):
        console().print(line)
    raise typer.Exit(0 if report.ok else 1)


async def _run(report: _Report, folder: Path) -> None:
    world = DatoramaWorld(
        workspaces=1,
        streams=report.partitions,
        jobs=_JOBS,
        file_every=0,
        per_day=_A_DAY,
        platform_per_minute=report.cap,
    )
    with _redis() as url:
        async with Sandbox(world) as sandbox:
            os.environ.update(sandbox.env, ASYNCCONN_REDIS_URL=url)  # where the workers look, who have it from here
            async with _cluster(folder) as client:
                with progress(stderr()) as bar:
                    await _collect(report, client, JsonLines(folder / "jobs"), advancing(bar, "streams"))
            report.calls, report.refused = world.counters.platform, world.refused
    report.judge(
        (report.done != report.partitions, "not every stream was read"),
        (report.rows != report.partitions * _JOBS, "jobs are missing"),
        (report.twice, "jobs are there twice"),
        (report.refused, "calls were refused"),
    )


async def _collect(report: _Report, client: Any, into: JsonLines, show: Callable[[Progress], None]) -> None:
    limits = DatoramaLimits(calls_per_minute=report.cap, calls_per_day=_A_DAY)

    async def jobs_of(hub: Hub, stream_id: int) -> AsyncIterator[dict[str, Any]]:
        async for job in hub.connector(Datorama, limits=limits).jobs.list(stream_id):
            yield job.raw

    def hub() -> Hub:
        from asyncconn.integrations.redis import RedisRates

        return Hub(shared_rates=RedisRates.from_env(timeout=5.0))

    streams = range(_FIRST, _FIRST + report.partitions)
    killing = _Killing(client, report)

    def advanced(now: Progress) -> None:
        show(now)
        killing.look(now)

    done = await collect(streams, jobs_of, into=into, client=client, hub=hub, on_progress=advanced)
    report.done = done.done
    ids = [row["id"] async for row in into.rows()]
    report.rows, report.twice = len(set(ids)), len(ids) - len(set(ids))


class _Killing:
    """A worker dies after each third of the partitions."""

    def __init__(self, client: Any, report: _Report) -> None:
        self._client = client
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self, now: Progress) -> None:
        begun = len(self._tasks)
        if begun < _KILLS and now.done * (_KILLS + 1) >= self._report.partitions * (begun + 1):
            self._tasks.add(asyncio.create_task(self._kill(), name="asyncconn:demo:kill"))

    async def _kill(self) -> None:
        there = await self._client.run(os.getpid, on_error="ignore")
        with suppress(ProcessLookupError):
            os.kill(random.choice(list(there.values())), signal.SIGKILL)  # noqa: S311 - whichever it hits
            self._report.killed += 1
            remark(f"worker {self._report.killed} of {_KILLS} was killed")


@contextmanager
def _redis() -> Iterator[str]:
    """The address of a server of our own, with nothing on disk."""
    program = shutil.which("redis-server")
    if program is None:
        raise ConfigError("redis-server is not installed: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    where = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", "/"]
    with subprocess.Popen([program, *where], stdout=subprocess.DEVNULL) as server:  # noqa: S603 - as it was found above
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


@asynccontextmanager
async def _cluster(folder: Path) -> AsyncIterator[Any]:
    """A client of a local cluster, whose workers are processes, and are started anew when they die."""
    distributed, dask = extra("distributed", "dask"), extra("dask")
    # A worker that starts slowly on a busy machine is not given up.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1h", "temporary-directory": str(folder)}):
        options = {"n_workers": _WORKERS, "threads_per_worker": _THREADS, "dashboard_address": None}
        async with (
            distributed.LocalCluster(**options, silence_logs=50, asynchronous=True) as cluster,
            distributed.Client(cluster, asynchronous=True, set_as_default=False) as client,
        ):
            yield client


def _lines(report: _Report) -> Iterator[Text | str]:
    yield f"{report.partitions:,} streams over {_WORKERS} workers, of which {report.killed} were killed"
    yield f"{report.calls:,} calls under one cap of {report.cap:,} a minute, {report.refused} of them refused"
    yield f"{report.rows:,} jobs arrived, {report.twice} of them twice, in {report.seconds:.0f} s"
    yield verdict(report.ok, "; ".join(report.wrong) or "every job of every stream is there, once")


if __name__ == "__main__":
    typer.run(demo_cluster)
