"""The embedded task service."""

from __future__ import annotations

from asyncconn.sandbox.tcup.tasks.engine import Engine
from asyncconn.sandbox.tcup.tasks.jobs import Task
from asyncconn.sandbox.tcup.tasks.service import Tasks

__all__ = ["Engine", "Task", "Tasks"]
