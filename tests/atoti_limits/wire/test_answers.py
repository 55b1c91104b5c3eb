"""What the session and the Limits server answer, and what is made of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from captures import ATOTI_LIMITS as CAPTURES
from pydantic import SecretStr

from asyncconn import errors
from asyncconn.atoti_limits import wire
from asyncconn.atoti_limits.errors import (
    Detail,
    LimitsAuthError,
    LimitsConflict,
    LimitsError,
    LimitsNotReached,
    LimitsPermissionError,
    LimitsProtocolError,
    LimitsValidationError,
    SessionNotReady,
    SessionOutcomeUnknown,
)
from asyncconn.http.redact import Redactor
from asyncconn.http.response import Response

ERRORS = CAPTURES["session_errors"]


def answer(status: int, body: Any = b"", headers: dict[str, str] | None = None) -> Response:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response("atoti_limits", "GET", "/x", status, headers or {"Content-Type": "application/json"}, data)


def error_of(response: Response, rules: wire.ServerRules | None = None, *secrets: str) -> Any:
    return (rules or wire.SessionRules()).error(response, Redactor([SecretStr(one) for one in secrets]))


@pytest.mark.parametrize(
    ("status", "at_session", "at_limits"),
    [
        (400, LimitsValidationError, LimitsValidationError),
        (401, LimitsAuthError, LimitsAuthError),
        (403, LimitsPermissionError, LimitsPermissionError),
        (404, errors.NotFound, errors.NotFound),
        (409, LimitsConflict, LimitsConflict),
        (415, errors.BadRequest, errors.BadRequest),
        (422, LimitsValidationError, LimitsValidationError),
        (429, errors.RateLimited, errors.RateLimited),
        (500, errors.ServerError, errors.ServerError),
        (502, errors.ServerError, errors.ServerError),
        (503, SessionNotReady, errors.ServerError),
    ],
)
def test_a_status_has_a_class_of_its_own(
    status: int, at_session: type[errors.ApiError], at_limits: type[errors.ApiError]
) -> None:
    for rules, kind in ((wire.SessionRules(), at_session), (wire.ServerRules(), at_limits)):
        error = error_of(answer(status, {"error": "no", "path": "/x", "status": status}), rules)
        assert (type(error), error.status, error.message) == (kind, status, "no")


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_success_is_no_error(status: int) -> None:
    assert error_of(answer(status)) is None


def test_a_redirect_is_refused() -> None:
    assert isinstance(error_of(answer(302, b"", {"Location": "http://elsewhere"})), errors.ProtocolError)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("detailed", "The provided MDX query is invalid."),
        ("concise", "Not Found"),
        ("pre6", "boom"),
    ],
)
def test_the_message_is_found_in_every_form_and_the_stack_trace_is_nowhere(form: str, message: str) -> None:
    capture = ERRORS[form]
    error = error_of(answer(capture["status"], capture["body"]))

    assert error.message == message
    assert "race" not in f"{error} {error!r} {error.body} {vars(error)}"


def test_a_trace_is_left_out_however_deep_it_stands_and_what_stands_beside_it_is_kept() -> None:
    body = {"error": {"errorChain": [{"message": "m", "stackTrace": "at A.b(C.java)"}]}, "more": [{"stackTrace": "x"}]}

    assert wire.without_trace(body) == {"error": {"errorChain": [{"message": "m"}]}, "more": [{}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", ""),
        (b"<html>Bad Gateway</html>", ""),
        (b"Service down\n at com.example.A", "Service down"),
        (b"[]", ""),
        (b'{"errorChain": []}', ""),
        (b'{"errorChain": ["x"]}', ""),
        (b'{"errorChain": [{"type": "E"}]}', ""),
        (b'{"message": "m"}', "m"),
        (b'{"error": null, "message": 3}', ""),
    ],
)
def test_an_error_of_no_known_form_has_what_message_it_may_have(body: bytes, message: str) -> None:
    assert error_of(answer(502, body)).message == message


def test_what_is_wrong_with_which_row_is_attached_and_said() -> None:
    capture = CAPTURES["v2_error_overlap"]
    body = capture["body"]

    refused = error_of(answer(422, body))
    assert refused.details == (Detail("overlaps lim_0001", 2, "Start Date"),)
    assert "row 2, Start Date: overlaps lim_0001" in str(refused)

    conflict = error_of(answer(capture["status"], body))
    assert isinstance(conflict, LimitsConflict)
    assert conflict.message == "Limit dates overlap: row 2, Start Date: overlaps lim_0001"


@pytest.mark.parametrize("details", [None, "x", {}, [], ["x"], [3]])
def test_details_that_are_none_are_none(details: Any) -> None:
    assert error_of(answer(422, {"error": "no", "details": details})).details == ()


def test_the_unknown_server_is_said_in_the_platforms_words() -> None:
    capture = CAPTURES["v2_error_unknown_server"]

    error = error_of(answer(capture["status"], capture["body"]), wire.ServerRules())
    assert isinstance(error, LimitsValidationError)
    assert error.message == "Server Name nowhere not in the list of current connections"


def test_a_secret_that_an_error_quotes_is_not_passed_on() -> None:
    body = {
        "error": "bad s3cret!",
        "details": [{"row": 1, "field": "s3cret!", "message": "s3cret!"}],
        "x": "s3cret!",
    }
    for status in (400, 409, 500):
        error = error_of(answer(status, body), None, "s3cret!")
        assert "s3cret" not in f"{error} {error!r} {vars(error)}"
        assert "***" in str(error)


@pytest.mark.parametrize(
    ("body", "said"), [(b"true", True), (b"false", False), (b" true\n", True), (b"\n false ", False)]
)
def test_connected_is_a_json_boolean(body: bytes, said: bool) -> None:
    assert wire.boolean(answer(200, body)) is said


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"tr",
        b"True",
        b"TRUE",
        b"1",
        b"0",
        b"null",
        b'"true"',
        b"[true]",
        b'{"connected": true}',
        b'{"status": "success", "data": true}',
        b"<html>true</html>",
        b"true false",
        b"connected",
    ],
)
def test_anything_but_a_json_boolean_breaks_the_contract(body: bytes) -> None:
    with pytest.raises(LimitsProtocolError):
        wire.boolean(answer(200, body))


def test_a_document_comes_out_of_the_wrapper_of_old_servers() -> None:
    wrapped = CAPTURES["session_discovery_pre6_wrapper"]["body"]

    assert wire.document(answer(200, wrapped)) == {"catalogs": []}
    assert wire.document(answer(200, {"status": "success"})) == {"status": "success"}
    assert wire.document(answer(200, {"status": "open", "data": 1})) == {"status": "open", "data": 1}
    assert wire.document(answer(200, b"null")) is None


def test_a_page_is_no_document() -> None:
    with pytest.raises(LimitsProtocolError, match="text/html, not JSON") as caught:
        wire.document(answer(200, b"<html>s3cret</html>", {"Content-Type": "text/html"}))

    assert "s3cret" not in str(caught.value)


def _api(status: int) -> errors.AsyncConnError:
    found = error_of(answer(status))
    assert isinstance(found, errors.AsyncConnError)
    return found


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (SessionOutcomeUnknown("x"), True),
        (LimitsNotReached("x"), True),
        (errors.ReadTimeout("x"), True),
        (_api(502), True),
        (_api(503), True),
        (_api(504), True),
        (_api(500), False),
        (_api(501), False),
        (_api(400), False),
        (_api(401), False),
        (_api(403), False),
        (_api(404), False),
        (_api(429), False),
        (LimitsProtocolError("x"), False),
        (errors.HubClosed("x"), False),
    ],
)
def test_a_poll_goes_on_after_these_errors_and_ends_with_those(error: errors.AsyncConnError, passes: bool) -> None:
    assert wire.passing(error) is passes


def test_every_error_of_the_rules_but_the_plain_ones_is_a_limits_error() -> None:
    assert all(isinstance(_api(status), LimitsError) for status in (400, 401, 403, 409, 422, 503))
