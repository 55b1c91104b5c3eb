"""Streams and jobs: writing, processing, splitting, moving states, pages, reruns, downloads."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest

from asyncconn.sandbox.datorama import ERROR_BODIES

from .datorama_client import FILES, STAT, STREAM, WORKSPACE, Api, datorama

ONE = f"/v1/data-streams/{STREAM}"
STATS = f"/v1/data-streams/api/{STREAM}/stats"
RANGE = {"startDate": "2026-01-01", "endDate": "2026-01-10"}


def many(*ids: int, **more: Any) -> dict[str, Any]:
    return {"dataStreamIds": list(ids), **RANGE, "create": False, **more}


async def states(api: Api, path: str = STATS) -> list[str]:
    return [stat["status"] for stat in await api.ok("POST", path, {"pageSize": 100, "pageNumber": 1})]


# -- streams -----------------------------------------------------------------------------------------------------------


async def test_a_created_stream_is_answered_201_and_is_there() -> None:
    async with datorama() as api:
        given = {"name": "new", "workspaceId": WORKSPACE, "config": {"currency": "USD"}, "mine": 1}
        reply = await api("POST", "/v1/data-streams", given)
        assert (reply.status, reply.json["id"]) == (201, STREAM + 2)
        there = await api.ok("GET", f"/v1/data-streams/{STREAM + 2}")
        assert (there["config"], there["mine"], there["enabled"]) == ({"currency": "USD"}, 1, True)
        assert await states(api, f"/v1/data-streams/api/{STREAM + 2}/stats") == []


@pytest.mark.parametrize("given", [{"workspaceId": WORKSPACE}, {"name": "", "workspaceId": WORKSPACE}, {"name": "x"}])
async def test_a_stream_needs_a_name_and_a_workspace(given: dict[str, Any]) -> None:
    async with datorama() as api:
        assert (await api("POST", "/v1/data-streams", given)).status == 422
        assert len(api.world.streams) == 2


async def test_patch_merges_and_put_clears_what_is_not_given() -> None:
    async with datorama() as api:
        patched = await api.ok("PATCH", ONE, {"name": "a", "description": "kept"})
        assert (patched["name"], patched["description"], patched["enabled"]) == ("a", "kept", True)
        put = await api.ok("PUT", ONE, {"name": "b"})
        assert (put["name"], put["description"], put["enabled"], put["config"]) == ("b", None, False, None)
        assert (put["id"], put["workspaceId"]) == (STREAM, WORKSPACE)
        assert await api.ok("GET", ONE) == put


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
async def test_what_the_server_owns_is_ignored_on_write(method: str) -> None:
    owned = {"id": 1, "createTime": 1, "lastUpdate": 1, "lastRunStatus": "x", "pendingStatsCount": 99}
    async with datorama() as api:
        api.advance(3600)
        path = "/v1/data-streams" if method == "POST" else ONE
        stream = await api.ok(method, path, {"name": "a", "workspaceId": WORKSPACE, **owned})
        now = api.sandbox.datorama.clock.millis()
        created = now if method == "POST" else now - 3_600_000
        assert (stream["createTime"], stream["lastUpdate"]) == (created, now)
        assert (stream["lastRunStatus"], stream["pendingStatsCount"]) == (True, 0)
        assert stream["id"] == (STREAM + 2 if method == "POST" else STREAM)


async def test_a_deleted_stream_is_204_and_gone_with_its_jobs() -> None:
    async with datorama() as api:
        reply = await api("DELETE", ONE)
        assert (reply.status, reply.body) == (204, b"")
        assert (await api("GET", ONE)).status == 404
        assert (await api("DELETE", ONE)).status == 404
        assert (await api("GET", f"/v1/data-stream-stats/{STAT}")).status == 404
        assert [each["id"] for each in await api.ok("GET", f"/v1/workspaces/{WORKSPACE}/data-streams")] == [FILES]


async def test_a_stream_is_found_in_its_workspace_only() -> None:
    async with datorama(workspaces=2, streams=4, file_every=0) as api:
        assert (await api.ok("GET", f"/v1/workspaces/{WORKSPACE}/data-streams/{STREAM}"))["id"] == STREAM
        assert (await api("GET", f"/v1/workspaces/{WORKSPACE + 1}/data-streams/{STREAM}")).status == 404
        listed = await api.ok("GET", f"/v1/workspaces/{WORKSPACE + 1}/data-streams")
        assert [each["id"] for each in listed] == [STREAM + 2, STREAM + 3]


async def test_the_status_of_many_streams_comes_in_one_answer() -> None:
    async with datorama() as api:
        await api.ok("PATCH", f"/v1/data-streams/{FILES}", {"enabled": False})
        await api.ok("POST", f"{ONE}/process", RANGE)
        path = f"/v1/workspaces/{WORKSPACE}/data-streams/status/bulk"
        answer = await api.ok("GET", f"{path}?ids={FILES},{STREAM},12")
        assert answer == [
            {"id": STREAM, "runStatus": "PENDING", "status": "ENABLED"},
            {"id": FILES, "runStatus": "SUCCESS", "status": "DISABLED"},
        ]
        assert [each["id"] for each in await api.ok("GET", f"{path}?ids={FILES}%2C1")] == [FILES]


async def test_a_mapping_is_read_and_replaced_for_api_streams() -> None:
    async with datorama() as api:
        path = f"/v1/data-streams/api/{STREAM}/mapping"
        assert (await api.ok("GET", path))["dataStreamId"] == STREAM
        await api.ok("PUT", path, {"a": 1})
        assert await api.ok("GET", path) == {"a": 1}
        assert (await api("GET", f"/v1/data-streams/api/{FILES}/mapping")).status == 404


async def test_a_request_to_delete_data_is_echoed_and_kept() -> None:
    async with datorama() as api:
        path = f"/v1/workspaces/{WORKSPACE}/data-streams/delete-data"
        assert await api.ok("POST", path, {"any": 1}) == {"any": 1}
        assert api.world.deleted_data == [{"any": 1}]


# -- processing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "spans"),
    [
        ("2026-01-01", "2026-01-01", ["01-01..01-01"]),
        ("2026-01-01", "2026-01-10", ["01-01..01-10"]),
        ("2026-01-01", "2026-01-11", ["01-01..01-10", "01-11..01-11"]),
        ("2026-01-05", "2026-02-01", ["01-05..01-14", "01-15..01-24", "01-25..02-01"]),
    ],
)
async def test_a_range_is_cut_into_ten_days_counted_from_its_start(start: str, end: str, spans: list[str]) -> None:
    async with datorama() as api:
        stats = await api.ok("POST", f"{ONE}/process", {"startDate": start, "endDate": end})
        assert [f"{s['dataStartDate'][5:]}..{s['dataEndDate'][5:]}" for s in stats] == spans
        assert [s["id"] for s in stats] == list(range(STAT + 6, STAT + 6 + len(spans)))
        assert {(s["status"], s["startExecutionTime"], s["processLog"]) for s in stats} == {("PENDING", None, None)}


async def test_a_streams_own_span_of_days_is_taken() -> None:
    async with datorama() as api:
        await api.ok("PATCH", ONE, {"fetchDaySpan": 3})
        assert len(await api.ok("POST", f"{ONE}/process", RANGE)) == 4


@pytest.mark.parametrize(
    "given",
    [
        {"startDate": "2026-01-02", "endDate": "2026-01-01"},
        {"startDate": "2026-02-30", "endDate": "2026-03-01"},
        {"startDate": "20260101", "endDate": "2026-01-02"},
        {"startDate": 1, "endDate": "2026-01-02"},
        {"startDate": "2026-01-01"},
    ],
)
async def test_a_reversed_or_bad_range_is_422_and_queues_nothing(given: dict[str, Any]) -> None:
    async with datorama() as api:
        assert (await api("POST", f"{ONE}/process", given)).status == 422
        assert (await api("POST", "/v1/data-streams/process", {"dataStreamIds": [STREAM], **given})).status == 422
        assert len(api.world.stats) == 6


async def test_a_disabled_stream_is_422_alone_and_among_others_and_nothing_is_queued() -> None:
    async with datorama(streams=3, file_every=0, disabled_every=2) as api:
        assert api.world.streams[STREAM + 1]["enabled"] is False
        assert (await api("POST", f"/v1/data-streams/{STREAM + 1}/process", RANGE)).status == 422
        assert (await api("POST", "/v1/data-streams/process", many(STREAM, STREAM + 1, STREAM + 2))).status == 422
        assert len(api.world.stats) == 9


@pytest.mark.parametrize(
    ("forms", "bodies"),
    [
        (ERROR_BODIES, ["info", "msg", "message", "error", "errors", "text", "empty", "info"]),
        (("empty", "errors"), ["empty", "errors", "empty"]),
        ((), ["msg", "msg"]),
    ],
)
async def test_errors_come_in_every_shape_in_turn(forms: tuple[str, ...], bodies: list[str]) -> None:
    seen = []
    async with datorama(error_bodies=forms) as api:
        for _ in bodies:
            reply = await api("POST", f"{ONE}/process", {})
            assert reply.status == 422
            if reply.headers["Content-Type"].startswith("text/plain"):
                seen.append("text")
            else:
                seen.append(next(iter(reply.json)) if reply.body else "empty")
    assert seen == bodies


@pytest.mark.parametrize("form", ["empty", "list", "object"])
async def test_a_batch_is_answered_in_the_worlds_form_and_queued_in_each(form: str) -> None:
    async with datorama(streams=3, file_every=0, batch_answer=form) as api:
        reply = await api("POST", "/v1/data-streams/process", many(STREAM, STREAM + 2, STREAM, create=True))
        assert reply.status == 200
        assert [len(api.world.stats_of[STREAM + n]) for n in range(3)] == [4, 3, 4]
        if form == "empty":
            assert reply.body == b""
        elif form == "list":
            assert [stat["dataStreamId"] for stat in reply.json] == [STREAM, STREAM + 2]
        else:
            assert reply.json["dataStreamIds"] == [STREAM, STREAM + 2]


@pytest.mark.parametrize(("what", "status", "queued"), [("refuse", 422, 0), ("skip", 200, 1), ("accept", 200, 2)])
async def test_a_batch_treats_file_streams_as_the_world_says(what: str, status: int, queued: int) -> None:
    async with datorama(file_batch=what) as api:
        assert (await api("POST", "/v1/data-streams/process", many(STREAM, FILES))).status == status
        assert len(api.world.stats) == 6 + queued


@pytest.mark.parametrize(("what", "status"), [("refuse", 422), ("accept", 200)])
async def test_a_file_stream_alone_is_treated_as_the_world_says(what: str, status: int) -> None:
    async with datorama(file_process=what) as api:
        assert (await api("POST", f"/v1/data-streams/{FILES}/process", RANGE)).status == status


async def test_an_unknown_stream_in_a_batch_queues_nothing() -> None:
    async with datorama() as api:
        assert (await api("POST", "/v1/data-streams/process", many(STREAM, 5))).status == 404
        assert (await api("POST", "/v1/data-streams/process", many())).status == 422
        assert (await api("POST", "/v1/data-streams/process", b"{")).status == 400
        assert len(api.world.stats) == 6


# -- jobs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("final", ["SUCCESS", "FAILURE", "ABORTED", "TIMEOUT", "SOME_NEW_WORD"])
async def test_a_job_moves_on_as_the_clock_does(final: str) -> None:
    async with datorama(jobs=0, outcomes={final: 1}, job_seconds=(5, 20)) as api:
        [made] = await api.ok("POST", f"{ONE}/process", RANGE)
        path = f"/v1/data-stream-stats/{made['id']}"
        seen = []
        for seconds in (0, 4.999, 0.001, 19.999, 0.001, 1000):
            api.advance(seconds)
            seen.append(await api.ok("GET", path))
        assert [stat["status"] for stat in seen] == ["PENDING"] * 2 + ["IN_PROGRESS"] * 2 + [final] * 2
        assert [seen[n]["endExecutionTime"] for n in (2, 3)] == [None, None]
        assert seen[-1]["endExecutionTime"] - seen[-1]["startExecutionTime"] == 20_000
        assert seen[2]["processLog"] == "[2026-01-01 00:00:05Z] start ..."
        assert seen[5]["processLog"] == "[2026-01-01 00:00:05Z] start ... [2026-01-01 00:00:25Z]"
        assert (seen[-1]["statusReason"] is not None) == (final in ("FAILURE", "ABORTED", "TIMEOUT"))


async def test_a_job_moves_on_by_reads_when_the_world_says_so() -> None:
    async with datorama(jobs=0, progress="reads", job_reads=(2, 1)) as api:
        [made] = await api.ok("POST", f"{ONE}/process", RANGE)
        api.advance(9999)
        seen = [await states(api) for _ in range(2)]
        seen.append([(await api.ok("GET", f"/v1/data-stream-stats/{made['id']}"))["status"]])
        path = f"/v1/workspaces/{WORKSPACE}/data-streams/status/bulk"
        seen.append([(await api.ok("GET", path))[0]["runStatus"]])
        assert seen == [["PENDING"], ["PENDING"], ["IN_PROGRESS"], ["SUCCESS"]]
        await api.ok("GET", ONE)
        assert api.world.stats[made["id"]].reads == 4


@pytest.mark.parametrize("path", [ONE, f"/v1/workspaces/{WORKSPACE}/data-streams"])
async def test_what_a_stream_tells_of_its_jobs_is_a_look_at_each_of_them(path: str) -> None:
    async with datorama(jobs=0, progress="reads", job_reads=(1, 1)) as api:
        made = await api.ok("POST", f"{ONE}/process", {"startDate": "2026-01-01", "endDate": "2026-01-20"})
        pending = []
        for _ in range(3):
            found = await api.ok("GET", path)
            pending.append((found[0] if isinstance(found, list) else found)["pendingStatsCount"])
        assert pending == [2, 2, 0]
        assert [api.world.stats[one["id"]].reads for one in made] == [3, 3]


async def test_a_job_with_an_unfinished_outcome_never_ends() -> None:
    async with datorama(jobs=0, outcomes={"IN_PROGRESS": 1}) as api:
        await api.ok("POST", f"{ONE}/process", RANGE)
        api.advance(1e7)
        [stat] = await api.ok("POST", STATS, {})
        assert (stat["status"], stat["endExecutionTime"]) == ("IN_PROGRESS", None)


async def test_a_test_may_decide_how_a_job_ends() -> None:
    async with datorama(jobs=0) as api:
        [made] = await api.ok("POST", f"{ONE}/process", RANGE)
        api.world.stats[made["id"]].final = "TIMEOUT"
        api.advance(100)
        assert await states(api) == ["TIMEOUT"]


async def test_outcomes_come_in_their_shares_and_follow_the_seed() -> None:
    async def ends(seed: int) -> list[str]:
        async with datorama(streams=500, seed=seed, outcomes={"SUCCESS": 3, "FAILURE": 1}) as api:
            return [stat.final for stat in api.world.stats.values()]

    one = await ends(1)
    assert 0.2 < Counter(one)["FAILURE"] / len(one) < 0.3
    assert one == await ends(1) != await ends(2)


async def test_a_stream_tells_of_its_jobs() -> None:
    async with datorama(outcomes={"FAILURE": 1}) as api:
        await api.ok("POST", f"{ONE}/process", {"startDate": "2026-01-01", "endDate": "2026-01-20"})
        before = await api.ok("GET", ONE)
        assert (before["pendingStatsCount"], before["lastRunStatus"]) == (2, False)
        api.world.stats[STAT + 7].final = "SUCCESS"
        api.advance(100)
        after = await api.ok("GET", ONE)
        assert (after["pendingStatsCount"], after["lastRunStatus"]) == (0, True)


async def test_jobs_of_api_streams_and_of_file_streams_have_different_paths() -> None:
    async with datorama() as api:
        for stream, path in ((STREAM, "/v1/data-streams/api/{}/stats"), (FILES, "/v1/data-streams/{}/stats")):
            other = FILES if stream == STREAM else STREAM
            assert {stat["dataStreamId"] for stat in await api.ok("POST", path.format(stream), {})} == {stream}
            assert (await api("POST", path.format(other), {})).status == 404
        assert len(await api.ok("POST", f"/v1/data-streams/{FILES}/stats", {"pageSize": 2})) == 2
        reply = await api("GET", f"/v1/data-stream-stat/{STAT}")  # the singular path
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize(("jobs", "sizes"), [(0, [0]), (9, [5, 4]), (10, [5, 5, 0]), (11, [5, 5, 1])])
async def test_pages_are_full_until_the_last(jobs: int, sizes: list[int]) -> None:
    async with datorama(streams=1, file_every=0, jobs=jobs) as api:
        pages = [await api.ok("POST", STATS, {"pageSize": 5, "pageNumber": number + 1}) for number in range(len(sizes))]
        assert [len(page) for page in pages] == sizes
        assert [stat["id"] for page in pages for stat in page] == [STAT + n for n in range(jobs)]


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
async def test_pages_come_in_the_worlds_order_and_hold_each_job_once(order: str) -> None:
    async with datorama(streams=1, file_every=0, jobs=30, page_order=order) as api:
        ids = []
        for number in range(1, 5):
            ids += [stat["id"] for stat in await api.ok("POST", STATS, {"pageSize": 10, "pageNumber": number})]
        assert len(ids) == 30
        assert sorted(ids) == [STAT + n for n in range(30)]
        assert (ids == sorted(ids), ids == sorted(ids, reverse=True)) == (order == "ascending", order == "descending")


async def test_a_page_is_never_longer_than_the_world_allows() -> None:
    async with datorama(jobs=7, max_page_size=3) as api:
        sizes = [len(await api.ok("POST", STATS, {"pageSize": 100, "pageNumber": n})) for n in (1, 2, 3)]
        assert sizes == [3, 3, 1]


@pytest.mark.parametrize("given", [{"pageNumber": 0}, {"pageSize": 0}, {"pageSize": "9"}, {"pageNumber": 1.5}])
async def test_a_page_that_cannot_be_is_422(given: dict[str, Any]) -> None:
    async with datorama() as api:
        assert (await api("POST", STATS, given)).status == 422


async def test_old_jobs_cover_the_days_up_to_yesterday() -> None:
    async with datorama(jobs=3) as api:
        stats = await api.ok("POST", STATS, {})
        days = [(date.fromisoformat(s["dataStartDate"]), date.fromisoformat(s["dataEndDate"])) for s in stats]
    assert days[-1][1] == date(2025, 12, 31)
    assert all(b[0] - a[1] == timedelta(days=1) for a, b in pairwise(days))
    assert {(b - a).days for a, b in days} == {9}


@pytest.mark.parametrize("ids", ["keep", "renew"])
async def test_a_rerun_keeps_or_renews_the_id_as_the_world_says(ids: str) -> None:
    async with datorama(jobs=2, rerun_ids=ids) as api:
        [again] = await api.ok("POST", f"/v1/data-streams/api/{STREAM}/rerun", [STAT + 1])
        assert (again["id"] == STAT + 1, again["status"]) == (ids == "keep", "PENDING")
        assert again["dataStartDate"] == api.world.stats[STAT + 1].start.isoformat()
        assert len(api.world.stats) == (4 if ids == "keep" else 5)
        everything = await api.ok("POST", f"/v1/data-streams/api/{STREAM}/rerun-all")
        assert len(everything) == (2 if ids == "keep" else 3)
        assert {stat["status"] for stat in everything} == {"PENDING"}


async def test_a_rerun_takes_a_bare_list_of_the_streams_own_jobs() -> None:
    async with datorama(jobs=1) as api:
        path = f"/v1/data-streams/api/{STREAM}/rerun"
        assert (await api("POST", path, {"ids": [STAT]})).status == 400
        assert (await api("POST", path, [STAT, STAT + 1])).status == 404  # the second stream's
        assert (await api("POST", path, ["x"])).status == 404
        assert (await api("POST", f"/v1/data-streams/api/{FILES}/rerun", [STAT + 1])).status == 404
        assert await states(api) == ["SUCCESS"]


# -- downloads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10_000, 200_000])  # in one piece and in several
async def test_a_download_has_the_size_the_world_says_in_whole_rows(size: int) -> None:
    async with datorama(download_bytes=size) as api:
        archive = zipfile.ZipFile(io.BytesIO((await api("GET", f"/v1/data-stream-stats/api/{STAT}/download")).body))
        text = archive.read(archive.namelist()[0])
        reply = await api("GET", f"/v1/data-stream-stats/dynamic/{STAT + 3}/download")
        assert reply.body == text
        assert size - 32 < len(text) <= size
        assert {len(row) for row in text.splitlines()[1:]} == {31}
        api.world.stats[STAT].download_bytes = 0
        small = await api("GET", f"/v1/data-stream-stats/api/{STAT}/download")
        assert len(zipfile.ZipFile(io.BytesIO(small.body)).read(f"{STAT}.csv").splitlines()) == 2


@pytest.mark.parametrize(
    ("kind", "stat", "status"),
    [("api", 0, 200), ("dynamic", 0, 404), ("api", 3, 404), ("dynamic", 3, 200), ("api", 99, 404)],
)
async def test_each_kind_of_stream_has_its_download_path(kind: str, stat: int, status: int) -> None:
    async with datorama() as api:
        assert (await api("GET", f"/v1/data-stream-stats/{kind}/{STAT + stat}/download")).status == status


async def test_only_a_successful_job_has_a_file() -> None:
    async with datorama() as api:
        [job] = await api.ok("POST", f"{ONE}/process", RANGE)
        path = f"/v1/data-stream-stats/api/{job['id']}/download"
        assert (await api("GET", path)).status == 404
        api.advance(100)
        assert (await api("GET", path)).status == 200
        api.world.stats[job["id"]].final = "FAILURE"
        assert (await api("GET", path)).status == 404


@pytest.mark.parametrize("kind", ["api", "dynamic"])
async def test_fifty_megabytes_are_sent_without_being_held(kind: str) -> None:
    async with datorama(download_bytes=50_000_000) as api:
        url = f"{api.sandbox.url}/v1/data-stream-stats/{kind}/{STAT if kind == 'api' else STAT + 3}/download"
        tracemalloc.start()
        try:
            async with api.session.get(url, headers={"Authorization": api.sandbox.datorama.token}) as response:
                received = 0
                async for chunk in response.content.iter_any():
                    received += len(chunk)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert received == response.content_length
    assert received > 49_999_900
    assert peak < 8_000_000
