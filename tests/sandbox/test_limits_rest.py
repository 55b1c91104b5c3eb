"""The Limits server's REST: every path of the table, roles, errors, pages."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from captures import ATOTI_LIMITS as CAPTURES

from asyncconn.errors import ConfigError
from asyncconn.sandbox import Fault, Faults
from asyncconn.sandbox.atoti_limits import FakeLimitsServer, User
from asyncconn.sandbox.atoti_limits.paths import PATHS, ROOT_PATHS

from .limits_scene import DEFINITION, LIMIT, REST, STRUCTURE, basic, limits, seeded, shape

# -- up or not ---------------------------------------------------------------------------------------------------------


async def test_it_tells_its_versions_answers_pings_and_describes_itself_to_anybody() -> None:
    async with limits(base_path="/deep") as (_, rest):
        versions = await rest("GET", "/versions/rest", user=None)
        assert shape(versions.json).keys() == CAPTURES["session_versions"]["body"].keys()
        assert versions.json["serverVersion"] == "6.2.2"
        assert (await rest("GET", f"{REST}/ping", user=None)).body == b"pong"
        document = (await rest("GET", "/v3/api-docs", user=None)).json
    operations = {
        operation["operationId"]: (method.upper(), path.removeprefix(REST))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }

    assert operations == {**PATHS, **ROOT_PATHS}


async def test_the_description_can_be_switched_off() -> None:
    async with limits(api_docs=False) as (_, rest):
        assert (await rest("GET", "/v3/api-docs")).status == 404


async def test_paths_can_be_overridden_and_the_old_ones_are_gone() -> None:
    paths = {"structures.list": ("POST", "/structures/query"), "workflow.act": ("PUT", "/do/{action}/{limitId}")}
    async with limits(paths=paths) as (_, rest):
        await seeded(rest)
        assert (await rest("POST", f"{REST}/structures/query", data=b"")).json[0]["structureId"] == "id_0001"
        assert (await rest("GET", f"{DEFINITION}/structure")).status == 404
        assert (await rest("PUT", f"{REST}/do/expire/lim_0001", {})).json["limitStatus"] == "EXPIRED"
        assert "/limits/rest/v2/structures/query" in (await rest("GET", "/v3/api-docs")).json["paths"]


async def test_a_word_in_a_path_wins_over_a_parameter() -> None:
    async with limits(paths={"limits.list": ("GET", "/limitDefinition/structure/limits")}) as (_, rest):
        assert (await rest("GET", f"{DEFINITION}/structure/limits")).json["content"] == []
        assert (await rest("GET", f"{DEFINITION}/structure/other")).status == 404


@pytest.mark.parametrize(
    "knobs",
    [
        {"paths": {"unheard.of": ("GET", "/x")}},
        {"paths": {"ping": ("GET", "/{a}/{a}")}},
        {"version": "new"},
        {"callback_delay": -1.0},
        {"failures_first": -1},
    ],
)
def test_knobs_that_make_no_sense_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        FakeLimitsServer(**knobs)


# -- who may do what ---------------------------------------------------------------------------------------------------


READING = {"structures.list", "structures.get", "limits.list", "limits.status", "export", "incidents.list"}
READING |= {"workflow.can_start", "workflow.audit", "connections.list"}
ALLOWED = {
    "ROLE_READ_ONLY": READING,
    "ROLE_APPROVE_REJECT_LIMIT": READING | {"workflow.act"},
    "ROLE_EVALUATE_STRUCTURE": READING | {"evaluate.limits", "evaluate.structures", "evaluate.all"},
    "ROLE_PROCESS_INCIDENT": READING | {"incidents.act"},
    "ROLE_LIMITS": set(PATHS) - {"ping", "connections.open", "connections.close"},
    "ROLE_ADMIN": set(PATHS) - {"ping", "connections.open", "connections.close", "workflow.act", "incidents.act"},
    "ROLE_ACTIVITI_USER": {"connections.open", "connections.close"},
    "ROLE_USERS": set(),
}


@pytest.mark.parametrize("role", ALLOWED)
async def test_a_role_may_do_what_it_is_for_and_no_more(role: str) -> None:
    async with limits() as (server, rest):
        server.users["someone"] = User("someone", "someone", frozenset({"ROLE_USER", role}))
        allowed = set()
        for name, (method, template) in PATHS.items():
            path = template.replace("{action}", "approve").replace("{", "").replace("}", "")
            reply = await rest(method, REST + path, user="someone", data=b"" if method == "POST" else None)
            assert reply.status not in (401, 405, 500), name
            if reply.status != 403:
                allowed.add(name)

    assert allowed == ALLOWED[role] | {"ping"}


async def test_a_permission_without_a_general_role_is_not_enough() -> None:
    async with limits() as (server, rest):
        server.users["someone"] = User("someone", "someone", frozenset({"ROLE_READ_ONLY"}))
        assert (await rest("GET", f"{DEFINITION}/structure", user="someone")).status == 403


@pytest.mark.parametrize(
    ("knobs", "status"),
    [({"version": "3.3.1"}, 204), ({"version": "4.0.0"}, 403), ({"enforce_roles": False}, 204)],
)
async def test_roles_are_enforced_since_4_0(knobs: dict[str, Any], status: int) -> None:
    async with limits(**knobs) as (_, rest):
        await seeded(rest)
        assert (await rest("DELETE", f"{DEFINITION}/limits/lim_0001", user="readonly")).status == status


async def test_readonly_reads_and_a_stranger_does_not() -> None:
    async with limits() as (server, rest):
        assert (await rest("GET", f"{DEFINITION}/structure", user="readonly")).json == []
        for headers in ({}, basic("readonly", "wrong"), {"Authorization": "Bearer x"}):
            reply = await rest("GET", f"{DEFINITION}/structure", user=None, headers=headers)
            assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, 'Basic realm="atoti"')
        server.bearer_tokens["x"] = "readonly"
        for value in ("Bearer x", f"Jwt {server.token('readonly')}"):
            reply = await rest("GET", f"{DEFINITION}/structure", user=None, headers={"Authorization": value})
            assert reply.status == 200


# -- errors ------------------------------------------------------------------------------------------------------------


async def test_an_unknown_path_is_404_and_a_wrong_method_names_the_right_ones() -> None:
    async with limits() as (_, rest):
        assert (await rest("GET", f"{REST}/nope")).json == {
            "error": "Not Found",
            "path": f"{REST}/nope",
            "status": 404,
        }
        reply = await rest("PUT", f"{DEFINITION}/structure/id_0001")
        assert (reply.status, reply.headers["Allow"]) == (405, "GET, DELETE")


@pytest.mark.parametrize("style", ["detailed", "pre6"])
async def test_details_are_in_every_format_and_a_stack_trace_only_when_asked_for(style: str) -> None:
    async with limits(error_style=style) as (server, rest):
        bodies = []
        for server.stack_traces in (False, True):
            reply = await rest("POST", f"{DEFINITION}/structure/save", [{}])
            assert reply.status == 422
            bodies.append(reply.json)
    for body in bodies:
        details = body.pop("details")
        assert {"row": 1, "field": "cubeName", "message": "must be a text"} in details
        assert shape(body) == shape(CAPTURES["session_errors"][style]["body"])
    inner = [body["error"] if style == "pre6" else body for body in bodies]
    assert ["Invented.java" in one["stackTrace"] for one in inner] == [False, True]


@pytest.mark.parametrize("name", PATHS)
async def test_a_fault_strikes_any_endpoint_in_its_own_format(name: str) -> None:
    method, template = PATHS[name]
    path = REST + template.replace("{", "").replace("}", "")
    async with limits(faults=Faults(Fault("status", status=503, retry_after=2, match=path))) as (server, rest):
        reply = await rest(method, path)
        assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
        assert reply.json["path"] == path
        assert server.requests[f"{method} {path}"] == 1


@pytest.mark.parametrize("name", ["structures.save", "limits.save", "limits.status", "evaluate.limits", "export"])
async def test_a_body_of_the_wrong_kind_is_refused(name: str) -> None:
    method, template = PATHS[name]
    async with limits() as (_, rest):
        for data, kind, status in [
            (b"[]", "text/plain", 415),
            (b"{", "application/json", 400),
            (b"1", "application/json", 400),
            (b"[1]", "application/json", 400),
        ]:
            assert (await rest(method, REST + template, data=data, headers={"Content-Type": kind})).status == status
        if name != "export":
            assert (await rest(method, REST + template, {})).status == 400


# -- structures --------------------------------------------------------------------------------------------------------


async def test_a_captured_structure_is_stored_with_all_it_said() -> None:
    async with limits() as (_, rest):
        reply = await rest("POST", f"{DEFINITION}/structure/save", [STRUCTURE])
        assert reply.status == CAPTURES["v2_structures_save"]["status"]
        (stored,) = reply.json
        assert {name: stored[name] for name in STRUCTURE} == STRUCTURE
        assert stored["structureId"] == stored["referenceId"] == "id_0001"
        assert (await rest("GET", f"{DEFINITION}/structure/id_0001")).json == stored
        assert (await rest("GET", f"{DEFINITION}/structure")).json == [stored]


async def test_structures_are_created_updated_saved_and_deleted() -> None:
    one, two = STRUCTURE, {**STRUCTURE, "referenceId": "id_0002", "group": "Other"}
    async with limits() as (_, rest):

        async def write(verb: str, *rows: Any) -> int:
            method = "PUT" if verb == "update" else "POST"
            return (await rest(method, f"{DEFINITION}/structure/{verb}", list(rows))).status

        assert await write("update", one) == 404
        assert await write("create", one) == 201
        assert await write("create", two, one) == 409
        assert await write("update", one, two) == 404
        assert len((await rest("GET", f"{DEFINITION}/structure")).json) == 1  # all or nothing
        assert await write("save", {**one, "name": "New"}, two) == 200
        assert await write("save", one, one) == 409
        assert await write("update", {**one, "comment": ""}) == 200
        stored = (await rest("GET", f"{DEFINITION}/structure/id_0001")).json
        assert (stored["name"], stored["comment"]) == ("Price limit", "")
        assert (await rest("DELETE", f"{DEFINITION}/structure/id_0001")).status == 204
        assert (await rest("DELETE", f"{DEFINITION}/structure/id_0001")).status == 404
        assert (await rest("GET", f"{DEFINITION}/structure/id_0001")).status == 404


@pytest.mark.parametrize(("version", "wanted"), [("3.1.0", "object"), ("3.2.0", "array")])
async def test_create_took_a_single_structure_before_3_2(version: str, wanted: str) -> None:
    async with limits(version=version) as (_, rest):
        for given, body in [("object", STRUCTURE), ("array", [STRUCTURE])]:
            reply = await rest("POST", f"{DEFINITION}/structure/create", body)
            assert reply.status == (201 if given == wanted else 400)


async def test_structures_are_listed_by_server_cube_and_group() -> None:
    async with limits() as (_, rest):
        rows = [{**STRUCTURE, "referenceId": f"s{n}", "group": f"g{n}", "cubeName": f"c{n % 2}"} for n in range(4)]
        await rest("POST", f"{DEFINITION}/structure/save", rows)
        for query, count in [("group=g1", 1), ("cubeName=c1", 2), ("serverName=atoti", 4), ("cubeName=c1&group=g2", 0)]:
            assert len((await rest("GET", f"{DEFINITION}/structure?{query}")).json) == count


async def test_a_structure_with_live_limits_is_not_deleted() -> None:
    async with limits() as (_, rest):
        await seeded(rest)
        reply = await rest("DELETE", f"{DEFINITION}/structure/id_0001")
        assert (reply.status, "lim_0001" in reply.error) == (409, True)
        await rest("DELETE", f"{DEFINITION}/limits/lim_0001")
        assert (await rest("DELETE", f"{DEFINITION}/structure/id_0001")).status == 204


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_a_captured_limit_is_stored_with_all_it_said() -> None:
    async with limits() as (_, rest):
        await seeded(rest)
        page = (await rest("GET", f"{DEFINITION}/limits")).json
        assert shape(page) == {"content": [shape(page["content"][0])], "page": "int", "size": "int", "total": "int"}
        (stored,) = page["content"]
        assert {name: stored[name] for name in LIMIT} == LIMIT
        assert (page["page"], page["size"], page["total"]) == (0, 100, 1)


async def test_a_list_of_one_value_is_read_as_the_value() -> None:
    async with limits() as (_, rest):
        await seeded(rest)
        given = {name: value for name, value in LIMIT.items() if name != "limitValue"} | {"limitValues": [7]}
        (stored,) = (await rest("POST", f"{DEFINITION}/limits/save", [given])).json
        assert stored["limitValue"] == 7
        assert "limitValues" not in stored


async def test_limits_come_in_pages_and_by_structure_status_and_life() -> None:
    async with limits() as (_, rest):
        await seeded(rest)
        rows = [{**LIMIT, "limitId": f"l{n}", "scope": f"CarName=c{n}"} for n in range(9)]
        await rest("POST", f"{DEFINITION}/limits/save", rows)
        await rest("DELETE", f"{DEFINITION}/limits/l0")

        async def page(query: str) -> Any:
            reply = await rest("GET", f"{DEFINITION}/limits?{query}")
            return reply.json if reply.status == 200 else reply.status

        assert [one["limitId"] for one in (await page("page=1&size=4"))["content"]] == ["l3", "l4", "l5", "l6"]
        assert (await page("page=3&size=4")) == {"content": [], "page": 3, "size": 4, "total": 10}
        assert (await page("alive=true"))["total"] == 9
        assert (await page("alive=false&status=DELETED"))["total"] == 1
        assert (await page("structureId=nope"))["total"] == 0
        assert (await page("size=1000"))["total"] == 10
        for wrong in ("size=0", "size=1001", "page=-1", "page=x", "alive=yes"):
            assert await page(wrong) == 400


async def test_a_deleted_limit_is_gone_and_its_id_can_be_used_again() -> None:
    async with limits() as (_, rest):
        await seeded(rest)
        assert (await rest("DELETE", f"{DEFINITION}/limits/lim_0001")).status == 204
        assert (await rest("DELETE", f"{DEFINITION}/limits/lim_0001")).status == 404
        assert (await rest("POST", f"{DEFINITION}/limits/status/get", ["lim_0001"])).status == 404
        (again,) = (await rest("POST", f"{DEFINITION}/limits/save", [LIMIT])).json
        history = await rest("GET", f"{REST}/workflow/process-instances/{again['processInstanceId']}/history")
        assert [entry["action"] for entry in history.json] == ["save"]


async def test_the_status_of_limits_is_told_for_the_day() -> None:
    async with limits() as (server, rest):
        await seeded(rest)
        await rest(
            "POST", f"{DEFINITION}/limits/save", [{**LIMIT, "limitId": "old", "endDate": "2026-01-31", "scope": "A=1"}]
        )
        for server.as_of_date, word in [(date(2026, 1, 31), "APPROVED"), (date(2026, 2, 1), "EXPIRED")]:
            reply = await rest("POST", f"{DEFINITION}/limits/status/get", ["lim_0001", "old"])
            on = str(server.as_of_date)
            assert reply.json == [
                {"limitId": "lim_0001", "status": "APPROVED", "asOfDate": on},
                {"limitId": "old", "status": word, "asOfDate": on},
            ]


# -- the day of evaluations, and users ---------------------------------------------------------------------------------


ROLL = {"operation": "LOAD", "topics": ["AsOfDate"], "scope": {"_recursive": "true"}}
ROLL_PATH = "/custom/rest/load-controller/execute"


async def test_a_date_roll_reads_the_default_day_anew() -> None:
    async with limits(as_of_date_csv="AsOfDate\n2026-01-31\n") as (server, rest):
        assert (await rest("POST", ROLL_PATH, ROLL)).status == 200
        assert server.as_of_date == date(2026, 1, 31)
        server.as_of_date_csv = None
        assert (await rest("POST", ROLL_PATH, ROLL)).status == 200
        assert server.as_of_date == date(2026, 1, 31)


@pytest.mark.parametrize(
    ("body", "text", "status"),
    [
        ({**ROLL, "operation": "UNLOAD"}, None, 400),
        ({**ROLL, "scope": None}, None, 400),
        ({**ROLL, "topics": ["Limits"]}, None, 422),
        (ROLL, "AsOfDate\nsoon\n", 422),
        (ROLL, "AsOfDate\n2026-01-31\n2026-02-28\n", 422),
        (ROLL, "Date\n2026-01-31\n", 422),
        (ROLL, "", 422),
    ],
)
async def test_a_date_roll_that_cannot_be_is_refused(body: Any, text: str | None, status: int) -> None:
    async with limits(as_of_date_csv=text) as (_, rest):
        assert (await rest("POST", ROLL_PATH, body)).status == status


async def test_a_date_roll_takes_a_role_and_is_not_below_the_rest() -> None:
    async with limits() as (_, rest):
        assert (await rest("POST", ROLL_PATH, ROLL, user="readonly")).status == 403
        assert (await rest("POST", f"{REST}{ROLL_PATH}", ROLL)).status == 404


async def test_the_sandbox_users_have_the_captured_roles() -> None:
    async with limits() as (server, _):
        users = CAPTURES["users"]
        assert server.users["admin"].roles == set(users["admin_gen3"])
        for name in ("user1", "manager1", "readonly"):
            assert server.users[name].roles == set(users[name])
            assert "password" not in repr(server.users[name])
