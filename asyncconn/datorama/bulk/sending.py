"""The road of every request that queues work: room, a line in the log, the call, and what the answer means.

Contract: datorama sections 5 (retry policy), 11.7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from asyncconn.core.polling import PollPolicy
from asyncconn.datorama.bulk.capacity import Capacity
from asyncconn.datorama.bulk.history import History
from asyncconn.datorama.bulk.planning import jobs_of
from asyncconn.datorama.bulk.progress import Meter
from asyncconn.datorama.calling import AT_ONCE
from asyncconn.datorama.log import ERROR, SENDING, UNKNOWN, JobLog, LogRow
from asyncconn.datorama.models import JobStatus
from asyncconn.datorama.waiting import JobStates, Sought, Waiting, poller
from asyncconn.errors import AsyncConnError, outcome_unknown

if TYPE_CHECKING:
    import os
    from datetime import datetime
    from types import TracebackType

    from asyncconn.datorama.bulk.nouns import Nouns
    from asyncconn.datorama.bulk.results import Outcome
    from asyncconn.datorama.models import DataStream, Job

__all__ = ["Sender", "Sent"]


@dataclass(slots=True)
class Sent:
    """What became of one request. ``at``: when it was sent, if it was."""

    outcome: Outcome
    jobs: list[Job] = field(default_factory=list)
    error: AsyncConnError | None = None
    at: datetime | None = None


class Sender:
    """Sends the requests of one bulk call: at most ten at once, within the capacity, each told to the log."""

    def __init__(
        self,
        nouns: Nouns,
        *,
        max_pending: int | None,
        capacity_policy: PollPolicy,
        log: str | os.PathLike[str] | None,
    ) -> None:
        self._nouns = nouns
        self.capacity = Capacity(nouns, max_pending, capacity_policy)
        self.rows: list[LogRow] = []
        self._log = None if log is None else JobLog(log)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._found: list[LogRow] = []

    async def __aenter__(self) -> Self:
        if self._log is not None:
            await self._log.open()
        await self.note(self._found)
        await self.capacity.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.capacity.__aexit__(kind, error, traceback)

    async def history(self, *, resume: bool) -> History:
        """What the log says, if that is to be gone on from. Nothing is written yet."""
        return History(await self._log.read()) if resume and self._log is not None else History()

    def found(self, rows: Sequence[LogRow]) -> None:
        """Tell the log this, too, as soon as it is open: what was accepted before, and is not in it."""
        self._found += rows

    async def note(self, rows: Sequence[LogRow]) -> None:
        """Tell the log. An error of its own ends the whole bulk call: nothing may be sent that is not noted."""
        self.rows += rows
        if self._log is not None and rows:
            await self._log.append(rows)

    async def send(
        self,
        streams: Sequence[DataStream],
        cost: int,
        call: Callable[[], Awaitable[list[Job]]],
        *,
        line: Callable[[str, datetime], list[LogRow]],
        accepted: Callable[[list[Job], datetime], list[LogRow]],
    ) -> Sent:
        """One request. ``line`` makes the log's lines for its beginning and a bad end, ``accepted`` for a good one."""
        workspace_id = self._nouns.calling.workspace_of(streams[0]) or 0
        try:
            ticket = await self.capacity.take(workspace_id, tuple(stream.id for stream in streams), cost)
        except AsyncConnError as error:
            return Sent("failed", error=error)
        async with self._places:
            at = self._nouns.calling.clock.utcnow()
            await self.note(line(SENDING, at))
            try:
                jobs = await call()
            except AsyncConnError as error:
                unknown = outcome_unknown(error)
                if unknown:
                    self.capacity.accepted(ticket, 0)
                else:
                    self.capacity.refused(ticket)
                await self.note(line(UNKNOWN if unknown else ERROR, at))
                return Sent("unknown" if unknown else "failed", error=error, at=at)
            self.capacity.accepted(ticket, len(jobs))
            await self.note(accepted(jobs, at))
            return Sent("ok", jobs, at=at)

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def wait(
        self,
        jobs: Sequence[Job],
        sought: Sequence[Sought],
        policy: PollPolicy,
        on_progress: Callable[[Any], object] | None,
        ended: Callable[[Job], LogRow],
    ) -> tuple[Waiting, AsyncConnError | None]:
        """Wait for jobs to end, and tell the log of each. The error, if the wait itself came to a bad end."""
        waiting = Waiting(self._nouns.jobs.list, jobs, sought)
        total = len(waiting.states) + sum(jobs_of(one.stream, one.days) for one in sought)
        meter = Meter(self._nouns.calling, total, on_progress, what="jobs")
        told = {job.id for job in jobs if job.final}

        async def tell(states: JobStates) -> None:
            new = [job for job in states if job.final and job.id not in told]
            told.update(job.id for job in new)
            await self.note([ended(job) for job in new])
            meter.set(sum(job.status == JobStatus.SUCCESS for job in states), len(states.failed) + len(states.lost))

        try:
            calling = self._nouns.calling
            async for states in poller(waiting, policy, calling.clock, calling.watching):
                await tell(states)
        except AsyncConnError as error:
            await tell(waiting.states)
            return waiting, error
        return waiting, None
