"""Projects and tasks, and what they look like from outside.

Contract: tcup sections 7.2, 7.4 and 7.6.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.tcup.times import sos_time

if TYPE_CHECKING:
    from datetime import datetime

    from asyncconn.sandbox.tcup.contents import Stored
    from asyncconn.sandbox.tcup.tasks.runs import Run
    from asyncconn.sandbox.tcup.tasks.schedules import Schedule
    from asyncconn.sandbox.tcup.timers import Timer

__all__ = ["ACTIVE", "ENDED", "Deployed", "ExternalFile", "Project", "Task"]

ACTIVE = frozenset({"QUEUED", "RUNNING", "PAUSED"})
ENDED = frozenset({"COMPLETED", "FAILED", "STOPPED", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class ExternalFile:
    """A file that another task leaves."""

    project_id: str
    task_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Deployed:
    """What was deployed. Bytes that were too many to keep are None: such a task cannot really run."""

    runtime: str
    name: str
    code: bytes | None = field(repr=False)
    dependents: bytes | None = field(default=None, repr=False)
    inputs: bytes | None = field(default=None, repr=False)
    arguments: tuple[str, ...] = ()
    nodes: int = 1


@dataclass(slots=True)
class Project:
    """Tasks in one place, by id."""

    id: str
    name: str
    created: datetime
    tasks: dict[str, Task] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """As the service shows it."""
        return {"projectId": self.id, "projectName": self.name, "createdOn": sos_time(self.created)}


@dataclass(slots=True)
class Task:
    """A task; ``armed`` while its schedule is in force, ``counted`` the runs since that was made.

    ``role`` is the name by which the sandbox is told how simulated runs end: that of the task it was copied from.
    """

    project_id: str
    id: str
    name: str
    role: str
    type: str
    created: datetime
    description: str = ""
    status: str = "CREATED"
    deployed: Deployed | None = None
    schedule: Schedule | None = None
    links: dict[ExternalFile, None] = field(default_factory=dict)
    runs: int = 0
    counted: int = 0
    exit_code: int | None = None
    started: datetime | None = None
    ended: datetime | None = None
    message: str = ""
    armed: bool = False
    outputs: dict[str, Stored] = field(default_factory=dict, repr=False)
    printed: defaultdict[str, bytearray] = field(default_factory=lambda: defaultdict(bytearray), repr=False)
    run: Run | None = field(default=None, repr=False)
    timer: Timer | None = field(default=None, repr=False)

    def shown(self) -> dict[str, Any]:
        """As the service shows it."""
        deployed = self.deployed
        return {
            "projectId": self.project_id,
            "jobId": self.id,
            "jobName": self.name,
            "jobType": self.type,
            "status": self.status,
            "runTime": None if deployed is None else deployed.runtime,
            "fileName": None if deployed is None else deployed.name,
            "arguments": [] if deployed is None else list(deployed.arguments),
            "noOfNodes": 1 if deployed is None else deployed.nodes,
            "schedule": None if self.schedule is None else self.schedule.document,
            "runs": self.runs,
            "exitCode": self.exit_code,
            "createdOn": sos_time(self.created),
            "startedOn": None if self.started is None else sos_time(self.started),
            "endedOn": None if self.ended is None else sos_time(self.ended),
            "message": self.message,
        }

    def copy(self, project_id: str, task_id: str, name: str, now: datetime) -> Task:
        """Another one that was never run; its schedule is not in force."""
        return Task(
            project_id,
            task_id,
            name,
            self.role,
            self.type,
            now,
            self.description,
            "CREATED" if self.deployed is None else "DEPLOYED",
            self.deployed,
            self.schedule,
            dict(self.links),
        )
