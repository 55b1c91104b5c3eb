"""Reports: exports that take time, and their schedulers. Contract: datorama sections 2.8, 3.9."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncconn.core.files import file_name
from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.datorama.errors import DatoramaProtocolError, ReportFailed
from asyncconn.datorama.models import Entity, JobStatus, Model, Report, ReportJob
from asyncconn.datorama.paths import number
from asyncconn.datorama.preamble import without_preamble
from asyncconn.datorama.resources.base import Collection
from asyncconn.datorama.resources.downloads import Through, chunks_of
from asyncconn.http.download import save

if TYPE_CHECKING:
    from asyncconn.core.paging import Pager
    from asyncconn.core.progress import OnProgress
    from asyncconn.datorama.calling import Calling

__all__ = ["Reports", "Schedulers"]

#: Reports may take 40 minutes. Contract: section 3.9, limits.
REPORT_POLLING = PollPolicy(minimum=5.0, maximum=60.0, first=2.0, deadline=3600.0)

_NAME = re.compile(r'filename="([^"]+)"')


class Schedulers(Collection[Entity]):
    """``datorama.reports.schedulers``: R9."""

    def __init__(self, calling: Calling, reports: Reports) -> None:
        super().__init__(calling, Entity, "schedulers")
        self._reports = reports

    def list(self, report_id: int, *, only_active: bool | None = None) -> Pager[Entity]:
        """Those of a report."""
        where, params = self._reports.where(report_id), {"includeOnlyActive": only_active}
        return self._pages(Entity, "schedulers.list", ids={"report_id": report_id}, params=params, workspace_id=where)


class Reports(Collection[Report]):
    """``datorama.reports``: R1 to R8, and ``datorama.reports.schedulers``.

    >>> report = await datorama.reports.create({"name": "daily", "workspaceId": 41001, "exportFormat": "CSV", ...})
    >>> job = await (await datorama.reports.run(report.id))
    >>> path = await datorama.reports.download(job, "exports", skip_preamble=True)
    >>> await datorama.reports.delete(report.id)
    """

    def __init__(self, calling: Calling) -> None:
        super().__init__(calling, Report, "reports")
        self.schedulers = Schedulers(calling, self)
        self._of: dict[int, int] = {}  # reports by job

    def list(self, workspace_id: int) -> Pager[Report]:
        """All of a workspace. They pile up, and their number is limited: delete old ones."""
        return self._pages(Report, "reports.list", ids={"workspace_id": workspace_id})

    async def run(self, report_id: int, *, policy: PollPolicy = REPORT_POLLING) -> Poller[ReportJob, ReportJob]:
        """Start a report; await the poller for the finished job. Not repeated when the outcome is unknown.

        Awaiting raises ``ReportFailed`` with the job and its reason, ``PollTimeout`` at the deadline (an hour).
        """
        jobs = await self._many(
            ReportJob, "reports.run", ids={"report_id": report_id}, workspace_id=self.where(report_id)
        )
        if not jobs:
            raise DatoramaProtocolError(f"report {report_id} was started, and no job was named")
        self._of[jobs[0].id] = report_id
        return self.wait(jobs[0].id, policy=policy)

    def wait(self, job_id: int, *, policy: PollPolicy = REPORT_POLLING) -> Poller[ReportJob, ReportJob]:
        """A poller for a job that was started before, perhaps elsewhere: its ``token()`` is the job's id."""

        def done(job: ReportJob) -> bool:
            if job.final and job.status != JobStatus.SUCCESS:
                reason = self._caller.pool.scrub(f": {job.status_reason}" if job.status_reason else "")
                raise ReportFailed(f"report job {job.id} ended as {job.status}{reason}", state=job)
            return job.final

        return Poller(
            lambda: self.job(job_id),
            done=done,
            result=lambda job: job,
            policy=policy,
            token=str(number(job_id, "job_id")),
            clock=self._caller.clock,
            name=f"report job {job_id}",
            watching=self._caller.watching,
            scrub=self._caller.pool.scrub,
        )

    async def job(self, job_id: int) -> ReportJob:
        """A report job as it is now (R6)."""
        return await self._one(ReportJob, "reports.job", ids={"job_id": job_id}, workspace_id=self._workspace(job_id))

    def jobs(self, report_id: int) -> Pager[ReportJob]:
        """All jobs of a report (R8)."""
        where = self.where(report_id)
        return self._pages(ReportJob, "reports.jobs", ids={"report_id": report_id}, workspace_id=where)

    async def download(
        self,
        job: ReportJob | int,
        path: str | Path,
        *,
        skip_preamble: bool = False,
        overwrite: bool = False,
        on_progress: OnProgress | None = None,
        through: Through | None = None,
    ) -> Path:
        """What a finished job exported, streamed into ``path``; into a folder under the name the platform gives it.

        Under such a name nothing is replaced unless ``overwrite``: ``ConfigError`` for a file that is there already.
        One that you name yourself is replaced.

        A CSV begins with some lines that describe it and an empty line; ``skip_preamble`` leaves them out. A compressed
        report is a zip, which is kept as it is. The file appears when it is complete. ``on_progress`` and
        ``through`` as for ``jobs.download``; for many files use ``datorama.download_reports``.
        """
        job_id = job.id if isinstance(job, ReportJob) else number(job, "job")
        target = Path(path)
        ids, where = {"job_id": job_id}, self._workspace(job_id)
        async with self._caller.download("reports.download", ids=ids, workspace_id=where) as answer:
            kind = answer.headers.get("Content-Type", "")
            if "html" in kind:
                raise DatoramaProtocolError(f"the download of report job {job_id} answered a page instead of the file")
            theirs = await asyncio.to_thread(target.is_dir)
            if theirs:
                found = _NAME.search(answer.headers.get("Content-Disposition", ""))
                target /= file_name(found[1] if found else "", f"report_{job_id}")
            chunks = chunks_of(answer, through, on_progress)
            await save(without_preamble(chunks) if skip_preamble else chunks, target, replace=overwrite or not theirs)
        return target

    def _workspace(self, job_id: int) -> int | None:
        report_id = self._of.get(job_id)
        return None if report_id is None else self.where(report_id)

    def _note(self, made: Model, workspace_id: int | None) -> None:
        super()._note(made, workspace_id)
        if isinstance(made, ReportJob) and isinstance(made.report_id, int):
            self._of[made.id] = made.report_id

    async def create(self, fields: Mapping[str, Any]) -> Report:
        """Make one, from fields as the platform calls them; see section 3.9 for those that were seen."""
        return await super().create(fields)
