"""The sandbox's control over HTTP, as a program in any language meets it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from helpers import until

from asyncconn.sandbox import DatoramaWorld, Fault, Sandbox, TcupWorld, View, World
from asyncconn.sandbox.control.operations import SECONDS
from asyncconn.sandbox.exchange import Answer, Call

from .control_scene import Control
from .scene import standing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with standing(seed=1) as (sandbox, http):
        yield Control(sandbox, http)


# -- state and SQL -----------------------------------------------------------------------------------------------------


async def test_the_state_has_every_platform(control: Control) -> None:
    await control.land({"id": 1})
    status, state = await control.ask("GET", "/state")

    assert status == 200
    assert state["url"] == control.sandbox.url
    assert list(state["worlds"]) == ["datorama", "tcup", "panoply", "atoti-limits"]
    assert state["worlds"]["panoply"]["tables"] == {"t": 1}
    assert state["worlds"]["datorama"]["gauges"][0]["limit"] == 60
    assert [entry["platform"] for entry in state["requests"]] == ["panoply"]


async def test_sql_reads_what_landed(control: Control) -> None:
    await control.land({"id": 1, "name": "Amble"}, {"id": 2, "name": "Brest"}, {"id": 9_007_199_254_740_993})
    ask = {"statement": "select id, name from t where id > ? order by id", "params": [1]}
    status, found = await control.ask("POST", "/sql", ask)
    _, some = await control.ask("POST", "/sql", {**ask, "most": 1})
    _, texts = await control.ask("POST", "/sql", {**ask, "texts": True})

    assert (status, found["columns"]) == (200, ["id", "name"])
    assert found["rows"] == [[2, "Brest"], [9_007_199_254_740_993, None]]
    assert (found["truncated"], some["truncated"], len(some["rows"])) == (False, True, 1)
    assert texts["rows"] == [["2", "Brest"], ["9007199254740993", None]]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("drop table t", "only reading is possible here"),
        ("insert into t values (1)", "only reading is possible here"),
        ("attach 'other.db' as other", "only reading is possible here"),
        ("select * from nowhere", "no such table: nowhere"),
        ("select 1; select 2", "one statement"),
    ],
)
async def test_sql_that_does_more_than_read_is_refused(control: Control, statement: str, words: str) -> None:
    await control.land({"id": 1})
    status, error = await control.refusal("POST", "/sql", {"statement": statement})

    assert status == 400
    assert words in error
    assert control.sandbox.panoply.tables() == {"t": 1}


async def test_a_query_without_end_is_ended_and_others_go_on(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncconn.sandbox.control.desk.SECONDS", 0.2)
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    asked = asyncio.create_task(control.refusal("POST", "/sql", {"statement": endless}))
    assert (await control.ask("GET", "/clock"))[0] == 200
    assert not asked.done()

    assert await asked == (400, "sql: interrupted: it took longer than 0.2 s")
    await control.land({"id": 1})
    assert (await control.ask("POST", "/sql", {"statement": "select id from t"}))[1]["rows"] == [[1]]


async def test_the_sandbox_ends_though_a_query_would_go_on() -> None:
    loop = asyncio.get_running_loop()
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as http:
        async with Sandbox(seed=1) as sandbox:
            url = f"{sandbox.url}/_sandbox/sql"
            asked = asyncio.create_task(http.post(url, json={"statement": endless}))
            await until(lambda: sandbox.panoply._warehouse._asking._value == 3)
            left = loop.time()
        assert loop.time() - left < SECONDS / 2
        with suppress(aiohttp.ClientError):
            (await asked).close()


async def test_events_tell_the_state_again_and_again_until_the_sandbox_ends() -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as http:
        async with Sandbox(seed=1) as sandbox:
            answer = await http.get(f"{sandbox.url}/_sandbox/events")
            assert answer.content_type == "text/event-stream"
            lines = [await answer.content.readline() for _ in range(5)]
            assert lines[:3] == [b"retry: 1000\n", b"\n", b"event: state\n"]
            assert json.loads(lines[3].removeprefix(b"data: "))["url"] == sandbox.url
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_the_state_shows_streams_and_the_gaps_without_them(control: Control) -> None:
    path = "/WebSocket/subscribe?type=topic&exchange=amq.topic&topic=plant.%23"
    headers = {"x-api-key": control.sandbox.tcup.api_key}

    async def shown() -> tuple[list[Any], list[Any]]:
        _, state = await control.ask("GET", "/state")
        tcup = state["worlds"]["tcup"]
        return (
            [(one["protocol"], one["about"], one["connected"]) for one in tcup["channels"]],
            [(one["protocol"], one["about"], one["over"]) for one in tcup["gaps"]],
        )

    there = ("websocket", "amq.topic plant.#")
    async with control.http.ws_connect(path, headers=headers) as socket:
        assert await shown() == ([(*there, True)], [])
        control.sandbox.tcup.streams.kill("websocket")
        await socket.receive()
        await until(lambda: not control.sandbox.tcup.streams.live)
        assert await shown() == ([], [(*there, False)])
    async with control.http.ws_connect(path, headers=headers):
        assert await shown() == ([(*there, True)], [(*there, True)])


# -- requests ----------------------------------------------------------------------------------------------------------


async def test_the_last_requests_are_told_newest_first_and_without_credentials(control: Control) -> None:
    sandbox, http = control.sandbox, control.http
    await control.land({"id": 1})
    secrets = [
        ("/api/sos/v2.0/sensors", {"x-api-key": sandbox.tcup.api_key}),
        (f"/dls/{sandbox.tcup.api_key}/x?api_key={sandbox.tcup.api_key}&a=1", {"x-api-key": "wr0ng-one"}),
        ("/v1/workspaces?token=n0body-knows", {"Authorization": sandbox.datorama.token}),
        ("/v1/s3cret-path", {"Authorization": "Bearer s3cret-path", "User-Agent": "curl s3cret-path"}),
    ]
    for path, headers in secrets:
        async with http.get(path, headers=headers):
            pass
    _, told = await control.ask("GET", "/requests?last=4")
    text = json.dumps(told)

    paths = [(entry["path"], entry["query"], entry["status"]) for entry in told["requests"]]
    assert paths == [
        ("/v1/***", "", 200),
        ("/v1/workspaces", "token=***", 200),
        ("/dls/***/x", "api_key=***&a=1", 401),
        ("/api/sos/v2.0/sensors", "", 200),
    ]
    assert told["requests"][0]["client"] == "curl ***"
    assert told["total"] == {"panoply": 1, "tcup": 2, "datorama": 2}
    for secret in (sandbox.tcup.api_key, sandbox.datorama.token, "n0body-knows", "s3cret-path", "wr0ng-one"):
        assert secret not in text
    _, told = await control.ask("GET", "/requests?platform=panoply")
    account, name = sandbox.panoply.queue_url.rpartition("/")[2].rsplit("-", 1)
    assert [entry["path"].rpartition("/")[2] for entry in told["requests"]] == [f"{account}-***"]
    assert name not in json.dumps(told)


async def test_requests_may_be_those_of_one_platform_and_of_atoti_limits_too(control: Control) -> None:
    await control.land({"id": 1})
    async with control.http.get(f"{control.sandbox.atoti_limits.session.url}/versions/rest"):
        pass
    _, told = await control.ask("GET", "/requests?platform=atoti-session")

    assert [(entry["method"], entry["path"]) for entry in told["requests"]] == [("GET", "/versions/rest")]


async def test_a_request_that_a_fault_struck_says_so(control: Control) -> None:
    control.sandbox.faults.add(Fault("status", status=503), Fault("drop_before"))
    for _ in range(2):
        with suppress(aiohttp.ServerDisconnectedError):
            async with control.http.get("/v1/workspaces"):
                pass
    _, told = await control.ask("GET", "/requests")

    assert [(entry["status"], entry["fault"]) for entry in told["requests"]][-2:] == [
        (None, "drop_before"),
        (503, "status"),
    ]


async def test_the_control_itself_is_neither_counted_nor_struck(control: Control) -> None:
    control.sandbox.faults.add(Fault("status", status=503, times=None))
    status, _ = await control.ask("GET", "/state")

    assert status == 200
    assert control.sandbox.requests.total() == 0
    assert not control.sandbox.arrivals


# -- faults ------------------------------------------------------------------------------------------------------------


async def test_faults_are_added_switched_off_and_on_and_removed(control: Control) -> None:
    status, added = await control.ask("POST", "/faults", {"kind": "status", "status": 418, "times": None})
    [fault] = added["faults"]
    assert (status, fault["on"], fault["struck"]) == (201, True, 0)

    async def answered() -> int:
        async with control.http.get("/sandbox/health") as answer:
            return answer.status

    assert await answered() == 418
    assert (await control.ask("PATCH", f"/faults/{fault['number']}", {"on": False}))[1]["on"] is False
    assert await answered() == 200
    assert (await control.ask("PATCH", f"/faults/{fault['number']}", {"on": True}))[1]["struck"] == 1
    assert await answered() == 418
    _, listed = await control.ask("GET", "/faults")
    assert ([one["struck"] for one in listed["faults"]], listed["hits"]) == ([2], {"status": 2})
    assert await control.ask("DELETE", f"/faults/{fault['number']}") == (204, None)
    assert await answered() == 200


async def test_a_script_adds_several_and_all_can_be_removed(control: Control) -> None:
    _, added = await control.ask("POST", "/faults", {"script": "delay:0.5*3, status:503 match=panoply"})
    assert [(one["kind"], one["times"], one["match"]) for one in added["faults"]] == [
        ("delay", 3, None),
        ("status", 1, "panoply"),
    ]
    assert await control.ask("DELETE", "/faults") == (204, None)
    assert not control.sandbox.faults.planned


async def test_faults_of_streams_are_a_script_of_their_own(control: Control) -> None:
    status, added = await control.ask("POST", "/stream-faults", {"kind": "kill", "match": "mqtt", "after": 10})
    assert (status, added["faults"][0]["after"]) == (201, 10)
    assert len(control.sandbox.tcup.streams.faults) == 1
    assert (await control.ask("PATCH", "/stream-faults/1", {"on": False}))[0] == 200
    assert len(control.sandbox.tcup.streams.faults) == 0
    assert (await control.ask("GET", "/faults"))[1]["faults"] == []


async def test_a_fault_that_a_program_made_for_some_calls_is_told_too(control: Control) -> None:
    control.sandbox.faults.add(Fault("drop_after", match=lambda call: call.method == "PUT"))
    _, listed = await control.ask("GET", "/faults")

    assert listed["faults"][0]["match"] == "(a function of the program)"


# -- clock and reset ---------------------------------------------------------------------------------------------------


async def test_moving_the_clock_moves_every_platform(control: Control) -> None:
    sandbox = control.sandbox
    headers = {"Authorization": sandbox.datorama.token}
    for _ in range(3):
        async with control.http.get("/v1/workspaces", headers=headers):
            pass
    before = sandbox.clock.utcnow()
    status, clock = await control.ask("POST", "/clock", {"seconds": 60})

    assert (status, clock["moved_seconds"]) == (200, 60)
    assert sandbox.datorama.allowances[0].left()["platform"] == 60
    later = before + timedelta(seconds=60)
    for now in (sandbox.datorama.clock.utcnow(), sandbox.tcup.clock.utcnow(), sandbox.panoply.place.clock.utcnow()):
        assert now >= later
    until = (datetime.fromisoformat(clock["now"]) + timedelta(days=1)).isoformat()
    _, clock = await control.ask("POST", "/clock", {"until": until})
    assert clock["now"] >= until[:19]
    assert (await control.ask("GET", "/clock"))[1]["moved_seconds"] > 86_000


async def test_what_is_due_by_the_moved_clock_begins_at_once(control: Control) -> None:
    ended: list[str] = []
    control.sandbox.tcup.tasks.engine.timers.after(3600, lambda: ended.append("due"))
    await control.ask("POST", "/clock", {"seconds": 3599})
    assert ended == []
    await control.ask("POST", "/clock", {"seconds": 1.5})
    assert ended == ["due"]


async def test_reset_forgets_all_but_addresses_and_credentials(control: Control) -> None:
    sandbox = control.sandbox
    env = sandbox.env
    await control.land({"id": 1})
    await control.ask("POST", "/faults", {"kind": "delay", "seconds": 1, "match": "/nowhere"})
    sandbox.atoti_limits.limits.connect("atoti")
    seen = {"starttime": "03-JUL-2015 13:10:00 IST", "output": [{"name": "obs2", "value": "1"}]}
    document = {"observations": [{"sensor": "ts1", "feature": "tf1", "record": [seen]}]}
    sandbox.tcup.options.auto_register = True
    for path, key in (("/api/sos/v2.0/observations", "x-api-key"), ("/v1/workspaces", "Authorization")):
        value = sandbox.tcup.api_key if key == "x-api-key" else sandbox.datorama.token
        body = {"name": "Acme 3"} if key == "Authorization" else document
        async with control.http.post(path, json=body, headers={key: value}) as answer:
            assert answer.status in (200, 201)
    assert len(sandbox.datorama.live.workspaces) == 3
    assert await control.ask("POST", "/reset") == (204, None)

    _, state = await control.ask("GET", "/state")
    assert [world["tables"] for world in state["worlds"].values()] == [{}, {"observations": 0}, {}, {}]
    assert {world["counters"]["calls"] for world in state["worlds"].values()} == {0}
    assert (state["requests"], state["faults"]["faults"]) == ([], [])
    assert len(sandbox.datorama.live.workspaces) == 2
    assert not sandbox.atoti_limits.limits.store.connections
    assert sandbox.env == env
    await control.land({"id": 7, "other": "columns"})
    assert sandbox.panoply.sql("select * from t")[0]["id"] == 7


async def test_a_reset_makes_a_revoked_key_good_again_and_frees_a_full_rate() -> None:
    async with standing(TcupWorld(rate=1)) as (sandbox, http):
        headers = {"x-api-key": sandbox.tcup.api_key}

        async def status() -> int:
            async with http.get("/api/sos/v2.0/sensors", headers=headers) as answer:
                return answer.status

        assert [await status(), await status()] == [200, 429]
        sandbox.tcup.revoke()
        assert await status() == 403
        await sandbox.reset()
        assert await status() == 200


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/nothing", None, 404, "there is no such path; /_sandbox/ says which there are"),
        ("PUT", "/faults", {}, 405, "this takes GET, POST, DELETE"),
        ("POST", "/faults", {}, 400, "kind is missing (or script in its place)"),
        ("POST", "/faults", [], 400, "the body must be a JSON object"),
        ("POST", "/faults", {"kind": "x"}, 400, "fault: kind='x' is not one of delay, "),
        ("POST", "/faults", {"kind": "delay"}, 400, "fault: seconds=None is missing: a delay needs them"),
        ("POST", "/faults", {"kind": "delay", "seconds": "1"}, 400, 'seconds must be number or null, not "1"'),
        ("POST", "/faults", {"kind": "drop_before", "times": True}, 400, "times must be integer or null, not true"),
        ("POST", "/faults", {"kind": "close", "match": "dataroma"}, 400, "'dataroma' is no world of this sandbox"),
        ("POST", "/faults", {"script": "inner_500 match=panoply"}, 400, "is not played by panoply, but by tcup"),
        ("POST", "/faults", {"kind": "drop_before", "time": 1}, 400, "'time' is not known here: it may be kind, match"),
        ("POST", "/faults", {"script": "delay"}, 400, "seconds=None is missing"),
        ("POST", "/faults", {"script": "drop_before", "times": 2}, 400, "give a script, or the fields of one fault"),
        ("POST", "/stream-faults", {"kind": "refuse", "code": 9}, 400, "stream fault: code=9 does not fit refuse"),
        ("PATCH", "/faults/7", {"on": True}, 404, "there is no fault 7"),
        ("PATCH", "/faults/7", {}, 400, "on is missing"),
        ("DELETE", "/faults/x", None, 404, "there is no such path"),
        ("POST", "/clock", {}, 400, "give seconds, or until, and not both"),
        ("POST", "/clock", {"seconds": -1}, 400, "seconds must be from 0 to"),
        ("POST", "/clock", {"until": "2001-01-01T00:00:00Z"}, 400, "the sandbox's clock does not go back"),
        ("POST", "/clock", {"until": "2099-01-01T00:00:00"}, 400, "until needs its offset from UTC, or Z"),
        ("POST", "/clock", {"until": "soon"}, 400, "until is no moment like 2030-01-31T12:00:00Z: 'soon'"),
        ("POST", "/sql", {}, 400, "statement is missing"),
        ("POST", "/sql", {"statement": "select ?", "params": [[1]]}, 400, "sql: "),
        ("GET", "/requests?last=0", None, 400, "last must be from 1 to 1000, not 0"),
        ("GET", "/requests?last=ten", None, 400, 'last must be integer, not "ten"'),
    ],
)
async def test_an_error_says_what_is_wrong(
    control: Control, method: str, path: str, body: object, status: int, words: str
) -> None:
    answered, error = await control.refusal(method, path, body)

    assert answered == status
    assert words in error


async def test_a_body_must_be_json_and_say_so(control: Control) -> None:
    text: dict[str, Any] = {"data": b'{"kind": "drop_before"}', "headers": {"Content-Type": "text/plain"}}
    assert await control.refusal("POST", "/faults", **text) == (
        415,
        "the body must be JSON, with Content-Type: application/json",
    )
    broken: dict[str, Any] = {"data": b'{"kind": ', "headers": {"Content-Type": "application/json"}}
    status, error = await control.refusal("POST", "/faults", **broken)
    assert (status, error[:24]) == (400, "the body is not JSON: Ex")


async def test_what_a_sandbox_does_not_have_is_said() -> None:
    async with standing(DatoramaWorld()) as (sandbox, http):
        control = Control(sandbox, http)
        assert await control.refusal("POST", "/sql", {"statement": "select 1"}) == (
            404,
            "this sandbox has no Panoply, so there are no tables",
        )
        assert await control.refusal("GET", "/stream-faults") == (
            404,
            "this sandbox has no TCUP, so there are no streams",
        )
        assert "stream_faults" not in (await control.ask("GET", "/state"))[1]


# -- a world of one's own ----------------------------------------------------------------------------------------------


async def test_a_world_of_ones_own_is_shown_reset_and_moved_on() -> None:
    class Acme(World):
        name = "acme"
        happened: tuple[str, ...] = ()

        async def answer(self, call: Call) -> Answer:
            return Answer(200)

        async def view(self) -> View:
            return View({"calls": 3}, {"points acme-s3cret": 5})

        def secrets(self) -> list[str]:
            return ["acme-s3cret"]

        async def reset(self) -> None:
            self.happened += ("reset",)

        def moved(self) -> None:
            self.happened += ("moved",)

    async with standing(acme := Acme()) as (sandbox, http):
        control = Control(sandbox, http)
        _, state = await control.ask("GET", "/state")
        await control.ask("POST", "/clock", {"seconds": 1})
        await control.ask("POST", "/reset")

    assert state["worlds"]["acme"]["counters"] == {"calls": 3}
    assert state["worlds"]["acme"]["tables"] == {"points ***": 5}
    assert acme.happened == ("moved", "reset")
