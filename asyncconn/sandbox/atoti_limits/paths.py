"""The paths of a Limits server: a name, a method and a template each; the same table makes the OpenAPI document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PATHS", "ROOT_PATHS", "V1_PATHS", "V1_ROOT_PATHS", "PathTable"]

_DEFINITION = "/limitDefinition"
_HOP = {
    "ping": ("GET", "/ping"),
    "connections.list": ("GET", "/connections"),
    "connections.open": ("POST", "/connections"),
    "connections.close": ("DELETE", "/connections/{serverName}"),
}

#: For Limits 2.0 and later, below ``/limits/rest/v2``.
PATHS: dict[str, tuple[str, str]] = {
    "structures.list": ("GET", f"{_DEFINITION}/structure"),
    "structures.get": ("GET", f"{_DEFINITION}/structure/{{structureId}}"),
    "structures.delete": ("DELETE", f"{_DEFINITION}/structure/{{structureId}}"),
    "structures.save": ("POST", f"{_DEFINITION}/structure/save"),
    "structures.create": ("POST", f"{_DEFINITION}/structure/create"),
    "structures.update": ("PUT", f"{_DEFINITION}/structure/update"),
    "limits.list": ("GET", f"{_DEFINITION}/limits"),
    "limits.save": ("POST", f"{_DEFINITION}/limits/save"),
    "limits.delete": ("DELETE", f"{_DEFINITION}/limits/{{limitId}}"),
    "limits.status": ("POST", f"{_DEFINITION}/limits/status/get"),
    "upload.structures": ("POST", f"{_DEFINITION}/uploadStructures"),
    "upload.limits": ("POST", f"{_DEFINITION}/uploadLimits"),
    "export": ("POST", f"{_DEFINITION}/export"),
    "evaluate.limits": ("POST", "/evaluate/limits"),
    "evaluate.structures": ("POST", "/evaluate/structures"),
    "evaluate.all": ("POST", "/evaluate/all"),
    "incidents.list": ("GET", "/incidents"),
    "incidents.act": ("POST", "/incidents/{incidentKey}/actions/{action}"),
    "workflow.can_start": ("GET", "/workflow/can-start"),
    "workflow.act": ("POST", "/workflow/limits/{limitId}/{action}"),
    "workflow.audit": ("GET", "/workflow/process-instances/{id}/history"),
    **_HOP,
}

#: For Limits 1.x, below ``/limits/rest/v1``.
V1_PATHS: dict[str, tuple[str, str]] = {
    "v1.create": ("POST", f"{_DEFINITION}/create"),
    "v1.upload": ("POST", f"{_DEFINITION}/upload"),
    "v1.export": ("POST", f"{_DEFINITION}/export"),
    **_HOP,
}

#: Not below ``/limits/rest``: for 2.0 and later, and for 1.x.
ROOT_PATHS: dict[str, tuple[str, str]] = {"evaluate.roll_date": ("POST", "/custom/rest/load-controller/execute")}
V1_ROOT_PATHS: dict[str, tuple[str, str]] = {"v1.can_start": ("GET", "/limit-process-definition/canStart")}


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    method: str
    template: str
    pattern: re.Pattern[str]


class PathTable:
    """Finds the name and the parameters of a request; words of a template win over its ``{parameters}``.

    ``paths`` are below ``base``, ``root`` are not.

    >>> PathTable("/limits/rest/v2", PATHS).find("GET", "/limits/rest/v2/limitDefinition/structure/s1")
    ('structures.get', {'structureId': 's1'})
    """

    def __init__(
        self, base: str, paths: Mapping[str, tuple[str, str]], root: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        entries = [_entry(name, method, base + template) for name, (method, template) in paths.items()]
        entries += [_entry(name, method, template) for name, (method, template) in (root or {}).items()]
        self._entries = sorted(entries, key=lambda entry: entry.template.count("{"))

    def find(self, method: str, path: str) -> tuple[str, dict[str, str]] | list[str]:
        """Name and parameters; or the methods that this path has instead, none for an unknown path."""
        allowed = []
        for entry in self._entries:
            if found := entry.pattern.fullmatch(path):
                if entry.method == method:
                    return entry.name, found.groupdict()
                allowed.append(entry.method)
        return allowed

    def openapi(self, version: str) -> dict[str, Any]:
        """The OpenAPI document of this table."""
        paths: dict[str, dict[str, Any]] = {}
        for entry in self._entries:
            parameters = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in re.findall(r"\{(\w+)\}", entry.template)
            ]
            operation = {
                "operationId": entry.name,
                "parameters": parameters,
                "responses": {"200": {"description": "OK"}},
            }
            paths.setdefault(entry.template, {})[entry.method.lower()] = operation
        return {"openapi": "3.0.1", "info": {"title": "Limits", "version": version}, "paths": paths}


def _entry(name: str, method: str, template: str) -> _Entry:
    parts = re.split(r"(\{\w+\})", template)
    pattern = "".join(f"(?P<{part[1:-1]}>[^/]+)" if part[:1] == "{" else re.escape(part) for part in parts)
    try:
        return _Entry(name, method.upper(), template, re.compile(pattern))
    except re.error as error:
        raise ConfigError(f"path of {name}: {template!r} is no template: {error}") from None
