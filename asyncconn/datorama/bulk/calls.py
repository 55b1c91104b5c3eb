"""The bulk calls as users meet them: methods of the client. Contract: datorama sections 9.1, 11.7."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from asyncconn.core.polling import PollPolicy
from asyncconn.datorama.bulk import changing, downloading, fetching, processing, rerunning
from asyncconn.datorama.bulk.capacity import CAPACITY_POLLING
from asyncconn.datorama.bulk.downloading import Bounds
from asyncconn.datorama.bulk.finding import resolve
from asyncconn.datorama.bulk.plans import Plan
from asyncconn.datorama.bulk.progress import BulkProgress
from asyncconn.datorama.bulk.results import BulkResult, Span
from asyncconn.datorama.dates import DayLike, Split
from asyncconn.datorama.given import listed
from asyncconn.datorama.models import DataStream, Job, ReportJob, Workspace

if TYPE_CHECKING:
    from asyncconn.datorama.bulk.nouns import Nouns

__all__ = ["BulkCalls"]

OnProgress = Callable[[BulkProgress], object]
Streams = DataStream | int | Iterable[DataStream | int]


class BulkCalls:
    """Work on many things: at most ten calls at once, under the tokens' limits, with an outcome for each input.

    No call raises because of one input: see :class:`BulkResult`. What cannot work is raised before anything is sent:
    ``UnknownStream``, ``UnequalInput``, ``BadDate``, ``ConfigError``. ``streams`` are :class:`DataStream` objects or
    ids, one or several. An id that the client has not seen yet costs one look at all workspaces: a call for their list
    and one for each.

    ``on_progress`` is called with a :class:`BulkProgress` in the beginning and for each input that has its outcome.
    Cancelling a bulk call cancels its requests and waits for their end.
    """

    _nouns: Nouns

    async def find_streams(self, streams: Streams) -> list[DataStream]:
        """The streams, given as they are or by id, in their order.

            >>> [stream] = await datorama.find_streams(7700101)

        As every bulk call does in the beginning: no call for those that the client has seen, else one look at all
        workspaces. Raises ``UnknownStream`` with the ids that are nowhere.
        """
        return await resolve(self._nouns, listed(streams, "streams"))

    async def fetch_all_streams(
        self,
        workspaces: Workspace | int | Iterable[Workspace | int] | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> BulkResult[Workspace | int, list[DataStream]]:
        """The streams of all workspaces, or of those given: a call for each (and one for the list of them)."""
        return await fetching.fetch_all_streams(self._nouns, workspaces, on_progress)

    async def fetch_all_jobs(
        self, streams: Streams | None = None, *, page_size: int = 100, on_progress: OnProgress | None = None
    ) -> BulkResult[DataStream | Workspace | int, list[Job]]:
        """The jobs of all streams, or of those given.

            >>> frame = (await datorama.fetch_all_jobs()).frame()

        Calls: for each stream one for every ``page_size`` jobs, and one more when its last page is full, or when it is
        file based and has none; without ``streams``, those of :meth:`fetch_all_streams` before. A workspace that cannot
        be read is a failed item. What was read of a stream before it failed is the item's value.
        """
        return await fetching.fetch_all_jobs(self._nouns, streams, page_size, on_progress)

    async def process_streams(
        self,
        streams: Streams,
        starts: DayLike | Iterable[DayLike],
        ends: DayLike | Iterable[DayLike],
        *,
        d_range: int = 10,
        split: Split = "window",
        max_pending: int | None = 15,
        wait: bool | PollPolicy = False,
        batch: bool = True,
        create: bool = False,
        log: str | os.PathLike[str] | None = None,
        resume: bool = False,
        on_progress: OnProgress | None = None,
        capacity_policy: PollPolicy = CAPACITY_POLLING,
    ) -> BulkResult[Span, list[Job]]:
        """Queue days of streams, from ``starts`` to ``ends``, both included: one of each for all, or for every stream.

            >>> result = await datorama.process_streams(
            ...     streams, "2026-01-01", "2026-03-31", log="backfill.csv", wait=True)

        Calls: one for each stream and range, as the server cuts ranges into windows of ten days by itself. Equal
        ranges of API streams of one workspace go in one call together (``batch``); if the platform refuses that, its
        halves are sent, until it is clear which stream was refused. Another ``d_range`` than ten, or ``split="even"``,
        is asked for piece by piece: a call for each. The same days of a stream given twice are sent once. ``create`` is
        for streams that are processed for the first time.

        ``max_pending``: unfinished jobs in a workspace beyond which requests wait for room (None: no bound, and no
        calls to see what is unfinished). Larger requests are cut where the server would cut them.
        ``capacity_policy`` says how often to look, and how long nothing may move.

        ``wait`` (or a :class:`PollPolicy`) waits for the jobs to end: an item whose job ended badly is then failed.
        Without it an item's value are its jobs as queued; empty, where the answer to a batch does not tell them.

        ``log`` is a CSV file with pyDatorama's columns, written as requests are sent and accepted. ``resume`` leaves
        out the days that it says were accepted, and looks at the platform for those of which it does not know: take
        a new file for a new piece of work.

        A request whose outcome is unknown is not repeated: its items are ``unknown``, and can be checked.
        """
        plan = await self.plan_process(
            streams,
            starts,
            ends,
            d_range=d_range,
            split=split,
            max_pending=max_pending,
            wait=wait,
            batch=batch,
            create=create,
            log=log,
            resume=resume,
            capacity_policy=capacity_policy,
        )
        return await plan.run(on_progress=on_progress)

    async def plan_process(
        self,
        streams: Streams,
        starts: DayLike | Iterable[DayLike],
        ends: DayLike | Iterable[DayLike],
        *,
        d_range: int = 10,
        split: Split = "window",
        max_pending: int | None = 15,
        wait: bool | PollPolicy = False,
        batch: bool = True,
        create: bool = False,
        log: str | os.PathLike[str] | None = None,
        resume: bool = False,
        capacity_policy: PollPolicy = CAPACITY_POLLING,
    ) -> Plan[Span, list[Job]]:
        """What :meth:`process_streams` would do with these: a :class:`Plan`, to be looked at and then run.

            >>> plan = await datorama.plan_process(streams, "2026-01-01", "2026-03-31")
            >>> print(len(plan.calls), "calls in", plan.seconds, "seconds")
            >>> result = await plan.run()

        Reads only: streams that the client has not seen, and with ``resume`` the jobs of what the log leaves open.
        """
        return await processing.plan_process(
            self._nouns,
            streams,
            starts,
            ends,
            d_range=d_range,
            split=split,
            max_pending=max_pending,
            wait=wait,
            batch=batch,
            create=create,
            log=log,
            resume=resume,
            capacity_policy=capacity_policy,
        )

    async def rerun(
        self,
        streams: Streams | None,
        jobs: Job | int | Iterable[Job | int],
        *,
        max_pending: int | None = 15,
        wait: bool | PollPolicy = False,
        log: str | os.PathLike[str] | None = None,
        resume: bool = False,
        on_progress: OnProgress | None = None,
        capacity_policy: PollPolicy = CAPACITY_POLLING,
    ) -> BulkResult[tuple[DataStream, int], list[Job]]:
        """Queue jobs again, one or several, as objects or ids.

            >>> states = await datorama.jobs.wait(jobs)
            >>> result = await datorama.rerun(None, states.failed)

        ``streams`` is the one they are all of, or has the stream of each; None where each job is an object that says
        it. Raises ``ConfigError`` for a job that says it is of another.

        One call for each stream (for every ``max_pending`` of its jobs). An item's value are the jobs that the answer
        tells: they may have new ids. The other options are those of :meth:`process_streams`.
        """
        plan = await self.plan_rerun(
            streams, jobs, max_pending=max_pending, wait=wait, log=log, resume=resume, capacity_policy=capacity_policy
        )
        return await plan.run(on_progress=on_progress)

    async def plan_rerun(
        self,
        streams: Streams | None,
        jobs: Job | int | Iterable[Job | int],
        *,
        max_pending: int | None = 15,
        wait: bool | PollPolicy = False,
        log: str | os.PathLike[str] | None = None,
        resume: bool = False,
        capacity_policy: PollPolicy = CAPACITY_POLLING,
    ) -> Plan[tuple[DataStream, int], list[Job]]:
        """What :meth:`rerun` would do with these, as :meth:`plan_process` for days."""
        options = rerunning.Options(
            max_pending=max_pending, wait=wait, log=log, resume=resume, capacity_policy=capacity_policy
        )
        return await rerunning.plan_rerun(self._nouns, streams, jobs, options)

    async def rerun_all(
        self,
        streams: Streams,
        *,
        max_pending: int | None = 15,
        wait: bool | PollPolicy = False,
        log: str | os.PathLike[str] | None = None,
        resume: bool = False,
        on_progress: OnProgress | None = None,
        capacity_policy: PollPolicy = CAPACITY_POLLING,
    ) -> BulkResult[DataStream, list[Job]]:
        """Queue all jobs of streams again: one call for each stream. Options as for :meth:`rerun`.

        How many jobs a stream has is not known before: one stream may bring more than ``max_pending``.
        """
        plan = await self.plan_rerun_all(
            streams, max_pending=max_pending, wait=wait, log=log, resume=resume, capacity_policy=capacity_policy
        )
        return await plan.run(on_progress=on_progress)

    async def plan_rerun_all(
        self,
        streams: Streams,
        *,
        max_pending: int | None = 15,
        wait: bool | PollPolicy = False,
        log: str | os.PathLike[str] | None = None,
        resume: bool = False,
        capacity_policy: PollPolicy = CAPACITY_POLLING,
    ) -> Plan[DataStream, list[Job]]:
        """What :meth:`rerun_all` would do with these, as :meth:`plan_process` for days."""
        options = rerunning.Options(
            max_pending=max_pending, wait=wait, log=log, resume=resume, capacity_policy=capacity_policy
        )
        return await rerunning.plan_rerun_all(self._nouns, streams, options)

    async def rename_streams(
        self,
        streams: Streams | Mapping[int, str],
        names: str | Iterable[str] | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> BulkResult[DataStream, DataStream]:
        """Give streams other names: a mapping from ids, or streams and a name for each. One PATCH for each."""
        return await (await self.plan_rename(streams, names)).run(on_progress=on_progress)

    async def plan_rename(
        self, streams: Streams | Mapping[int, str], names: str | Iterable[str] | None = None
    ) -> Plan[DataStream, DataStream]:
        """What :meth:`rename_streams` would do with these, as :meth:`plan_process` for days."""
        return await changing.plan_rename(self._nouns, streams, names)

    async def enable_streams(
        self, streams: Streams, *, on_progress: OnProgress | None = None
    ) -> BulkResult[DataStream, DataStream]:
        """Let streams run. One PATCH for each."""
        return await self._set_enabled(streams, on_progress, enabled=True)

    async def disable_streams(
        self, streams: Streams, *, on_progress: OnProgress | None = None
    ) -> BulkResult[DataStream, DataStream]:
        """Keep streams from running. One PATCH for each."""
        return await self._set_enabled(streams, on_progress, enabled=False)

    async def download_jobs(
        self,
        jobs: Job | int | Iterable[Job | int],
        folder: str | os.PathLike[str],
        *,
        streams: Streams | None = None,
        concurrency: int = 4,
        max_bytes: int | None = None,
        max_file_bytes: int | None = None,
        overwrite: bool = False,
        on_progress: OnProgress | None = None,
    ) -> BulkResult[tuple[DataStream, int], Path]:
        """Download what jobs have loaded into ``folder``, which is made if need be: one call for each.

            >>> jobs = [job async for job in stream.jobs() if job.status is JobStatus.SUCCESS]
            >>> result = await datorama.download_jobs(jobs, "data", max_bytes=10_000_000_000)

        Each file is streamed to disk under ``{workspace}_{stream}_{job}_data.zip`` (``.csv`` for file-based streams),
        and appears when it is complete. One that is there already is not fetched again (its item is ``skipped``),
        unless ``overwrite``: a job that was run again may have other data. ``streams`` as for :meth:`rerun`, where jobs
        do not say theirs.

        ``concurrency``: files at once, ten at most. ``max_bytes``: all that are kept together, ``max_file_bytes``: one
        of them (None: any number). What would be more is a failed item with ``TooManyBytes``, and nothing of it is
        kept; once ``max_bytes`` is reached no further call is made. An item's value is the path of its file.
        """
        bounds = Bounds(
            concurrency=concurrency, max_bytes=max_bytes, max_file_bytes=max_file_bytes, overwrite=overwrite
        )
        return await downloading.download_jobs(
            self._nouns, jobs, folder, streams=streams, bounds=bounds, on_progress=on_progress
        )

    async def download_reports(
        self,
        jobs: ReportJob | int | Iterable[ReportJob | int],
        folder: str | os.PathLike[str],
        *,
        skip_preamble: bool = False,
        concurrency: int = 4,
        max_bytes: int | None = None,
        max_file_bytes: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> BulkResult[ReportJob | int, Path]:
        """Download what report jobs have exported, each into ``folder/{job}/`` under the name the platform gives it.

        A name that comes twice, or is there already, replaces nothing: each job has its own folder, and one that has a
        file is not fetched again (its item is ``skipped``). ``skip_preamble`` as for ``reports.download``, the other
        options as for :meth:`download_jobs`. The jobs must have ended.
        """
        bounds = Bounds(concurrency=concurrency, max_bytes=max_bytes, max_file_bytes=max_file_bytes)
        return await downloading.download_reports(
            self._nouns, jobs, folder, skip_preamble=skip_preamble, bounds=bounds, on_progress=on_progress
        )

    async def _set_enabled(
        self, streams: Streams, on_progress: OnProgress | None, *, enabled: bool
    ) -> BulkResult[DataStream, DataStream]:
        given = listed(streams, "streams")
        plan = await changing.plan_changes(self._nouns, given, [{"enabled": enabled}] * len(given))
        return await plan.run(on_progress=on_progress)
