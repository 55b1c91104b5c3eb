"""What tasks and workflows are, as the platform tells of them at a moment. Contract: tcup sections 7.2, 7.4, 8.2, 8.3.

Unknown members are kept as attributes of their own name, an unknown word for a status is a status like any other, and
is not taken for an end.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from asyncconn.http.models import Flag, Int, Text, Word, leniently
from asyncconn.tcup.models import Model, Moment

__all__ = ["Definition", "Event", "OutputFile", "Project", "RunState", "RunStatus", "TaskState", "TaskStatus"]


class TaskStatus(Word):
    """Where a task stands."""

    CREATED = "CREATED"
    DEPLOYED = "DEPLOYED"
    SCHEDULED = "SCHEDULED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    CANCELLED = "CANCELLED"

    @property
    def active(self) -> bool:
        """Whether a run of it is under way: QUEUED, RUNNING, PAUSED."""
        return self in (TaskStatus.QUEUED, TaskStatus.RUNNING, TaskStatus.PAUSED)

    @property
    def final(self) -> bool:
        """Whether it stays so until somebody does something: COMPLETED, FAILED, STOPPED, CANCELLED."""
        return self in (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.STOPPED, TaskStatus.CANCELLED)


class RunStatus(Word):
    """Where a run of a workflow stands."""

    PREINITIATED = "PREINITIATED"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    RECOVERING = "RECOVERING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"

    @property
    def final(self) -> bool:
        """Whether it stays so unless somebody recovers it: COMPLETED, FAILED, ABORTED."""
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.ABORTED)


Schedule = Annotated[dict[str, Any] | None, leniently]
Ids = Annotated[list[str], Field(default_factory=list)]


class Project(Model):
    """What tasks are in."""

    project_id: str
    project_name: Text = None
    created_on: Moment = None


class TaskState(Model):
    """A task, as it was when it was asked for. ``runs`` counts those that ended, or all: the platform does not say."""

    project_id: str
    job_id: str
    job_name: Text = None
    job_type: Text = None
    status: TaskStatus
    run_time: Text = None
    file_name: Text = None
    arguments: Annotated[list[str] | None, leniently] = None
    no_of_nodes: Int = None
    schedule: Schedule = None
    runs: Int = None
    exit_code: Int = None
    created_on: Moment = None
    started_on: Moment = None
    ended_on: Moment = None
    message: Text = None
    description: Text = None


class OutputFile(Model):
    """A file that a task has produced."""

    file_name: str
    size_bytes: Int = None


class Definition(Model):
    """A workflow: the ``links`` of its tasks, and who may do what with it."""

    process_definition_id: str
    schedule_id: Text = None
    project_id: Text = None
    process_name: Text = None
    process_version: Text = None
    links: Any = None
    recovery_mode: Flag = None
    permissions: Any = None


class RunState(Model):
    """A run of a workflow, as it was when it was asked for: the ids are those of the copies that run."""

    process_instance_id: str
    process_definition_id: Text = None
    status: RunStatus
    executed_tasks: Ids
    running_tasks: Ids
    pending_tasks: Ids
    failed_tasks: Ids
    started_on: Moment = None
    ended_on: Moment = None


class Event(Model):
    """One thing that happened to a run: what, when, and to which task in which attempt."""

    time: Moment = None
    event: Text = None
    task_id: Text = None
    base_task_id: Text = None
    attempt: Int = None
    message: Text = None
