"""Rules from three facts: where an error stands, which statuses did nothing, which headers tell what is left."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from loopback import Loopback, Reply, road, saying

from asyncconn.core.rates.limiter import RateLimiter
from asyncconn.core.rates.windows import Window
from asyncconn.core.retrying import ONCE, RetryPolicy
from asyncconn.core.secret import Secret
from asyncconn.errors import ApiError, AsyncConnError, ConfigError, Conflict, NotDone, ServerError, Unauthorized
from asyncconn.http.redact import Redactor
from asyncconn.http.response import Response
from asyncconn.http.rules import MemberRules, RateHeaders, member

QUICK = RetryPolicy(attempts=3, initial=0.01, maximum=0.02)


def answer(value: Any, status: int = 200, /, **headers: str) -> Response:
    given = {"Content-Type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return Response("acme", "GET", "/", status, given, orjson.dumps(value))


@pytest.mark.parametrize(
    ("value", "message", "code", "status"),
    [
        ({"error": "out of stock"}, "out of stock", None, 200),
        ({"error": {"message": "taken", "code": "E7"}}, "taken", "E7", 200),
        ({"error": {"message": "taken", "code": 409}}, "taken", "409", 409),
        ({"error": [{"detail": "no such day"}]}, "no such day", None, 200),
        ({"error": 17}, "", "17", 200),
        ({"error": True}, "", None, 200),
    ],
)
def test_a_member_that_says_so_is_an_error(value: Any, message: str, code: str | None, status: int) -> None:
    error = MemberRules(error_at="error").error(answer(value), Redactor())

    assert isinstance(error, ApiError)
    assert (error.message, error.code, error.status) == (message, code, status)
    assert isinstance(error, Conflict) is (status == 409)


NOTHING: list[Any] = [None, False, 0, "", [], {}]


@pytest.mark.parametrize("value", [{}, [], 1, None, *({"error": no} for no in NOTHING)])
def test_what_is_absent_null_false_zero_or_empty_is_no_error(value: Any) -> None:
    assert MemberRules(error_at="error").error(answer(value), Redactor()) is None


def test_a_member_may_stand_deeper_and_no_credential_comes_out_of_it() -> None:
    rules = MemberRules(error_at="meta.fault")
    error = rules.error(
        answer({"meta": {"fault": {"message": "key s3cret refused", "code": "s3cret"}}}), Redactor([Secret("s3cret")])
    )

    assert isinstance(error, ApiError)
    assert (error.message, error.code) == ("key *** refused", "***")
    assert "s3cret" not in error.body


def test_members_are_found_by_dotted_paths() -> None:
    assert member({"a": {"b": [1]}}, "a.b") == [1]
    assert member({"a": []}, "a.b") is None


async def test_a_status_that_did_nothing_is_repeated_whatever_the_call_is() -> None:
    async with (
        Loopback(Reply(503), Reply(503), saying({"ok": 1})) as server,
        road(server, rules=MemberRules(did_nothing={503}), retry=QUICK) as http,
    ):
        assert (await http.request("POST", "/orders", json={})).json() == {"ok": 1}
    assert len(server.seen) == 3


async def test_of_the_others_nothing_is_known() -> None:
    async with (
        Loopback(otherwise=Reply(500)) as server,
        road(server, rules=MemberRules(did_nothing={503}), retry=QUICK) as http,
    ):
        with pytest.raises(ServerError) as caught:
            await http.request("POST", "/orders", json={})
    assert caught.value.maybe_sent
    assert len(server.seen) == 1
    assert not NotDone.maybe_sent


@pytest.mark.parametrize(
    ("headers", "reset", "left", "after"),
    [
        ({"Left": "3", "Reset": "20"}, "auto", 3, 20.0),
        ({"Left": "3", "Reset": "20"}, "seconds", 3, 20.0),
        ({"Left": "3", "Reset": "1893456020", "Date": "Tue, 01 Jan 2030 00:00:00 GMT"}, "auto", 3, 20.0),
        ({"Left": "3", "Reset": "1893456020000", "Date": "Tue, 01 Jan 2030 00:00:00 GMT"}, "epoch", 3, 20.0),
        ({"Left": "3"}, "auto", 3, None),
        ({"Left": "many", "Reset": "20"}, "auto", None, 20.0),
    ],
)
def test_headers_tell_what_is_left(headers: dict[str, str], reset: Any, left: int | None, after: float | None) -> None:
    tell = RateHeaders("Left", "Reset", part="minute", reset=reset)
    [hint] = MemberRules(headers_tell=tell).hints(answer({}, 200, **headers))

    assert (hint.part, hint.remaining, hint.reset_after) == ("minute", left, after)


def test_headers_that_are_no_numbers_tell_nothing() -> None:
    rules = MemberRules(headers_tell=RateHeaders("Left", "Reset"))

    assert list(rules.hints(answer({}))) == []
    assert list(rules.hints(answer({}, Left="nan", Reset="-1"))) == []
    with pytest.raises(ConfigError, match="reset"):
        RateHeaders("Left", reset="never")  # type: ignore[arg-type] # as somebody may write


async def test_what_they_tell_reaches_the_limiter() -> None:
    limiter = RateLimiter(Window(10, 60.0))
    rules = MemberRules(headers_tell=RateHeaders("Left", "Reset"))
    async with (
        Loopback(saying({}, Left="2", Reset="30")) as server,
        road(server, rules=rules, limiters={"default": limiter}) as http,
    ):
        await http.request("GET", "/")
    assert limiter.snapshot().remaining == 2


async def test_a_stream_of_json_lines_is_judged_by_its_first() -> None:
    lines = {"Content-Type": "application/x-ndjson"}
    said = Reply(body=b'{"error": "no such day"}\n', headers=lines)
    rows = Reply(body=b'{"id": 1}\n{"error": "of a row"}\n', headers=lines)
    async with Loopback(said, rows) as server, road(server, rules=MemberRules(error_at="error"), retry=ONCE) as http:
        with pytest.raises(ApiError, match="no such day"):
            async with http.stream("GET", "/days"):
                pass
        async with http.stream("GET", "/days") as stream:
            assert b"".join([chunk async for chunk in stream]) == rows.body


async def test_lines_of_json_that_are_read_whole_are_judged_by_the_first_too() -> None:
    lines = {"Content-Type": "application/x-ndjson"}
    rows, said = b'{"id": 1}\n{"error": "of a row"}\n', b'{"error": "no such day"}\n'
    replies = [Reply(body=body, headers=lines) for body in (rows, b"no json\n", said)]
    async with Loopback(*replies) as server, road(server, rules=MemberRules(error_at="error"), retry=ONCE) as http:
        assert (await http.request("GET", "/days")).body == rows
        assert (await http.request("GET", "/days")).body == b"no json\n"
        with pytest.raises(ApiError, match="no such day"):
            await http.request("GET", "/days")


@pytest.mark.parametrize(("status", "kind"), [(401, Unauthorized), (503, NotDone), (500, ServerError)])
def test_what_stands_at_the_member_is_the_message_of_an_error_status_too(
    status: int, kind: type[AsyncConnError]
) -> None:
    rules = MemberRules(error_at="error", did_nothing={503})
    error = rules.error(answer({"error": {"code": "nope", "message": "who are you?"}}, status), Redactor())

    assert type(error) is kind
    assert isinstance(error, ApiError)
    assert (error.status, error.code) == (status, "nope")
    assert "who are you?" in error.message
    assert "{" not in error.message


def test_an_error_page_that_only_calls_itself_json_means_what_its_status_says() -> None:
    page = Response("acme", "GET", "/", 503, {"Content-Type": "application/json"}, b"<html>")
    error = MemberRules(error_at="error", did_nothing={503}).error(page, Redactor())

    assert type(error) is NotDone
