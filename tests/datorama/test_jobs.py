"""Jobs: listed page by page, looked for in both places, run again, and found by their days."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from loopback import Loopback, Reply, Seen, saying

from asyncconn import errors
from asyncconn.datorama import DataStream, Datorama, JobStatus
from asyncconn.sandbox.datorama import DatoramaWorld

from .scene import FILE_STREAM, STREAM, WORKSPACE, scene


@pytest.mark.parametrize(
    ("jobs", "page_size", "calls"), [(0, 10, 1), (9, 10, 1), (10, 10, 2), (11, 10, 2), (30, 10, 4), (3, 1, 4)]
)
async def test_a_list_of_jobs_takes_one_more_call_after_a_full_page(jobs: int, page_size: int, calls: int) -> None:
    async with scene(DatoramaWorld(workspaces=1, streams=1, jobs=jobs)) as there:
        datorama = there.client()
        await datorama.streams.get(STREAM)
        found = await datorama.jobs.list(STREAM, page_size=page_size).collect()
        assert len({job.id for job in found}) == len(found) == jobs
        assert len(there.asked("/stats")) == calls


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
async def test_jobs_come_in_any_order(order: Any) -> None:
    async with scene(DatoramaWorld(workspaces=1, streams=1, jobs=25, page_order=order)) as there:
        found = await there.client().jobs.list(STREAM, page_size=10).collect()
        assert sorted(job.id for job in found) == sorted(there.platform.live.stats)


@pytest.mark.parametrize(("jobs", "page_size"), [(250, 1000), (200, 150), (99, 1000), (100, 1000), (500, 500)])
@pytest.mark.parametrize("most", [None, 100])
async def test_a_server_that_gives_smaller_pages_than_asked_for_loses_nothing(
    jobs: int, page_size: int, most: int | None
) -> None:
    async with scene(DatoramaWorld(workspaces=1, streams=1, jobs=jobs, max_page_size=most)) as there:
        found = await there.client().jobs.list(STREAM, page_size=page_size).collect()
        assert len({job.id for job in found}) == len(found) == jobs


async def test_where_a_streams_jobs_are_follows_from_its_kind() -> None:
    async with scene() as there:
        datorama = there.client()
        for stream in await datorama.streams.list(WORKSPACE).collect():
            assert len(await stream.jobs().collect()) == 3
        kinds = [path.startswith("/v1/data-streams/api/") for _, path, _ in there.asked("/stats")]
        assert kinds == [True] * 4 + [False]


@pytest.mark.parametrize("known", [False, True])
async def test_a_stream_of_unknown_or_misleading_kind_is_looked_for_in_both_places_once(known: bool) -> None:
    async with scene() as there:
        datorama = there.client()
        misleading = DataStream(id=FILE_STREAM, data_source_name="Google Analytics", workspace_id=WORKSPACE)
        stream = misleading if known else FILE_STREAM
        for _ in range(2):
            assert len(await datorama.jobs.list(stream).collect()) == 3
        first, second = f"/v1/data-streams/api/{FILE_STREAM}/stats", f"/v1/data-streams/{FILE_STREAM}/stats"
        assert there.asked("/stats") == [("POST", first, 404), ("POST", second, 200), ("POST", second, 200)]


@pytest.mark.parametrize("by_id", [False, True])
async def test_jobs_of_a_file_based_stream_are_found_where_its_own_list_is_empty(by_id: bool) -> None:
    async with scene(DatoramaWorld(file_jobs="api")) as there:
        datorama = there.client()
        stream = await datorama.streams.get(FILE_STREAM)
        for _ in range(2):
            assert len(await datorama.jobs.list(FILE_STREAM if by_id else stream).collect()) == 3
        own, other = f"/v1/data-streams/{FILE_STREAM}/stats", f"/v1/data-streams/api/{FILE_STREAM}/stats"
        assert there.asked("/stats") == [("POST", own, 200), ("POST", other, 200), ("POST", other, 200)]


async def test_jobs_of_a_stream_whose_kind_nobody_told_are_found_where_the_first_list_is_empty() -> None:
    def answer(seen: Seen) -> Reply:
        return saying([] if "/api/" in seen.path else [{"id": 5, "dataStreamId": 7}])

    async with Loopback(otherwise=answer) as server, Datorama("token-1", base_url=server.url) as datorama:
        assert [job.id for job in await datorama.jobs.list(7).collect()] == [5]


async def test_where_a_stream_without_jobs_will_have_them_is_not_remembered() -> None:
    async with scene(DatoramaWorld(jobs=0, file_jobs="api")) as there:
        datorama = there.client()
        stream = await datorama.streams.get(FILE_STREAM)
        assert await datorama.jobs.list(stream).collect() == []
        await datorama.streams.process(stream, "2026-01-01", "2026-01-01")
        assert len(await datorama.jobs.list(stream).collect()) == 1


async def test_an_api_stream_without_jobs_costs_one_call() -> None:
    async with scene(DatoramaWorld(jobs=0)) as there:
        datorama = there.client()
        stream = await datorama.streams.get(STREAM)
        assert await datorama.jobs.list(stream).collect() == []
        assert len(there.asked("/stats")) == 1


async def test_a_stream_that_is_nowhere_is_not_found_after_both_places() -> None:
    async with scene() as there:
        datorama = there.client()
        for _ in range(2):
            with pytest.raises(errors.NotFound):
                await datorama.jobs.list(7).collect()
        assert [status for _, _, status in there.asked("/stats")] == [404] * 4


async def test_a_stream_that_has_gone_is_asked_for_in_its_own_place_only() -> None:
    async with scene() as there:
        datorama = there.client()
        await datorama.jobs.list(STREAM).collect()
        await datorama.streams.delete(STREAM)
        with pytest.raises(errors.NotFound):
            await datorama.jobs.list(STREAM).collect()
        assert [path for _, path, _ in there.asked("/stats")] == [f"/v1/data-streams/api/{STREAM}/stats"] * 2


async def test_jobs_are_rerun_by_id_by_object_alone_or_several() -> None:
    async with scene() as there:
        datorama = there.client()
        stream = await datorama.streams.get(STREAM)
        one, other, _ = await stream.jobs().collect()
        for given, ids in (
            (one, [one.id]),
            (one.id, [one.id]),
            (str(one.id), [one.id]),
            ([one, other.id], [one.id, other.id]),
            ((job for job in (one, other)), [one.id, other.id]),
            (pd.Series([one.id, other.id]), [one.id, other.id]),
            (pd.Series([one.id])[0], [one.id]),
        ):
            assert [job.id for job in await stream.rerun(given)] == ids  # type: ignore[arg-type] # what users have


@pytest.mark.parametrize("ids", ["keep", "renew"])
async def test_reruns_give_the_ids_to_watch(ids: Any) -> None:
    async with scene(DatoramaWorld(rerun_ids=ids, outcomes={"SUCCESS": 1.0})) as there:
        datorama = there.client()
        before = [job.id for job in await datorama.jobs.list(STREAM).collect()]
        again = await datorama.jobs.rerun(STREAM, before[:2])
        everything = await datorama.jobs.rerun_all(STREAM)
        assert (before[:2] == [job.id for job in again]) == (ids == "keep")
        assert {job.status for job in [*again, *everything]} == {JobStatus.PENDING}
        assert len(everything) == (3 if ids == "keep" else 5)


async def test_jobs_are_found_by_their_days_and_by_when_they_began() -> None:
    async with scene() as there:
        datorama = there.client()
        made = await datorama.streams.process(STREAM, "2026-01-01", "2026-01-20")
        found = await datorama.jobs.find(STREAM, "2026-01-01", "2026-01-20")
        assert [job.id for job in found] == [job.id for job in made]
        assert [job.id for job in await datorama.jobs.find(STREAM, "2026-01-11", "2026-01-31")] == [made[1].id]
        assert await datorama.jobs.find(STREAM, "2026-01-02", "2026-01-10") == []
        there.platform.clock.advance(3600)
        later = there.platform.clock.utcnow()
        assert len(await datorama.jobs.find(STREAM, "2026-01-01", "2026-01-20")) == 2
        assert await datorama.jobs.find(STREAM, "2026-01-01", "2026-01-20", since=later) == []
        assert (
            len(await datorama.jobs.find(STREAM, "2026-01-01", "2026-01-20", since=datetime(2020, 1, 1, tzinfo=UTC)))
            == 2
        )


async def test_states_move_and_a_word_that_nobody_knows_is_kept() -> None:
    async with scene(DatoramaWorld(outcomes={"ODD_WORD": 1.0})) as there:
        datorama = there.client()
        [job] = await datorama.streams.process(STREAM, "2026-01-01", "2026-01-02")
        seen: list[Any] = [job.status]
        for seconds in (6, 60):
            there.platform.clock.advance(seconds)
            seen.append((await job.refresh()).status)
        assert seen == ["PENDING", "IN_PROGRESS", "ODD_WORD"]
        assert not (await job.refresh()).final
