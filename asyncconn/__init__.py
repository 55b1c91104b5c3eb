"""asyncconn: one asyncio-native framework for talking to platforms, on one shared session.

async with Hub() as hub:
    panoply = Panoply(api_key, api_secret, hub=hub)
    await panoply.write("events", {"id": 1})
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from asyncconn import errors
from asyncconn._version import __version__

if TYPE_CHECKING:
    from asyncconn.connector import Connector
    from asyncconn.hub import DrainReport, Hub, run
    from asyncconn.panoply import Panoply

__all__ = ["Connector", "DrainReport", "Hub", "Panoply", "__version__", "errors", "run"]

logging.getLogger("asyncconn").addHandler(logging.NullHandler())

# Loaded when first asked for: a program pays for the connectors that it uses.
_HOMES = {
    "Connector": "asyncconn.connector",
    "DrainReport": "asyncconn.hub",
    "Hub": "asyncconn.hub",
    "Panoply": "asyncconn.panoply",
    "run": "asyncconn.hub",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'asyncconn' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
