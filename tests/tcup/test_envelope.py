"""What SOS truly answers, and what the other services' errors say."""

from __future__ import annotations

import json
import logging
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncconn import errors
from asyncconn.http.redact import Redactor
from asyncconn.http.response import Response
from asyncconn.http.rules import Rules
from asyncconn.tcup.envelope import ItemResult, all_done, verdict
from asyncconn.tcup.errors import DocumentRefused, PartlyRefused
from asyncconn.tcup.rules import DlsRules, JobRules, RoutingRules, SosRules

from .captures import CAPTURES

OK = {"index": 0, "id": "ts1", "code": 201, "status": "Created"}
BAD = {"index": 1, "id": "tsX", "code": 404, "status": "Not Found"}


def error(rules: Rules, status: int, body: Any, method: str = "POST", kind: str = "application/json") -> Any:
    sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    response = Response("tcup", method, "/x", status, {"Content-Type": kind}, sent)
    return rules.error(response, Redactor())


@pytest.mark.parametrize("member", ["code", "statusCode", "httpStatusCode", "httpStatus", "status", "responseCode"])
@pytest.mark.parametrize("value", [404, "404", " 404 "])
def test_the_status_is_found_in_every_member(member: str, value: Any) -> None:
    assert verdict({member: value, "message": "whatever"}, 200).status == 404
    assert isinstance(error(SosRules(), 200, {member: value}), errors.NotFound)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("created", 201), ("OK", 200), ("success", 200), ("Updated", 200), ("deleted", 200), ("Conflict", 409),
        ("already exists", 409), ("ALREADY_EXISTS", 409), ("Not Found", 404), ("bad request", 400),
        ("Invalid payload", 400), ("invalidated", 400), ("Unauthorized", 401), ("forbidden", 403),
        ("gone fishing", 500),
    ],
)  # fmt: skip
def test_a_word_is_a_status(word: str, status: int) -> None:
    assert verdict({"status": word}, 200).status == status


def test_a_message_counts_where_it_begins_with_a_word() -> None:
    assert verdict({"message": "not found: ts9"}, 200).status == 404
    assert verdict({"message": "Invalid sensor"}, 200).status == 400


def test_any_other_message_counts_as_the_http_status_and_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "asyncconn.tcup"):
        assert verdict({"message": "1 observation stored"}, 200).status == 200

    assert "without a status" in caplog.text


@pytest.mark.parametrize("body", [None, {}, "text", 7, [], {"code": True}, {"code": None}, {"code": 0}])
def test_what_says_nothing_counts_as_the_http_status(body: Any) -> None:
    assert verdict(body, 200).status == 200
    assert verdict(body, 201).status == 201


@pytest.mark.parametrize(
    ("results", "status"), [([OK, OK], 201), ([OK, BAD], 207), ([BAD, OK], 207), ([BAD, BAD], 404)]
)
def test_a_list_is_a_result_for_each(results: list[Any], status: int) -> None:
    assert verdict(results, 200).status == status


def test_a_refused_item_is_not_covered_by_a_good_status() -> None:
    assert verdict({"code": 201, "results": [OK, BAD]}, 200).status == 207
    assert (
        verdict({"status": "multi-status", "results": [{"status": "created"}, {"status": "not found"}]}, 200).status
        == 207
    )
    assert verdict({"message": "some", "results": [{"message": "not found"}]}, 200).status == 404


def test_results_keep_what_each_item_says() -> None:
    found = verdict(
        {"code": 207, "results": [OK, {"line": 7, "code": "400", "message": "no sensor"}, "?"]}, 200
    ).results

    assert found == (
        ItemResult(0, "ts1", 201, "Created"),
        ItemResult(7, None, 400, "", "no sensor"),
        ItemResult(2, None, 200),
    )
    assert [one.ok for one in found] == [True, False, True]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest), (401, errors.Unauthorized), (403, errors.Forbidden), (404, errors.NotFound),
        (409, errors.Conflict), (413, errors.PayloadTooLarge), (422, errors.Unprocessable), (429, errors.RateLimited),
        (500, errors.ServerError), (418, errors.BadRequest),
    ],
)  # fmt: skip
def test_a_refusal_inside_a_200_is_the_error_that_it_means(status: int, kind: type[errors.ApiError]) -> None:
    found = error(SosRules(), 200, {"code": status, "message": "no", "results": [BAD]})

    assert type(found) is kind
    assert (found.status, found.http_status, found.message) == (status, 200, "no")
    assert found.details == (ItemResult(1, "tsX", 404, "Not Found"),)


def test_the_captured_answers_mean_what_they_say() -> None:
    bodies = {
        name: CAPTURES[f"sos.write.response.{name}"]["body"] for name in ("ok", "refused_but_http_200", "partial")
    }

    assert error(SosRules(), 200, bodies["ok"]) is None
    assert isinstance(error(SosRules(), 200, bodies["refused_but_http_200"]), errors.NotFound)
    partial = error(SosRules(), 200, bodies["partial"])
    assert isinstance(partial, PartlyRefused)
    assert [one.ok for one in partial.details] == [True, False]


def test_a_page_behind_a_200_is_no_success() -> None:
    with pytest.raises(errors.ProtocolError):
        error(SosRules(), 200, "<html>sign in</html>", kind="text/html")


def test_an_empty_answer_is_a_success() -> None:
    assert error(SosRules(), 200, "") is None
    assert error(SosRules(), 204, "", "DELETE") is None


def test_reads_are_judged_by_their_status_alone() -> None:
    assert error(SosRules(), 200, {"status": "not found", "name": "ts1"}, "GET") is None
    assert isinstance(error(SosRules(), 404, {"code": 404, "message": "no"}, "GET"), errors.NotFound)


def test_message_routing_says_404_of_a_document() -> None:
    found = error(RoutingRules(), 404, {"code": 404, "message": "RuleName is missing"})

    assert isinstance(found, DocumentRefused)
    assert found.message == "RuleName is missing"
    assert type(error(RoutingRules(), 404, {"code": 404, "message": "no such rule"}, "GET")) is errors.NotFound
    assert error(RoutingRules(), 200, {"code": 200}) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dls.validation.error", "metadata key is too short"),
        ("dls.constraint.error", "page-no: page number must be at least 1"),
    ],
)
def test_the_data_lakes_messages_are_read(name: str, message: str) -> None:
    body = CAPTURES[name]["body"]
    found = error(DlsRules(), 400, body)

    assert isinstance(found, errors.BadRequest)
    assert (found.message, found.details) == (message, body)


def test_the_data_lakes_line_of_text_is_the_message() -> None:
    found = error(DlsRules(), 409, CAPTURES["dls.plain.error"]["text"], kind="text/plain")

    assert isinstance(found, errors.Conflict)
    assert found.message == "already exists"
    assert error(DlsRules(), 207, CAPTURES["dls.bulk.response"]["body"]) is None


def test_details_of_a_conflict_are_kept() -> None:
    found = error(JobRules(), 409, {"code": 409, "message": "exists", "details": {"projectId": "P1"}})

    assert isinstance(found, errors.Conflict)
    assert (found.message, found.details) == ("exists", {"projectId": "P1"})
    assert error(JobRules(), 502, "<html>", kind="text/html").details is None


_CODES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([0, 99, 100, 200, 201, 207, 399, 400, 404, 500, 2**70, 201.0, True, None, "201", "404", [], {}]),
    st.integers(),
)
_ITEMS = st.one_of(
    st.none(),
    st.text(max_size=3),
    st.dictionaries(st.sampled_from(["code", "status", "index", "statusCode"]), _CODES, max_size=3),
)


@given(
    st.dictionaries(
        st.sampled_from(["code", "results", "status", "message", "statusCode", "next"]),
        st.one_of(_CODES, st.lists(_ITEMS, max_size=4), _ITEMS),
    )
)
@example({"code": 201, "results": [OK, OK]})
@example({"code": 207, "results": [OK]})
def test_the_short_look_never_says_done_of_what_was_refused(body: dict[str, Any]) -> None:
    if all_done(json.dumps(body).encode()):
        meant = verdict(body, 200)
        assert meant.status == body["code"]
        assert meant.status < 400
        assert meant.status != 207


def test_the_short_look_is_enough_for_the_usual_answer_and_for_no_other() -> None:
    pytest.importorskip("msgspec", reason="without it each answer is read in full")

    assert all_done(orjson.dumps({"code": 201, "status": "Created", "results": [OK] * 500}))
    assert not all_done(orjson.dumps({"code": 201, "results": [OK] * 499 + [BAD]}))
    assert not all_done(orjson.dumps({"code": 207, "results": [OK]}))
    assert not all_done(orjson.dumps({"code": 201, "results": [{"index": 0, "status": "not found"}]}))
    assert not all_done(orjson.dumps([OK]))
    assert not all_done(b"<html>")
    assert not all_done(b"")
