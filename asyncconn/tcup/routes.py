"""The tables of TCUP's calls, one for each service: the only place that knows a path.

Which of these paths are the vendor's and which are ours, as nothing is published, the contract tells; every base and
every call can be replaced. Contract: tcup sections 1.2, 2.2, 3.2, 4.2, 6.3, 7.2, 8.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncconn.errors import ConfigError
from asyncconn.http.routes import Route, Routes

__all__ = ["BASES", "DLS", "MR", "SOS", "SSE", "TABLES", "TASKS", "WORKFLOWS", "WS", "tables"]

#: What the paths of each service begin with.
BASES = {
    "sos_path": "/api/sos/v2.0",
    "mr_path": "/MessageRouting/v2.0",
    "dls_path": "/dls",
    "ws_path": "/WebSocket",
    "sse_path": "/SSE",
    "task_path": "/TaskService/v1.0",
    "workflow_path": "/WorkflowService/v1.0",
}

#: Sensor observations (2.2).
SOS = Routes(
    {
        "sos.capabilities": Route("GET", "{sos_path}/capabilities"),
        "sos.version": Route("GET", "{sos_path}/v2/api-docs"),
        "observations.insert": Route("POST", "{sos_path}/observations"),
        "observations.query": Route("GET", "{sos_path}/observations"),
        "observations.latest": Route("GET", "{sos_path}/observations/latest"),
        "observations.properties": Route("GET", "{sos_path}/observedproperties"),
        "observations.upload": Route("POST", "{sos_path}/files"),
        "observations.feed": Route("GET", "{sos_path}/feed"),
        "observations.download": Route("GET", "{sos_path}/files/observations"),
        "features.create": Route("POST", "{sos_path}/features"),
        "features.list": Route("GET", "{sos_path}/features"),
        "features.get": Route("GET", "{sos_path}/features/{name:str}"),
        "features.update": Route("PUT", "{sos_path}/features/{name:str}"),
        "features.delete": Route("DELETE", "{sos_path}/features/{name:str}"),
        "sensors.create": Route("POST", "{sos_path}/sensors"),
        "sensors.list": Route("GET", "{sos_path}/sensors"),
        "sensors.get": Route("GET", "{sos_path}/sensors/{name:str}"),
        "sensors.update": Route("PUT", "{sos_path}/sensors/{name:str}"),
        "sensors.delete": Route("DELETE", "{sos_path}/sensors/{name:str}"),
        "sensors.clear": Route("DELETE", "{sos_path}/sensors/{name:str}/observations"),
    },
    bases=BASES,
)

#: Message routing (3.2).
MR = Routes(
    {
        "exchanges.create": Route("POST", "{mr_path}/topicExchanges"),
        "exchanges.list": Route("GET", "{mr_path}/topicExchanges"),
        "exchanges.topics": Route("GET", "{mr_path}/topicExchanges/{name:str}/topics"),
        "exchanges.delete": Route("DELETE", "{mr_path}/topicExchanges/{name:str}"),
        "rules.create": Route("POST", "{mr_path}/routingRules"),
        "rules.list": Route("GET", "{mr_path}/routingRules"),
        "rules.get": Route("GET", "{mr_path}/routingRules/{id}"),
        "rules.update": Route("PUT", "{mr_path}/routingRules/{id}"),
        "rules.delete": Route("DELETE", "{mr_path}/routingRules/{id}"),
        "rules.start": Route("POST", "{mr_path}/routingChannel/{id}/start"),
        "rules.stop": Route("POST", "{mr_path}/routingChannel/{id}/stop"),
        "rules.keys": Route("GET", "{mr_path}/routingChannel/routingKeys"),
        "rules.overview": Route("GET", "{mr_path}/overview"),
        "rules.overview_misspelt": Route("GET", "{mr_path}/overiew"),  # as one page of the vendor's spells it
        "rules.statistics": Route("GET", "{mr_path}/statistics"),
        "rules.statistics_of": Route("GET", "{mr_path}/statistics/{id}"),
        "rules.versions": Route("GET", "{mr_path}/versions"),
        "rules.versions_of": Route("GET", "{mr_path}/versions/{id}"),
        "rules.version": Route("GET", "{mr_path}/versions/{id}/{version}"),
        "routing.send": Route("POST", "{mr_path}/sendRequest"),
    },
    bases=BASES,
)

#: The data lake (6.3). A rename that is repeated finds the old name gone, so it is not (13.9).
DLS = Routes(
    {
        "files.search": Route("GET", "{dls_path}/catalog"),
        "files.upload": Route("POST", "{dls_path}/file"),
        "files.download": Route("GET", "{dls_path}/file"),
        "files.delete": Route("DELETE", "{dls_path}/file"),
        "files.status": Route("GET", "{dls_path}/file/status/{filename:str}"),
        "files.set_status": Route("PUT", "{dls_path}/file/status"),
        "files.announce": Route("POST", "{dls_path}/file/resumable"),
        "files.rename": Route("PUT", "{dls_path}/file/name", idempotent=False),
        "files.lock": Route("PUT", "{dls_path}/file/lock"),
        "files.unlock": Route("DELETE", "{dls_path}/file/lock"),
        "files.comment": Route("POST", "{dls_path}/file/comment"),
        "files.comments": Route("GET", "{dls_path}/file/comment"),
        "files.set_metadata": Route("PUT", "{dls_path}/file/metadata"),
        "files.remove_metadata": Route("DELETE", "{dls_path}/file/metadata"),
        "relations.list": Route("GET", "{dls_path}/relation"),
        "relations.create": Route("POST", "{dls_path}/relation"),
        "relations.delete": Route("DELETE", "{dls_path}/relation/{name:str}"),
        "links.create": Route("POST", "{dls_path}/link"),
        "links.list": Route("GET", "{dls_path}/link"),
        "links.delete": Route("DELETE", "{dls_path}/link"),
        "shares.create": Route("POST", "{dls_path}/share"),
        "shares.list": Route("GET", "{dls_path}/share"),
        "shares.delete": Route("DELETE", "{dls_path}/share"),
        "directories.create": Route("POST", "{dls_path}/directory"),
        "directories.list": Route("GET", "{dls_path}/directory"),
        "directories.delete": Route("DELETE", "{dls_path}/directory"),
        "users.list": Route("GET", "{dls_path}/user"),
        "users.create": Route("POST", "{dls_path}/user"),
        "storage.type": Route("GET", "{dls_path}/admin/storage/type"),
    },
    bases=BASES,
)

#: WebSockets and server-sent events (4.2).
WS = Routes(
    {
        "stream.publish": Route("GET", "{ws_path}/publish"),
        "stream.subscribe": Route("GET", "{ws_path}/subscribe"),
    },
    bases=BASES,
)
SSE = Routes({"stream.events": Route("GET", "{sse_path}/subscribe")}, bases=BASES)

_TASK = "{task_path}/projects/{project:str}/tasks/{task:str}"

#: Tasks (7.2).
TASKS = Routes(
    {
        "projects.create": Route("POST", "{task_path}/projects"),
        "projects.list": Route("GET", "{task_path}/projects"),
        "projects.get": Route("GET", "{task_path}/projects/{project:str}"),
        "projects.delete": Route("DELETE", "{task_path}/projects/{project:str}"),
        "tasks.create": Route("POST", "{task_path}/projects/{project:str}/tasks"),
        "tasks.list": Route("GET", "{task_path}/projects/{project:str}/tasks"),
        "tasks.import": Route("POST", "{task_path}/projects/{project:str}/tasks/import"),
        "tasks.get": Route("GET", _TASK),
        "tasks.delete": Route("DELETE", _TASK),
        "tasks.deploy": Route("POST", f"{_TASK}/deploy"),
        "tasks.act": Route("POST", f"{_TASK}/{{verb:str}}"),
        "tasks.reschedule": Route("PUT", f"{_TASK}/schedule"),
        "tasks.copy": Route("POST", f"{_TASK}/copy"),
        "tasks.link": Route("POST", f"{_TASK}/externalFiles"),
        "tasks.outputs": Route("GET", f"{_TASK}/outputs"),
        "tasks.output": Route("GET", f"{_TASK}/outputs/{{file:str}}"),
        "tasks.logs": Route("GET", f"{_TASK}/logs"),
        "tasks.export": Route("GET", f"{_TASK}/export"),
    },
    bases=BASES,
)

#: Workflows (8.2).
WORKFLOWS = Routes(
    {
        "definitions.create": Route("POST", "{workflow_path}/processDefinitions"),
        "definitions.list": Route("GET", "{workflow_path}/processDefinitions"),
        "definitions.get": Route("GET", "{workflow_path}/processDefinitions/{definition:str}"),
        "definitions.delete": Route("DELETE", "{workflow_path}/processDefinitions/{definition:str}"),
        "definitions.permit": Route("PUT", "{workflow_path}/processDefinitions/{definition:str}/permissions"),
        "definitions.set_recovery": Route("PUT", "{workflow_path}/processDefinitions/{definition:str}/recoveryMode"),
        "definitions.pre_initiate": Route("POST", "{workflow_path}/processDefinitions/{definition:str}/preInitiate"),
        "schedules.get": Route("GET", "{workflow_path}/schedules/{schedule:str}"),
        "schedules.set": Route("PUT", "{workflow_path}/schedules/{schedule:str}"),
        "runs.list": Route("GET", "{workflow_path}/processDefinitions/{definition:str}/processInstances"),
        "runs.get": Route("GET", "{workflow_path}/processInstances/{run:str}"),
        "runs.mapping": Route("GET", "{workflow_path}/processInstances/{run:str}/mapping"),
        "runs.act": Route("POST", "{workflow_path}/processInstances/{run:str}/{verb:str}"),
        "runs.history": Route("GET", "{workflow_path}/processInstances/{run:str}/history"),
    },
    bases=BASES,
)

#: All of them, by the name of the base that their paths begin with.
TABLES: Mapping[str, Routes] = {
    "sos_path": SOS,
    "mr_path": MR,
    "dls_path": DLS,
    "ws_path": WS,
    "sse_path": SSE,
    "task_path": TASKS,
    "workflow_path": WORKFLOWS,
}


def tables(paths: Mapping[str, Any] | None = None) -> tuple[dict[str, Routes], dict[str, str]]:
    """The tables with other bases or calls, by the name of their base; and the bases.

    >>> made, bases = tables({"sos_path": "/sos", "rules.overview": ("GET", "{mr_path}/counts")})
    >>> made["sos_path"].path("observations.insert"), made["mr_path"].path("rules.overview")
    ('/sos/observations', '/MessageRouting/v2.0/counts')

    Raises ``ConfigError`` for a name that no table has, and for a base or an entry that cannot be.
    """
    wanted: Any = paths or {}
    if not isinstance(wanted, Mapping):
        raise ConfigError(f"paths is a mapping, not {type(wanted).__name__}")
    given = dict(wanted)
    bases = {name: _base(name, given.pop(name, base)) for name, base in BASES.items()}
    made = {}
    for service, table in TABLES.items():
        own = {name: given.pop(name) for name in table.entries if name in given}
        made[service] = table.based(bases).with_(own)
    if given:
        raise ConfigError(f"paths: there is no {', '.join(map(repr, given))}: they are {', '.join(BASES)} and calls")
    return made, bases


def _base(name: str, given: Any) -> str:
    if not isinstance(given, str) or not given.strip("/") or not given.startswith("/"):
        raise ConfigError(f"{name} is a path that begins with a slash, not {given!r}")
    return given.rstrip("/")
