"""A cluster of dask.distributed in processes of its own: workers that may be killed, and come back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncconn

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS, THREADS = 3, 4

_PROGRAM = """
import sys
import dask
from distributed import LocalCluster

if __name__ == "__main__":
    # A worker that starts slowly on a busy machine is not given up.
    settings = {"distributed.deploy.lost-worker-timeout": "1h"}
    with dask.config.set(settings):
        workers, threads = map(int, sys.argv[1:])
        with LocalCluster(n_workers=workers, threads_per_worker=threads, dashboard_address=None) as cluster:
            print(cluster.scheduler_address, flush=True)
            sys.stdin.read()
"""


def environment() -> dict[str, str]:
    """For processes that import the package, and what tests have beside them."""
    root = Path(asyncconn.__file__).parents[1]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (root, root / "tests")))}


@contextmanager
def cluster(folder: Path, **settings: str) -> Iterator[str]:
    """The address of its scheduler. Everything that it has started ends with it.

    ``settings`` are variables that its workers have.
    """
    program = folder / "cluster.py"
    program.write_text(_PROGRAM)
    log = folder / "cluster.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, str(program), str(WORKERS), str(THREADS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**environment(), **settings, "DASK_TEMPORARY_DIRECTORY": str(folder)},
            text=True,
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, log.read_text()
        yield address
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


async def pids(client: Any) -> list[int]:
    """Those of the workers that are there."""
    return list((await client.run(os.getpid, on_error="ignore")).values())
