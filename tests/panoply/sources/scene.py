"""What tests of data sources share: a writer whose deliveries the test decides, and a source that is scripted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from asyncconn.core.buffer.receipts import Delivery, FlushReport, Receipt
from asyncconn.core.clock import Clock
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import DeliveryFailed
from asyncconn.hub import Hub
from asyncconn.panoply import DataSource, Saved, WriteReport
from asyncconn.panoply.encoding import encode_record

QUICK_READS = RetryPolicy(attempts=4, initial=0.001, maximum=0.002, deadline=3600.0)


@dataclass
class ManualWriter:
    """Takes rows; each ``write_many`` is a batch that arrives when the test says so, or at the flush."""

    deliver_on_flush: bool = True
    clock: Clock | None = None
    rows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    batches: list[tuple[Receipt, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hub = None if self.clock is None else Hub(clock=self.clock)

    async def write_many(self, table: str, records: Iterable[Mapping[Any, Any]]) -> WriteReport:
        records = list(records)
        for index, record in enumerate(records):
            try:
                encode_record(table, record)
            except ValueError as error:
                error.index = index  # type: ignore[attr-defined] # an InvalidRecord, which has one
                raise
            self.rows.append((table, dict(record)))
        receipt = Receipt()
        self.batches.append((receipt, len(records)))
        return WriteReport(len(records), (receipt,))

    def deliver(self, *numbers: int) -> None:
        for number in numbers or range(len(self.batches)):
            receipt, rows = self.batches[number]
            if not receipt.done:
                receipt.settle(Delivery(rows, rows, 0.0))

    def fail(self, number: int) -> None:
        receipt, rows = self.batches[number]
        receipt.settle(DeliveryFailed("the server is away", records=[{}] * rows, maybe_delivered=False))

    async def flush(self, timeout: float | None = None) -> FlushReport:
        if self.deliver_on_flush:
            self.deliver()
        return FlushReport()


Step = Any  # rows to return, an error to raise, or a function of the source that does either


class Scripted(DataSource):
    """Plays ``source["script"]``: each read takes its next step; None follows the last."""

    def __init__(self, source: dict[str, Any], options: Any = None) -> None:
        super().__init__(source, options)
        self.steps: list[Step] = list(source["script"])
        self.closed = 0
        self.hints: list[int | None] = []
        self.threads = {threading.current_thread()}

    def step(self, n: int | None) -> Any:
        self.hints.append(n)
        self.threads.add(threading.current_thread())
        if not self.steps:
            return None
        step = self.steps.pop(0)
        if isinstance(step, Callable):  # type: ignore[arg-type] # a protocol class, which isinstance takes
            step = step(self)
        if isinstance(step, BaseException):
            raise step
        return step

    def read(self, n: int | None = None) -> Any:
        return self.step(n)

    def close(self) -> None:
        self.threads.add(threading.current_thread())
        self.closed += 1


class AsyncScripted(Scripted):
    """The same on the loop; a step may be a coroutine function."""

    async def read(self, n: int | None = None) -> Any:
        result = self.step(n)
        return await result if hasattr(result, "__await__") else result


KINDS = [Scripted, AsyncScripted]
both = pytest.mark.parametrize("kind", KINDS, ids=["plain", "async"])


class MemoryStore:
    """Keeps every version that was saved."""

    def __init__(self, saved: Saved | None = None) -> None:
        self.versions = [saved or Saved()]

    async def load(self) -> Saved:
        return self.versions[-1]

    async def save(self, saved: Saved) -> None:
        await asyncio.sleep(0)
        self.versions.append(saved)

    @property
    def states(self) -> list[dict[str, Any]]:
        """All that were kept; what a run that has brought everything forgets in the end is not among them."""
        return [version.state for version in self.versions[1:] if version.state]


def params(*script: Any, **more: Any) -> dict[str, Any]:
    return {"type": "t", "script": script, **more}


async def for_ever(_: Any = None) -> Any:
    await asyncio.sleep(10**9)
