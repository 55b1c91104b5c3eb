"""From what the caller gives to the requests that will be made. Pure functions.

Contract: datorama sections 3.3 (the server splits), 8 (splitting), 11.7 (grouping), 11.10 (capacity).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from asyncconn.datorama import paths
from asyncconn.datorama.dates import DateRange, Split
from asyncconn.datorama.errors import UnequalInput
from asyncconn.datorama.models import DataStream, Job, Model
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Submission",
    "chunked",
    "covers",
    "job_of",
    "jobs_of",
    "listed",
    "one_for_each",
    "owner_of",
    "pieces",
    "plan",
    "uncovered",
]

SERVER_DAYS = 10  # days of one job, unless the stream says otherwise. Contract: section 3.3
_LONGEST_BATCH = 100  # streams in one call where no capacity bounds them: the platform's own limit is not known
_DAY = timedelta(days=1)


# -- what the caller gives ---------------------------------------------------------------------------------------------


def listed(value: Any, what: str) -> list[Any]:
    """One thing or several as a list. Raises ``ConfigError`` when there is none."""
    alone = isinstance(value, str | bytes | date | Model | Mapping)
    found = list(value) if isinstance(value, Iterable) and not alone else [value]
    if not found:
        raise ConfigError(f"there is nothing to do: {what} is empty")
    return found


def one_for_each(value: Any, count: int, what: str) -> list[Any]:
    """One value for all, or a list with one for each. Raises ``UnequalInput``."""
    if isinstance(value, str | bytes | date | Model | Mapping) or not isinstance(value, Iterable):
        return [value] * count
    found = list(value)
    if len(found) != count:
        raise UnequalInput(f"{what} has {len(found)} entries for {count} streams")
    return found


def job_of(job: Any, stream: int) -> int:
    """The id of a job of this stream. Raises ``ConfigError`` for none, and for one that says it is of another."""
    if not isinstance(job, Job):
        return paths.number(job, "job")
    if job.data_stream_id not in (None, stream):
        raise ConfigError(f"job {job.id} is of stream {job.data_stream_id}, not of {stream}")
    return job.id


def owner_of(job: Any) -> DataStream | int:
    """The stream that a job says it is of. Raises ``ConfigError`` when it does not."""
    owner = (job._stream or job.data_stream_id) if isinstance(job, Job) else None
    if owner is None:
        raise ConfigError(f"which stream is the job of? Give streams: {job!r} does not say")
    return owner


# -- days --------------------------------------------------------------------------------------------------------------


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


def jobs_of(stream: DataStream, days: DateRange) -> int:
    """Into how many jobs the server will cut a range."""
    return -(-days.days // _span(stream))


def pieces(stream: DataStream, days: DateRange, d_range: int, split: Split, most: int | None) -> list[DateRange]:
    """The ranges to ask for, one request each.

    Windows of ten days are left to the server, which makes them by itself; every other way to split is asked for
    piece by piece. A range of more jobs than ``most`` is cut where the server would cut it.
    """
    parts = days.split(d_range, split)
    if d_range == SERVER_DAYS and split == "window":
        parts = [days]
    if most is None:
        return parts
    return [piece for part in parts for piece in part.split(most * _span(stream))]


def _span(stream: DataStream) -> int:
    for days in (stream.fetch_day_span, stream.default_fetch_day_span):
        if isinstance(days, int) and days > 0:
            return days
    return SERVER_DAYS


# -- requests ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Submission:
    """One process call: some streams of a workspace, the same days for all, and the jobs it will bring.

    ``batch``: by the call for many streams (D8), even if it is one.
    """

    streams: tuple[DataStream, ...]
    days: DateRange
    jobs: int
    batch: bool

    def halves(self) -> list[Submission]:
        """The same in two calls."""
        middle = len(self.streams) // 2
        return [_submission(part, self.days, self.batch) for part in (self.streams[:middle], self.streams[middle:])]


def plan(
    ranges: Sequence[tuple[DataStream, DateRange]], *, most: int | None, batch: bool, create: bool
) -> list[Submission]:
    """The calls for these ranges, in their order.

    Equal ranges of API streams of one workspace go together, as many as its capacity takes. File-based streams, and
    those known to be disabled (which the platform refuses, and a whole batch with them), go alone.
    """
    groups: dict[Any, list[tuple[DataStream, DateRange]]] = {}
    for number, (stream, days) in enumerate(ranges):
        together = batch and not stream.file_based and stream.enabled is not False
        key = (stream.workspace_id, days) if together else number
        groups.setdefault(key, []).append((stream, days))
    found: list[Submission] = []
    for group in groups.values():
        days = group[0][1]
        for streams in chunked([stream for stream, _ in group], most, lambda stream, days=days: jobs_of(stream, days)):
            several = len(streams) > 1 or (create and not streams[0].file_based)
            found.append(_submission(tuple(streams), days, several))
    return found


def chunked(things: Sequence[Any], most: int | None, cost: Any = lambda _: 1) -> list[list[Any]]:
    """In pieces that cost at most ``most`` together (and are of at most a hundred), each of at least one."""
    found: list[list[Any]] = []
    total = 0
    for one in things:
        price = cost(one)
        fits = len(found[-1]) < _LONGEST_BATCH and (most is None or total + price <= most) if found else False
        if fits:
            found[-1].append(one)
            total += price
        else:
            found.append([one])
            total = price
    return found


def _submission(streams: tuple[DataStream, ...], days: DateRange, batch: bool) -> Submission:
    return Submission(streams, days, sum(jobs_of(stream, days) for stream in streams), batch)
