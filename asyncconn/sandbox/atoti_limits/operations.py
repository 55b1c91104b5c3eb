"""What a Limits server does for each name of its path table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs

from asyncconn.sandbox.atoti_limits import csv_files, incidents, workflows
from asyncconn.sandbox.atoti_limits.problems import Findings, Problem, json_answer
from asyncconn.sandbox.atoti_limits.users import require
from asyncconn.sandbox.exchange import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.sandbox.atoti_limits.store import Store
    from asyncconn.sandbox.atoti_limits.users import User
    from asyncconn.sandbox.exchange import Call

__all__ = ["Operations", "Request"]

_LARGEST_PAGE = 1000

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A call whose path was found in the table and whose user is known."""

    name: str
    params: dict[str, str]
    user: User
    call: Call

    def query(self, name: str) -> str | None:
        """A query parameter, the first if there are several."""
        values = parse_qs(self.call.query, keep_blank_values=True).get(name)
        return values[0] if values else None

    def json(self) -> Any:
        """The body. Raises 415 and 400."""
        kind = self.call.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Problem(415, "The request must be application/json")
        try:
            return json.loads(self.call.body)
        except ValueError as error:
            raise Problem(400, "The body is not JSON") from error

    def json_object(self) -> Row:
        """The body, an object. Raises 415 and 400."""
        body = self.json()
        if not isinstance(body, dict):
            raise Problem(400, "The body must be an object")
        return body

    def json_rows(self) -> list[Row]:
        """The body, an array of objects. Raises 415 and 400."""
        body = self.json()
        if not isinstance(body, list) or not all(isinstance(row, dict) for row in body):
            raise Problem(400, "The body must be an array of objects")
        return body

    def json_ids(self) -> list[str]:
        """The body, an array of texts. Raises 415 and 400."""
        body = self.json()
        if not isinstance(body, list) or not all(isinstance(one, str) for one in body):
            raise Problem(400, "The body must be an array of ids")
        return body


@dataclass(frozen=True, slots=True)
class Operations:
    """Carries requests out on a store.

    ``run`` prepares an evaluation of a day (None: the default one), ``roll`` reads the default one anew.
    """

    store: Store
    version: tuple[int, ...]
    today: Callable[[], date]
    run: Callable[[date | None], incidents.Evaluation]
    roll: Callable[[], None]
    creator_may_approve: bool
    enforce_roles: bool

    def serve(self, request: Request) -> Answer:
        """Carry it out. Raises :class:`Problem`."""
        family, _, verb = request.name.partition(".")
        if self.enforce_roles:
            action = request.params.get("action", "")
            require(request.user, f"workflow.{action}" if request.name == "workflow.act" else request.name)
        serve = {
            "structures": self._structures,
            "limits": self._limits,
            "upload": self._upload,
            "export": self._export,
            "evaluate": self._evaluate,
            "incidents": self._incidents,
            "workflow": self._workflow,
            "v1": self._v1,
        }[family]
        return serve(verb, request)

    # -- structures and limits -----------------------------------------------------------------------------------------

    def _structures(self, verb: str, request: Request) -> Answer:
        match verb:
            case "list":
                names = ("serverName", "cubeName", "group")
                return json_answer(_filtered(self.store.structures.values(), {n: request.query(n) for n in names}))
            case "get":
                return json_answer(self.store.structure(request.params["structureId"]))
            case "delete":
                self.store.delete_structure(request.params["structureId"])
                return Answer(204)
            case "create" if self.version < (3, 2):  # one object, in those days
                stored, _ = self.store.save_structures([request.json_object()], Findings(), "create")
                return json_answer(stored[0], 201)
        mode: Literal["save", "create", "update"] = (
            "create" if verb == "create" else "update" if verb == "update" else "save"
        )
        stored, _ = self.store.save_structures(request.json_rows(), Findings(), mode)
        return json_answer(stored, 201 if mode == "create" else 200)

    def _limits(self, verb: str, request: Request) -> Answer:
        match verb:
            case "list":
                alive = request.query("alive")
                if alive not in (None, "true", "false"):
                    raise Problem(400, "alive must be true or false")
                wanted = {"structureId": request.query("structureId"), "limitStatus": request.query("status")}
                rows = _filtered(self.store.limits.values(), wanted)
                return _page([row for row in rows if alive is None or row["alive"] == (alive == "true")], request)
            case "delete":
                self.store.delete_limit(request.params["limitId"], request.user.name)
                return Answer(204)
            case "status":
                limits = [self.store.limit(one) for one in request.json_ids()]
                return json_answer([self._status(limit) for limit in limits])
        stored, _ = self.store.save_limits(request.json_rows(), Findings(), request.user.name)
        return json_answer(stored)

    def _status(self, limit: Row) -> Row:
        on, end = self.today(), limit["endDate"]
        over = limit["limitStatus"] == "APPROVED" and end is not None and date.fromisoformat(end) < on
        status = "EXPIRED" if over else limit["limitStatus"]
        return {"limitId": limit["limitId"], "status": status, "asOfDate": on.isoformat()}

    # -- files ---------------------------------------------------------------------------------------------------------

    def _upload(self, verb: str, request: Request) -> Answer:
        text = csv_files.uploaded_text(request.call)
        if verb == "structures":
            rows, found = csv_files.read_rows(text, csv_files.structure_columns(self.version))
            stored, created = self.store.save_structures(rows, found)
        else:
            rows, found = csv_files.read_rows(text, csv_files.limit_columns(self.version))
            stored, created = self.store.save_limits(rows, found, request.user.name, uploaded=True)
        return json_answer({"created": created, "updated": len(stored) - created})

    def _export(self, verb: str, request: Request) -> Answer:
        wanted = request.json_object().get("structureIds", [])
        if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
            raise Problem(400, "structureIds must be an array of ids")
        structures = [self.store.structure(one) for one in wanted] or list(self.store.structures.values())
        by_id = {structure["structureId"]: structure for structure in structures}
        limits = [
            {**by_id[limit["structureId"]], **_named_for_export(by_id[limit["structureId"]]), **limit}
            for limit in self.store.limits.values()
            if limit["structureId"] in by_id
            and limit["limitStatus"] != "DELETED"
            # Before 4.1.2 temporary limits were forgotten.
            and (self.version >= (4, 1, 2) or limit["limitType"] != "TEMPORARY")
        ]
        return json_answer(
            {
                "structures": csv_files.write_rows(csv_files.structure_columns(self.version), structures),
                "limits": csv_files.write_rows(csv_files.limit_columns(self.version), limits),
            }
        )

    def _v1(self, verb: str, request: Request) -> Answer:
        if verb == "can_start":
            return self._can_start(request)
        if verb == "create":
            stored, _ = self.store.save_v1_limits([request.json_object()], Findings())
            return json_answer(stored[0], 201)
        if verb == "export":
            request.json_object()
            rows = [_legacy_row(limit) for limit in self.store.v1_limits.values()]
            return json_answer({"limits": csv_files.write_rows(csv_files.legacy_columns(), rows)})
        rows, found = csv_files.read_rows(csv_files.uploaded_text(request.call), csv_files.legacy_columns())
        stored, created = self.store.save_v1_limits(rows, found)
        return json_answer({"created": created, "updated": len(stored) - created})

    # -- evaluation, incidents, workflows ------------------------------------------------------------------------------

    def _roll(self, request: Request) -> Answer:
        asked = request.json_object()
        if asked.get("operation") != "LOAD" or not isinstance(asked.get("scope"), dict):
            raise Problem(400, "operation must be LOAD, and scope an object")
        if asked.get("topics") != ["AsOfDate"]:
            raise Problem(422, "the sandbox loads the topic AsOfDate")
        self.roll()
        return Answer(200)

    def _evaluate(self, verb: str, request: Request) -> Answer:
        if verb == "roll_date":
            return self._roll(request)
        asked = request.query("asOfDate")
        try:
            on = None if asked is None else date.fromisoformat(asked)
        except ValueError:
            raise Problem(400, "asOfDate must be a date such as 2026-01-31") from None
        if verb == "limits":
            limits = [self.store.limit(one) for one in request.json_ids()]
        else:
            chosen = set(self.store.structures)
            if verb == "structures":
                chosen = {self.store.structure(one)["structureId"] for one in request.json_ids()}
            limits = [limit for limit in self.store.limits.values() if limit["structureId"] in chosen]
        return json_answer(incidents.evaluate(self.store, limits, self.run(on)))

    def _incidents(self, verb: str, request: Request) -> Answer:
        if verb == "list":
            names = ("asOfDate", "limitId", "incidentType", "status")
            rows = _filtered(self.store.incidents.values(), {name: request.query(name) for name in names})
            return _page(rows, request)
        key = request.params["incidentKey"]
        if (incident := self.store.incidents.get(key)) is None:
            raise Problem(404, f"There is no incident {key}")
        return json_answer(incidents.act(incident, request.params["action"], request.json_object()))

    def _workflow(self, verb: str, request: Request) -> Answer:
        user = request.user
        if verb == "can_start":
            return self._can_start(request)
        if verb == "audit":
            if (process := self.store.processes.get(request.params["id"])) is None:
                raise Problem(404, f"There is no process instance {request.params['id']}")
            return json_answer(process.history)
        action = request.params["action"]
        if action not in workflows.LEGAL:
            raise Problem(404, f"There is no action {action}; there are {', '.join(workflows.LEGAL)}")
        limit = self.store.limit(request.params["limitId"])
        body = request.json_object() if request.call.body else {}
        comment = body.get("comment", "")
        if not isinstance(comment, str):
            raise Problem(400, "comment must be a text")
        status = workflows.act(
            self.store.processes[limit["processInstanceId"]],
            action,
            limit["limitStatus"],
            self.store.structure(limit["structureId"]),
            user,
            creator_may_approve=self.creator_may_approve,
        )
        self.store.change(limit, status, user.name, action, comment)
        return json_answer(limit)

    def _can_start(self, request: Request) -> Answer:
        if (key := request.query("key")) is None:
            raise Problem(400, "key is missing")
        if key not in workflows.KEYS:
            raise Problem(404, f"There is no workflow {key}")
        return json_answer(bool(request.user.roles & {"ROLE_LIMITS", "ROLE_ADMIN", "ROLE_USERS"}))


def _legacy_row(limit: Row) -> Row:
    """A limit of 1.x as its file has it: what only the file has is filled in."""
    scope = limit.get("scope")
    if isinstance(scope, dict):
        scope = "|".join(f"{level}={member}" for level, members in scope.items() for member in members)
    known = {"absoluteValueIndicator": False, "precedence": 0, "limitStatus": "APPROVED"}
    return {**known, **limit, "scope": scope}


def _named_for_export(structure: Row) -> Row:
    return {"structureGroup": structure["group"], "structureName": structure["name"]}


def _filtered(rows: Any, wanted: dict[str, str | None]) -> list[Row]:
    return [row for row in rows if all(value is None or row.get(name) == value for name, value in wanted.items())]


def _page(rows: list[Row], request: Request) -> Answer:
    try:
        page, size = int(request.query("page") or 0), int(request.query("size") or 100)
    except ValueError:
        raise Problem(400, "page and size must be whole numbers") from None
    if page < 0 or not 1 <= size <= _LARGEST_PAGE:
        raise Problem(400, f"page must be 0 or more, size 1 to {_LARGEST_PAGE}")
    content = rows[page * size : (page + 1) * size]
    return json_answer({"content": content, "page": page, "size": size, "total": len(rows)})
