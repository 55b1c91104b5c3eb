"""Queueing jobs again. Contract: datorama sections 3.4, 9.1, 11.7."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.polling import PollPolicy
from asyncconn.core.tasks import each, together
from asyncconn.datorama import paths
from asyncconn.datorama.bulk.finding import resolve
from asyncconn.datorama.bulk.history import History, a_little_before
from asyncconn.datorama.bulk.planning import chunked
from asyncconn.datorama.bulk.plans import Plan, PlannedCall, planned
from asyncconn.datorama.bulk.progress import BulkProgress, Meter
from asyncconn.datorama.bulk.results import BulkResult, Check, Item
from asyncconn.datorama.bulk.sending import Sender, Sent
from asyncconn.datorama.calling import AT_ONCE
from asyncconn.datorama.coverage import days_of
from asyncconn.datorama.errors import JobFailed
from asyncconn.datorama.frames import log_rows_frame
from asyncconn.datorama.given import job_of, listed, one_for_each, owner_of
from asyncconn.datorama.log import ALL_JOBS, QUEUED, LogRow
from asyncconn.datorama.models import DataStream, Job, JobStatus
from asyncconn.datorama.waiting import JOB_POLLING, Waiting
from asyncconn.errors import AsyncConnError

if TYPE_CHECKING:
    import os

    from asyncconn.datorama.bulk.nouns import Nouns

__all__ = ["plan_rerun", "plan_rerun_all"]

K = TypeVar("K")
OnProgress = Callable[[BulkProgress], object] | None


@dataclass(eq=False, slots=True)
class _Work:
    """One job to queue again, or (``job`` None) all jobs of a stream."""

    stream: DataStream
    job: int | None
    inputs: int = 0
    sent: Sent | None = None
    jobs: list[Job] = field(default_factory=list)
    skipped: bool = False

    @property
    def name(self) -> str:
        return ALL_JOBS if self.job is None else str(self.job)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What both calls take."""

    max_pending: int | None
    wait: bool | PollPolicy
    log: str | os.PathLike[str] | None
    resume: bool
    capacity_policy: PollPolicy


async def plan_rerun(
    nouns: Nouns, streams: Any, jobs: Any, options: Options
) -> Plan[tuple[DataStream, int], list[Job]]:
    """See ``Datorama.plan_rerun``."""
    wanted = listed(jobs, "jobs")
    given = one_for_each([owner_of(job) for job in wanted] if streams is None else streams, len(wanted), "streams")
    for job in wanted:
        _ = job.id if isinstance(job, Job) else paths.number(job, "job")  # before anything is looked up
    found = await resolve(nouns, given)
    pairs: list[tuple[DataStream, int | None]] = [
        (stream, job_of(job, stream.id)) for stream, job in zip(found, wanted, strict=True)
    ]
    return await _planned(nouns, pairs, options, lambda work: (work.stream, work.job or 0))


async def plan_rerun_all(nouns: Nouns, streams: Any, options: Options) -> Plan[DataStream, list[Job]]:
    """See ``Datorama.plan_rerun_all``."""
    given = listed(streams, "streams")
    pairs = [(stream, None) for stream in await resolve(nouns, given)]
    return await _planned(nouns, pairs, options, lambda work: work.stream)


async def _planned(
    nouns: Nouns, pairs: Sequence[tuple[DataStream, int | None]], options: Options, key: Callable[[_Work], K]
) -> Plan[K, list[Job]]:
    run = _Run(nouns, options, pairs)
    calls = await run.plan()

    async def work(on_progress: OnProgress) -> BulkResult[K, list[Job]]:
        works = await run.carry_out(on_progress)
        return BulkResult([run.item(key(work), work) for work in works], run.frame)

    return Plan(nouns.calling, calls, work, jobs=run.new_jobs)


class _Run:
    def __init__(self, nouns: Nouns, options: Options, pairs: Sequence[tuple[DataStream, int | None]]) -> None:
        self._nouns = nouns
        self._options = options
        self._sender = Sender(
            nouns, max_pending=options.max_pending, capacity_policy=options.capacity_policy, log=options.log
        )
        works: dict[tuple[int, int | None], _Work] = {}  # what is given twice is done once
        self._inputs = [works.setdefault((stream.id, job), _Work(stream, job)) for stream, job in pairs]
        for work in self._inputs:
            work.inputs += 1
        self._works = list(works.values())
        self._calls: list[list[_Work]] = []
        self._waited: Waiting | None = None
        self._wait_error: AsyncConnError | None = None

    def frame(self, _: Any) -> Any:
        return log_rows_frame(self._sender.rows)

    async def plan(self) -> list[PlannedCall]:
        """What will be sent, without what an earlier run had sent."""
        await self._recall(await self._sender.history(resume=self._options.resume), self._works)
        by_stream: defaultdict[int, list[_Work]] = defaultdict(list)
        for work in self._works:
            if work.sent is None and not work.skipped:
                by_stream[work.stream.id].append(work)
        most = self._sender.capacity.most
        self._calls = [some for of_stream in by_stream.values() for some in chunked(of_stream, most)]
        return [self._call(works) for works in self._calls]

    def _call(self, works: Sequence[_Work]) -> PlannedCall:
        stream = works[0].stream.id
        if works[0].job is None:
            return planned(self._nouns.calling, "jobs.rerun_all", stream_id=stream)
        return planned(self._nouns.calling, "jobs.rerun", [work.job for work in works], stream_id=stream)

    @property
    def new_jobs(self) -> int | None:
        """That will be queued; None where that is all of a stream."""
        sent = [work for works in self._calls for work in works]
        return None if any(work.job is None for work in sent) else len(sent)

    async def carry_out(self, on_progress: OnProgress) -> list[_Work]:
        """Everything; one work for each input, in their order."""
        async with self._sender:
            await self._submit(on_progress)
            if self._options.wait:
                await self._wait(on_progress)
        return self._inputs

    async def _recall(self, history: History, works: Sequence[_Work]) -> None:
        doubtful: list[tuple[_Work, datetime]] = []
        for work in works:
            known = history.rerun(work.stream.id, work.name)
            if known is not None:
                work.skipped = True
                work.jobs = [self._nouns.jobs.bound(job, work.stream) for job in known]
            elif (at := history.rerun_sent_at(work.stream.id, work.name)) is not None:
                doubtful.append((work, at))
        by_stream: defaultdict[int, list[tuple[_Work, datetime]]] = defaultdict(list)
        for work, at in doubtful:
            by_stream[work.stream.id].append((work, at))
        await each(by_stream.values(), self._look, name="datorama:resume", at_once=AT_ONCE)

    async def _look(self, doubts: Sequence[tuple[_Work, datetime]]) -> None:
        try:
            listing = await self._nouns.jobs.list(doubts[0][0].stream).collect()
        except AsyncConnError as error:
            for work, at in doubts:
                work.sent = Sent("unknown", error=error, at=at)
            return
        for work, at in doubts:
            found = _rerun_in(listing, work, at)
            if found:
                work.skipped, work.jobs = True, found
                self._sender.found([LogRow.of(work.stream, work.name, "rerun", None, QUEUED, at)])

    # -- sending -------------------------------------------------------------------------------------------------------

    async def _submit(self, on_progress: OnProgress) -> None:
        self._calls_left = len(self._calls)
        self._meter = Meter(
            self._nouns.calling, len(self._inputs), on_progress, what="requests", calls=lambda _: self._calls_left
        )
        for work in self._inputs:
            if work.skipped or work.sent is not None:
                self._meter.add("ok" if work.skipped else "unknown")
        lanes: defaultdict[int | None, list[list[_Work]]] = defaultdict(list)
        for some in self._calls:
            lanes[self._nouns.calling.workspace_of(some[0].stream)].append(some)
        all_works = (each(lane, self._send, name="datorama:rerun", at_once=AT_ONCE) for lane in lanes.values())
        await together(all_works, name="datorama:lane")

    async def _send(self, works: Sequence[_Work]) -> None:
        stream = works[0].stream
        call: Callable[[], Awaitable[list[Job]]]
        if works[0].job is None:
            call = partial(self._nouns.jobs.rerun_all, stream)
        else:
            call = partial(self._nouns.jobs.rerun, stream, [work.job for work in works if work.job is not None])

        def line(status: str, at: datetime) -> list[LogRow]:
            return [LogRow.of(stream, work.name, "rerun", None, status, at) for work in works]

        def accepted(jobs: list[Job], at: datetime) -> list[LogRow]:
            rows = {job.id: LogRow.of(stream, job, "rerun", None, QUEUED, at) for job in jobs}
            renewed = [work.name for work in works if work.job not in rows]
            return [*(LogRow.of(stream, name, "rerun", None, QUEUED, at) for name in renewed), *rows.values()]

        sent = await self._sender.send([stream], len(works), call, line=line, accepted=accepted)
        self._calls_left -= 1
        for number, work in enumerate(works):
            work.sent = sent
            work.jobs = _answered(sent.jobs, work, number, len(works))
            for _ in range(work.inputs):
                self._meter.add(sent.outcome)

    async def _wait(self, on_progress: OnProgress) -> None:
        jobs = {job.id: job for work in self._works for job in work.jobs}
        if not jobs:
            return
        streams = {work.stream.id: work.stream for work in self._works}
        at = self._nouns.calling.clock.utcnow()

        def ended(job: Job) -> LogRow:
            stream = streams[job.data_stream_id or 0]
            begun, end = job.start_execution_time, job.end_execution_time
            return LogRow.of(stream, job, "rerun", None, str(job.status).lower(), begun or at, end)

        policy = JOB_POLLING if self._options.wait is True else self._options.wait
        if isinstance(policy, PollPolicy):
            self._waited, self._wait_error = await self._sender.wait(
                list(jobs.values()), [], policy, on_progress, ended
            )

    # -- results -------------------------------------------------------------------------------------------------------

    def item(self, key: Any, work: _Work) -> Item[Any, list[Job]]:
        """What became of one."""
        outcome = "ok" if work.sent is None else work.sent.outcome
        error = None if work.sent is None else work.sent.error
        jobs = work.jobs
        if self._waited is not None and outcome == "ok":
            jobs = [self._waited.latest(job) for job in jobs]
            bad = [job for job in jobs if job.status != JobStatus.SUCCESS]
            if bad:
                said = JobFailed(f"job {bad[0].id} of stream {work.stream.id} ended as {bad[0].status}", state=bad[0])
                outcome, error = "failed", said if bad[0].final else self._wait_error or said
        checking = partial(self._check, work) if outcome == "unknown" else None
        return Item(key=key, outcome=outcome, value=jobs, error=error, skipped=work.skipped, checking=checking)

    async def _check(self, work: _Work) -> Check:
        listing = await self._nouns.jobs.list(work.stream).collect()
        at = work.sent.at if work.sent is not None else None
        found = [] if at is None else _rerun_in(listing, work, at)
        return Check(bool(found), found)


def _answered(jobs: Sequence[Job], work: _Work, number: int, asked: int) -> list[Job]:
    """The jobs of an answer that are this one's: by its id, else by its place."""
    if work.job is None:
        return list(jobs)
    same = [job for job in jobs if job.id == work.job]
    return same or ([jobs[number]] if len(jobs) == asked else list(jobs))


def _rerun_in(listing: Sequence[Job], work: _Work, at: datetime) -> list[Job]:
    """Jobs of a list that show that it was queued again: it is under way or began since, or another of its days."""
    since = a_little_before(at)
    old = next((job for job in listing if job.id == work.job), None)
    days = None if old is None else days_of(old)

    def fresh(job: Job) -> bool:
        begun = job.start_execution_time
        return (not job.final and begun is None) or (isinstance(begun, datetime) and begun >= since)

    return [
        job
        for job in listing
        if fresh(job) and (work.job is None or job.id == work.job or (days is not None and days_of(job) == days))
    ]
