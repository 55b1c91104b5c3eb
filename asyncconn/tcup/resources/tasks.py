"""Tasks: made and found in their projects, waited for. Contract: tcup sections 7.2, 7.5, 7.7, 13.16, 13.17, 13.30."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from asyncconn.core.paging import Page, Pager
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError, Conflict, NotFound
from asyncconn.http.pages import items_of
from asyncconn.tcup.archives import packed
from asyncconn.tcup.calling import Noun
from asyncconn.tcup.listing import Listing
from asyncconn.tcup.resources.projects import ProjectLike, named, other_id
from asyncconn.tcup.resources.task import Task, TaskCalls, from_token, poller, token_of
from asyncconn.tcup.schedules import Schedule, delayed, recurrent, same
from asyncconn.tcup.states import Project, TaskState
from asyncconn.tcup.waiting import JOB_POLLING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from datetime import datetime
    from typing import Unpack

    from asyncconn.core.poll_group import PollGroup
    from asyncconn.core.polling import Poller, PollPolicy
    from asyncconn.core.progress import OnProgress
    from asyncconn.tcup.schedules import Recurrence

__all__ = ["Tasks"]

_PAGE = 50


class Tasks(Noun):
    """Make, find and wait for tasks. A project is given as it came, or by its id or name, of which an id wins.

    >>> task = await tcup.tasks.create(project="testProj", job="testJob")
    >>> nightly = await tcup.tasks.recurrent(project="testProj", job="nightly", hour=4)
    """

    def __init__(self, calls: TaskCalls) -> None:
        super().__init__(calls.service)
        self._calls = calls

    # -- made and found ------------------------------------------------------------------------------------------------

    async def create(self, *, project: ProjectLike, job: str, description: str = "") -> Task:
        """The task of this id or name; it, and the project, are made by that name where there is none.

        Who makes the same one at the same time gets the same one.
        """
        return await self._ensured(project, job, "IMMEDIATE", None, description)

    async def delayed(
        self,
        delayed_time: datetime | str,
        *,
        project: ProjectLike,
        job: str,
        time_zone: str | None = None,
        description: str = "",
    ) -> Task:
        """As :meth:`create`, one that runs by itself at a time, once it is deployed.

            >>> await tcup.tasks.delayed("15-07-2027 12:35:56.789 IST", project="testProj", job="dTask112")

        The time is a text, which goes as it is, or a datetime; ``time_zone`` is that of one that has none. Raises
        ``ConfigError`` for a ``time_zone`` that is not the text's own, and where the task is there with another
        schedule; ``BadRequest`` for a time that has passed.
        """
        zone = self._calls.default_timezone
        made = partial(delayed, delayed_time, time_zone=time_zone, default_timezone=zone)
        schedule = await in_thread(made)  # it may look for the zone's file
        return await self._ensured(project, job, "DELAYED", schedule, description)

    async def recurrent(
        self,
        *,
        project: ProjectLike,
        job: str,
        time_zone: str = "UTC",
        description: str = "",
        **pattern: Unpack[Recurrence],
    ) -> Task:
        """As :meth:`create`, one that runs again and again, once it is deployed.

            >>> await tcup.tasks.recurrent(project="testProj", job="rTask112", hour=4, day=6)

        With ``pattern="fixed"`` (unless another is given) it runs at the fields given of ``minute``, ``hour``, ``day``
        (of the month), ``month`` and ``day_of_week`` (0 is Sunday): smaller fields are their least, larger ones any.
        With ``pattern="interval"`` every so many of one of minute, hour and day; with ``pattern="expression"`` by
        ``cron="0 4 * * mon-fri"``. ``recurrence_limit`` runs of it are made, by default without end.

        Raises ``ConfigError`` for what cannot be or never comes, and where the task is there with another schedule.
        """
        schedule = await in_thread(partial(recurrent, time_zone=time_zone, **pattern))
        return await self._ensured(project, job, "RECURRENT", schedule, description)

    async def get(self, project: ProjectLike, job: str) -> Task:
        """The task of this id or name, as it is now. Raises ``NotFound``."""
        where = project if isinstance(project, Project) else await self._calls.projects.get(project)
        try:
            return await self._by_id(where.project_id, named(job, "a task"))
        except NotFound:
            async for one in self.list(where, job=job):
                if one.state.job_name == job:
                    return one
            raise

    def list(self, project: ProjectLike, *, job: str | None = None, status: str | None = None) -> Listing[Task]:
        """The tasks of a project: all of them, the one of the name ``job``, those of a ``status``."""
        params = {name: value for name, value in (("jobName", job), ("status", status)) if value is not None}
        where = ""

        async def fetch(cursor: int | None) -> Page[Task]:
            nonlocal where
            where = where or await self._calls.projects.id_of(project)
            page = cursor or 1
            asked = {**params, "page": page, "size": _PAGE}
            found = await self._json("tasks.list", ids={"project": where}, params=asked)
            every = self._all(TaskState, items_of(found, "tasks", "tasks.list", self.misfit))
            return Page([Task(self._calls, one) for one in every], page + 1 if len(every) >= _PAGE else None)

        return Listing(Pager(fetch), TaskState, lambda task: task.state)

    async def import_(
        self, archive: str | os.PathLike[str], *, project: ProjectLike, on_progress: OnProgress | None = None
    ) -> Task:
        """A task from the zip file that ``task.export`` saved. Raises ``Conflict`` for a name that there is already."""
        where = await self._calls.projects.id_of(project)
        async with packed(archive, "the archive") as path:
            answer = await self._caller.upload(
                "tasks.import",
                path,
                ids={"project": where},
                headers={"Content-Type": "application/zip"},
                on_progress=on_progress,
            )
        return Task(self._calls, self._calls.read(answer))

    async def _ensured(
        self, project: ProjectLike, job: str, kind: str, schedule: Schedule | None, description: str
    ) -> Task:
        body = {"jobName": named(job, "a task"), "jobType": kind, "schedule": schedule, "description": description}
        where = await self._calls.projects.ensure(project)
        try:
            found = await self.get(where, job)
        except NotFound:
            try:
                answer = await self._caller.request("tasks.create", ids={"project": where.project_id}, json=body)
                return Task(self._calls, self._calls.read(answer), made=True)
            except Conflict as error:
                if (there := other_id(error, "jobId")) is None:
                    raise
            found = await self._by_id(where.project_id, there)
        if schedule is not None and not same(schedule, found.state.schedule):
            raise ConfigError(f"{found!r} is there, with another schedule: get() and reschedule() it")
        return found

    # -- waited for ----------------------------------------------------------------------------------------------------

    def wait(
        self, token: str, *, run: int | None = None, deadline: float | None = None, policy: PollPolicy = JOB_POLLING
    ) -> Poller[TaskState, TaskState]:
        """A poller for the ``token()`` of a task, of another process or of before: see ``task.wait``."""
        from_token(token)
        return poller(self._calls, token, token, run=run, deadline=deadline, policy=policy)

    def wait_all(self, tasks: Iterable[Task], *, policy: PollPolicy = JOB_POLLING) -> PollGroup[str, TaskState]:
        """Many waited for together: iterate for each as it ends, in whatever way; the ids are their tokens."""
        return self._calls.watch.group(
            (one.token() for one in tasks), done=lambda state: state.status.final, policy=policy
        )

    async def _by_id(self, project: str, job: str) -> Task:
        return Task(self._calls, await self._calls.watch.ask(token_of(project, job)))
