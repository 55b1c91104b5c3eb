"""What a batching buffer hands out: receipts for what was accepted, reports of what became of it, and totals."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, Self

from asyncconn.errors import DeliveryFailed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

__all__ = ["LONGEST_LIST", "BatchStats", "Delivery", "FlushReport", "Receipt", "newest"]

#: Records that the lists of a report hold at most: the newest.
LONGEST_LIST = 10_000


@dataclass(frozen=True, slots=True)
class Delivery:
    """One batch that arrived: ``records``, ``bytes``, ``seconds`` on the way, and ``result``, the sender's answer."""

    records: int
    bytes: int
    seconds: float
    result: Any = None


class Listener(Protocol):
    """Who keeps the accounts of failures, and wants to know whether anybody has heard of them."""

    def tell(self, error: DeliveryFailed) -> None:
        """Somebody has."""
        ...

    def unheard(self, error: DeliveryFailed) -> None:
        """Nobody has after all: those who awaited it were cancelled just then."""
        ...


class Receipt:
    """Stands for one batch; every record in it shares it. Await it to know that the batch has arrived.

    >>> receipt = await panoply.write("events", {"id": 1})
    >>> delivery = await receipt

    Awaiting raises ``DeliveryFailed``, with the records, if the batch could not be delivered. Not awaiting it loses
    nothing: failures are counted, and handed to the ``error`` event or logged.
    """

    __slots__ = ("_accounts", "_awaiting", "_delivery", "_error", "_waiting")

    def __init__(self) -> None:
        self._delivery: Delivery | None = None
        self._error: DeliveryFailed | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._awaiting = 0  # tasks that will hear of a failure
        self._accounts: Listener | None = None

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._delivery is not None or self._error is not None

    @property
    def awaited(self) -> bool:
        """Whether anybody awaits it, who would hear of a failure."""
        return self._awaiting > 0

    @property
    def error(self) -> DeliveryFailed | None:
        """Why it failed; None if it has not. Who asks has been told of it."""
        if self._error is not None and self._accounts is not None:
            self._accounts.tell(self._error)
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

    def settle(self, outcome: Delivery | DeliveryFailed, accounts: Listener | None = None) -> None:
        """For the buffer: the outcome, once. ``accounts`` are told when somebody hears of a failure."""
        if isinstance(outcome, Delivery):
            self._delivery = outcome
        else:
            self._error = outcome
            self._accounts = accounts
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def heard(self) -> None:
        """For the buffer: somebody else has been told of the failure."""
        self._accounts = None

    async def wait(self) -> Delivery:
        """What awaiting the receipt itself does."""
        if not self.done:
            self._awaiting += 1
            try:
                await self.settled()
            except BaseException:
                self._awaiting -= 1
                if not self._awaiting and self._error is not None and self._accounts is not None:
                    self._accounts.unheard(self._error)
                raise
        if self._delivery is None:
            raise self._failure()
        return self._delivery

    def _failure(self) -> Exception:
        """The error, made anew: one that is raised again and again would grow with each who awaits it."""
        error = self.error
        if error is None:
            return RuntimeError("a settled receipt has an outcome")
        anew = DeliveryFailed(
            error.message, records=error.records, maybe_delivered=error.maybe_delivered, spooled=error.spooled
        )
        anew.told = True
        anew.__cause__ = error.__cause__
        return anew

    def __await__(self) -> Generator[Any, None, Delivery]:
        return self.wait().__await__()

    def __repr__(self) -> str:
        state = "pending" if not self.done else "failed" if self._error else "delivered"
        return f"<Receipt {state}>"


@dataclass(frozen=True, slots=True)
class FlushReport:
    """What became of every record that was accepted, since the start.

    ``delivered``, ``failed`` and ``pending`` are counts of records, and together all that were ``accepted``;
    ``seconds`` is the time that the flush or close took. ``failures`` hold the errors with their records: those of the
    newest 10,000. ``told`` counts those of ``failed`` of which an ``error`` handler or an awaited receipt has told.

    After a close nothing is ``pending`` but what a spool holds, to be sent at the next start: what did not get away
    has failed. ``spooled`` counts those of ``pending`` that are in a spool only, not on their way.
    """

    delivered: int = 0
    failed: int = 0
    pending: int = 0
    seconds: float = 0.0
    failures: tuple[DeliveryFailed, ...] = ()
    spooled: int = 0
    told: int = 0

    @property
    def accepted(self) -> int:
        """All records that were taken."""
        return self.delivered + self.failed + self.pending

    @property
    def complete(self) -> bool:
        """Whether every record that was accepted has arrived."""
        return not (self.failed or self.pending)

    @property
    def undelivered(self) -> list[Any]:
        """The records that failed, in order: the newest 10,000. What a spool still holds is not among them."""
        return newest([failure.records for failure in self.failures if not failure.spooled])

    @property
    def truncated(self) -> bool:
        """Whether more records failed than ``undelivered`` holds."""
        return self.failed > min(LONGEST_LIST, sum(len(one.records) for one in self.failures if not one.spooled))

    @property
    def untold(self) -> int:
        """Records that failed, and that no handler, receipt or error has told of."""
        told = sum(len(one.records) for one in self.failures if one.told and not one.spooled)
        return max(0, self.failed - max(self.told, told))

    @classmethod
    def joined(cls, reports: Iterable[Self]) -> Self:
        """One report of several: of a connector with more than one buffer, say."""
        all_of = list(reports)
        failures: list[DeliveryFailed] = []
        room = LONGEST_LIST
        for failure in reversed([failure for report in all_of for failure in report.failures]):
            if room <= 0:
                break
            failures.append(failure)
            room -= len(failure.records)
        return cls(
            delivered=sum(report.delivered for report in all_of),
            failed=sum(report.failed for report in all_of),
            pending=sum(report.pending for report in all_of),
            seconds=max((report.seconds for report in all_of), default=0.0),
            failures=tuple(reversed(failures)),
            spooled=sum(report.spooled for report in all_of),
            told=sum(report.failed - report.untold for report in all_of),
        )


def newest(lists: Iterable[Iterable[Any]]) -> list[Any]:
    """The last records of several lists, as many as a report may hold."""
    return list(chain.from_iterable(lists))[-LONGEST_LIST:]


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
