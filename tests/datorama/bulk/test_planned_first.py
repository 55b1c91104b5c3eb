"""A plan shows the calls of bulk work before the first of them, and is what is carried out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Datorama, Hub
from asyncconn.datorama import query_body
from asyncconn.datorama.errors import BadDate
from asyncconn.datorama.log import read_log
from asyncconn.errors import ConfigError, LifecycleError, Unauthorized
from asyncconn.sandbox import DatoramaWorld, Fault, Sandbox

from .scene import Scene, scene

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from asyncconn.datorama import Plan

    Planning = Callable[[Scene], Awaitable[Plan[Any, Any]]]

DAYS = ("2026-01-01", "2026-01-25")


def sent(here: Scene) -> list[tuple[str, str]]:
    """What was asked to change something since the mark."""
    since = list(here.sandbox.datorama.calls)[here.before :]
    return [(call.method, call.path) for call in since if not call.path.endswith("/stats") and call.method != "GET"]


def first_jobs(here: Scene) -> tuple[list[int], list[int]]:
    stats = [here.world.stats_of[stream][0] for stream in here.streams]
    return [stat.stream_id for stat in stats], [stat.id for stat in stats]


PLANS: dict[str, Planning] = {
    "process": lambda here: here.client.plan_process(here.streams, *DAYS, max_pending=None),
    "one by one": lambda here: here.client.plan_process(here.streams, *DAYS, batch=False, max_pending=None),
    "in windows": lambda here: here.client.plan_process(here.streams, *DAYS, d_range=7, max_pending=None),
    "rerun": lambda here: here.client.plan_rerun(*first_jobs(here), max_pending=None),
    "rerun all": lambda here: here.client.plan_rerun_all(here.streams, max_pending=None),
    "rename": lambda here: here.client.plan_rename(here.streams, [f"stream {one}" for one in here.streams]),
}


@pytest.mark.parametrize("name", PLANS)
async def test_the_calls_of_a_plan_are_the_calls_that_are_made(name: str) -> None:
    files = 0 if name.startswith("rerun") else 3  # the platform reruns jobs of API streams only
    async with scene(workspaces=2, streams=6, jobs=2, file_every=files, outcomes={"SUCCESS": 1.0}) as here:
        plan = await PLANS[name](here)
        here.mark()
        queued = len(here.world.stats)
        assert plan.calls
        assert sent(here) == []

        result = await plan.run()

        assert sorted(sent(here)) == sorted((call.method, call.path) for call in plan.calls)
        assert [item.outcome for item in result] == ["ok"] * 6
        if name in ("process", "one by one", "in windows"):
            assert plan.jobs == len(here.world.stats) - queued
    assert (plan.jobs is None) == (name in ("rerun all", "rename"))


async def test_a_plan_is_carried_out_once() -> None:
    async with scene(streams=2) as here:
        plan = await here.client.plan_process(here.streams, *DAYS)
        await plan.run()
        with pytest.raises(LifecycleError, match="has been carried out"):
            await plan.run()
        assert set(here.accepted().values()) == {1}


async def test_the_time_of_a_plan_is_what_the_cap_needs_for_its_calls() -> None:
    async with scene(streams=150, platform_per_minute=60) as here:
        plan = await here.client.plan_process(here.streams, *DAYS, batch=False)
        assert len(plan.calls) == 150
        assert 120 <= plan.seconds <= 190


async def test_a_plan_to_go_on_leaves_out_what_was_accepted_and_writes_nothing(tmp_path: Path) -> None:
    log = tmp_path / "jobs.csv"
    async with scene(streams=3, file_every=0) as here:
        first = here.streams[0]
        drop = Fault("drop_after", match=f"/v1/data-streams/{first}/process")
        here.fail(drop)
        done = await here.client.process_streams(here.streams[:2], *DAYS, log=log, batch=False)
        assert [item.outcome for item in done] == ["unknown", "ok"]
        before = log.read_bytes()

        plan = await here.client.plan_process(here.streams, *DAYS, log=log, resume=True, batch=False)

        # What the log leaves open has been looked up: it is there.
        assert [call.path for call in plan.calls] == [f"/v1/data-streams/{here.streams[2]}/process"]
        assert log.read_bytes() == before
        result = await plan.run()
        assert [item.skipped for item in result] == [True, True, False]
        assert set(here.accepted().values()) == {1}
        assert log.read_bytes().startswith(before)
        lines = await asyncio.to_thread(read_log, log)
        assert [row.status for row in lines if row.stream == str(first)][-1] == "queued"
        again = await here.client.plan_process(here.streams, *DAYS, log=log, resume=True)
        assert (again.calls, again.seconds) == ((), 0.0)


async def test_a_plan_that_is_not_run_makes_no_log(tmp_path: Path) -> None:
    async with scene(streams=1) as here:
        await here.client.plan_process(here.streams, *DAYS, log=tmp_path / "jobs.csv")
    assert list(tmp_path.iterdir()) == []


# -- what a token may still do -----------------------------------------------------------------------------------------


async def test_the_server_tells_what_each_token_may_still_do_whoever_used_it() -> None:
    async with Sandbox(DatoramaWorld(tokens=2)) as sandbox, Hub() as hub, Hub() as others:
        tokens = [sandbox.datorama.tokens[0], "00000000-0000-4000-8000-000000000000"]
        elsewhere = Datorama(tokens[0], base_url=sandbox.url, hub=others)
        await elsewhere.workspaces.list()
        good, bad = await Datorama(tokens, base_url=sandbox.url, hub=hub).allowances()

    assert (good.token, good.error) == (1, None)
    assert good.told == {"platform", "query", "daily"}
    assert (good.parts["platform"].remaining, good.parts["platform"].limit) == (58, 60)
    assert good.parts["daily"].remaining == 19_998
    assert good.parts["query"].remaining == 200
    assert (bad.token, bad.told) == (2, frozenset())
    assert isinstance(bad.error, Unauthorized)


# -- queries from parts ------------------------------------------------------------------------------------------------


def test_a_query_of_days_or_of_a_range() -> None:
    days = query_body(41001, "2026-01-01", "2026-01-31", measurements=["Clicks"], dimensions=["Day"])
    assert days == {
        "workspaceId": 41001,
        "dateRange": "CUSTOM",
        "startDate": "2026-01-01",
        "endDate": "2026-01-31",
        "measurements": [{"name": "Clicks"}],
        "dimensions": ["Day"],
    }
    assert query_body(41001, date_range="LAST_MONTH")["dateRange"] == "LAST_MONTH"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "which days"),
        ({"start": "2026-01-01"}, "which days"),
        ({"start": "2026-01-01", "end": "2026-01-02", "date_range": "LAST_MONTH"}, "not both"),
        ({"date_range": "LAST_MONTH", "workspace_id": None}, "whose data"),
    ],
)
def test_what_makes_no_query(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        query_body(**{"workspace_id": 41001, **given})
    with pytest.raises(BadDate, match="ends before it begins"):
        query_body(41001, "2026-01-02", "2026-01-01")
