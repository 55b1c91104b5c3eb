"""Every fault of the script at every kind of endpoint: what may be repeated is, what queues work never is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import errors
from asyncconn.core.retrying import RetryPolicy
from asyncconn.datorama import DataStream
from asyncconn.datorama.errors import DatoramaProtocolError, DatoramaQueryError
from asyncconn.http.transport import Timeouts
from asyncconn.sandbox.datorama import DatoramaWorld
from asyncconn.sandbox.faults import Fault

from .scene import FILE_STREAM, STREAM, WORKSPACE, Scene, scene

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from asyncconn.datorama import Datorama

QUERY = {
    "workspaceId": WORKSPACE,
    "dateRange": "YESTERDAY",
    "dimensions": ["Day"],
    "measurements": [{"name": "Clicks"}],
}
NEW = {"name": "x", "workspaceId": WORKSPACE}
FIRST_JOB = 900000001
SHORT = Timeouts(connect=1.0, total=0.3)
WAITED_FOR = {"stall", "stall_after", "delay"}


@dataclass(frozen=True)
class Endpoint:
    """A call, and the request that is to go wrong."""

    name: str
    work: Callable[[Datorama], Awaitable[Any]]
    method: str
    path: str

    def __str__(self) -> str:
        return self.name


#: What queues new work or makes something new, and has nothing by which a repetition would be known.
WRITES = [
    Endpoint("D3", lambda d: d.streams.create(NEW), "POST", "/v1/data-streams"),
    Endpoint("D7", lambda d: d.streams.process(STREAM, "2026-01-01", "2026-01-15"), "POST", f"/{STREAM}/process"),
    Endpoint("D8", lambda d: d.streams.process_batch([STREAM], "2026-01-01", "2026-01-15"), "POST", "streams/process"),
    Endpoint("J4", lambda d: d.jobs.rerun(STREAM, [FIRST_JOB]), "POST", "/rerun"),
    Endpoint("J5", lambda d: d.jobs.rerun_all(STREAM), "POST", "/rerun-all"),
    Endpoint("R1", lambda d: d.reports.create(NEW), "POST", "/v1/reports"),
    Endpoint("R5", lambda d: d.reports.run(55001), "POST", "/55001/process"),
]
#: The same, for what is struck by a few faults only.
OTHER_WRITES = [
    Endpoint("R9", lambda d: d.reports.schedulers.create({"name": "x", "reportId": 55001}), "POST", "-schedulers"),
    Endpoint("W3", lambda d: d.workspaces.create({"name": "x", "accountId": 9001}), "POST", "/v1/workspaces"),
    Endpoint("M7", lambda d: d.calculated_measurements.create(NEW), "POST", "/v1/calculated-measurements"),
    Endpoint("M13", lambda d: d.patterns.create(NEW), "POST", "/v1/harmonization/patterns"),
    Endpoint("A3", lambda d: d.users.create({"name": "x", "accountId": 9001}), "POST", "/v1/users"),
    Endpoint("C2", lambda d: d.authentications.create(NEW), "POST", "/authentications"),
    Endpoint("page", lambda d: d.dashboards.pages.create({**NEW, "dashboardId": 31001}), "POST", "/v1/pages"),
]
#: What may be repeated: it reads, or does the same again.
REPEATABLE = [
    Endpoint("D2", lambda d: d.streams.get(STREAM), "GET", f"/{STREAM}"),
    Endpoint("D4", lambda d: d.streams.replace(STREAM, {"name": "x"}), "PUT", f"/{STREAM}"),
    Endpoint("D5", lambda d: d.streams.patch(STREAM, {"name": "x"}), "PATCH", f"/{STREAM}"),
    Endpoint("D6", lambda d: d.streams.delete(STREAM), "DELETE", f"/{STREAM}"),
    Endpoint("J1", lambda d: d.jobs.list(STREAM).collect(), "POST", f"/api/{STREAM}/stats"),
    Endpoint("Q1", lambda d: d.query(QUERY), "POST", "/query"),
    Endpoint("R6", lambda d: d.reports.job(66001), "GET", "/66001"),
]
OTHER_REPEATABLE = [
    Endpoint("W1", lambda d: d.workspaces.list().collect(), "GET", "/v1/workspaces"),
    Endpoint("D1", lambda d: d.streams.list(WORKSPACE).collect(), "GET", "/data-streams"),
    Endpoint("D10", lambda d: d.streams.status(WORKSPACE, [STREAM]), "GET", "/bulk"),
    Endpoint("D13", lambda d: d.streams.replace_mapping(STREAM, {}), "PUT", "/mapping"),
    Endpoint("J2", lambda d: d.jobs.list(file_stream()).collect(), "POST", f"/{FILE_STREAM}/stats"),
    Endpoint("J3", lambda d: d.jobs.get(FIRST_JOB), "GET", f"/{FIRST_JOB}"),
    Endpoint("M1", lambda d: d.dimensions.list(WORKSPACE).collect(), "GET", "/dimensions"),
    Endpoint("M3", lambda d: d.dimensions.values(WORKSPACE, "DAY", {}), "POST", "/values"),
    Endpoint("M8", lambda d: d.calculated_measurements.delete(2401), "DELETE", "/2401"),
    Endpoint("Q2", lambda d: d.queries.batch([QUERY]), "POST", "/query-batch"),
    Endpoint("R4", lambda d: d.reports.delete(55001), "DELETE", "/55001"),
]


def file_stream() -> Any:
    return DataStream(id=FILE_STREAM, workspace_id=WORKSPACE, data_source_name="TotalConnect")


def prepared() -> AbstractAsyncContextManager[Scene]:
    return scene(DatoramaWorld(outcomes={"SUCCESS": 1.0}, batch_answer="list", refusal="bare"))


@dataclass
class Outcome:
    result: Any
    error: Any
    requests: int
    accepted: int


async def struck(
    there: Scene, endpoint: Endpoint, fault: dict[str, Any], *, warm: bool = True, **options: Any
) -> Outcome:
    """Do the endpoint's work with the fault at its request; what came of it and what reached the platform."""
    setting_up = there.client()
    await setting_up.reports.create({**NEW, "config": {"rowDims": ["DAY"]}})
    await setting_up.reports.run(55001)
    if fault["kind"] in WAITED_FOR:
        options["timeouts"] = SHORT
    datorama = there.client(**options)
    if warm:
        await datorama.accounts.list().collect()  # so that a kept connection is what breaks
    requests, reached = 0, len(there.calls)

    def match(call: Any) -> bool:
        nonlocal requests
        ours = call.method == endpoint.method and call.path.endswith(endpoint.path)
        requests += ours
        return bool(ours)

    there.fault(Fault(match=match, **fault))
    result = error = None
    try:
        result = await endpoint.work(datorama)
    except errors.AsyncConnError as failure:
        error = failure
    new = there.calls[reached:]
    accepted = [one for one in new if (one.method, one.status < 300) == (endpoint.method, True)]
    return Outcome(result, error, requests, sum(one.path.endswith(endpoint.path) for one in accepted))


#: A fault of one request; whether the platform carried that out; the error of a call that may not be repeated.
UNKNOWN: list[tuple[str, dict[str, Any], int, type[errors.AsyncConnError]]] = [
    ("drop before", {"kind": "drop_before"}, 0, errors.ConnectionLost),
    ("drop after", {"kind": "drop_after"}, 1, errors.ConnectionLost),
    ("half body", {"kind": "half_body"}, 1, errors.ConnectionLost),
    ("stall", {"kind": "stall"}, 0, errors.ReadTimeout),
    ("stall after", {"kind": "stall_after"}, 1, errors.ReadTimeout),
    ("late", {"kind": "delay", "seconds": 5.0}, 1, errors.ReadTimeout),
    ("500", {"kind": "status", "status": 500}, 0, errors.ServerError),
    ("502", {"kind": "status", "status": 502}, 0, errors.ServerError),
    ("503", {"kind": "status", "status": 503, "retry_after": 1}, 0, errors.ServerError),
    ("504", {"kind": "status", "status": 504}, 0, errors.ServerError),
]
#: The same, for answers that nobody can read: those are not asked for again.
UNREADABLE: list[tuple[str, dict[str, Any]]] = [
    ("malformed", {"kind": "malformed"}),
    ("a page", {"kind": "html_200"}),
]
#: Refusals: surely not carried out.
REFUSED: list[tuple[str, dict[str, Any], type[errors.AsyncConnError]]] = [
    ("400", {"kind": "status", "status": 400}, errors.BadRequest),
    ("401", {"kind": "status", "status": 401}, errors.Unauthorized),
    ("403", {"kind": "status", "status": 403}, errors.Forbidden),
    ("409", {"kind": "status", "status": 409}, errors.Conflict),
    ("422", {"kind": "status", "status": 422}, errors.Unprocessable),
    ("302", {"kind": "status", "status": 302, "location": "/v1/workspaces"}, errors.ProtocolError),
    ("307", {"kind": "status", "status": 307, "location": "/v1/workspaces"}, errors.ProtocolError),
]
#: What is no obstacle.
HARMLESS: list[tuple[str, dict[str, Any]]] = [
    ("delay", {"kind": "delay", "seconds": 0.02}),
    ("close", {"kind": "close"}),
    ("no rate headers", {"kind": "no_headers"}),
    ("nothing left of the day", {"kind": "quota_zero"}),
    ("unknown status words", {"kind": "unknown_status"}),
]


def named(rows: list[Any]) -> Any:
    """For ``parametrize``: each row is called by its first column."""
    return {"argvalues": [row[1:] if len(row) > 2 else row[1] for row in rows], "ids": [row[0] for row in rows]}


@pytest.mark.parametrize("endpoint", WRITES, ids=str)
@pytest.mark.parametrize(("fault", "carried_out", "error"), **named(UNKNOWN))
async def test_a_write_of_unknown_outcome_is_not_repeated_and_says_so(
    endpoint: Endpoint, fault: dict[str, Any], carried_out: int, error: type[errors.AsyncConnError]
) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, fault)
    assert isinstance(outcome.error, error)
    assert outcome.error.maybe_sent
    assert (outcome.requests, outcome.accepted) == (1, carried_out)


@pytest.mark.parametrize("endpoint", OTHER_WRITES, ids=str)
@pytest.mark.parametrize("carried_out", [0, 1])
async def test_no_other_write_is_repeated_either(endpoint: Endpoint, carried_out: int) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, {"kind": "drop_after" if carried_out else "drop_before"})
    assert outcome.error.maybe_sent
    assert (outcome.requests, outcome.accepted) == (1, carried_out)


@pytest.mark.parametrize("endpoint", WRITES, ids=str)
@pytest.mark.parametrize("fault", **named(UNREADABLE))
async def test_a_write_whose_answer_cannot_be_read_may_have_been_carried_out(
    endpoint: Endpoint, fault: dict[str, Any]
) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, fault)
    assert isinstance(outcome.error, errors.ProtocolError)
    assert outcome.error.maybe_sent
    assert (outcome.requests, outcome.accepted) == (1, 1)


@pytest.mark.parametrize("endpoint", WRITES, ids=str)
@pytest.mark.parametrize("retry_after", [None, 2])
async def test_a_write_that_was_refused_for_the_rate_is_repeated(endpoint: Endpoint, retry_after: int | None) -> None:
    async with prepared() as there:
        fault = {"kind": "status", "status": 429, "retry_after": retry_after, "times": 3}
        outcome = await struck(there, endpoint, fault)
    assert outcome.error is None
    assert (outcome.requests, outcome.accepted) == (4, 1)


@pytest.mark.parametrize("endpoint", [*WRITES, *REPEATABLE], ids=str)
@pytest.mark.parametrize(("fault", "error"), **named(REFUSED))
async def test_a_refusal_is_raised_at_once_and_was_surely_not_carried_out(
    endpoint: Endpoint, fault: dict[str, Any], error: type[errors.AsyncConnError]
) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, fault)
    assert isinstance(outcome.error, error)
    assert not outcome.error.maybe_sent
    assert (outcome.requests, outcome.accepted) == (1, 0)


@pytest.mark.parametrize("endpoint", [*WRITES, *REPEATABLE], ids=str)
@pytest.mark.parametrize("fault", **named(HARMLESS))
async def test_what_is_no_obstacle_is_none(endpoint: Endpoint, fault: dict[str, Any]) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, fault)
    assert outcome.error is None
    assert (outcome.requests, outcome.accepted) == (1, 1)


@pytest.mark.parametrize("endpoint", REPEATABLE, ids=str)
@pytest.mark.parametrize(("fault", "carried_out"), **named([row[:3] for row in UNKNOWN]))
async def test_what_may_be_repeated_is_until_it_succeeds(
    endpoint: Endpoint, fault: dict[str, Any], carried_out: int
) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, fault)
    assert outcome.error is None
    deletes = endpoint.method == "DELETE"
    if deletes and fault["kind"] == "half_body":
        assert outcome.requests == 1  # an empty answer has no half
    else:
        # The repetition of a delete finds nothing to delete.
        assert (outcome.requests, outcome.accepted) == (2, 1 if deletes else carried_out + 1)


@pytest.mark.parametrize("endpoint", OTHER_REPEATABLE, ids=str)
@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
async def test_all_else_that_may_be_repeated_is_too(endpoint: Endpoint, kind: str) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, {"kind": kind})
    assert outcome.error is None
    assert outcome.requests == 2


@pytest.mark.parametrize("endpoint", REPEATABLE, ids=str)
@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
async def test_what_never_succeeds_is_given_up_after_six_attempts(endpoint: Endpoint, kind: str) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, {"kind": kind, "times": None}, warm=False)
    assert isinstance(outcome.error, errors.ConnectionLost)
    assert outcome.error.maybe_sent
    # What HTTP calls idempotent goes out twice in an attempt, if the connection breaks.
    assert outcome.requests in ((6,) if endpoint.method in ("POST", "PATCH") else (6, 12))


@pytest.mark.parametrize("endpoint", [one for one in REPEATABLE if one.method != "DELETE"], ids=str)
@pytest.mark.parametrize("fault", **named(UNREADABLE))
async def test_an_answer_that_cannot_be_read_is_an_error(endpoint: Endpoint, fault: dict[str, Any]) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, fault)
    assert isinstance(outcome.error, errors.ProtocolError)
    assert outcome.requests == 1


@pytest.mark.parametrize("endpoint", [*WRITES, *REPEATABLE], ids=str)
async def test_a_platform_that_cannot_be_reached_is_surely_not_sent_to(endpoint: Endpoint) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, {"kind": "close"}, warm=False, base_url="http://127.0.0.1:9")
    assert isinstance(outcome.error, errors.ConnectFailed)
    assert not outcome.error.maybe_sent


async def test_a_policy_that_accepts_duplicates_repeats_writes_too() -> None:
    policy = RetryPolicy(attempts=3, initial=0.01, maximum=0.02, maybe_sent="always")
    async with prepared() as there:
        outcome = await struck(there, WRITES[1], {"kind": "drop_after"}, retry=policy)
    assert (outcome.error, outcome.requests, outcome.accepted) == (None, 2, 2)


@pytest.mark.parametrize(("kind", "there_after"), [("drop_after", 2), ("drop_before", 0), ("stall_after", 2)])
async def test_listing_the_jobs_tells_what_became_of_a_process_of_unknown_outcome(kind: str, there_after: int) -> None:
    async with prepared() as there:
        outcome = await struck(there, WRITES[1], {"kind": kind})
        assert outcome.error.maybe_sent
        found = await there.client().jobs.find(STREAM, "2026-01-01", "2026-01-15")
    assert len(found) == there_after


async def test_a_delete_of_what_was_never_there_is_not_found() -> None:
    async with prepared() as there:
        for delete in (there.client().streams.delete, there.client().reports.delete):
            with pytest.raises(errors.NotFound):
                await delete(7)


@pytest.mark.parametrize(
    "endpoint", [one for one in [*REPEATABLE, *OTHER_REPEATABLE] if one.name in ("Q1", "Q2")], ids=str
)
async def test_a_querys_errors_behind_a_200_are_the_querys(endpoint: Endpoint) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, {"kind": "errors_200"})
    kind = DatoramaQueryError if endpoint.name == "Q1" else DatoramaProtocolError  # one object is no batch
    assert isinstance(outcome.error, kind)
    assert outcome.requests == 1


@pytest.mark.parametrize("endpoint", [one for one in WRITES if one.name != "D8"], ids=str)
async def test_an_object_of_another_kind_is_an_error_of_unknown_outcome(endpoint: Endpoint) -> None:
    async with prepared() as there:
        outcome = await struck(there, endpoint, {"kind": "errors_200"})
    assert isinstance(outcome.error, DatoramaProtocolError)
    assert outcome.error.maybe_sent
    assert (outcome.requests, outcome.accepted) == (1, 1)


async def test_a_page_of_jobs_that_fails_for_good_fails_the_list_instead_of_shortening_it() -> None:
    async with scene(DatoramaWorld(jobs=25, workspaces=1, streams=1)) as there:
        there.fault(Fault("status", status=500, match="/v1/data-streams/api", after=2, times=None))
        with pytest.raises(errors.ServerError):
            await there.client().jobs.list(STREAM, page_size=10).collect()
