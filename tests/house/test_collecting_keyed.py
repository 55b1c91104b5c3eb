"""Partitions into a sink that knows rows by a key: what arrives twice is one row there."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import FlushReport, Hub, Keyed, Panoply, collect
from asyncconn.errors import ConfigError, DeliveryFailed, InvalidRecord
from asyncconn.sandbox import Sandbox

from .collecting_scene import Row, all_rows, numbers, rows_of, unfinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable
    from pathlib import Path


@dataclass
class Target:
    """Keeps rows by their key, and counts how often each came."""

    rows: dict[str, Row] = field(default_factory=dict)
    came: Counter[str] = field(default_factory=Counter)
    refuses: set[str] = field(default_factory=set)
    breaks: set[str] = field(default_factory=set)

    async def deliver(self, rows: Iterable[Row] | AsyncIterable[Row]) -> FlushReport:
        assert isinstance(rows, list)
        await asyncio.sleep(0)
        failures = []
        refused = [row for row in rows if row["id"] in self.refuses]
        lost = [row for row in rows if row["id"] in self.breaks]
        if refused:
            reasons = ["not wanted"] * len(refused)
            failures.append(DeliveryFailed("refused", records=refused, maybe_delivered=False, reasons=reasons))
        if lost:
            failures.append(DeliveryFailed("the line is cut", records=lost, maybe_delivered=False))
        for row in rows:
            if row not in refused and row not in lost:
                self.rows[row["id"]] = row
                self.came[row["id"]] += 1
        good = len(rows) - len(refused) - len(lost)
        return FlushReport(delivered=good, rejected=len(refused), failed=len(lost), failures=tuple(failures))


async def test_rows_of_all_partitions_arrive_and_the_next_call_sends_none_of_them_again(tmp_path: Path) -> None:
    target = Target()
    into = Keyed(target, key="id", done=tmp_path / "done")

    first = await collect(range(50), numbers, into=into)
    again = await collect(range(60), numbers, into=into)

    assert (first.done, first.rows, again.done, again.skipped) == (50, 49, 10, 50)
    assert target.came == Counter(all_rows(range(60)))


async def test_a_partition_that_was_cut_short_is_sent_again_as_a_whole(tmp_path: Path) -> None:
    target = Target()
    into = Keyed(target, key="id", done=tmp_path / "done")
    rows = [{"id": str(number)} for number in range(1200)]
    cut = True

    async def work(hub: Hub, partition: int) -> AsyncIterator[Row]:
        for row in rows:
            if cut and row["id"] == "700":
                raise KeyError("cut")
            yield row

    first = await collect([1], work, into=into, run="it")
    cut = False
    second = await collect([1], work, into=into, run="it")

    assert (first.failed, second.done, second.rows) == (1, 1, 1200)
    assert len(target.rows) == 1200
    assert target.came["0"] == 2
    assert target.came["700"] == 1
    assert unfinished(tmp_path) == []


async def test_a_row_without_the_key_fails_its_partition(tmp_path: Path) -> None:
    async def work(hub: Hub, partition: int) -> list[Any]:
        rows: list[list[Any]] = [[{"id": "1"}, {"name": "2"}], [{"id": None}], ["id"]]
        return rows[partition]

    report = await collect(range(3), work, into=Keyed(Target(), key="id", done=tmp_path))

    assert report.failed == 3
    errors = {one.partition: one.error for one in report.failures}
    assert all(isinstance(error, InvalidRecord) and "has no 'id'" in str(error) for error in errors.values())
    assert getattr(errors[0], "index", None) == 1


async def test_rows_that_did_not_arrive_fail_their_partition_and_refused_ones_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = Target(refuses={"1.0"}, breaks={"2.1"})
    into = Keyed(target, key="id", done=tmp_path)

    first = await collect(range(3), numbers, into=into)
    target.breaks.clear()
    second = await collect(range(3), numbers, into=into)

    assert (first.done, first.failed) == (2, 1)
    assert isinstance(first.failures[0].error, DeliveryFailed)
    assert "1 rows did not arrive: the line is cut" in str(first.failures[0].error)
    assert "1 rows were rejected: not wanted" in caplog.text
    assert (second.skipped, second.done) == (2, 1)
    assert set(target.rows) == {row["id"] for row in rows_of(2)}


async def test_a_sink_may_be_made_of_the_hub_such_as_a_table_of_panoply(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:

        def table(hub: Hub) -> Any:
            account = sandbox.panoply
            return Panoply(account.api_key, account.api_secret, endpoint_url=sandbox.url, hub=hub).table("rows")

        report = await collect(range(30), numbers, into=Keyed(table, key="id", done=tmp_path))
        landed = sandbox.panoply.tables()

    assert report.rows == 30
    assert landed == {"rows": 30}


async def test_a_mark_has_a_name_that_stays_in_its_folder(tmp_path: Path) -> None:
    keys = [".hidden", "../../escaped", "a/b"]
    into = Keyed(Target(), key="id", done=tmp_path / "a" / "done")
    reports = [await collect(range(3), numbers, into=into, key=keys.__getitem__) for _ in range(2)]

    assert [(report.done, report.skipped) for report in reports] == [(3, 0), (0, 3)]
    assert {path.parents[1] for path in tmp_path.rglob("*.done")} == {tmp_path / "a" / "done"}


async def test_a_key_is_the_name_of_a_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name of a column"):
        Keyed(Target(), key="", done=tmp_path)
