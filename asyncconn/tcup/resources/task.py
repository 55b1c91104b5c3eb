"""One task: deployed, started, waited for, looked at. Contract: tcup sections 7, 13.17, 13.30, 13.31, 13.39."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from asyncconn.core.files import file_name
from asyncconn.core.paths import file_path
from asyncconn.core.threads import in_thread
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError, OperationFailed
from asyncconn.tcup.calling import Noun
from asyncconn.tcup.deploying import body_of, form_of
from asyncconn.tcup.resources.logs import LOG_POLLING, Logs
from asyncconn.tcup.resources.projects import ProjectLike, Projects, named
from asyncconn.tcup.schedules import delayed, recurrent
from asyncconn.tcup.states import OutputFile, TaskState, TaskStatus
from asyncconn.tcup.waiting import JOB_POLLING, Watch

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from typing import Unpack

    from asyncconn.core.polling import Poller, PollPolicy
    from asyncconn.core.progress import OnProgress
    from asyncconn.http.response import Response
    from asyncconn.tcup.calling import Service
    from asyncconn.tcup.listing import Listing
    from asyncconn.tcup.schedules import Recurrence

__all__ = ["Link", "Task", "TaskCalls", "from_token", "link_of", "poller", "token_of"]


#: A file that a task has from another one: the ids of that one's project and of itself, and the file's name.
Link = tuple[str, str, str]


class TaskCalls(Noun):
    """What a task, and the noun that it came from, ask of the service."""

    def __init__(self, service: Service, projects: Projects, *, places: int, default_timezone: str | None) -> None:
        super().__init__(service)
        self.service = service
        self.projects = projects
        self.default_timezone = default_timezone
        self.watch: Watch[TaskState] = Watch(
            self._asked, places=places, clock=service.clock, http=service.http, name="tcup:tasks"
        )

    async def _asked(self, token: str) -> TaskState:
        project, job = from_token(token)
        return await self._one(TaskState, "tasks.get", ids={"project": project, "task": job})

    def read(self, answer: Response) -> TaskState:
        """The task of an answer."""
        return self._made(TaskState, self._read(answer))

    async def copied(self, ids: Mapping[str, str], job: str, project: ProjectLike | None) -> TaskState:
        """See ``Task.copy``."""
        where = ids["project"] if project is None else await self.projects.id_of(project)
        body = {"projectId": where, "jobName": named(job, "a task")}
        return await self._one(TaskState, "tasks.copy", ids=ids, json=body)

    def outputs(self, ids: Mapping[str, str]) -> Listing[OutputFile]:
        """See ``Task.outputs``."""
        return self._listing(OutputFile, "tasks.outputs", items="outputs", ids=ids)

    async def link(self, ids: Mapping[str, str], links: Iterable[Link]) -> int:
        """See ``Task.link_files``."""
        wire = [{"projectId": project, "taskId": task, "fileName": name} for project, task, name in links]
        found = await self._json("tasks.link", ids=ids, json={"files": wire})
        linked = found.get("linked") if isinstance(found, dict) else None
        return linked if isinstance(linked, int) else len(wire)

    async def gone(self, ids: Mapping[str, str]) -> None:
        """See ``Task.delete``."""
        await self._gone("tasks.delete", ids=ids)


class Task(Unpicklable):
    """A task of a project: await it for its end, iterate over :meth:`states` for every state seen.

        >>> task = await tcup.tasks.create(project="testProj", job="testJob")
        >>> await task.deploy("job.py", runtime="py")
        >>> await task.start()
        >>> state = await task
        >>> print(state.exit_code, await task.outputs())

    ``state`` is how it was last seen; :meth:`refresh` looks again. A verb that the task's status does not allow is a
    ``Conflict``; one whose answer was lost is never repeated (``MaybeSent``): look at it.

    Awaiting raises ``OperationFailed`` with the state of one that did not end as COMPLETED, ``PollTimeout`` (with
    the ``token()``) after a day: :meth:`wait` takes another deadline.
    """

    _elsewhere = "hand over its token(), and tasks.wait for that; or its project_id and job_id, and tasks.get it"

    def __init__(self, calls: TaskCalls, state: TaskState, *, made: bool = False) -> None:
        self._calls = calls
        self._service = calls.service
        self.state = state
        #: The files that it was linked to here; None where nobody can know, as it was there already.
        self.links: list[Link] | None = [] if made else None

    @property
    def project_id(self) -> str:
        """The id of its project."""
        return self.state.project_id

    @property
    def job_id(self) -> str:
        """Its own id."""
        return self.state.job_id

    @property
    def job_name(self) -> str:
        """Its name; the id where it has none."""
        return self.state.job_name or self.state.job_id

    @property
    def status(self) -> TaskStatus:
        """Where it stood when it was last seen."""
        return self.state.status

    def __repr__(self) -> str:
        return f"<Task {self.job_name!r} ({self.project_id}/{self.job_id}) {self.status}>"

    @property
    def _ids(self) -> dict[str, str]:
        return {"project": self.project_id, "task": self.job_id}

    async def refresh(self) -> TaskState:
        """Look at it now."""
        self.state = await self._calls.watch.ask(self.token())
        return self.state

    # -- what it runs --------------------------------------------------------------------------------------------------

    async def deploy(
        self,
        file: str | os.PathLike[str],
        *,
        runtime: str,
        inputs: str | os.PathLike[str] | None = None,
        dependencies: str | os.PathLike[str] | None = None,
        arguments: Sequence[str] = (),
        overwrite: bool = False,
        nodes: int = 1,
        on_progress: OnProgress | None = None,
    ) -> TaskState:
        """Send what it runs: the executable ``file``, in pieces. A delayed or recurrent task is SCHEDULED with that.

            >>> await task.deploy("job.py", runtime="py", inputs="data", arguments=["--days", "7"])

        ``runtime`` is java, cpp, c, py, js or spark; ``inputs`` and ``dependencies`` are a directory, which is zipped,
        or a zip file; ``overwrite`` replaces what is deployed. ``on_progress`` hears of the bytes handed over.

        Raises ``ConfigError`` for what cannot be read, a link within a directory, a member of a zip file whose name
        leads out of its folder; ``Conflict`` without ``overwrite`` for a task that is deployed, and for one that runs;
        ``PayloadTooLarge``. Not repeated when the outcome is unknown.
        """
        path = file_path(file, "the executable")
        form = form_of(path.name, runtime, arguments=arguments, overwrite=overwrite, nodes=nodes)
        others = {"dependentFiles": dependencies, "inputFiles": inputs}
        async with body_of(form, path, others) as source:
            answer = await self._service.upload(
                "tasks.deploy", source, ids=self._ids, form=form, on_progress=on_progress
            )
        self.state = self._calls.read(answer)
        return self.state

    async def link_files(self, files: Iterable[tuple[Task | tuple[str, str], str]]) -> int:
        """Have files of other tasks with it when it runs: pairs of the task that makes it, and its name.

            >>> await second.link_files([(first, "out.out")])

        A task is one of ours, or a project id and a task id. What is not there when it starts lets it fail. The same
        file of the same task is linked once, however often that is asked for. Returns how many this call linked.
        """
        links = [link_of(one) for one in files]
        if not links:
            raise ConfigError("there is no file to link")
        linked = await self._calls.link(self._ids, links)
        self.links = list(dict.fromkeys([*(self.links or []), *links]))
        return linked

    # -- running -------------------------------------------------------------------------------------------------------

    async def start(self) -> TaskStatus:
        """Run it: it is QUEUED. A scheduled one runs now, too."""
        return await self._act("start")

    async def pause(self) -> TaskStatus:
        """Hold it while it is RUNNING."""
        return await self._act("pause")

    async def resume(self) -> TaskStatus:
        """Go on with a PAUSED one."""
        return await self._act("resume")

    async def stop(self) -> TaskStatus:
        """End a run that is under way."""
        return await self._act("stop")

    async def cancel(self) -> TaskStatus:
        """Take a SCHEDULED or QUEUED one back."""
        return await self._act("cancel")

    async def restart(self) -> TaskStatus:
        """Run one again that has ended, in whatever way."""
        return await self._act("restart")

    async def _act(self, verb: str) -> TaskStatus:
        answer = await self._service.request("tasks.act", ids={**self._ids, "verb": verb})
        found = answer.json() if answer.body else None
        status = found.get("status") if isinstance(found, dict) else None
        if isinstance(status, str):
            self.state = self.state.model_copy(update={"status": TaskStatus(status)})
        return self.status

    async def reschedule(
        self, delayed_time: datetime | str | None = None, *, time_zone: str | None = None, **pattern: Unpack[Recurrence]
    ) -> TaskState:
        """Let it run once at another time, or again and again by another ``pattern``.

            >>> await task.reschedule("16-07-2027 12:35:56.789 IST")
            >>> await task.reschedule(hour=5, day=7)

        The arguments are those of ``tasks.delayed`` and ``tasks.recurrent``, and replace all of the schedule that there
        was, its time zone and limit too. Raises ``Conflict`` while it is under way.
        """
        if delayed_time is None:
            made = partial(recurrent, time_zone=time_zone or "UTC", **pattern)
        elif pattern:
            raise ConfigError("a task runs at a time or by a pattern, not both")
        else:
            zone = self._calls.default_timezone
            made = partial(delayed, delayed_time, time_zone=time_zone, default_timezone=zone)
        schedule = await in_thread(made)  # it may look for the zone's file
        answer = await self._service.request("tasks.reschedule", ids=self._ids, json=schedule)
        self.state = self._calls.read(answer)
        return self.state

    # -- waiting -------------------------------------------------------------------------------------------------------

    def wait(
        self, *, run: int | None = None, deadline: float | None = None, policy: PollPolicy = JOB_POLLING
    ) -> Poller[TaskState, TaskState]:
        """A poller for its end, or for that of its ``run``-th run: await it, or iterate over the states.

        ``deadline`` is in seconds and replaces that of the ``policy``. Of a recurrent task a run that failed is no end:
        look at the state's ``exit_code`` and ``message``.
        """
        return poller(
            self._calls, self.token(), self.job_name, run=run, deadline=deadline, policy=policy, seen=self._see
        )

    def states(self, *, deadline: float | None = None) -> AsyncIterator[TaskState]:
        """Every state seen until its end, which raises nothing whatever it is."""
        return aiter(self.wait(deadline=deadline))

    def __await__(self) -> Generator[Any, None, TaskState]:
        return self.wait().__await__()

    def _see(self, state: TaskState) -> None:
        self.state = state

    def token(self) -> str:
        """What another process needs to wait for it: ``tcup.tasks.wait(token)``."""
        return token_of(self.project_id, self.job_id)

    # -- what came of it -----------------------------------------------------------------------------------------------

    def logs(
        self, stream: str = "stdout", *, start: int = 0, follow: bool = True, policy: PollPolicy = LOG_POLLING
    ) -> Logs:
        """What it writes to ``stdout`` or ``stderr``, from byte ``start`` on: iterate for the lines, until it ends.

        Another run of it adds to what the last one wrote.
        """
        if stream not in ("stdout", "stderr"):
            raise ConfigError(f"a task writes to stdout and stderr, not to {stream!r}")

        def opener(offset: int) -> Any:
            return self._service.stream("tasks.logs", ids=self._ids, params={"stream": stream, "from": offset})

        async def ended() -> bool:
            return (await self.refresh()).status.final

        return Logs(opener, ended, start=start, follow=follow, policy=policy, clock=self._calls.watch.clock)

    def outputs(self) -> Listing[OutputFile]:
        """The files that it has produced."""
        return self._calls.outputs(self._ids)

    async def download(self, name: str, to: str | os.PathLike[str], *, on_progress: OnProgress | None = None) -> Path:
        """Save one of its outputs as ``to``, or under its own name in the folder ``to``; the path.

        The file appears when it is complete, and is gone on with after a cut.
        """
        return await self._save("tasks.output", {"file": name}, to, name, on_progress)

    async def export(self, to: str | os.PathLike[str], *, on_progress: OnProgress | None = None) -> Path:
        """Save all of it as a zip file, for ``tasks.import_``; see :meth:`download`."""
        return await self._save("tasks.export", {}, to, f"{self.job_name}.zip", on_progress)

    async def _save(
        self, call: str, ids: dict[str, str], to: str | os.PathLike[str], name: str, on_progress: OnProgress | None
    ) -> Path:
        target = file_path(to, "the download")
        if await in_thread(target.is_dir):
            target /= file_name(name, "output")
        return await self._service.download(call, target, ids={**self._ids, **ids}, on_progress=on_progress)

    async def copy(self, *, job: str, project: ProjectLike | None = None) -> Task:
        """Another task with what this one runs, by the name ``job``, in the same project or another."""
        made = Task(self._calls, await self._calls.copied(self._ids, job, project))
        made.links = None if self.links is None else [*self.links]
        return made

    async def delete(self) -> None:
        """Delete it. Raises ``Conflict`` while a run is under way."""
        await self._calls.gone(self._ids)


def link_of(given: tuple[Task | tuple[str, str], str]) -> Link:
    """Project, task and name of a file that is linked to. Raises ``ConfigError``."""
    match given:
        case (Task() as task, str(name)) if name:
            return task.project_id, task.job_id, name
        case ((str(project), str(job)), str(name)) if project and job and name:
            return project, job, name
    raise ConfigError(f"a linked file is a pair of a task (or its project id and its own) and a name, not {given!r}")


def token_of(project_id: str, job_id: str) -> str:
    """What names a task in one text."""
    return f"{quote(project_id, safe='')}/{quote(job_id, safe='')}"


def from_token(token: str) -> tuple[str, str]:
    """Project and task of a token. Raises ``ConfigError`` for what is none."""
    given: Any = token
    project, _, job = given.partition("/") if isinstance(given, str) else ("", "", "")
    if not project or not job or "/" in job:
        raise ConfigError(f"this is no token of a task: {str(given)[:80]!r}")
    return unquote(project), unquote(job)


def poller(
    calls: TaskCalls,
    token: str,
    name: str,
    *,
    run: int | None,
    deadline: float | None,
    policy: PollPolicy,
    seen: Callable[[TaskState], object] = lambda _: None,
) -> Poller[TaskState, TaskState]:
    """See ``Task.wait``."""
    if run is not None and (isinstance(run, bool) or run < 1):
        raise ConfigError(f"the first run is 1, not {run!r}")

    def done(state: TaskState) -> bool:
        # While one is under way it may be counted already.
        return state.status.final or (run is not None and (state.runs or 0) - state.status.active >= run)

    def result(state: TaskState) -> TaskState:
        if state.status.final and state.status is not TaskStatus.COMPLETED:
            raise OperationFailed(f"task {name} ({token}) {state.status}{calls.watch.scrub(_why(state))}", state=state)
        return state

    return calls.watch.poller(
        token, done=done, result=result, policy=policy, deadline=deadline, name=f"task {name} ({token})", seen=seen
    )


def _why(state: TaskState) -> str:
    code = "" if state.exit_code is None else f", exit code {state.exit_code}"
    return f"{code}: {state.message}" if state.message else code
