"""A run that is cancelled or killed: what is there is whole, and the next call makes up for the rest."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import cancel_at_every_await

import asyncconn
from asyncconn import Hub, JsonLines, collect
from asyncconn.collecting.sinks import Run

from .collecting_scene import LAYOUTS, Row, all_rows, found_in, numbers, rows_of, unfinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


@pytest.mark.parametrize("layout", LAYOUTS)
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


@pytest.mark.parametrize("layout", LAYOUTS)
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


@pytest.mark.parametrize("layout", LAYOUTS)
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
