"""The Limits server: connections of sessions, and its REST below ``/limits/rest``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.errors import ConfigError
from asyncconn.sandbox.atoti_limits import evaluation
from asyncconn.sandbox.atoti_limits.fake import Fake, path_below
from asyncconn.sandbox.atoti_limits.hop import look_at
from asyncconn.sandbox.atoti_limits.incidents import Evaluation
from asyncconn.sandbox.atoti_limits.operations import Operations, Request
from asyncconn.sandbox.atoti_limits.paths import PATHS, ROOT_PATHS, V1_PATHS, V1_ROOT_PATHS, PathTable
from asyncconn.sandbox.atoti_limits.problems import Problem, json_answer
from asyncconn.sandbox.atoti_limits.store import Store
from asyncconn.sandbox.atoti_limits.users import basic, require
from asyncconn.sandbox.credentials import Inventor
from asyncconn.sandbox.exchange import Answer

if TYPE_CHECKING:
    from asyncconn.sandbox.exchange import Call

__all__ = ["FakeLimitsServer"]

Measure = Callable[[dict[str, Any], dict[str, Any], date], float]


@dataclass(kw_only=True, eq=False, repr=False)
class FakeLimitsServer(Fake):
    """A Limits server on loopback, for as long as its ``async with`` lasts.

        async with FakeLimitsServer(version="4.1.0") as limits:
            limits.connect("atoti")  # as if a session had connected
            ...

    ``version`` decides on CSV columns, on the meaning of ``warningThreshold``, and brings the known bugs of its time;
    ``rest_version`` ``v1`` serves Limits 1.x. ``paths`` (name: method and template) overrides entries of the path
    table; it is read when the server is made. ``api_docs`` offers the OpenAPI document.

    Sessions: ``server_names`` may connect (None: any). ``failures_first`` refuses so many of their requests with 503,
    ``callback_delay`` waits so many seconds before Limits connects back.

    Rules: ``enforce_roles`` (None: from 4.0 on), ``creator_may_approve``. An evaluation that names no day is of
    ``as_of_date`` (None: today, UTC); a date roll reads that from ``as_of_date_csv``, the text of the server's file
    (None: there is none, and it stays).

    Evaluations: ``measure(limit, structure, day)`` gives the value; without it, ``utilizations`` gives percents by
    limit id, and for all others they are made up from ``seed`` (see
    :func:`~asyncconn.sandbox.atoti_limits.evaluation.utilization`). ``report_passes`` has them in the answer too.
    All else may be changed while it runs.
    """

    name = "atoti-limits"

    version: str = "6.2.2"
    rest_version: Literal["v1", "v2"] = "v2"
    paths: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    api_docs: bool = True
    server_names: Sequence[str] | None = ("atoti",)
    service_principal: str = "admin"
    failures_first: int = 0
    callback_delay: float = 0.0
    enforce_roles: bool | None = None
    creator_may_approve: bool = False
    as_of_date: date | None = None
    as_of_date_csv: str | None = None
    measure: Measure | None = None
    utilizations: dict[str, float] = field(default_factory=dict)
    report_passes: bool = False
    seed: int | str | None = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.callback_delay < 0 or self.failures_first < 0:
            raise ConfigError("callback_delay and failures_first must be 0 or more")
        known, root = (V1_PATHS, V1_ROOT_PATHS) if self.rest_version == "v1" else (PATHS, ROOT_PATHS)
        if unknown := set(self.paths) - set(known):
            raise ConfigError(f"paths: there is no {', '.join(sorted(unknown))}")
        self._version = _numbers(self.version)
        self._table = PathTable(f"/limits/rest/{self.rest_version}", {**known, **self.paths}, root)
        self._inventor = Inventor(self.seed)
        self.store = self._empty()

    # -- for the user --------------------------------------------------------------------------------------------------

    def connect(self, server_name: str = "atoti", url: str = "http://127.0.0.1:1") -> None:
        """As if a session of this name had connected."""
        since = self.store.now()
        self.store.connections[server_name] = {
            "serverName": server_name,
            "atotiBaseUrl": url,
            "connected": True,
            "since": since,
        }

    async def reset(self) -> None:
        """Hold nothing: no structures, limits, incidents and connections."""
        await super().reset()
        self.store = self._empty()

    # -- for the server ------------------------------------------------------------------------------------------------

    async def serve(self, call: Call) -> Answer:
        """Carry the request out. Raises :class:`Problem`."""
        path = path_below(self.base_path, call.path)
        if path == "/versions/rest" and call.method == "GET":
            return json_answer(self._versions())
        if path == "/v3/api-docs" and call.method == "GET" and self.api_docs:
            return json_answer(self._table.openapi(self.version))
        found = self._table.find(call.method, path)
        if isinstance(found, tuple) and found[0] == "ping":
            return Answer(200, b"pong")
        user = self.caller(call)
        if isinstance(found, list):
            raise Problem(405, headers={"Allow": ", ".join(found)}) if found else Problem(404)
        request = Request(*found, user=user, call=call)
        if request.name.startswith("connections."):
            return await self._connections(request)
        return self._operations().serve(request)

    def _empty(self) -> Store:
        return Store(
            now=lambda: self.clock.utcnow().isoformat(timespec="milliseconds"),
            new_id=self._inventor.uuid,
            inactive_overlap=self._version < (4, 1, 2),
        )

    def _operations(self) -> Operations:
        return Operations(
            store=self.store,
            version=self._version,
            today=self._today,
            run=self._run,
            roll=self._roll,
            creator_may_approve=self.creator_may_approve,
            enforce_roles=self._roles_matter(),
        )

    def _versions(self) -> dict[str, Any]:
        number = self.rest_version.removeprefix("v")
        api = {"versions": [{"id": number, "restPath": f"/limits/rest/{self.rest_version}"}]}
        return {"version": 1, "serverVersion": self.version, "apis": {"activeviam/limits": api}}

    # -- connections ---------------------------------------------------------------------------------------------------

    async def _connections(self, request: Request) -> Answer:
        if request.name != "connections.list" or self._roles_matter():
            require(request.user, request.name)
        if request.name == "connections.list":
            return json_answer(list(self.store.connections.values()))
        if request.name == "connections.close":
            if (known := self.store.connections.get(request.params["serverName"])) is None:
                raise Problem(404, f"There is no connection {request.params['serverName']}")
            known["connected"] = False
            return Answer(204)
        if self.failures_first > 0:
            self.failures_first -= 1
            raise Problem(503, "Limits is not ready for connections yet")
        asked = request.json_object()
        name, url, on = (asked.get(key) for key in ("serverName", "atotiBaseUrl", "asOfDate"))
        if not isinstance(name, str) or not isinstance(url, str) or not isinstance(on, str):
            raise Problem(400, "serverName, atotiBaseUrl and asOfDate must be texts")
        if self.server_names is not None and name not in self.server_names:
            raise Problem(422, f"Server Name {name} is not among the target servers")
        if self.callback_delay:
            await self.pause(self.callback_delay)
        await self.while_open(look_at(self.client, url, on, self._authorization(request.call)))
        self.connect(name, url)
        return json_answer(self.store.connections[name], 201)

    def _roles_matter(self) -> bool:
        return self._version >= (4, 0) if self.enforce_roles is None else self.enforce_roles

    def _authorization(self, call: Call) -> str:
        """Limits comes back in the way the session came: with a password in generation 1, else with a token."""
        principal = self.users.get(self.service_principal)
        if principal is not None and call.headers.get("Authorization", "").lower().startswith("basic "):
            return basic(principal)
        return f"Jwt {self.token(self.service_principal)}"

    # -- evaluations ---------------------------------------------------------------------------------------------------

    def _today(self) -> date:
        return self.as_of_date or self.clock.utcnow().date()

    def _roll(self) -> None:
        if self.as_of_date_csv is None:
            return
        lines = self.as_of_date_csv.split()
        try:
            [header, day] = lines
            if header != "AsOfDate":
                raise ValueError
            self.as_of_date = date.fromisoformat(day)
        except ValueError:
            raise Problem(422, "as_of_date.csv is one column AsOfDate with one date") from None

    def _run(self, on: date | None) -> Evaluation:
        return Evaluation(
            measure=self.measure or self._made_up,
            on=on or self._today(),
            at=self.clock.utcnow(),
            session_id=self._inventor.uuid(),
            version=self._version,
            passes=self.report_passes,
            beta=re.search("alpha|beta|rc", self.version) is not None,
        )

    def _made_up(self, limit: dict[str, Any], structure: dict[str, Any], on: date) -> float:
        percent = self.utilizations.get(limit["limitId"])
        if percent is None:
            percent = evaluation.utilization(self.seed, limit["limitId"], on)
        return evaluation.measured(limit["limitValue"], percent, structure["kpiType"])


def _numbers(version: str) -> tuple[int, ...]:
    if (found := re.match(r"\d+(\.\d+)*", version)) is None:
        raise ConfigError(f"version must be like 6.2.2, not {version!r}")
    return tuple(map(int, found[0].split(".")))
