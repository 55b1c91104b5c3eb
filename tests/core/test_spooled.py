"""A buffer over a spool: on disk before put returns, gone when it has arrived, and every record in one place."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers import cancel_at_every_await, turns, until, virtual

from asyncconn.core.buffer.spool import Spool
from asyncconn.core.buffer.spooled import SpooledBuffer
from asyncconn.errors import (
    Answer,
    BadRequest,
    BufferClosed,
    BufferFull,
    ConnectFailed,
    LifecycleError,
    RecordTooLarge,
    SpoolInUse,
)

from .batching_scene import Platform, records
from .spooled_scene import balanced, left_by_a_crash, make, stored

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn.core.clock import VirtualClock

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
