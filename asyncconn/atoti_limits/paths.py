"""The path table: every call by name, with its method and its path. Contract: limits sections 5, 6, 10, 12.2.

Most of Limits' own paths are published nowhere: what stands here is the contract's, and each entry can be replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import quote

from asyncconn.errors import ConfigError

__all__ = ["PATHS_V1", "PATHS_V2", "READS", "Entry", "Paths"]

Entry = tuple[str, str]

_SESSION: dict[str, Entry] = {
    "session.versions": ("GET", "/versions/rest"),  # 6.1
    "session.pivot": ("GET", "/activeviam/pivot/rest/v10"),  # only if the versions are not asked
    "session.ping": ("GET", "{pivot}/ping"),  # 6.2
    "session.discovery": ("GET", "{pivot}/cube/discovery"),  # 6.3
    "autoconfig.connect": ("POST", "/limits/autoconfig/connect"),  # 5
    "autoconfig.connected": ("GET", "/limits/autoconfig/connected"),
    "autoconfig.disconnect": ("POST", "/limits/autoconfig/disconnect"),
}

_SERVER: dict[str, Entry] = {
    "server.versions": ("GET", "/versions/rest"),  # 10.1
    "server.ping": ("GET", "{rest}/ping"),
    "server.openapi": ("GET", "/v3/api-docs"),  # 10.2
    "connections.list": ("GET", "{rest}/connections"),
}

#: Limits 2.0 and later: section 10.3 where it is documented, else 10.4.
PATHS_V2: dict[str, Entry] = {
    **_SESSION,
    **_SERVER,
    "structures.list": ("GET", "{rest}/limitDefinition/structure"),
    "structures.get": ("GET", "{rest}/limitDefinition/structure/{structureId}"),
    "structures.save": ("POST", "{rest}/limitDefinition/structure/save"),
    "structures.create": ("POST", "{rest}/limitDefinition/structure/create"),
    "structures.update": ("PUT", "{rest}/limitDefinition/structure/update"),
    "structures.delete": ("DELETE", "{rest}/limitDefinition/structure/{structureId}"),
    "limits.list": ("GET", "{rest}/limitDefinition/limits"),
    "limits.save": ("POST", "{rest}/limitDefinition/limits/save"),
    "limits.delete": ("DELETE", "{rest}/limitDefinition/limits/{limitId}"),
    "limits.status": ("POST", "{rest}/limitDefinition/limits/status/get"),
    "upload.structures": ("POST", "{rest}/limitDefinition/uploadStructures"),
    "upload.limits": ("POST", "{rest}/limitDefinition/uploadLimits"),
    "export": ("POST", "{rest}/limitDefinition/export"),
    "evaluate.limits": ("POST", "{rest}/evaluate/limits"),
    "evaluate.structures": ("POST", "{rest}/evaluate/structures"),
    "evaluate.all": ("POST", "{rest}/evaluate/all"),
    "evaluate.roll_date": ("POST", "/custom/rest/load-controller/execute"),  # 2.0; at the root
    "incidents.list": ("GET", "{rest}/incidents"),
    "incidents.act": ("POST", "{rest}/incidents/{incidentKey}/actions/{action}"),
    "workflow.can_start": ("GET", "{rest}/workflow/can-start"),
    "workflow.act": ("POST", "{rest}/workflow/limits/{limitId}/{action}"),
    "workflow.audit": ("GET", "{rest}/workflow/process-instances/{processInstanceId}/history"),
}

#: Limits 1.x: nothing else is documented for it. The last two are of 1.0 alpha.
PATHS_V1: dict[str, Entry] = {
    **_SESSION,
    **_SERVER,
    "limits.create": ("POST", "{rest}/limitDefinition/create"),
    "upload.limits": ("POST", "{rest}/limitDefinition/upload"),
    "export": ("POST", "{rest}/limitDefinition/export"),
    "workflow.can_start": ("GET", "/limit-process-definition/canStart"),  # at the root
}

#: What only reads, whatever its method: it may be repeated when the outcome is unknown.
READS = frozenset(
    {"limits.status", "export", *(name for name, (method, _) in (PATHS_V1 | PATHS_V2).items() if method == "GET")}
)

_TABLES = {"v1": PATHS_V1, "v2": PATHS_V2}
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
_HOLE = re.compile(r"\{([^{}/]+)\}")


@dataclass(frozen=True, slots=True)
class Paths:
    """Name to method and path template. ``{rest}`` is the base of Limits' REST, ``{pivot}`` that of the session's.

    >>> paths = Paths().with_(evaluate_all=("POST", "{rest}/limits/evaluate"))
    >>> paths.path("evaluate.all")
    '/limits/rest/v2/limits/evaluate'

    ``version`` is ``v2``, or ``v1`` for Limits 1.x. Raises ``ConfigError`` for a table that cannot be.
    """

    version: str = "v2"
    entries: Mapping[str, Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.version not in _TABLES:
            raise ConfigError(f"the version of Limits' REST is {' or '.join(_TABLES)}, not {self.version!r}")
        table: dict[str, Any] = {**_TABLES[self.version], **self.entries}
        known = {**PATHS_V1, **PATHS_V2}
        for name, entry in table.items():
            if name not in known:
                raise ConfigError(f"there is no path {name!r}: they are {', '.join(sorted(known))}")
            if not isinstance(entry, tuple) or len(entry) != 2 or entry[0] not in _METHODS:
                raise ConfigError(f"the path {name!r} is (method, template), the method one of {', '.join(_METHODS)}")
            if not isinstance(entry[1], str) or not entry[1].startswith(("/", "{rest}", "{pivot}")):
                raise ConfigError(f"the template of {name!r} begins with a slash, {{rest}} or {{pivot}}")
            wrong = set(_HOLE.findall(entry[1])) - {*_HOLE.findall(known[name][1]), "rest", "pivot"}
            if wrong:
                raise ConfigError(f"the template of {name!r} has no {', '.join(sorted(wrong))} to fill in")
        object.__setattr__(self, "entries", table)

    @property
    def rest(self) -> str:
        """The base of Limits' REST, below the server's address."""
        return f"/limits/rest/{self.version}"

    def with_(self, changes: Mapping[str, Entry] | None = None, /, **named: Entry) -> Self:
        """A table with other entries, by name; as a keyword an underscore stands for the dot."""
        dotted = {name.replace(".", "_"): name for name in {**PATHS_V1, **PATHS_V2}}
        more = {dotted.get(name, name): entry for name, entry in named.items()}
        return replace(self, entries={**self.entries, **(changes or {}), **more})

    def method(self, name: str) -> str:
        """The method of a call. Raises ``ConfigError`` when the table has no such entry."""
        return self._entry(name)[0]

    def path(self, name: str, *, pivot: str = "", **values: Any) -> str:
        """The path of a call, with its ids filled in and percent-encoded. Raises ``ConfigError`` for an empty one."""
        texts = {key: _segment(value, key) for key, value in values.items()}
        texts |= {"rest": self.rest, "pivot": pivot}
        return _HOLE.sub(lambda hole: texts[hole[1]], self._entry(name)[1])

    def _entry(self, name: str) -> Entry:
        try:
            return self.entries[name]
        except KeyError:
            raise ConfigError(
                f"Limits' REST {self.version} has no {name}: if your server does, name its path with Paths.with_()"
            ) from None

    def from_openapi(self, doc: Any) -> Self:
        """This table, corrected by a server's OpenAPI document (``/v3/api-docs``).

        A path of the document belongs to an entry if it ends like the entry's own below ``{rest}``. Where none does, or
        several and none of them exactly, the entry stays as it is. Raises ``ConfigError`` for something else.
        """
        found = doc.get("paths") if isinstance(doc, Mapping) else None
        if not isinstance(found, Mapping):
            raise ConfigError("an OpenAPI document has an object 'paths'")
        theirs = {str(path): item for path, item in found.items() if isinstance(item, Mapping)}
        changes: dict[str, Entry] = {}
        for name, (method, template) in self.entries.items():
            if not template.startswith("{rest}"):
                continue
            if (entry := self._found(theirs, name, method, template)) is not None:
                changes[name] = entry
        return self.with_(changes)

    def _found(self, theirs: Mapping[str, Mapping[str, Any]], name: str, method: str, template: str) -> Entry | None:
        own = _HOLE.findall(template.removeprefix("{rest}"))
        suffix, exact = _shape(template.removeprefix("{rest}")), _shape(template.replace("{rest}", self.rest))
        found = {
            path: chosen
            for path, item in theirs.items()
            if _shape(path).endswith(suffix)
            and len(_HOLE.findall(path)) == len(own)
            and (chosen := _chosen(name, method, [word.upper() for word in item])) is not None
        }
        best = [path for path in found if _shape(path) == exact] or list(found)
        if len(best) != 1:
            return None
        ours = iter(own)  # their names of the ids may be others; the order is the same
        return found[best[0]], _HOLE.sub(lambda _: f"{{{next(ours)}}}", best[0])


def _chosen(name: str, method: str, offered: list[str]) -> str | None:
    """The method to use of those a path offers, None if it is another call: reading never becomes writing."""
    if method in offered:
        return method
    alike = {"GET", "POST"} if name in READS else {"POST", "PUT"}
    fitting = [word for word in offered if {word, method} <= alike]
    return fitting[0] if len(fitting) == 1 else None


def _shape(template: str) -> str:
    return _HOLE.sub("{}", template)


def _segment(value: Any, what: str) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text.strip() or text in (".", ".."):
        raise ConfigError(f"{what} must be a name or number, not {value!r}")
    return quote(text, safe="")
