"""A buffer over a spool, and what is in the file, for the tests of both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.buffer.spooled import SpooledBuffer

from .batching_scene import Platform

if TYPE_CHECKING:
    from asyncconn.core.buffer.memory import BatchStats
    from asyncconn.core.clock import VirtualClock


def make(platform: Platform, path: Path | Spool, clock: VirtualClock | None = None, **policy: Any) -> SpooledBuffer:
    spool = path if isinstance(path, Spool) else Spool(path, fsync=False)
    given = {"max_age": 60.0, **policy}
    return SpooledBuffer(platform.send, spool, owner="acme", policy=BatchPolicy(**given), clock=clock)


def balanced(buffer: SpooledBuffer) -> BatchStats:
    stats = buffer.stats
    assert stats.accepted == stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.pending, stats
    return stats


async def stored(path: Path) -> list[bytes]:
    spool = Spool(path)
    await spool.open()
    try:
        return [item for _, item in await spool.read(max_bytes=1 << 30)]
    finally:
        await spool.aclose()


async def left_by_a_crash(path: Path, items: list[bytes]) -> None:
    """A spool as a killed program leaves it."""
    spool = Spool(path, fsync=False)
    await spool.open("acme")
    for item in items:
        await spool.append([item])
    await spool.aclose()
