"""The embedded task service."""

from __future__ import annotations

from asyncconn.sandbox.tcup.tasks.engine import Engine
from asyncconn.sandbox.tcup.tasks.jobs import ACTIVE, Task
from asyncconn.sandbox.tcup.tasks.schedules import Schedule, read_schedule
from asyncconn.sandbox.tcup.tasks.service import Tasks

__all__ = ["ACTIVE", "Engine", "Schedule", "Task", "Tasks", "read_schedule"]
