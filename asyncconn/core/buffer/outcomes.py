"""The books of a buffer: what became of its records, of whole batches and of single items, and who is told."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.core.buffer.accounts import LastLoss
from asyncconn.core.buffer.receipts import BatchStats, Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncconn.core.buffer.accounts import Accounts
    from asyncconn.core.buffer.batch import Batch
    from asyncconn.core.buffer.receipts import Receipt
    from asyncconn.core.clock import Clock
    from asyncconn.core.events import Events
    from asyncconn.errors import DeliveryFailed

__all__ = ["Books"]

T = TypeVar("T")


class Books(Generic[T]):
    """Counts of records in batches that are no longer open. Whoever settles a batch here settles its receipts too.

    ``measure`` gives the bytes of some items. No ``places`` are all of a batch, an empty list of them is nothing.
    """

    def __init__(
        self, accounts: Accounts[T], events: Events, measure: Callable[[Sequence[T]], int], clock: Clock
    ) -> None:
        self._accounts = accounts
        self._events = events
        self._measure = measure
        self._losses = LastLoss(clock)
        #: Called when a batch's fate is known, before the events are.
        self.on_settled: Callable[[], object] | None = None
        self.pending = self.pending_bytes = 0
        self.max_age_at_send = 0.0
        self._accepted = self._delivered = self._rejected = self._failed = self._unknown = 0
        self._batches_delivered = self._batches_failed = self._bytes_delivered = 0

    def enter(self, batch: Batch[T]) -> None:
        """A batch that takes no more."""
        self._accepted += len(batch.items)
        self.pending += len(batch.items)
        self.pending_bytes += batch.size

    def delivered(self, batch: Batch[T], seconds: float, result: Any, places: Sequence[int] | None = None) -> None:
        """What is at ``places``, or all of it, has arrived."""
        if places == []:
            return
        items, size = self._taken_out(batch, places)
        self._losses.over()
        delivery = Delivery(len(items), size, seconds, result)
        self._delivered += delivery.records
        self._batches_delivered += 1
        self._bytes_delivered += size
        self._settle(batch, delivery, places)
        self._events.emit("flush", delivery)

    def failed(
        self, batch: Batch[T], failure: Callable[[Sequence[T]], DeliveryFailed], places: Sequence[int] | None = None
    ) -> None:
        """What is at ``places``, or all of it, is lost, or back in the spool: ``failure`` makes the error of it."""
        if places == []:
            return
        items, _ = self._taken_out(batch, places)
        error = failure(items)
        if error.reasons:
            self._rejected += len(items)
        elif error.spooled:
            self._accepted -= len(items)  # they are the spool's again
        elif error.maybe_delivered:
            self._unknown += len(items)
        else:
            self._failed += len(items)
        self._batches_failed += not error.reasons
        self._losses.enter(error)
        self._accounts.enter(error)
        receipts = self._settle(batch, error, places)
        if self._events.emit("error", error):
            self._accounts.tell(error)
            for receipt in receipts:
                receipt.heard(error)
        elif all(receipt.awaited for receipt in receipts):
            self._accounts.tell(error)
        elif not all(receipt.awaited or receipt.watched for receipt in receipts):
            self._accounts.unheard(error)

    def settle_marked(
        self, batch: Batch[T], tries: int, *, too_late: bool
    ) -> tuple[dict[float, list[int]], list[int] | None]:
        """Settle what is marked and not to be sent again.

        Places that are, by the seconds until then, and those that are not marked; None: nothing is.
        """
        marks = batch.marks
        if not marks:
            return {}, None
        again: dict[float, list[int]] = {}
        spent: list[int] = []
        for place, after in sorted(marks.again.items()):
            if too_late or batch.tries(place) + 1 >= tries:
                spent.append(place)
            else:
                again.setdefault(after, []).append(place)
        if marks.rejected:
            places = sorted(marks.rejected)
            reasons = [marks.rejected[place] for place in places]
            self.failed(batch, partial(self._accounts.refused, reasons=reasons), places)
        if spent and too_late:
            self.failed(batch, partial(self._accounts.failure, cause=None, sent=False), spent)
        elif spent:
            self.failed(batch, partial(self._accounts.spent, tries=tries), spent)
        return again, [at for at in range(len(batch.items)) if at not in marks.again and at not in marks.rejected]

    def _taken_out(self, batch: Batch[T], places: Sequence[int] | None) -> tuple[Sequence[T], int]:
        """Some items, or all, and their bytes: they are pending no more."""
        if places is None:
            items, size = batch.items, batch.size
        else:
            items = [batch.items[place] for place in places]
            size = self._measure(items)
        self.pending -= len(items)
        self.pending_bytes -= size
        return items, size

    def _settle(
        self, batch: Batch[T], outcome: Delivery | DeliveryFailed, places: Sequence[int] | None
    ) -> Sequence[Receipt]:
        """Settle the receipts, all of it or what is at ``places`` of it; those that it was about."""
        if places is None and batch.returned is None:
            batch.receipt.settle(outcome, self._accounts)
            receipts: list[Receipt] = [batch.receipt]
        else:
            shares: dict[Receipt, dict[int, int]] = {}
            for index, place in enumerate(range(len(batch.items)) if places is None else places):
                receipt, origin = batch.origin(place)
                shares.setdefault(receipt, {})[origin] = index
            for receipt, share in shares.items():
                receipt.settle_some(outcome, share, self._accounts)
            receipts = [*shares]
        if self.on_settled is not None:
            self.on_settled()
        return receipts

    def stats(self, open_items: int, open_bytes: int, *, in_flight: int, oldest_age: float) -> BatchStats:
        """The totals, with what the open batch holds."""
        return BatchStats(
            accepted=self._accepted + open_items,
            delivered=self._delivered,
            rejected=self._rejected,
            failed=self._failed,
            unknown=self._unknown,
            pending=self.pending + open_items,
            pending_bytes=self.pending_bytes + open_bytes,
            in_flight=in_flight,
            batches_delivered=self._batches_delivered,
            batches_failed=self._batches_failed,
            bytes_delivered=self._bytes_delivered,
            oldest_age=oldest_age,
            max_age_at_send=self.max_age_at_send,
            lost_at=self._losses.at,
        )
