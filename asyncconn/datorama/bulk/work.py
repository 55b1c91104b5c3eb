"""The books of one input of ``process_streams``: what was asked for it, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncconn.datorama.bulk.history import a_little_before
from asyncconn.datorama.bulk.results import Outcome, Span
from asyncconn.datorama.bulk.sending import Sent
from asyncconn.datorama.coverage import covers, days_of
from asyncconn.datorama.dates import DateRange
from asyncconn.datorama.errors import JobFailed
from asyncconn.datorama.models import Job, JobStatus
from asyncconn.datorama.waiting import Sought

if TYPE_CHECKING:
    from datetime import datetime

    from asyncconn.errors import AsyncConnError

__all__ = ["Work", "bad_end", "is_of", "sought_in"]


@dataclass(eq=False, slots=True)
class Work:
    """One input: its days, the requests they take, and what an earlier run had done of them."""

    span: Span
    inputs: int = 0  # how often it was given
    left: list[DateRange] = field(default_factory=list)
    sent: dict[DateRange, Sent | None] = field(default_factory=dict)
    skipped: list[Job] = field(default_factory=list)
    recalled: list[DateRange] = field(default_factory=list)  # days that an earlier run had sent
    recalled_at: datetime | None = None
    error: AsyncConnError | None = None  # the check of what an earlier run left open failed
    error_at: datetime | None = None

    @property
    def parts(self) -> list[Sent]:
        """The requests that have an outcome."""
        return [part for part in self.sent.values() if part is not None]

    @property
    def outcome(self) -> Outcome:
        """The worst of them."""
        found: set[Outcome] = {part.outcome for part in self.parts}
        if self.error is not None or "unknown" in found:
            return "unknown"
        return "failed" if "failed" in found else "ok"

    @property
    def jobs(self) -> list[Job]:
        """Those of the parts that were accepted; a batch's answer need not tell any."""
        found = {job.id: job for job in self.skipped}
        found |= {job.id: job for part in self.parts for job in part.jobs if is_of(job, self.span)}
        return list(found.values())


def is_of(job: Job, span: Span) -> bool:
    """Whether a job is of this stream, and for some of these days as far as it says."""
    days = days_of(job)
    return job.data_stream_id == span.stream.id and (
        days is None or (days.start <= span.days.end and span.days.start <= days.end)
    )


def sought_in(work: Work) -> list[Sought]:
    """Days of jobs that were accepted, and whose ids are not known."""
    sent = [(days, one.at) for days, one in work.sent.items() if one is not None and one.outcome == "ok"]
    accepted = [*sent, *((days, work.recalled_at) for days in work.recalled)]
    return [
        Sought(work.span.stream, days, None if at is None else a_little_before(at))
        for days, at in accepted
        if not covers(work.jobs, days)
    ]


def bad_end(jobs: Sequence[Job], span: Span, error: AsyncConnError | None) -> AsyncConnError | None:
    """The error of an input whose jobs were waited for, if they did not all end well."""
    bad = next((job for job in jobs if job.final and job.status != JobStatus.SUCCESS), None)
    if bad is not None:
        return JobFailed(f"job {bad.id} of stream {span.stream.id} ended as {bad.status}", state=bad)
    open_ = [job.id for job in jobs if not job.final]
    if not open_ and jobs:
        return None
    return error or JobFailed(f"nothing more is to be heard of the jobs of {span}", state=list(jobs))
