"""What a hub counts of its traffic, by route; and who follows a call."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual
from loopback import DROP, OK, Loopback, QuickClock, Reply
from yarl import URL

import asyncconn
from asyncconn import ONCE, Connector, Hub, Platform, RetryPolicy, Route, Routes, RouteTraffic, Window
from asyncconn.core.watching import NOBODY
from asyncconn.errors import BadRequest, ProtocolError, RateLimited, ServerError
from asyncconn.http.auth import TokenAuth
from asyncconn.http.exchange import Attempted
from asyncconn.http.request import Call
from asyncconn.http.traffic import OTHER, Traffic, route_of
from asyncconn.resource import Calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import FrameType

    from asyncconn.core.clock import VirtualClock
    from asyncconn.core.rates.parts import Part

HERE = str(Path(asyncconn.__file__).parent)
ROUTES = Routes({"orders.get": Route("GET", "{api}/orders/{id:int}")}, bases={"api": "/v1"})
SECRET = "b0tt0ken-of-nobody"


def acme(server: Loopback, hub: Hub, *, rates: Part | None = None) -> Connector:
    class Acme(Connector):
        platform = Platform("acme", base_url=server.url, rates=rates)

    return Acme(hub=hub, auth=TokenAuth(SECRET))


def rows_of(hub: Hub) -> dict[str, RouteTraffic]:
    return {f"{row.method} {row.route}": row for row in hub.traffic}


async def test_calls_of_one_route_are_counted_together_with_what_each_attempt_ended_in() -> None:
    server = Loopback(OK, Reply(503), OK, DROP, DROP, OK, Reply(400))
    async with server, Hub(clock=QuickClock()) as hub:
        calling = Calling(acme(server, hub).http, ROUTES)
        for number in range(3):
            await calling.request("orders.get", ids={"id": number})
        with pytest.raises(BadRequest):
            await calling.request("orders.get", ids={"id": 9})

    [row] = hub.traffic
    assert (row.platform, row.method, row.route) == ("acme", "GET", "/v1/orders/{id}")
    assert row.calls == 4
    assert sum(row.statuses.values()) == row.calls + row.retries
    assert (row.statuses[200], row.statuses[400], row.statuses[503]) == (3, 1, 1)
    assert row.statuses["ConnectionLost"] >= 1
    assert 0 < row.p50 <= row.p95 <= row.seconds
    assert row.waited == 0  # that was not for a rate


async def test_what_is_no_word_in_a_path_is_a_hole_and_a_caller_may_say_better() -> None:
    server = Loopback(*[OK] * 4)
    async with server, Hub() as hub:
        http = acme(server, hub).http
        await http.request("GET", "/v1/orders/7f3a/items/12")
        await http.request("GET", "/v1/orders/9/items/4?page=2")
        await http.request("GET", f"/bot{SECRET}/me")
        await http.request("GET", "/today/berlin", route="/today/{city}")

    assert {name: row.calls for name, row in rows_of(hub).items()} == {
        "GET /v1/orders/{}/items/{}": 2,
        "GET /{}/me": 1,
        "GET /today/{city}": 1,
    }
    assert SECRET not in str(hub.traffic) + repr(list(hub.traffic))


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/v1/data-streams/", "/v1/data-streams/"),
        ("/v1/users/ann@example.com", "/v1/users/{}"),
        ("/a/" + "x" * 40, "/a/{}"),
        ("/orders/0b2c5e0e-1111-4a6e-9d9a-000000000000", "/orders/{}"),
        ("/orders/{id}", "/orders/{id}"),
        ("/städte/köln", "/{}/{}"),
        ("/shares/aBcDeFgHiJkLmNoPqRsT", "/shares/{}"),
        ("/invite/qwertyuiopasdfghjklzxcvb", "/invite/{}"),
        ("/invite/QWERTYUIOPASDFGHJKLZXCVB", "/invite/{}"),
        ("/files/s3bucket", "/files/{}"),
        ("/processDefinitions/uploadStructures", "/processDefinitions/uploadStructures"),
        ("/limitDefinition/topicExchanges/byId", "/limitDefinition/topicExchanges/byId"),
        ("/TaskService/userIDs/getURL/XMLExport", "/TaskService/userIDs/getURL/XMLExport"),
        ("/users/alice", "/users/alice"),  # a word as any other
    ],
)
def test_only_words_and_versions_stay(path: str, route: str) -> None:
    assert route_of(path) == route


async def test_bytes_are_those_that_travelled_whatever_the_body_is_made_of(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"de"

    server = Loopback(*[Reply(body=b"0123456789")] * 5)
    (tmp_path / "file").write_bytes(b"x" * 1000)
    async with server, Hub() as hub:
        http = acme(server, hub).http
        await http.request("POST", "/json", json={"a": 1})
        await http.request("PUT", "/made", data=chunks)
        await http.upload("/file", tmp_path / "file")
        async with http.stream("GET", "/stream") as stream:
            assert rows_of(hub)["GET /stream"].received_bytes == 0  # it is counted when it opens
            async for _ in stream:
                pass
        await http.download("/download", tmp_path / "copy")

    assert {name: (row.sent_bytes, row.received_bytes) for name, row in rows_of(hub).items()} == {
        "POST /json": (7, 10),
        "PUT /made": (5, 10),
        "PUT /file": (1000, 10),
        "GET /stream": (0, 10),
        "GET /download": (0, 10),
    }


async def test_it_is_read_in_another_thread_while_it_grows() -> None:
    """Rows come and are added up meanwhile: nothing is counted twice, or lost, and no reading fails."""
    traffic, over = Traffic(), threading.Event()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def read() -> int:
        readings = 0
        while not over.is_set():
            assert sum(row.calls for row in traffic) <= 20_000
            readings += 1
        return readings

    reading = asyncio.create_task(asyncio.to_thread(read))
    try:
        counting = traffic.of("acme")
        for number in range(20_000):
            route = f"/{number % 400}" if number % 2 else "/x"
            counting.count(called(route), 200, 0.1, 1)
            if number % 500 == 0:
                await asyncio.sleep(0)
    finally:
        over.set()
        sys.setswitchinterval(interval)
        assert await reading > 0

    assert sum(row.calls for row in traffic) == sum(row.received_bytes for row in traffic) == 20_000


def called(route: str) -> Call:
    return Call("acme", "GET", URL("http://x"), route, None, {}, {}, None, 1, 0.0, route=route)


async def test_a_wait_for_the_rate_is_counted_apart_from_what_the_answer_took() -> None:
    server = Loopback(OK, OK)
    async with server, Hub() as hub:
        http = acme(server, hub, rates=Window(1, 0.2, skew=0.0)).http
        await http.request("GET", "/x")
        with pytest.raises(RateLimited):
            await http.request("GET", "/x", max_wait=0.0, retry=ONCE)
        await http.request("GET", "/x", max_wait=60.0)

    [row] = hub.traffic
    assert row.waited > 0
    assert row.statuses == {200: 2, "RateLimited": 1}


@virtual
async def test_a_call_that_was_refused_waits_for_its_rate_until_it_goes_again(clock: VirtualClock) -> None:
    refused = Reply(429, headers={"Retry-After": "2"})
    async with Loopback(refused, OK, OK, otherwise=refused) as server, Hub(clock=clock) as hub:
        http = acme(server, hub, rates=Window(100, 1.0)).http

        async def bystander() -> None:
            await clock.sleep(0.5)
            await http.request("GET", "/bystander")

        await asyncio.gather(http.request("GET", "/refused"), bystander())
        took = clock.now()
        waited = {name: row.waited for name, row in rows_of(hub).items()}
        assert 2.0 <= waited["GET /refused"] <= took
        assert 1.4 <= waited["GET /bystander"] <= 1.6

        started, policy = clock.now(), RetryPolicy(attempts=10, initial=0.01, maximum=0.02, deadline=5.0)
        with pytest.raises(RateLimited):
            await http.request("GET", "/never", retry=policy)
        assert clock.now() - started < 5.0  # such a wait counts towards the deadline
        assert 4.0 <= rows_of(hub)["GET /never"].waited < 5.0
        assert rows_of(hub)["GET /never"].seconds < 1.0


async def test_an_error_in_a_2xx_and_one_of_a_stream_are_counted_once_by_their_status() -> None:
    server = Loopback(Reply(body=b"no json"), Reply(500), Reply(404))
    async with server, Hub() as hub:
        http = acme(server, hub).http
        with pytest.raises(ProtocolError):
            await http.call("GET", "/x", retry=ONCE)
        with pytest.raises(ServerError):
            async with http.stream("GET", "/s", retry=ONCE):
                pass
        with pytest.raises(asyncconn.errors.NotFound):
            await http.download("/d", "never")

    assert {name: dict(row.statuses) for name, row in rows_of(hub).items()} == {
        "GET /x": {200: 1},
        "GET /s": {500: 1},
        "GET /d": {404: 1},
    }


async def test_more_routes_than_can_be_looked_at_are_counted_as_one() -> None:
    hub = Hub()
    counting = hub.traffic.of("acme")
    call = acme(Loopback(), hub).http._call("GET", "/", None, None, None, None, "default", 1, None)
    for number in range(700):
        call.route = f"/{number}"
        counting.count(call, 200, 0.1, 1)

    rows = rows_of(hub)
    assert len(rows) == 501
    assert rows[f"GET {OTHER}"].calls == 200


def test_the_figures_of_many_attempts_are_those_of_all_and_the_quantiles_of_the_latest() -> None:
    hub = Hub()
    counting = hub.traffic.of("acme")
    call = acme(Loopback(), hub).http._call("GET", "/x", None, None, None, None, "default", 1, None, route="/x")
    for number in range(3_000):
        counting.count(call, 200, 100.0 if number < 2_500 else number / 1000, 2)

    [row] = hub.traffic
    assert (row.calls, row.received_bytes, row.statuses) == (3_000, 6_000, {200: 3_000})
    assert row.seconds == pytest.approx(2_500 * 100.0 + sum(range(2_500, 3_000)) / 1000)
    assert (row.p50, row.p95) == (2.749, 2.974)


async def test_the_table_is_80_columns_wide_and_leaves_nothing_out() -> None:
    server = Loopback(OK, OK)
    route = "/v1/" + "/".join(["a-long-word-of-a-path"] * 8) + "/<b>"
    async with server, Hub() as hub:
        assert str(hub.traffic) == "no calls"
        await acme(server, hub).http.request("GET", "/x", route=route)
        await acme(server, hub).http.request("GET", "/y")

    lines = str(hub.traffic).splitlines()
    assert max(map(len, lines)) <= 80
    assert f"acme GET {route}: 200" in "".join(line.removeprefix("    ") for line in lines[1:])
    assert repr(hub.traffic) == "<Traffic of 2 calls over 2 routes>"
    assert "&lt;b&gt;" in hub.traffic._repr_html_()


@pytest.mark.slow(60)  # the first use of pandas
def test_the_rows_are_a_frame() -> None:
    hub = Hub()
    call = acme(Loopback(), hub).http._call("GET", "/x", None, None, None, None, "default", 1, None, route="/x")
    for ended in (200, 200, "ReadTimeout"):
        hub.traffic.of("acme").count(call, ended, 0.5, 10)

    [row] = hub.traffic.frame().to_dict("records")
    assert (row["route"], row["calls"], row["statuses"], row["seconds"]) == ("/x", 3, "200 x 2, ReadTimeout", 1.5)


# -- following ---------------------------------------------------------------------------------------------------------


class Told:
    def __init__(self, heard: list[Any]) -> None:
        self.heard = heard

    def event(self, name: str, data: Any) -> None:
        self.heard.append((name, data))

    def end(self, error: BaseException | None) -> None:
        self.heard.append(("end", error))


async def test_who_follows_a_call_hears_of_each_attempt_and_of_its_end() -> None:
    server = Loopback(Reply(503), OK, Reply(400), OK)
    heard: list[Any] = []
    async with server, Hub(clock=QuickClock()) as hub:
        http = acme(server, hub).http
        stop = hub.watching.add(lambda work, name, call: Told(heard))
        await http.request("GET", "/x")
        with pytest.raises(BadRequest) as refused:
            await http.request("GET", "/x")
        stop()
        await http.request("GET", "/x")

    attempts = [data for name, data in heard if name == "attempt"]
    assert [name for name, _ in heard] == ["attempt", "retry", "attempt", "end", "attempt", "end"]
    assert [(one.number, one.ended) for one in attempts if isinstance(one, Attempted)] == [(1, 503), (2, 200), (1, 400)]
    assert [error for name, error in heard if name == "end"] == [None, refused.value]
    assert rows_of(hub)["GET /x"].calls == 3


async def test_a_watcher_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Told):
        def event(self, name: str, data: Any) -> None:
            raise ValueError("broken on the way")

        def end(self, error: BaseException | None) -> None:
            raise ValueError("broken at the end")

    def refuses(work: str, name: str, subject: Any) -> None:
        raise ValueError("broken at once")

    server = Loopback(OK, OK)
    heard: list[Any] = []
    async with server, Hub() as hub:
        hub.watching.add(refuses)
        hub.watching.add(lambda work, name, call: Broken([]))
        hub.watching.add(lambda work, name, call: Told(heard))
        for _ in range(2):
            assert (await acme(server, hub).http.request("GET", "/x")).status == 200

    assert [name for name, _ in heard] == ["attempt", "end"] * 2
    assert [record.message.partition(" raised ")[2] for record in caplog.records] == [
        "ValueError: broken at once",
        "ValueError: broken on the way",
    ]


async def test_a_request_that_nobody_watches_makes_few_calls_of_our_own() -> None:
    """A count, as a time would be of the machine: what is counted and looked at for watchers is one call in it."""
    server = Loopback(*[OK] * 30)
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(HERE):
            calls[f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"] += 1

    async with server, Hub() as hub:
        http = acme(server, hub).http
        for _ in range(10):
            await http.request("GET", "/x")
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            for _ in range(10):
                await http.request("GET", "/x")
        finally:
            sys.setprofile(before)

    assert calls["traffic.count"] == 10
    assert {name for name in calls if name.startswith(("traffic.", "watching.", "route_traffic."))} == {"traffic.count"}


def test_nobody_is_followed_by_nobody() -> None:
    assert Hub().watching.follow("call", "acme", None) is NOBODY
