"""Partitions in one process: what a run brings, what becomes of errors, and whose rows a folder has."""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn import CollectReport, Hub, JsonLines, Parquet, Progress, collect
from asyncconn.core.paging import Page, Pager
from asyncconn.errors import (
    Answer,
    AsyncConnError,
    BadRequest,
    ConfigError,
    ConnectFailed,
    HubClosed,
    ServerError,
    StateInUse,
)

from .collecting_scene import LAYOUTS, Row, all_rows, found_in, numbers, of_a_coroutine, rows_of, unfinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from asyncconn import VirtualClock


# -- what a run brings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_all_rows_of_all_partitions_are_there_and_counted(tmp_path: Path, layout: Any) -> None:
    seen: list[Progress] = []
    into = JsonLines(tmp_path / "rows", layout=layout)

    report = await collect(range(100), numbers, into=into, on_progress=seen.append)

    assert await found_in(into) == all_rows(range(100))
    assert (report.done, report.skipped, report.failed, report.rows, report.repeated) == (100, 0, 0, 99, 0)
    assert report.complete
    assert seen[0] == Progress(0, 100, "partitions")
    assert seen[-1] == Progress(100, 100, "partitions")
    assert [one.done for one in seen] == sorted(one.done for one in seen)


async def of_a_pager_that_a_coroutine_returns(hub: Hub, partition: int) -> Pager[Row]:
    return of_a_pager(hub, partition)


def of_a_pager(hub: Hub, partition: int) -> Pager[Row]:
    async def page(cursor: Any) -> Page[Row]:
        rows = rows_of(partition)
        at = cursor or 0
        return Page(rows[at : at + 1], at + 1 if at + 1 < len(rows) else None)

    return Pager(page)


async def of_nothing(hub: Hub, partition: int) -> None:
    return None


@pytest.mark.parametrize("work", [of_a_coroutine, of_a_pager, of_a_pager_that_a_coroutine_returns, of_nothing])
async def test_work_may_give_its_rows_in_several_ways(tmp_path: Path, work: Any) -> None:
    into = JsonLines(tmp_path)

    report = await collect(range(10), work, into=into)

    assert report.done == 10
    assert await found_in(into) == ([] if work is of_nothing else all_rows(range(10)))


async def test_work_that_gives_something_else_fails_with_a_word_on_it(tmp_path: Path) -> None:
    def work(hub: Hub, partition: int) -> Any:
        return rows_of(partition)

    report = await collect([1], work, into=JsonLines(tmp_path))

    assert report.failed == 1
    assert "gave list" in str(report.failures[0].error)


async def test_partitions_may_come_one_by_one_and_one_that_comes_twice_is_done_once(tmp_path: Path) -> None:
    async def partitions() -> AsyncIterator[int]:
        for number in [1, 2, 2, 5, 1]:
            yield number

    into, seen = JsonLines(tmp_path), list[Progress]()
    report = await collect(partitions(), numbers, into=into, on_progress=seen.append)

    assert (report.done, report.skipped) == (3, 0)
    assert await found_in(into) == sorted(row["id"] for number in (1, 2, 5) for row in rows_of(number))
    assert seen[-1] == Progress(3, None, "partitions")


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_no_more_than_so_many_are_under_way_at_a_time(tmp_path: Path, layout: Any) -> None:
    under_way = most = 0
    all_there = asyncio.Event()

    async def work(hub: Hub, partition: int) -> AsyncIterator[Row]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if most == 7:
            all_there.set()
        await all_there.wait()
        for row in rows_of(partition):
            await asyncio.sleep(0)
            yield row
        under_way -= 1

    report = await collect(range(60), work, into=JsonLines(tmp_path, layout=layout), concurrency=7)

    assert report.done == 60
    assert most == 7


async def test_a_hub_is_made_and_closed_or_the_one_given_stays_open(tmp_path: Path) -> None:
    seen: list[Hub] = []

    async def work(hub: Hub, partition: int) -> None:
        hub.check()
        seen.append(hub)

    await collect([1, 2], work, into=JsonLines(tmp_path / "a"))
    async with Hub() as given:
        await collect([1], work, into=JsonLines(tmp_path / "b"), hub=given)
        given.check()
    made: list[Hub] = []

    def make() -> Hub:
        made.append(Hub())
        return made[-1]

    await collect([1], work, into=JsonLines(tmp_path / "c"), hub=make)

    assert seen[0] is seen[1]
    assert seen[2:] == [given, made[0]]
    for hub in (seen[0], made[0]):
        with pytest.raises(HubClosed):
            hub.check()


def test_a_report_says_nothing_of_partitions_that_are_well() -> None:
    assert CollectReport(done=2, rows=5).failures == ()


# -- errors ------------------------------------------------------------------------------------------------------------


@virtual
async def test_what_may_pass_is_tried_again_and_counted(clock: VirtualClock, tmp_path: Path) -> None:
    tries = Counter[int]()

    async def work(hub: Hub, partition: int) -> AsyncIterator[Row]:
        tries[partition] += 1
        yield {"id": partition}
        if tries[partition] <= partition:
            raise [ServerError("503", Answer("acme", 503)), ConnectFailed("refused"), OSError("gone")][
                tries[partition] % 3
            ]
        yield {"id": -partition}

    into = JsonLines(tmp_path)
    report = await collect(range(5), work, into=into, hub=lambda: Hub(clock=clock), retries=3)

    assert (report.done, report.failed, report.repeated) == (4, 1, 1 + 2 + 3 + 3)
    assert [one.partition for one in report.failures] == [4]
    assert tries[4] == 4
    assert sorted([row["id"] async for row in into.rows()]) == [-3, -2, -1, 0, 0, 1, 2, 3]


async def test_other_errors_fail_a_partition_at_once_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tries = Counter[int]()

    async def work(hub: Hub, partition: int) -> AsyncIterator[Row]:
        tries[partition] += 1
        yield {"id": partition}
        if partition == 3:
            raise KeyError("name")
        if partition == 4:
            raise BadRequest("400", Answer("acme", 400))
        if partition == 5:
            yield {"id": {1, 2}}

    into = JsonLines(tmp_path)
    report = await collect(range(9), work, into=into)

    assert (report.done, report.failed, report.rows, report.complete) == (6, 3, 6, False)
    assert {one.partition: type(one.error) for one in report.failures} == {3: KeyError, 4: BadRequest, 5: ConfigError}
    assert set(tries.values()) == {1}
    assert sorted([row["id"] async for row in into.rows()]) == [0, 1, 2, 6, 7, 8]
    assert unfinished(tmp_path) == []
    assert "3 partitions failed" in caplog.text


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_partition_whose_work_is_cancelled_by_others_has_failed_and_no_other(
    tmp_path: Path, layout: Any
) -> None:
    async def work(hub: Hub, partition: int) -> AsyncIterator[Row]:
        if partition == 3:
            waited_for = asyncio.create_task(asyncio.sleep(60))
            waited_for.cancel()
            await waited_for
        for row in rows_of(partition):
            yield row

    report = await collect(range(6), work, into=JsonLines(tmp_path, layout=layout), concurrency=2)

    assert (report.done, report.failed, report.complete) == (5, 1, False)
    assert [one.partition for one in report.failures] == [3]
    assert "the work of a partition was cancelled" in str(report.failures[0].error)


async def test_an_error_that_cannot_travel_is_reported_by_its_text(tmp_path: Path) -> None:
    class Local(Exception):
        pass

    async def work(hub: Hub, partition: int) -> None:
        raise Local("of this function")

    report = await collect([1], work, into=JsonLines(tmp_path))

    assert str(report.failures[0].error) == "Local: of this function"
    assert pickle.loads(pickle.dumps(report)).failed == 1  # noqa: S301 - packed right here


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_what_failed_is_done_by_the_next_call_and_nothing_else(tmp_path: Path, layout: Any) -> None:
    broken = True
    tries = Counter[int]()

    async def work(hub: Hub, partition: int) -> AsyncIterator[Row]:
        tries[partition] += 1
        for row in rows_of(partition):
            yield row
        if broken and partition % 5 == 0:
            raise ValueError("not today")

    into = JsonLines(tmp_path, layout=layout)
    first = await collect(range(50), work, into=into)
    broken = False
    # The flag is bound to the work: with another value it would be another run.
    second = await collect(range(50), work, into=into, run=first.run)
    third = await collect(range(50), work, into=into, run=first.run)

    assert (first.done, first.failed) == (40, 10)
    assert (second.done, second.skipped, second.failed) == (10, 40, 0)
    assert (third.done, third.skipped, third.rows) == (0, 50, 0)
    assert tries == {number: 2 if number % 5 == 0 else 1 for number in range(50)}
    assert await found_in(into) == all_rows(range(50))


async def test_partitions_that_are_cancelled_by_others_are_an_error_and_not_the_end_of_them(tmp_path: Path) -> None:
    async def partitions() -> AsyncIterator[int]:
        yield 1
        raise asyncio.CancelledError

    with pytest.raises(AsyncConnError, match="was cancelled"):
        await collect(partitions(), numbers, into=JsonLines(tmp_path))


async def test_an_error_of_the_partitions_ends_the_run_and_what_was_done_stays(tmp_path: Path) -> None:
    def partitions() -> Any:
        yield from range(5)
        raise RuntimeError("the list is cut")

    into = JsonLines(tmp_path)
    with pytest.raises(RuntimeError, match="the list is cut"):
        await collect(partitions(), numbers, into=into, concurrency=1)
    report = await collect(range(6), numbers, into=into)

    assert (report.done, report.skipped) == (1, 5)
    assert unfinished(tmp_path) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0},
        {"concurrency": 0},
        {"retries": -1},
        {"work": "numbers"},
        {"into": "a folder"},
        {"into": JsonLines},
        {"hub": "mine"},
    ],
    ids=str,
)
async def test_what_cannot_work_is_refused_at_once(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        await collect([1], **{"work": numbers, "into": JsonLines(tmp_path), **wrong})
    assert list(tmp_path.iterdir()) == []


# -- whose rows they are -----------------------------------------------------------------------------------------------


def day(hub: Hub, partition: int, *, date: str) -> Awaitable[list[Row]]:
    return of_a_coroutine(hub, partition)


async def test_the_rows_of_an_older_run_are_not_taken_for_those_of_this_one(tmp_path: Path) -> None:
    into = JsonLines(tmp_path)
    first = await collect(range(4), partial(day, date="2026-11-28"), into=into)

    with pytest.raises(ConfigError, match="rows of another run") as caught:
        await collect(range(4), partial(day, date="2026-11-29"), into=into)
    again = await collect(range(4), partial(day, date="2026-11-28"), into=into)
    named = await collect(range(5), partial(day, date="2026-11-29"), into=into, run=first.run)

    assert first.run in str(caught.value)
    assert again.skipped == 4
    assert (named.skipped, named.done) == (4, 1)


async def test_a_folder_of_another_form_layout_or_origin_is_refused(tmp_path: Path) -> None:
    await collect(range(4), numbers, into=JsonLines(tmp_path / "a"))
    for other in (Parquet(tmp_path / "a"), JsonLines(tmp_path / "a", layout="batch")):
        with pytest.raises(ConfigError, match="another form or layout"):
            await collect(range(4), numbers, into=other)

    (tmp_path / "a" / "run.json").write_text("{}")
    with pytest.raises(ConfigError, match="damaged"):
        await collect(range(4), numbers, into=JsonLines(tmp_path / "a"))

    (tmp_path / "a" / "run.json").unlink()
    with pytest.raises(ConfigError, match=r"no run\.json"):
        await collect(range(4), numbers, into=JsonLines(tmp_path / "a"))


async def test_one_call_has_a_folder_at_a_time(tmp_path: Path) -> None:
    async def work(hub: Hub, partition: int) -> None:
        with pytest.raises(StateInUse):
            await collect([1], numbers, into=JsonLines(tmp_path))

    report = await collect([1], work, into=JsonLines(tmp_path))

    assert report.done == 1


async def test_a_batch_of_an_attempt_that_is_over_is_not_added(tmp_path: Path) -> None:
    into = JsonLines(tmp_path, layout="batch")
    state = tmp_path / "run.json"

    def take_over() -> None:
        state.write_text(state.read_text().replace('"attempt": "', '"attempt": "another'))

    async def work(hub: Hub, partition: int) -> list[Row]:
        await asyncio.to_thread(take_over)  # as if this process had been cut off, and another one had gone on
        return [{"id": "late"}]

    with pytest.raises(ConfigError, match="this one is over"):
        await collect([1], work, into=into)

    assert [row async for row in into.rows()] == []
