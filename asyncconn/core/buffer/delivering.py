"""Rows given to a buffer in one call, which reports what became of these and no others."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from asyncconn.core.buffer.accounts import Newest
from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.core.closing import each
from asyncconn.errors import DeliveryFailed, InvalidRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence

    from asyncconn.core.buffer.protocol import Buffer
    from asyncconn.core.buffer.receipts import Listener, Receipt
    from asyncconn.core.clock import Clock

__all__ = ["Taken", "delivered"]

T = TypeVar("T")

_MANY = 64  # receipts that are looked at again and again, before those that are done are counted


async def delivered(
    rows: Iterable[T] | AsyncIterable[T],
    put: Callable[[T], Awaitable[Receipt]],
    buffer: Buffer[bytes],
    clock: Clock,
    timeout: float | None = None,
) -> FlushReport:
    """``put`` each row into ``buffer``, flush it, and report what became of them, ``timeout`` seconds after the last.

    A row that cannot be taken raises, with its ``index``; those before it are accepted, and on their way.
    """
    started = clock.now()
    taken = Taken(buffer.accounts)
    reported = False
    try:
        async with aclosing(each(rows)) as found:
            async for row in found:
                taken.add(await put(row))
        await buffer.flush(timeout)
        reported = True
    except InvalidRecord as error:
        if error.index is None:
            error.index = taken.count
        raise
    finally:
        taken.end(reported=reported)
    return taken.report(clock.now() - started)


class Taken:
    """Records of one caller, among others in the batches that they went into."""

    def __init__(self, accounts: Listener) -> None:
        self._accounts = accounts
        self.count = 0
        self._open: dict[Receipt, list[range]] = {}  # by receipt, the places of ours
        self._delivered = self._rejected = self._failed = self._unknown = self._pending = self._spooled = 0
        self._losses = Newest()
        self._refusals = Newest()
        # Of those: which records they are of which error. They are looked up when somebody looks at the report.
        self._shares: WeakKeyDictionary[DeliveryFailed, tuple[DeliveryFailed, Sequence[int]]] = WeakKeyDictionary()

    def add(self, receipt: Receipt) -> None:
        """One record was taken just now, and this is its receipt."""
        self.count += 1
        place = receipt.taken - 1
        places = self._open.get(receipt)
        if places is None:
            if len(self._open) >= _MANY:
                self._count_done()
            receipt.watch()
            self._open[receipt] = [range(place, place + 1)]
        elif places[-1].stop == place:
            places[-1] = range(places[-1].start, place + 1)
        else:
            places.append(range(place, place + 1))

    def end(self, *, reported: bool) -> None:
        """No more will be taken; whether there will be a report of them, from which somebody hears of the failures."""
        for receipt in self._open:
            receipt.unwatch(reported=reported)
        if not reported:
            for share in (*self._losses, *self._refusals):
                error, places = self._shares.get(share, (share, None))
                if not error.told:
                    self._accounts.unheard(error, places)

    def report(self, seconds: float) -> FlushReport:
        """What is known now; after :meth:`end`."""
        for receipt, places in self._open.items():
            self._count_in(receipt, places)
        self._open.clear()
        failures = (*self._losses, *self._refusals)
        return FlushReport(
            delivered=self._delivered,
            rejected=self._rejected,
            failed=self._failed,
            unknown=self._unknown,
            pending=self._pending,
            seconds=seconds,
            failures=failures,
            spooled=self._spooled,
            told=sum(len(one.records) for one in failures if one.told and not one.spooled),
            tell=self._tell,
        )

    def _tell(self, share: DeliveryFailed) -> None:
        error, places = self._shares.get(share, (share, None))
        self._accounts.tell(error, places)
        share.told = True

    def _count_done(self) -> None:
        for receipt in [receipt for receipt in self._open if receipt.done]:
            receipt.unwatch(reported=True)
            self._count_in(receipt, self._open.pop(receipt))

    def _count_in(self, receipt: Receipt, places: Sequence[range]) -> None:
        mine = [place for some in places for place in some]
        waiting = sum(map(receipt.is_open, mine))
        self._pending += waiting
        self._delivered += len(mine) - waiting
        for loss in receipt.losses:
            ours = mine if loss.places is None else [loss.places[place] for place in mine if place in loss.places]
            if ours:
                share = _share(loss.error, ours)
                if share is not loss.error:
                    self._shares[share] = (loss.error, ours)
                self._lose(share)

    def _lose(self, error: DeliveryFailed) -> None:
        count = len(error.records)
        self._delivered -= count
        if error.reasons:
            self._rejected += count
            self._refusals.append(error)
            return
        self._losses.append(error)
        if error.spooled:
            self._pending += count
            self._spooled += count
        elif error.maybe_delivered:
            self._unknown += count
        else:
            self._failed += count


def _share(error: DeliveryFailed, places: Sequence[int]) -> DeliveryFailed:
    """The error of some of its records."""
    if len(places) == len(error.records):
        return error
    share = DeliveryFailed(
        error.message,
        records=[error.records[place] for place in places],
        maybe_delivered=error.maybe_delivered,
        spooled=error.spooled,
        reasons=[error.reasons[place] for place in places] if error.reasons else (),
    )
    share.told = error.told
    share.__cause__ = error.__cause__
    return share
