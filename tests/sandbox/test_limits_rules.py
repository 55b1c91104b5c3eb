"""What a Limits server refuses: unknown servers and structures, wrong fields, scopes, dates that overlap."""

from __future__ import annotations

from typing import Any

import pytest
from captures import ATOTI_LIMITS as CAPTURES
from helpers import until

from asyncconn.sandbox.atoti_limits.rules import same_scope

from .limits_scene import DEFINITION, LIMIT, REST, STRUCTURE, Client, both, limits

SAVE = f"{DEFINITION}/limits/save"
HEADER = CAPTURES["csv"]["limits_approve_4.2"].splitlines()[0]


async def structure(rest: Client, **changed: Any) -> None:
    given = {**STRUCTURE, "limitChangesWorkflow": "StraightThrough", **changed}
    assert (await rest("POST", f"{DEFINITION}/structure/save", [given])).status == 200


def limit(limit_id: str = "lim_0001", **changed: Any) -> dict[str, Any]:
    return {**LIMIT, "limitId": limit_id, "startDate": "2026-03-01", "endDate": "2026-03-31", **changed}


def line(limit_id: str, start: str, end: str, *, name: str = "Alpha price", scope: str = "CarName=alpha") -> str:
    return f"g,s,id_0001,Cars_Cube,atoti,Price.SUM,{limit_id},{name},{start},{end},OFFICIAL,1.0,{scope},REJECTED,,0,"


# -- servers and structures --------------------------------------------------------------------------------------------


async def test_a_structure_of_a_server_that_is_not_connected_is_refused_as_captured() -> None:
    captured = CAPTURES["v2_error_unknown_server"]
    async with limits() as (server, rest):
        rows = [STRUCTURE, {**STRUCTURE, "referenceId": "id_0002", "serverName": "nowhere"}]
        reply = await rest("POST", f"{DEFINITION}/structure/save", rows)
        assert (reply.status, reply.json) == (captured["status"], captured["body"])
        assert server.store.structures == {}


async def test_a_server_counts_as_connected_while_it_is() -> None:
    async with both() as pair:

        async def save() -> int:
            return (await pair.rest("POST", f"{DEFINITION}/structure/save", [STRUCTURE])).status

        assert await save() == 422
        await pair.connect()
        await until(lambda: pair.session.connected)
        assert await save() == 200
        await pair.ask("POST", "/limits/autoconfig/disconnect")
        assert await save() == 422


async def test_structures_come_before_the_limits_that_name_them() -> None:
    text = f"{HEADER}\n{line('a', '2026-01-01', '')}\n"
    async with limits() as (server, rest):
        reply = await rest.upload("Limits", text)
        assert reply.status == 422
        message = {"row": 2, "field": "Structure ID", "message": "there is no structure id_0001"}
        assert reply.json["details"] == [message]
        assert (await rest("POST", SAVE, [limit()])).json["details"][0]["field"] == "structureId"
        await structure(rest)
        assert (await rest.upload("Limits", text)).status == 200
        assert list(server.store.limits) == ["a"]


# -- fields ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("serverName", None),
        ("cubeName", ""),
        ("measureName", 1),
        ("name", " "),
        ("referenceId", None),
        ("pollingFrequency", None),
        ("kpiType", None),
        ("kpiType", "Equal To"),
        ("warningThreshold", "90"),
        ("warningThreshold", True),
        ("scopeKeys", None),
        ("scopeKeys", []),
        ("scopeKeys", ["A@B@C@D"]),
        ("scopeKeys", ["A=B"]),
        ("absoluteValueIndicator", "yes"),
        ("limitChangesWorkflow", "TenEyes"),
        ("limitChangesWorkflowParameters", "Approvers=MANAGERS"),
        ("exceptionWorkflowParameters", []),
    ],
)
async def test_a_wrong_structure_is_refused_naming_row_and_field(name: str, value: object) -> None:
    async with limits() as (server, rest):
        rows = [{**STRUCTURE, "referenceId": "fine"}, {**STRUCTURE, name: value}]
        reply = await rest("POST", f"{DEFINITION}/structure/save", rows)
        assert reply.status == 422
        assert [(one["row"], one["field"]) for one in reply.json["details"]] == [(2, name)]
        assert server.store.structures == {}


@pytest.mark.parametrize("kpi", ["Greater Than", "Less Than", "Less than...", "greater than ..."])
async def test_both_ways_of_writing_a_kpi_type_are_understood(kpi: str) -> None:
    async with limits() as (_, rest):
        await structure(rest, kpiType=kpi)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("structureId", "nope"),
        ("structureId", None),
        ("limitId", 7),
        ("limitName", ""),
        ("startDate", None),
        ("startDate", "2026-02-30"),
        ("startDate", "20260301"),
        ("endDate", "2026-02-28"),
        ("endDate", "soon"),
        ("limitType", "ODD"),
        ("limitValue", "1"),
        ("limitValue", True),
        ("limitValue", ["x"]),
        ("limitValue", None),
        ("precedence", 0.5),
        ("alive", "true"),
        ("limitStatus", "FINE"),
        ("scope", "CarName"),
        ("scope", None),
    ],
)
async def test_a_wrong_limit_is_refused_naming_row_and_field(name: str, value: object) -> None:
    async with limits() as (server, rest):
        await structure(rest)
        reply = await rest("POST", SAVE, [limit("fine", scope="CarName=beta"), {**limit(), name: value}])
        assert reply.status == 422
        assert [(one["row"], one["field"]) for one in reply.json["details"]] == [(2, name)]
        assert server.store.limits == {}


@pytest.mark.parametrize("scope", [*CAPTURES["scopes"]["examples"], "Desk=Bonds|FI_HY_LEGACY", "A = [B + C]|D=*"])
def test_a_scope_of_the_contract_is_one(scope: str) -> None:
    assert same_scope(scope)


@pytest.mark.parametrize("scope", ["", "Desk", "=x", "Desk=", "Desk==x", "A@B@C@D=x", "Desk=[a", "Desk <>", None, 7])
def test_what_is_no_scope_is_none(scope: object) -> None:
    assert same_scope(scope) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A=1|B=2", "B = 2 | A=1", True),
        ("A = [ x + y ]", "A=[y x]", True),
        ("A=1", "A=2", False),
        ("A=[x+y]", "A<>[x+y]", False),
        ("A=1", "A=1|B=2", False),
    ],
)
def test_scopes_are_compared_by_what_they_say(one: str, other: str, same: bool) -> None:
    assert (same_scope(one) == same_scope(other)) is same


# -- overlap -----------------------------------------------------------------------------------------------------------


async def test_an_upload_with_overlapping_dates_is_refused_as_captured_and_creates_nothing() -> None:
    captured = CAPTURES["v2_error_overlap"]
    async with limits() as (server, rest):
        await structure(rest)
        await rest("POST", SAVE, [limit()])
        rows = [line("new", "2026-03-31", ""), line("other", "2026-01-01", "", scope="CarName=beta")]
        reply = await rest.upload("Limits", "\n".join([HEADER, *rows]))
        assert (reply.status, reply.json) == (captured["status"], captured["body"])
        assert list(server.store.limits) == ["lim_0001"]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 409),
        ({"startDate": "2026-03-31", "endDate": None}, 409),
        ({"startDate": "2026-01-01", "endDate": "2026-03-01"}, 409),
        ({"startDate": "2026-04-01", "endDate": None}, 200),
        ({"startDate": "2026-01-01", "endDate": "2026-02-28"}, 200),
        ({"limitName": "Other"}, 200),
        ({"scope": "CarName=beta"}, 200),
        ({"scope": "CarName = alpha"}, 409),
        ({"structureId": "same_measure"}, 409),
        ({"structureId": "other_measure"}, 200),
        ({"structureId": "other_cube"}, 200),
    ],
)
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one request"])
async def test_limits_overlap_when_name_cube_measure_and_scope_are_equal(
    changed: dict[str, Any], status: int, *, together: bool
) -> None:
    async with limits() as (server, rest):
        await structure(rest)
        await structure(rest, referenceId="same_measure")
        await structure(rest, referenceId="other_measure", measureName="contributors.COUNT")
        await structure(rest, referenceId="other_cube", cubeName="Other")
        if together:
            reply = await rest("POST", SAVE, [limit(), limit("second", **changed)])
        else:
            await rest("POST", SAVE, [limit()])
            reply = await rest("POST", SAVE, [limit("second", **changed)])
        assert reply.status == status
        assert len(server.store.limits) == (2 if status == 200 else 0 if together else 1)


async def test_two_limits_may_change_places_in_one_request() -> None:
    early: dict[str, Any] = {"startDate": "2026-03-01", "endDate": "2026-03-31"}
    late: dict[str, Any] = {"startDate": "2026-04-01", "endDate": None}
    async with limits() as (_, rest):
        await structure(rest)
        for one, other in [(early, late), (late, early)]:
            assert (await rest("POST", SAVE, [limit("a", **one), limit("b", **other)])).status == 200


async def test_a_limit_may_be_saved_again_but_not_twice_in_one_request() -> None:
    async with limits() as (_, rest):
        await structure(rest)
        for _ in range(2):
            assert (await rest("POST", SAVE, [limit(limitValue=5)])).status == 200
        assert (await rest("POST", SAVE, [limit(), limit()])).status == 409


@pytest.mark.parametrize(("version", "status"), [("4.1.1", 409), ("4.1.2", 200)])
@pytest.mark.parametrize("end", ["delete", "expire"])
async def test_a_limit_that_has_ended_is_not_in_the_way_since_4_1_2(version: str, status: int, end: str) -> None:
    async with limits(version=version) as (_, rest):
        await structure(rest)
        await rest("POST", SAVE, [limit()])
        if end == "delete":
            assert (await rest("DELETE", f"{DEFINITION}/limits/lim_0001")).status == 204
        else:
            assert (await rest("POST", f"{REST}/workflow/limits/lim_0001/expire", {})).status == 200
        assert (await rest("POST", SAVE, [limit("second")])).status == status


async def test_uploaded_limits_are_approved_at_once_whatever_the_workflow() -> None:
    async with limits() as (server, rest):
        await structure(rest, limitChangesWorkflow="SixEyes")
        assert (await rest.upload("Limits", f"{HEADER}\n{line('up', '2026-01-01', '')}")).status == 200
        saved = await rest("POST", SAVE, [limit("saved", scope="CarName=beta")])
        assert server.store.limits["up"]["limitStatus"] == "APPROVED"
        assert saved.json[0]["limitStatus"] == "PENDING_FIRST_APPROVAL"
