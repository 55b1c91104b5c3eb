"""One run of a workflow: prepared, begun, waited for, recovered. Contract: tcup sections 7.6, 8, 13.29, 13.39."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError, OperationFailed, ProtocolError
from asyncconn.http.outgoing import json_body
from asyncconn.tcup.calling import Noun
from asyncconn.tcup.resources.task import Task, link_of, token_of
from asyncconn.tcup.states import Definition, Event, RunState, RunStatus
from asyncconn.tcup.waiting import JOB_POLLING, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping

    from asyncconn.core.polling import Poller, PollPolicy
    from asyncconn.tcup.calling import Service
    from asyncconn.tcup.listing import Listing
    from asyncconn.tcup.resources.task import Link, TaskCalls

__all__ = ["Run", "RunCalls", "mapping_of"]

T = TypeVar("T")


class RunCalls(Noun):
    """What a run, a workflow, and the noun that they came from, ask of the service."""

    def __init__(self, service: Service, tasks: TaskCalls, *, places: int) -> None:
        super().__init__(service)
        self.service = service
        self.tasks = tasks
        self.watch: Watch[RunState] = Watch(
            self._asked, places=places, clock=service.clock, http=service.http, name="tcup:runs"
        )

    async def _asked(self, token: str) -> RunState:
        return await self._one(RunState, "runs.get", ids={"run": token})

    async def definition(self, id: str) -> Definition:
        """A definition, as it is now."""
        return await self._one(Definition, "definitions.get", ids={"definition": id})

    def read(self, kind: type[T], found: Any) -> T:
        """One thing of an answer."""
        return self._made(kind, found)

    async def every(self, kind: type[T], name: str, items: str, **options: Any) -> list[T]:
        """The whole list of an answer."""
        return await self._pages(kind, name, items=items, **options).collect()

    async def schedule(self, id: str) -> dict[str, Any] | None:
        """See ``Workflow.schedule``."""
        return _schedule_of(await self._json("schedules.get", ids={"schedule": id}))

    async def set_schedule(self, id: str, schedule: dict[str, Any] | None) -> dict[str, Any] | None:
        """See ``Workflow.reschedule``."""
        # As json= None would be no body at all.
        headers, body = {"Content-Type": "application/json"}, json_body(schedule)
        return _schedule_of(await self._json("schedules.set", ids={"schedule": id}, data=body, headers=headers))

    async def gone(self, ids: dict[str, str]) -> None:
        """See ``Workflow.delete``."""
        await self._gone("definitions.delete", ids=ids)

    async def mapping(self, run_id: str) -> dict[str, str]:
        """See ``Run.mapping``."""
        return mapping_of(await self._json("runs.mapping", ids={"run": run_id}))

    async def act(self, run_id: str, verb: str) -> RunStatus | None:
        """Do something with a run; the status it has just entered, if the answer says."""
        found = await self._json("runs.act", ids={"run": run_id, "verb": verb})
        status = found.get("status") if isinstance(found, dict) else None
        return RunStatus(status) if isinstance(status, str) else None

    def history(self, run_id: str) -> Listing[Event]:
        """See ``Run.history``."""
        return self._listing(Event, "runs.history", items="events", ids={"run": run_id})

    def poller(
        self,
        token: str,
        *,
        deadline: float | None,
        policy: PollPolicy,
        called: Mapping[str, str] | None = None,
        name: str = "",
        seen: Callable[[RunState], object] = lambda _: None,
    ) -> Poller[RunState, RunState]:
        """See ``Run.wait``. ``called`` says of a copy's id whose copy it is."""
        what = f"run {token} of {name}" if name else f"run {token}"

        def result(state: RunState) -> RunState:
            if state.status is RunStatus.COMPLETED:
                return state
            failed = ", ".join((called or {}).get(task, task) for task in state.failed_tasks)
            raise OperationFailed(f"{what} {state.status}{f': {failed} failed' if failed else ''}", state=state)

        return self.watch.poller(
            token,
            done=lambda state: state.status.final,
            result=result,
            policy=policy,
            deadline=deadline,
            name=what,
            seen=seen,
        )


class Run(Unpicklable):
    """A run of a workflow: await it for its end, iterate over :meth:`states` for every state seen.

        >>> run = await flow.pre_initiate()
        >>> await run.relink()
        >>> await run.initiate()
        >>> state = await run

    It runs on copies of the tasks: :meth:`mapping` tells which. ``state`` is how it was last seen. A verb that its
    status does not allow is a ``Conflict``; one whose answer was lost is never repeated (``MaybeSent``): look at it.

    Awaiting raises ``OperationFailed``, which names the failed tasks and has the state, for one that did not end as
    COMPLETED; ``PollTimeout`` (with the ``token()``) after a day: :meth:`wait` takes another deadline.
    """

    _elsewhere = "hand over its token(), and workflows.wait for that; or its id, and workflows.run it"

    def __init__(
        self,
        calls: RunCalls,
        state: RunState,
        *,
        mapping: Mapping[str, str] | None = None,
        tasks: Mapping[str, Task] | None = None,
        name: str = "",
    ) -> None:
        self._calls = calls
        self._mapping = dict(mapping or {})
        self._tasks = dict(tasks or {})  # the base tasks, as far as they are known here
        self._name = name
        self._project_id = next((task.project_id for task in self._tasks.values()), "")
        self.state = state

    @property
    def id(self) -> str:
        """Its id."""
        return self.state.process_instance_id

    @property
    def status(self) -> RunStatus:
        """Where it stood when it was last seen."""
        return self.state.status

    def __repr__(self) -> str:
        return f"<Run {self.id}{f' of {self._name}' if self._name else ''} {self.status}>"

    async def refresh(self) -> RunState:
        """Look at it now."""
        self.state = await self._calls.watch.ask(self.id)
        return self.state

    # -- its tasks -----------------------------------------------------------------------------------------------------

    async def mapping(self) -> dict[str, str]:
        """The ids of the copies that run, by those of the tasks that they are copies of."""
        self._mapping = await self._calls.mapping(self.id)
        return dict(self._mapping)

    async def task(self, base: Task | str) -> Task:
        """The copy of a task (one of ours, or an id) in this run. Raises ``ConfigError`` for one it does not have."""
        [copy] = await self._copies([base])
        calls = self._calls.tasks
        return Task(calls, await calls.watch.ask(token_of(await self._project(), copy)))

    async def relink(
        self, links: Mapping[Task | str, Iterable[tuple[Task | tuple[str, str], str]]] | None = None
    ) -> int:
        """Link the copies to files as their base tasks are, to those of copies where there are such; how many.

        Copies have no file links, so this belongs between :meth:`Workflow.pre_initiate` and :meth:`initiate`. What the
        base tasks are linked to nobody but the client knows that linked them: where that was another one, say it by
        ``links``, as ``task.link_files`` takes them, by the base task (or its id).

        Raises ``ConfigError`` where no link is known, and for a task that the run does not have.
        """
        if links is None:
            wanted: dict[str, list[Link]] = {base: [*task.links] for base, task in self._tasks.items() if task.links}
        else:
            wanted = {_id_of(base): [link_of(file) for file in files] for base, files in links.items()}
        wanted = {base: files for base, files in wanted.items() if files}
        if not wanted:
            raise ConfigError("no file links of the base tasks are known here: link_files() there first, or say links=")
        copies = await self._copies(wanted)
        project = await self._project()
        total = 0
        for copy, files in zip(copies, wanted.values(), strict=True):
            own = [
                (where, self._mapping.get(task, task) if where == project else task, name)
                for where, task, name in files
            ]
            total += await self._calls.tasks.link({"project": project, "task": copy}, own)
        return total

    async def _copies(self, bases: Iterable[Task | str]) -> list[str]:
        ids = [_id_of(base) for base in bases]
        if not self._mapping:
            await self.mapping()
        if strange := [base for base in ids if base not in self._mapping]:
            raise ConfigError(f"run {self.id} has no copy of {', '.join(strange)}")
        return [self._mapping[base] for base in ids]

    async def _project(self) -> str:
        if not self._project_id:
            if not self.state.process_definition_id:
                await self.refresh()
            definition = await self._calls.definition(self.state.process_definition_id or "")
            self._project_id = definition.project_id or ""
        return self._project_id

    # -- running -------------------------------------------------------------------------------------------------------

    async def initiate(self) -> RunStatus:
        """Begin."""
        return await self._act("initiate")

    async def pause(self) -> RunStatus:
        """Begin no further task; those that run go on to their end."""
        return await self._act("pause")

    async def resume(self) -> RunStatus:
        """Go on with a PAUSED one."""
        return await self._act("resume")

    async def abort(self) -> RunStatus:
        """End it; the tasks that run are stopped."""
        return await self._act("abort")

    async def recover(self) -> RunStatus:
        """Go on with one that FAILED or was ABORTED, if the workflow's recovery mode is on: what is done stays."""
        return await self._act("recover")

    async def _act(self, verb: str) -> RunStatus:
        status = await self._calls.act(self.id, verb)
        if status is not None:
            self.state = self.state.model_copy(update={"status": status})
        return self.status

    # -- waiting -------------------------------------------------------------------------------------------------------

    def wait(self, *, deadline: float | None = None, policy: PollPolicy = JOB_POLLING) -> Poller[RunState, RunState]:
        """A poller for its end: await it, or iterate over the states. ``deadline`` (seconds) replaces the policy's."""
        called = {copy: self._called(copy, base) for base, copy in self._mapping.items()}
        return self._calls.poller(
            self.id, deadline=deadline, policy=policy, called=called, name=self._name, seen=self._see
        )

    def _called(self, copy: str, base: str) -> str:
        name = self._tasks[base].state.job_name if base in self._tasks else None
        return f"{copy} (copy of {base}{f', {name}' if name else ''})"

    def states(self, *, deadline: float | None = None) -> AsyncIterator[RunState]:
        """Every state seen until its end, which raises nothing whatever it is."""
        return aiter(self.wait(deadline=deadline))

    def __await__(self) -> Generator[Any, None, RunState]:
        return self.wait().__await__()

    def _see(self, state: RunState) -> None:
        self.state = state

    def token(self) -> str:
        """What another process needs to wait for it: ``tcup.workflows.wait(token)``."""
        return self.id

    def history(self) -> Listing[Event]:
        """What happened to it and its tasks, the oldest first."""
        return self._calls.history(self.id)


def mapping_of(found: Any) -> dict[str, str]:
    """The ids of copies by those of their base tasks. Raises ``ProtocolError`` for an answer without them."""
    try:
        return {one["baseTaskId"]: one["copiedTaskId"] for one in found["taskIds"]}
    except (TypeError, LookupError):
        pass
    raise ProtocolError("a run tells of no copies: taskIds, each with a baseTaskId and a copiedTaskId")


def _schedule_of(found: Any) -> dict[str, Any] | None:
    schedule = found.get("schedule") if isinstance(found, dict) else None
    return schedule if isinstance(schedule, dict) else None


def _id_of(task: Task | str) -> str:
    return task.job_id if isinstance(task, Task) else task
