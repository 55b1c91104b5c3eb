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
from asyncconn.tcup.routing_rules import Area, Condition, routing_rule

__all__ = [
    "Area",
    "Capabilities",
    "Condition",
    "Directory",
    "DocumentRefused",
    "Feature",
    "ItemResult",
    "LakeFile",
    "Link",
    "MetadataRule",
    "ObservedProperty",
    "Outcome",
    "Outcomes",
    "Output",
    "PartlyRefused",
    "Pattern",
    "Permission",
    "Progress",
    "Sensor",
    "Tcup",
    "errors",
    "payload",
    "routing_rule",
]
