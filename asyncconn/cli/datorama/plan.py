"""``--dry-run``: the calls that a bulk command would make, one by one, and the time that the cap needs for them."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.text import Text

from asyncconn.cli.datorama.common import span
from asyncconn.cli.output import console, count, stderr
from asyncconn.datorama.bulk.planning import chunked, pieces, plan
from asyncconn.datorama.bulk.progress import seconds_for
from asyncconn.datorama.dates import DateRange
from asyncconn.datorama.log import ALL_JOBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncconn import Datorama
    from asyncconn.datorama.bulk.history import History
    from asyncconn.datorama.dates import Split

__all__ = ["Planned", "plan_process", "plan_rename", "plan_rerun", "show_plan"]


@dataclass(frozen=True, slots=True)
class Planned:
    """``calls`` with their bodies, ``seconds`` that the cap needs, ``jobs`` that they bring (None: not known)."""

    calls: list[tuple[str, str, Any]]
    seconds: float
    jobs: int | None = None
    notes: list[str] = field(default_factory=list)


async def plan_process(
    datorama: Datorama,
    ids: Sequence[int],
    starts: Sequence[str],
    ends: Sequence[str],
    history: History,
    *,
    d_range: int,
    split: Split,
    most: int | None,
    batch: bool,
    create: bool,
) -> Planned:
    """What ``process_streams`` would send now."""
    streams = await datorama.find_streams(ids)
    days = [DateRange.of(start, end) for start, end in zip(starts, ends, strict=True)]
    ranges = dict.fromkeys(
        (stream.id, piece)
        for stream, one in zip(streams, days, strict=True)
        for left in history.left(stream.id, one)
        for piece in pieces(stream, left, d_range, split, most)
    )
    known = {stream.id: stream for stream in streams}
    found = plan([(known[number], piece) for number, piece in ranges], most=most, batch=batch, create=create)
    calls: list[tuple[str, str, Any]] = []
    for one in found:
        if one.batch:
            numbers = [stream.id for stream in one.streams]
            body = {"dataStreamIds": numbers, **one.days.body, "create": create}
            calls.append((*datorama.paths.resolve("streams.process_batch"), body))
        else:
            calls.append((*datorama.paths.resolve("streams.process", id=one.streams[0].id), one.days.body))
    open_ = sum(history.sent_at(stream.id, one) is not None for stream, one in zip(streams, days, strict=True))
    return _planned(datorama, calls, sum(one.jobs for one in found), open_, most)


async def plan_rerun(
    datorama: Datorama, pairs: Sequence[tuple[int, int | None]], history: History, *, most: int | None
) -> Planned:
    """What ``rerun`` would send now, or (jobs None) ``rerun_all``."""
    await datorama.find_streams([stream for stream, _ in pairs])
    left: defaultdict[int, list[int | None]] = defaultdict(list)
    open_ = 0
    for stream, job in dict.fromkeys(pairs):
        name = ALL_JOBS if job is None else str(job)
        if history.rerun(stream, name) is None:
            left[stream].append(job)
            open_ += history.rerun_sent_at(stream, name) is not None
    calls: list[tuple[str, str, Any]] = []
    for stream, jobs in left.items():
        if None in jobs:
            calls.append((*datorama.paths.resolve("jobs.rerun_all", stream_id=stream), None))
        else:
            call = datorama.paths.resolve("jobs.rerun", stream_id=stream)
            calls += [(*call, some) for some in chunked(jobs, most)]
    known = all(job is not None for _, job in pairs)
    total = sum(map(len, left.values())) if known else None
    return _planned(datorama, calls, total, open_, most)


async def plan_rename(datorama: Datorama, streams: Sequence[int], names: Sequence[str]) -> Planned:
    """What ``rename_streams`` would send now."""
    found = await datorama.find_streams(streams)
    calls = [
        (*datorama.paths.resolve("streams.patch", id=one.id), {"name": name})
        for one, name in zip(found, names, strict=True)
    ]
    return _planned(datorama, calls, None, 0, None)


def _planned(
    datorama: Datorama, calls: list[tuple[str, str, Any]], jobs: int | None, open_: int, most: int | None
) -> Planned:
    notes = []
    if open_:
        notes.append(f"the log leaves open what became of {count(open_, 'item')}: that is looked up first")
    if most is not None and calls:
        notes.append(f"no more than {most} jobs may be unfinished in a workspace: calls wait for room, too")
    return Planned(calls, seconds_for(datorama.pool.transports, len(calls)) if calls else 0.0, jobs, notes)


def show_plan(planned: Planned) -> None:
    """The calls on standard output, a line each; what they come to on standard error."""
    out = console()
    for method, path, body in planned.calls:
        out.print(Text(f"{method} {path}" + ("" if body is None else f" {json.dumps(body)}")))
    calls = count(len(planned.calls), "call")
    jobs = "" if planned.jobs is None else f" for {count(planned.jobs, 'job')}"
    time = "at once" if planned.seconds < 1 else f"in {span(planned.seconds)}"
    to = stderr()
    to.print(Text(f"{calls}{jobs}; the cap allows them {time}. None of them was made."))
    for note in planned.notes:
        to.print(Text(note))
