"""The end of a hub: what connectors and their buffers hold is delivered, and what became of every record is told.

A hub loads this when something is to be drained: no program's start needs it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from asyncconn.core.buffer.attached import Attached
from asyncconn.core.buffer.receipts import FlushReport, newest
from asyncconn.core.buffer.unheard import UndeliveredWarning, warn
from asyncconn.core.shown import Shown
from asyncconn.core.tasks import Ending, drain_guard
from asyncconn.errors import DeliveryFailed
from asyncconn.figures import BufferFigures, Left, of_member, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asyncconn.core.buffer.receipts import Rejected
    from asyncconn.core.clock import Clock
    from asyncconn.figures import HubFigures, StreamFigures

__all__ = ["GRACE", "DrainReport", "Draining", "Member", "OnUndelivered", "tell"]

logger = logging.getLogger("asyncconn.hub")

#: What a hub does when it closes with losses of which nobody has been told.
OnUndelivered = Literal["warn", "raise", "log"]

GRACE = 5.0  # seconds beyond the shutdown deadline for cancelling what still runs


class Named(Protocol):
    """What the hub asks of a connector's platform."""

    @property
    def name(self) -> str:
        """For the report."""
        ...


class Member(Protocol):
    """What the hub asks of a connector."""

    @property
    def platform(self) -> Named:
        """What it is a client of."""
        ...

    async def stop(self) -> None:
        """Take nothing in any more."""
        ...

    async def drain(self, timeout: float) -> FlushReport | None:
        """Deliver what was accepted within ``timeout`` seconds, and take no more."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class DrainReport(Shown):
    """What became of every record that the connectors of a hub have accepted, since the start.

    ``reports`` by connector name (only those that hold records; one that closed before the hub did is among them),
    ``errors`` of connectors that failed to close, and ``seconds`` it took.
    """

    reports: Mapping[str, FlushReport] = field(default_factory=dict)
    errors: Mapping[str, BaseException] = field(default_factory=dict)
    seconds: float = 0.0

    def _facts(self) -> Mapping[str, Any]:
        errors = {f"{name} error": str(error) for name, error in self.errors.items()}
        return {**self.reports, **errors, "seconds": self.seconds}

    @property
    def complete(self) -> bool:
        """Whether every record arrived and every connector closed cleanly."""
        return not self.errors and all(report.complete for report in self.reports.values())

    @property
    def rejections(self) -> tuple[Rejected, ...]:
        """The records that were refused one by one, with the reasons: the newest 10,000."""
        return tuple(newest([report.rejections for report in self.reports.values()]))

    @property
    def undelivered(self) -> list[Any]:
        """The records that failed, or may have: the newest 10,000."""
        return newest([report.undelivered for report in self.reports.values()])

    @property
    def truncated(self) -> bool:
        """Whether there are more than ``rejections`` or ``undelivered`` hold."""
        reports = self.reports.values()
        rejected, failed = sum(one.rejected for one in reports), sum(one.failed + one.unknown for one in reports)
        return rejected > len(self.rejections) or failed > len(self.undelivered)

    @property
    def untold(self) -> int:
        """Records that are lost, and that no handler, receipt or error has told of."""
        return sum(map(_untold, self.reports.values()))


def _untold(report: FlushReport) -> int:
    """After a close, what is pending and in no spool is lost too."""
    return report.untold + report.pending - report.spooled


class Draining:
    """Who is drained, with what, and what became of the records of those that have left already."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._attached: dict[Member, Attached] = {}
        self._endings: dict[Member, Ending[tuple[FlushReport | None, BaseException | None]]] = {}
        self._left: dict[str, FlushReport] = {}
        self._past = Left()

    def attached(self, member: Member) -> Attached:
        """The buffers to be drained with ``member``, after its own ``drain``."""
        return self._attached.setdefault(member, Attached())

    async def finish(self, member: Member, timeout: float) -> FlushReport | None:
        """Drain ``member``, then what is attached to it, within ``timeout`` seconds together; one report of all.

        Goes through although the caller is cancelled meanwhile. Raises what its ``drain`` raises, after both. It is
        done once: who asks again, the hub itself when it closes, gets the same outcome.
        """
        report, problem = await self.finished(member, timeout)
        if problem is not None:
            raise problem
        return report

    async def finished(self, member: Member, timeout: float) -> tuple[FlushReport | None, BaseException | None]:
        """As :meth:`finish`, with the error beside the report."""
        ending = self._endings.setdefault(member, Ending("asyncconn:drain", grace=3 * GRACE))
        try:
            return await ending.reached(partial(self._finish, member), timeout)
        except TimeoutError as error:
            return self._of(member), error

    async def _finish(self, member: Member, timeout: float) -> tuple[FlushReport | None, BaseException | None]:
        started = self._clock.now()
        report: FlushReport | None = None
        problem: BaseException | None = None
        try:
            report = await drain_guard(member.drain(timeout), timeout=timeout + GRACE, name="asyncconn:drain")
        except Exception as error:  # noqa: BLE001 - its buffers are drained all the same
            report, problem = _report_of(of_member(member, None)), error
        attached = self._attached.get(member)  # perhaps its drain was the first to need one
        if attached is not None:
            more, trouble = await attached.drain(max(0.0, timeout - (self._clock.now() - started)))
            problem = problem or trouble
            reports = [one for one in (report, more) if one is not None]
            report = FlushReport.joined(reports) if reports else None
        return report, problem

    def so_far(self, members: Iterable[Member]) -> DrainReport:
        """What is known of all records where the end did not come: their numbers."""
        reports = {f"{name}-closed": report for name, report in self._left.items()}
        for number, member in enumerate(members):
            name = member.platform.name
            if (report := self._of(member)) is not None:
                reports[name if name not in reports else f"{name}-{number}"] = report
        return DrainReport(reports)

    def _of(self, member: Member) -> FlushReport | None:
        return _report_of(of_member(member, self._attached.get(member)))

    def leave(self, member: Member, report: FlushReport | None) -> None:
        """A member that has closed by itself."""
        self._past.add(member, self._attached.pop(member, None))
        self._endings.pop(member, None)
        if report is not None:
            name = member.platform.name
            self._left[name] = FlushReport.joined([self._left.get(name, FlushReport()), report])

    def figures(self, hub: object, members: Iterable[Member]) -> HubFigures:
        """What can be read of these, and of those that have left."""
        return read(hub, [(one, self._attached.get(one)) for one in members], self._past)

    async def all_of(
        self, members: Sequence[Member], timeout: float
    ) -> tuple[dict[str, FlushReport], dict[str, BaseException]]:
        """Stop and drain them, within ``timeout`` seconds in all: reports and errors by name."""
        started = self._clock.now()
        held = [one.stats for one in self.figures(None, members).buffers]
        if any(stats.accepted for stats in held):
            pending = sum(stats.pending for stats in held)
            logger.info("the hub closes: %d records are pending, for which it has %g s", pending, timeout)
        # Who reads from somewhere stops before the first who writes drains: what came last is to arrive, too.
        stops = [asyncio.wait_for(member.stop(), timeout + GRACE) for member in members]
        stopped = await asyncio.gather(*stops, return_exceptions=True)
        left = max(0.0, timeout - (self._clock.now() - started))
        finished = await asyncio.gather(*[self.finished(member, left) for member in members])
        reports: dict[str, FlushReport] = {}
        errors: dict[str, BaseException] = {}
        for number, member in enumerate(members):
            name = member.platform.name
            name = name if name not in {**reports, **errors} else f"{name}-{number}"
            delivered, problem = finished[number]
            for error in (stopped[number], problem):
                if error is not None:
                    errors[name] = error
                    logger.error("closing %s failed: %s: %s", name, type(error).__name__, error)
            if delivered is not None:
                reports[name] = delivered
        for name, report in self._left.items():
            reports[name if name not in {**reports, **errors} else f"{name}-closed"] = report
        self._tell_all(FlushReport.joined(reports.values()), self._clock.now() - started)
        return reports, errors

    @staticmethod
    def _tell_all(report: FlushReport, seconds: float) -> None:
        if report.accepted:
            counts = (report.delivered, report.rejected, report.failed, report.unknown, report.pending)
            logger.info(
                "the hub has drained in %.1f s: %d delivered, %d rejected, %d failed, %d unknown, %d in spools",
                seconds,
                *counts,
            )


def _report_of(figures: Iterable[BufferFigures | StreamFigures]) -> FlushReport | None:
    """A report by the totals alone, as its own did not come; None of who has no buffer."""
    found = [
        FlushReport(
            delivered=one.stats.delivered,
            rejected=one.stats.rejected,
            failed=one.stats.failed,
            unknown=one.stats.unknown,
            pending=one.stats.pending,
            spooled=0 if one.spool is None else one.stats.pending,
        )
        for one in figures
        if isinstance(one, BufferFigures)
    ]
    return FlushReport.joined(found) if found else None


def tell(report: DrainReport, how: OnUndelivered, where: tuple[str, int], *, free: bool) -> None:
    """Of losses that nobody has been told of; ``free`` to raise, as nothing else is being raised."""
    lost = {name: one for name, one in report.reports.items() if _untold(one)}
    if not lost:
        return
    untold = [f for one in lost.values() for f in one.failures if not f.told and not f.spooled]
    last = f"; the last: {untold[-1].message}" if untold else ""
    whose = ", ".join(f"{name}: {_untold(one)}" for name, one in lost.items())
    message = f"the hub closed with {report.untold} lost records that nobody was told of ({whose}){last}"
    if how == "raise" and free:
        records = newest([failure.records for failure in untold])
        raise DeliveryFailed(message, records=records, maybe_delivered=any(f.maybe_delivered for f in untold))
    if how == "warn":
        try:
            warn(message, where)
        except UndeliveredWarning:  # where warnings are errors
            if free:
                raise
        else:
            return
    logger.error("%s", message)
