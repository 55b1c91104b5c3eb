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
    from asyncconn.connector import Connector, Platform
    from asyncconn.core.buffer.accounts import UndeliveredWarning
    from asyncconn.core.buffer.batch import BatchPolicy
    from asyncconn.core.paging import Page, Pager
    from asyncconn.core.polling import Poller, PollPolicy
    from asyncconn.core.rates.limiter import RateLimiter
    from asyncconn.core.rates.stores import FileQuotaStore
    from asyncconn.core.rates.windows import Quota, TokenBucket, Window
    from asyncconn.core.retrying import RetryPolicy
    from asyncconn.datorama import Datorama
    from asyncconn.http.transport import Timeouts
    from asyncconn.hub import DrainReport, Hub
    from asyncconn.panoply import DataSource, Panoply, run_source
    from asyncconn.running import run

__all__ = [
    "AtotiLimits",
    "BatchPolicy",
    "Connector",
    "DataSource",
    "Datorama",
    "DrainReport",
    "FileQuotaStore",
    "Hub",
    "Page",
    "Pager",
    "Panoply",
    "Platform",
    "PollPolicy",
    "Poller",
    "Quota",
    "RateLimiter",
    "RetryPolicy",
    "Timeouts",
    "TokenBucket",
    "UndeliveredWarning",
    "Window",
    "__version__",
    "errors",
    "run",
    "run_source",
]

# Loaded when first asked for: a program pays for the connectors that it uses.
_HOMES = {
    "AtotiLimits": "asyncconn.atoti_limits",
    "BatchPolicy": "asyncconn.core.buffer.batch",
    "Connector": "asyncconn.connector",
    "Platform": "asyncconn.connector",
    "DataSource": "asyncconn.panoply",
    "Datorama": "asyncconn.datorama",
    "DrainReport": "asyncconn.hub",
    "FileQuotaStore": "asyncconn.core.rates.stores",
    "Hub": "asyncconn.hub",
    "Page": "asyncconn.core.paging",
    "Pager": "asyncconn.core.paging",
    "Panoply": "asyncconn.panoply",
    "PollPolicy": "asyncconn.core.polling",
    "Poller": "asyncconn.core.polling",
    "Quota": "asyncconn.core.rates.windows",
    "RateLimiter": "asyncconn.core.rates.limiter",
    "RetryPolicy": "asyncconn.core.retrying",
    "Timeouts": "asyncconn.http.transport",
    "TokenBucket": "asyncconn.core.rates.windows",
    "UndeliveredWarning": "asyncconn.core.buffer.accounts",
    "Window": "asyncconn.core.rates.windows",
    "run": "asyncconn.running",
    "run_source": "asyncconn.panoply",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'asyncconn' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
