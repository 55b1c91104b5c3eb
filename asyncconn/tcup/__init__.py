"""TCUP: sensor observations, message routing, the data lake, tasks and workflows."""

from asyncconn.core.progress import Progress
from asyncconn.tcup import errors
from asyncconn.tcup.client import Tcup
from asyncconn.tcup.csv_files import CsvReport
from asyncconn.tcup.documents import payload
from asyncconn.tcup.envelope import ItemResult
from asyncconn.tcup.errors import DocumentRefused, PartlyRefused
from asyncconn.tcup.inserting import InsertReport
from asyncconn.tcup.lake_models import (
    Comment,
    Directory,
    Entry,
    LakeFile,
    LakeUser,
    Link,
    MetadataRule,
    Outcome,
    Outcomes,
    Permission,
    Relation,
    Share,
)
from asyncconn.tcup.models import Capabilities, Feature, ObservedProperty, Output, Sensor
from asyncconn.tcup.patterns import Pattern
from asyncconn.tcup.resources.logs import Logs
from asyncconn.tcup.resources.query import Rows
from asyncconn.tcup.resources.run import Run
from asyncconn.tcup.resources.task import Task
from asyncconn.tcup.resources.workflows import Workflow
from asyncconn.tcup.routing_models import Exchange, Overview, RoutingRule, RuleVersion, Statistics
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
from asyncconn.tcup.streams.events import StreamEvent
from asyncconn.tcup.streams.messages import Message, Messages
from asyncconn.tcup.streams.publisher import MqttPublisher
from asyncconn.tcup.streams.publishing import Publisher
from asyncconn.tcup.writer import Writer

__all__ = [
    "Area",
    "Capabilities",
    "Comment",
    "Condition",
    "CsvReport",
    "Definition",
    "Directory",
    "DocumentRefused",
    "Entry",
    "Event",
    "Exchange",
    "Feature",
    "InsertReport",
    "ItemResult",
    "LakeFile",
    "LakeUser",
    "Link",
    "Logs",
    "Message",
    "Messages",
    "MetadataRule",
    "MqttPublisher",
    "ObservedProperty",
    "Outcome",
    "Outcomes",
    "Output",
    "OutputFile",
    "Overview",
    "PartlyRefused",
    "Pattern",
    "Permission",
    "Progress",
    "Project",
    "Publisher",
    "Relation",
    "RoutingRule",
    "Rows",
    "RuleVersion",
    "Run",
    "RunState",
    "RunStatus",
    "Sensor",
    "Share",
    "Statistics",
    "StreamEvent",
    "Task",
    "TaskState",
    "TaskStatus",
    "Tcup",
    "Workflow",
    "Writer",
    "errors",
    "payload",
    "routing_rule",
]
