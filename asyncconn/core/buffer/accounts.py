"""The accounts of what failed: which records, for which reason, and whether anybody has been told."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from asyncconn.core.buffer.receipts import LONGEST_LIST, FlushReport
from asyncconn.core.buffer.unheard import caller, warn
from asyncconn.errors import DeliveryFailed, outcome_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from asyncconn.core.buffer.receipts import BatchStats
    from asyncconn.core.clock import Clock

__all__ = ["Accounts", "LastLoss", "Newest"]

logger = logging.getLogger("asyncconn.delivery")

T = TypeVar("T")

_LONGEST_REASON = 200  # characters of it in a message


class Accounts(Generic[T]):
    """What failed in one buffer since its start: counts of all, and the newest records with their errors.

    A batch that fails is told by its ``error`` handlers or by its receipt; where there are neither, by a line in the
    log: at ERROR, or at WARNING while a spool still holds the records. ``reveal`` turns an item back into what the user
    knows, ``describe`` says of revealed records what they are (``"records of table 't'"``).
    """

    def __init__(
        self,
        name: str,
        *,
        reveal: Callable[[T], Any] | None = None,
        describe: Callable[[Sequence[Any]], str] | None = None,
        spooled: bool = False,
    ) -> None:
        self._name = name
        self._reveal = reveal
        self._describe = describe
        self._spooled = spooled
        self._failed = Newest()
        self._rejected = Newest()
        #: Records of all that are lost for good of which somebody has been told.
        self.told = 0
        # Of errors that are told in part: the places of those records.
        self._partly: WeakKeyDictionary[DeliveryFailed, set[int]] = WeakKeyDictionary()
        self._where = caller()
        self._warned = False

    def failure(
        self, items: Sequence[T], cause: Exception | None, *, sent: bool, closing: bool = True
    ) -> DeliveryFailed:
        """The error of ``items``. Without a ``cause`` they were cancelled; ``sent``: they were on their way then."""
        records = [self._revealed(item) for item in items]
        if cause is not None:
            why = f"{type(cause).__name__}: {cause}"
        else:
            why = "the time to close was over" if closing else "the sending was cancelled"
        error = DeliveryFailed(
            f"{self._name}: {len(records)} {self._described(records)} were not delivered: {why}",
            records=records,
            maybe_delivered=sent if cause is None else outcome_unknown(cause),
            spooled=self._spooled,
        )
        error.__cause__ = cause
        return error

    def refused(self, items: Sequence[T], reasons: Sequence[Any]) -> DeliveryFailed:
        """The error of items that the platform refused one by one."""
        records = [self._revealed(item) for item in items]
        why = f"{reasons[0]!s:.{_LONGEST_REASON}}" + (f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else "")
        return DeliveryFailed(
            f"{self._name}: {len(records)} {self._described(records)} were rejected: {why}",
            records=records,
            maybe_delivered=False,
            reasons=reasons,
        )

    def spent(self, items: Sequence[T], tries: int) -> DeliveryFailed:
        """The error of items that the platform was to take later, once too often."""
        records = [self._revealed(item) for item in items]
        return DeliveryFailed(
            f"{self._name}: {len(records)} {self._described(records)} were not taken, {tries} times",
            records=records,
            maybe_delivered=False,
            spooled=self._spooled,
        )

    def _revealed(self, item: T) -> Any:
        try:
            return self._reveal(item) if self._reveal else item
        except Exception:  # noqa: BLE001 - what cannot be shown nicely must still be accounted for
            return item

    def _described(self, records: Sequence[Any]) -> str:
        try:
            return self._describe(records) if self._describe else "records"
        except Exception:  # noqa: BLE001 - as above
            return "records"

    # -- who was told --------------------------------------------------------------------------------------------------

    def enter(self, error: DeliveryFailed) -> None:
        """A batch has failed. Keeps what the newest records need, and no more."""
        (self._rejected if error.reasons else self._failed).append(error)

    def tell(self, error: DeliveryFailed, places: Collection[int] | None = None) -> None:
        """Somebody has been told of it: of its records at ``places``, or of all."""
        if not error.told:
            self._known(error, self._heard(error).union(range(len(error.records)) if places is None else places))

    def unheard(self, error: DeliveryFailed, places: Collection[int] | None = None) -> None:
        """Nobody has been told: those who awaited the receipt, if any, were cancelled just then."""
        if heard := self._heard(error):
            self._known(error, set() if places is None else heard.difference(places))
        if not error.spooled:
            logger.error("%s; an error handler, on('error', ...), is given them", error.message)
        elif error.__cause__ is not None:  # of those that a close cut short, the spool tells in one line
            logger.warning("%s; they stay in the spool", error.message)

    def _heard(self, error: DeliveryFailed) -> set[int]:
        return set(range(len(error.records))) if error.told else self._partly.get(error, set())

    def _known(self, error: DeliveryFailed, places: set[int]) -> None:
        if not error.spooled:
            self.told += len(places) - len(self._heard(error))
        error.told = len(places) == len(error.records)
        self._partly.pop(error, None)
        if places and not error.told:
            self._partly[error] = places

    def forget(self, over: Callable[[DeliveryFailed], bool]) -> None:
        """Drop failures that are none any more: their records go out again."""
        self._failed.forget(over)

    def dropped(self, records: int) -> None:
        """Nobody will close the buffer any more, and it holds ``records``."""
        if records and not self._warned:
            self._warned = True
            fate = "stay in the spool until the next start" if self._spooled else "were not delivered"
            warn(f"{self._name} was never closed: {records} records that it had accepted {fate}", self._where)

    def report(self, stats: BatchStats, seconds: float, spooled: int = 0) -> FlushReport:
        """What became of every record that was accepted."""
        return FlushReport(
            delivered=stats.delivered,
            rejected=stats.rejected,
            failed=stats.failed,
            unknown=stats.unknown,
            pending=stats.pending,
            seconds=seconds,
            failures=(*self._failed, *self._rejected),
            spooled=spooled,
            told=self.told,
        )


class Newest:
    """Errors of one kind: the newest, as many as a report needs for its list."""

    def __init__(self) -> None:
        self._errors: deque[DeliveryFailed] = deque()
        self._records = 0

    def __iter__(self) -> Iterator[DeliveryFailed]:
        return iter(self._errors)

    def append(self, error: DeliveryFailed) -> None:
        """One more; the oldest go that are not needed any more."""
        self._errors.append(error)
        self._records += len(error.records)
        while self._records - len(self._errors[0].records) >= LONGEST_LIST:
            self._records -= len(self._errors.popleft().records)

    def forget(self, over: Callable[[DeliveryFailed], bool]) -> None:
        """Drop some."""
        self._errors = deque(error for error in self._errors if not over(error))
        self._records = sum(len(error.records) for error in self._errors)


class LastLoss:
    """``at`` is when records last failed; None if none did, or a spool has them and something has arrived since."""

    __slots__ = ("_clock", "_kept", "at")

    def __init__(self, clock: Clock) -> None:
        self.at: float | None = None
        self._clock = clock
        self._kept = False

    def enter(self, error: DeliveryFailed) -> None:
        """Records have failed; single ones that were refused say nothing about the others."""
        if not error.reasons:
            self.at, self._kept = self._clock.now(), error.spooled

    def over(self) -> None:
        """Something has arrived."""
        if self._kept:
            self.at = None
