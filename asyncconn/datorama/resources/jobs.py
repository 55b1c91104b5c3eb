"""Jobs ("stats" on the wire): list, get, rerun, download. Contract: datorama sections 2.3, 3.4 to 3.6."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncconn.core.paging import Page, Pager
from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.datorama.coverage import matching
from asyncconn.datorama.dates import DateRange, DayLike
from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.datorama.given import id_of, job_of, listed
from asyncconn.datorama.models import DataStream, Job
from asyncconn.datorama.paths import number
from asyncconn.datorama.resources.base import Resource
from asyncconn.datorama.resources.downloads import Through, chunks_of
from asyncconn.datorama.waiting import JOB_POLLING, JobStates, wait_for
from asyncconn.errors import ConfigError, NotFound
from asyncconn.http.download import save

if TYPE_CHECKING:
    import builtins

    from asyncconn.core.progress import OnProgress
    from asyncconn.datorama.calling import Calling

__all__ = ["Jobs"]

_SURE = 100  # a page size that works; the largest is not documented


class Jobs(Resource):
    """``datorama.jobs``: J1 to J7. ``stream`` is a :class:`DataStream` or its id."""

    def __init__(self, calling: Calling) -> None:
        super().__init__(calling)
        self._listed_as_files: dict[int, bool] = {}  # by stream: where its jobs were found

    def list(self, stream: DataStream | int, *, page_size: int = 100) -> Pager[Job]:
        """All jobs of a stream, ``page_size`` a call. A full page means one more call: no total is told.

        Pages of 100 are known to be given. Where more is asked for, a server that gives fewer is noticed, which costs
        one more call for a list of 100 or more.

        API streams and file-based ones have their lists in different places. Where the one answers 404, or nothing
        for a stream that is not known to be an API stream, the other is tried; the place is remembered.
        """
        if page_size < 1:
            raise ConfigError(f"page_size must be at least 1, not {page_size}")
        stream_id = id_of(stream)

        async def fetch(cursor: Any) -> Page[Job]:
            number, full = cursor or (1, min(page_size, _SURE))
            body = {"pageSize": page_size, "pageNumber": number}
            jobs = self.decoded(await self._stats(stream, stream_id, body), stream)
            return Page(jobs, (number + 1, max(full, len(jobs))) if len(jobs) >= full else None)

        return Pager(fetch)

    async def _stats(self, stream: DataStream | int, stream_id: int, body: dict[str, int]) -> Any:
        where = self._caller.workspace_of(stream)

        async def page(*, file_based: bool) -> Any:
            name = "jobs.list_of_files" if file_based else "jobs.list"
            return await self._json(name, ids={"stream_id": stream_id}, json=body, workspace_id=where)

        remembered = self._listed_as_files.get(stream_id)
        if remembered is not None:
            return await page(file_based=remembered)
        kind = self._names_files(stream)
        file_based = bool(kind)
        try:
            found = await page(file_based=file_based)
        except NotFound:
            found = await page(file_based=not file_based)
            file_based = not file_based
        else:
            if not found and body["pageNumber"] == 1 and kind is not False:
                # Not known to be an API stream: its jobs may be listed where those of API streams are.
                with suppress(NotFound):
                    found = await page(file_based=not file_based)
                    file_based = not file_based
                if not found:
                    return found  # it has no job yet: nothing to remember
        self._listed_as_files[stream_id] = file_based
        return found

    async def get(self, id: int, *, stream: DataStream | None = None) -> Job:
        """One job. ``stream`` lets the job be rerun and downloaded afterwards."""
        where = None if stream is None else self._caller.workspace_of(stream)
        [job] = self.decoded([await self._json("jobs.get", ids={"id": id}, workspace_id=where)], stream)
        return job

    async def rerun(self, stream: DataStream | int, jobs: Job | int | Iterable[Job | int]) -> builtins.list[Job]:
        """Queue jobs of a stream again: one or several, as objects or ids.

        The ids in the answer are the ones to watch: they may be new. Not repeated when the outcome is unknown. Raises
        ``ConfigError`` for no job, or one that says it is of another stream: nothing is sent then.
        """
        stream_id = id_of(stream)
        ids = [job_of(one, stream_id) for one in listed(jobs, "jobs")]
        where = self._caller.workspace_of(stream)
        found = await self._json("jobs.rerun", ids={"stream_id": stream_id}, json=ids, workspace_id=where)
        return self.decoded(found, stream)

    async def rerun_all(self, stream: DataStream | int) -> builtins.list[Job]:
        """Queue all jobs of a stream again. Not repeated when the outcome is unknown."""
        stream_id = id_of(stream)
        where = self._caller.workspace_of(stream)
        found = await self._json("jobs.rerun_all", ids={"stream_id": stream_id}, workspace_id=where)
        return self.decoded(found, stream)

    async def find(
        self, stream: DataStream | int, start: DayLike, end: DayLike, *, since: datetime | None = None
    ) -> builtins.list[Job]:
        """Jobs whose days lie within ``start`` to ``end``: the check after a ``process`` whose outcome is unknown.

        ``since`` (aware) leaves out jobs that began before; those that have not begun are always in. Reads the list.
        """
        days = DateRange.of(start, end)
        since = since.astimezone(UTC) if since is not None else None
        return matching(await self.list(stream).collect(), days, since)

    def wait(self, jobs: Iterable[Job] | str, *, policy: PollPolicy = JOB_POLLING) -> Poller[JobStates, JobStates]:
        """A poller for jobs of one or many streams, or for the ``token()`` of an earlier one.

            >>> states = await datorama.jobs.wait(jobs)
            >>> for job in states.failed:
            ...     print(job.id, job.status)

        Each poll reads the job lists of the streams that have unfinished jobs, page by page until all of them were
        seen. A job has ended when it is SUCCESS, FAILURE, ABORTED or TIMEOUT; no other word counts. Awaiting gives the
        :class:`JobStates` in the end, iterating those of each poll. Raises ``PollTimeout`` at the policy's deadline
        (four hours unless given), whose ``last`` knows what is unfinished.
        """
        return wait_for(self.list, jobs, policy, self._caller.clock, self._caller.watching)

    async def download(
        self,
        job: Job | int,
        path: str | Path,
        *,
        stream: DataStream | None = None,
        on_progress: OnProgress | None = None,
        through: Through | None = None,
    ) -> Path:
        """A job's data into ``path``, streamed; into ``{workspace}_{stream}_{job}_data.zip`` (or ``.csv``) of a folder.

        File-based streams give CSV, all others zip, so the stream has to be known. The file appears when it is
        complete. Raises ``NotFound``; ``ConfigError`` when the file cannot be written. ``on_progress`` is told the
        bytes so far, of as many as were announced. ``through`` is what the chunks pass on their way to the file: what
        it raises ends the download. For many files use ``datorama.download_jobs``.
        """
        owner = stream or (job._stream if isinstance(job, Job) else None)
        if owner is None:
            raise ConfigError("which stream is the job of? Its kind decides where the data is: give stream=")
        job_id = job.id if isinstance(job, Job) else number(job, "job")
        file_based = self._gives_csv(owner)
        target = Path(path)
        where = self._caller.workspace_of(owner)  # a number or None, whatever the platform called the workspace
        if await asyncio.to_thread(target.is_dir):
            target /= self.file_name(job_id, owner)
        name = "jobs.download_of_files" if file_based else "jobs.download"
        async with self._caller.download(name, ids={"id": job_id}, workspace_id=where) as answer:
            if "html" in answer.headers.get("Content-Type", ""):
                raise DatoramaProtocolError(f"the download of job {job_id} answered a page instead of the file")
            await save(chunks_of(answer, through, on_progress), target)
        return target

    def file_name(self, job_id: int, stream: DataStream) -> str:
        """What a job's data is called in a folder: the name that pyDatorama gave it."""
        where = self._caller.workspace_of(stream)  # a number or None, whatever the platform called the workspace
        ending = "csv" if self._gives_csv(stream) else "zip"
        return f"{'unknown' if where is None else where}_{stream.id}_{job_id}_data.{ending}"

    def _gives_csv(self, stream: DataStream) -> bool:
        """Wherever its jobs are listed, the name of its source says where their data is, and in which form."""
        return stream.file_based or self._listed_as_files.get(stream.id, False)

    def _names_files(self, stream: DataStream | int) -> bool | None:
        """Whether a stream is file based, by the name of its source; None where nobody has told that name."""
        known = stream if isinstance(stream, DataStream) else self._caller.stream_of(stream)
        return None if known is None or known.data_source_name is None else known.file_based

    def decoded(self, found: Any, stream: DataStream | int | None = None) -> builtins.list[Job]:
        """Jobs of an answer, knowing their stream."""
        jobs: builtins.list[Job] = self._all(Job, found)
        for job in jobs:
            self.bound(job, stream if isinstance(stream, DataStream) else None)
            if not isinstance(job.data_stream_id, int) and stream is not None:
                job.data_stream_id = stream.id if isinstance(stream, DataStream) else stream
        return jobs

    def bound(self, job: Job, stream: DataStream | None) -> Job:
        """The same, with verbs; ``stream`` is the one it is of, if that is known."""
        job._jobs, job._stream = self, stream
        return job
