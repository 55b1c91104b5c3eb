"""What a job log says was done, so that the same call can go on where it was interrupted. Pure functions."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from asyncconn.datorama.coverage import days_of, uncovered
from asyncconn.datorama.dates import DateRange
from asyncconn.datorama.errors import BadDate
from asyncconn.datorama.log import ERROR, SENDING, UNKNOWN, LogRow
from asyncconn.datorama.models import Job, JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["History", "a_little_before"]

_CLOCKS_DIFFER = timedelta(seconds=60)
_EVER = datetime(1970, 1, 2, tzinfo=UTC)


def a_little_before(moment: datetime) -> datetime:
    """From when on a job may be the one that was sent then: the platform's clock may be another."""
    return moment - _CLOCKS_DIFFER


class History:
    """The lines of a log, read as: accepted, or perhaps accepted.

    What counts is the last word about the same days (or the same job, for reruns).
    """

    def __init__(self, rows: Iterable[LogRow] = ()) -> None:
        self._accepted: defaultdict[int, list[tuple[DateRange, datetime]]] = defaultdict(list)
        self._jobs: defaultdict[int, dict[int, Job]] = defaultdict(dict)
        self._open: defaultdict[int, dict[DateRange, datetime]] = defaultdict(dict)
        self._rerun: dict[tuple[int, str], Job | None] = {}
        self._open_reruns: dict[tuple[int, str], datetime] = {}
        for row in rows:
            if row.stream.isdecimal():
                (self._take_rerun if row.job_type == "rerun" else self._take)(int(row.stream), row)

    # -- days ----------------------------------------------------------------------------------------------------------

    def _take(self, stream: int, row: LogRow) -> None:
        try:
            days = DateRange.of(row.start, row.end)
        except BadDate:
            return
        if row.status in (SENDING, UNKNOWN):
            self._open[stream].setdefault(days, _moment(row.exec_start))
        elif row.status == ERROR:
            self._open[stream].pop(days, None)
        else:
            self._accepted[stream].append((days, _moment(row.exec_start)))
            if (job := _job(stream, row)) is not None:
                self._jobs[stream][job.id] = job

    def left(self, stream: int, days: DateRange) -> list[DateRange]:
        """The days that are not known to have been accepted."""
        return uncovered(days, [accepted for accepted, _ in self._accepted[stream]])

    def accepted_at(self, stream: int, days: DateRange) -> datetime | None:
        """When the first of what was accepted for some of these days was sent."""
        return min((at for accepted, at in self._accepted[stream] if _meet(accepted, days)), default=None)

    def jobs(self, stream: int, days: DateRange) -> list[Job]:
        """Jobs that were accepted for some of these days, where the log tells their ids."""
        found = self._jobs[stream].values()
        return [job for job in found if (of := days_of(job)) is not None and _meet(of, days)]

    def sent_at(self, stream: int, days: DateRange) -> datetime | None:
        """When a request was sent whose outcome the log does not tell, and that was for some of these days."""
        return min((at for sent, at in self._open[stream].items() if _meet(sent, days)), default=None)

    # -- reruns --------------------------------------------------------------------------------------------------------

    def _take_rerun(self, stream: int, row: LogRow) -> None:
        key = (stream, row.job)
        if row.status in (SENDING, UNKNOWN):
            self._open_reruns.setdefault(key, _moment(row.exec_start))
        elif row.status == ERROR:
            self._open_reruns.pop(key, None)
        else:
            self._open_reruns.pop(key, None)
            self._rerun[key] = _job(stream, row)

    def rerun(self, stream: int, job: int | str) -> list[Job] | None:
        """The job, if the log says that its rerun was accepted; empty where it does not tell the id."""
        key = (stream, str(job))
        if key not in self._rerun:
            return None
        found = self._rerun[key]
        return [] if found is None else [found]

    def rerun_sent_at(self, stream: int, job: int | str) -> datetime | None:
        """When a rerun was sent whose outcome the log does not tell."""
        return self._open_reruns.get((stream, str(job)))


def _meet(one: DateRange, other: DateRange) -> bool:
    return one.start <= other.end and other.start <= one.end


def _job(stream: int, row: LogRow) -> Job | None:
    if not row.job.isdecimal():
        return None
    status = JobStatus(row.status.upper())
    job = Job(id=int(row.job), data_stream_id=stream, status=status if status.final else None)
    try:
        days = DateRange.of(row.start, row.end)
    except BadDate:
        return job
    job.data_start_date, job.data_end_date = days.start, days.end
    return job


def _moment(text: str) -> datetime:
    """When a line was written. pyDatorama's own lines have local times; what is no time was any time."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return _EVER
