"""A buffer over a spool: on disk before put returns, sent again after a crash, and every record in one place."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import cancel_at_every_await, turns, virtual

from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.buffer.spooled import SpooledBuffer
from asyncconn.errors import (
    Answer,
    BadRequest,
    BufferClosed,
    BufferFull,
    ConnectFailed,
    DeliveryFailed,
    LifecycleError,
    ReadTimeout,
    RecordTooLarge,
    SpoolDamaged,
    SpoolError,
    SpoolInUse,
)

from .batching_scene import Platform, records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn.core.buffer.memory import BatchStats
    from asyncconn.core.clock import VirtualClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.spool"


def make(platform: Platform, path: Path | Spool, clock: VirtualClock | None = None, **policy: Any) -> SpooledBuffer:
    spool = path if isinstance(path, Spool) else Spool(path, fsync=False)
    given = {"max_age": 60.0, **policy}
    return SpooledBuffer(platform.send, spool, owner="acme", policy=BatchPolicy(**given), clock=clock)


def balanced(buffer: SpooledBuffer) -> BatchStats:
    stats = buffer.stats
    assert stats.accepted == stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.pending, stats
    return stats


async def stored(path: Path) -> list[bytes]:
    spool = Spool(path)
    await spool.open()
    try:
        return [item for _, item in await spool.read(max_bytes=1 << 30)]
    finally:
        await spool.aclose()


async def left_by_a_crash(path: Path, items: list[bytes]) -> None:
    """A spool as a killed program leaves it."""
    spool = Spool(path, fsync=False)
    await spool.open("acme")
    for item in items:
        await spool.append([item])
    await spool.aclose()


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


# -- taking and delivering ---------------------------------------------------------------------------------------------


async def test_a_record_is_in_the_file_when_its_put_returns_and_gone_when_it_has_arrived(path: Path) -> None:
    platform = Platform()
    buffer = make(platform, path)
    receipt = await buffer.put(b"one")
    assert (buffer.spool.stats.records, platform.tried) == (1, [])
    receipts = await buffer.put_many([b"two", b"three"])
    assert receipts == [receipt]
    assert buffer.spool.stats.records == balanced(buffer).pending == 3
    report = await buffer.flush()
    assert (report.delivered, report.complete) == (3, True)
    assert (buffer.spool.stats.records, platform.records) == (0, [b"one", b"two", b"three"])
    assert (await receipt).records == 3
    await buffer.aclose()


async def test_many_puts_at_once_arrive_once_each_task_in_its_order_and_are_trimmed(path: Path) -> None:
    platform = Platform()
    buffer = make(platform, path, max_items=7, max_in_flight=1)
    await asyncio.gather(*[buffer.put(item) for item in records(100)], buffer.put_many(records(50, 100)))
    report = await buffer.aclose()
    assert report.complete
    assert sorted(platform.records) == records(150)
    assert [record for record in platform.records if record >= b"0100"] == records(50, 100)
    assert await stored(path) == []


async def test_nothing_can_be_taken_without_waiting(path: Path) -> None:
    buffer = make(Platform(), path)
    assert buffer.offer(b"one") is buffer.offer_many([b"one"]) is None
    with pytest.raises(LifecycleError, match="await write"):
        buffer.put_nowait(b"one")
    await buffer.aclose()
    assert not path.exists()


async def test_a_record_that_cannot_be_taken_is_not_stored_and_those_before_it_are(path: Path) -> None:
    buffer = make(Platform(), path, max_bytes=10)
    with pytest.raises(RecordTooLarge):
        await buffer.put(b"x" * 11)
    with pytest.raises(RecordTooLarge) as caught:
        await buffer.put_many([b"a", b"b", b"x" * 11, b"c"])
    assert caught.value.index == 2
    assert await buffer.put_many([]) == []
    assert (buffer.spool.stats.records, balanced(buffer).accepted) == (2, 2)
    await buffer.aclose()
    for item in ([b"a"], [b"x" * 11]):
        with pytest.raises(BufferClosed):
            await buffer.put_many(item)
    assert await stored(path) == []


async def test_where_the_caller_does_not_want_to_wait_a_full_buffer_stores_nothing(path: Path) -> None:
    platform = Platform()
    platform.hang = True
    buffer = make(platform, path, max_pending_items=3, overflow="raise")
    await buffer.put_many(records(3))
    commits = buffer.spool.stats.commits
    with pytest.raises(BufferFull):
        await buffer.put(b"more")
    assert buffer.spool.stats.commits == commits
    outcomes = await asyncio.gather(buffer.put_many(records(3)), buffer.put(b"x"), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [BufferFull, BufferFull]
    report = await buffer.aclose(timeout=0.05)
    assert (report.failed, report.pending, report.spooled, report.complete) == (0, 3, 3, False)
    assert await stored(path) == records(3)


async def test_records_stored_when_the_room_went_to_others_are_taken_back(path: Path) -> None:
    buffer = make(Platform(), path, max_pending_items=3, overflow="raise")
    outcomes = await asyncio.gather(*[buffer.put(item) for item in records(5)], return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["Receipt"] * 3 + ["BufferFull"] * 2
    await buffer.spool.trim([])
    assert [item for _, item in await buffer.spool.read()] == records(3)
    assert (await buffer.aclose()).complete


@virtual
async def test_age_sends_a_batch_as_it_does_without_a_spool(clock: VirtualClock, tmp_path: Path) -> None:
    platform = Platform()
    buffer = make(platform, tmp_path / "spool", clock, max_age=2.0)
    await buffer.put(b"one")
    before = clock.now()
    await clock.sleep(1.8)
    assert platform.records == []
    await clock.sleep(0.2)
    await until(lambda: platform.records)
    assert platform.started[0] - before <= 2.0
    await buffer.aclose()


# -- cancelling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True], ids=["room", "full"])
@pytest.mark.parametrize("many", [False, True], ids=["put", "put_many"])
async def test_a_cancelled_put_is_not_taken(tmp_path: Path, many: bool, full: bool) -> None:
    runs = 0
    platform, buffer = Platform(), make(Platform(), tmp_path / "none")

    async def scene() -> Callable[[], Awaitable[object]]:
        nonlocal runs, platform, buffer
        runs += 1
        platform = Platform(0.003)
        buffer = make(platform, tmp_path / f"{runs}", max_items=2, max_pending_items=2 if full else 100)
        if full:
            await buffer.put_many([b"a", b"b"])
        return lambda: buffer.put_many([b"1", b"2", b"3"]) if many else buffer.put(b"1")

    async def check(error: BaseException | None) -> None:
        accepted = balanced(buffer).accepted
        assert (await buffer.aclose()).complete
        assert len(platform.records) == accepted == len(set(platform.records))
        if error is None:
            assert platform.records[-1] == (b"3" if many else b"1")
        elif not many:
            assert b"1" not in platform.records
        assert await stored(tmp_path / f"{runs}") == []

    assert await cancel_at_every_await(scene, check) >= 2


async def test_a_close_that_is_cancelled_loses_nothing(tmp_path: Path) -> None:
    runs = 0
    platform = Platform()

    async def scene() -> Callable[[], Awaitable[object]]:
        nonlocal runs, platform
        runs += 1
        platform = Platform(0.002)
        await left_by_a_crash(tmp_path / f"{runs}", records(5))
        buffer = make(platform, tmp_path / f"{runs}", max_items=2)
        if runs % 2:
            await buffer.put(b"new")
        return buffer.aclose

    async def check(error: BaseException | None) -> None:
        assert sorted(platform.records) == sorted(records(5) + [b"new"] * (runs % 2))
        assert await stored(tmp_path / f"{runs}") == []

    assert await cancel_at_every_await(scene, check) >= 1


async def test_an_opening_that_is_cancelled_lets_go_of_the_spool(tmp_path: Path) -> None:
    buffers: list[SpooledBuffer] = []
    path = tmp_path / "spool"
    await left_by_a_crash(path, records(3))

    async def scene() -> Callable[[], Awaitable[object]]:
        buffers.append(make(Platform(), path))
        return buffers[-1].open

    async def check(error: BaseException | None) -> None:
        if error is not None:
            assert await stored(path) == records(3)
        assert (await buffers[-1].aclose()).delivered == (0 if error else 3)

    assert await cancel_at_every_await(scene, check) >= 1


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


# -- whose it is -------------------------------------------------------------------------------------------------------


async def test_two_buffers_on_one_spool_are_refused(path: Path) -> None:
    spool = Spool(path)
    first, second, third = make(Platform(), spool), make(Platform(), spool), make(Platform(), path)
    await first.put(b"one")
    for other in (second, third):
        with pytest.raises(SpoolInUse):
            await other.put(b"two")
        assert (await other.aclose()).complete
    assert (await first.aclose()).complete
    assert not spool.is_open


async def test_a_spool_that_was_open_stays_open(path: Path) -> None:
    spool = Spool(path)
    await spool.open()
    for _ in range(2):
        buffer = make(Platform(), spool)
        await buffer.put(b"one")
        assert (await buffer.aclose()).complete
        assert spool.is_open
    await spool.aclose()


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_each_record_arrives_or_is_in_the_file(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    accepted: list[bytes] = []
    arrived: Counter[bytes] = Counter()
    for start in range(4):
        platform = Platform()
        buffer = make(platform, path, max_items=5, max_pending_items=12, max_in_flight=2)
        buffer._redelivery.after = 0.01

        async def write(number: int, buffer: SpooledBuffer = buffer, start: int = start) -> None:
            for step in range(6):
                items = [b"%d.%d.%d.%d" % (start, number, step, n) for n in range(chance.randint(1, 9))]
                taken = 0
                try:
                    async with asyncio.timeout(chance.choice([None, None, 0.001, 0.003])):
                        for item in items:
                            await buffer.put(item)
                            taken += 1
                except (TimeoutError, BufferClosed):
                    pass
                accepted.extend(items[:taken])
                await turns(chance.randint(0, 3))

        async def weather(platform: Platform = platform) -> None:
            while True:
                platform.error = chance.choice([None, None, ConnectFailed("x"), BadRequest("x", Answer("p", 400))])
                platform.seconds = chance.choice([0.0, 0.002])
                await asyncio.sleep(0.002)

        sky = asyncio.create_task(weather())
        await asyncio.gather(*[write(number) for number in range(4)])
        sky.cancel()
        await asyncio.wait({sky})
        if start == 3:
            platform.error = None
        await buffer.aclose(timeout=chance.choice([0.0, 0.01, 5.0]))
        balanced(buffer)
        arrived.update(platform.records)
        left = Counter(await stored(path))
        assert set(accepted) <= set(arrived) | set(left)
        assert max(left.values(), default=1) == 1
    last = Platform()
    assert (await make(last, path).aclose()).complete
    arrived.update(last.records)
    assert set(arrived) == set(accepted)
    assert max(arrived.values()) == 1  # no crash and no lost answer: no duplicate


@pytest.mark.parametrize("count", range(8))
async def test_a_put_that_a_close_overtakes_is_delivered_or_refused_and_never_both(path: Path, count: int) -> None:
    platform = Platform()
    buffer = make(platform, path)
    await buffer.open()
    task = asyncio.create_task(buffer.put(b"late"))
    await turns(count)
    report = await buffer.aclose()
    [outcome] = await asyncio.gather(task, return_exceptions=True)
    if isinstance(outcome, BufferClosed):
        assert (platform.records, report.spooled) == ([], 0)
    else:
        assert (platform.records, report.delivered) == ([b"late"], 1)
    assert await stored(path) == []


async def test_what_was_left_waits_for_room_although_new_records_would_not(path: Path) -> None:
    await left_by_a_crash(path, records(30))
    platform = Platform(0.001)
    buffer = make(platform, path, max_items=4, max_pending_items=8, overflow="raise")
    assert (await buffer.aclose()).delivered == 30
    assert await stored(path) == []
