"""Workflows: made of pairs of tasks, begun, scheduled, permitted. Contract: tcup sections 8, 13.1, 13.4, 13.18."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from asyncconn.core.paging import Page, Pager
from asyncconn.core.threads import in_thread
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError, Conflict
from asyncconn.tcup.calling import Noun
from asyncconn.tcup.graph import END, START, as_set, links, wire
from asyncconn.tcup.listing import Listing
from asyncconn.tcup.names import all_of, is_plain, several
from asyncconn.tcup.resources.projects import named, other_id
from asyncconn.tcup.resources.run import Run, RunCalls, mapping_of
from asyncconn.tcup.resources.task import Task
from asyncconn.tcup.schedules import recurrent
from asyncconn.tcup.states import Definition, RunState, TaskStatus
from asyncconn.tcup.waiting import JOB_POLLING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Unpack

    from asyncconn.core.poll_group import PollGroup
    from asyncconn.core.polling import Poller, PollPolicy
    from asyncconn.tcup.schedules import Recurrence, Schedule

__all__ = ["Workflow", "Workflows"]


class Workflow(Unpicklable):
    """A definition: which task goes before which. ``definition`` is how it was last seen.

    >>> flow = await tcup.workflows.create([(first, second)], name="procTest1", version="verTest1")
    >>> run = await flow.pre_initiate()
    """

    _elsewhere = "hand over its id, and workflows.get it"

    def __init__(self, calls: RunCalls, definition: Definition, tasks: Mapping[str, Task] | None = None) -> None:
        self._calls = calls
        self._tasks = dict(tasks or {})
        self.definition = definition

    @property
    def id(self) -> str:
        """The id of the definition."""
        return self.definition.process_definition_id

    @property
    def name(self) -> str:
        """The name and the version."""
        return f"{self.definition.process_name or self.id} {self.definition.process_version or ''}".rstrip()

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r} ({self.id})>"

    @property
    def _ids(self) -> dict[str, str]:
        return {"definition": self.id}

    async def refresh(self) -> Definition:
        """Look at it now."""
        self.definition = await self._calls.definition(self.id)
        return self.definition

    async def pre_initiate(self) -> Run:
        """A run that is PREINITIATED: its tasks are copied, so that their files can be linked before it begins."""
        answer = await self._calls.service.request("definitions.pre_initiate", ids=self._ids)
        found = answer.json()
        mapping = mapping_of(found)
        return Run(self._calls, self._calls.read(RunState, found), mapping=mapping, tasks=self._tasks, name=self.name)

    def runs(self, *, status: str | None = None) -> Listing[Run]:
        """The runs that there are: all of them, or those of a ``status``."""
        params = {} if status is None else {"status": status}

        async def fetch(_: object) -> Page[Run]:
            states = await self._calls.every(RunState, "runs.list", "processInstances", ids=self._ids, params=params)
            return Page([Run(self._calls, state, tasks=self._tasks, name=self.name) for state in states])

        return Listing(Pager(fetch), RunState, lambda run: run.state)

    async def set_recovery_mode(self, on: bool) -> None:
        """Whether runs that failed, or were aborted, can be recovered."""
        await self._calls.service.request("definitions.set_recovery", ids=self._ids, json={"recoveryMode": bool(on)})
        self.definition = self.definition.model_copy(update={"recovery_mode": bool(on)})

    async def permit(self, users: Mapping[str, Iterable[str]]) -> None:
        """Say who may do what with it: ``{"user2": ["read", "execute"]}``."""
        if any(isinstance(actions, str) for actions in users.values()):
            raise ConfigError("the actions of a user are a list of words")
        body = {"users": [{"user": user, "actions": list(actions)} for user, actions in users.items()]}
        await self._calls.service.request("definitions.permit", ids=self._ids, json=body)

    async def schedule(self) -> Schedule | None:
        """When it runs by itself; None where it does not."""
        return await self._calls.schedule(await self._schedule_id())

    async def reschedule(self, *, time_zone: str = "UTC", **pattern: Unpack[Recurrence]) -> Schedule | None:
        """Let it run again and again: the arguments are those of ``tasks.recurrent``, and replace all there was."""
        schedule = await in_thread(partial(recurrent, time_zone=time_zone, **pattern))  # it may look for a zone's file
        return await self._calls.set_schedule(await self._schedule_id(), schedule)

    async def unschedule(self) -> None:
        """Let it run no more by itself."""
        await self._calls.set_schedule(await self._schedule_id(), None)

    async def _schedule_id(self) -> str:
        if not self.definition.schedule_id:
            await self.refresh()
        return self.definition.schedule_id or ""

    async def delete(self) -> None:
        """Delete it."""
        await self._calls.gone(self._ids)


class Workflows(Noun):
    """Make, find and wait for workflows.

    >>> async for ended in tcup.workflows.wait_all(runs):
    ...     print(ended.id, ended.state or ended.error)
    """

    def __init__(self, calls: RunCalls) -> None:
        super().__init__(calls.service)
        self._calls = calls

    async def create(
        self,
        pairs: Iterable[tuple[Task | str, Task | str]],
        *,
        name: str,
        version: str,
        recovery_mode: bool = False,
    ) -> Workflow:
        """The workflow of this name and version, made if there is none: each task of a pair runs after the first of it.

        The links from the start and to the end are implied; ``"start"`` and ``"end"`` may also stand in a pair, as for
        one task alone: ``[("start", task)]``. What is there by the name and version is taken if its links are the same.

        Raises ``ConfigError``, before anything is sent, for tasks that wait for each other, are of several projects or
        not deployed, which it names; ``Conflict`` for one that is there with other links.
        """
        given = several(pairs, "pairs")
        if wrong := [pair for pair in given if not (isinstance(pair, tuple | list) and len(pair) == 2)]:
            raise ConfigError(f"a pair is (a task, the one that runs after it), not {wrong[0]!r}")
        tasks = _tasks_of(given)
        made = links((_end_of(one), _end_of(other)) for one, other in given)
        body = {
            "projectId": next(iter(tasks.values())).project_id,
            "processName": named(name, "a workflow"),
            "processVersion": named(version, "a version"),
            "links": wire(made),
            "recoveryMode": recovery_mode,
        }
        try:
            answer = await self._caller.request("definitions.create", json=body)
        except Conflict as error:
            there = other_id(error, "processDefinitionId")
            found = None if there is None else await self._calls.definition(there)
            if found is None or as_set(found.links) != set(made):
                error.add_note(f"{name} {version} is there, with other links: give it another version")
                raise
            return Workflow(self._calls, found, tasks)
        said = self._calls.read(dict[str, Any], answer.json())
        return Workflow(self._calls, self._calls.read(Definition, {**body, **said}), tasks)

    async def get(self, id: str) -> Workflow:
        """The workflow of this id. Raises ``NotFound``."""
        return Workflow(self._calls, await self._calls.definition(id))

    def list(self, *, name: str | None = None, version: str | None = None) -> Listing[Workflow]:
        """All of them, or those of a name or version."""
        given = (("processName", name), ("processVersion", version))
        params = {key: value for key, value in given if value is not None}

        async def fetch(_: object) -> Page[Workflow]:
            found = await self._calls.every(Definition, "definitions.list", "processDefinitions", params=params)
            return Page([Workflow(self._calls, one) for one in found])

        return Listing(Pager(fetch), Definition, lambda flow: flow.definition)

    async def run(self, id: str) -> Run:
        """The run of this id, as it is now. Raises ``NotFound``."""
        return Run(self._calls, await self._calls.watch.ask(_run_id(id)))

    def wait(
        self, token: str, *, deadline: float | None = None, policy: PollPolicy = JOB_POLLING
    ) -> Poller[RunState, RunState]:
        """A poller for the ``token()`` of a run, of another process or of before: see ``run.wait``."""
        return self._calls.poller(_run_id(token), deadline=deadline, policy=policy)

    def wait_all(self, runs: Iterable[Run], *, policy: PollPolicy = JOB_POLLING) -> PollGroup[str, RunState]:
        """Many waited for together: iterate for each as it ends, in whatever way; the ids are the runs'."""
        ids = [one.id for one in all_of(Run, runs, "runs")]
        return self._calls.watch.group(ids, done=lambda state: state.status.final, policy=policy)


def _run_id(given: Any) -> str:
    if not isinstance(given, str) or not is_plain(given):
        raise ConfigError(f"the id of a run is a text, not {given!r}")
    return given


def _tasks_of(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Task]:
    """The tasks by their ids. Raises ``ConfigError`` for those that are none, of another project, or not deployed."""
    every = list(dict.fromkeys(one for pair in pairs for one in pair if one not in (START, END)))
    if strange := [one for one in every if not isinstance(one, Task)]:
        raise ConfigError(f"a workflow is of tasks, not of {', '.join(map(repr, strange))}: tasks.get() them")
    if not every:
        raise ConfigError("a workflow needs at least one pair of tasks")
    if len({task.project_id for task in every}) > 1:
        raise ConfigError(f"the tasks of a workflow are of one project, not {', '.join(map(repr, every))}")
    if undeployed := [task for task in every if task.status is TaskStatus.CREATED]:
        raise ConfigError(
            f"not deployed when last seen: {', '.join(map(repr, undeployed))}: deploy() or refresh() them"
        )
    return {task.job_id: task for task in every}


def _end_of(one: Task | str) -> str:
    return one.job_id if isinstance(one, Task) else one
