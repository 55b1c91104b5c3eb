"""asyncconn: one asyncio-native framework for talking to platforms, on one shared session.

async with Hub() as hub:
    panoply = Panoply(api_key, api_secret, hub=hub)
    await panoply.write("events", {"id": 1})
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from asyncconn import errors
from asyncconn._version import __version__

if TYPE_CHECKING:
    from asyncconn.atoti_limits import AtotiLimits
    from asyncconn.batches import Batches, batched
    from asyncconn.collecting.folders import JsonLines, Parquet
    from asyncconn.collecting.keyed import Keyed
    from asyncconn.collecting.report import CollectReport, FailedPartition
    from asyncconn.collecting.running import collect
    from asyncconn.connector import Connector, Platform
    from asyncconn.core.buffer.batch import Batch, BatchPolicy
    from asyncconn.core.buffer.figures import BufferFigures
    from asyncconn.core.buffer.memory import BatchBuffer
    from asyncconn.core.buffer.receipts import BatchStats, Delivery, FlushReport, Receipt, Rejected
    from asyncconn.core.buffer.spool import Spool
    from asyncconn.core.buffer.unheard import UndeliveredWarning
    from asyncconn.core.clock import Clock, SystemClock, VirtualClock
    from asyncconn.core.outbox import Outbox, Posted
    from asyncconn.core.paging import Page, Pager
    from asyncconn.core.poll_group import Polled, PollGroup
    from asyncconn.core.polling import Poller, PollPolicy
    from asyncconn.core.progress import Progress
    from asyncconn.core.rates.limiter import Permit, RateLimiter, RateSnapshot
    from asyncconn.core.rates.parts import Part, PartSnapshot
    from asyncconn.core.rates.quota import Quota
    from asyncconn.core.rates.registry import AccountFigures, RateFigures
    from asyncconn.core.rates.stores import FileQuotaStore, QuotaStore
    from asyncconn.core.rates.windows import TokenBucket, Window
    from asyncconn.core.retrying import ONCE, RetryPolicy
    from asyncconn.core.secret import Secret
    from asyncconn.core.sinks import Sink
    from asyncconn.core.spooled_outbox import SpooledOutbox
    from asyncconn.core.supervise import Change, Gap, Reconnect, StreamFigures, StreamTally, Supervisor
    from asyncconn.datorama import Datorama
    from asyncconn.draining import DrainReport
    from asyncconn.figures import HubFigures
    from asyncconn.health import Check, Readiness, ReadinessPolicy, readiness
    from asyncconn.http.auth import Auth, BasicAuth, HeaderKey, NoAuth, Token, TokenAuth
    from asyncconn.http.multipart import Multipart
    from asyncconn.http.oauth import OAuth2
    from asyncconn.http.pages import LinkHeader, NextUrl, Offset, PageNumber
    from asyncconn.http.redact import Redactor
    from asyncconn.http.request import Outgoing
    from asyncconn.http.requesting import RequestOptions, StreamOptions
    from asyncconn.http.response import Response
    from asyncconn.http.route_traffic import RouteTraffic
    from asyncconn.http.routes import Route, Routes
    from asyncconn.http.rules import PlainRules, RateHeaders, RateHint, Rules
    from asyncconn.http.stream import Stream
    from asyncconn.http.timeouts import Timeouts
    from asyncconn.http.traffic import Traffic
    from asyncconn.http.transport import Transport
    from asyncconn.hub import Hub, HubState
    from asyncconn.integrations.progress import progress
    from asyncconn.panoply import DataSource, Panoply, run_source
    from asyncconn.resource import Caller, Calling, Resource
    from asyncconn.rows import read_rows, save_rows
    from asyncconn.running import run
    from asyncconn.settings import HubSettings
    from asyncconn.syncing import SyncFailed, SyncReport, sync
    from asyncconn.tcup import Tcup

__all__ = [  # noqa: RUF022 - sorted, as a test says, with no rule about capitals
    "AccountFigures",
    "AtotiLimits",
    "Auth",
    "BasicAuth",
    "Batch",
    "BatchBuffer",
    "BatchPolicy",
    "BatchStats",
    "Batches",
    "BufferFigures",
    "Caller",
    "Calling",
    "Change",
    "Check",
    "Clock",
    "CollectReport",
    "Connector",
    "DataSource",
    "Datorama",
    "Delivery",
    "DrainReport",
    "FailedPartition",
    "FileQuotaStore",
    "FlushReport",
    "Gap",
    "HeaderKey",
    "Hub",
    "HubFigures",
    "HubSettings",
    "HubState",
    "JsonLines",
    "Keyed",
    "LinkHeader",
    "Multipart",
    "NextUrl",
    "NoAuth",
    "OAuth2",
    "ONCE",
    "Offset",
    "Outbox",
    "Outgoing",
    "Page",
    "PageNumber",
    "Pager",
    "Panoply",
    "Parquet",
    "Part",
    "PartSnapshot",
    "Permit",
    "PlainRules",
    "Platform",
    "PollGroup",
    "PollPolicy",
    "Polled",
    "Poller",
    "Posted",
    "Progress",
    "Quota",
    "QuotaStore",
    "RateFigures",
    "RateHeaders",
    "RateHint",
    "RateLimiter",
    "RateSnapshot",
    "Readiness",
    "ReadinessPolicy",
    "Receipt",
    "Reconnect",
    "Redactor",
    "Rejected",
    "RequestOptions",
    "Resource",
    "Response",
    "RetryPolicy",
    "Route",
    "RouteTraffic",
    "Routes",
    "Rules",
    "Secret",
    "Sink",
    "Spool",
    "SpooledOutbox",
    "Stream",
    "StreamFigures",
    "StreamOptions",
    "StreamTally",
    "Supervisor",
    "SyncFailed",
    "SyncReport",
    "SystemClock",
    "Tcup",
    "Timeouts",
    "Token",
    "TokenAuth",
    "TokenBucket",
    "Traffic",
    "Transport",
    "UndeliveredWarning",
    "VirtualClock",
    "Window",
    "__version__",
    "batched",
    "collect",
    "errors",
    "progress",
    "read_rows",
    "readiness",
    "run",
    "run_source",
    "save_rows",
    "sync",
]

# Loaded when first asked for: a program pays for the connectors that it uses.
_HOMES = {
    "AccountFigures": "asyncconn.core.rates.registry",
    "AtotiLimits": "asyncconn.atoti_limits",
    "Auth": "asyncconn.http.auth",
    "BasicAuth": "asyncconn.http.auth",
    "Batch": "asyncconn.core.buffer.batch",
    "BatchBuffer": "asyncconn.core.buffer.memory",
    "BatchPolicy": "asyncconn.core.buffer.batch",
    "BatchStats": "asyncconn.core.buffer.receipts",
    "Batches": "asyncconn.batches",
    "BufferFigures": "asyncconn.core.buffer.figures",
    "Caller": "asyncconn.resource",
    "Calling": "asyncconn.resource",
    "Change": "asyncconn.core.supervise",
    "Check": "asyncconn.health",
    "Clock": "asyncconn.core.clock",
    "CollectReport": "asyncconn.collecting.report",
    "Connector": "asyncconn.connector",
    "DataSource": "asyncconn.panoply",
    "Datorama": "asyncconn.datorama",
    "Delivery": "asyncconn.core.buffer.receipts",
    "DrainReport": "asyncconn.draining",
    "FailedPartition": "asyncconn.collecting.report",
    "FileQuotaStore": "asyncconn.core.rates.stores",
    "FlushReport": "asyncconn.core.buffer.receipts",
    "Gap": "asyncconn.core.supervise",
    "HeaderKey": "asyncconn.http.auth",
    "Hub": "asyncconn.hub",
    "HubFigures": "asyncconn.figures",
    "HubSettings": "asyncconn.settings",
    "HubState": "asyncconn.hub",
    "JsonLines": "asyncconn.collecting.folders",
    "Keyed": "asyncconn.collecting.keyed",
    "LinkHeader": "asyncconn.http.pages",
    "Multipart": "asyncconn.http.multipart",
    "NextUrl": "asyncconn.http.pages",
    "NoAuth": "asyncconn.http.auth",
    "OAuth2": "asyncconn.http.oauth",
    "ONCE": "asyncconn.core.retrying",
    "Offset": "asyncconn.http.pages",
    "Outbox": "asyncconn.core.outbox",
    "Outgoing": "asyncconn.http.request",
    "Page": "asyncconn.core.paging",
    "PageNumber": "asyncconn.http.pages",
    "Pager": "asyncconn.core.paging",
    "Panoply": "asyncconn.panoply",
    "Parquet": "asyncconn.collecting.folders",
    "Part": "asyncconn.core.rates.parts",
    "PartSnapshot": "asyncconn.core.rates.parts",
    "Permit": "asyncconn.core.rates.limiter",
    "PlainRules": "asyncconn.http.rules",
    "Platform": "asyncconn.connector",
    "PollGroup": "asyncconn.core.poll_group",
    "PollPolicy": "asyncconn.core.polling",
    "Polled": "asyncconn.core.poll_group",
    "Poller": "asyncconn.core.polling",
    "Posted": "asyncconn.core.outbox",
    "Progress": "asyncconn.core.progress",
    "Quota": "asyncconn.core.rates.quota",
    "QuotaStore": "asyncconn.core.rates.stores",
    "RateFigures": "asyncconn.core.rates.registry",
    "RateHeaders": "asyncconn.http.rules",
    "RateHint": "asyncconn.http.rules",
    "RateLimiter": "asyncconn.core.rates.limiter",
    "RateSnapshot": "asyncconn.core.rates.limiter",
    "Readiness": "asyncconn.health",
    "ReadinessPolicy": "asyncconn.health",
    "Receipt": "asyncconn.core.buffer.receipts",
    "Reconnect": "asyncconn.core.supervise",
    "Redactor": "asyncconn.http.redact",
    "Rejected": "asyncconn.core.buffer.receipts",
    "RequestOptions": "asyncconn.http.requesting",
    "Resource": "asyncconn.resource",
    "Response": "asyncconn.http.response",
    "RetryPolicy": "asyncconn.core.retrying",
    "Route": "asyncconn.http.routes",
    "RouteTraffic": "asyncconn.http.route_traffic",
    "Routes": "asyncconn.http.routes",
    "Rules": "asyncconn.http.rules",
    "Secret": "asyncconn.core.secret",
    "Sink": "asyncconn.core.sinks",
    "Spool": "asyncconn.core.buffer.spool",
    "SpooledOutbox": "asyncconn.core.spooled_outbox",
    "Stream": "asyncconn.http.stream",
    "StreamFigures": "asyncconn.core.supervise",
    "StreamOptions": "asyncconn.http.requesting",
    "StreamTally": "asyncconn.core.supervise",
    "Supervisor": "asyncconn.core.supervise",
    "SyncFailed": "asyncconn.syncing",
    "SyncReport": "asyncconn.syncing",
    "SystemClock": "asyncconn.core.clock",
    "Tcup": "asyncconn.tcup",
    "Timeouts": "asyncconn.http.timeouts",
    "Token": "asyncconn.http.auth",
    "TokenAuth": "asyncconn.http.auth",
    "TokenBucket": "asyncconn.core.rates.windows",
    "Traffic": "asyncconn.http.traffic",
    "Transport": "asyncconn.http.transport",
    "UndeliveredWarning": "asyncconn.core.buffer.unheard",
    "VirtualClock": "asyncconn.core.clock",
    "Window": "asyncconn.core.rates.windows",
    "batched": "asyncconn.batches",
    "collect": "asyncconn.collecting.running",
    "progress": "asyncconn.integrations.progress",
    "read_rows": "asyncconn.rows",
    "readiness": "asyncconn.health",
    "run": "asyncconn.running",
    "run_source": "asyncconn.panoply",
    "save_rows": "asyncconn.rows",
    "sync": "asyncconn.syncing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'asyncconn' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
