"""The workflow service: tasks in an order, each run of it on copies of them.

Contract: tcup sections 8, 13.18 and 13.29.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.tcup.service import Service
from asyncconn.sandbox.tcup.tasks import ACTIVE, Schedule, read_schedule
from asyncconn.sandbox.tcup.times import sos_time
from asyncconn.sandbox.tcup.voice import Refused, error_answer, json_answer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from asyncconn.sandbox.exchange import Call
    from asyncconn.sandbox.tcup.asking import Ask, Route
    from asyncconn.sandbox.tcup.tasks import Engine, Task
    from asyncconn.sandbox.tcup.timers import Timer

__all__ = ["Workflows"]

_START, _END = "start", "end"
_DEFINITION = "/processDefinitions/{did}"
_INSTANCE = "/processInstances/{iid}"
_UNDER_WAY = frozenset({"RUNNING", "PAUSED", "RECOVERING"})
#: From which states a verb leads on, and into which.
_VERBS: dict[str, tuple[frozenset[str], str]] = {
    "initiate": (frozenset({"PREINITIATED"}), "RUNNING"),
    "pause": (frozenset({"RUNNING"}), "PAUSED"),
    "resume": (frozenset({"PAUSED"}), "RUNNING"),
    "abort": (_UNDER_WAY | {"PREINITIATED"}, "ABORTED"),
    "recover": (frozenset({"FAILED", "ABORTED"}), "RECOVERING"),
}
_WORDS = {"initiate": "INITIATED", "pause": "PAUSED", "resume": "RESUMED", "abort": "ABORTED", "recover": "RECOVERED"}
_ACTIONS = ("read", "execute")
_RECOVERY_SECONDS = 0.05

Links = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Definition:
    """A process: tasks of one project, and which comes after which."""

    id: str
    schedule_id: str
    project_id: str
    name: str
    version: str
    links: Links
    recovery: bool
    permissions: list[dict[str, Any]] = field(default_factory=list)
    schedule: Schedule | None = None
    runs: int = 0
    timer: Timer | None = None

    def tasks(self) -> list[str]:
        """The ids of its tasks, each once, in the order of the links."""
        ends = [one for link in self.links for one in link if one not in (_START, _END)]
        return list(dict.fromkeys(ends))

    def shown(self) -> dict[str, Any]:
        """As the service shows it."""
        return {
            "processDefinitionId": self.id,
            "scheduleId": self.schedule_id,
            "projectId": self.project_id,
            "processName": self.name,
            "processVersion": self.version,
            "links": [{"source": source, "destination": destination} for source, destination in self.links],
            "recoveryMode": self.recovery,
            "permissions": self.permissions,
        }

    def shown_schedule(self) -> dict[str, Any]:
        """Its schedule, as the service shows it."""
        document = None if self.schedule is None else self.schedule.document
        return {"scheduleId": self.schedule_id, "processDefinitionId": self.id, "schedule": document}


@dataclass(slots=True)
class _Instance:
    """A run of a process: ``copies`` by the id of what they were copied from."""

    id: str
    definition: _Definition
    copies: dict[str, Task]
    status: str = "PREINITIATED"
    attempt: int = 1
    done: set[str] = field(default_factory=set)  # by base id, as are the next ones
    failed: set[str] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)  # by hand; they count as pending, and are not begun again
    events: list[dict[str, Any]] = field(default_factory=list)
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def under_way(self) -> bool:
        """Whether it goes on, or will."""
        return self.status in _UNDER_WAY

    def mapping(self) -> list[dict[str, str]]:
        """Which task is the copy of which."""
        return [{"baseTaskId": base, "copiedTaskId": copy.id} for base, copy in self.copies.items()]

    def shown(self) -> dict[str, Any]:
        """As the service shows it."""
        known = self.done | self.failed | self.begun
        return {
            "processInstanceId": self.id,
            "processDefinitionId": self.definition.id,
            "status": self.status,
            "executedTasks": self._ids(self.done),
            "runningTasks": self._ids(self.begun),
            "pendingTasks": self._ids(self.copies.keys() - known),
            "failedTasks": self._ids(self.failed),
            "startedOn": None if self.started is None else sos_time(self.started),
            "endedOn": None if self.ended is None else sos_time(self.ended),
        }

    def ready(self) -> list[str]:
        """The tasks that may begin: all before them are done."""
        before = defaultdict(set)
        for source, destination in self.definition.links:
            if source != _START:
                before[destination].add(source)
        known = self.done | self.failed | self.begun | self.stopped
        return [base for base in self.copies if base not in known and before[base] <= self.done]

    def _ids(self, bases: Iterable[str]) -> list[str]:
        wanted = set(bases)
        return [copy.id for base, copy in self.copies.items() if base in wanted]


class Workflows(Service):
    """A tenant's processes, over the tasks of ``engine``; ``instances`` are their runs, by id."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._clock = engine.timers.clock
        self._definitions: dict[str, _Definition] = {}
        self.instances: dict[str, _Instance] = {}
        self._by_copy: dict[str, tuple[_Instance, str]] = {}
        engine.on_end.append(self._task_ended)

    # -- for the gateway -----------------------------------------------------------------------------------------------

    def routes(self) -> Iterable[Route]:
        """All calls."""
        yield from (
            ("POST", "/processDefinitions", self._create),
            ("GET", "/processDefinitions", self._list),
            ("GET", _DEFINITION, lambda ask: json_answer(self._definition(ask).shown())),
            ("DELETE", _DEFINITION, self._delete),
            ("PUT", f"{_DEFINITION}/permissions", self._permit),
            ("PUT", f"{_DEFINITION}/recoveryMode", self._set_recovery),
            ("POST", f"{_DEFINITION}/preInitiate", self._pre_initiate),
            ("GET", f"{_DEFINITION}/processInstances", self._list_instances),
            ("GET", "/schedules/{sid}", lambda ask: json_answer(self._scheduled(ask).shown_schedule())),
            ("PUT", "/schedules/{sid}", self._schedule),
            ("GET", _INSTANCE, lambda ask: json_answer(self._instance(ask).shown())),
            ("GET", f"{_INSTANCE}/mapping", self._mapping),
            ("GET", f"{_INSTANCE}/history", self._history),
        )
        for verb in _VERBS:
            yield "POST", f"{_INSTANCE}/{verb}", partial(self._do, verb)

    async def answer(self, call: Call) -> Answer:
        """Carry it out, after what was due before it."""
        self._engine.timers.tick()
        return await super().answer(call)

    @classmethod
    def worded(cls, refused: Refused) -> Answer:
        """Code, message and details."""
        details = refused.details or {}
        return error_answer(Refused(refused.status, refused.message, details=details, headers=refused.headers))

    # -- definitions ---------------------------------------------------------------------------------------------------

    def _create(self, ask: Ask) -> Answer:
        body = ask.document()
        names = [body.get(key) for key in ("projectId", "processName", "processVersion")]
        if not all(isinstance(name, str) and name for name in names):
            raise Refused(400, "projectId, processName and processVersion must be texts")
        project_id, name, version = map(str, names)
        for there in self._definitions.values():
            if (there.name, there.version) == (name, version):
                details = {"processDefinitionId": there.id, "scheduleId": there.schedule_id}
                raise Refused(409, "this process is there already", details=details)
        if not isinstance(recovery := body.get("recoveryMode", False), bool):
            raise Refused(400, "recoveryMode must be true or false")
        links = _links(body.get("links"))
        ids = self._engine.next_id("D"), self._engine.next_id("S")
        made = _Definition(*ids, project_id, name, version, links, recovery)
        self._check_tasks(made)
        self._definitions[made.id] = made
        words = {"message": "Process definition created successfully"}
        return json_answer({"processDefinitionId": made.id, "scheduleId": made.schedule_id, **words}, 201)

    def _check_tasks(self, definition: _Definition) -> None:
        project = self._engine.projects.get(definition.project_id)
        for task_id in definition.tasks():
            task = None if project is None else project.tasks.get(task_id)
            if task is None:
                raise Refused(400, f"there is no task {task_id} in project {definition.project_id}")
            if task.status == "CREATED":
                raise Refused(400, f"task {task_id} is not deployed")

    def _list(self, ask: Ask) -> Answer:
        name, version = ask.param("processName"), ask.param("processVersion")
        found = [
            one.shown() for one in self._definitions.values() if name in ("", one.name) and version in ("", one.version)
        ]
        return json_answer({"processDefinitions": found})

    def _delete(self, ask: Ask) -> Answer:
        definition = self._definition(ask)
        if any(one.status in _UNDER_WAY for one in self._instances_of(definition)):
            raise Refused(409, "instances of this process are under way")
        if definition.timer is not None:
            definition.timer.cancel()
        del self._definitions[definition.id]
        return Answer(204)

    def _permit(self, ask: Ask) -> Answer:
        definition, users = self._definition(ask), ask.document().get("users")
        if not isinstance(users, list) or not all(_is_permission(one) for one in users):
            raise Refused(400, "users must be a list of users with their actions, read or execute")
        definition.permissions = users
        return json_answer(definition.shown())

    def _set_recovery(self, ask: Ask) -> Answer:
        definition, mode = self._definition(ask), ask.document().get("recoveryMode")
        if not isinstance(mode, bool):
            raise Refused(400, "recoveryMode must be true or false")
        definition.recovery = mode
        return json_answer(definition.shown())

    # -- schedules -----------------------------------------------------------------------------------------------------

    def _schedule(self, ask: Ask) -> Answer:
        definition, value = self._scheduled(ask), ask.json()
        schedule = None if value is None else read_schedule(value, self._clock.utcnow())
        if schedule is not None and schedule.cron is None:
            raise Refused(400, "the schedule of a process must be recurrent")
        if definition.timer is not None:
            definition.timer.cancel()
        definition.schedule, definition.runs, definition.timer = schedule, 0, None
        self._arm(definition)
        return json_answer(definition.shown_schedule())

    def _arm(self, definition: _Definition) -> None:
        schedule = definition.schedule
        if schedule is not None and not 0 < schedule.limit <= definition.runs:
            due = schedule.next_after(self._clock.utcnow())
            definition.timer = self._engine.timers.at(due, lambda: self._run_by_schedule(definition))

    def _run_by_schedule(self, definition: _Definition) -> None:
        definition.runs += 1
        if all(base in self._engine.tasks for base in definition.tasks()):
            self._enter(self._instantiate(definition), "initiate")
        self._arm(definition)

    # -- instances -----------------------------------------------------------------------------------------------------

    def _pre_initiate(self, ask: Ask) -> Answer:
        definition = self._definition(ask)
        self._check_tasks(definition)
        instance = self._instantiate(definition)
        body = {"processInstanceId": instance.id, "status": instance.status, "taskIds": instance.mapping()}
        return json_answer(body, 201)

    def _instantiate(self, definition: _Definition) -> _Instance:
        """An instance, with copies that have no links to files yet."""
        instance = _Instance(self._engine.next_id("I"), definition, {})
        for base in definition.tasks():
            task, copy_id = self._engine.tasks[base], self._engine.next_id("T")
            name = f"{task.name}-{instance.id}"
            copy = task.copy(task.project_id, copy_id, name, self._clock.utcnow())
            copy.links.clear()
            instance.copies[base] = self._engine.add(copy)
            self._by_copy[copy_id] = instance, base
        self.instances[instance.id] = instance
        self._note(instance, "PREINITIATED")
        return instance

    def _list_instances(self, ask: Ask) -> Answer:
        status = ask.param("status")
        found = [one.shown() for one in self._instances_of(self._definition(ask)) if status in ("", one.status)]
        return json_answer({"processInstances": found})

    def _mapping(self, ask: Ask) -> Answer:
        instance = self._instance(ask)
        return json_answer({"processInstanceId": instance.id, "taskIds": instance.mapping()})

    def _history(self, ask: Ask) -> Answer:
        instance = self._instance(ask)
        return json_answer({"processInstanceId": instance.id, "events": instance.events})

    def _do(self, verb: str, ask: Ask) -> Answer:
        instance = self._instance(ask)
        if instance.status not in _VERBS[verb][0]:
            raise Refused(409, f"cannot {verb} a {instance.status} process")
        if verb == "recover" and not instance.definition.recovery:
            raise Refused(409, "the recovery mode of this process is off")
        status = self._enter(instance, verb)
        return json_answer({"processInstanceId": instance.id, "status": status}, 202)

    def _enter(self, instance: _Instance, verb: str) -> str:
        """Into the state that a verb leads to."""
        instance.status = entered = _VERBS[verb][1]
        if verb == "recover":
            instance.attempt += 1
        self._note(instance, _WORDS[verb])
        match verb:
            case "initiate":
                instance.started = self._clock.utcnow()
                self._go_on(instance)
            case "resume":
                self._go_on(instance)
            case "abort":
                self._abort(instance)
            case "recover":
                instance.failed.clear()
                instance.stopped.clear()
                instance.started, instance.ended = instance.started or self._clock.utcnow(), None
                self._engine.timers.after(_RECOVERY_SECONDS, lambda: self._recovered(instance))
        return entered

    def _recovered(self, instance: _Instance) -> None:
        if instance.status == "RECOVERING":
            instance.status = "RUNNING"
            self._go_on(instance)

    def _abort(self, instance: _Instance) -> None:
        instance.ended = self._clock.utcnow()
        begun, instance.begun = instance.begun, set()
        for base in begun:
            if instance.copies[base].status in ACTIVE:
                self._engine.do("stop", instance.copies[base])

    def _go_on(self, instance: _Instance) -> None:
        """Begin what may begin; end what has nothing left."""
        if instance.status != "RUNNING":
            return
        for base in instance.ready():
            instance.begun.add(base)
            self._engine.begin(instance.copies[base])
            self._note(instance, "TASK_STARTED", base)
        if not instance.begun:
            whole = len(instance.done) == len(instance.copies)
            instance.status = "COMPLETED" if whole else "FAILED"
            instance.ended = self._clock.utcnow()
            self._note(instance, instance.status)

    def _task_ended(self, task: Task) -> None:
        instance, base = self._by_copy.get(task.id, (None, ""))
        if instance is None or base not in instance.begun:
            return
        instance.begun.discard(base)
        if task.status == "COMPLETED":
            instance.done.add(base)
            self._note(instance, "TASK_COMPLETED", base)
        elif task.status == "FAILED":
            instance.failed.add(base)
            self._note(instance, "TASK_FAILED", base, task.message)
        else:
            instance.stopped.add(base)
        self._go_on(instance)

    def _note(self, instance: _Instance, event: str, base: str | None = None, message: str = "") -> None:
        instance.events.append(
            {
                "time": sos_time(self._clock.utcnow()),
                "taskId": None if base is None else instance.copies[base].id,
                "baseTaskId": base,
                "event": event,
                "attempt": instance.attempt,
                "message": message,
            }
        )

    # -- finding -------------------------------------------------------------------------------------------------------

    def _definition(self, ask: Ask) -> _Definition:
        found = self._definitions.get(ask.args["did"])
        if found is None:
            raise Refused(404, f"there is no process definition {ask.args['did']}")
        return found

    def _scheduled(self, ask: Ask) -> _Definition:
        for definition in self._definitions.values():
            if definition.schedule_id == ask.args["sid"]:
                return definition
        raise Refused(404, f"there is no schedule {ask.args['sid']}")

    def _instance(self, ask: Ask) -> _Instance:
        found = self.instances.get(ask.args["iid"])
        if found is None:
            raise Refused(404, f"there is no process instance {ask.args['iid']}")
        return found

    def _instances_of(self, definition: _Definition) -> list[_Instance]:
        return [one for one in self.instances.values() if one.definition is definition]


def _is_permission(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("user"), str):
        return False
    actions = value.get("actions")
    return isinstance(actions, list) and all(action in _ACTIONS for action in actions)


def _links(value: object) -> Links:
    """From start to end without a circle. Raises 400."""
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise Refused(400, "links must be a list of objects")
    links = tuple(dict.fromkeys((str(one.get("source")), str(one.get("destination"))) for one in value))
    after: defaultdict[str, set[str]] = defaultdict(set)
    for source, destination in links:
        if source == _END or destination == _START:
            raise Refused(400, "nothing comes before start or after end")
        after[source].add(destination)
    tasks = {one for link in links for one in link} - {_START, _END}
    for task in sorted(tasks):
        if not after[task] or not any(task in ends for ends in after.values()):
            raise Refused(400, f"task {task} needs a link that leads to it and one that leads on")
    if not tasks:
        raise Refused(400, "a process needs a task")
    _refuse_circles(after)
    return links


def _refuse_circles(after: dict[str, set[str]]) -> None:
    waiting = {one: set(ends) for one, ends in after.items() if ends}
    while waiting:
        leaves = [one for one, ends in waiting.items() if not ends & waiting.keys()]
        if not leaves:
            raise Refused(400, "the links go in a circle")
        for one in leaves:
            del waiting[one]
