"""Changes that others approve, evaluations that come out as foreseen, incidents that are reviewed."""

from __future__ import annotations

import csv
from datetime import date
from typing import Any

import pytest
from captures import ATOTI_LIMITS as CAPTURES
from helpers import virtual

from asyncconn.core.clock import VirtualClock
from asyncconn.sandbox.atoti_limits import FakeLimitsServer, User
from asyncconn.sandbox.atoti_limits.evaluation import UTILIZATIONS, utilization

from .limits_scene import DEFINITION, LIMIT, REST, STRUCTURE, Client, limits, shape

FIRST, SECOND = "PENDING_FIRST_APPROVAL", "PENDING_SECOND_APPROVAL"
APPROVER = frozenset({"ROLE_USER", "ROLE_APPROVE_REJECT_LIMIT"})


async def save(rest: Client, workflow: str, *, user: str = "user1", **parameters: str) -> str:
    """A limit whose change ``user`` began; returns its status."""
    given = {**STRUCTURE, "limitChangesWorkflow": workflow, "limitChangesWorkflowParameters": parameters}
    assert (await rest("POST", f"{DEFINITION}/structure/save", [given])).status == 200
    reply = await rest("POST", f"{DEFINITION}/limits/save", [LIMIT], user=user)
    return str(reply.json[0]["limitStatus"])


async def act(rest: Client, action: str, user: str, comment: str = "") -> Any:
    """The new status, or the number of the refusal."""
    body = {"comment": comment}
    reply = await rest("POST", f"{REST}/workflow/limits/lim_0001/{action}", body, user=user)
    return reply.json["limitStatus"] if reply.status == 200 else reply.status


def approvers(server: FakeLimitsServer) -> None:
    for name in ("ann", "bob"):
        server.users[name] = User(name, name, APPROVER)


# -- workflows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workflow", "status"),
    [("StraightThrough", "APPROVED"), ("Direct", "APPROVED"), ("FourEyes", FIRST), ("SixEyes", FIRST)],
)
async def test_a_change_begins_as_its_workflow_says(workflow: str, status: str) -> None:
    async with limits() as (_, rest):
        assert await save(rest, workflow) == status


async def test_four_eyes_need_one_other_user() -> None:
    async with limits() as (_, rest):
        await save(rest, "FourEyes")
        assert await act(rest, "approve", "user1") == 403
        assert await act(rest, "approve", "manager1") == "APPROVED"
        assert await act(rest, "approve", "manager1") == 409


async def test_six_eyes_need_two_others() -> None:
    async with limits() as (server, rest):
        approvers(server)
        await save(rest, "SixEyes")
        assert await act(rest, "approve", "ann") == SECOND
        assert await act(rest, "approve", "ann") == 403
        assert await act(rest, "approve", "user1") == 403
        assert await act(rest, "approve", "bob") == "APPROVED"


async def test_the_creator_may_approve_where_the_server_allows_it() -> None:
    async with limits(creator_may_approve=True) as (_, rest):
        await save(rest, "FourEyes")
        assert await act(rest, "approve", "user1") == "APPROVED"


async def test_who_may_approve_alone_needs_nobody_else() -> None:
    async with limits() as (_, rest):
        await save(rest, "SixEyes", user="admin")
        assert await act(rest, "approve", "admin") == SECOND
        assert await act(rest, "approve", "admin") == "APPROVED"


async def test_a_rejected_change_is_over_and_a_new_one_may_begin() -> None:
    async with limits() as (server, rest):
        assert await save(rest, "FourEyes") == FIRST
        assert await act(rest, "reject", "manager1") == "REJECTED"
        assert server.store.limits["lim_0001"]["alive"] is False
        assert await act(rest, "approve", "manager1") == 409
        assert await save(rest, "FourEyes") == FIRST


async def test_only_what_is_approved_expires_and_only_once() -> None:
    async with limits() as (_, rest):
        await save(rest, "FourEyes")
        assert await act(rest, "expire", "admin") == 409
        await act(rest, "approve", "admin")
        assert await act(rest, "expire", "admin") == "EXPIRED"
        assert await act(rest, "expire", "admin") == 409
        assert await act(rest, "reject", "admin") == 409


@pytest.mark.parametrize("group", ["MANAGERS", "ROLE_MANAGERS", "ROLE_MANAGER", "AUDITORS, MANAGERS"])
async def test_named_approvers_are_the_only_ones(group: str) -> None:
    async with limits() as (server, rest):
        approvers(server)
        await save(rest, "FourEyes", Approvers=group)
        assert await act(rest, "approve", "ann") == 403
        assert await act(rest, "reject", "ann") == 403
        assert await act(rest, "approve", "manager1") == "APPROVED"


async def test_each_step_of_six_eyes_has_its_own_approvers() -> None:
    async with limits() as (server, rest):
        approvers(server)
        await save(rest, "SixEyes", **{"First Approvers": "USERS", "Second Approvers": "ROLE_MANAGER"})
        assert await act(rest, "approve", "ann") == SECOND
        assert await act(rest, "approve", "bob") == 403
        assert await act(rest, "approve", "manager1") == "APPROVED"


async def test_unknown_actions_limits_and_bodies_are_refused() -> None:
    async with limits() as (_, rest):
        assert await act(rest, "approve", "admin") == 404
        await save(rest, "FourEyes")
        assert await act(rest, "forget", "admin") == 404
        path = f"{REST}/workflow/limits/lim_0001/approve"
        assert (await rest("POST", path, {"comment": 1})).status == 400
        assert (await rest("POST", path, [])).status == 400
        assert (await rest("POST", path)).status == 200


@virtual
async def test_the_history_tells_who_did_what_when_and_why(clock: VirtualClock) -> None:
    async with limits(clock=clock) as (_, rest):
        await save(rest, "FourEyes")
        clock.advance(60)
        await act(rest, "approve", "manager1", "fine")
        clock.advance(60)
        await rest("DELETE", f"{DEFINITION}/limits/lim_0001")
        listed = (await rest("GET", f"{DEFINITION}/limits")).json["content"][0]
        reply = await rest("GET", f"{REST}/workflow/process-instances/{listed['processInstanceId']}/history")
        assert (await rest("GET", f"{REST}/workflow/process-instances/nope/history")).status == 404
    told = [(e["timestamp"][:16], e["user"], e["action"], e["status"], e["comment"]) for e in reply.json]

    assert told == [
        ("2030-01-01T00:00", "user1", "save", FIRST, ""),
        ("2030-01-01T00:01", "manager1", "approve", "APPROVED", "fine"),
        ("2030-01-01T00:02", "admin", "delete", "DELETED", ""),
    ]


@pytest.mark.parametrize(("user", "may"), [("admin", True), ("user1", True), ("readonly", False)])
async def test_whether_a_workflow_can_be_started_is_a_bare_boolean(user: str, may: bool) -> None:
    async with limits() as (_, rest):
        reply = await rest("GET", f"{REST}/workflow/can-start?key=limit-process-six-eyes", user=user)
        assert (reply.status, reply.json) == (200, may)
        assert (await rest("GET", f"{REST}/workflow/can-start?key=nope", user=user)).status == 404
        assert (await rest("GET", f"{REST}/workflow/can-start", user=user)).status == 400


# -- evaluation --------------------------------------------------------------------------------------------------------


def rows_of(lines: list[str]) -> list[dict[str, str]]:
    return list(csv.DictReader(lines))


async def measured(rest: Client, count: int = 1, **structure: Any) -> None:
    """Approved limits ``l0``, ``l1``, ... of value 100, on a structure that warns from 90 percent."""
    given = {
        **STRUCTURE,
        "kpiType": "Greater Than",
        "warningThreshold": 90,
        "limitChangesWorkflow": "Direct",
        **structure,
    }
    assert (await rest("POST", f"{DEFINITION}/structure/save", [given])).status == 200
    key = given["referenceId"]
    rows = [
        {**LIMIT, "structureId": key, "limitId": f"l{n}", "limitValue": 100.0, "scope": f"CarName=c{n}"}
        for n in range(count)
    ]
    assert (await rest("POST", f"{DEFINITION}/limits/save", rows)).status == 200


async def kinds(rest: Client, path: str = "all", body: Any = None, on: str = "2026-01-31") -> dict[str, str]:
    reply = await rest("POST", f"{REST}/evaluate/{path}?asOfDate={on}", body, data=None)
    assert reply.status == 200
    return {row["Limit ID"]: row["Incident Type"] for row in rows_of(reply.json)}


@pytest.mark.parametrize("version", ["4.1.0", "6.2.2"])
async def test_an_evaluation_answers_the_lines_of_an_incident_file(version: str) -> None:
    captured = CAPTURES["evaluate"]["body"]
    async with limits(version=version, utilizations={"l0": 120.0005}) as (_, rest):
        await measured(rest)
        lines = (await rest("POST", f"{REST}/evaluate/limits?asOfDate=2026-01-31", ["l0"])).json
    header = captured[0] + (",Limit Type" if version == "6.2.2" else "")
    (row,), (example,) = rows_of(lines), rows_of(captured)

    assert lines[0] == header
    same = ("Incident Type", "Location", "MDX", "As Of Date", "BreachCount", "Status", "Workflow", "Comment")
    assert {name: row[name] for name in same} == {name: example[name] for name in same}
    assert float(row["Measure Value"]) == pytest.approx(120.0005)
    assert len(row["EvaluationTimestamp"]) == len(example["EvaluationTimestamp"])
    assert len(row["SessionID"]) == len(example["SessionID"])


@pytest.mark.parametrize(
    ("version", "first"),
    [("3.3.1", "Limit ID"), ("4.0.0-beta", "limitKey"), ("4.0.0", "Limit ID"), ("4.1.0-rc1", "Limit ID")],
)
async def test_the_beta_of_4_0_alone_has_another_name_for_the_first_column(version: str, first: str) -> None:
    async with limits(version=version) as (_, rest):
        assert (await rest("POST", f"{REST}/evaluate/all")).json[0].startswith(f"{first},Incident Type,")


@pytest.mark.parametrize(
    ("structure", "percent", "kind"),
    [
        ({}, 100.0, "WARNING"),
        ({}, 100.1, "BREACH"),
        ({}, 90.0, "WARNING"),
        ({}, 89.9, None),
        ({"warningThreshold": 0}, 99.0, None),
        ({"kpiType": "Less than..."}, 100.1, "BREACH"),
        ({"kpiType": "Less than..."}, 95.0, "WARNING"),
        ({"kpiType": "Less than..."}, 80.0, None),
        ({}, -150.0, None),
        ({"absoluteValueIndicator": True}, -150.0, "BREACH"),
    ],
)
async def test_utilisation_decides_between_pass_warning_and_breach(
    structure: dict[str, Any], percent: float, kind: str | None
) -> None:
    async with limits(utilizations={"l0": percent}) as (_, rest):
        await measured(rest, **structure)
        assert (await kinds(rest)).get("l0") == kind


USED, DISTANT = "WARNING", None


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("3.3.0", USED),
        ("4.0.0", USED),
        ("4.0.1", DISTANT),
        ("4.0.3", DISTANT),
        ("4.0.4", USED),
        ("4.1.0", DISTANT),
        ("4.1", DISTANT),
        ("4.1.1", USED),
        ("6.2.2", USED),
    ],
)
async def test_the_warning_threshold_is_a_distance_in_four_versions(version: str, kind: str | None) -> None:
    async with limits(version=version, utilizations={"l0": 95.0}) as (server, rest):
        await measured(rest, warningThreshold=2)
        assert (await kinds(rest)).get("l0") == kind
        server.utilizations["l0"] = 98.5
        assert (await kinds(rest)).get("l0") == "WARNING"


async def test_what_is_made_up_is_the_same_again_and_of_three_kinds() -> None:
    wanted = {50.0: None, 95.0: "WARNING", 120.5: "BREACH"}
    async with limits(seed=7) as (_, rest):
        await measured(rest, 12)
        found = await kinds(rest)
        assert found == await kinds(rest)
    percents = {f"l{n}": utilization(7, f"l{n}", date(2026, 1, 31)) for n in range(12)}

    assert set(percents.values()) == set(UTILIZATIONS)
    assert found == {key: wanted[percent] for key, percent in percents.items() if wanted[percent]}


async def test_a_measure_of_ones_own_is_asked_with_limit_structure_and_day() -> None:
    def measure(limit: dict[str, Any], structure: dict[str, Any], on: date) -> float:
        return 101.0 if (limit["limitId"], structure["name"], on.day) == ("l1", "Price limit", 31) else 0.0

    async with limits(measure=measure, report_passes=True) as (_, rest):
        await measured(rest, 2)
        assert await kinds(rest) == {"l0": "PASS", "l1": "BREACH"}


async def test_limits_structures_or_all_are_evaluated() -> None:
    async with limits(measure=lambda *_: 1000.0) as (_, rest):
        await measured(rest, 2)
        await measured(rest, 1, referenceId="id_0002", measureName="contributors.COUNT")
        assert set(await kinds(rest, "all")) == {"l0", "l1"}
        assert set(await kinds(rest, "limits", ["l1"])) == {"l1"}
        assert set(await kinds(rest, "structures", ["id_0002"])) == {"l0"}
        assert set(await kinds(rest, "structures", ["id_0001", "id_0002"])) == {"l0", "l1"}
        for path in ("limits", "structures"):
            assert (await rest("POST", f"{REST}/evaluate/{path}", ["nope"])).status == 404
        assert (await rest("POST", f"{REST}/evaluate/all?asOfDate=soon")).status == 400


async def test_only_approved_limits_in_force_on_the_day_are_evaluated() -> None:
    async with limits(measure=lambda *_: 0.0, as_of_date=date(2026, 1, 1)) as (_, rest):
        await save(rest, "FourEyes", user="admin")
        assert await kinds(rest) == {}
        await act(rest, "approve", "admin")
        assert await kinds(rest) == {"lim_0001": "BREACH"}
        assert await kinds(rest, on="2025-12-31") == {}
        (row,) = rows_of((await rest("POST", f"{REST}/evaluate/all")).json)
        assert row["As Of Date"] == "2026-01-01"
        await rest("DELETE", f"{DEFINITION}/limits/lim_0001")
        assert await kinds(rest) == {}


@virtual
async def test_the_day_of_an_evaluation_is_todays_by_default(clock: VirtualClock) -> None:
    async with limits(clock=clock, measure=lambda *_: 1e9) as (_, rest):
        await measured(rest)
        (row,) = rows_of((await rest("POST", f"{REST}/evaluate/all")).json)
        assert row["As Of Date"] == "2030-01-01"


# -- incidents ---------------------------------------------------------------------------------------------------------

REVIEW = {"comment": "seen", "classification": "True Breach", "resolution": "Hedge exposure"}


async def incidents(rest: Client, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await rest("GET", f"{REST}/incidents?{query}")).json["content"]
    return found


async def test_evaluations_fill_the_incidents_with_the_columns_in_camel_case() -> None:
    async with limits(utilizations={"l0": 120.0, "l1": 95.0}) as (_, rest):
        await measured(rest, 2)
        await kinds(rest)
        await kinds(rest, on="2026-02-01")
        assert len(await incidents(rest)) == 4
        for query, count in [
            ("asOfDate=2026-01-31", 2),
            ("limitId=l0", 2),
            ("incidentType=WARNING&asOfDate=2026-02-01", 1),
            ("status=Breach", 2),
            ("status=Reviewed", 0),
        ]:
            assert len(await incidents(rest, query)) == count, query
        page = (await rest("GET", f"{REST}/incidents?page=1&size=3")).json
        one = page.pop("content")[0]
        assert page == {"page": 1, "size": 3, "total": 4}
    wanted = {"incidentKey", "limitId", "incidentType", "measureValue", "location", "mdx", "asOfDate", "breachCount"}
    wanted |= {"evaluationTimestamp", "sessionId", "status", "workflow", "workflowParameters", "comment"}
    assert wanted <= set(one)
    assert shape(one)["measureValue"] == "float"


async def test_an_open_incident_is_measured_again_and_a_reviewed_one_stays() -> None:
    async with limits(utilizations={"l0": 120.0}) as (server, rest):
        await measured(rest)
        await kinds(rest)
        server.utilizations["l0"] = 130.0
        await kinds(rest)
        (one,) = await incidents(rest)
        assert (one["breachCount"], one["measureValue"]) == (2, 130.0)
        reply = await rest("POST", f"{REST}/incidents/{one['incidentKey']}/actions/review-breach", REVIEW)
        assert reply.json == {**one, **REVIEW, "status": "Reviewed"}
        await kinds(rest)
        assert [(i["status"], i["breachCount"]) for i in await incidents(rest)] == [("Reviewed", 2), ("Breach", 1)]


@pytest.mark.parametrize("action", ["Review%20breach", "review-breach", "reviewBreach", "REVIEW_BREACH"])
async def test_a_breach_is_reviewed_once_under_any_spelling(action: str) -> None:
    async with limits(utilizations={"l0": 120.0}) as (_, rest):
        await measured(rest)
        await kinds(rest)
        path = f"{REST}/incidents/{(await incidents(rest))[0]['incidentKey']}/actions/"
        assert (await rest("POST", path + "review-warning", REVIEW)).status == 409
        assert (await rest("POST", path + "forget", REVIEW)).status == 404
        assert (await rest("POST", path + action, REVIEW, user="readonly")).status == 403
        assert (await rest("POST", path + action, REVIEW)).status == 200
        assert (await rest("POST", path + action, REVIEW)).status == 409
        assert (await rest("POST", f"{REST}/incidents/nope/actions/{action}", REVIEW)).status == 404


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"classification": "Odd"}, "classification"),
        ({"classification": None}, "classification"),
        ({"resolution": "Pray"}, "resolution"),
        ({"comment": 1}, "comment"),
    ],
)
async def test_a_review_has_the_choices_of_the_workflow(wrong: dict[str, Any], field: str) -> None:
    async with limits(utilizations={"l0": 120.0}) as (_, rest):
        await measured(rest)
        await kinds(rest)
        path = f"{REST}/incidents/{(await incidents(rest))[0]['incidentKey']}/actions/review-breach"
        reply = await rest("POST", path, {**REVIEW, **wrong})
        assert (reply.status, [one["field"] for one in reply.json["details"]]) == (422, [field])
        assert (await incidents(rest))[0]["status"] == "Breach"


async def test_a_warning_needs_no_classification() -> None:
    async with limits(utilizations={"l0": 95.0}) as (_, rest):
        await measured(rest)
        await kinds(rest)
        path = f"{REST}/incidents/{(await incidents(rest))[0]['incidentKey']}/actions/review-warning"
        assert (await rest("POST", path, {"comment": "seen"})).json["status"] == "Reviewed"
