"""TCUP: sensor observations, message routing, the data lake, tasks and workflows."""

from asyncconn.core.progress import Progress
from asyncconn.tcup import errors
from asyncconn.tcup.client import Tcup
from asyncconn.tcup.documents import payload
from asyncconn.tcup.envelope import ItemResult
from asyncconn.tcup.errors import DocumentRefused, PartlyRefused
from asyncconn.tcup.lake_models import Directory, LakeFile, Link, MetadataRule, Outcome, Outcomes, Permission
from asyncconn.tcup.models import Capabilities, Feature, ObservedProperty, Output, Sensor
from asyncconn.tcup.patterns import Pattern
from asyncconn.tcup.resources.logs import Logs
from asyncconn.tcup.resources.run import Run
from asyncconn.tcup.resources.task import Task
from asyncconn.tcup.resources.workflows import Workflow
from asyncconn.tcup.routing_rules import Area, Condition, routing_rule
from asyncconn.tcup.states import (
    Definition,
    Event,
    OutputFile,
    Project,
    RunState,
    RunStatus,
    TaskState,
    TaskStatus,
)

__all__ = [
    "Area",
    "Capabilities",
    "Condition",
    "Definition",
    "Directory",
    "DocumentRefused",
    "Event",
    "Feature",
    "ItemResult",
    "LakeFile",
    "Link",
    "Logs",
    "MetadataRule",
    "ObservedProperty",
    "Outcome",
    "Outcomes",
    "Output",
    "OutputFile",
    "PartlyRefused",
    "Pattern",
    "Permission",
    "Progress",
    "Project",
    "Run",
    "RunState",
    "RunStatus",
    "Sensor",
    "Task",
    "TaskState",
    "TaskStatus",
    "Tcup",
    "Workflow",
    "errors",
    "payload",
    "routing_rule",
]
