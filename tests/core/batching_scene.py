"""A sender whose every batch can be made to succeed, fail, wait or hang, for the tests of the buffer."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from helpers import balanced

from asyncconn.core.buffer.memory import Batch, BatchBuffer, BatchPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.core.clock import Clock
    from asyncconn.errors import DeliveryFailed


class Platform:
    """What the batches are sent to. Records are ``bytes``; what ``behave`` returns or raises decides their fate."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.error: Exception | None = None
        self.hang = False
        self.batches: list[list[bytes]] = []  # delivered
        self.sizes: list[int] = []  # of every batch that was tried
        self.started: list[float] = []
        self.ages: list[float] = []
        self.tried: list[bytes] = []

    @property
    def records(self) -> list[bytes]:
        return [record for batch in self.batches for record in batch]

    async def send(self, batch: Batch[bytes]) -> int:
        self.started.append(asyncio.get_running_loop().time())
        self.ages.append(batch.age)
        self.sizes.append(batch.size)
        self.tried += batch.items
        error, hang = self.error, self.hang
        if hang:
            await asyncio.Event().wait()
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if error is not None:
            raise error
        self.batches.append(list(batch.items))
        return len(self.batches)


def make_buffer(
    platform: Platform,
    clock: Clock,
    *,
    overhead: int = 0,
    size: Callable[[bytes], int] = len,
    reveal: Callable[[bytes], Any] | None = None,
    **policy: Any,
) -> tuple[BatchBuffer[bytes], list[DeliveryFailed]]:
    """A buffer before ``platform``, and the list of the failures it will report."""
    buffer = BatchBuffer(
        platform.send, size=size, overhead=overhead, policy=BatchPolicy(**policy), reveal=reveal, clock=clock
    )
    failures: list[DeliveryFailed] = []
    buffer.events.on("error", failures.append)
    return buffer, failures


def records(count: int, start: int = 0) -> list[bytes]:
    """Distinct records of four bytes."""
    return [b"%04d" % number for number in range(start, start + count)]


def everything_is_in_one_place(
    accepted: Iterable[bytes], platform: Platform, failures: list[DeliveryFailed], buffer: BatchBuffer[bytes]
) -> None:
    """After a close: each accepted record was delivered once or reported once, and no other record exists."""
    stats = balanced(buffer)
    assert (stats.pending, stats.pending_bytes, stats.in_flight) == (0, 0, 0)
    found = Counter(platform.records)
    found.update(record for failure in failures for record in failure.records)
    assert found == Counter(accepted)
    assert stats.delivered == len(platform.records)


def named(report: FlushReport) -> list[bytes]:
    return sorted(report.undelivered)
