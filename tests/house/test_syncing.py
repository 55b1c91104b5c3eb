"""From one list into another: what is read again, what is known, and what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncconn import Progress, SyncFailed, sync
from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.core.paging import Page, Pager
from asyncconn.errors import ConfigError, DeliveryFailed, InvalidRecord, StateInUse

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
    from pathlib import Path

Row = dict[str, Any]


class Killed(BaseException):
    """As if the process had ended there."""


@dataclass
class Target:
    """Keeps what it gets; ``before`` and ``after`` a batch is taken something may happen."""

    rows: list[Row] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    before: Callable[[list[Row]], object] = lambda rows: None
    after: Callable[[list[Row]], object] = lambda rows: None
    report: Callable[[list[Row]], FlushReport] = lambda rows: FlushReport(delivered=len(rows))

    async def deliver(self, rows: Iterable[Row] | AsyncIterable[Row]) -> FlushReport:
        assert isinstance(rows, list)
        self.before(rows)
        self.batches.append(len(rows))
        self.rows += rows
        self.after(rows)
        return self.report(rows)


def numbered(*cursors: Any) -> list[Row]:
    return [{"id": number, "at": cursor} for number, cursor in enumerate(cursors)]


def since(rows: list[Row], seen: list[Any] | None = None) -> Callable[[Any], list[Row]]:
    """A platform that gives what is not below a cursor."""

    def found(cursor: Any) -> list[Row]:
        if seen is not None:
            seen.append(cursor)
        return [row for row in rows if cursor is None or row["at"] >= cursor]

    return found


# -- what a run brings -------------------------------------------------------------------------------------------------


async def test_all_rows_of_a_pager_arrive_in_batches_and_are_counted() -> None:
    async def page(cursor: Any) -> Page[Row]:
        at = cursor or 0
        return Page(numbered(*range(at, at + 7)), at + 7 if at < 14 else None)

    target, seen = Target(), list[Progress]()
    report = await sync(Pager(page), into=target, batch=10, on_progress=seen.append)

    assert target.batches == [10, 10, 1]
    assert (report.read, report.known, report.delivered, report.complete) == (21, 0, 21, True)
    assert seen == [Progress(10, None, "rows"), Progress(20, None, "rows"), Progress(21, None, "rows")]


async def test_the_next_run_begins_at_the_greatest_cursor_in_whatever_order_rows_came(tmp_path: Path) -> None:
    seen: list[Any] = []
    rows = numbered(3, 9, 1, 9, 4)
    options: dict[str, Any] = {"state": tmp_path / "s.json", "cursor": "at", "key": "id"}
    first, second = Target(), Target()

    report = await sync(since(rows, seen), into=first, **options)
    rows.append({"id": "new at the edge", "at": 9})
    rows.append({"id": "later", "at": 12})
    again = await sync(since(rows, seen), into=second, **options)

    assert seen == [None, 9]
    assert (report.cursor, again.cursor) == (9, 12)
    assert [row["id"] for row in second.rows] == ["new at the edge", "later"]
    assert (again.read, again.known) == (4, 2)


async def test_a_run_that_finds_nothing_new_still_knows_the_edge(tmp_path: Path) -> None:
    rows = numbered("2026-01-01", "2026-01-02", "2026-01-02")
    options: dict[str, Any] = {"state": tmp_path / "s.json", "cursor": "at", "key": "id"}
    target = Target()

    for _ in range(4):
        await sync(since(rows), into=target, **options)
    await sync(lambda cursor: [], into=target, **options)
    await sync(since(rows), into=target, **options)

    assert target.rows == rows


async def test_a_changed_row_arrives_again(tmp_path: Path) -> None:
    rows = numbered(1, 2)
    options: dict[str, Any] = {"state": tmp_path / "s.json", "cursor": "at", "key": "id"}
    target = Target()

    await sync(since(rows), into=target, **options)
    rows[0]["at"] = 3
    await sync(since(rows), into=target, **options)

    assert target.rows[2:] == [{"id": 0, "at": 3}]


async def test_rows_without_a_key_are_known_by_all_that_is_in_them_and_as_often_as_they_came(tmp_path: Path) -> None:
    rows = [{"at": 5, "x": 1}, {"at": 5, "x": 1}, {"at": 5, "x": 2}]
    options: dict[str, Any] = {"state": tmp_path / "s.json", "cursor": "at"}
    target = Target()

    await sync(since(rows), into=target, **options)
    rows += [{"x": 1, "at": 5}, {"at": 5, "x": 3}]
    await sync(since(rows), into=target, **options)

    assert target.rows == rows


async def test_rows_that_are_read_whole_are_taken_from_the_cursor_on(tmp_path: Path) -> None:
    rows = numbered(1, 2, 3)
    options: dict[str, Any] = {"state": tmp_path / "s.json", "cursor": "at", "key": "id"}
    target = Target()

    await sync(rows, into=target, **options)
    rows += [{"id": "late", "at": 2}, {"id": "new", "at": 4}]
    report = await sync(rows, into=target, **options)

    assert [row["id"] for row in target.rows] == [0, 1, 2, "new"]
    assert (report.read, report.known) == (5, 4)


async def test_without_a_cursor_every_run_brings_everything(tmp_path: Path) -> None:
    rows, target = numbered(1, 2), Target()

    for _ in range(2):
        await sync(rows, into=target, state=tmp_path / "s.json")

    assert target.rows == rows * 2
    assert not (tmp_path / "s.json.rows").exists()


async def test_columns_may_be_several_or_functions_or_attributes(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Point:
        name: str
        at: int

    points = [Point("a", 1), Point("b", 1), Point("a", 1)]
    got: list[Point] = []

    class Points:
        async def deliver(self, rows: Iterable[Point] | AsyncIterable[Point]) -> FlushReport:
            assert isinstance(rows, list)
            got.extend(rows)
            return FlushReport(delivered=len(rows))

    await sync(points, into=Points(), state=tmp_path / "one", cursor="at", key=("name", "at"))
    report = await sync(
        points, into=Points(), state=tmp_path / "one", cursor="at", key=lambda point: [point.name, point.at]
    )

    assert (got, report.known) == (points, 3)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


async def test_what_did_not_arrive_ends_the_run_and_is_sent_again_by_the_next(tmp_path: Path) -> None:
    rows = numbered(*range(10))
    options: dict[str, Any] = {"state": tmp_path / "s.json", "cursor": "at", "key": "id", "batch": 4}
    cause = DeliveryFailed("acme: the disk is full", records=rows[4:8], maybe_delivered=False)
    answers = [FlushReport(delivered=4), FlushReport(delivered=1, failed=3, failures=(cause,))]
    target = Target(report=lambda rows: answers.pop(0))

    with pytest.raises(SyncFailed, match="3 rows did not arrive: acme: the disk is full") as caught:
        await sync(since(rows), into=target, **options)

    assert (caught.value.report.delivered, caught.value.__cause__) == (5, cause)
    second = Target()
    report = await sync(since(rows), into=second, **options)
    assert second.rows == rows[4:]
    assert (report.read, report.known, report.delivered) == (10, 4, 6)


@pytest.mark.parametrize(
    ("report", "goes_on"),
    [
        (FlushReport(delivered=1, rejected=1), True),
        (FlushReport(delivered=1, pending=1, spooled=1), True),
        (FlushReport(delivered=1, pending=1), False),
        (FlushReport(delivered=1, unknown=1), False),
    ],
)
async def test_only_what_the_target_has_or_refuses_is_done(tmp_path: Path, report: FlushReport, goes_on: bool) -> None:
    rows, state = numbered(1, 2), tmp_path / "s.json"
    target = Target(report=lambda rows: report)

    with suppress(SyncFailed):
        await sync(since(rows), into=target, state=state, cursor="at", key="id")
    await sync(since(rows), into=(second := Target()), state=state, cursor="at", key="id")

    assert second.rows == ([] if goes_on else rows)


async def test_what_a_source_gave_before_it_failed_arrives(tmp_path: Path) -> None:
    async def rows(cursor: Any) -> AsyncIterator[Row]:
        for row in numbered(1, 2, 3):
            yield row
        if cursor is None and not broken:
            broken.append(True)
            raise ConnectionError("the platform is gone")

    broken: list[bool] = []
    target = Target()
    options: dict[str, Any] = {"state": tmp_path / "s.json", "cursor": "at", "key": "id", "batch": 2}

    with pytest.raises(ConnectionError) as caught:
        await sync(rows, into=target, **options)
    await sync(rows, into=target, **options)

    assert caught.value.__notes__ == ["3 rows had arrived before"]
    assert target.rows == numbered(1, 2, 3)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"id": 1}, "it has no 'at'"),
        ({"at": 1}, "it has no 'id'"),
        ({"id": 1, "at": None}, "the cursor is a number or a text, not None"),
        ({"id": 1, "at": True}, "the cursor is a number or a text, not True"),
        ({"id": 1, "at": float("nan")}, "the cursor is a number or a text, not nan"),
        ({"id": 1, "at": "1"}, "the cursors 2 and '1' cannot be compared"),
        ({"id": {1}, "at": 1}, "the body is not JSON"),
    ],
)
async def test_a_row_that_cannot_be_placed_is_named_and_those_before_it_arrive(row: Row, why: str) -> None:
    target = Target()

    with pytest.raises(InvalidRecord, match="record 2: ") as caught:
        await sync([*numbered(1, 2), row], into=target, cursor="at", key="id")

    assert why in str(caught.value)
    assert caught.value.index == 2
    assert target.rows == numbered(1, 2)


async def test_a_row_that_the_target_cannot_take_has_its_number_among_all(tmp_path: Path) -> None:
    def refuse(rows: list[Row]) -> None:
        for index, row in enumerate(rows):
            if row["id"] == 5:
                raise InvalidRecord("too odd", index=index)

    with pytest.raises(InvalidRecord) as caught:
        await sync(numbered(*range(8)), into=Target(before=refuse), batch=3)

    assert caught.value.index == 5


async def test_bad_arguments_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    def never(cursor: Any) -> list[Row]:
        raise AssertionError

    damaged = tmp_path / "damaged"
    damaged.write_text('{"cursor": 1, "edge": ["zz"]}')
    await sync(numbered(1), into=Target(), state=(other := tmp_path / "other"), cursor="id")

    with pytest.raises(ConfigError, match="batch must be 1 or more"):
        await sync(never, into=Target(), cursor="at", batch=0)
    with pytest.raises(ConfigError, match="needs cursor="):
        await sync(never, into=Target())
    with pytest.raises(ConfigError, match="is damaged or none of ours"):
        await sync(never, into=Target(), cursor="at", state=damaged)
    with pytest.raises(ConfigError, match="is of the cursor 'id', not 'at'"):
        await sync(never, into=Target(), cursor="at", state=other)


async def test_a_state_is_one_runs_at_a_time(tmp_path: Path) -> None:
    async def rows(cursor: Any) -> AsyncIterator[Row]:
        with pytest.raises(StateInUse):
            await sync(numbered(1), into=Target(), state=tmp_path / "s.json", cursor="at")
        yield {"id": 1, "at": 1}

    report = await sync(rows, into=Target(), state=tmp_path / "s.json", cursor="at")

    assert report.delivered == 1


# -- kills -------------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(data=st.data())
async def test_however_often_it_is_killed_nothing_is_lost_and_a_kill_doubles_no_more_than_a_batch(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    state = tmp_path_factory.mktemp("sync") / "s.json"
    batch = data.draw(st.integers(1, 5), label="batch")
    keyed = data.draw(st.booleans(), label="keyed")
    rows: list[Row] = []
    got: Counter[tuple[Any, ...]] = Counter()
    kills = 0

    def count(some: list[Row]) -> None:
        got.update((row["id"], row["at"]) for row in some)

    top = 0
    for _ in range(data.draw(st.integers(1, 3), label="rounds")):
        # What is new is not below what was there: that is what a cursor stands on. Rows come in any order.
        new = data.draw(st.lists(st.integers(top, top + 4), max_size=12), label="new")
        rows = data.draw(st.permutations([*rows, *({"id": len(rows) + n, "at": at} for n, at in enumerate(new))]))
        for life in range(20):
            left = data.draw(st.integers(0, 6), label="batches until the kill") if life < 4 else 1000
            early = data.draw(st.booleans(), label="killed before the target has it")

            def strike(some: list[Row]) -> None:
                nonlocal left
                left -= 1
                if left < 0:
                    raise Killed

            target = Target(before=strike, after=count) if early else Target(before=count, after=strike)
            try:
                await sync(since(rows), into=target, state=state, cursor="at", key="id" if keyed else None, batch=batch)
                break
            except Killed:
                kills += 1
        top = max([top, *(row["at"] for row in rows)])

    assert set(got) == {(row["id"], row["at"]) for row in rows}
    assert got.total() - len(got) <= kills * batch


PROGRAM = """
import asyncio, sys
from asyncconn import sync
from asyncconn.core.buffer.receipts import FlushReport

class Target:
    async def deliver(self, rows):
        with open(sys.argv[1], "a") as file:
            file.writelines(f"{row['id']}\\n" for row in rows)
        print(len(rows), flush=True)
        return FlushReport(delivered=len(rows))

rows = [{"id": number, "at": number % 7} for number in range(2000)]
asyncio.run(sync(lambda since: rows, into=Target(), state=sys.argv[2], cursor="at", key="id", batch=10))
"""


def test_a_process_that_is_killed_is_made_up_for_by_the_next(tmp_path: Path) -> None:
    got, state = tmp_path / "got", tmp_path / "s.json"
    command = [sys.executable, "-c", PROGRAM, str(got), str(state)]
    kills = 3

    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(15):
            assert process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
    assert not state.exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=15)

    ids = Counter(got.read_text().split())
    assert set(ids) == set(map(str, range(2000)))
    assert ids.total() - len(ids) <= kills * 10
    assert json.loads(state.read_text())["cursor"] == 6


async def test_a_journal_that_was_cut_or_is_of_another_run_is_no_danger(tmp_path: Path) -> None:
    rows = numbered(*range(6))
    options: dict[str, Any] = {"state": tmp_path / "s.json", "cursor": "at", "key": "id", "batch": 2}
    journal = tmp_path / "s.json.rows"

    def die(some: list[Row]) -> None:
        if some[0]["id"] == 4:
            raise Killed

    with pytest.raises(Killed):
        await sync(since(rows), into=Target(before=die), **options)
    old = journal.read_bytes()
    journal.write_bytes(old[:-5])  # the last of four digests is cut
    await sync(since(rows), into=(second := Target()), **options)
    assert [row["id"] for row in second.rows] == [3, 4, 5]

    journal.write_bytes(old)  # as if the end of the last run had been cut short before it was removed
    rows[5] = {"id": 0, "at": 5}
    await sync(since([rows[5]]), into=(third := Target()), **options)
    assert third.rows == [{"id": 0, "at": 5}]
