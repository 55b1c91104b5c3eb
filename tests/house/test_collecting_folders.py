"""Folders of files of rows, as partitions fill them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Hub, JsonLines, Parquet, collect, read_rows, sync
from asyncconn.errors import ConfigError

from .collecting_scene import LAYOUTS, Row, all_rows, found_in, numbers, of_a_coroutine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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


@pytest.mark.parametrize("layout", LAYOUTS)
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


KEYS = [".hidden", "../../escaped", "a/b", "Oslo", "7", "x" * 300]


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_whatever_key_gives_its_partition_is_in_the_folder_and_once(tmp_path: Path, layout: Any) -> None:
    into = JsonLines(tmp_path / "a" / "rows", layout=layout)
    reports = [await collect(range(6), of_a_coroutine, into=into, key=KEYS.__getitem__) for _ in range(2)]

    assert [(report.done, report.skipped, report.failed) for report in reports] == [(6, 0, 0), (0, 6, 0)]
    assert await found_in(into) == all_rows(range(6))
    assert {path.parents[1] for path in tmp_path.rglob("*.jsonl")} == {tmp_path / "a" / "rows"}


async def test_what_a_run_of_before_has_under_the_key_itself_is_not_done_again(tmp_path: Path) -> None:
    into = JsonLines(tmp_path)
    await collect(["bergen"], of_a_city, into=into, key=str)
    await into.save("Oslo", [{"id": "Oslo"}])
    report = await collect(["Oslo", "bergen", "Tromsø", "Oslo"], of_a_city, into=into, key=str)

    assert (report.done, report.skipped) == (1, 2)
    assert await found_in(into) == ["Oslo", "Tromsø", "bergen"]


async def of_a_city(hub: Hub, city: str) -> list[Row]:
    return [{"id": city}]


def _itself(partition: Any) -> Any:
    return partition


async def test_a_key_that_is_no_text_ends_the_run_before_any_work_is_done_for_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="key= gives a text"):
        await collect([1], numbers, into=JsonLines(tmp_path), key=_itself)


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
