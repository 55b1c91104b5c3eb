"""Jobs ("stats") and report jobs: words that change as time passes or as somebody looks.

Contract: datorama sections 3.3, 6, 7.3 and 8.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncconn.sandbox.datorama.options import Options

__all__ = ["ReportJob", "Run", "Stat", "windows"]

_WAITING, _WORKING = "PENDING", "IN_PROGRESS"
_UNFINISHED = frozenset({_WAITING, _WORKING})
_REASONS = {
    "FAILURE": "Authentication with the data source failed",
    "ABORTED": "Aborted by a user",
    "TIMEOUT": "The data source did not answer in time",
}


@dataclass(slots=True)
class Run:
    """Something that waits, works, and ends as ``final``. Times are seconds since the epoch.

    A ``final`` word that means unfinished makes it one that never ends.
    """

    id: int
    final: str
    queued_at: float
    _: KW_ONLY
    reads: int = 0
    started_at: float | None = None
    ended_at: float | None = None

    def restart(self, final: str, now: float) -> None:
        """Back into the queue."""
        self.final, self.queued_at, self.reads = final, now, 0
        self.started_at = self.ended_at = None

    def finish(self, started_at: float, seconds: float) -> None:
        """Done already, unless it is one that never ends."""
        self.started_at = started_at
        if self.final not in _UNFINISHED:
            self.ended_at = started_at + seconds

    def look(self, options: Options, now: float, *, counts: bool = True) -> str:
        """Its state. ``counts``: this is a read, by which the job may move on."""
        if self.ended_at is not None:
            return self.final
        if options.progress == "clock":
            waits, works = options.job_seconds
            started_at, ended_at = self.queued_at + waits, self.queued_at + waits + works
            started, ended = now >= started_at, now >= ended_at
        else:
            self.reads += counts
            started_at = ended_at = now
            started, ended = self.reads > options.job_reads[0], self.reads > sum(options.job_reads)
        if started and self.started_at is None:
            self.started_at = started_at
        if ended and self.final not in _UNFINISHED:
            self.ended_at = ended_at
        return self.final if ended else _WORKING if started else _WAITING

    @property
    def reason(self) -> str | None:
        """Why it ended badly."""
        return None if self.ended_at is None else _REASONS.get(self.final)


@dataclass(slots=True)
class Stat(Run):
    """A stream's job over the days from ``start`` to ``end``, both included."""

    stream_id: int
    start: date
    end: date
    user_id: int
    download_bytes: int | None = None

    def shown(self, options: Options, now: float, *, counts: bool = True) -> dict[str, Any]:
        """As the API shows it."""
        status = self.look(options, now, counts=counts)
        return {
            "id": self.id,
            "dataStreamId": self.stream_id,
            "userId": self.user_id,
            "status": status,
            "statusReason": self.reason,
            "dataStartDate": self.start.isoformat(),
            "dataEndDate": self.end.isoformat(),
            "startExecutionTime": _millis(self.started_at),
            "endExecutionTime": _millis(self.ended_at),
            "processLog": self._log(),
        }

    def _log(self) -> str | None:
        if self.started_at is None:
            return None
        begin = f"[{_stamp(self.started_at)}] start ..."
        return begin if self.ended_at is None else f"{begin} [{_stamp(self.ended_at)}]"


@dataclass(slots=True)
class ReportJob(Run):
    """One execution of a report, as the report was then."""

    report_id: int
    report: Mapping[str, Any] = field(repr=False)
    why: str | None = None

    def shown(self, options: Options, now: float, *, counts: bool = True) -> dict[str, Any]:
        """As the API shows it."""
        status = self.look(options, now, counts=counts)
        return {
            "id": self.id,
            "reportId": self.report_id,
            "reportScheduleId": None,
            "status": status,
            "statusReason": None if self.ended_at is None else self.why or self.reason,
            "compressed": bool(self.report.get("compressed")),
            "delivery": None,
            "deliveryMethod": None,
        }


def windows(start: date, end: date, days: int) -> Iterator[tuple[date, date]]:
    """The range cut into windows of ``days``, counted from its start.

    >>> [(a.day, b.day) for a, b in windows(date(2026, 1, 1), date(2026, 1, 25), 10)]
    [(1, 10), (11, 20), (21, 25)]
    """
    while start <= end:
        yield start, min(start + timedelta(days=days - 1), end)
        start += timedelta(days=days)


def _millis(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
