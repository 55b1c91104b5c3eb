"""Pure parts: which requests are made of which input, what a log says, what a result tells."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.datorama import BulkResult, DataStream, DateRange, Item, Job
from asyncconn.datorama.bulk.history import History
from asyncconn.datorama.bulk.planning import chunked, pieces, plan
from asyncconn.datorama.coverage import covers, uncovered
from asyncconn.datorama.errors import BulkFailed, UnequalInput
from asyncconn.datorama.given import listed, one_for_each
from asyncconn.datorama.log import COLUMNS, JobLog, LogRow, read_log
from asyncconn.errors import Answer, ConfigError, NotFound

if TYPE_CHECKING:
    from pathlib import Path

JANUARY = DateRange.of("2026-01-01", "2026-01-31")
AT = datetime(2026, 2, 1, 12, tzinfo=UTC)


def days(start: int, end: int) -> DateRange:
    return DateRange.of(f"2026-01-{start:02}", f"2026-01-{end:02}")


def stream(number: int, workspace: int = 1, **fields: Any) -> DataStream:
    return DataStream(id=number, workspace_id=workspace, enabled=True, **fields)


# -- days --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("done", "left"),
    [
        ([], [(1, 31)]),
        ([(1, 31)], []),
        ([(1, 10)], [(11, 31)]),
        ([(22, 31)], [(1, 21)]),
        ([(5, 6), (20, 25)], [(1, 4), (7, 19), (26, 31)]),
        ([(20, 25), (1, 22), (3, 4)], [(26, 31)]),
    ],
)
def test_what_is_left_of_a_range(done: list[tuple[int, int]], left: list[tuple[int, int]]) -> None:
    assert uncovered(JANUARY, [days(*one) for one in done]) == [days(*one) for one in left]


def test_what_lies_outside_a_range_covers_nothing_of_it() -> None:
    around = [DateRange.of("2025-12-01", "2025-12-31"), DateRange.of("2026-02-01", "2026-02-28")]

    assert uncovered(JANUARY, around) == [JANUARY]
    assert uncovered(JANUARY, [DateRange.of("2025-12-01", "2026-02-28")]) == []


def test_jobs_without_days_cover_nothing() -> None:
    assert not covers([Job(id=1)], JANUARY)


def test_windows_of_ten_days_are_left_to_the_server() -> None:
    assert pieces(stream(1), JANUARY, 10, "window", None) == [JANUARY]


def test_another_length_and_even_parts_are_asked_for_piece_by_piece() -> None:
    assert pieces(stream(1), JANUARY, 15, "window", None) == [days(1, 15), days(16, 30), days(31, 31)]
    assert [part.days for part in pieces(stream(1), JANUARY, 10, "even", None)] == [8, 8, 8, 7]


def test_a_range_of_more_jobs_than_the_capacity_is_cut_where_the_server_would_cut_it() -> None:
    assert pieces(stream(1), JANUARY, 10, "window", 2) == [days(1, 20), days(21, 31)]
    assert pieces(stream(1, fetch_day_span=5), JANUARY, 10, "window", 4) == [days(1, 20), days(21, 31)]


# -- grouping ----------------------------------------------------------------------------------------------------------


def grouped(*ranges: tuple[DataStream, DateRange], **options: Any) -> list[tuple[list[int], bool]]:
    given: dict[str, Any] = {"most": None, "batch": True, "create": False, **options}
    return [([one.id for one in sub.streams], sub.batch) for sub in plan(ranges, **given)]


def test_equal_days_of_api_streams_of_a_workspace_go_together() -> None:
    ranges = [(stream(number, number % 2), JANUARY) for number in range(6)]

    assert grouped(*ranges) == [([0, 2, 4], True), ([1, 3, 5], True)]
    assert grouped(*ranges, batch=False) == [([number], False) for number in range(6)]


def test_other_days_go_in_another_call() -> None:
    assert grouped((stream(1), JANUARY), (stream(2), days(1, 2)), (stream(3), JANUARY)) == [
        ([1, 3], True),
        ([2], False),
    ]


def test_file_based_and_disabled_streams_go_alone() -> None:
    files = stream(2, data_source_name="TotalConnect")
    disabled = stream(3)
    disabled.enabled = False

    found = grouped((stream(1), JANUARY), (files, JANUARY), (disabled, JANUARY), (stream(4), JANUARY))

    assert found == [([1, 4], True), ([2], False), ([3], False)]


def test_a_batch_has_no_more_jobs_than_the_capacity() -> None:
    ranges = [(stream(number), days(1, 15)) for number in range(5)]

    assert [len(streams) for streams, _ in grouped(*ranges, most=4)] == [2, 2, 1]
    assert [len(streams) for streams, _ in grouped(*ranges, most=1)] == [1] * 5
    assert [len(part) for part in chunked(list(range(250)), None)] == [100, 100, 50]


def test_the_first_time_is_told_even_for_one_stream_but_never_for_file_based_ones() -> None:
    files = stream(2, data_source_name="TotalConnect")

    assert grouped((stream(1), JANUARY), (files, JANUARY), create=True) == [([1], True), ([2], False)]


# -- inputs ------------------------------------------------------------------------------------------------------------


def test_one_or_several() -> None:
    assert listed(7, "streams") == [7]
    assert listed((number for number in (1, 2)), "streams") == [1, 2]
    assert one_for_each("2026-01-01", 2, "starts") == ["2026-01-01"] * 2
    with pytest.raises(UnequalInput, match="starts has 3 entries for 2 streams"):
        one_for_each(["a", "b", "c"], 2, "starts")
    with pytest.raises(ConfigError, match="streams is empty"):
        listed([], "streams")


# -- the log -----------------------------------------------------------------------------------------------------------


def row(
    status: str, start: int = 1, end: int = 10, job: str = "na", kind: str = "process", at: datetime = AT
) -> LogRow:
    first, last = ("", "") if kind == "rerun" else (f"2026-01-{start:02}", f"2026-01-{end:02}")
    return LogRow("41", "7", job, kind, first, last, status, at.isoformat())


def test_what_was_accepted_is_not_left() -> None:
    history = History([row("sending", 1, 31), row("queued", 1, 10, "901"), row("queued", 11, 20, "902")])

    assert history.left(7, JANUARY) == [days(21, 31)]
    assert history.sent_at(7, days(21, 31)) == AT
    assert [job.id for job in history.jobs(7, days(5, 12))] == [901, 902]
    assert history.left(8, JANUARY) == [JANUARY]


@pytest.mark.parametrize("last", ["sending", "unknown"])
def test_what_was_sent_and_never_answered_is_in_doubt(last: str) -> None:
    history = History([row("sending"), row(last, at=AT + timedelta(hours=1))])

    assert history.left(7, days(1, 10)) == [days(1, 10)]
    assert history.sent_at(7, days(10, 12)) == AT
    assert history.sent_at(7, days(11, 12)) is None


def test_what_was_refused_is_left_and_in_no_doubt() -> None:
    history = History([row("sending"), row("error")])

    assert history.left(7, days(1, 10)) == [days(1, 10)]
    assert history.sent_at(7, days(1, 10)) is None


def test_reruns_are_remembered_by_their_job_and_are_no_days() -> None:
    history = History([row("sending", job="901", kind="rerun"), row("queued", job="901", kind="rerun")])
    doubtful = History([row("sending", job="all", kind="rerun")])

    assert [job.id for job in history.rerun(7, 901) or []] == [901]
    assert history.rerun(7, 902) is None
    assert doubtful.rerun(7, "all") is None
    assert doubtful.rerun_sent_at(7, "all") == AT


def test_lines_of_pydatorama_itself_are_understood() -> None:
    theirs = LogRow("41", "7", "901", "process", "2026-01-01", "2026-01-10", "success", "2026-01-12 10:00:00.5", "nat")
    odd = LogRow("41", "x", "na", "process", "na", "na", "error", "?", "nat")

    assert History([theirs, odd]).left(7, days(1, 12)) == [days(11, 12)]


async def test_a_line_is_in_the_file_when_it_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    log = JobLog(path)
    assert await log.open() == []

    await log.append([row("queued", job="901"), row("queued", 11, 20, "902")])

    assert path.read_text().splitlines()[0] == "workspace,stream,job,job_type,start,end,status,exec_start,exec_end"
    assert (
        await JobLog(path).open()
        == await asyncio.to_thread(read_log, path)
        == [row("queued", job="901"), row("queued", 11, 20, "902")]
    )


async def test_a_line_that_was_cut_off_is_left_out_and_the_next_one_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    await JobLog(path).open()
    await JobLog(path).append([row("queued", job="901")])
    whole = path.read_bytes()
    for cut in range(len(",".join(COLUMNS)) + 1, len(whole)):
        path.write_bytes(whole[:cut])
        log = JobLog(path)
        await log.open()
        await log.append([row("queued", 11, 20, "902")])

        found = await asyncio.to_thread(read_log, path)
        assert found[-1] == row("queued", 11, 20, "902")
        assert all(one.job == "901" for one in found[:-1])


async def test_a_cancellation_waits_until_the_line_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = JobLog(tmp_path / "jobs.csv")
    await log.open()
    begun, go_on, sync = threading.Event(), threading.Event(), os.fsync

    def slowly(number: int) -> None:
        begun.set()
        assert go_on.wait(10)
        sync(number)

    monkeypatch.setattr("os.fsync", slowly)
    first = asyncio.create_task(log.append([row("queued", job="901")]))
    second = asyncio.create_task(log.append([row("queued", job="902")]))
    await asyncio.to_thread(begun.wait, 10)
    first.cancel()
    second.cancel()
    await asyncio.sleep(0.05)
    assert not first.done()
    assert not second.done()
    go_on.set()
    await asyncio.wait({first, second})

    assert first.cancelled()
    assert second.cancelled()
    assert [one.job for one in await asyncio.to_thread(read_log, log.path)] == ["901", "902"]


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\xff\xfe\x00binary", b'{"not": "csv"}'])
async def test_another_file_is_not_taken_for_a_log(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"other\.csv is no job log"):
        await JobLog(path).open()
    assert path.read_bytes() == content


async def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing/jobs\.csv cannot be written"):
        await JobLog(tmp_path / "missing" / "jobs.csv").open()


# -- results -----------------------------------------------------------------------------------------------------------


def test_a_result_tells_its_items_apart_and_raises_for_what_is_not_ok() -> None:
    error = NotFound("no such stream", Answer("datorama", 404))
    ok: Item[int, str] = Item(key=1, outcome="ok", value="a")
    bad: Item[int, str] = Item(key=2, outcome="failed", error=error)
    result = BulkResult([ok, bad, Item(key=3, outcome="unknown", error=error)])

    assert (result.ok, result.failed, result[1], len(result), result.values) == ([ok], [bad], bad, 3, ["a"])
    assert [item.key for item in result] == [1, 2, 3]
    assert repr(result) == "<BulkResult of 3 items: 1 ok, 1 failed, 1 unknown>"
    with pytest.raises(BulkFailed, match="no such stream") as failed:
        result.raise_for_failed()
    assert failed.value.state is result
    assert failed.value.__cause__ is error
    BulkResult([ok]).raise_for_failed()


async def test_an_item_that_wrote_nothing_has_nothing_to_check() -> None:
    with pytest.raises(ConfigError, match="nothing to check"):
        await Item(key=1, outcome="failed").check()
