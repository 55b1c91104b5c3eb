"""Where the platform's services are, as this sandbox spells it.

Contract: tcup section 1.2 and, for what is below the bases, the tables 2.2 and 3.2. Much of it is a design choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BASES", "bases", "below"]

#: The base path of each service, by the name that a configuration file gives to it.
BASES: dict[str, str] = {
    "sos_path": "/api/sos/v2.0",
    "mr_path": "/MessageRouting/v2.0",
    "dls_path": "/dls",
    "ws_path": "/WebSocket",
    "sse_path": "/SSE",
    "task_path": "/TaskService/v1.0",
    "workflow_path": "/WorkflowService/v1.0",
}


def bases(changed: Mapping[str, str]) -> dict[str, str]:
    """All base paths. Raises :class:`~asyncconn.errors.ConfigError` for one that is unknown, or no path."""
    for name, path in changed.items():
        if name not in BASES:
            raise ConfigError(f"world: paths has {name!r}, which is not one of {', '.join(BASES)}")
        if not path.startswith("/") or path.endswith("/"):
            raise ConfigError(f"world: paths: {name}={path!r} must begin with a slash and not end with one")
    return {**BASES, **changed}


def below(target: str, base: str) -> str | None:
    """What follows ``base`` in a path as it came, empty for the base itself; None when it is not below it."""
    parts = target.split("/")
    depth = base.count("/") + 1
    if [unquote(part.partition("?")[0]) for part in parts[:depth]] != base.split("/"):
        return None
    return "".join("/" + part for part in parts[depth:])
