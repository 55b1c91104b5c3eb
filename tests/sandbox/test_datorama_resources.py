"""Workspaces, models, accounts, users, authentications, dashboards, reference lists."""

from __future__ import annotations

from typing import Any

import pytest

from .datorama_client import STREAM, WORKSPACE, datorama

W = f"/v1/workspaces/{WORKSPACE}"


async def test_the_life_of_a_workspace() -> None:
    async with datorama() as api:
        reply = await api("POST", "/v1/workspaces", {"name": "new", "currencyId": 9})
        assert reply.status == 201
        path = f"/v1/workspaces/{reply.json['id']}"
        assert [each["name"] for each in await api.ok("GET", "/v1/workspaces")] == ["Acme 1", "new"]
        assert (await api.ok("PATCH", path, {"name": "newer"}))["currencyId"] == 9
        assert (await api.ok("PUT", path, {"name": "newest"}))["currencyId"] is None
        assert (await api.ok("GET", path))["visibleBuckets"] == []
        assert (await api("DELETE", path)).status == 204
        assert (await api("GET", path)).status == 404
        assert (await api("POST", "/v1/workspaces", {})).status == 422


async def test_a_deleted_workspace_takes_its_things_with_it() -> None:
    async with datorama() as api:
        assert (await api("DELETE", W)).status == 204
        assert (api.world.streams, api.world.stats) == ({}, {})
        assert (await api("GET", f"{W}/data-streams")).status == 404
        assert (await api("GET", f"/v1/data-streams/{STREAM}")).status == 404


async def test_workspaces_are_listed_by_account() -> None:
    async with datorama() as api:
        assert len(await api.ok("GET", "/v1/accounts/9001/workspaces")) == 1
        assert (await api("GET", "/v1/accounts/1/workspaces")).status == 404


async def test_who_wrote_is_told_by_the_token() -> None:
    async with datorama(tokens=2) as api:
        api.advance(1)
        changed = await api.ok("PATCH", W, {"name": "x", "createUser": "me", "updateUserId": 1}, token=1)
        assert (changed["createUserId"], changed["updateUserId"], changed["updateUser"]) == (5001, 5002, "User 5002")
        assert changed["updateTime"] - changed["createTime"] == 1000


#: Path word, whether it can be read alone and patched.
CRUD = [
    ("calculated-measurements", False, True),
    ("filtered-measurements", False, True),
    ("calculated-dimensions", False, True),
    ("data-fusions", True, True),
    ("dashboards", True, True),
    ("reports", True, True),
]


@pytest.mark.parametrize(("word", "readable", "patchable"), CRUD)
async def test_things_of_a_workspace_are_made_listed_changed_and_deleted(
    word: str, readable: bool, patchable: bool
) -> None:
    async with datorama() as api:
        before = len(await api.ok("GET", f"{W}/{word}"))
        made = await api("POST", f"/v1/{word}", {"name": "a", "workspaceId": WORKSPACE, "extra": {"x": 1}})
        assert (made.status, made.json["extra"]) == (201, {"x": 1})
        path = f"/v1/{word}/{made.json['id']}"
        assert len(await api.ok("GET", f"{W}/{word}")) == before + 1
        if readable:
            assert await api.ok("GET", path) == made.json
        if patchable:
            assert (await api.ok("PATCH", path, {"name": "b"}))["extra"] == {"x": 1}
        assert "extra" not in await api.ok("PUT", path, {"name": "c"})
        assert (await api("DELETE", path)).status == 204
        assert (await api("DELETE", path)).status == 404
        assert len(await api.ok("GET", f"{W}/{word}")) == before
        assert (await api("POST", f"/v1/{word}", {"name": "a"})).status == 422
        assert (await api("POST", f"/v1/{word}", {"name": "a", "workspaceId": 1})).status == 404


async def test_patterns_are_made_under_harmonization() -> None:
    async with datorama() as api:
        given = {"name": "p", "workspaceId": WORKSPACE, "harmonizedDimensionId": 2201}
        assert (await api("POST", "/v1/harmonization/patterns", given)).status == 201
        assert [each["name"] for each in await api.ok("GET", f"{W}/patterns")] == ["Campaign split", "p"]
        assert len(await api.ok("GET", f"{W}/harmonized-dimensions")) == 1


async def test_a_calculated_measurement_is_not_made_under_its_workspace() -> None:
    async with datorama() as api:
        assert (await api("POST", f"{W}/calculated-measurements", {"name": "a"})).status == 404


@pytest.mark.parametrize("word", ["dimensions", "measurements"])
async def test_models_come_as_an_object_or_as_a_list(word: str) -> None:
    async with datorama() as api:
        keyed = await api.ok("GET", f"{W}/{word}")
    async with datorama(model_form="list") as api:
        listed = await api.ok("GET", f"{W}/{word}")
    assert keyed == {each["systemName"]: each for each in listed}
    assert len(listed) > 2


async def test_models_are_filtered_by_a_type_that_exists_and_changed_by_system_name() -> None:
    async with datorama(workspaces=2) as api:
        assert list(await api.ok("GET", f"{W}/dimensions?type=DATE")) == ["DAY"]
        assert len(await api.ok("GET", f"{W}/dimensions?type=nonsense")) == 4
        changed = await api.ok("PUT", f"{W}/measurements/DELIVERY_CLICKS", {"displayName": "Hits"})
        assert (changed["displayName"], changed["measurementType"]) == ("Hits", None)
        assert (await api.ok("GET", f"{W}/measurements"))["DELIVERY_CLICKS"] == changed
        other = await api.ok("GET", f"/v1/workspaces/{WORKSPACE + 1}/measurements")
        assert other["DELIVERY_CLICKS"]["displayName"] == "Clicks"
        assert (await api("PUT", f"{W}/dimensions/NO_SUCH", {})).status == 404


async def test_a_dimensions_values_are_paged_by_offset() -> None:
    async with datorama() as api:
        path = f"{W}/dimensions/CAMPAIGN_NAME/values"
        assert await api.ok("POST", path, {}) == ["Winter", "Spring", "Brand"]
        assert await api.ok("POST", path, {"offset": 1, "limit": 1}) == ["Spring"]
        assert await api.ok("POST", path, {"offset": 3}) == []
        assert (await api("POST", path, {"offset": -1})).status == 422
        assert (await api("POST", f"{W}/dimensions/NO_SUCH/values", {})).status == 404


async def test_accounts_users_and_permission_sets() -> None:
    async with datorama(tokens=2) as api:
        [account] = await api.ok("GET", "/v1/accounts")
        assert await api.ok("GET", "/v1/accounts/9001") == account
        assert [each["id"] for each in await api.ok("GET", "/v1/accounts/9001/users")] == [5001, 5002]
        user = await api.ok("POST", "/v1/users", {"email": "c@acme.example"})
        assert (await api.ok("PATCH", f"/v1/users/{user['id']}", {"languageId": 2}))["email"] == "c@acme.example"
        assert (await api("DELETE", f"/v1/users/{user['id']}")).status == 204
        made = await api.ok("POST", "/v1/permission-sets", {"name": "Viewers"})
        assert len(await api.ok("GET", "/v1/accounts/9001/permission-sets")) == 2
        assert (await api.ok("PUT", f"/v1/permission-sets/{made['id']}", {"name": "V"}))["name"] == "V"
        assert (await api("PATCH", f"/v1/permission-sets/{made['id']}", {})).status == 404
        assert isinstance(await api.ok("POST", "/v1/accounts/9001/connectors/6f7c-uuid"), int)


async def test_authentications_and_connectors() -> None:
    async with datorama() as api:
        given = {"name": "ftp", "dataSourceId": 5, "user": "u", "password": "made up"}
        made = await api("POST", f"{W}/authentications", given)
        assert (made.status, made.json["workspaceId"], "password" in made.json) == (201, WORKSPACE, False)
        path = f"/v1/authentications/{made.json['id']}"
        assert [each["name"] for each in await api.ok("GET", f"{W}/authentications?dataSourceId=5")] == ["ftp"]
        assert len(await api.ok("GET", f"{W}/authentications")) == 2
        assert await api.ok("GET", f"{path}/profiles") == []
        await api.ok("POST", f"{path}/sub-profiles", [{"id": "p1"}])
        assert await api.ok("GET", f"{path}/profiles") == [{"id": "p1"}]
        assert (await api("DELETE", path)).status == 204
        assert (await api.ok("GET", "/v1/connectors/13"))["name"] == "Bing Ads"
        assert (await api("GET", "/v1/connectors/999")).status == 404


async def test_dashboards_pages_and_widgets() -> None:
    async with datorama(workspaces=2) as api:
        assert (
            len(await api.ok("GET", "/v1/dashboards")) == len(await api.ok("GET", "/v1/accounts/9001/dashboards")) == 2
        )
        [dashboard] = await api.ok("GET", f"{W}/dashboards")
        page = await api.ok("POST", "/v1/pages?templateId=1", {"name": "p", "dashboardId": dashboard["id"]})
        assert len(await api.ok("GET", f"/v1/dashboards/{dashboard['id']}/pages")) == 2
        widgets: list[dict[str, Any]] = [{"id": 7}]
        assert await api.ok("PUT", f"/v1/pages/{page['id']}/widgets/bulk", widgets) == widgets
        assert (await api.ok("GET", f"/v1/pages/{page['id']}/content"))["widgets"] == widgets
        expected = {"id": 7, "pageId": page["id"], "dashboardId": dashboard["id"]}
        assert await api.ok("GET", f"{W}/dashboards/hierarchy") == {"widgets": [expected]}
        assert (await api("POST", "/v1/pages", {"dashboardId": 1})).status == 404
        assert (await api("POST", "/v1/pages", {})).status == 422


@pytest.mark.parametrize("word", ["time-zones", "currencies", "cultures", "verticals", "data-sources", "languages"])
async def test_reference_lists(word: str) -> None:
    async with datorama() as api:
        assert {"id", "name"} <= set((await api.ok("GET", f"/v1/reference/{word}"))[0])
