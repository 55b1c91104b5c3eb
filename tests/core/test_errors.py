"""One tree of errors, and each says what the caller may do."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any

import pytest

from asyncconn import errors

CLASSES: dict[str, type[errors.AsyncConnError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, errors.AsyncConnError)
}
#: Bases that are never raised themselves, so they need no advice of their own.
BASES = {
    "AsyncConnError", "LifecycleError", "TransportError", "BatchError", "PollError", "StreamError",
}  # fmt: skip
EXTRA: dict[type[errors.AsyncConnError], dict[str, Any]] = {
    errors.ApiError: {"answer": errors.Answer("datorama", 400)},
    errors.QuotaExhausted: {"resets_at": datetime(2030, 1, 1, tzinfo=UTC)},
    errors.RecordTooLarge: {"size": 3, "limit": 2},
    errors.DeliveryFailed: {"records": [1], "maybe_delivered": True},
}


def make(kind: type[errors.AsyncConnError]) -> errors.AsyncConnError:
    extra = next((extra for base, extra in EXTRA.items() if issubclass(kind, base)), {})
    return kind("it went wrong", **extra)


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_is_public_and_drawn_in_the_tree(name: str) -> None:
    assert name in errors.__all__
    assert name in (errors.__doc__ or "")


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_says_what_happened(name: str) -> None:
    assert "it went wrong" in str(make(CLASSES[name]))


@pytest.mark.parametrize("name", sorted(set(CLASSES) - BASES - {"RateLimited"}))
def test_every_error_says_what_the_caller_may_do(name: str) -> None:
    kind = CLASSES[name]

    assert kind.advice
    assert kind.advice in str(make(kind))


@pytest.mark.parametrize(
    ("wait", "local", "text"),
    [
        (12.3456, False, "datorama answered 429 slow down (wait for 12.3 s)"),
        (None, False, "datorama answered 429 slow down (wait)"),
        (3.0, True, "datorama: slow down (nothing was sent; wait for 3 s, or allow a longer max_wait)"),
    ],
)
def test_a_rate_limit_says_how_long_to_wait(wait: float | None, local: bool, text: str) -> None:
    answer = errors.Answer("datorama", 429, retry_after=wait)

    assert str(errors.RateLimited("slow down", answer, local=local)) == text


def test_an_api_error_names_platform_status_code_and_request() -> None:
    error = errors.NotFound("no such stream", errors.Answer("datorama", 404, code="E7", request_id="r1"))

    assert str(error) == ("datorama answered 404 [E7] no such stream (request r1) (check the id and the base URL)")


def test_an_invalid_record_says_which_one() -> None:
    assert str(errors.InvalidRecord("not a number", index=3)).startswith("record 3: not a number")


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequest"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (409, "Conflict"),
        (413, "PayloadTooLarge"),
        (418, "BadRequest"),
        (422, "Unprocessable"),
        (429, "RateLimited"),
        (500, "ServerError"),
        (599, "ServerError"),
        (302, "ApiError"),
    ],
)
def test_each_status_has_its_class(status: int, name: str) -> None:
    assert errors.api_error_class(status) is CLASSES[name]


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (errors.ConnectFailed("x"), False),
        (errors.PoolTimeout("x"), False),
        (errors.ConfigError("x"), False),
        (errors.ReadTimeout("x"), True),
        (errors.ConnectionLost("x"), True),
        (errors.ProtocolError("x"), True),
        (errors.ServerError("x", errors.Answer("p", 500)), True),
        (errors.BadRequest("x", errors.Answer("p", 400)), False),
        (errors.RateLimited("x", errors.Answer("p", 429)), False),
        (OSError("x"), True),
    ],
)
def test_it_is_known_whether_a_call_may_have_been_carried_out(error: Exception, unknown: bool) -> None:
    assert errors.outcome_unknown(error) is unknown


@pytest.mark.parametrize(
    ("name", "builtin"),
    [("ConfigError", ValueError), ("InvalidRecord", ValueError), ("LifecycleError", RuntimeError)],
)
def test_errors_of_use_are_the_builtin_ones_too(name: str, builtin: type[Exception]) -> None:
    assert issubclass(CLASSES[name], builtin)
