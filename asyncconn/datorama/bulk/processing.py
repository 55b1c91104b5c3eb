"""Queueing days of many streams. Contract: datorama sections 3.3, 8, 9.1, 11.7, 11.10."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncconn.core.polling import PollPolicy
from asyncconn.core.tasks import each, together
from asyncconn.datorama import wire
from asyncconn.datorama.bulk.finding import resolve
from asyncconn.datorama.bulk.history import History, a_little_before
from asyncconn.datorama.bulk.planning import Submission, pieces, plan
from asyncconn.datorama.bulk.plans import Plan, PlannedCall, planned
from asyncconn.datorama.bulk.progress import BulkProgress, Meter
from asyncconn.datorama.bulk.results import BulkResult, Check, Item, Span
from asyncconn.datorama.bulk.sending import Sender, Sent
from asyncconn.datorama.bulk.work import Work, bad_end, is_of, sought_in
from asyncconn.datorama.calling import AT_ONCE
from asyncconn.datorama.coverage import covers, days_of, uncovered
from asyncconn.datorama.dates import DateRange, Split
from asyncconn.datorama.frames import log_rows_frame
from asyncconn.datorama.given import listed, one_for_each
from asyncconn.datorama.log import NO_JOB, QUEUED, SOME_JOB, JobType, LogRow
from asyncconn.datorama.models import Job
from asyncconn.datorama.waiting import JOB_POLLING, Waiting
from asyncconn.errors import ApiError, AsyncConnError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from asyncconn.datorama.bulk.nouns import Nouns

__all__ = ["plan_process"]


async def plan_process(
    nouns: Nouns,
    streams: Any,
    starts: Any,
    ends: Any,
    *,
    d_range: int,
    split: Split,
    max_pending: int | None,
    wait: bool | PollPolicy,
    batch: bool,
    create: bool,
    log: str | os.PathLike[str] | None,
    resume: bool,
    capacity_policy: PollPolicy,
) -> Plan[Span, list[Job]]:
    """See ``Datorama.plan_process``."""
    given = listed(streams, "streams")
    days = [
        DateRange.of(start, end)
        for start, end in zip(
            one_for_each(starts, len(given), "starts"), one_for_each(ends, len(given), "ends"), strict=True
        )
    ]
    days[0].split(d_range, split)  # raises for a range or a way to split that cannot be
    sender = Sender(nouns, max_pending=max_pending, capacity_policy=capacity_policy, log=log)
    spans = [Span(stream, one) for stream, one in zip(await resolve(nouns, given), days, strict=True)]
    run = _Run(nouns, sender, spans)
    await run.recall(await sender.history(resume=resume))
    calls = run.divide(d_range, split, batch=batch, create=create)

    async def work(on_progress: Callable[[BulkProgress], object] | None) -> BulkResult[Span, list[Job]]:
        async with sender:
            await run.submit(create=create, on_progress=on_progress)
            if wait:
                await run.wait(JOB_POLLING if wait is True else wait, on_progress)
        return BulkResult(run.items(), lambda _: log_rows_frame(sender.rows))

    return Plan(nouns.calling, calls, work, jobs=run.new_jobs)


class _Run:
    """What one plan of :func:`plan_process` knows and does."""

    def __init__(self, nouns: Nouns, sender: Sender, spans: Sequence[Span]) -> None:
        self._nouns = nouns
        self._sender = sender
        self._inputs: list[Work] = []
        works: dict[tuple[int, DateRange], Work] = {}  # what is given twice is done once
        for span in spans:
            work = works.setdefault((span.stream.id, span.days), Work(span))
            work.inputs += 1
            self._inputs.append(work)
        self._works = list(works.values())
        self._submissions: list[Submission] = []
        self._of_piece: defaultdict[tuple[int, DateRange], list[Work]] = defaultdict(list)
        self._waited: Waiting | None = None
        self._wait_error: AsyncConnError | None = None

    # -- what an earlier run did ---------------------------------------------------------------------------------------

    async def recall(self, history: History) -> None:
        """Leave out what the log says was accepted; look at the platform for what it does not tell."""
        doubtful: list[tuple[Work, datetime]] = []
        for work in self._works:
            stream, days = work.span.stream, work.span.days
            work.left = history.left(stream.id, days)
            work.skipped = [self._nouns.jobs.bound(job, stream) for job in history.jobs(stream.id, days)]
            work.recalled_at = history.accepted_at(stream.id, days)
            times = [at for left in work.left if (at := history.sent_at(stream.id, left)) is not None]
            if times:
                doubtful.append((work, min(times)))
        await each(doubtful, self._look, name="datorama:resume", at_once=AT_ONCE)
        for work in self._works:
            done = [] if work.error is not None else uncovered(work.span.days, work.left)
            work.recalled = done

    async def _look(self, doubt: tuple[Work, datetime]) -> None:
        work, at = doubt
        stream, days = work.span.stream, work.span.days
        try:
            found = await self._nouns.jobs.find(stream, days.start, days.end, since=a_little_before(at))
        except AsyncConnError as error:
            work.error, work.error_at, work.left = error, at, []
            return
        there = [some for job in found if (some := days_of(job)) is not None]
        work.left = [rest for left in work.left for rest in uncovered(left, there)]
        work.recalled_at = min(at, work.recalled_at or at)
        known = {job.id for job in work.skipped}
        new = [job for job in found if job.id not in known]
        work.skipped += new
        self._sender.found([LogRow.of(stream, job, "process", None, QUEUED, at) for job in new])

    # -- sending -------------------------------------------------------------------------------------------------------

    def divide(self, d_range: int, split: Split, *, batch: bool, create: bool) -> list[PlannedCall]:
        """Into the requests that will be made."""
        most = self._sender.capacity.most
        for work in self._works:
            for days in work.left:
                for piece in pieces(work.span.stream, days, d_range, split, most):
                    work.sent[piece] = None
                    self._of_piece[work.span.stream.id, piece].append(work)
        streams = {work.span.stream.id: work.span.stream for work in self._works}
        ranges = [(streams[stream], piece) for stream, piece in self._of_piece]
        self._submissions = plan(ranges, most=most, batch=batch, create=create)
        return [self._call(one, create=create) for one in self._submissions]

    def _call(self, one: Submission, *, create: bool) -> PlannedCall:
        if one.batch:
            body = wire.batch_body([stream.id for stream in one.streams], one.days.body, create=create)
            return planned(self._nouns.calling, "streams.process_batch", body)
        return planned(self._nouns.calling, "streams.process", one.days.body, id=one.streams[0].id)

    @property
    def new_jobs(self) -> int:
        """That the requests will bring."""
        return sum(one.jobs for one in self._submissions)

    async def submit(self, *, create: bool, on_progress: Callable[[BulkProgress], object] | None) -> None:
        """Send everything: each workspace a lane of its own, so that a full one holds up no other."""
        self._calls_left = len(self._submissions)
        self._meter = Meter(
            self._nouns.calling, len(self._inputs), on_progress, what="requests", calls=lambda _: self._calls_left
        )
        for work in self._inputs:
            if not work.sent:
                self._meter.add(work.outcome)
        lanes: defaultdict[int | None, list[Submission]] = defaultdict(list)
        for one in self._submissions:
            lanes[self._nouns.calling.workspace_of(one.streams[0])].append(one)
        send = partial(self._send, create=create)
        works = (each(lane, send, name="datorama:process", at_once=AT_ONCE) for lane in lanes.values())
        await together(works, name="datorama:lane")

    async def _send(self, submission: Submission, *, create: bool) -> None:
        todo = [submission]
        while todo:
            one = todo.pop()
            sent = await self._request(one, create=create)
            self._calls_left -= 1
            if len(one.streams) > 1 and _was_refused(sent.error):
                # One stream that cannot be processed spoils a batch: the others are sent without it.
                halves = one.halves()
                self._calls_left += len(halves)
                todo += reversed(halves)
                continue
            for stream in one.streams:
                for work in self._of_piece[stream.id, one.days]:
                    work.sent[one.days] = sent
                    if len(work.parts) == len(work.sent):
                        for _ in range(work.inputs):
                            self._meter.add(work.outcome)

    async def _request(self, one: Submission, *, create: bool) -> Sent:
        days = one.days
        kind: JobType = "batch_processing" if one.batch else "process"

        async def call() -> list[Job]:
            if one.batch:
                made = await self._nouns.streams.process_batch(one.streams, days.start, days.end, create=create)
                by_id = {stream.id: stream for stream in one.streams}
                return [
                    self._nouns.jobs.bound(job, by_id[job.data_stream_id])
                    for job in made
                    if job.data_stream_id in by_id
                ]
            return await self._nouns.streams.process(one.streams[0], days.start, days.end)

        def line(status: str, at: datetime) -> list[LogRow]:
            return [LogRow.of(stream, NO_JOB, kind, days, status, at) for stream in one.streams]

        def accepted(jobs: list[Job], at: datetime) -> list[LogRow]:
            rows = []
            for stream in one.streams:
                made = [job for job in jobs if is_of(job, Span(stream, days))]
                rows += [LogRow.of(stream, job, kind, days, QUEUED, at) for job in made]
                if not covers(made, days):
                    rows.append(LogRow.of(stream, SOME_JOB, kind, days, QUEUED, at))
            return rows

        return await self._sender.send(one.streams, one.jobs, call, line=line, accepted=accepted)

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def wait(self, policy: PollPolicy, on_progress: Callable[[BulkProgress], object] | None) -> None:
        """Until the jobs that were accepted have ended."""
        jobs = [job for work in self._works for job in work.jobs]
        sought = [one for work in self._works for one in sought_in(work)]
        if not jobs and not sought:
            return
        streams = {work.span.stream.id: work.span.stream for work in self._works}
        at = self._nouns.calling.clock.utcnow()

        def ended(job: Job) -> LogRow:
            stream = streams[job.data_stream_id or 0]
            begun, end = job.start_execution_time, job.end_execution_time
            return LogRow.of(stream, job, "process", None, str(job.status).lower(), begun or at, end)

        self._waited, self._wait_error = await self._sender.wait(jobs, sought, policy, on_progress, ended)
        found: defaultdict[int, list[Job]] = defaultdict(list)
        for one in sought:
            found[one.stream.id] += one.jobs or []
        for work in self._works:
            known = {job.id for job in work.jobs}
            new = [job for job in found[work.span.stream.id] if job.id not in known and is_of(job, work.span)]
            work.skipped += new

    # -- results -------------------------------------------------------------------------------------------------------

    def items(self) -> list[Item[Span, list[Job]]]:
        """One for each input, in their order."""
        return [self._item(work) for work in self._inputs]

    def _item(self, work: Work) -> Item[Span, list[Job]]:
        outcome, jobs = work.outcome, work.jobs
        errors = sorted(
            (part for part in work.parts if part.error is not None), key=lambda part: part.outcome != "unknown"
        )
        error = work.error or (errors[0].error if errors else None)
        if self._waited is not None and outcome == "ok":
            jobs = [self._waited.latest(job) for job in jobs]
            error = bad_end(jobs, work.span, self._wait_error)
            outcome = "ok" if error is None else "failed"
        return Item(
            key=work.span,
            outcome=outcome,
            value=jobs,
            error=error,
            skipped=not work.sent and outcome != "unknown",
            checking=partial(self._check, work) if outcome == "unknown" else None,
        )

    async def _check(self, work: Work) -> Check:
        times = [part.at for part in work.parts if part.at is not None]
        times += [work.error_at] if work.error_at is not None else []
        since = a_little_before(min(times)) if times else None
        days = work.span.days
        found = await self._nouns.jobs.find(work.span.stream, days.start, days.end, since=since)
        everything = {job.id: job for job in (*work.skipped, *found)}
        return Check(covers(everything.values(), days), found)


def _was_refused(error: AsyncConnError | None) -> bool:
    """By what it says of the request itself: not for a moment, and not for who asks."""
    return isinstance(error, ApiError) and 400 <= error.status < 500 and error.status not in (401, 408, 429)
