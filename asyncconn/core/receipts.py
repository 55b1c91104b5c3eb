"""What a batching buffer hands out: receipts for what was accepted, reports of what became of it, and totals."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

    from asyncconn.errors import DeliveryFailed

__all__ = ["BatchStats", "Delivery", "FlushReport", "Receipt"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One batch that arrived: ``records``, ``bytes``, ``seconds`` on the way, and ``result``, the sender's answer."""

    records: int
    bytes: int
    seconds: float
    result: Any = None


class Receipt:
    """Stands for one batch; every record in it shares it. Await it to know that the batch has arrived.

    >>> receipt = await panoply.write("events", {"id": 1})
    >>> delivery = await receipt

    Awaiting raises ``DeliveryFailed``, with the records, if the batch could not be delivered. Not awaiting it loses
    nothing: failures are counted and handed to the ``error`` event too.
    """

    __slots__ = ("_delivery", "_error", "_waiting")

    def __init__(self) -> None:
        self._delivery: Delivery | None = None
        self._error: DeliveryFailed | None = None
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._delivery is not None or self._error is not None

    @property
    def error(self) -> DeliveryFailed | None:
        """Why it failed; None if it has not."""
        return self._error

    @property
    def delivery(self) -> Delivery | None:
        """How it arrived; None if it has not."""
        return self._delivery

    def settled(self) -> asyncio.Future[None]:
        """A new future that is done when the outcome is known; cancelling it disturbs nobody else."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.done:
            future.set_result(None)
        else:
            self._waiting.append(future)
        return future

    def settle(self, outcome: Delivery | DeliveryFailed) -> None:
        """For the buffer: the outcome, once."""
        if isinstance(outcome, Delivery):
            self._delivery = outcome
        else:
            self._error = outcome
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def wait(self) -> Delivery:
        """What awaiting the receipt itself does."""
        await self.settled()
        if self._delivery is None:
            raise self._error or RuntimeError("a settled receipt has an outcome")
        return self._delivery

    def __await__(self) -> Generator[Any, None, Delivery]:
        return self.wait().__await__()

    def __repr__(self) -> str:
        state = "pending" if not self.done else "failed" if self._error else "delivered"
        return f"<Receipt {state}>"


@dataclass(frozen=True, slots=True)
class FlushReport:
    """What became of the records that were pending when a flush or close began.

    ``delivered``, ``failed`` and ``pending`` are counts of records, ``seconds`` the time it took; ``failures`` hold the
    errors with their records. ``pending`` is never more than 0 after a close: what did not get away has failed.
    ``spooled`` counts what waits in a spool and is not pending: failed and to be sent again, or not yet taken up.
    """

    delivered: int = 0
    failed: int = 0
    pending: int = 0
    seconds: float = 0.0
    failures: tuple[DeliveryFailed, ...] = ()
    spooled: int = 0

    @property
    def complete(self) -> bool:
        """Whether every record arrived."""
        return not (self.failed or self.pending or self.spooled)

    @property
    def undelivered(self) -> list[Any]:
        """Every record that is known not to have arrived, in order."""
        return list(chain.from_iterable(failure.records for failure in self.failures))


@dataclass(frozen=True, slots=True)
class BatchStats:
    """A buffer's totals at one moment; ``accepted == delivered + failed + pending`` always holds (records).

    ``oldest_age`` is the age in seconds of the oldest record not yet on its way, ``max_age_at_send`` the greatest
    age any record had when its batch left.
    """

    accepted: int
    delivered: int
    failed: int
    pending: int
    pending_bytes: int
    in_flight: int
    batches_delivered: int
    batches_failed: int
    bytes_delivered: int
    oldest_age: float
    max_age_at_send: float
