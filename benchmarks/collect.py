"""``python -m benchmarks.collect cluster | here [COUNT]``: what partitions cost beside their work, each.

``cluster``: CPU and memory of the scheduler and the client, which are one process here; the workers are others.
``here``: CPU of one process that writes each partition into a file of its own.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncconn import Hub, JsonLines, collect
from benchmarks.measure import report

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence

    from asyncconn import CollectReport
    from asyncconn.collecting.sinks import PartitionSink, Run

COUNTS = {"cluster": 200_000, "here": 5_000}


class Nowhere:
    """A sink that costs nothing."""

    by_batch = False

    @asynccontextmanager
    async def hold(self, run: Run) -> AsyncIterator[set[str]]:
        yield set()

    async def open(self, run: Run, hub: Hub) -> Nowhere:
        return self

    def writing(self, names: Sequence[str]) -> Nowhere:
        return self

    async def found(self, name: str) -> int | None:
        return None

    async def write(self, name: str, rows: AsyncIterable[Mapping[str, Any]]) -> int:
        return len([1 async for _ in rows])

    async def finish(self) -> None:
        """There is nothing to do."""


async def rows(hub: Hub, number: int) -> list[dict[str, Any]]:
    return [{"id": number}]


def _resident() -> float:
    """MB at this moment."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def measured(count: int, into: PartitionSink, client: Any = None) -> CollectReport:
    tasks = 0

    def count_tasks(_: object) -> None:
        nonlocal tasks
        tasks += 1

    gc.collect()
    before, started = _resident(), time.process_time()
    done = await collect(range(count), rows, into=into, client=client, on_progress=count_tasks)
    each = (time.process_time() - started) / count * 1e6
    report({"us_each": each, "grown_mb": _resident() - before, "outcomes": tasks, "seconds": done.seconds})
    return done


async def here(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await measured(count, JsonLines(folder))


async def cluster(count: int) -> None:
    import dask
    from distributed import Client, LocalCluster

    make_cluster: Any = LocalCluster  # neither has types
    make_client: Any = Client
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}):
        options = {"n_workers": 3, "threads_per_worker": 4, "dashboard_address": None, "silence_logs": 50}
        async with (
            make_cluster(**options, asynchronous=True) as workers,
            make_client(workers, asynchronous=True) as client,
        ):
            await collect(range(1_000), rows, into=Nowhere(), client=client)  # what is done once
            await measured(count, Nowhere(), client)


if __name__ == "__main__":
    what = sys.argv[1]
    number = int(sys.argv[2]) if sys.argv[2:] else COUNTS[what]
    asyncio.run({"cluster": cluster, "here": here}[what](number))
