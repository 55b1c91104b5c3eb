"""Every noun of the Limits server, against the simulator."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from asyncconn import errors
from asyncconn.atoti_limits import Limit, LimitStatus, Paths, Structure
from asyncconn.atoti_limits.errors import (
    LimitsConflict,
    LimitsPermissionError,
    LimitsProtocolError,
    LimitsUnreachable,
    LimitsValidationError,
)
from asyncconn.atoti_limits.offline.csv_formats import write_as_of_date
from asyncconn.sandbox import Fault, Faults

from .scene import LIMIT, REST, STRUCTURE, connected, filled, row, scene

DAY = "2026-01-31"


# -- structures --------------------------------------------------------------------------------------------------------


async def test_structures_are_saved_listed_fetched_changed_and_deleted() -> None:
    async with connected() as (_, limits):
        [saved] = await limits.structures.save(STRUCTURE)
        assert (saved.id, saved.name, saved.scope_keys) == ("s1", "Price limit", ["CarName@CarName@Cars"])
        [created] = await limits.structures.create(
            Structure(**{**saved.wire(), "structureId": "s2", "referenceId": "s2", "name": "B"})
        )
        assert created.id == "s2"

        saved.comment = "changed"
        [updated] = await limits.structures.update([saved])
        assert updated.comment == "changed"
        assert (await limits.structures.get("s1")).comment == "changed"
        assert {one.id for one in await limits.structures.list()} == {"s1", "s2"}
        assert await limits.structures.list(group="other").collect() == []
        assert len(await limits.structures.list(server_name="atoti", cube_name="Cars_Cube", group="Desk limits")) == 2

        assert await limits.structures.delete("s1") is None  # type: ignore[func-returns-value] # nothing comes back
        with pytest.raises(errors.NotFound, match=r"structures.get = GET .*/structure/s1"):
            await limits.structures.get("s1")


async def test_what_is_wrong_with_a_structure_is_said() -> None:
    async with connected() as (_, limits):
        await limits.structures.save(STRUCTURE)
        with pytest.raises(LimitsConflict):
            await limits.structures.create(STRUCTURE)
        with pytest.raises(errors.NotFound):
            await limits.structures.update({**STRUCTURE, "referenceId": "nowhere", "structureId": "nowhere"})
        with pytest.raises(LimitsValidationError, match="Server Name elsewhere not in the list of current connections"):
            await limits.structures.save({**STRUCTURE, "serverName": "elsewhere"})


async def test_a_structure_with_live_limits_stays() -> None:
    async with filled() as (_, limits):
        with pytest.raises(LimitsConflict):
            await limits.structures.delete("s1")


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_limits_are_saved_listed_page_by_page_and_deleted() -> None:
    async with filled(25) as (world, limits):
        [stored] = await limits.limits.save({**LIMIT, "limitId": "new", "limitName": "New", "scope": "CarName=z"})
        assert stored.limit_status == LimitStatus.PENDING_FIRST_APPROVAL

        found = await limits.limits.list(page_size=10).collect()
        assert len({one.limit_id for one in found}) == 26
        assert world.limits.requests[f"GET {REST}/limitDefinition/limits"] == 3
        assert len(await limits.limits.list(status=LimitStatus.APPROVED, alive=True).collect()) == 25
        assert await limits.limits.list(structure_id="other").collect() == []

        await limits.limits.delete("l1")
        with pytest.raises(errors.NotFound, match=r"limits\.delete"):
            await limits.limits.delete("nowhere")


async def test_a_page_that_is_just_full_is_the_last_and_no_other_is_asked_for() -> None:
    async with filled(20) as (world, limits):
        assert len(await limits.limits.list(page_size=10).collect()) == 20
        assert world.limits.requests[f"GET {REST}/limitDefinition/limits"] == 2


@pytest.mark.parametrize("size", [0, 1001, -1])
async def test_a_page_has_a_thousand_items_at_most(size: int) -> None:
    async with scene() as world:
        with pytest.raises(errors.ConfigError, match="1 to 1000"):
            world.client().limits.list(page_size=size)


async def test_a_limit_that_was_fetched_can_be_changed_and_saved() -> None:
    async with filled() as (_, limits):
        [limit] = await limits.limits.list().collect()
        limit.limit_value = 7.5
        [stored] = await limits.limits.save(limit)

        assert isinstance(stored, Limit)
        assert stored.limit_value == 7.5


async def test_the_status_of_limits_is_asked_for_by_id() -> None:
    async with filled(2, limits={"as_of_date": date(2026, 1, 31)}) as (_, limits):
        states = await limits.limits.status(["l1", "l2"])

        assert [(one.limit_id, one.status, one.as_of_date) for one in states] == [
            ("l1", "APPROVED", date(2026, 1, 31)),
            ("l2", "APPROVED", date(2026, 1, 31)),
        ]


async def test_a_limit_of_no_structure_is_invalid() -> None:
    async with connected() as (_, limits):
        with pytest.raises(LimitsValidationError) as caught:
            await limits.limits.save(LIMIT)
        assert caught.value.status == 422
        assert caught.value.details


# -- evaluation, incidents, workflow -----------------------------------------------------------------------------------


async def test_an_evaluation_finds_warnings_and_breaches_and_fills_the_incidents() -> None:
    async with filled(3) as (world, limits):
        world.limits.utilizations.update({"l1": 120.0, "l2": 95.0, "l3": 50.0})
        found = await limits.evaluate.all(DAY)
        rows = {row["Limit ID"]: row for row in found.rows()}

        assert {key: row["Incident Type"] for key, row in rows.items()} == {"l1": "BREACH", "l2": "WARNING"}
        assert rows["l1"]["Measure Value"] == 120.0
        assert [row["Limit ID"] for row in (await limits.evaluate.limits("l2", date(2026, 1, 31))).rows()] == ["l2"]
        assert len((await limits.evaluate.structures(["s1"], DAY)).rows()) == 2

        breaches = await limits.incidents.list(as_of_date=DAY, incident_type="BREACH").collect()
        assert [(one.limit_id, one.incident_type, one.as_of_date) for one in breaches] == [
            ("l1", "BREACH", date(2026, 1, 31))
        ]
        assert await limits.incidents.list(limit_id="l3").collect() == []
        assert len(await limits.incidents.list(page_size=1).collect()) == 2


async def test_an_evaluation_is_a_frame_also_when_it_found_nothing() -> None:
    pytest.importorskip("pandas", reason="needs pandas: an extra")
    async with filled(2) as (world, limits):
        world.limits.utilizations.update({"l1": 120.0, "l2": 10.0})
        frame = (await limits.evaluate.all(DAY)).frame()
        assert list(frame["Limit ID"]) == ["l1"]
        none = (await limits.evaluate.limits("l2", DAY)).frame()
        assert (len(none), list(none.columns)) == (0, list(frame.columns))


async def test_an_incident_is_reviewed_with_the_words_of_the_vendor_or_ones_own() -> None:
    async with filled() as (world, limits):
        world.limits.utilizations["l1"] = 120.0
        await limits.evaluate.all(DAY)
        [incident] = await limits.incidents.list().collect()
        key = incident.incident_key
        assert key is not None
        with pytest.raises(errors.ConfigError, match="'Late Trade'"):
            await limits.incidents.act(key, "review-breach", classification="late trade")
        with pytest.raises(errors.ConfigError, match="'Keep, request increase'"):
            await limits.incidents.act(key, "review-breach", resolution="Keep")
        with pytest.raises(LimitsValidationError):
            await limits.incidents.act(key, "review-breach", classification="x", resolution="y", check=False)
        done = await limits.incidents.act(
            key, "Review breach", classification="Late Trade", resolution="No action", comment="seen"
        )

        assert (done.status, done.comment) == ("Reviewed", "seen")
        with pytest.raises(LimitsConflict):
            await limits.incidents.act(key, "Review breach", classification="Late Trade", resolution="No action")


async def test_a_change_is_approved_by_another_and_the_history_tells() -> None:
    async with connected() as (world, limits):
        user, manager = world.client(auth=("user1", "user1")), world.client(auth=("manager1", "manager1"))
        await limits.structures.save(STRUCTURE)
        [limit] = await user.limits.save(LIMIT)
        with pytest.raises(LimitsPermissionError):
            await user.workflow.approve("l1")
        approved = await manager.workflow.approve("l1", comment="fine")

        assert limit.limit_status == LimitStatus.PENDING_FIRST_APPROVAL
        assert approved.limit_status == LimitStatus.APPROVED
        history = await manager.workflow.audit(approved.raw["processInstanceId"])
        assert [(one.user, one.comment) for one in history][-1] == ("manager1", "fine")
        assert all(one.timestamp is not None for one in history)
        assert (await manager.workflow.expire("l1")).limit_status == LimitStatus.EXPIRED
        with pytest.raises(LimitsConflict):
            await manager.workflow.reject("l1")


async def test_whether_a_workflow_may_be_started_is_a_plain_yes_or_no() -> None:
    async with scene() as world:
        limits = world.client()
        assert await limits.workflow.can_start("FourEyes") is True
        assert await world.client(auth=("readonly", "readonly")).workflow.can_start("FourEyes") is False
        world.limits.faults.add(Fault("malformed"))
        with pytest.raises(LimitsProtocolError):
            await limits.workflow.can_start("FourEyes")


async def test_connections_are_those_that_limits_knows() -> None:
    async with scene() as world:
        limits = world.client()
        assert await limits.connections.list().collect() == []
        await limits.wait_connected(timeout=10)
        [one] = await limits.connections.list()

        assert (one.server_name, one.atoti_base_url, one.connected) == ("atoti", world.session.url, True)
        assert one.since is not None
        await limits.disconnect()
        assert await limits.connected() is False


# -- roles, errors, paths, versions ------------------------------------------------------------------------------------


async def test_without_the_role_a_write_is_forbidden_and_reading_is_not() -> None:
    async with filled() as (world, _):
        reader = world.client(auth=("readonly", "readonly"))
        assert len(await reader.structures.list()) == 1
        for call in (reader.structures.save(STRUCTURE), reader.evaluate.all(), reader.limits.delete("l1")):
            with pytest.raises(LimitsPermissionError):
                await call


@pytest.mark.parametrize("style", ["concise", "detailed", "pre6"])
async def test_errors_are_read_in_every_style_and_never_with_a_trace(style: str) -> None:
    async with connected(limits={"error_style": style, "stack_traces": True}) as (_, limits):
        with pytest.raises(LimitsValidationError, match="elsewhere not in the list") as caught:
            await limits.structures.save({**STRUCTURE, "serverName": "elsewhere"})

        assert "stackTrace" not in f"{caught.value} {vars(caught.value)}"


async def test_paths_that_differ_are_given_by_name() -> None:
    moved = {"structures.list": ("GET", "/my/structures"), "evaluate.all": ("PUT", "/evaluation")}
    async with connected(limits={"paths": moved}) as (_, limits):
        await limits.structures.save(STRUCTURE)
        with pytest.raises(errors.ApiError):
            await limits.structures.list()
        limits.paths = limits.paths.with_(
            structures_list=("GET", "{rest}/my/structures"), evaluate_all=("PUT", "{rest}/evaluation")
        )
        assert len(await limits.structures.list()) == 1
        assert (await limits.evaluate.all(DAY)).rows() == []


async def test_paths_are_learnt_from_the_servers_own_document() -> None:
    moved = {"structures.get": ("GET", "/v9/limitDefinition/structure/{structureId}")}
    async with connected(limits={"paths": moved}) as (_, limits):
        await limits.structures.save(STRUCTURE)
        with pytest.raises(errors.ApiError):
            await limits.structures.get("s1")
        await limits.learn_paths()

        assert (await limits.structures.get("s1")).id == "s1"


async def test_a_server_without_the_document_says_so() -> None:
    async with scene(limits={"api_docs": False}) as world:
        with pytest.raises(errors.NotFound, match=r"server\.openapi"):
            await world.client().learn_paths()


async def test_limits_1_has_its_own_paths_and_says_what_it_has_not() -> None:
    async with scene(limits={"rest_version": "v1", "version": "1.1.0"}) as world:
        world.limits.connect("atoti")
        limits = world.client(paths=Paths("v1"), generation=1)
        assert await limits.connected() is True
        await limits.limits.create(
            {
                "serverName": "atoti",
                "id": "id_0001",
                "name": "Price limit",
                "group": "Desk limits",
                "validFrom": "2026-01-01",
                "validTo": "2026-12-31",
                "cubeName": "Cars_Cube",
                "measureName": "Price.SUM",
                "kpiType": "Less than...",
                "pollingFrequency": "EOD",
                "limitValues": [2],
                "scope": {"CarName": ["alpha"]},
            }
        )
        assert world.limits.requests["POST /limits/rest/v1/limitDefinition/create"] == 1
        with pytest.raises(errors.ConfigError, match=r"v1 has no structures\.list"):
            await limits.structures.list()
        with pytest.raises(errors.ConfigError, match="read and not written"):
            await limits.upload.limits([row(1)])


LEGACY = (
    "Group,ID,Name,Comment,Start Date,End Date,Frequency Type,Polling Frequency,Kpi Type,Limit Values,"
    "Absolute Value Indicator,Warning Threshold,Measure Name,Scope,Precedence,Limit Status,Limit Changes Workflow,"
    "Limit Changes Workflow Parameters\n"
    'g,old_1,Old,,2020-01-01,,official,EOD,Greater Than,"[1,2]",false,0,Price.SUM,CarName=alpha,0,APPROVED,,\n'
)


async def test_limits_1_gives_its_limits_and_says_who_may_start_a_workflow() -> None:
    async with scene(limits={"rest_version": "v1", "version": "1.1.0"}) as world:
        world.limits.connect("atoti")
        limits = world.client(paths=Paths("v1"), generation=1)
        await limits.upload.limits(LEGACY)
        found = await limits.export()
        assert [(row["ID"], row["Limit Values"]) for row in found.limits()] == [("old_1", [1, 2])]
        assert (found.structures_csv, found.version) == ("", "1.1")
        assert await limits.workflow.can_start("StraightThrough") is True
        with pytest.raises(errors.ConfigError, match="no structures"):
            await limits.export(["id_1"])


async def test_a_date_roll_changes_the_day_of_evaluations_that_name_none() -> None:
    async with scene(limits={"as_of_date": date(2026, 1, 30)}) as world:
        limits = world.client()
        world.limits.as_of_date_csv = write_as_of_date(date(2026, 1, 31))
        await limits.evaluate.roll_date()
        assert world.limits.as_of_date == date(2026, 1, 31)
        assert world.limits.requests["POST /custom/rest/load-controller/execute"] == 1


async def test_a_date_roll_whose_outcome_is_unknown_is_not_repeated() -> None:
    async with scene(limits={"faults": Faults(Fault("drop_after"))}) as world:
        with pytest.raises(LimitsUnreachable) as caught:
            await world.client().evaluate.roll_date()
        assert caught.value.maybe_sent
        assert world.limits.requests["POST /custom/rest/load-controller/execute"] == 1


@pytest.mark.parametrize("base_path", ["/foo/bar"])
async def test_a_limits_server_may_have_a_base_path(base_path: str) -> None:
    async with scene(limits={"base_path": base_path}) as world:
        limits = world.client()
        await limits.wait_connected(timeout=10)
        await limits.structures.save(STRUCTURE)

        assert (await limits.structures.get("s1")).name == "Price limit"


@pytest.mark.parametrize("value", ["", None, [], ["ok", ""], [3]])
async def test_ids_that_are_none_are_not_sent(value: Any) -> None:
    async with scene() as world:
        limits = world.client()
        for call in (limits.limits.status(value), limits.evaluate.limits(value), limits.evaluate.structures(value)):
            with pytest.raises(errors.ConfigError):
                await call
        assert not world.limits.requests


async def test_a_page_or_list_of_another_shape_is_a_protocol_error() -> None:
    async with scene() as world:
        limits = world.client()
        world.limits.faults.add(Fault("malformed", times=None))
        for call in (limits.limits.list().collect(), limits.structures.list(), limits.evaluate.all(), limits.export()):
            with pytest.raises(LimitsProtocolError):
                await call


# -- what is repeated --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("structures.update", {"json": []}),
        ("structures.delete", {"ids": {"structureId": "s"}}),
        ("limits.delete", {"ids": {"limitId": "l"}}),
        ("evaluate.all", {}),
        ("workflow.act", {"ids": {"limitId": "l", "action": "approve"}, "json": {}}),
    ],
)
async def test_no_write_is_repeated_when_its_outcome_is_unknown(name: str, options: dict[str, Any]) -> None:
    async with scene() as world:
        await world.client().connections.list()  # over a connection that is there already
        before = len(world.limits.arrivals)
        world.limits.faults.add(Fault("drop_after", times=None))
        with pytest.raises(LimitsUnreachable) as caught:
            await world.client().call(name, **options)

        assert caught.value.maybe_sent is True
        assert len(world.limits.arrivals) - before == 1


@pytest.mark.parametrize("name", ["limits.status", "export"])
async def test_what_only_reads_is_repeated(name: str) -> None:
    async with filled() as (world, limits):
        world.limits.faults.add(Fault("drop_after", times=2, match=f"{REST}/limitDefinition"))
        await limits.call(name, json=["l1"] if name == "limits.status" else {"structureIds": []})
