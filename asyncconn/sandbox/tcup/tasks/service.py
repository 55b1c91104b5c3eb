"""The task service.

Contract: tcup sections 7 and 13.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.tcup.ranges import file_answer
from asyncconn.sandbox.tcup.service import Service
from asyncconn.sandbox.tcup.tasks.archives import is_plain
from asyncconn.sandbox.tcup.tasks.deploying import exported, imported, read_all, read_deployment
from asyncconn.sandbox.tcup.tasks.engine import Engine
from asyncconn.sandbox.tcup.tasks.jobs import ACTIVE, ExternalFile, Project, Task
from asyncconn.sandbox.tcup.tasks.schedules import read_schedule
from asyncconn.sandbox.tcup.timers import Timers
from asyncconn.sandbox.tcup.voice import Refused, error_answer, json_answer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.sandbox.clock import MovableClock
    from asyncconn.sandbox.exchange import Call
    from asyncconn.sandbox.tcup.asking import Ask, Route

__all__ = ["Tasks"]

_PROJECT = "/projects/{pid}"
_TASKS = f"{_PROJECT}/tasks"
_TASK = f"{_TASKS}/{{tid}}"
_VERBS = ("start", "pause", "resume", "stop", "cancel", "restart")
_JOB_TYPES = ("IMMEDIATE", "DELAYED", "RECURRENT")
_STREAMED = ("deploy", "import")
_MOST_ON_A_PAGE = 1000


class Tasks(Service):
    """A tenant's projects and tasks. ``py`` tasks really run; ``engine`` has the knobs."""

    def __init__(self, clock: MovableClock) -> None:
        self.clock = clock
        self.engine = Engine(Timers(clock))

    # -- for the gateway -----------------------------------------------------------------------------------------------

    def routes(self) -> Iterable[Route]:
        """All calls."""
        yield from (
            ("POST", "/projects", self._create_project),
            ("GET", "/projects", self._list_projects),
            ("GET", _PROJECT, lambda ask: json_answer(self._project(ask).shown())),
            ("DELETE", _PROJECT, self._delete_project),
            ("POST", _TASKS, self._create),
            ("GET", _TASKS, self._list),
            ("POST", f"{_TASKS}/import", self._import),
            ("GET", _TASK, lambda ask: json_answer(self._task(ask).shown())),
            ("DELETE", _TASK, self._delete),
            ("POST", f"{_TASK}/deploy", self._deploy),
            ("PUT", f"{_TASK}/schedule", self._reschedule),
            ("POST", f"{_TASK}/copy", self._copy),
            ("POST", f"{_TASK}/externalFiles", self._link),
            ("GET", f"{_TASK}/outputs", self._outputs),
            ("GET", f"{_TASK}/outputs/{{file}}", self._output),
            ("GET", f"{_TASK}/logs", self._logs),
            ("GET", f"{_TASK}/export", self._export),
        )
        for verb in _VERBS:
            yield "POST", f"{_TASK}/{verb}", partial(self._do, verb)

    async def answer(self, call: Call) -> Answer:
        """Carry it out, after what was due before it."""
        self.engine.timers.tick()
        return await super().answer(call)

    @classmethod
    def takes_pieces(cls, method: str, below: str) -> bool:
        """Programs are not held while they arrive."""
        return method == "POST" and below.partition("?")[0].endswith(tuple(f"/{word}" for word in _STREAMED))

    @classmethod
    def worded(cls, refused: Refused) -> Answer:
        """Code, message and details."""
        details = refused.details or {}
        return error_answer(Refused(refused.status, refused.message, details=details, headers=refused.headers))

    async def close(self) -> None:
        """End every program."""
        await self.engine.close()

    # -- projects ------------------------------------------------------------------------------------------------------

    def _create_project(self, ask: Ask) -> Answer:
        name = _name(ask.document(), "projectName")
        for project in self.engine.projects.values():
            if project.name == name:
                raise Refused(409, "this project is there already", details={"projectId": project.id})
        project = Project(self.engine.next_id("P"), name, self.clock.utcnow())
        self.engine.projects[project.id] = project
        return json_answer(project.shown(), 201)

    def _list_projects(self, ask: Ask) -> Answer:
        name = ask.param("projectName")
        projects = [one.shown() for one in self.engine.projects.values() if not name or one.name == name]
        return json_answer({"projects": projects})

    def _delete_project(self, ask: Ask) -> Answer:
        project = self._project(ask)
        if not ask.flag("force") and (busy := [one.id for one in project.tasks.values() if one.status in ACTIVE]):
            raise Refused(409, "tasks of this project are under way", details={"jobIds": busy})
        for task in list(project.tasks.values()):
            self.engine.remove(task)
        del self.engine.projects[project.id]
        return Answer(204)

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def _create(self, ask: Ask) -> Answer:
        project, body = self._project(ask), ask.document()
        task = self._new(project, body)
        return json_answer(self.engine.add(task).shown(), 201)

    def _new(self, project: Project, body: dict[str, Any]) -> Task:
        name = self._free_name(project, _name(body, "jobName"))
        job_type, schedule = body.get("jobType", "IMMEDIATE"), body.get("schedule")
        if job_type not in _JOB_TYPES:
            raise Refused(400, f"jobType must be one of {', '.join(_JOB_TYPES)}")
        read = None if schedule is None else read_schedule(schedule, self.clock.utcnow())
        if read is not None and read.job_type != job_type:
            raise Refused(400, f"the schedule is not one of a {job_type} task")
        task = Task(project.id, self.engine.next_id("T"), name, name, job_type, self.clock.utcnow(), schedule=read)
        task.description = str(body.get("description") or "")
        return task

    def _list(self, ask: Ask) -> Answer:
        project, name, status = self._project(ask), ask.param("jobName"), ask.param("status")
        page = ask.number("page", 1, least=1, most=10**6)
        size = ask.number("size", 50, least=1, most=_MOST_ON_A_PAGE)
        found = [one for one in project.tasks.values() if name in ("", one.name) and status in ("", one.status)]
        tasks = [one.shown() for one in found[(page - 1) * size : page * size]]
        return json_answer({"tasks": tasks, "page": page, "size": size, "total": len(found)})

    def _delete(self, ask: Ask) -> Answer:
        task = self._task(ask)
        if task.status in ACTIVE:
            raise Refused(409, f"cannot delete a {task.status} task")
        self.engine.remove(task)
        return Answer(204)

    async def _deploy(self, ask: Ask) -> Answer:
        self._task(ask)
        deployed, overwrite = await read_deployment(ask.call)
        task = self._task(ask)  # it may have changed while the files came
        if task.status in ACTIVE:
            raise Refused(409, f"cannot deploy a {task.status} task")
        if task.deployed is not None and not overwrite:
            raise Refused(409, "the task is deployed already")
        self.engine.deploy(task, deployed)
        return json_answer(task.shown())

    def _do(self, verb: str, ask: Ask) -> Answer:
        task = self._task(ask)
        self.engine.do(verb, task)
        return json_answer({"jobId": task.id, "status": task.status}, 202)

    def _reschedule(self, ask: Ask) -> Answer:
        task = self._task(ask)
        schedule = read_schedule(ask.json(), self.clock.utcnow())
        if task.status in ACTIVE:
            raise Refused(409, f"cannot reschedule a {task.status} task")
        self.engine.reschedule(task, schedule)
        return json_answer(task.shown())

    def _copy(self, ask: Ask) -> Answer:
        task, body = self._task(ask), ask.document()
        project = self._project_by(str(body.get("projectId") or task.project_id))
        name = self._free_name(project, _name({"jobName": task.name, **body}, "jobName"))
        copied = task.copy(project.id, self.engine.next_id("T"), name, self.clock.utcnow())
        return json_answer(self.engine.add(copied).shown(), 201)

    def _link(self, ask: Ask) -> Answer:
        task, files = self._task(ask), ask.document().get("files")
        if not isinstance(files, list) or not files:
            raise Refused(400, "files must be a list of links")
        links = [_external(one) for one in files]
        for link in links:
            if self._project_by(link.project_id).tasks.get(link.task_id) is None:
                raise Refused(404, f"there is no task {link.task_id} in project {link.project_id}")
        task.links.update(dict.fromkeys(links))
        return json_answer({"linked": len(links)})

    # -- what a task leaves --------------------------------------------------------------------------------------------

    def _outputs(self, ask: Ask) -> Answer:
        outputs = self._task(ask).outputs
        return json_answer({"outputs": [{"fileName": name, "sizeBytes": data.size} for name, data in outputs.items()]})

    def _output(self, ask: Ask) -> Answer:
        name = ask.args["file"]
        data = self._task(ask).outputs.get(name)
        if data is None:
            raise Refused(404, f"the task has no output {name!r}")
        return file_answer(ask.call, data, name.rpartition("/")[2])

    def _logs(self, ask: Ask) -> Answer:
        stream = ask.param("stream", "stdout")
        if stream not in ("stdout", "stderr"):
            raise Refused(400, "stream must be stdout or stderr")
        start = ask.number("from", 0, least=0, most=10**9)
        printed = bytes(self._task(ask).printed[stream][start:])
        return Answer(200, printed, headers={"X-Next-Offset": str(start + len(printed))})

    def _export(self, ask: Ask) -> Answer:
        return Answer(200, exported(self._task(ask)), "application/zip")

    async def _import(self, ask: Ask) -> Answer:
        data = await read_all(ask.call)
        project = self._project(ask)
        about, deployed = imported(data)
        task = self._new(project, about)
        self.engine.add(task)
        if deployed is not None:
            self.engine.deploy(task, deployed)
        return json_answer(task.shown(), 201)

    # -- finding -------------------------------------------------------------------------------------------------------

    def _project(self, ask: Ask) -> Project:
        return self._project_by(ask.args["pid"])

    def _project_by(self, project_id: str) -> Project:
        project = self.engine.projects.get(project_id)
        if project is None:
            raise Refused(404, f"there is no project {project_id}")
        return project

    def _task(self, ask: Ask) -> Task:
        task = self._project(ask).tasks.get(ask.args["tid"])
        if task is None:
            raise Refused(404, f"there is no task {ask.args['tid']}")
        return task

    def _free_name(self, project: Project, name: str) -> str:
        for task in project.tasks.values():
            if task.name == name:
                raise Refused(409, "this project has such a task already", details={"jobId": task.id})
        return name


def _name(body: dict[str, Any], key: str) -> str:
    name = body.get(key)
    if not isinstance(name, str) or not name.strip():
        raise Refused(400, f"{key} is missing")
    return name


def _external(value: object) -> ExternalFile:
    if not isinstance(value, dict):
        raise Refused(400, "a link is not a JSON object")
    project_id, task_id, name = (_name(value, key) for key in ("projectId", "taskId", "fileName"))
    if not is_plain(name):
        raise Refused(400, f"{name!r} is no name of a file")
    return ExternalFile(project_id, task_id, name)
