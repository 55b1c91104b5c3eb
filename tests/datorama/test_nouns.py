"""Every method of every noun but jobs, once, against the sandbox."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from loopback import Loopback, saying

from asyncconn import errors
from asyncconn.datorama import Datorama, JobStatus
from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.sandbox.datorama import DatoramaWorld

from .scene import FILE_STREAM, STREAM, WORKSPACE, Scene, scene

ACCOUNT = 9001


# -- workspaces --------------------------------------------------------------------------------------------------------


async def test_workspaces_are_listed_made_changed_and_deleted() -> None:
    async with scene() as there:
        datorama = there.client()
        assert [one.id for one in await datorama.workspaces.list().collect()] == [41001, 41002]
        assert [one.id for one in await datorama.workspaces.list(ACCOUNT).collect()] == [41001, 41002]
        assert (await datorama.workspaces.get(WORKSPACE)).name == "Acme 1"
        made = await datorama.workspaces.create({"name": "new", "accountId": ACCOUNT})
        assert (made.name, made.account_id) == ("new", ACCOUNT)
        assert (await datorama.workspaces.patch(made.id, {"currencyId": 1})).currency_id == 1
        assert (await datorama.workspaces.replace(made.id, {"name": "whole"})).currency_id is None
        await datorama.workspaces.delete(made.id)
        with pytest.raises(errors.NotFound):
            await datorama.workspaces.get(made.id)


# -- streams -----------------------------------------------------------------------------------------------------------


async def test_streams_are_listed_and_got_with_their_times() -> None:
    async with scene() as there:
        datorama = there.client()
        streams = await datorama.streams.list(WORKSPACE).collect()
        assert [one.id for one in streams] == list(range(STREAM, STREAM + 5))
        assert [one.file_based for one in streams] == [False] * 4 + [True]
        one = await datorama.streams.get(STREAM)
        assert one.raw == streams[0].raw
        assert one.create_time is not None
        assert abs(one.create_time - there.platform.clock.utcnow()) < timedelta(minutes=1)


async def test_a_stream_is_made_from_another_ones_fields() -> None:
    async with scene() as there:
        datorama = there.client()
        template = await datorama.streams.get(STREAM)
        made = await datorama.streams.create({**template.raw, "name": "copy"})
        again = await datorama.streams.create(template)
    assert (made.name, made.workspace_id, made.config) == ("copy", WORKSPACE, template.config)
    assert template.id < made.id < again.id
    assert again.name == template.name


async def test_a_patch_changes_only_what_it_names_and_a_replacement_keeps_the_rest_too() -> None:
    async with scene() as there:
        datorama = there.client()
        before = await datorama.streams.get(STREAM)
        assert (await datorama.streams.patch(STREAM, {"name": "patched"})).config == before.config
        replaced = await datorama.streams.replace(STREAM, {"name": "replaced"})
        assert (replaced.name, replaced.config) == ("replaced", before.config)
        assert (await datorama.streams.disable(STREAM)).enabled is False
        assert (await datorama.streams.enable(STREAM)).enabled is True
        await datorama.streams.delete(STREAM)
        assert STREAM not in there.platform.live.streams


async def test_a_processed_range_comes_back_as_the_servers_windows() -> None:
    async with scene() as there:
        jobs = await there.client().streams.process(STREAM, "2026-01-01", "2026-01-25")
        assert [(str(job.data_start_date), str(job.data_end_date)) for job in jobs] == [
            ("2026-01-01", "2026-01-10"),
            ("2026-01-11", "2026-01-20"),
            ("2026-01-21", "2026-01-25"),
        ]
        assert {job.status for job in jobs} == {JobStatus.PENDING}
        assert {job.data_stream_id for job in jobs} == {STREAM}


@pytest.mark.parametrize(("answer", "told"), [("empty", 0), ("object", 0), ("list", 4)])
async def test_a_batch_tells_its_jobs_if_the_server_does(answer: Any, told: int) -> None:
    async with scene(DatoramaWorld(batch_answer=answer, jobs=0)) as there:
        datorama = there.client()
        jobs = await datorama.streams.process_batch([STREAM, STREAM + 1], "2026-01-01", "2026-01-15")
        assert len(jobs) == told
        assert len(there.platform.live.stats) == 4


async def test_what_a_batch_refuses_is_a_422() -> None:
    async with scene() as there:
        datorama = there.client()
        with pytest.raises(errors.Unprocessable, match="API connectors"):
            await datorama.streams.process_batch([STREAM, FILE_STREAM], "2026-01-01", "2026-01-02")
        there.platform.live.streams[STREAM]["enabled"] = False
        with pytest.raises(errors.Unprocessable, match="disabled") as caught:
            await datorama.streams.process(STREAM, "2026-01-01", "2026-01-02")
    assert not caught.value.maybe_sent


async def test_many_statuses_are_asked_for_in_few_calls() -> None:
    async with scene(DatoramaWorld(workspaces=1, streams=450, jobs=0, disabled_every=10)) as there:
        datorama = there.client()
        found = await datorama.streams.status(WORKSPACE, range(STREAM, STREAM + 450))
        assert len(there.calls) == 3
        assert [one.id for one in found] == list(range(STREAM, STREAM + 450))
        assert sum(one.status == "DISABLED" for one in found) == 45
        assert await datorama.streams.status(WORKSPACE, []) == []


async def test_a_mapping_is_read_and_written() -> None:
    async with scene() as there:
        datorama = there.client()
        mapping: Any = await datorama.streams.mapping(STREAM)
        assert mapping["mapping"]["Day"] == "DAY"
        assert await datorama.streams.replace_mapping(STREAM, {"mapping": {}}) == {"mapping": {}}
        assert await datorama.streams.mapping(STREAM) == {"mapping": {}}
        there.platform.calls.clear()
        with pytest.raises(errors.ConfigError, match="cannot be None"):
            await datorama.streams.replace_mapping(STREAM, None)
        assert there.calls == []


async def test_a_mapping_is_patched_and_what_was_not_given_stays() -> None:
    async with scene() as there:
        datorama = there.client()
        stream = await datorama.streams.get(STREAM)
        await stream.replace_mapping({"mapping": {"Day": "DAY", "Clicks": "C"}, "order": [1, 2], "on": True})
        patched = await stream.patch_mapping({"mapping": {"Clicks": "D", "Cost": None}, "order": [3]})
        assert patched == {"mapping": {"Day": "DAY", "Clicks": "D", "Cost": None}, "order": [3], "on": True}
        assert await datorama.streams.mapping(STREAM) == patched


@pytest.mark.parametrize("there_is", [[], "text", 5])
async def test_a_mapping_of_another_shape_is_not_written_over_by_a_patch(there_is: Any) -> None:
    async with (
        Loopback(otherwise=saying(there_is)) as server,
        Datorama("token-1", base_url=server.url) as datorama,
    ):
        with pytest.raises(DatoramaProtocolError, match="mapping of stream 5"):
            await datorama.streams.patch_mapping(5, {"Day": "DAY"})
    assert [seen.method for seen in server.seen] == ["GET"]


@pytest.mark.parametrize("changes", [{}, [], "Day=DAY", None])
async def test_a_patch_of_a_mapping_that_changes_nothing_is_refused_before_anything_is_sent(changes: Any) -> None:
    async with Loopback() as server, Datorama("token-1", base_url=server.url) as datorama:
        with pytest.raises(errors.ConfigError):
            await datorama.streams.patch_mapping(5, changes)
    assert not server.seen


# -- the tree ----------------------------------------------------------------------------------------------------------


async def test_from_a_workspace_to_its_streams_to_their_jobs_and_what_they_can_do(tmp_path: Any) -> None:
    async with scene() as there:
        datorama = there.client()
        workspace = await datorama.workspaces.get(WORKSPACE)
        stream = (await workspace.streams()).items[0]
        job = (await stream.jobs()).items[0]
        assert job.stream is stream
        path = await job.download(tmp_path)
        assert path.name == f"{WORKSPACE}_{STREAM}_{job.id}_data.zip"
        [again] = await job.rerun()
        assert (again.id, again.stream) == (job.id, stream)
        assert not (await job.refresh()).final
        assert len(await stream.rerun([job.id])) == 1
        assert len(await stream.rerun_all()) == 3
        assert len(await stream.process("2026-01-01", "2026-01-11")) == 2
        assert (await stream.patch({"name": "a"})).name == "a"
        assert (await stream.replace({"name": "b"})).name == "b"
        assert (await stream.disable()).enabled is False
        assert (await stream.enable()).enabled is True
        mapping: Any = await stream.mapping()
        assert mapping["dataStreamId"] == STREAM
        await stream.delete()
        assert STREAM not in there.platform.live.streams


async def test_a_job_that_knows_only_its_streams_id_can_be_rerun() -> None:
    async with scene() as there:
        job = (await there.client().jobs.list(STREAM)).items[0]
        assert [again.id for again in await job.rerun()] == [job.id]


# -- modelling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["object", "list"])
async def test_dimensions_and_measurements_are_lists_however_they_come(form: Any) -> None:
    async with scene(DatoramaWorld(model_form=form)) as there:
        datorama = there.client()
        dimensions = await datorama.dimensions.list(WORKSPACE).collect()
        measurements = await datorama.measurements.list(WORKSPACE).collect()
        assert [one.system_name for one in dimensions] == ["DAY", "CAMPAIGN_KEY", "CAMPAIGN_NAME", "CREATIVE_KEY"]
        assert [one.display_name for one in measurements] == ["Clicks", "Impressions", "Media Cost"]
        assert [one.system_name for one in await datorama.dimensions.list(WORKSPACE, type="DATE").collect()] == ["DAY"]
        changed = await datorama.dimensions.replace(WORKSPACE, "DAY", {"displayName": "Date"})
        assert (changed.system_name, changed.display_name) == ("DAY", "Date")
        renamed = await datorama.measurements.replace(WORKSPACE, "DELIVERY_CLICKS", {"displayName": "Hits"})
        assert renamed.display_name == "Hits"
        values = await datorama.dimensions.values(WORKSPACE, "CAMPAIGN_NAME", {"offset": 1, "limit": 1})
        assert values == ["Spring"]


NOUNS = ["calculated_measurements", "filtered_measurements", "calculated_dimensions", "reports", "dashboards"]


@pytest.mark.parametrize("noun", NOUNS)
async def test_what_belongs_to_a_workspace_is_made_listed_changed_and_deleted(noun: str) -> None:
    async with scene() as there:
        collection = getattr(there.client(), noun)
        made = await collection.create({"name": "new", "workspaceId": WORKSPACE})
        listing = collection.list(workspace_id=WORKSPACE)
        assert made.id in [one.id for one in await listing.collect()]
        assert (await collection.patch(made.id, {"name": "b"})).name == "b"
        assert (await collection.replace(made.id, {"name": "c", "workspaceId": WORKSPACE})).name == "c"
        await collection.delete(made.id)
        assert made.id not in [one.id for one in await listing.collect()]


async def test_patterns_and_harmonized_dimensions() -> None:
    async with scene() as there:
        datorama = there.client()
        [dimension] = await datorama.harmonized_dimensions.list(WORKSPACE).collect()
        made = await datorama.patterns.create(
            {"name": "p", "workspaceId": WORKSPACE, "harmonizedDimensionId": dimension.id}
        )
        assert [one.name for one in await datorama.patterns.list(WORKSPACE).collect()] == ["Campaign split", "p"]
        assert made.raw["harmonizedDimensionId"] == dimension.id


# -- accounts, dashboards, the rest ------------------------------------------------------------------------------------


async def test_accounts_users_and_permission_sets() -> None:
    async with scene() as there:
        datorama = there.client()
        [account] = await datorama.accounts.list().collect()
        assert (await datorama.accounts.get(account.id)).name == account.name == "Acme Group"
        assert await datorama.accounts.connect(account.id, "3f-uuid") == 90_001
        for collection in (datorama.users, datorama.permission_sets):
            made = await collection.create({"name": "new", "accountId": account.id})
            assert made.id in [one.id for one in await collection.list(account.id).collect()]
            assert (await collection.get(made.id)).name == "new"
            assert (await collection.replace(made.id, {"name": "b", "accountId": account.id})).name == "b"
            await collection.delete(made.id)
        user = (await datorama.users.list(account.id)).items[0]
        assert (await datorama.users.patch(user.id, {"languageId": 2})).raw["languageId"] == 2


async def test_authentications() -> None:
    async with scene() as there:
        auths = there.client().authentications
        made = await auths.create({"name": "new", "workspaceId": WORKSPACE, "dataSourceId": 1, "password": "made-up"})
        assert [one.name for one in await auths.list(WORKSPACE, 1).collect()] == ["Analytics login", "new"]
        assert await auths.list(WORKSPACE, 2).collect() == []
        assert (await auths.patch(made.id, {"name": "b"})).name == "b"
        assert (await auths.get(made.id)).name == "b"
        assert (await auths.replace(made.id, {"name": "c"})).name == "c"
        assert await auths.profiles(made.id) == []
        assert await auths.sub_profiles(made.id, [{"id": 1}]) == [{"id": 1}]
        await auths.delete(made.id)


async def test_dashboards_and_their_pages() -> None:
    async with scene() as there:
        dashboards = there.client().dashboards
        assert len(await dashboards.list().collect()) == len(await dashboards.list(account_id=ACCOUNT).collect()) == 2
        [dashboard] = await dashboards.list(workspace_id=WORKSPACE).collect()
        assert (await dashboards.get(dashboard.id)).name == "Overview"
        page = await dashboards.pages.create(
            {"name": "p", "workspaceId": WORKSPACE, "dashboardId": dashboard.id}, template_id=3
        )
        assert [one.name for one in await dashboards.pages.list(dashboard.id).collect()] == ["Page 1", "p"]
        assert await dashboards.pages.replace_widgets(page.id, [{"id": 1}]) == [{"id": 1}]
        content: Any = await dashboards.pages.content(page.id)
        assert content["widgets"] == [{"id": 1}]
        assert [one["pageId"] for one in (await dashboards.hierarchy(WORKSPACE))["widgets"]] == [page.id]
        assert (await dashboards.pages.get(page.id)).name == "p"
        assert (await dashboards.pages.patch(page.id, {"name": "q"})).name == "q"
        await dashboards.pages.delete(page.id)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("time_zones", "Europe/Berlin"),
        ("currencies", "US Dollar"),
        ("cultures", "English (United Kingdom)"),
        ("verticals", "Retail"),
        ("data_sources", "Google Analytics"),
        ("languages", "English"),
    ],
)
async def test_reference_lists(method: str, name: str) -> None:
    async with scene() as there:
        pager = getattr(there.client().reference, method)()
        assert (await pager)[0]["name"] == name
        assert (await pager.collect())[0]["name"] == name


async def test_a_path_that_does_not_exist_is_an_error_that_says_so() -> None:
    async with scene() as there:
        datorama = there.client()
        with pytest.raises(DatoramaProtocolError, match="answered 200 with text/html, not JSON"):
            await datorama.reference.get("colour-schemes")
        with pytest.raises(DatoramaProtocolError):
            await datorama.call("GET", "/v1/no-such-thing")


async def test_a_path_without_a_method_of_its_own_can_be_called() -> None:
    async with scene() as there:
        datorama = there.client()
        body = {"dataStreamIds": [STREAM]}
        made: Any = await datorama.call(
            "POST", f"/v1/workspaces/{WORKSPACE}/data-streams/delete-data", json=body, workspace_id=WORKSPACE
        )
        assert made == body


@pytest.fixture
async def there() -> Any:
    async with scene() as made:
        yield made


async def test_an_unknown_token_is_refused_once(there: Scene) -> None:
    with pytest.raises(errors.Unauthorized, match="token is not known"):
        await there.client("made-up-token").workspaces.list().collect()
    assert len(there.calls) == 1
