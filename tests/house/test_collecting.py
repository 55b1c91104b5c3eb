"""Partitions in one process: each whole or not at all, once, and made up for when a run was cut short."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import cancel_at_every_await, virtual

import asyncconn
from asyncconn import CollectReport, Hub, JsonLines, Parquet, Progress, collect, read_rows, sync
from asyncconn.collecting.sinks import Run
from asyncconn.core.paging import Page, Pager
from asyncconn.errors import Answer, BadRequest, ConfigError, ConnectFailed, HubClosed, ServerError, StateInUse

from .collecting_scene import Row, all_rows, found_in, numbers, rows_of, unfinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from asyncconn import VirtualClock

LAYOUTS = pytest.mark.parametrize("layout", ["partition", "batch"])


# -- what a run brings -------------------------------------------------------------------------------------------------


@LAYOUTS
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


async def of_a_coroutine(hub: Hub, partition: int) -> list[Row]:
    return rows_of(partition)


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


@LAYOUTS
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


async def test_an_error_that_cannot_travel_is_reported_by_its_text(tmp_path: Path) -> None:
    class Local(Exception):
        pass

    async def work(hub: Hub, partition: int) -> None:
        raise Local("of this function")

    report = await collect([1], work, into=JsonLines(tmp_path))

    assert str(report.failures[0].error) == "Local: of this function"
    assert pickle.loads(pickle.dumps(report)).failed == 1  # noqa: S301 - packed right here


@LAYOUTS
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


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"concurrency": 0}, {"retries": -1}])
async def test_what_cannot_work_is_refused_at_once(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        await collect([1], numbers, into=JsonLines(tmp_path), **wrong)
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


# -- cut short ---------------------------------------------------------------------------------------------------------


@LAYOUTS
async def test_after_a_cancellation_no_partition_is_begun_and_the_next_call_goes_on(
    tmp_path: Path, layout: Any
) -> None:
    begun: list[int] = []
    enough = asyncio.Event()

    async def work(hub: Hub, partition: int) -> AsyncIterator[Row]:
        begun.append(partition)
        if len(begun) == 30:
            enough.set()
        for row in rows_of(partition):
            await asyncio.sleep(0.001)
            yield row

    into = JsonLines(tmp_path, layout=layout)
    running = asyncio.create_task(collect(range(100), work, into=into, batch=10, concurrency=4, run="it"))
    await enough.wait()
    running.cancel()
    await asyncio.wait({running})
    count = len(begun)

    assert running.cancelled()
    assert unfinished(tmp_path) == []
    await asyncio.sleep(0.01)
    assert len(begun) == count < 100

    report = await collect(range(100), work, into=into, run="it")
    assert report.skipped > 0
    assert await found_in(into) == all_rows(range(100))


@LAYOUTS
async def test_cancelled_at_any_await_it_leaves_whole_partitions_only(tmp_path: Path, layout: Any) -> None:
    folders: list[Path] = []

    async def make() -> Callable[[], Awaitable[object]]:
        folders.append(tmp_path / str(len(folders)))
        return partial(collect, [1, 2], numbers, into=JsonLines(folders[-1], layout=layout), concurrency=1, run="it")

    async def check(error: BaseException | None) -> None:
        into = JsonLines(folders[-1], layout=layout)
        assert unfinished(folders[-1]) == []
        report = await collect([1, 2], numbers, into=into, run="it")
        assert report.done + report.skipped == 2
        assert await found_in(into) == all_rows(range(1, 3))

    assert await cancel_at_every_await(make, check) > 3


KILLS = 3
PROGRAM = """
import asyncio, sys
from asyncconn import JsonLines, collect

async def work(hub, partition):
    print(partition, flush=True)
    for number in range(partition % 3):
        await asyncio.sleep(0.001)
        yield {"id": f"{partition}.{number}", "of": partition}

asyncio.run(collect(range(400), work, into=JsonLines(sys.argv[1], layout=sys.argv[2]), batch=20))
"""


@LAYOUTS
@pytest.mark.slow(90)
async def test_a_process_that_is_killed_is_made_up_for_by_the_next(tmp_path: Path, layout: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    rows = tmp_path / "rows"
    command = [sys.executable, str(program), str(rows), layout]
    environment = {**os.environ, "PYTHONPATH": str(Path(asyncconn.__file__).parents[1])}
    begun = Counter[str]()

    for _ in range(KILLS):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            try:
                for _ in range(random.randint(20, 120)):
                    if (line := process.stdout.readline()).endswith("\n"):
                        begun[line] += 1
            finally:
                process.kill()
            begun.update(line for line in process.stdout if line.endswith("\n"))  # the kill may cut the last one
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60, env=environment)
    begun.update(done.stdout.splitlines(keepends=True))

    assert await found_in(JsonLines(rows, layout=layout)) == all_rows(range(400))
    assert len(begun) == 400
    assert begun.total() - 400 <= KILLS * (16 if layout == "partition" else 40)
    assert unfinished(rows) == []


async def test_what_a_kill_left_under_a_hidden_name_is_swept_and_not_counted(tmp_path: Path) -> None:
    into = JsonLines(tmp_path)
    await collect(range(20), numbers, into=into)
    file = into.place("7")
    file.rename(file.with_name(f".{file.name}.abc"))
    (tmp_path / "cd").mkdir(exist_ok=True)
    (tmp_path / "cd" / "batch-1.names").write_text("{}")

    report = await collect(range(20), numbers, into=into)

    assert (report.done, report.skipped) == (1, 19)
    assert unfinished(tmp_path) == []
    assert await found_in(into) == all_rows(range(20))


# -- files -------------------------------------------------------------------------------------------------------------


async def test_a_batch_is_one_file_with_the_names_of_its_partitions_beside_it(tmp_path: Path) -> None:
    into = JsonLines(tmp_path, layout="batch")

    await collect(range(60), numbers, into=into, batch=20)

    files = sorted(path.name for path in tmp_path.rglob("batch-*"))
    assert [name.partition(".")[2] for name in files] == ["jsonl", "names"] * 3
    assert await found_in(into) == all_rows(range(60))


async def test_many_partitions_are_spread_over_folders(tmp_path: Path) -> None:
    await collect(range(1000), numbers, into=JsonLines(tmp_path), concurrency=32)

    counts = Counter(path.parent.name for path in tmp_path.rglob("*.jsonl"))
    assert sum(counts.values()) == 1000
    assert len(counts) > 200
    assert max(counts.values()) < 20


@LAYOUTS
async def test_parquet_has_the_types_of_its_schema_in_every_file(tmp_path: Path, layout: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    schema = pyarrow.schema({"id": pyarrow.int64(), "level": pyarrow.float64()})

    async def work(hub: Hub, partition: int) -> AsyncIterator[Row]:
        if partition:
            yield {"id": partition, "level": None if partition == 2 else partition}

    into = Parquet(tmp_path, schema, layout=layout)
    report = await collect(range(6), work, into=into, batch=2)
    again = await collect(range(6), work, into=into)

    assert (report.done, report.rows, again.skipped) == (6, 5, 6)
    assert sorted([row["id"] async for row in into.rows()]) == [1, 2, 3, 4, 5]
    for path in tmp_path.rglob("*.parquet"):
        assert pyarrow.parquet.read_schema(path) == schema


async def test_a_row_that_the_schema_does_not_know_fails_its_partition(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")

    async def work(hub: Hub, partition: int) -> list[Row]:
        return [{"id": partition, "new": 1}]

    report = await collect([1], work, into=Parquet(tmp_path, pyarrow.schema({"id": pyarrow.int64()})))

    assert "the schema lacks 'new'" in str(report.failures[0].error)


async def test_a_folder_is_a_sink_of_whatever_delivers_rows(tmp_path: Path) -> None:
    into = JsonLines(tmp_path)

    report = await sync([{"id": 1}, {"id": 2}, {"id": 3}], into=into, batch=2)

    assert report.delivered == 3
    assert [row["id"] async for row in into.rows()] == [1, 2, 3] or len([1 async for _ in into.rows()]) == 3
    assert len(list(tmp_path.rglob("*.jsonl"))) == 2


async def test_a_wrong_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="layout must be"):
        JsonLines(tmp_path, layout="both")  # type: ignore[arg-type] # what it refuses


async def test_a_folder_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="file"):
        await collect([1], numbers, into=JsonLines(tmp_path / "file"))


async def test_each_row_keeps_every_digit(tmp_path: Path) -> None:
    async def work(hub: Hub, partition: str) -> list[Row]:
        return [{"id": 2**70}]

    into = JsonLines(tmp_path)
    await collect(["a/../b"], work, into=into)

    [path] = tmp_path.rglob("*.jsonl")
    assert [row async for row in read_rows(path)] == [{"id": 2**70}]


def test_a_report_says_nothing_of_partitions_that_are_well() -> None:
    assert CollectReport(done=2, rows=5).failures == ()


async def test_a_batch_that_is_done_again_adds_what_it_lacked(tmp_path: Path) -> None:
    into, run = JsonLines(tmp_path, layout="batch"), Run("it", "now")

    async def give(*rows: Row) -> AsyncIterator[Row]:
        for row in rows:
            yield row

    async with into.hold(run), Hub() as hub:
        place = await into.open(run, hub)
        first = place.writing(["a", "b"])
        await first.write("a", give({"id": 1}, {"id": 2}))
        await first.finish()  # "b" has failed; and then the process is lost, before it could tell
        again = place.writing(["a", "b"])
        assert (await again.found("a"), await again.found("b")) == (2, None)
        await again.write("b", give({"id": 3}))
        await again.finish()

    assert sorted([row["id"] async for row in into.rows()]) == [1, 2, 3]
    async with into.hold(run) as names:
        assert names == {"a", "b"}
