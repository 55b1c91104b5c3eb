"""``asyncconn tcup``: observations, files of the data lake, message routing, live data, tasks and workflows."""

from __future__ import annotations

from asyncconn.cli.options import group
from asyncconn.cli.tcup.lake import download, search, upload
from asyncconn.cli.tcup.mqtt import mqtt
from asyncconn.cli.tcup.observations import observe, query, register, sensors
from asyncconn.cli.tcup.rules import rules
from asyncconn.cli.tcup.stream import sse, ws
from asyncconn.cli.tcup.task import task
from asyncconn.cli.tcup.workflow import workflow

__all__ = ["app"]

app = group(
    "TCUP: observations, files of the data lake, message routing, live data, tasks and workflows. "
    "ASYNCCONN_TCUP_URL and ASYNCCONN_TCUP_API_KEY hold the address and the key, or a ConfigFile.conf does.",
    *(sensors, register, observe, query, upload, download, search, sse),
    mqtt=mqtt,
    ws=ws,
    task=task,
    workflow=workflow,
    rules=rules,
)
