"""TCUP: sensor observations, message routing, the data lake, tasks and workflows."""

from asyncconn.core.progress import Progress
from asyncconn.tcup import errors
from asyncconn.tcup.client import Tcup
from asyncconn.tcup.documents import payload
from asyncconn.tcup.envelope import ItemResult
from asyncconn.tcup.errors import DocumentRefused, PartlyRefused
from asyncconn.tcup.models import Capabilities, Feature, ObservedProperty, Output, Sensor
from asyncconn.tcup.patterns import Pattern

__all__ = [
    "Capabilities",
    "DocumentRefused",
    "Feature",
    "ItemResult",
    "ObservedProperty",
    "Output",
    "PartlyRefused",
    "Pattern",
    "Progress",
    "Sensor",
    "Tcup",
    "errors",
    "payload",
]
