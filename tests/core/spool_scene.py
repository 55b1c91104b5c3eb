"""A spool opened, read and looked into, for the tests of the spool and of the buffer over it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncconn
from asyncconn.core.buffer.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


HOME = str(Path(asyncconn.__file__).parents[1])


@asynccontextmanager
async def opened(path: Path, owner: str = "", **options: Any) -> AsyncIterator[Spool]:
    spool = Spool(path, **{"fsync": False, **options})
    await spool.open(owner)
    try:
        yield spool
    finally:
        await spool.aclose()


async def items(spool: Spool) -> list[bytes]:
    """Everything in it, read in small pieces."""
    found: list[tuple[int, bytes]] = []
    while some := await spool.read(found[-1][0] if found else 0, max_bytes=1):
        found += some
    assert len(found) == spool.stats.records
    return [item for _, item in found]


async def sql(spool: Spool, statement: str) -> Any:
    """Run it on the spool's own connection, where it is at home."""
    connection = spool._file._connection
    assert connection is not None
    return await spool._run(lambda: connection.execute(statement).fetchall())


def program(code: str, *args: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, args)]


DIE = """
import asyncio, os, sys
from asyncconn.core.buffer.spool import Spool
async def main():
    spool = Spool(sys.argv[1], fsync=False)
    await spool.open()
    for n in range(12):
        await spool.append([b"%d-%d" % (n, m) * 200 for m in range(1 + n % 5)])
        print(os.stat(sys.argv[1] + "-wal").st_size, flush=True)
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


def killed(path: Path) -> list[int]:
    """A process that appends twelve times, and is killed: how long the log was after each."""
    done = subprocess.run(program(DIE, path), env={**os.environ, "PYTHONPATH": HOME}, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    return [int(line) for line in done.stdout.split()]
