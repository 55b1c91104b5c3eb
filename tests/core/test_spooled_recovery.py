"""A buffer over a spool after a crash, a failure or a fault of the disk: what is there goes out again."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import until, virtual

from asyncconn.core.buffer.spool import Spool
from asyncconn.core.buffer.spooled import SpooledBuffer
from asyncconn.errors import (
    Answer,
    BadRequest,
    BufferClosed,
    ConnectFailed,
    DeliveryFailed,
    ReadTimeout,
    SpoolDamaged,
    SpoolError,
)

from .batching_scene import Platform, records
from .spooled_scene import balanced, left_by_a_crash, make, stored

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock

# -- after a crash -----------------------------------------------------------------------------------------------------


async def test_what_was_left_goes_first_and_in_order(path: Path) -> None:
    await left_by_a_crash(path, records(20))
    platform = Platform()
    buffer = make(platform, path, max_items=6, max_in_flight=1)
    await asyncio.gather(buffer.put(b"new 1"), buffer.put_many([b"new 2", b"new 3"]))
    assert balanced(buffer).accepted == 23
    assert (await buffer.aclose()).complete
    assert platform.records == [*records(20), b"new 1", b"new 2", b"new 3"]
    assert await stored(path) == []


async def test_new_records_wait_until_the_old_ones_have_room(path: Path) -> None:
    await left_by_a_crash(path, records(20))
    platform = Platform()
    platform.hang = True
    buffer = make(platform, path, max_items=5, max_pending_items=10, max_in_flight=1)
    await buffer.open()
    task = asyncio.create_task(buffer.put(b"new"))
    await asyncio.sleep(0.05)
    assert (task.done(), balanced(buffer).accepted) == (False, 20)
    report = await buffer.aclose(timeout=0.0)
    with pytest.raises(BufferClosed):
        await task
    assert (report.delivered, report.failed, report.pending, report.spooled) == (0, 0, 20, 20)
    assert await stored(path) == records(20)


async def test_a_flush_waits_for_what_was_left_and_counts_it(path: Path) -> None:
    await left_by_a_crash(path, records(30))
    platform = Platform(0.002)
    buffer = make(platform, path, max_items=4, max_pending_items=8)
    await buffer.open()
    report = await buffer.flush(5.0)
    assert (report.delivered, report.complete, buffer.spool.stats.records) == (30, True, 0)
    assert (await buffer.flush()).delivered == 30
    await buffer.aclose()


async def test_a_flush_that_runs_out_of_time_says_how_much_still_waits_in_the_spool(path: Path) -> None:
    await left_by_a_crash(path, records(30))
    platform = Platform()
    platform.hang = True
    buffer = make(platform, path, max_items=4, max_pending_items=8)
    await buffer.open()
    report = await buffer.flush(0.05)
    assert (report.delivered, report.pending, report.spooled, report.complete) == (0, 30, 22, False)
    await buffer.aclose(0.0)


async def test_one_that_was_never_opened_sends_what_is_left_when_it_closes(path: Path) -> None:
    await left_by_a_crash(path, records(9))
    platform = Platform()
    report = await make(platform, path).aclose()
    assert (report.delivered, report.spooled, platform.records) == (9, 0, records(9))


async def test_what_does_not_get_away_in_time_stays_and_is_logged_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    platform = Platform()
    platform.hang = True
    buffer = make(platform, path, max_items=2, max_in_flight=1)
    await buffer.put_many(records(5))
    with caplog.at_level(logging.WARNING, "asyncconn"):
        report = await buffer.aclose(timeout=0.05)
    assert (report.failed, report.spooled, report.pending) == (0, 5, 5)
    assert all(failure.spooled for failure in report.failures)
    assert (report.undelivered, report.truncated) == ([], False)
    assert [record.message for record in caplog.records] == [f"5 records stay in {path} and are sent at the next start"]
    assert await buffer.aclose() is report
    assert balanced(buffer).pending == 5
    again = Platform()
    assert (await make(again, path).aclose()).delivered == 5
    assert again.records == records(5)


async def test_a_batch_that_arrived_just_before_the_end_is_not_reported_as_failed(path: Path) -> None:
    platform = Platform()
    buffer = make(platform, path)
    await buffer.put(b"one")
    trim = buffer.spool.trim

    async def slow(numbers: list[range]) -> None:
        buffer.spool.forget(numbers)
        await asyncio.sleep(30)

    buffer.spool.trim = slow  # type: ignore[method-assign,assignment] # a disk that hangs
    report = await buffer.aclose(timeout=0.05)
    assert (report.delivered, report.failed) == (1, 0)
    assert trim is not None
    assert await stored(path) == []


async def test_a_record_that_no_longer_fits_stays_and_stops_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await left_by_a_crash(path, [b"a", b"x" * 50, b"b"])
    platform = Platform()
    with caplog.at_level(logging.WARNING, "asyncconn"):
        report = await make(platform, path, max_bytes=20).aclose()
    assert (platform.records, report.spooled) == ([b"a", b"b"], 1)
    assert "record 2 of" in caplog.text
    assert "fit" in caplog.text


# -- failures ----------------------------------------------------------------------------------------------------------


@virtual
async def test_what_failed_for_a_passing_cause_goes_out_after_the_next_success(
    clock: VirtualClock, tmp_path: Path
) -> None:
    platform = Platform()
    buffer = make(platform, tmp_path / "spool", clock)
    failures: list[DeliveryFailed] = []
    buffer.events.on("error", failures.append)
    platform.error = ConnectFailed("nobody there")
    receipt = await buffer.put(b"one")
    report = await buffer.flush()
    assert (report.failed, report.pending, report.spooled, report.complete) == (0, 1, 1, False)
    assert list(report.failures) == failures
    with pytest.raises(DeliveryFailed) as caught:
        await receipt
    assert caught.value.spooled
    assert "stay in the spool" in str(caught.value)
    assert caught.value.records is failures[0].records
    platform.error = None
    await buffer.put(b"two")
    await buffer.flush()
    await until(lambda: not buffer.stats.pending)
    report = await buffer.flush()
    assert clock.now() < 1.0
    assert platform.records == [b"two", b"one"]
    assert (balanced(buffer).accepted, buffer.stats.delivered, buffer.spool.stats.records) == (2, 2, 0)
    assert (report.complete, report.failures) == (True, ())
    await buffer.aclose()


@virtual
async def test_what_failed_goes_out_again_after_a_minute_though_nothing_else_does(
    clock: VirtualClock, tmp_path: Path
) -> None:
    platform = Platform()
    buffer = make(platform, tmp_path / "spool", clock, max_age=1.0)
    platform.error = ReadTimeout("no answer")
    await buffer.put_many(records(3))
    await buffer.flush()
    failed_at = clock.now()
    platform.error = None
    await clock.sleep(59.0)
    assert platform.records == []
    await until(lambda: platform.records)
    assert 60.0 <= clock.now() - failed_at < 62.0
    assert platform.records == records(3)
    await buffer.aclose()


@virtual
async def test_a_batch_that_always_fails_does_not_go_round_and_round(clock: VirtualClock, tmp_path: Path) -> None:
    platform = Platform()
    buffer = make(platform, tmp_path / "spool", clock, max_items=1, max_in_flight=1)
    send = platform.send

    async def picky(batch: Any) -> int:
        if b"bad" in batch.items:
            platform.tried.append(b"bad")
            raise ReadTimeout("no answer")
        return await send(batch)

    buffer._deliver = picky
    await buffer.put(b"bad")
    for item in records(20):
        await buffer.put(item)
        await buffer.flush()
        await until(lambda: buffer._feeder is None or buffer._feeder.done())
    assert platform.tried.count(b"bad") == 2
    assert buffer.spool.stats.records == 1
    assert (await buffer.aclose()).spooled == 1


@virtual
async def test_what_went_back_into_the_spool_is_as_old_as_it_is_until_it_has_arrived(
    clock: VirtualClock, tmp_path: Path
) -> None:
    platform = Platform(seconds=3.0)
    buffer = make(platform, tmp_path / "spool", clock, max_age=1.0)
    platform.error = ConnectFailed("nobody there")
    await buffer.put(b"first")
    for second in range(200):
        await clock.sleep(1.0)
        await buffer.put(b"%d" % second)
        # Also while it is on its way once more: as long as it has not arrived, it has not.
        if second > 3:
            assert buffer.stats.oldest_age == pytest.approx(second + 1, abs=0.5)
    platform.error = None
    await until(lambda: b"first" in platform.records)
    await until(lambda: buffer.stats.oldest_age < 3.0)
    assert (await buffer.aclose()).complete
    assert buffer.stats.oldest_age == 0.0


@virtual
async def test_what_a_spool_held_at_the_start_counts_from_its_opening(clock: VirtualClock, tmp_path: Path) -> None:
    await left_by_a_crash(tmp_path / "spool", records(100))
    platform = Platform(seconds=10.0)
    buffer = make(platform, tmp_path / "spool", clock, max_items=1, max_in_flight=1, max_pending_items=5)
    await clock.sleep(1000.0)
    await buffer.open()
    assert buffer.stats.oldest_age == 0.0
    await clock.sleep(500.0)
    assert 0 < buffer.stats.pending < 60
    assert buffer.stats.oldest_age == pytest.approx(500.0, abs=1.0)
    await until(lambda: not buffer.stats.pending)
    assert buffer.stats.oldest_age == 0.0
    await buffer.aclose()


@virtual
async def test_what_was_refused_for_good_makes_nothing_late_until_the_next_start(
    clock: VirtualClock, tmp_path: Path
) -> None:
    platform = Platform()
    platform.error = BadRequest("no", Answer("p", 400))
    buffer = make(platform, tmp_path / "spool", clock)
    await buffer.put(b"one")
    await buffer.flush()
    await clock.sleep(100.0)
    assert (buffer.stats.pending, buffer.stats.oldest_age) == (1, 0.0)
    await buffer.aclose()


@virtual
async def test_what_was_refused_for_good_goes_out_at_the_next_start_only(clock: VirtualClock, tmp_path: Path) -> None:
    path = tmp_path / "spool"
    platform = Platform()
    buffer = make(platform, path, clock)
    platform.error = BadRequest("no", Answer("p", 400))
    await buffer.put(b"one")
    await buffer.flush()
    platform.error = None
    await buffer.put(b"two")
    await buffer.flush()
    await clock.sleep(300)
    assert platform.records == [b"two"]
    assert (await buffer.aclose()).spooled == 1
    assert (await make(platform, path, clock).aclose()).delivered == 1
    assert platform.records == [b"two", b"one"]


# -- the disk ----------------------------------------------------------------------------------------------------------


async def pragma(buffer: SpooledBuffer, text: str) -> None:
    connection = buffer.spool._file._connection
    assert connection is not None
    await buffer.spool._run(lambda: connection.execute(f"PRAGMA {text}"))


async def test_a_put_on_a_disk_that_cannot_be_written_is_an_error_and_not_taken(path: Path) -> None:
    buffer = make(Platform(), path)
    await buffer.put(b"one")
    await pragma(buffer, "query_only=1")
    for put in (buffer.put(b"two"), buffer.put_many([b"two", b"three"])):
        with pytest.raises(SpoolError, match="cannot be written"):
            await put
    await pragma(buffer, "query_only=0")
    assert balanced(buffer).accepted == 1
    assert (await buffer.aclose()).complete
    assert await stored(path) == []


async def test_a_trim_that_fails_does_not_fail_the_batch_and_is_made_up_for(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    platform = Platform()
    buffer = make(platform, path, max_items=1, max_in_flight=1)
    await buffer.open()
    platform.hang = True
    receipts = await buffer.put_many(records(3))
    await until(lambda: platform.tried)
    await pragma(buffer, "query_only=1")
    platform.hang = False
    for task in list(buffer._buffer._in_flight):
        task.cancel()  # the one that hangs
    with caplog.at_level(logging.WARNING, "asyncconn"):
        report = await buffer.flush()
    assert [type(receipt.error) for receipt in receipts] == [DeliveryFailed, type(None), type(None)]
    assert report.failed <= 1
    assert [record.message[:45] for record in caplog.records] == ["records have arrived, and will be sent again "]
    assert buffer.spool.stats.records == 3
    await pragma(buffer, "query_only=0")
    await buffer.aclose()
    assert await stored(path) == records(1)


async def test_damage_that_is_met_while_sending_again_is_raised_by_the_next_put(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(path)
    await spool.open("acme")
    await spool.append(records(3))
    connection = spool._file._connection
    assert connection is not None
    await spool._run(lambda: connection.execute("UPDATE chunks SET crc = 1"))
    await spool.aclose()
    buffer = make(Platform(), path)
    with caplog.at_level(logging.ERROR, "asyncconn"):
        for _ in range(2):
            with pytest.raises(SpoolDamaged, match=str(path)):
                await buffer.put(b"new")
    assert "not sent" in caplog.text
    assert (await buffer.aclose()).spooled == 3
