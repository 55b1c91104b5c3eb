"""The session of Atoti: what it tells of itself, who may ask, and what ``connected`` may answer."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from captures import ATOTI_LIMITS as CAPTURES
from helpers import virtual

from asyncconn.core.clock import VirtualClock
from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox import Fault, Faults
from asyncconn.sandbox.atoti_limits import FakeAtotiSession, User
from asyncconn.sandbox.atoti_limits.session import BODIES

from .limits_scene import CONNECT, CONNECTED, DISCONNECT, PIVOT, Client, atoti, basic, plain_http, shape

BODY = CAPTURES["autoconfig"]["connect_gen3"]["request"]["json"]


# -- versions and discovery --------------------------------------------------------------------------------------------


async def test_versions_need_no_credentials_and_look_as_captured() -> None:
    async with atoti() as (_, ask):
        reply = await ask("GET", "/versions/rest", user=None)

    assert (reply.status, reply.json) == (200, CAPTURES["session_versions"]["body"])


async def test_versions_can_look_as_in_the_documentation() -> None:
    async with atoti(versions_style="docs", server_version="6.1.13") as (_, ask):
        assert (await ask("GET", "/versions/rest")).json == CAPTURES["session_versions_docs_variant"]["body"]


@pytest.mark.parametrize(
    ("style", "api", "ids", "paths"),
    [
        ("short", "pivot", ["9", "10"], 2),
        ("some_rest_path", "activeviam/pivot", ["9", "11", "12", "10"], 2),
        ("no_rest_path", "activeviam/pivot", ["9", "10"], 0),
    ],
)
async def test_versions_can_be_of_other_kinds(style: str, api: str, ids: list[str], paths: int) -> None:
    async with atoti(versions_style=style) as (_, ask):
        found = (await ask("GET", "/versions/rest")).json["apis"][api]["versions"]

    assert [version["id"] for version in found] == ids
    assert sum(version.get("restPath") is not None for version in found) == paths


@pytest.mark.parametrize("version", ["v9", "v10"])
async def test_ping_is_answered_below_every_version_offered(version: str) -> None:
    async with atoti() as (_, ask):
        reply = await ask("GET", f"/activeviam/pivot/rest/{version}/ping")

    assert (reply.status, reply.body) == (200, b"pong")


async def test_discovery_is_what_was_captured() -> None:
    async with atoti() as (_, ask):
        assert (await ask("GET", f"{PIVOT}/cube/discovery")).json == CAPTURES["session_discovery"]["body"]


@pytest.mark.parametrize(
    ("slicing", "found"),
    [
        ("ok", ["Date", "Epoch"]),
        ("missing", ["Epoch"]),
        ("ambiguous", ["Date", "AsOfDate", "Epoch"]),
        ("unverified", ["Scenario", "Epoch"]),
    ],
)
async def test_slicing_hierarchies_are_there_as_asked(slicing: str, found: list[str]) -> None:
    async with atoti(slicing=slicing) as (_, ask):
        cube = (await ask("GET", f"{PIVOT}/cube/discovery")).json["catalogs"][0]["cubes"][0]
    hierarchies = [hierarchy for dimension in cube["dimensions"] for hierarchy in dimension["hierarchies"]]

    assert [hierarchy["name"] for hierarchy in hierarchies if hierarchy["slicing"]] == found
    for hierarchy in hierarchies:
        assert (hierarchy["levels"][0]["type"] == "ALL") == (not hierarchy["slicing"])


async def test_a_session_may_begin_without_a_cube_and_get_two() -> None:
    async with atoti(cubes=[]) as (session, ask):
        assert (await ask("GET", f"{PIVOT}/cube/discovery")).json["catalogs"][0]["cubes"] == []
        await session.add_cube("First")
        await session.add_cube("Second", "missing")
        cubes = (await ask("GET", f"{PIVOT}/cube/discovery")).json["catalogs"][0]["cubes"]

    assert [cube["name"] for cube in cubes] == ["First", "Second"]
    assert cubes[0]["dimensions"] != cubes[1]["dimensions"]


async def test_discovery_can_be_wrapped_as_before_6() -> None:
    async with atoti(pre6_wrapper=True, cubes=[]) as (_, ask):
        found = (await ask("GET", f"{PIVOT}/cube/discovery")).json

    assert shape(found) == {"status": "str", "data": {"catalogs": [{"name": "str", "cubes": []}]}}
    assert found["status"] == CAPTURES["session_discovery_pre6_wrapper"]["body"]["status"]


# -- who may ask -------------------------------------------------------------------------------------------------------

PROTECTED = [("GET", f"{PIVOT}/ping"), ("GET", f"{PIVOT}/cube/discovery"), ("GET", CONNECTED), ("POST", CONNECT)]


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize(
    "headers",
    [{}, basic("admin", "wrong"), basic("nobody"), {"Authorization": "Basic ???"}, {"Authorization": "Bearer x"}],
    ids=["none", "wrong password", "unknown user", "not base64", "unknown token"],
)
async def test_without_right_credentials_it_is_401_with_a_challenge(
    method: str, path: str, headers: dict[str, str]
) -> None:
    async with atoti() as (_, ask):
        reply = await ask(method, path, user=None, headers=headers)

    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == 'Basic realm="atoti"'
    assert reply.json == {"error": "Unauthorized", "path": path, "status": 401}


@pytest.mark.parametrize("name", ["basic_admin", "basic_user1"])
async def test_captured_credentials_are_right(name: str) -> None:
    async with atoti() as (_, ask):
        assert (await ask("GET", f"{PIVOT}/ping", user=None, headers=CAPTURES["headers"][name])).status == 200


async def test_a_jwt_must_be_signed_by_the_shared_key_and_not_be_expired() -> None:
    async with atoti() as (session, ask):

        async def status(token: str, scheme: str = "Jwt") -> int:
            headers = {"Authorization": f"{scheme} {token}"}
            return (await ask("GET", f"{PIVOT}/ping", user=None, headers=headers)).status

        good = session.token("user1")
        other = FakeAtotiSession(jwt_key="another").token("user1")
        assert await status(good) == 200
        assert await status(good, "Bearer") == 401
        assert await status(session.token("nobody")) == 401
        assert await status(session.token("user1", expires_in=-1)) == 401
        assert await status(other) == 401
        assert await status(good.rpartition(".")[0] + ".") == 401
        assert await status("a.b.c") == 401
        assert await status("\u00e9.\u00e9.\u00e9") == 401
        assert await status(CAPTURES["headers"]["jwt"]["Authorization"].removeprefix("Jwt ")) == 401


async def test_an_opaque_bearer_token_belongs_to_a_user() -> None:
    async with atoti(bearer_tokens={"example-token": "user1"}) as (_, ask):
        headers = CAPTURES["headers"]["bearer"]
        assert (await ask("GET", f"{PIVOT}/ping", user=None, headers=headers)).status == 200


async def test_without_role_user_the_connection_is_none_of_your_business() -> None:
    async with atoti() as (session, ask):
        session.users["guest"] = User("guest", "guest", frozenset({"ROLE_LIMITS"}))
        for method, path in [("GET", CONNECTED), ("POST", CONNECT), ("POST", DISCONNECT)]:
            assert (await ask(method, path, BODY if method == "POST" else None, user="guest")).status == 403
        assert session.attempts == 0


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_a_session_that_is_not_ready_answers_503_to_all_but_admins(method: str, path: str) -> None:
    async with atoti(not_ready=True, never_connects=True) as (_, ask):
        body = BODY if method == "POST" else None
        assert (await ask(method, path, body, user="user1")).status == 503
        assert (await ask(method, path, body, user="admin")).status == 200
        assert (await ask("GET", "/versions/rest", user=None)).status == 200


@pytest.mark.parametrize("path", [CONNECTED, CONNECT, DISCONNECT])
async def test_without_the_extension_its_endpoints_are_404(path: str) -> None:
    async with atoti(extension_loaded=False) as (_, ask):
        assert (await ask("GET" if path == CONNECTED else "POST", path, BODY)).status == 404
        assert (await ask("GET", f"{PIVOT}/ping")).status == 200


async def test_a_cookie_is_set_and_never_needed() -> None:
    async with atoti() as (_, ask):
        for _ in range(2):
            reply = await ask("GET", f"{PIVOT}/ping")
            assert (reply.status, "SameSite=Lax" in reply.headers["Set-Cookie"]) == (200, True)


# -- errors ------------------------------------------------------------------------------------------------------------


async def test_an_error_is_concise_as_captured() -> None:
    async with atoti() as (_, ask):
        reply = await ask("GET", "/nope")

    captured = CAPTURES["session_errors"]["concise"]
    assert (reply.status, reply.json) == (captured["status"], captured["body"])


@pytest.mark.parametrize("style", ["detailed", "pre6"])
async def test_errors_have_the_other_formats_and_a_stack_trace_only_when_asked_for(style: str) -> None:
    async with atoti(error_style=style) as (session, ask):
        without = (await ask("GET", "/nope")).json
        session.stack_traces = True
        traced = (await ask("GET", "/nope")).json

    assert shape(without) == shape(traced) == shape(CAPTURES["session_errors"][style]["body"])
    inner = [body["error"] if style == "pre6" else body for body in (without, traced)]
    assert inner[0]["errorChain"] == [{"message": "Not Found", "type": "NotFoundException"}]
    assert (inner[0]["stackTrace"], bool(inner[1]["stackTrace"])) == ("", True)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/versions/rest"), ("POST", f"{PIVOT}/ping"), ("GET", CONNECT), ("POST", CONNECTED)]
)
async def test_a_wrong_method_is_told_the_right_one(method: str, path: str) -> None:
    async with atoti() as (_, ask):
        reply = await ask(method, path)

    assert (reply.status, reply.headers["Allow"]) == (405, "POST" if method == "GET" else "GET")


@pytest.mark.parametrize("path", ["/versions/rest", f"{PIVOT}/ping", f"{PIVOT}/cube/discovery", CONNECT, CONNECTED])
@pytest.mark.parametrize("status", [401, 500, 503])
async def test_any_endpoint_can_be_made_to_answer_any_status(path: str, status: int) -> None:
    async with atoti(faults=Faults(Fault("status", status=status, match=path))) as (session, ask):
        reply = await ask("POST" if path == CONNECT else "GET", path, BODY if path == CONNECT else None)
        assert (reply.status, reply.json["status"]) == (status, status)
        assert ("WWW-Authenticate" in reply.headers) == (status == 401)
        assert session.attempts == 0


# -- the body of connect -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        *(json.dumps({name: value for name, value in BODY.items() if name != left}) for left in BODY),
        *(json.dumps({**BODY, name: wrong}) for name in BODY for wrong in (None, "", 1)),
        json.dumps({**BODY, "limitsBaseUrl": "localhost:3090"}),
        json.dumps({**BODY, "atotiBaseUrl": "ftp://localhost"}),
    ],
)
async def test_an_incomplete_body_is_refused_by_generation_3(body: str) -> None:
    async with atoti() as (session, ask):
        reply = await ask("POST", CONNECT, data=body, headers={"Content-Type": "application/json"})
        assert reply.status == 400
        assert shape(reply.json) == {"error": "str", "path": "str", "status": "int"}
        assert session.attempts == 0


async def test_a_right_connect_is_answered_as_captured() -> None:
    async with atoti(never_connects=True) as (session, ask):
        reply = await ask("POST", CONNECT, BODY)
        assert (reply.status, reply.body) == (200, b"")
        assert session.attempts == 0


async def test_generation_2_has_no_disconnect_and_generation_1_nothing_at_all() -> None:
    async with atoti(generation=2, never_connects=True, limits_url="http://127.0.0.1:1") as (_, ask):
        assert (await ask("POST", CONNECT)).status == 200
        assert (await ask("GET", CONNECTED)).json is False
        assert (await ask("POST", DISCONNECT)).status == 404
    async with atoti(generation=1) as (_, ask):
        for method, path in [("POST", CONNECT), ("GET", CONNECTED), ("POST", DISCONNECT)]:
            assert (await ask(method, path, BODY if method == "POST" else None)).status == 404


# -- what connected answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BODIES)
async def test_connected_can_answer_what_is_no_boolean(name: str) -> None:
    async with atoti(connected_body=name) as (_, ask):
        reply = await ask("GET", CONNECTED)

    assert (reply.status, reply.body) == (200, BODIES[name][0])
    assert reply.body not in (b"true", b"false")


async def test_connected_can_answer_given_bytes() -> None:
    async with atoti(connected_body=b" true\n") as (_, ask):
        assert (await ask("GET", CONNECTED)).body == b" true\n"


async def test_a_script_of_answers_is_played_and_then_the_truth_is_told() -> None:
    async with atoti(connected_script=[True, False, 503, b"maybe"]) as (session, ask):
        replies = [await ask("GET", CONNECTED) for _ in range(5)]
        session.connected_script = [404]
        replies.append(await ask("GET", CONNECTED))

    assert [reply.status for reply in replies] == [200, 200, 503, 200, 200, 404]
    assert [replies[i].body for i in (0, 1, 3, 4)] == [b"true", b"false", b"maybe", b"false"]


# -- the rest ----------------------------------------------------------------------------------------------------------


async def test_a_base_path_is_before_everything() -> None:
    async with atoti(base_path="/foo/bar", never_connects=True) as (session, ask):
        assert session.url.endswith("/foo/bar")
        assert (await ask("GET", "/versions/rest", user=None)).status == 200
        assert (await ask("GET", f"{PIVOT}/ping")).body == b"pong"
        assert (await ask("POST", CONNECT, BODY)).status == 200
        bare = Client(ask.http, session.url.removesuffix("/foo/bar"))
        for path in ("/versions/rest", f"{PIVOT}/ping", CONNECTED, f"/foo/barn{CONNECTED}"):
            assert (await bare("GET", path)).status == 404
        assert session.requests[f"POST {CONNECT}"] == 1


async def test_requests_are_counted_also_those_that_a_fault_struck() -> None:
    async with atoti(faults=Faults(Fault("drop_before", match=CONNECTED))) as (session, ask):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await ask("POST", CONNECTED)  # a POST: aiohttp sends a GET again by itself
        await ask("GET", CONNECTED)
        assert session.requests == {f"POST {CONNECTED}": 1, f"GET {CONNECTED}": 1}


@virtual
async def test_latency_delays_each_answer(clock: VirtualClock) -> None:
    async with atoti(latency=2.5, clock=clock) as (_, ask):
        before = clock.now()
        assert (await ask("GET", f"{PIVOT}/ping")).status == 200
        assert 2.5 <= clock.now() - before < 2.6


async def test_down_refuses_connections_and_up_is_on_the_same_port() -> None:
    async with plain_http() as http, FakeAtotiSession(down=True) as session:
        ask, url = Client(http, session.url), session.url
        for _ in range(2):
            with pytest.raises(aiohttp.ClientConnectorError):
                await ask("GET", "/versions/rest")
            await session.come_up()
            assert (await ask("GET", "/versions/rest")).status == 200
            assert session.url == url
            await session.go_down()
        assert session.requests == {"GET /versions/rest": 2}


@pytest.mark.parametrize(
    "knobs",
    [
        {"generation": 4},
        {"connection_delay": 0.0},
        {"connected_body": "unheard-of"},
        {"latency": -1.0},
        {"base_path": "foo"},
        {"base_path": "/foo/"},
    ],
)
def test_knobs_that_make_no_sense_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        FakeAtotiSession(**knobs)


async def test_it_is_entered_once_and_has_an_address_only_while_open() -> None:
    session = FakeAtotiSession()
    for attempt in (lambda: session.url, lambda: session.client):
        with pytest.raises(LifecycleError):
            attempt()
    async with session:
        assert session.url in repr(session)
    with pytest.raises(LifecycleError):
        await session.come_up()
    with pytest.raises(LifecycleError):
        await session.start()
    assert repr(session) == "<FakeAtotiSession not open>"
    assert "made-up" not in repr(User("a", "made-up"))
