"""What a batching buffer hands out: receipts for what was accepted, reports of what became of it, and totals."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, Self

from asyncconn.core.shown import Shown, facts
from asyncconn.errors import DeliveryFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence, Sized

    from pydantic_core import CoreSchema

__all__ = [
    "LONGEST_LIST", "BatchStats", "Delivery", "FlushReport", "Listener", "Loss", "Receipt", "Rejected", "newest",
    "newest_failures",
]  # fmt: skip

#: Records that the lists of a report hold at most: the newest.
LONGEST_LIST = 10_000

_COUNTS = ("accepted", "delivered", "rejected", "failed", "unknown", "pending", "spooled")


@dataclass(frozen=True, slots=True, repr=False)
class Delivery(Shown):
    """One batch that arrived: ``records``, ``bytes``, ``seconds`` on the way, and ``result``, the sender's answer."""

    records: int
    bytes: int
    seconds: float
    result: object = None


class Listener(Protocol):
    """Who keeps the accounts of failures, and wants to know whether anybody has heard of them."""

    def tell(self, error: DeliveryFailed, places: Collection[int] | None = None) -> None:
        """Somebody has: of its records at ``places``, or of all."""
        ...

    def unheard(self, error: DeliveryFailed, places: Collection[int] | None = None) -> None:
        """Nobody has after all: those who awaited it were cancelled just then."""
        ...


class Loss:
    """An ``error``, and which of a receipt's records it is about: each one's place, and where it stands in the error's.

    Without ``places`` it is about all of them.
    """

    __slots__ = ("accounts", "error", "places")

    def __init__(self, error: DeliveryFailed, places: Mapping[int, int] | None, accounts: Listener | None) -> None:
        self.error = error
        self.places = places
        self.accounts = accounts  # who wants to know that it was heard of; None: it was

    def tell(self) -> None:
        """Somebody hears of it."""
        if self.accounts is not None:
            self.accounts.tell(self.error, self._theirs())

    def unheard(self) -> None:
        """Nobody does after all."""
        if self.accounts is not None:
            self.accounts.unheard(self.error, self._theirs())

    def _theirs(self) -> Collection[int] | None:
        return None if self.places is None else self.places.values()


class Receipt:
    """Stands for what went into one batch; every record of it shares the receipt. Await it to know that all arrived.

    >>> receipt = await panoply.write("events", {"id": 1})
    >>> delivery = await receipt

    It is done when the last of the records has an outcome, those that had to be sent again included. Awaiting raises
    ``DeliveryFailed``, with the records, if some could not be delivered. Not awaiting it loses nothing: failures are
    counted, and handed to the ``error`` event or logged.
    """

    __slots__ = (
        "_awaiting",
        "_delivery",
        "_error",
        "_left",
        "_losses",
        "_records",
        "_settled",
        "_waiting",
        "_watching",
    )

    def __init__(self, records: Sized = ()) -> None:
        self._records = records
        self._left: int | None = None  # records without an outcome; None: all
        self._settled: set[int] = set()  # places of those that have one, as long as not all do
        self._delivery: Delivery | None = None
        self._losses: list[Loss] = []
        self._error: DeliveryFailed | None = None
        self._waiting: dict[asyncio.Future[None], None] = {}  # in their order
        self._awaiting = 0  # tasks that will hear of a failure
        self._watching = 0  # calls that will report it

    @property
    def done(self) -> bool:
        """Whether the outcome of all is known."""
        return self._left == 0

    @property
    def taken(self) -> int:
        """How many records it stands for so far; 0 once it is done."""
        return len(self._records)

    def is_open(self, place: int) -> bool:
        """For the buffer: whether the record at ``place`` has no outcome yet."""
        return not self.done and place not in self._settled

    @property
    def awaited(self) -> bool:
        """Whether anybody awaits it, who would hear of a failure."""
        return self._awaiting > 0

    @property
    def watched(self) -> bool:
        """Whether anybody has asked for a report of it."""
        return self._watching > 0

    @property
    def error(self) -> DeliveryFailed | None:
        """Why some failed; None if none has, or not all are done. Who asks has been told of it."""
        if not self.done or not self._losses:
            return None
        for loss in self._losses:
            loss.tell()
        if self._error is None:
            self._error = self._merged()
        return self._error

    @property
    def losses(self) -> Sequence[Loss]:
        """For the buffer: what is known to be lost so far."""
        return self._losses

    @property
    def delivery(self) -> Delivery | None:
        """How they arrived; None if not all are done, or some have failed."""
        return self._delivery if self.done and not self._losses else None

    def _merged(self) -> DeliveryFailed:
        """One error of all that is lost."""
        errors = [loss.error for loss in self._losses]
        first = self._losses[0]
        if len(errors) == 1 and (first.places is None or len(first.places) == len(errors[0].records)):
            return errors[0]
        found = [
            [(loss.error.records[at], loss.error.reasons[at] if loss.error.reasons else None) for at in places.values()]
            for loss in self._losses
            if (places := loss.places) is not None
        ]
        merged = DeliveryFailed(
            "; ".join(dict.fromkeys(error.message for error in errors)),
            records=[record for record, _ in chain.from_iterable(found)],
            maybe_delivered=any(error.maybe_delivered for error in errors),
            spooled=any(error.spooled for error in errors),
            reasons=[why for _, why in chain.from_iterable(found)] if any(error.reasons for error in errors) else (),
        )
        merged.told = True
        merged.__cause__ = next((error.__cause__ for error in errors if error.__cause__ is not None), None)
        return merged

    def settled(self) -> asyncio.Future[None]:
        """A new future that is done when the outcome is known; cancelling it disturbs nobody else."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.done:
            future.set_result(None)
        else:
            self._waiting[future] = None
        return future

    def leave(self, future: asyncio.Future[None]) -> None:
        """For the buffer: nobody waits any more for a future that :meth:`settled` gave."""
        self._waiting.pop(future, None)

    def settle(self, outcome: Delivery | DeliveryFailed, accounts: Listener | None = None) -> None:
        """For the buffer: the outcome of all, once. ``accounts`` are told when somebody hears of a failure."""
        if isinstance(outcome, Delivery):
            self._delivery = outcome
        else:
            self._losses.append(Loss(outcome, None, accounts))
        self._finish()

    def settle_some(self, outcome: Delivery | DeliveryFailed, places: Mapping[int, int], accounts: Listener) -> None:
        """For the buffer: the outcome of some; ``places`` as those of a :class:`Loss`."""
        if self._left is None:
            self._left = len(self._records)
        self._left -= len(places)
        self._settled.update(places)
        if isinstance(outcome, DeliveryFailed):
            self._losses.append(Loss(outcome, places, accounts))
        elif (known := self._delivery) is None:
            self._delivery = outcome
        else:
            self._delivery = Delivery(
                known.records + outcome.records,
                known.bytes + outcome.bytes,
                known.seconds + outcome.seconds,
                outcome.result,
            )
        if not self._left:
            self._finish()

    def _finish(self) -> None:
        self._left = 0
        self._records = ()
        self._settled.clear()
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def heard(self, error: DeliveryFailed) -> None:
        """For the buffer: somebody else has been told of the failure."""
        for loss in self._losses:
            if loss.error is error:
                loss.accounts = None

    def watch(self) -> None:
        """For the buffer: a call will report what becomes of it."""
        self._watching += 1

    def unwatch(self, *, reported: bool) -> None:
        """For the buffer: that call has come to its end; whoever looks at its report hears of the failures."""
        self._watching -= 1
        if not reported and not self._watching and not self._awaiting:
            self._nobody()

    def _nobody(self) -> None:
        for loss in self._losses:
            loss.unheard()

    async def wait(self) -> Delivery:
        """What awaiting the receipt itself does."""
        if not self.done:
            self._awaiting += 1
            future = self.settled()
            try:
                await future
            except BaseException:
                self.leave(future)
                self._awaiting -= 1
                if not self._awaiting:
                    self._nobody()
                raise
        if self._delivery is None or self._losses:
            raise self._failure()
        return self._delivery

    def _failure(self) -> Exception:
        """The error, made anew: one that is raised again and again would grow with each who awaits it."""
        error = self.error
        if error is None:
            return RuntimeError("a settled receipt has an outcome")
        anew = DeliveryFailed(
            error.message,
            records=error.records,
            maybe_delivered=error.maybe_delivered,
            spooled=error.spooled,
            reasons=error.reasons,
        )
        anew.told = True
        anew.__cause__ = error.__cause__
        return anew

    def __await__(self) -> Generator[Any, None, Delivery]:
        return self.wait().__await__()

    def __repr__(self) -> str:
        state = "pending" if not self.done else "failed" if self._losses else "delivered"
        return f"<Receipt {state}>"

    def _repr_html_(self) -> str:
        from asyncconn.core.tables import html_table

        rows = [("outcome", repr(self).strip("<>").split()[1])]
        if self.delivery is not None:
            rows += [(name, str(value)) for name, value in facts(self.delivery).items()]
        else:
            rows += [("records", str(self.taken))] if self.taken else []
        return html_table(("", ""), rows, title="Receipt")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A ``record`` that the platform refused, and the ``reason`` that the sending method gave."""

    record: Any
    reason: Any


@dataclass(frozen=True, slots=True, repr=False)
class FlushReport(Shown):
    """What became of records that were accepted: of all since the start, or of those that one ``deliver`` took.

    ``delivered``, ``rejected`` (refused one by one), ``failed`` (surely not carried out), ``unknown`` (perhaps carried
    out) and ``pending`` are counts of records, and together all that were ``accepted``; ``seconds`` is the time that
    it took. ``failures`` hold the errors with their records: those of the newest 10,000 rejected, and of the newest
    10,000 others. ``told`` counts the lost ones of which an ``error`` handler or an awaited receipt has told; looking
    at ``rejections`` or ``undelivered`` of the report of a ``deliver`` tells of those there, at ``complete`` of all.

    After a close nothing is ``pending`` but what a spool holds, to be sent at the next start: what did not get away
    has failed. ``spooled`` counts those of ``pending`` that are in a spool only, not on their way.
    """

    delivered: int = 0
    rejected: int = 0
    failed: int = 0
    unknown: int = 0
    pending: int = 0
    seconds: float = 0.0
    failures: tuple[DeliveryFailed, ...] = ()
    spooled: int = 0
    told: int = 0
    tell: Callable[[DeliveryFailed], object] | None = field(default=None, repr=False, compare=False)

    def _facts(self) -> Mapping[str, Any]:
        return {"accepted": self.accepted, **facts(self)}

    @property
    def accepted(self) -> int:
        """All records that were taken."""
        return self.delivered + self.lost + self.pending

    @property
    def lost(self) -> int:
        """Those that were rejected, have failed, or may have."""
        return self.rejected + self.failed + self.unknown

    @property
    def complete(self) -> bool:
        """Whether every record that was accepted has arrived."""
        self._look(self.failures)
        return not (self.lost or self.pending)

    @property
    def rejections(self) -> tuple[Rejected, ...]:
        """The records that were refused one by one, with the reasons, in order: the newest 10,000."""
        self._look([one for one in self.failures if one.reasons])
        return tuple(self._rejections())

    @property
    def undelivered(self) -> list[Any]:
        """The records that failed, or may have, in order: the newest 10,000. What a spool still holds is not there."""
        self._look([one for one in self.failures if not one.reasons])
        return self._undelivered()

    @property
    def truncated(self) -> bool:
        """Whether there are more than ``rejections`` or ``undelivered`` hold."""
        return self.rejected > len(self._rejections()) or self.failed + self.unknown > len(self._undelivered())

    @property
    def untold(self) -> int:
        """Records that are lost, and that no handler, receipt or error has told of."""
        told = sum(len(one.records) for one in self.failures if one.told and not one.spooled)
        return max(0, self.lost - max(self.told, told))

    def _look(self, failures: Iterable[DeliveryFailed]) -> None:
        """Somebody hears of these; who asks for the rejected only has not heard of the others."""
        if self.tell is not None:
            for failure in failures:
                self.tell(failure)

    def _rejections(self) -> list[Rejected]:
        return newest([map(Rejected, one.records, one.reasons) for one in self.failures if one.reasons])

    def _undelivered(self) -> list[Any]:
        return newest([one.records for one in self.failures if not one.spooled and not one.reasons])

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """What an endpoint answers that returns one: the counts, and whether it is ``complete``; no records."""
        from pydantic_core import core_schema

        kinds = {**dict.fromkeys(_COUNTS, core_schema.int_schema()), "complete": core_schema.bool_schema()}
        fields = {name: core_schema.typed_dict_field(kind) for name, kind in kinds.items()}
        written = core_schema.plain_serializer_function_ser_schema(
            lambda report: {name: getattr(report, name) for name in kinds},
            return_schema=core_schema.typed_dict_schema(fields, ref=cls.__name__, config={"title": cls.__name__}),
        )
        return core_schema.is_instance_schema(cls, serialization=written)

    @classmethod
    def joined(cls, reports: Iterable[Self]) -> Self:
        """One report of several: of a connector with more than one buffer, say."""
        all_of = list(reports)
        return cls(
            delivered=sum(report.delivered for report in all_of),
            rejected=sum(report.rejected for report in all_of),
            failed=sum(report.failed for report in all_of),
            unknown=sum(report.unknown for report in all_of),
            pending=sum(report.pending for report in all_of),
            seconds=max((report.seconds for report in all_of), default=0.0),
            failures=newest_failures(chain.from_iterable(report.failures for report in all_of)),
            spooled=sum(report.spooled for report in all_of),
            told=sum(report.lost - report.untold for report in all_of),
        )


def newest(lists: Iterable[Iterable[Any]]) -> list[Any]:
    """The last records of several lists, as many as a report may hold."""
    return list(chain.from_iterable(lists))[-LONGEST_LIST:]


def newest_failures(failures: Iterable[DeliveryFailed]) -> tuple[DeliveryFailed, ...]:
    """The last of them: as many as it takes to fill each list of a report."""
    room = {True: LONGEST_LIST, False: LONGEST_LIST}
    found: list[DeliveryFailed] = []
    for failure in reversed(list(failures)):
        kind = bool(failure.reasons)
        if room[kind] > 0:
            found.append(failure)
            room[kind] -= len(failure.records)
    return tuple(reversed(found))


@dataclass(frozen=True, slots=True, repr=False)
class BatchStats(Shown):
    """A buffer's totals at one moment, in records.

    ``accepted == delivered + rejected + failed + unknown + pending`` always holds. ``oldest_age`` is the age in seconds
    of the oldest record not yet on its way, or that has failed and goes out again from a spool, until it has arrived;
    ``max_age_at_send`` the greatest age any record had when its batch left. ``lost_at`` is when, in the seconds of the
    hub's clock, records last failed, or may have (None: none did); with a spool, which keeps them, only as long as
    nothing has arrived since.
    """

    accepted: int
    delivered: int
    rejected: int
    failed: int
    unknown: int
    pending: int
    pending_bytes: int
    in_flight: int
    batches_delivered: int
    batches_failed: int
    bytes_delivered: int
    oldest_age: float
    max_age_at_send: float
    lost_at: float | None = None

    @property
    def lost(self) -> int:
        """Those that were rejected, have failed, or may have."""
        return self.rejected + self.failed + self.unknown
