"""Batches that share a key leave one after the other, and all others side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from helpers import balanced, turns, virtual

from asyncconn.core.buffer.batch import Batch
from asyncconn.core.buffer.memory import BatchBuffer, BatchPolicy
from asyncconn.core.buffer.ordering import BatchQueue
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.buffer.spooled import SpooledBuffer
from asyncconn.errors import Answer, BadRequest, ConnectFailed, DeliveryFailed, ReadTimeout, SpoolError

from .batching_scene import Platform, make_buffer

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock

ONE_EACH: dict[str, Any] = {"max_items": 1, "max_age": 60.0}


async def put(buffer: BatchBuffer[bytes], *written: tuple[bytes, Hashable]) -> None:
    for item, key in written:
        await buffer.put(item, key)


# -- in memory ---------------------------------------------------------------------------------------------------------


@virtual
async def test_a_batch_waits_for_an_earlier_one_with_its_key_and_others_overtake_it(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, _ = make_buffer(platform, clock, **ONE_EACH)
    await put(buffer, (b"a1", "a"), (b"a2", "a"), (b"b1", "b"), (b"--", None))
    await turns(3)
    assert platform.tried == [b"a1", b"b1", b"--"]
    await buffer.flush()
    assert platform.tried == [b"a1", b"b1", b"--", b"a2"]
    assert (await buffer.aclose()).complete


@pytest.mark.parametrize(
    ("earlier", "later", "waits"),
    [
        ([1, 2, 3], [4, 5], False),  # numbers that run on
        ([4, 5], [1, 2, 3], False),
        ([1, 9], [5, 6], False),  # between them
        ([1, 9], [5, 9], True),
        ([1, 2], [2, 3], True),
        (["a", "b"], ["c"], False),
        (["a", "c"], ["c"], True),
        ([1, None], [1], True),
        ([1, "a"], ["a"], True),  # of several kinds
        ([1], [1.0], True),
        ([1, 7.0], [7], True),
        ([True], [1], True),
        ([frozenset([1, 2]), frozenset([3])], [frozenset([3])], True),  # what is not in one order
    ],
    ids=str,
)
def test_a_batch_waits_for_each_earlier_one_that_has_a_key_of_its_own_and_for_no_other(
    earlier: list[Hashable], later: list[Hashable], waits: bool
) -> None:
    queue: BatchQueue[bytes] = BatchQueue()
    for keys in (earlier, later):
        batch: Batch[bytes] = Batch(0.0)
        for key in keys:
            batch.hold(key, "t")
        queue.append(batch)
    assert queue.take() is not None
    assert (queue.take() is None) is waits


@virtual
async def test_records_without_a_key_all_travel_at_once(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, _ = make_buffer(platform, clock, max_in_flight=3, **ONE_EACH)
    await buffer.put_many([b"1", b"2", b"3"], [None, None, None])
    await turns(3)
    assert buffer.stats.in_flight == 3
    await buffer.aclose()


@virtual
async def test_the_same_key_of_another_space_is_another_key(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, _ = make_buffer(platform, clock, **ONE_EACH)
    await buffer.put(b"1", 7, "events")
    await buffer.put(b"2", 7, "people")
    await turns(3)
    assert platform.tried == [b"1", b"2"]
    await buffer.aclose()


@virtual
async def test_one_who_waits_holds_its_other_keys_too(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, _ = make_buffer(platform, clock, max_items=2, max_age=60.0)
    await buffer.put_many([b"a1", b"x1", b"a2", b"b2", b"b3", b"c3"], ["a", "x", "a", "b", "b", "c"])
    await turns(3)
    assert platform.tried == [b"a1", b"x1"]
    await buffer.flush()
    assert platform.batches == [[b"a1", b"x1"], [b"a2", b"b2"], [b"b3", b"c3"]]
    await buffer.aclose()


@virtual
async def test_a_due_batch_that_may_not_leave_stays_open_and_fills(clock: VirtualClock) -> None:
    platform = Platform(seconds=10.0)
    buffer, _ = make_buffer(platform, clock, max_age=1.0)
    for number in range(8):
        await buffer.put(b"%d" % number, "a")
        await clock.sleep(2.0)
    await buffer.aclose()
    assert platform.batches == [[b"0"], [b"1", b"2", b"3", b"4", b"5"], [b"6", b"7"]]


@virtual
async def test_one_that_failed_for_good_no_longer_counts(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    platform.error = OSError("no")
    buffer, failures = make_buffer(platform, clock, **ONE_EACH)
    await put(buffer, (b"a1", "a"), (b"a2", "a"))
    await turns(3)
    platform.error = None
    report = await buffer.flush()
    assert (platform.records, report.delivered, report.lost, len(failures)) == ([b"a2"], 1, 1, 1)
    await buffer.aclose()


@virtual
async def test_what_waits_is_pending_and_a_close_without_time_says_that_it_was_never_sent(clock: VirtualClock) -> None:
    platform = Platform()
    platform.hang = True
    buffer, failures = make_buffer(platform, clock, **ONE_EACH)
    await put(buffer, (b"a1", "a"), (b"a2", "a"), (b"a3", "a"))
    report = await buffer.flush(1.0)
    assert (report.pending, balanced(buffer).pending, buffer.stats.in_flight) == (3, 3, 1)
    report = await buffer.aclose(1.0)
    assert (report.failed, report.unknown, report.pending, platform.tried) == (2, 1, 0, [b"a1"])
    assert {bytes(failure.records[0]): failure.maybe_delivered for failure in failures} == {
        b"a1": True,
        b"a2": False,
        b"a3": False,
    }


@virtual
async def test_writers_without_room_go_on_when_those_of_one_key_leave_one_by_one(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, _ = make_buffer(platform, clock, max_items=1, max_pending_items=2, max_age=60.0)
    async with asyncio.timeout(60):
        await put(buffer, *[(b"%d" % number, "a") for number in range(6)])
    assert (await buffer.aclose()).complete
    assert platform.records == [b"%d" % number for number in range(6)]


@virtual
async def test_the_oldest_that_waits_is_told_though_others_overtook_it(clock: VirtualClock) -> None:
    platform = Platform(seconds=10.0)
    buffer, _ = make_buffer(platform, clock, **ONE_EACH)
    await put(buffer, (b"a1", "a"), (b"a2", "a"))
    await clock.sleep(3.0)
    await put(buffer, (b"b1", "b"))
    assert buffer.stats.oldest_age == 3.0
    await buffer.aclose()


def test_many_that_wait_cost_a_newcomer_nothing() -> None:
    class Counted(int):
        compared = 0

        def __hash__(self) -> int:
            Counted.compared += 1
            return int(self) % 1000

    queue: BatchQueue[bytes] = BatchQueue()
    for number in range(1000):
        batch: Batch[bytes] = Batch(0.0)
        batch.hold("hot", "")
        batch.hold(Counted(number), "")
        queue.append(batch)
    assert queue.take() is not None
    assert queue.take() is None
    Counted.compared = 0
    newcomer: Batch[bytes] = Batch(0.0)
    newcomer.hold(Counted(5000), "")
    queue.append(newcomer)
    assert queue.take() is newcomer
    assert Counted.compared < 20


# -- with a spool ------------------------------------------------------------------------------------------------------


def spooled(platform: Platform, path: Path, clock: VirtualClock, **policy: Any) -> SpooledBuffer:
    def key_of(item: bytes) -> tuple[str, str]:
        return "", item[:1].decode()

    given = {"max_age": 60.0, "max_items": 1, **policy}
    spool = Spool(path, fsync=False)
    return SpooledBuffer(platform.send, spool, policy=BatchPolicy(**given), clock=clock, key=key_of)


@pytest.mark.parametrize("error", [ConnectFailed("nobody there"), ReadTimeout("no answer")])
@virtual
async def test_what_is_to_be_sent_again_goes_before_later_records_of_its_key(
    clock: VirtualClock, tmp_path: Path, error: Exception
) -> None:
    platform = Platform()
    platform.error = error
    buffer = spooled(platform, tmp_path / "spool", clock)
    receipt = await buffer.put(b"a1", "a")
    with pytest.raises(DeliveryFailed):
        await receipt
    platform.error = None
    await buffer.put(b"a2", "a")
    report = await buffer.flush()
    assert (platform.records, report.delivered) == ([b"a1", b"a2"], 2)
    assert (await buffer.aclose()).spooled == 0


@virtual
async def test_what_waits_for_it_fills_the_buffer_and_stops_nothing(clock: VirtualClock, tmp_path: Path) -> None:
    platform = Platform()
    platform.error = ConnectFailed("nobody there")
    buffer = spooled(platform, tmp_path / "spool", clock, max_pending_items=3)
    receipt = await buffer.put(b"a0", "a")
    with pytest.raises(DeliveryFailed):
        await receipt
    platform.error = None
    async with asyncio.timeout(300):
        for number in range(1, 8):
            await buffer.put(b"a%d" % number, "a")
        await buffer.flush()
    assert platform.records == [b"a%d" % number for number in range(8)]
    await buffer.aclose()


@virtual
async def test_the_pause_before_it_is_sent_again_doubles(clock: VirtualClock, tmp_path: Path) -> None:
    platform = Platform()
    platform.error = ConnectFailed("nobody there")
    buffer = spooled(platform, tmp_path / "spool", clock)
    await buffer.put_many([b"a1", b"a2"], ["a", "a"])
    await buffer.flush(14.0)
    assert platform.tried == [b"a1"] * 4  # at once, then after 1, 2 and 4 seconds
    report = await buffer.aclose()
    assert (report.spooled, platform.tried) == (2, [b"a1"] * 5)


@virtual
async def test_small_batches_that_failed_travel_together(clock: VirtualClock, tmp_path: Path) -> None:
    platform = Platform()
    platform.error = ConnectFailed("nobody there")
    buffer = spooled(platform, tmp_path / "spool", clock, max_items=10, max_in_flight=1)
    for name in (b"a", b"b", b"c"):
        await buffer.put(name, name.decode())
        await buffer.flush()
    platform.error = None
    await clock.sleep(2.0)
    await buffer.flush()
    assert platform.batches == [[b"a", b"b", b"c"]]
    await buffer.aclose()


@virtual
async def test_at_a_close_what_could_not_be_sent_keeps_later_records_of_its_key_in_the_file(
    clock: VirtualClock, tmp_path: Path
) -> None:
    platform = Platform()
    platform.error = ConnectFailed("nobody there")
    buffer = spooled(platform, tmp_path / "spool", clock, max_in_flight=1)
    await buffer.put_many([b"a1", b"a2", b"b1"], ["a", "a", "b"])
    report = await buffer.aclose()
    assert (report.spooled, b"a2" in platform.tried) == (3, False)
    again = Platform()
    assert (await spooled(again, tmp_path / "spool", clock, max_items=10).aclose()).complete
    assert again.records == [b"a1", b"a2", b"b1"]


@virtual
async def test_what_was_refused_does_not_come_back_over_a_later_record_of_its_key(
    clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    platform = Platform()
    platform.error = BadRequest("no", Answer("p", 400))
    buffer = spooled(platform, tmp_path / "spool", clock)
    await buffer.put_many([b"a1", b"b1"], ["a", "b"])
    await buffer.flush()
    platform.error = None
    await buffer.put(b"a2", "a")
    assert (await buffer.aclose()).spooled == 1
    assert "1 refused records are given up" in caplog.text
    again = Platform()
    await spooled(again, tmp_path / "spool", clock).aclose()
    assert again.records == [b"b1"]


@virtual
async def test_what_no_longer_fits_does_not_come_back_over_a_later_record_of_its_key(
    clock: VirtualClock, tmp_path: Path
) -> None:
    path, platform = tmp_path / "spool", Platform()
    platform.error = ConnectFailed("nobody there")
    buffer = spooled(platform, path, clock)
    await buffer.put_many([b"a, a long one", b"b, a long one"], ["a", "b"])
    await buffer.aclose()
    platform.error = None
    small = spooled(platform, path, clock, max_bytes=8)
    await small.put(b"a2", "a")
    report = await small.aclose()
    assert (report.delivered, report.failed, report.spooled) == (1, 1, 1)
    await spooled(platform, path, clock).aclose()
    assert platform.records == [b"a2", b"b, a long one"]


@virtual
async def test_a_spool_that_cannot_be_read_again_keeps_later_records_of_its_keys_too(
    clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(*_: object, **__: object) -> list[tuple[int, bytes]]:
        raise SpoolError("the disk is gone")

    path, platform = tmp_path / "spool", Platform()
    platform.error = ConnectFailed("nobody there")
    buffer = spooled(platform, path, clock, max_in_flight=1)
    await buffer.put_many([b"a1", b"a2", b"b1", b"c1"], ["a", "a", "b", "c"])
    await turns(20)
    platform.error = None
    with monkeypatch.context() as patch:
        patch.setattr(buffer.spool, "read", unreadable)
        await clock.sleep(300.0)
        with pytest.raises(SpoolError, match="the disk is gone"):
            await buffer.put(b"c2", "c")
        await buffer.aclose()
    again = spooled(platform, path, clock)
    await again.aclose()
    assert [record for record in platform.records if record[:1] == b"a"] == [b"a1", b"a2"]
    assert sorted(platform.records) == [b"a1", b"a2", b"b1", b"c1"]


@virtual
async def test_what_fails_for_days_is_sent_again_all_the_same(clock: VirtualClock, tmp_path: Path) -> None:
    platform = Platform()
    platform.error = ConnectFailed("nobody there")
    buffer = spooled(platform, tmp_path / "spool", clock)
    await buffer.put(b"a1", "a")
    await clock.sleep(60.0 * 1100)  # more than a thousand times
    platform.error = None
    await clock.sleep(61.0)
    assert platform.records == [b"a1"]
    await buffer.aclose()
