"""Folders of files of rows, as partitions fill them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import Hub, JsonLines, Parquet, collect, read_rows, sync
from asyncconn.errors import ConfigError

from .collecting_scene import LAYOUTS, Row, all_rows, found_in, numbers

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
