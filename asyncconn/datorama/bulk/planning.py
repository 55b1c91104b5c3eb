"""From days of streams to the requests that will be made. Pure functions.

Contract: datorama sections 3.3 (the server splits), 8 (splitting), 11.7 (grouping), 11.10 (capacity).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncconn.datorama.dates import DateRange, Split
    from asyncconn.datorama.models import DataStream

__all__ = ["Submission", "chunked", "jobs_of", "pieces", "plan"]

SERVER_DAYS = 10  # days of one job, unless the stream says otherwise. Contract: section 3.3
_LONGEST_BATCH = 100  # streams in one call where no capacity bounds them: the platform's own limit is not known


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
