"""Which days jobs are for, and which are left. Pure functions."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from asyncconn.datorama.dates import DateRange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.datorama.models import Job

__all__ = ["covers", "days_of", "matching", "uncovered"]

_DAY = timedelta(days=1)


def uncovered(days: DateRange, done: Iterable[DateRange]) -> list[DateRange]:
    """The days of a range that are in none of ``done``, as ranges.

    >>> [str(left.start) for left in uncovered(DateRange.of("2026-01-01", "2026-01-30"),
    ...     [DateRange.of("2026-01-01", "2026-01-10"), DateRange.of("2026-01-21", "2026-01-25")])]
    ['2026-01-11', '2026-01-26']
    """
    left: list[DateRange] = []
    start = days.start
    for one in sorted(done):
        if one.end < start:
            continue
        if one.start > days.end:
            break
        if one.start > start:
            left.append(DateRange(start, one.start - _DAY))
        start = one.end + _DAY
    if start <= days.end:
        left.append(DateRange(start, days.end))
    return left


def days_of(job: Job) -> DateRange | None:
    """The days a job is for, if it says so."""
    first, last = job.data_start_date, job.data_end_date
    if not isinstance(first, date) or not isinstance(last, date) or last < first:
        return None
    return DateRange(first, last)


def covers(jobs: Iterable[Job], days: DateRange) -> bool:
    """Whether every day is in one of the jobs."""
    return not uncovered(days, [found for job in jobs if (found := days_of(job)) is not None])


def matching(listing: Iterable[Job], within: DateRange, since: datetime | None) -> list[Job]:
    """Jobs within these days that began at ``since`` or later, or have not begun, as far as they say so."""
    found = []
    for job in listing:
        days, begun = days_of(job), job.start_execution_time
        inside = days is not None and within.start <= days.start and days.end <= within.end
        if inside and (since is None or not isinstance(begun, datetime) or begun >= since):
            found.append(job)
    return found
