"""What Datorama's statuses, bodies and rate headers mean."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from multidict import CIMultiDict
from pydantic import SecretStr

from asyncconn import errors
from asyncconn.datorama import wire
from asyncconn.datorama.errors import DatoramaProtocolError, DatoramaQueryError
from asyncconn.http.redact import Redactor
from asyncconn.http.response import Response
from asyncconn.http.rules import RateHint

NOW = datetime(2026, 1, 1, 11, 0, tzinfo=UTC)
TOKEN = "5f0e6a52-1f6b-4c83-9c6e-5a2f6f0d1c11"


def in_(seconds: float) -> str:
    """Epoch milliseconds of so many seconds from now."""
    return str(round((NOW.timestamp() + seconds) * 1000))


NINE = {
    "X-PlatformRateLimit-Limit": "60",
    "X-PlatformRateLimit-Remaining": "57",
    "X-PlatformRateLimit-Reset": in_(40),
    "X-QueryRateLimit-Limit": "200",
    "X-QueryRateLimit-Remaining": "199",
    "X-QueryRateLimit-Reset": in_(50),
    "X-DailyQuota-Limit": "20000",
    "X-DailyQuota-Remaining": "19412",
    "X-DailyQuota-Reset": in_(13 * 3600),
}


def answer(
    status: int = 200,
    headers: dict[str, str] | None = None,
    *,
    body: bytes = b"",
    kind: str = "application/json",
    path: str = "/v1/workspaces",
    date: datetime | None = NOW,
) -> Response:
    given = CIMultiDict(headers or {})
    given["Content-Type"] = kind
    if date is not None:
        given["Date"] = format_datetime(date, usegmt=True)
    return Response("datorama", "POST" if "query" in path else "GET", path, status, given, body)


def error_of(response: Response) -> Any:
    return wire.DatoramaRules().error(response, Redactor([SecretStr(TOKEN)]))


# -- regions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "host"),
    [("us", "api"), ("us2", "api-us2"), ("eu", "api-eu"), ("eu2", "api-eu2")],
)
def test_each_region_has_its_host(region: str, host: str) -> None:
    assert wire.base_url(region) == f"https://{host}.datorama.com"


@pytest.mark.parametrize("region", ["", "US", "us1", "mars", None, ["us"]])
def test_an_unknown_region_is_refused_with_those_there_are(region: Any) -> None:
    with pytest.raises(errors.ConfigError, match="us, us2, eu, eu2"):
        wire.base_url(region)


# -- the nine headers --------------------------------------------------------------------------------------------------


def test_nine_headers_are_three_hints_against_the_answers_own_date() -> None:
    assert wire.hints(answer(headers=NINE)) == [
        RateHint("platform", 57, 40.0),
        RateHint("query", 199, 50.0),
        RateHint("daily", 19412, 13 * 3600.0),
    ]


def test_the_names_of_headers_may_be_written_in_any_case() -> None:
    lower = {name.lower(): value for name, value in NINE.items()}
    assert wire.hints(answer(headers=lower)) == wire.hints(answer(headers=NINE))


@pytest.mark.parametrize("skew", [-3600.0, 90.0])
def test_our_own_clock_does_not_matter_where_the_answer_has_a_date(skew: float) -> None:
    shifted = datetime.fromtimestamp(NOW.timestamp() + skew, UTC)
    moved = {name: str(int(value) + round(skew * 1000)) if "Reset" in name else value for name, value in NINE.items()}
    assert wire.hints(answer(headers=moved, date=shifted)) == wire.hints(answer(headers=NINE))


def test_without_a_date_our_own_clock_has_to_do() -> None:
    reset = str(round((datetime.now(UTC).timestamp() + 30) * 1000))
    [hint] = wire.hints(
        answer(headers={"X-PlatformRateLimit-Remaining": "5", "X-PlatformRateLimit-Reset": reset}, date=None)
    )
    assert hint.reset_after == pytest.approx(30.0, abs=5.0)


@pytest.mark.parametrize(
    ("missing", "hints"),
    [
        (("X-PlatformRateLimit-Remaining",), [("query", 50.0), ("daily", 46800.0)]),
        (("X-PlatformRateLimit-Reset",), [("platform", None), ("query", 50.0), ("daily", 46800.0)]),
        (("X-QueryRateLimit-Remaining", "X-DailyQuota-Remaining"), [("platform", 40.0)]),
        (
            tuple(name for name in NINE if "Limit-Limit" in name),
            [("platform", 40.0), ("query", 50.0), ("daily", 46800.0)],
        ),
        (tuple(NINE), []),
    ],
)
def test_any_of_the_headers_may_be_missing(missing: tuple[str, ...], hints: list[tuple[str, float | None]]) -> None:
    some = {name: value for name, value in NINE.items() if name not in missing}
    assert [(hint.part, hint.reset_after) for hint in wire.hints(answer(headers=some))] == hints


@pytest.mark.parametrize("nonsense", ["", "-1", "many", "1.5", "0x10", "\u0663", "9" * 5000, "1 2"])
def test_a_header_that_is_no_whole_number_is_not_there(nonsense: str) -> None:
    assert wire.hints(answer(headers={"X-PlatformRateLimit-Remaining": nonsense})) == []
    [hint] = wire.hints(answer(headers={"X-PlatformRateLimit-Remaining": "0", "X-PlatformRateLimit-Reset": nonsense}))
    assert hint.reset_after is None


@pytest.mark.parametrize(
    ("reset", "minute", "day"),
    [
        (in_(0), 0.0, 0.0),
        (in_(-5), 0.0, 0.0),
        (in_(-6), None, None),
        (in_(60), 60.0, 60.0),
        (in_(3600), 62.0, 3600.0),
        ("9" * 17, 62.0, 86402.0),
        ("1767225600", None, None),  # seconds instead of milliseconds
    ],
)
def test_a_reset_that_has_just_been_is_now_and_no_window_is_longer_than_it_is(
    reset: str, minute: float | None, day: float | None
) -> None:
    headers = {name: reset if "Reset" in name else value for name, value in NINE.items() if not name.endswith("-Limit")}
    assert [hint.reset_after for hint in wire.hints(answer(headers=headers))] == [minute, minute, day]


# -- 429 ---------------------------------------------------------------------------------------------------------------

PLATFORM_OUT = {**NINE, "X-PlatformRateLimit-Remaining": "0"}
QUERY_OUT = {**NINE, "X-QueryRateLimit-Remaining": "0"}
BOTH_OUT = {**PLATFORM_OUT, "X-QueryRateLimit-Remaining": "0"}


@pytest.mark.parametrize(
    ("headers", "path", "seconds"),
    [
        ({"X-RateLimit-Reset": in_(20), "X-DailyQuota-Rest": in_(46800)}, "/v1/workspaces", 20.0),
        ({"X-RateLimit-Reset": in_(20), "X-DailyQuota-Reset": in_(46800)}, "/v1/workspaces", 20.0),
        ({"X-RateLimit-Reset": in_(20)}, "/v1/workspaces", 20.0),
        ({"x-ratelimit-reset": in_(20)}, "/v1/workspaces", 20.0),
        (PLATFORM_OUT, "/v1/workspaces", 40.0),
        (QUERY_OUT, "/v1/query", 50.0),
        (BOTH_OUT, "/v1/workspaces", 40.0),
        (BOTH_OUT, "/v1/query-batch", 50.0),
        ({"Retry-After": "7"}, "/v1/workspaces", 7.0),
        ({"Retry-After": "7", "X-RateLimit-Reset": in_(20)}, "/v1/workspaces", 7.0),
        ({"Retry-After": "7", **PLATFORM_OUT}, "/v1/workspaces", 7.0),
        ({"Retry-After": "0", "X-RateLimit-Reset": in_(20)}, "/v1/workspaces", 0.0),
        ({"Retry-After": "7", "X-DailyQuota-Rest": in_(46800)}, "/v1/workspaces", 7.0),
        ({"X-RateLimit-Reset": in_(0)}, "/v1/workspaces", 1.0),
        ({"X-RateLimit-Reset": in_(-5)}, "/v1/workspaces", 1.0),
        ({"X-RateLimit-Reset": in_(-30)}, "/v1/workspaces", 15.0),
        ({"X-RateLimit-Reset": in_(3600)}, "/v1/workspaces", 62.0),
        ({"X-RateLimit-Reset": "9" * 17}, "/v1/workspaces", 62.0),
        ({"Retry-After": "3600"}, "/v1/workspaces", 3600.0),
        ({"X-RateLimit-Reset": "soon"}, "/v1/workspaces", 15.0),
        (NINE, "/v1/workspaces", 15.0),
        ({**NINE, "X-PlatformRateLimit-Reset": in_(4)}, "/v1/workspaces", 4.0),
        ({}, "/v1/workspaces", 15.0),
    ],
)
def test_a_429_names_its_wait_in_either_spelling_or_in_none(headers: dict[str, str], path: str, seconds: float) -> None:
    error = error_of(answer(429, headers, body=b"Too Many Requests", kind="text/plain", path=path))
    assert type(error) is errors.RateLimited
    assert (error.retry_after, error.local, error.maybe_sent) == (seconds, False, False)


DAY_OUT = {**NINE, "X-DailyQuota-Remaining": "0"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (DAY_OUT, 46800.0),
        ({**DAY_OUT, "X-PlatformRateLimit-Remaining": "0"}, 46800.0),
        ({name: value for name, value in DAY_OUT.items() if name != "X-DailyQuota-Reset"}, 46800.0),
        ({"X-DailyQuota-Rest": in_(3600)}, 3600.0),
        ({"X-DailyQuota-Reset": in_(3600)}, 3600.0),
        ({"X-DailyQuota-Remaining": "0"}, 46800.0),
        ({"X-DailyQuota-Remaining": "0", "X-DailyQuota-Reset": "9" * 17}, 86402.0),
        ({"X-DailyQuota-Rest": in_(-30)}, 46800.0),
    ],
)
def test_a_429_of_a_day_that_is_used_up_says_when_the_next_begins(headers: dict[str, str], seconds: float) -> None:
    response = answer(429, headers, body=b"Too Many Requests", kind="text/plain")
    error = error_of(response)
    assert type(error) is errors.QuotaExhausted
    assert (error.resets_at - NOW).total_seconds() == seconds
    assert not error.maybe_sent
    # The limiter has to know, too, or the next call would only find out again.
    assert [hint.remaining for hint in wire.hints(response) if hint.part == "daily"] == [0]


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"info": "first", "msg": "second", "message": "third"}, "first"),
        ({"msg": "second", "errors": ["fifth"]}, "second"),
        ({"info": "", "message": "third"}, "third"),
        ({"error": "fourth", "errors": ["fifth"]}, "fourth"),
        ({"errors": ["fifth", "sixth"]}, '["fifth","sixth"]'),
        ({"error": {"code": 7}}, '{"code":7}'),
        ({"msg": "second", "validationError": "name is empty"}, "second: name is empty"),
        ({"validationError": "name is empty"}, "name is empty"),
        ({"msg": "second", "validationError": ""}, "second"),
        ({"status": 5}, ""),
        ([1, 2], "[1,2]"),
        ("in quotes", "in quotes"),
    ],
)
def test_the_message_is_the_first_that_looks_like_one(body: Any, message: str) -> None:
    error = error_of(answer(400, body=json.dumps(body).encode()))
    assert error.message == message
    assert error.body == json.dumps(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", ""),
        (b"It broke.\nAnd more.", "It broke."),
        (b"<html><body>It broke.</body></html>", ""),
        (b"{not json", "{not json"),
        (b"\xff\xfe\x00", "\ufffd"),
    ],
)
def test_a_body_that_is_no_json_never_fails(body: bytes, message: str) -> None:
    assert error_of(answer(500, body=body, kind="text/plain")).message == message


@pytest.mark.parametrize("said", [b"half +2AA- of it", b'{"msg": "half +2AA- of it"}'])
def test_half_a_character_of_a_charset_can_be_printed(said: bytes) -> None:
    error = error_of(answer(400, body=said, kind="text/plain; charset=utf-7"))
    assert error is not None
    assert "half \\ud800 of it" in error.message
    assert str(error).encode()


def test_what_an_error_keeps_of_a_long_body_is_bounded() -> None:
    error = error_of(answer(400, body=json.dumps({"errors": ["x" * 100_000]}).encode()))
    assert error.message.startswith('["xxx')
    assert len(error.message) == 300
    assert len(error.body) <= 2000


@pytest.mark.parametrize(
    ("status", "kind", "maybe_sent"),
    [
        (400, errors.BadRequest, False),
        (401, errors.Unauthorized, False),
        (403, errors.Forbidden, False),
        (404, errors.NotFound, False),
        (409, errors.Conflict, False),
        (413, errors.PayloadTooLarge, False),
        (422, errors.Unprocessable, False),
        (500, errors.ServerError, True),
        (502, errors.ServerError, True),
        (503, errors.ServerError, True),
        (504, errors.ServerError, True),
        (302, errors.ProtocolError, False),
    ],
)
def test_statuses_mean_what_http_says(status: int, kind: type[errors.AsyncConnError], maybe_sent: bool) -> None:
    error = error_of(answer(status, body=b'{"msg": "no"}'))
    assert type(error) is kind
    assert error.maybe_sent is maybe_sent


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/query", DatoramaQueryError),
        ("/v1/query-batch", DatoramaQueryError),
        ("/proxy/v1/query", DatoramaQueryError),
        ("/v1/data-streams/1/process", errors.Unprocessable),
    ],
)
def test_a_422_is_the_querys_fault_only_where_there_is_one(path: str, kind: type[Exception]) -> None:
    assert type(error_of(answer(422, body=b'{"errors": ["no"]}', path=path))) is kind


def test_a_service_that_names_a_time_is_heard() -> None:
    assert error_of(answer(503, {"Retry-After": "9"})).retry_after == 9.0


ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in TOKEN)


@pytest.mark.parametrize(
    "body", [f'{{"msg": "bad token {TOKEN}"}}', f"bad token {TOKEN}", f'{{"msg": "{"x" * 280} {ESCAPED}"}}']
)
def test_a_token_that_is_echoed_is_in_no_message(body: str) -> None:
    error = error_of(answer(400, body=body.encode()))
    assert "***" in error.message
    for part in (TOKEN, TOKEN[:12]):
        assert part not in f"{error} {error.message} {error.body}"


# -- what comes with a 2xx ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[]", "application/json"),
        (b"", "text/html"),
        (b"", ""),
        (b"[]", "application/vnd.acme+json"),
        (b"[]", ""),
        (b'{"a": 1}', "text/plain"),
        (b"not json", "application/json"),  # whoever decodes it will say so
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_with_json_or_nothing_is_a_success(status: int, body: bytes, kind: str) -> None:
    assert error_of(answer(status, body=body, kind=kind)) is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!DOCTYPE html><html></html>", "text/html"),
        (b"[]", "text/html"),
        (b"<html></html>", ""),
        (b"OK", "text/plain"),
        (b"\x00", "application/octet-stream"),
    ],
)
def test_a_page_behind_a_200_is_an_error_that_says_the_path_is_wrong(body: bytes, kind: str) -> None:
    error = error_of(answer(200, body=body, kind=kind))
    assert type(error) is DatoramaProtocolError
    assert error.maybe_sent
    assert "not JSON" in str(error)
    assert "region or base URL" in str(error)
