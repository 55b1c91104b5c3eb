"""The session asks, Limits looks at it and accepts: the real way, and every way in which it fails."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from captures import ATOTI_LIMITS as CAPTURES
from helpers import cancel_at_every_await, open_sockets, turns, until, virtual

from asyncconn.core.clock import VirtualClock
from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox import Call, Fault, Faults, LimitsWorld, PanoplyWorld, Sandbox
from asyncconn.sandbox.atoti_limits import FakeAtotiSession, FakeLimitsServer, User

from .limits_scene import CONNECT, DISCONNECT, PIVOT, REST, Both, Client, both, plain_http, recording, shape

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ASK = [f"GET {REST}/ping", f"POST {REST}/connections", f"GET {REST}/connections"]
LOOK = ["POST " + CONNECT, "GET /versions/rest", f"GET {PIVOT}/cube/discovery"]


async def failed(pair: Both, words: str, *, times: int = 2) -> None:
    """Wait for attempts that failed for that reason."""
    await until(lambda: len(pair.session.failures) >= times)
    assert {words in failure for failure in pair.session.failures} == {True}, pair.session.failures
    assert await pair.connected() is False
    assert [entry for entry in await pair.listed() if entry["connected"]] == []


# -- the way it goes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base_path", ["", "/foo/bar"])
async def test_connected_is_true_once_limits_has_looked_at_the_session(base_path: str) -> None:
    async with both(session={"base_path": base_path}) as pair:
        assert await pair.connected() is False
        assert (await pair.connect()).status == 200
        await until(lambda: pair.session.connected)
        assert await pair.connected() is True
        (entry,) = await pair.listed()
        assert (entry["serverName"], entry["atotiBaseUrl"], entry["connected"]) == ("atoti", pair.session.url, True)
        assert set(entry) == {"serverName", "atotiBaseUrl", "connected", "since"}
        assert [f"{c.method} {c.path}" for c in pair.limits.arrivals] == ASK
        assert [key for key in pair.session.requests if key in LOOK] == LOOK
        assert pair.session.attempts == 1


async def test_the_request_to_limits_has_the_captured_shape_and_a_jwt() -> None:
    seen: list[Call] = []
    async with both(limits={"faults": recording(seen)}) as pair:
        await pair.connect()
        await until(lambda: pair.session.connected)
    captured = CAPTURES["simulator_connection_request"]["request"]
    (call,) = [call for call in seen if call.method == captured["method"]]

    assert call.path == captured["path"]
    assert call.headers["Authorization"].startswith("Jwt ")
    body = json.loads(call.body)
    assert shape(body) == shape(captured["json"])
    assert (body["asOfDate"], body["contentServer"]["version"]) == ("Date@Date@Cars", "9")


async def test_generation_2_connects_without_a_body() -> None:
    async with both(session={"generation": 2}) as pair:
        reply = await pair.ask("POST", CONNECT)
        assert (reply.status, reply.body) == (200, b"")
        await until(lambda: pair.session.connected)
        assert await pair.connected() is True


@pytest.mark.parametrize("rest", ["v1", "v2"])
async def test_generation_1_connects_by_itself_when_a_cube_is_there(rest: str) -> None:
    async with both(session={"generation": 1, "cubes": []}, rest_version=rest) as pair:
        await asyncio.sleep(0.05)
        assert pair.session.attempts == 0
        await pair.session.add_cube()
        await until(lambda: pair.session.connected)
        path = f"/limits/rest/{rest}/connections"
        assert [entry["connected"] for entry in (await pair.rest("GET", path)).json] == [True]


async def test_generation_1_comes_with_a_password_and_limits_answers_in_kind() -> None:
    seen: list[Call] = []
    knobs: dict[str, Any] = {"faults": recording(seen)}
    async with both(session={"generation": 1, **knobs}, limits=knobs) as pair:
        await until(lambda: pair.session.connected)

    assert {call.headers.get("Authorization", "-").partition(" ")[0] for call in seen} == {"-", "Basic"}


async def test_a_second_connect_changes_nothing() -> None:
    async with both(limits={"callback_delay": 0.05}) as pair:
        assert {(await pair.connect()).status for _ in range(3)} == {200}
        await until(lambda: pair.session.connected)
        since = await pair.listed()
        assert (await pair.connect()).status == 200
        assert await pair.connected() is True
        assert (pair.session.attempts, await pair.listed()) == (1, since)


async def test_disconnect_turns_connected_false_on_both_sides_and_connect_works_again() -> None:
    async with both() as pair:
        for _ in range(2):
            await pair.connect()
            await until(lambda: pair.session.connected)
            assert [entry["connected"] for entry in await pair.listed()] == [True]
            for _ in range(2):
                reply = await pair.ask("POST", DISCONNECT)
                assert (reply.status, reply.body) == (200, b"")
                assert await pair.connected() is False
                assert [entry["connected"] for entry in await pair.listed()] == [False]
        assert pair.session.attempts == 2


async def test_disconnect_ends_the_attempts() -> None:
    async with both(limits={"failures_first": 10_000}) as pair:
        await pair.connect()
        await failed(pair, "answered 503")
        await pair.ask("POST", DISCONNECT)
        attempts = pair.session.attempts
        await asyncio.sleep(0.05)
        assert pair.session.attempts == attempts


async def test_a_connect_to_another_limits_leaves_the_first() -> None:
    async with both() as pair, FakeLimitsServer() as other:
        await pair.connect()
        await until(lambda: pair.session.connected)
        await pair.connect(limitsBaseUrl=other.url)
        await until(lambda: other.store.connections)
        assert [entry["connected"] for entry in await pair.listed()] == [False]
        assert other.store.connections["atoti"]["connected"] is True


# -- the ways it does not ----------------------------------------------------------------------------------------------


async def test_it_connects_after_failures() -> None:
    async with both(limits={"failures_first": 3}) as pair:
        await pair.connect()
        await until(lambda: pair.session.connected)
        assert (pair.session.attempts, len(pair.session.failures)) == (4, 3)


async def test_it_gives_up_after_as_many_attempts_as_allowed() -> None:
    async with both(session={"connection_attempts": 2}, limits={"failures_first": 2}) as pair:
        await pair.connect()
        await failed(pair, "answered 503")
        await asyncio.sleep(0.05)
        assert pair.session.attempts == 2
        await pair.connect()
        await until(lambda: pair.session.connected)


async def test_it_can_be_made_never_to_connect() -> None:
    async with both(session={"never_connects": True}) as pair:
        assert (await pair.connect()).status == 200
        await asyncio.sleep(0.05)
        assert await pair.connected() is False
        assert [f"{c.method} {c.path}" for c in pair.limits.arrivals] == []


async def test_flapping_says_true_and_false_in_turn_once_connected() -> None:
    async with both(session={"flapping": True}) as pair:
        assert [await pair.connected() for _ in range(2)] == [False, False]
        await pair.connect()
        await until(lambda: pair.session.connected)
        assert [await pair.connected() for _ in range(4)] == [True, False, True, False]


async def test_a_wrong_jwt_key_keeps_it_unconnected_until_it_is_right() -> None:
    async with both(session={"wrong_jwt_key": True}) as pair:
        await pair.connect()
        await failed(pair, "answered 401")
        pair.session.wrong_jwt_key = False
        await until(lambda: pair.session.connected)


async def test_a_key_that_only_limits_does_not_share_fails_on_the_way_back() -> None:
    async with both() as pair:
        # Limits still reads the session's token, and cannot make one that the session reads.
        pair.limits.token = lambda *_, **__: "not.a.token"  # type: ignore[method-assign] # the other key pair
        await pair.connect()
        await failed(pair, "The session answered 401")


async def test_without_a_slicing_date_hierarchy_it_stays_unconnected() -> None:
    async with both(session={"slicing": "missing"}) as pair:
        await pair.connect()
        await failed(pair, "no slicing date hierarchy")
        pair.session.slicing = "ambiguous"
        await until(lambda: pair.session.connected)


async def test_connect_before_the_cube_connects_when_it_has_come() -> None:
    async with both(session={"cubes": []}) as pair:
        await pair.connect()
        await failed(pair, "no slicing date hierarchy")
        await pair.session.add_cube()
        await until(lambda: pair.session.connected)


async def test_limits_may_come_up_later() -> None:
    async with both(limits={"down": True}) as pair:
        await pair.connect()
        await until(lambda: len(pair.session.failures) >= 2)
        assert {"ClientConnectorError" in failure for failure in pair.session.failures} == {True}
        assert await pair.connected() is False
        await pair.limits.come_up()
        await until(lambda: pair.session.connected)


async def test_a_server_name_that_limits_does_not_know_stays_unconnected() -> None:
    async with both() as pair:
        await pair.connect(serverName="other")
        await failed(pair, "Server Name other is not among the target servers")
        pair.limits.server_names = None
        await until(lambda: pair.session.connected)


async def test_a_wrong_address_of_the_session_is_noticed_on_the_way_back() -> None:
    async with both() as pair:
        await pair.connect(atotiBaseUrl="http://127.0.0.1:9")
        await failed(pair, "The session could not be reached")
        await pair.connect()
        await until(lambda: pair.session.connected)


@pytest.mark.parametrize("roles", [{"ROLE_USER", "ROLE_LIMITS"}, set()])
async def test_without_an_activiti_role_limits_refuses(roles: set[str]) -> None:
    async with both() as pair:
        pair.limits.users["admin"] = User("admin", "admin", frozenset(roles))
        await pair.connect()
        await until(lambda: len(pair.session.failures) >= 2)
        assert {"answered 403" in failure for failure in pair.session.failures} == {True}


@pytest.mark.parametrize("style", ["docs", "short", "some_rest_path"])
async def test_limits_finds_its_way_through_all_versions_documents(style: str) -> None:
    async with both(session={"versions_style": style, "pre6_wrapper": True}) as pair:
        await pair.connect()
        await until(lambda: pair.session.connected)


async def test_without_a_usable_version_there_is_no_way() -> None:
    async with both(session={"versions_style": "no_rest_path"}) as pair:
        await pair.connect()
        await failed(pair, "offers no version")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", status=500, match="/versions/rest"), "The session answered 500"),
        (Fault("malformed", match="/versions/rest"), "did not answer with JSON"),
        (Fault("half_body", match=f"{PIVOT}/cube"), "could not be reached"),
    ],
)
async def test_faults_at_the_session_fail_an_attempt(fault: Fault, words: str) -> None:
    async with both(session={"faults": Faults(fault)}) as pair:
        await pair.connect()
        await until(lambda: pair.session.connected)
        assert [words in failure for failure in pair.session.failures] == [True]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", status=502, match=f"{REST}/ping"), "ping was answered 502"),
        (Fault("drop_before", match=f"{REST}/connections"), "ServerDisconnectedError"),
        (Fault("status", status=404, match=f"{REST}/connections"), "connections was answered 404"),
    ],
)
async def test_faults_at_limits_fail_an_attempt(fault: Fault, words: str) -> None:
    async with both(limits={"faults": Faults(fault)}) as pair:
        await pair.connect()
        await until(lambda: pair.session.connected)
        assert [words in failure for failure in pair.session.failures] == [True]


@pytest.mark.parametrize("body", ["x", "[]", "{}", '{"serverName": "atoti", "atotiBaseUrl": 1, "asOfDate": ""}'])
async def test_a_connection_request_that_is_none_is_refused(body: str) -> None:
    async with FakeLimitsServer() as server, plain_http() as http:
        rest = Client(http, server.url)
        reply = await rest("POST", f"{REST}/connections", data=body, headers={"Content-Type": "application/json"})
        assert reply.status == 400
        assert (await rest("DELETE", f"{REST}/connections/atoti")).status == 404


@virtual
async def test_delays_are_as_long_as_asked(clock: VirtualClock) -> None:
    slow = {"connection_delay": 10.0}
    async with both(session=slow, limits={"failures_first": 2, "callback_delay": 3.0}, clock=clock) as pair:
        before = clock.now()
        await pair.connect()
        while not pair.session.connected:
            await asyncio.sleep(0.5)
        assert 23.0 <= clock.now() - before < 24.0


# -- ending ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["session first", "limits first"])
@pytest.mark.parametrize(
    "knobs",
    [
        {"limits": {"failures_first": 10_000}},
        {"limits": {"callback_delay": 3600.0}},
        {"limits": {"latency": 3600.0}},
        {"session": {"faults": Faults(Fault("stall", match="/versions"))}},
    ],
    ids=["trying", "called back late", "slow", "stalled"],
)
async def test_leaving_in_the_middle_takes_bounded_time_and_leaves_nothing_behind(
    knobs: dict[str, Any], order: str, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    gc.collect()
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    async with plain_http() as http:
        server = FakeLimitsServer(**knobs.get("limits", {}))
        await server.start()
        session = FakeAtotiSession(limits_url=server.url, connection_delay=0.01, **knobs.get("session", {}))
        await session.start()
        body = {"atotiBaseUrl": session.url, "limitsBaseUrl": server.url, "serverName": "atoti"}
        assert (await Client(http, session.url)("POST", CONNECT, body)).status == 200
        await until(lambda: server.arrivals and session.attempts)
        await asyncio.sleep(0.05)
        started = loop.time()
        for fake in (session, server) if order == "session first" else (server, session):
            await fake.stop()
        assert loop.time() - started < 0.9
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == tasks
    assert open_sockets() == sockets
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_cancellation_at_any_point_leaves_nothing_behind() -> None:
    gc.collect()
    sockets, tasks = open_sockets(), asyncio.all_tasks()

    async def make() -> Callable[[], Awaitable[object]]:
        return use

    async def use() -> None:
        async with Sandbox(LimitsWorld(generation=1)) as sandbox:
            while not sandbox.atoti_limits.session.attempts:
                await asyncio.sleep(0)

    async def check(_: BaseException | None) -> None:
        await turns()
        gc.collect()
        assert open_sockets() == sockets
        assert {task for task in asyncio.all_tasks() if "asyncconn" in task.get_name()} <= tasks

    assert await cancel_at_every_await(make, check) > 5


async def test_a_start_that_fails_leaves_nothing_behind() -> None:
    async with FakeLimitsServer() as server:
        gc.collect()
        sockets = open_sockets()
        with pytest.raises(ConfigError, match="cannot listen"):
            await FakeAtotiSession(port=server.port).start()
        assert open_sockets() == sockets


# -- in the sandbox ----------------------------------------------------------------------------------------------------


async def test_the_sandbox_starts_both() -> None:
    async with Sandbox(LimitsWorld(base_path="/foo"), seed=1) as sandbox, plain_http() as http:
        there = sandbox.atoti_limits
        assert (
            sandbox.env
            | {
                "ATOTI_BASE_URL": there.session.url,
                "ATOTI_LIMITS_URL": there.limits.url,
                "ASYNCCONN_ATOTI_LIMITS_USER": "admin",
                "ASYNCCONN_ATOTI_LIMITS_PASSWORD": "admin",
            }
            == sandbox.env
        )
        assert there.session.url.endswith("/foo")
        body = {"atotiBaseUrl": there.session.url, "limitsBaseUrl": there.limits.url, "serverName": "atoti"}
        await Client(http, there.session.url)("POST", CONNECT, body)
        await until(lambda: there.session.connected)
        assert there.session.url in repr(there)
    with pytest.raises(LifecycleError):
        _ = there.session.url


@pytest.mark.parametrize(("generation", "version"), [(1, "3.3.1"), (2, "4.2.1"), (3, "6.2.2")])
async def test_the_sandbox_plays_a_generation_with_its_version(generation: Any, version: str) -> None:
    async with Sandbox(LimitsWorld(generation=generation)) as sandbox:
        there = sandbox.atoti_limits
        assert there.limits.version == version
        if generation == 1:
            await until(lambda: there.session.connected)


async def test_the_sandbox_has_one_fault_script_for_all() -> None:
    world = LimitsWorld(session={"server_version": "7"})
    async with (
        Sandbox(world, faults="status:500 match=atoti-session, status:501 match=atoti-limits") as sandbox,
        plain_http() as http,
    ):
        for url, status in [(sandbox.atoti_limits.session.url, 500), (sandbox.atoti_limits.limits.url, 501)]:
            ask = Client(http, url)
            assert [(await ask("GET", "/versions/rest")).status for _ in range(2)] == [status, 200]
        assert sandbox.faults.hits["status"] == 2


async def test_a_sandbox_that_was_not_asked_has_no_limits() -> None:
    async with Sandbox(PanoplyWorld()) as sandbox:
        assert "ATOTI_BASE_URL" not in sandbox.env
        with pytest.raises(ConfigError, match="LimitsWorld"):
            _ = sandbox.atoti_limits


async def test_a_sandbox_whose_session_cannot_start_closes_what_had_started() -> None:
    async with FakeLimitsServer() as taken:
        gc.collect()
        sockets = open_sockets()
        with pytest.raises(ConfigError):
            async with Sandbox(LimitsWorld(session={"port": taken.port})):
                pass
        await asyncio.sleep(0)
        assert open_sockets() == sockets
