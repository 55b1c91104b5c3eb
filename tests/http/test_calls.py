"""Calls that give values, waits that give states, and whose addresses may be a server's own links."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from loopback import DROP, Loopback, QuickClock, Reply, road, saying
from pydantic import BaseModel

from asyncconn.core.polling import PollPolicy
from asyncconn.core.rates.limiter import RateLimiter
from asyncconn.core.rates.windows import Window
from asyncconn.core.retrying import ONCE
from asyncconn.errors import ConfigError, NotFound, OperationFailed, PollTimeout, ProtocolError, Unauthorized
from asyncconn.http.auth import TokenAuth
from asyncconn.http.response import Response, status_error
from asyncconn.http.rules import RateHint
from asyncconn.http.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable


class Colour(enum.StrEnum):
    RED = "red"


class Order(BaseModel):
    id: int
    day: date


@dataclass
class Item:
    name: str
    colours: list[Colour]


# -- values ------------------------------------------------------------------------------------------------------------


async def test_a_call_gives_the_answers_json_and_none_for_an_empty_one() -> None:
    async with Loopback(saying({"a": 2**70}), Reply(body=b""), Reply(204, b"")) as server, road(server) as http:
        assert await http.call("GET", "/a", params={"x": 1}) == {"a": 2**70}
        assert await http.call("POST", "/a", json={"b": 1}) is None
        assert await http.call("DELETE", "/a") is None

    assert [(one.method, one.target, one.body) for one in server.seen] == [
        ("GET", "/a?x=1", b""),
        ("POST", "/a", b'{"b":1}'),
        ("DELETE", "/a", b""),
    ]


async def test_an_answer_that_is_no_json_is_an_error_of_the_attempt() -> None:
    page = Reply(body=b"<html>", headers={"Content-Type": "text/html"})
    async with Loopback(page, page) as server, road(server, clock=QuickClock()) as http:
        with pytest.raises(ProtocolError, match="text/html instead of JSON"):
            await http.call("GET", "/a")

    assert len(server.seen) == 1


async def test_the_json_of_an_answer_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0

    class Curious:
        def error(self, response: Response, redactor: Any) -> Any:
            nonlocal reads
            first = response.json()
            reads += response.json() is first
            return status_error(response, redactor)

        def hints(self, response: Response) -> tuple[()]:
            return ()

    async with Loopback(saying([1])) as server, road(server, rules=Curious()) as http:
        response = await http.request("GET", "/a", decode=Response.json)

    assert response.value is response.json()
    assert reads == 1


async def test_a_call_gives_a_model() -> None:
    order = {"id": 7, "day": "2026-01-31", "more": True}
    item = {"name": "a", "colours": ["red"]}
    replies = [saying(order), saying([order]), saying(item), saying({"x": item})]
    async with Loopback(*replies) as server, road(server) as http:
        one = await http.call("GET", "/", model=Order)
        assert one.day == date(2026, 1, 31)
        many = await http.call("GET", "/", model=list[Order])
        assert many[0].id == 7
        assert await http.call("GET", "/", model=Item) == Item("a", [Colour.RED])
        assert await http.call("GET", "/", model=dict[str, Item]) == {"x": Item("a", [Colour.RED])}


@pytest.mark.parametrize(
    ("answer", "model", "place"),
    [
        ({"id": "s3cret", "day": "2026-01-31"}, Order, r"than Order: \$\.id: int parsing"),
        ([{"id": 1, "day": "2026-01-31"}, {"id": 1}], list[Order], r"\$\[1\]\.day: missing"),
        ({"name": "a", "colours": ["red", "s3cret"]}, Item, r"\$\.colours\[1\]: enum"),
        ({"a b": "s3cret"}, dict[str, int], r"\$\['a b'\]: int parsing"),
        ("s3cret", Order, r"\$: model type"),
    ],
)
async def test_a_wrong_shape_is_named_by_its_place_and_quotes_no_value(answer: Any, model: Any, place: str) -> None:
    async with Loopback(saying(answer)) as server, road(server) as http:
        with pytest.raises(ProtocolError, match=place) as caught:
            await http.call("GET", "/orders", model=model)

    error = caught.value
    assert "test: GET /orders" in str(error)
    assert "s3cret" not in repr((error, error.__cause__, error.__context__))


async def test_an_empty_answer_is_no_model() -> None:
    async with Loopback(Reply(204, b"")) as server, road(server) as http:
        with pytest.raises(ProtocolError, match=r"\$: model type"):
            await http.call("GET", "/", model=Order)


async def test_what_is_no_model_is_refused() -> None:
    async with Loopback(saying({})) as server, road(server) as http:
        with pytest.raises(ConfigError, match="is no model"):
            await http.call("GET", "/", model=Loopback)


async def test_structs_of_msgspec_are_models() -> None:
    msgspec = pytest.importorskip("msgspec", reason="msgspec is not installed")
    kind: Any = msgspec.defstruct("Point", [("id", int), ("at", date)])
    good, bad = {"id": 1, "at": "2026-01-31"}, {"id": "s3cret", "at": "2026-01-31"}
    async with Loopback(saying(good), saying([good, bad])) as server, road(server) as http:
        assert await http.call("GET", "/", model=kind) == kind(1, date(2026, 1, 31))
        with pytest.raises(ProtocolError, match=r"\$\[1\]\.id: Expected `int`, got `str`") as caught:
            await http.call("GET", "/", model=list[kind])

    assert "s3cret" not in str(caught.value)


async def all_of(stream: Stream) -> bytes:
    async with stream:
        return b"".join([chunk async for chunk in stream])


# -- addresses ---------------------------------------------------------------------------------------------------------


async def test_a_whole_url_of_the_same_origin_is_a_servers_own_link() -> None:
    async with Loopback() as server, road(f"{server.url}/v1/", auth=TokenAuth("t0ken")) as http:
        await http.call("GET", f"{server.url}/files/a%20b?x=1", params={"y": 2})
        await http.request("GET", f"HTTP://127.0.0.1:{server.port}/v2")
        assert await all_of(http.stream("GET", f"{server.url}/v3")) == b"{}"

    assert [one.target for one in server.seen] == ["/files/a%20b?x=1&y=2", "/v2", "/v3"]
    assert {one.headers["authorization"] for one in server.seen} == {"Bearer t0ken"}


@pytest.mark.parametrize("link", ["http://other.example/a", "https://127.0.0.1:{port}/a", "http://127.0.0.1:1/a"])
async def test_a_url_of_another_origin_is_refused(link: str) -> None:
    async with Loopback() as server, road(server, auth=TokenAuth("t0ken")) as http:
        with pytest.raises(ConfigError, match="the credential stays here"):
            await http.call("GET", link.format(port=server.port) + "?sig=s3cret")
        with pytest.raises(ConfigError, match="the credential stays here"):
            await all_of(http.stream("GET", link.format(port=server.port)))

    assert server.seen == []


@pytest.mark.parametrize("link", ["{url}/a b", "{url}/a#b", "http://u:p@127.0.0.1:{port}/a", "http://", "http:///a"])
async def test_what_is_no_whole_url_is_refused_and_not_quoted(link: str) -> None:
    async with Loopback() as server, road(server) as http:
        with pytest.raises(ConfigError, match="percent-encoded, without user") as caught:
            await http.call("GET", link.format(url=server.url, port=server.port) + "?sig=s3cret", auth=None)

    assert "s3cret" not in str(caught.value)
    assert server.seen == []


class Hints:
    def error(self, response: Response, redactor: Any) -> Any:
        return status_error(response, redactor)

    def hints(self, response: Response) -> list[RateHint]:
        return [RateHint("window", remaining=0, reset_after=3600.0)]


async def test_without_the_credential_any_host_may_be_asked_and_the_limit_does_not_count_it() -> None:
    limiter = RateLimiter(Window(1, 3600.0, name="window"))
    options: dict[str, Any] = {"auth": TokenAuth("t0ken"), "limiters": {"default": limiter}, "rules": Hints()}
    async with Loopback() as store, Loopback() as server, road(server, **options) as http:
        for _ in range(3):
            assert await http.call("GET", f"{store.url}/file?sig=1", auth=None, max_wait=0) == {}
        assert await http.call("GET", "/public", auth=None, max_wait=0) == {}
        assert await http.call("GET", "/own", max_wait=0) == {}

    assert {"authorization" in one.headers for one in [*store.seen, server.seen[0]]} == {False}
    assert server.seen[1].headers["authorization"] == "Bearer t0ken"


async def test_a_401_without_the_credential_renews_nothing() -> None:
    asked = 0

    async def provide() -> str:
        nonlocal asked
        asked += 1
        return "t0ken"

    async with Loopback(saying({}, 401)) as server, road(server, auth=TokenAuth(provide)) as http:
        with pytest.raises(Unauthorized):
            await http.call("GET", f"{server.url}/a", auth=None)

    assert asked == 0


async def test_the_signature_of_a_presigned_address_is_in_no_error() -> None:
    refusals = [saying({}, 404), saying({}, 404), saying([1])]
    async with Loopback(*refusals) as store, Loopback() as server, road(server, retry=ONCE) as http:
        link = f"{store.url}/file?sig=s3cret"
        with pytest.raises(NotFound) as called:
            await http.call("GET", link, auth=None)
        with pytest.raises(NotFound) as opened:
            await all_of(http.stream("GET", link, auth=None))
        with pytest.raises(ProtocolError, match="larger than max_bytes") as read:
            await all_of(http.stream("GET", link, auth=None, max_bytes=1))

    assert "s3cret" not in f"{called.value} {opened.value} {read.value}"


async def test_another_credential_for_one_call_is_refused() -> None:
    async with Loopback() as server, road(server) as http:
        with pytest.raises(ConfigError, match="can only be None"):
            await http.call("GET", "/", auth=TokenAuth("x"))  # type: ignore[call-overload] # refused when it runs, too


# -- waiting -----------------------------------------------------------------------------------------------------------


def states(*names: str) -> list[Reply]:
    return [saying({"id": 7, "job": {"status": name}}) for name in names]


async def test_a_poll_gives_the_last_state() -> None:
    async with Loopback(*states("NEW", "RUN", "DONE")) as server, road(server, clock=QuickClock()) as http:
        job = http.poll("/jobs/7", until={"job.status": "DONE"}, minimum=0.2, deadline=60.0)
        seen = [state["job"]["status"] async for state in job]

    assert seen == ["NEW", "RUN", "DONE"]
    assert job.policy == PollPolicy(minimum=0.2, deadline=60.0)


async def test_a_state_may_be_one_of_several_or_what_a_function_says() -> None:
    clock = QuickClock()
    async with Loopback(*states("NEW", "PART", "NEW", "DONE")) as server, road(server, clock=clock) as http:
        assert (await http.poll("/j", until={"job.status": {"DONE", "PART"}, "id": 7}))["job"] == {"status": "PART"}
        done = await http.poll("/j", until=lambda state: state["job"]["status"] == "DONE", policy=PollPolicy(minimum=5))
        assert done["id"] == 7

    assert 4 <= clock.slept[-1] <= 6


async def test_a_state_that_failed_is_an_error_with_the_state() -> None:
    async with (
        Loopback(*states("NEW", "BROKEN"), *states("BROKEN")) as server,
        road(server, clock=QuickClock()) as http,
    ):
        failed = {"job.status": {"BROKEN"}}
        with pytest.raises(OperationFailed, match=r"test: /j failed: job\.status is 'BROKEN'") as caught:
            await http.poll("/j", until={"job.status": "DONE"}, failed=failed)
        assert caught.value.state == {"id": 7, "job": {"status": "BROKEN"}}
        with pytest.raises(OperationFailed):
            await http.poll("/j", until={"job.status": "DONE"}, failed=lambda state: "job" in state)


async def test_the_error_of_a_wait_shows_no_credential_that_a_state_quotes() -> None:
    running = saying({"status": "RUN", "you": "Bearer s3cret-t0ken"})
    async with (
        Loopback(otherwise=running) as server,
        road(server, clock=QuickClock(), auth=TokenAuth("s3cret-t0ken")) as http,
    ):
        with pytest.raises(PollTimeout, match=r"last state: .*Bearer \*\*\*") as late:
            await http.poll("/j", until={"status": "DONE"}, deadline=5.0)
        failed = {"status": "RUN", "you": "Bearer s3cret-t0ken"}
        with pytest.raises(OperationFailed, match=r"you is 'Bearer \*\*\*'") as broken:
            await http.poll("/j", until={"status": "DONE"}, failed=failed)

    assert "s3cret" not in f"{late.value} {broken.value}"
    assert late.value.last == broken.value.state == failed  # what the platform said is the caller's


async def test_passing_errors_are_not_the_end_of_a_wait() -> None:
    replies = [DROP, saying({}, 503), *states("DONE")]
    async with Loopback(*replies) as server, road(server, clock=QuickClock(), retry=ONCE) as http:
        assert (await http.poll("/j", until={"job.status": "DONE"}))["id"] == 7


async def test_the_token_of_a_poll_goes_on_in_another_client_by_another_address() -> None:
    async with Loopback(*states("NEW"), otherwise=states("DONE")[0]) as server:
        async with road(f"{server.url}/v1", clock=QuickClock()) as http:
            job = http.poll(f"{server.url}/v1/jobs/7?x=1", until={"job.status": "DONE"}, deadline=0.5, minimum=1.0)
            with pytest.raises(PollTimeout) as caught:
                await job
            token = caught.value.token
            assert token == job.token() == "/jobs/7?x=1"
        async with road(f"http://localhost:{server.port}/v1") as other:
            assert (await other.poll(token or "", until={"job.status": "DONE"}))["id"] == 7

    assert {one.target for one in server.seen} == {"/v1/jobs/7?x=1"}


async def test_a_poll_gives_models_whose_attributes_are_looked_at() -> None:
    @dataclass
    class Job:
        id: int
        job: dict[str, str]

    async with Loopback(*states("NEW", "DONE")) as server, road(server, clock=QuickClock()) as http:
        job = await http.poll("/j", until={"job.status": "DONE", "id": 7}, model=Job)

    assert job.job == {"status": "DONE"}


async def test_a_member_that_is_not_there_is_not_yet_and_the_last_state_is_told_in_short() -> None:
    late = saying({"job": "x" * 10_000})
    async with Loopback(saying({}), otherwise=late) as server, road(server, clock=QuickClock()) as http:
        with pytest.raises(PollTimeout) as caught:
            await http.poll("/j", until={"job": "DONE"}, deadline=5.0)

    assert len(str(caught.value)) < 600
    assert caught.value.last == {"job": "x" * 10_000}
    assert "no answer had" not in str(caught.value)


@pytest.mark.parametrize("several", [list, tuple, set, frozenset])
async def test_several_values_in_any_collection_are_alternatives(several: Callable[[list[Any]], Any]) -> None:
    replies = states("NEW", "PART", "BROKEN")
    async with Loopback(*replies) as server, road(server, clock=QuickClock()) as http:
        until, failed = {"job.status": several(["DONE", "PART"])}, {"job.status": several(["LOST", "BROKEN"])}
        assert (await http.poll("/j", until=until, failed=failed))["job"] == {"status": "PART"}
        with pytest.raises(OperationFailed, match="is 'BROKEN'"):
            await http.poll("/j", until=until, failed=failed)


async def test_an_array_that_a_member_is_to_have_is_one_of_a_list_of_values() -> None:
    async with (
        Loopback(*[saying({"left": left}) for left in ([1, 2], [2], [])]) as server,
        road(server, clock=QuickClock()) as http,
    ):
        assert await http.poll("/j", until={"left": [[], [3]]}) == {"left": []}


async def test_a_wait_for_a_member_that_no_answer_had_says_so_at_its_end() -> None:
    answer = saying({"state": "DONE", "job": None})
    async with Loopback(otherwise=answer) as server, road(server, clock=QuickClock()) as http:
        with pytest.raises(PollTimeout, match=r"; no answer had a member 'status', 'job\.status'") as caught:
            await http.poll("/j", until={"status": "DONE", "job.status": 1, "job": 7}, deadline=5.0)

    assert (caught.value.token, caught.value.last) == ("/j", {"state": "DONE", "job": None})
    assert caught.value.polls > 1


async def test_a_wait_without_an_answer_says_nothing_of_members() -> None:
    async with Loopback(otherwise=saying({}, 503)) as server, road(server, clock=QuickClock(), retry=ONCE) as http:
        with pytest.raises(PollTimeout) as caught:
            await http.poll("/j", until={"status": "DONE"}, deadline=2.0)

    assert "no answer had" not in str(caught.value)


@pytest.mark.parametrize(("answer", "kind"), [([{"status": "DONE"}], "list"), ("DONE", "str"), (7, "int")])
async def test_an_answer_that_can_have_no_members_ends_the_wait_at_once(answer: Any, kind: str) -> None:
    async with Loopback(otherwise=saying(answer)) as server, road(server, clock=QuickClock()) as http:
        for verdicts in (
            {"until": {"status": "DONE"}},
            {"until": lambda state: False, "failed": {"status": "BROKEN"}},
        ):
            with pytest.raises(ProtocolError, match=rf"test: /j answered a {kind}, .* 'status'") as caught:
                await http.poll("/j", **verdicts)
            assert not caught.value.maybe_sent
        assert await http.poll("/j", until=lambda state: state == answer) == answer

    assert len(server.seen) == 3


async def test_an_empty_answer_is_not_yet() -> None:
    async with Loopback(Reply(204, b""), *states("DONE")) as server, road(server, clock=QuickClock()) as http:
        assert (await http.poll("/j", until={"job.status": "DONE"}))["id"] == 7
