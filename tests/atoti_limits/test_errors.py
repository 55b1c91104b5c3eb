"""Errors around Atoti Limits: kin of the general ones, and each says what the caller may do."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from asyncconn import errors as general
from asyncconn.atoti_limits import errors
from asyncconn.atoti_limits.errors import (
    ConnectionTimedOut,
    Detail,
    LimitsError,
    LimitsProtocolError,
    LimitsUnreachable,
    LimitsValidationError,
    SessionUnreachable,
    unreachable,
)
from asyncconn.core.retrying import RetryPolicy

KINDS: dict[str, type[LimitsError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, LimitsError) and name not in {"LimitsError", "_Unreachable"}
}
KIN = {
    "LimitsUnreachable": general.TransportError,
    "LimitsNotReached": general.NotSent,
    "LimitsOutcomeUnknown": general.MaybeSent,
    "SessionUnreachable": general.TransportError,
    "SessionNotReached": general.NotSent,
    "SessionOutcomeUnknown": general.MaybeSent,
    "LimitsAuthError": general.Unauthorized,
    "LimitsPermissionError": general.Forbidden,
    "ExtensionNotLoaded": general.NotFound,
    "SessionNotReady": general.ServerError,
    "SlicingHierarchyMissing": general.ConfigError,
    "IncompatibleVersions": general.ConfigError,
    "ConnectionTimedOut": general.PollTimeout,
    "LimitsConflict": general.Conflict,
    "LimitsValidationError": general.Unprocessable,
    "LimitsProtocolError": general.ProtocolError,
    "UiExtensionError": general.ConfigError,
}


def make(kind: type[LimitsError]) -> LimitsError:
    extra: dict[str, Any] = {}
    if issubclass(kind, general.ApiError):
        extra = {"answer": general.Answer("atoti_limits", 400)}
    return kind("it went wrong", **extra)


def test_every_error_is_exported_sorted_and_drawn_in_the_tree() -> None:
    assert sorted(errors.__all__) == errors.__all__
    assert KINDS.keys() | {"LimitsError", "Detail", "unreachable"} == set(errors.__all__)
    assert all(f" {name} (" in (errors.__doc__ or "") for name in KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_every_error_is_kin_of_a_general_one(name: str) -> None:
    assert issubclass(KINDS[name], KIN[name])
    assert f"{name} (" + KIN[name].__name__ in (errors.__doc__ or "").replace("BadRequest, ", "")


@pytest.mark.parametrize("name", KINDS)
def test_every_error_says_what_happened_and_what_the_caller_may_do(name: str) -> None:
    kind = KINDS[name]

    assert kind.advice
    assert kind.advice in str(make(kind))
    assert "it went wrong" in str(make(kind))


@pytest.mark.parametrize(("at_session", "kind"), [(False, LimitsUnreachable), (True, SessionUnreachable)])
def test_a_server_out_of_reach_says_whether_the_call_may_have_been_carried_out(at_session: bool, kind: Any) -> None:
    unsent = unreachable("no connection", general.ConnectFailed("x"), at_session=at_session)
    unknown = unreachable("broke off", general.ReadTimeout("x"), at_session=at_session)

    assert isinstance(unsent, kind)
    assert isinstance(unsent, general.NotSent)
    assert isinstance(unknown, kind)
    assert isinstance(unknown, general.MaybeSent)
    assert (general.outcome_unknown(unsent), general.outcome_unknown(unknown)) == (False, True)
    assert str(unsent).startswith("no connection (nothing was sent; start ")
    assert str(unknown).startswith("broke off (the call may have been carried out; start ")
    assert RetryPolicy(maybe_sent="never").allows(unknown, idempotent=True) is False
    assert RetryPolicy(maybe_sent="never").allows(unsent, idempotent=False) is True


def test_a_server_out_of_reach_for_good_says_what_to_check() -> None:
    cause = general.ConnectFailed("x")
    cause.permanent, cause.advice = True, "check the certificate"
    error = unreachable("not trusted", cause, at_session=True)

    assert error.permanent
    assert str(error) == "not trusted (nothing was sent; check the certificate)"


def test_a_refused_request_is_caught_as_either_status_and_lists_its_details() -> None:
    details = [Detail("overlaps lim_0001", row=2, field="Start Date"), Detail("no such cube")]
    error = LimitsValidationError("not accepted", general.Answer("atoti_limits", 400), details=details)

    assert isinstance(error, general.BadRequest)
    assert error.details == tuple(details)
    assert str(error) == (
        "not accepted: row 2, Start Date: overlaps lim_0001; no such cube "
        "(atoti_limits answered 400; correct what the details name)"
    )


def test_a_check_of_our_own_says_that_nothing_was_sent() -> None:
    error = LimitsValidationError("2 problems", details=[Detail("x", row=i) for i in range(7)], local=True)

    assert str(error) == (
        "2 problems: row 0: x; row 1: x; row 2: x; row 3: x; row 4: x; and 2 more "
        "(nothing was sent; correct what the details name)"
    )
    assert str(LimitsValidationError("bad", local=True)) == "bad (nothing was sent; correct what the details name)"


def test_an_answer_of_another_shape_says_where() -> None:
    assert str(LimitsProtocolError("a text is expected", path="$.a[0]")).startswith("at $.a[0]: a text is expected (")
    assert str(LimitsProtocolError("not JSON")).startswith("not JSON (")


def test_a_connection_that_timed_out_lists_the_last_answer_the_polls_and_the_causes() -> None:
    error = ConnectionTimedOut("not connected after 60 s", last=False, polls=31, causes=["other keys", "no date"])

    assert (error.last, error.polls, error.causes) == (False, 31, ("other keys", "no date"))
    assert str(error).startswith(
        "not connected after 60 s; last answer False after 31 polls; not excluded: other keys; no date (it may"
    )
    assert "excluded" not in str(ConnectionTimedOut("late"))
