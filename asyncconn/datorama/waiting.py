"""Waiting for jobs of many streams with one poller. Contract: datorama sections 6, 11.5."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncconn.core.poll_group import PollGroup
from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.core.words import count
from asyncconn.datorama.calling import AT_ONCE
from asyncconn.datorama.coverage import covers, matching
from asyncconn.datorama.models import DataStream, Job, JobStatus
from asyncconn.errors import ConfigError, Forbidden, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from asyncconn.core.clock import Clock
    from asyncconn.core.paging import Pager
    from asyncconn.core.watching import Watching
    from asyncconn.datorama.dates import DateRange

    #: Reads the jobs of a stream: ``jobs.list``.
    JobList = Callable[[DataStream | int], Pager[Job]]

__all__ = ["JOB_POLLING", "JobStates", "Sought", "Waiting", "poller", "wait_for"]

#: A round through many streams takes its time under the cap, so the deadline is long. Contract: section 11.5.
JOB_POLLING = PollPolicy(minimum=5.0, maximum=60.0, first=5.0, deadline=4 * 3600.0)


@dataclass(frozen=True, slots=True, repr=False)
class JobStates:
    """The jobs that are waited for, as they were last seen, in the order given.

    ``lost`` are those whose stream has gone, or may no longer be seen: nothing more will be heard of them.
    """

    jobs: tuple[Job, ...]
    lost: tuple[Job, ...] = ()

    @property
    def ok(self) -> list[Job]:
        """Ended as SUCCESS."""
        return [job for job in self.jobs if job.status == JobStatus.SUCCESS]

    @property
    def failed(self) -> list[Job]:
        """Ended as anything else: FAILURE, ABORTED, TIMEOUT."""
        return [job for job in self.jobs if job.final and job.status != JobStatus.SUCCESS]

    @property
    def unfinished(self) -> list[Job]:
        """Not ended, as far as is known. A status that is no known word is not taken for an end."""
        lost = {job.id for job in self.lost}
        return [job for job in self.jobs if not job.final and job.id not in lost]

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> Job:
        return self.jobs[index]

    def __repr__(self) -> str:
        left = [job.id for job in self.unfinished]
        shown = ", ".join(map(str, left[:5])) + (", ..." if len(left) > 5 else "")
        return f"<JobStates {count(len(self.jobs), 'job')}, {len(left):,} unfinished{': ' if left else ''}{shown}>"


@dataclass(eq=False, slots=True)
class Sought:
    """Days whose jobs are known to be there, but not by id: the answer to a batch need not tell them."""

    stream: DataStream
    days: DateRange
    since: datetime | None
    jobs: list[Job] | None = None


class Waiting:
    """The state of one wait: what the job lists of the streams that still have something to tell have told."""

    def __init__(self, list_jobs: JobList, jobs: Iterable[Job], sought: Iterable[Sought] = ()) -> None:
        self._list = list_jobs
        self._jobs: dict[int, Job] = {}
        self._lost: set[int] = set()
        self._gone: set[int] = set()  # streams
        self._streams: dict[int, DataStream | int] = {}
        self._of: defaultdict[int, set[int]] = defaultdict(set)  # jobs by stream
        self._sought: defaultdict[int, list[Sought]] = defaultdict(list)
        for job in jobs:
            self._want(job)
        for one in sought:
            self._streams[one.stream.id] = one.stream
            self._sought[one.stream.id].append(one)
        if not self._streams:
            raise ConfigError("there is no job to wait for")

    def _want(self, job: Job) -> None:
        stream: DataStream | int | None = job._stream or job.data_stream_id
        if stream is None:
            raise ConfigError(f"job {job.id} does not say which stream it is of: list jobs by stream")
        number = stream.id if isinstance(stream, DataStream) else stream
        if isinstance(stream, DataStream) or number not in self._streams:
            self._streams[number] = stream
        self._jobs[job.id] = job
        self._of[number].add(job.id)

    @property
    def states(self) -> JobStates:
        """As they were last seen."""
        return JobStates(tuple(self._jobs.values()), tuple(self._jobs[job] for job in self._lost))

    @property
    def open(self) -> list[int]:
        """Streams that have something left to tell."""
        return [stream for stream in self._streams if self.is_open(stream)]

    def latest(self, job: Job) -> Job:
        """It as it was last seen."""
        return self._jobs.get(job.id, job)

    def token(self) -> str:
        """What another process needs: ``stream:job,job;stream:job``."""
        return ";".join(f"{stream}:{','.join(map(str, sorted(jobs)))}" for stream, jobs in self._of.items() if jobs)

    def is_open(self, stream: int) -> bool:
        """Whether a stream has something left to tell."""
        if stream in self._gone:
            return False
        sought = any(one.jobs is None for one in self._sought.get(stream, ()))
        return sought or bool(self._unfinished(stream))

    def _unfinished(self, stream: int) -> set[int]:
        return {job for job in self._of.get(stream, ()) if not self._jobs[job].final}

    async def read(self, stream: int) -> int:
        """Read a stream's list of jobs, as far as it is needed; the stream."""
        seek = [one for one in self._sought.get(stream, ()) if one.jobs is None]
        missing = self._unfinished(stream)
        listing: list[Job] = []
        try:
            async for page in self._list(self._streams[stream]).pages():
                listing += page.items
                for job in page.items:
                    if job.id in missing:
                        missing.discard(job.id)
                        self._jobs[job.id] = job
                if not missing and not seek:
                    break
        except (NotFound, Forbidden):
            self._gone.add(stream)
            self._lost |= self._unfinished(stream)
            return stream
        for one in seek:
            found = matching(listing, one.days, one.since)
            if covers(found, one.days):
                one.jobs = found
                for job in found:
                    self._want(job)
        return stream


def wait_for(
    list_jobs: JobList, jobs: Iterable[Job] | str, policy: PollPolicy, clock: Clock, watching: Watching
) -> Poller[JobStates, JobStates]:
    """See ``jobs.wait``."""
    return poller(Waiting(list_jobs, _from_token(jobs) if isinstance(jobs, str) else jobs), policy, clock, watching)


def poller(waiting: Waiting, policy: PollPolicy, clock: Clock, watching: Watching) -> Poller[JobStates, JobStates]:
    """A poller for a wait. Its ``last`` is there from the beginning, so that a timeout can tell what is left."""

    group = PollGroup(
        waiting.read,
        waiting.open,
        done=lambda stream: not waiting.is_open(stream),
        at_once=AT_ONCE,
        policy=policy,
        clock=clock,
        name="datorama:waiting",
    )

    async def fetch() -> JobStates:
        try:
            await group.round()
            for one in group.ended.values():
                if one.error is not None:
                    raise one.error
            return waiting.states
        finally:
            made.last = waiting.states  # also of a round that the deadline cuts short

    made: Poller[JobStates, JobStates] = Poller(
        fetch,
        done=lambda _: not group.unfinished,
        result=lambda states: states,
        policy=policy,
        token=waiting.token(),
        clock=clock,
        name=f"waiting for {len(waiting.states)} jobs",
        watching=watching,
    )
    made.last = waiting.states
    return made


def _from_token(token: str) -> list[Job]:
    found = []
    for part in filter(None, token.split(";")):
        stream, _, ids = part.partition(":")
        numbers = ids.split(",")
        if not stream.isdecimal() or not all(number.isdecimal() for number in numbers):
            raise ConfigError(f"this is no token of a wait for jobs: {token[:80]!r}")
        found += [Job(id=int(number), data_stream_id=int(stream)) for number in numbers]
    return found
