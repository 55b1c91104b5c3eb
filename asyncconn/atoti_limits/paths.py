"""The table of Limits' calls, by the version of its REST. Contract: limits sections 5, 6, 10, 12.2.

Most of Limits' own paths are published nowhere: what stands here is the contract's, and each entry can be replaced.
"""

from __future__ import annotations

from typing import Any, Self

from asyncconn.errors import ConfigError
from asyncconn.http.routes import Route, Routes

__all__ = ["PATHS_V1", "PATHS_V2", "Paths"]

_SESSION: dict[str, Route] = {
    "session.versions": Route("GET", "/versions/rest"),  # 6.1
    "session.pivot": Route("GET", "/activeviam/pivot/rest/v10"),  # only if the versions are not asked
    "session.ping": Route("GET", "{pivot}/ping"),  # 6.2
    "session.discovery": Route("GET", "{pivot}/cube/discovery"),  # 6.3
    "autoconfig.connect": Route("POST", "/limits/autoconfig/connect"),  # 5
    "autoconfig.connected": Route("GET", "/limits/autoconfig/connected"),
    "autoconfig.disconnect": Route("POST", "/limits/autoconfig/disconnect"),
}

_SERVER: dict[str, Route] = {
    "server.versions": Route("GET", "/versions/rest"),  # 10.1
    "server.ping": Route("GET", "{rest}/ping"),
    "server.openapi": Route("GET", "/v3/api-docs"),  # 10.2
    "connections.list": Route("GET", "{rest}/connections"),
}

#: Limits 2.0 and later: section 10.3 where it is documented, else 10.4. No write is repeated, whatever its method.
PATHS_V2: dict[str, Route] = {
    **_SESSION,
    **_SERVER,
    "structures.list": Route("GET", "{rest}/limitDefinition/structure"),
    "structures.get": Route("GET", "{rest}/limitDefinition/structure/{structureId}"),
    "structures.save": Route("POST", "{rest}/limitDefinition/structure/save"),
    "structures.create": Route("POST", "{rest}/limitDefinition/structure/create"),
    "structures.update": Route("PUT", "{rest}/limitDefinition/structure/update", idempotent=False),
    "structures.delete": Route("DELETE", "{rest}/limitDefinition/structure/{structureId}", idempotent=False),
    "limits.list": Route("GET", "{rest}/limitDefinition/limits"),
    "limits.save": Route("POST", "{rest}/limitDefinition/limits/save"),
    "limits.delete": Route("DELETE", "{rest}/limitDefinition/limits/{limitId}", idempotent=False),
    "limits.status": Route("POST", "{rest}/limitDefinition/limits/status/get", reads=True),
    "upload.structures": Route("POST", "{rest}/limitDefinition/uploadStructures"),
    "upload.limits": Route("POST", "{rest}/limitDefinition/uploadLimits"),
    "export": Route("POST", "{rest}/limitDefinition/export", reads=True),
    "evaluate.limits": Route("POST", "{rest}/evaluate/limits"),
    "evaluate.structures": Route("POST", "{rest}/evaluate/structures"),
    "evaluate.all": Route("POST", "{rest}/evaluate/all"),
    "evaluate.roll_date": Route("POST", "/custom/rest/load-controller/execute"),  # 2.0; at the root
    "incidents.list": Route("GET", "{rest}/incidents"),
    "incidents.act": Route("POST", "{rest}/incidents/{incidentKey}/actions/{action}"),
    "workflow.can_start": Route("GET", "{rest}/workflow/can-start"),
    "workflow.act": Route("POST", "{rest}/workflow/limits/{limitId}/{action}"),
    "workflow.audit": Route("GET", "{rest}/workflow/process-instances/{processInstanceId}/history"),
}

#: Limits 1.x: nothing else is documented for it. The last two are of 1.0 alpha.
PATHS_V1: dict[str, Route] = {
    **_SESSION,
    **_SERVER,
    "limits.create": Route("POST", "{rest}/limitDefinition/create"),
    "upload.limits": Route("POST", "{rest}/limitDefinition/upload"),
    "export": Route("POST", "{rest}/limitDefinition/export", reads=True),
    "workflow.can_start": Route("GET", "/limit-process-definition/canStart"),  # at the root
}

_TABLES = {"v1": PATHS_V1, "v2": PATHS_V2}


class Paths(Routes):
    """Every call by its name. ``{rest}`` is the base of Limits' REST, ``{pivot}`` that of the session's.

    >>> paths = Paths().with_(evaluate_all=("POST", "{rest}/limits/evaluate"))
    >>> paths.path("evaluate.all")
    '/limits/rest/v2/limits/evaluate'

    ``version`` is ``v2``, or ``v1`` for Limits 1.x. Raises ``ConfigError`` for a table that cannot be.
    """

    def __init__(self, version: str = "v2") -> None:
        if version not in _TABLES:
            raise ConfigError(f"the version of Limits' REST is {' or '.join(_TABLES)}, not {version!r}")
        self.version = version
        self.owner = f"Limits' REST {version}"
        bases = {"rest": f"/limits/rest/{version}", "pivot": ""}
        super().__init__(_TABLES[version], bases=bases, known={**PATHS_V1, **PATHS_V2})

    def from_openapi(self, document: Any, *, below: str = "rest") -> Self:
        """This table, corrected by a server's OpenAPI document (``/v3/api-docs``), which tells what is below its REST.

        See :meth:`asyncconn.http.routes.Routes.from_openapi`.
        """
        return super().from_openapi(document, below=below)
