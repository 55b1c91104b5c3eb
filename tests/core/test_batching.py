"""The batching buffer: sizes, ages, order, flushes, and where it belongs."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest
from helpers import balanced, cancel_at_every_await, turns, virtual

from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.core.buffer.unheard import UndeliveredWarning
from asyncconn.core.clock import VirtualClock
from asyncconn.errors import ConfigError, RecordTooLarge, WrongLoop

from .batching_scene import Platform, everything_is_in_one_place, make_buffer, records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


# -- size and count ----------------------------------------------------------------------------------------------------


@virtual
async def test_a_batch_leaves_at_once_when_it_has_its_number_of_records(clock: VirtualClock) -> None:
    platform = Platform()
    buffer, _ = make_buffer(platform, clock, max_items=3)
    for record in records(7):
        await buffer.put(record)
    await turns()
    left = [len(batch) for batch in platform.batches]
    await buffer.aclose()

    assert left == [3, 3]
    assert clock.now() == 0.0


@virtual
async def test_a_batch_is_cut_before_it_would_grow_too_large(clock: VirtualClock) -> None:
    platform = Platform()
    buffer, _ = make_buffer(platform, clock, max_bytes=100, overhead=1)
    for length in (49, 49, 1, 99, 50, 49, 48):
        await buffer.put(b"x" * length)
    await buffer.aclose()

    assert [[len(record) for record in batch] for batch in platform.batches] == [[49, 49], [1], [99], [50], [49, 48]]
    assert platform.sizes == [100, 2, 100, 51, 99]


@pytest.mark.parametrize(("size", "fits"), [(99, True), (100, False)])
@virtual
async def test_a_record_that_never_fits_is_refused_and_nothing_is_taken(
    clock: VirtualClock, size: int, fits: bool
) -> None:
    buffer, _ = make_buffer(Platform(), clock, max_bytes=100, overhead=1)
    await buffer.put(b"x")
    if fits:
        await buffer.put(b"x" * size)
    else:
        with pytest.raises(RecordTooLarge) as refused:
            await buffer.put(b"x" * size)
        assert (refused.value.size, refused.value.limit) == (101, 100)
        with pytest.raises(RecordTooLarge):
            buffer.put_nowait(b"x" * size)
        assert buffer.offer(b"x" * size) is None
    accepted = balanced(buffer).accepted
    await buffer.aclose()

    assert accepted == 1 + fits


@virtual
async def test_records_arrive_in_the_order_they_were_put_in(clock: VirtualClock) -> None:
    platform = Platform(seconds=0.1)
    buffer, _ = make_buffer(platform, clock, max_items=7, max_in_flight=1, max_pending_items=20)
    for record in records(200):
        await buffer.put(record)
    await buffer.aclose()

    assert platform.records == records(200)


# -- age ---------------------------------------------------------------------------------------------------------------


@virtual
async def test_a_lone_record_leaves_within_max_age(clock: VirtualClock) -> None:
    platform = Platform()
    buffer, _ = make_buffer(platform, clock, max_age=2.0)
    await buffer.put(b"one")
    await asyncio.sleep(2.0)
    left = list(platform.started)
    await buffer.aclose()

    assert len(left) == 1
    assert 1.8 <= left[0] <= 2.0


@virtual
async def test_a_record_that_follows_does_not_make_the_first_one_late(clock: VirtualClock) -> None:
    platform = Platform()
    buffer, _ = make_buffer(platform, clock, max_age=2.0)
    await buffer.put(b"one")
    await asyncio.sleep(1.97)
    await buffer.put(b"two")
    await buffer.aclose()

    assert platform.started[0] <= 2.0
    assert buffer.stats.max_age_at_send <= 2.0


@pytest.mark.parametrize("max_age", [0.001, 0.5, 2.0, 3600.0])
@virtual
async def test_a_steady_stream_keeps_the_promise_of_max_age(clock: VirtualClock, max_age: float) -> None:
    platform = Platform(seconds=max_age / 10)
    buffer, _ = make_buffer(platform, clock, max_age=max_age)
    for record in records(100):
        await buffer.put(record)
        await asyncio.sleep(max_age / 7.3)
    await buffer.aclose()

    assert max(platform.ages) <= max_age
    assert len(platform.batches) <= 20


@virtual
async def test_round_trips_longer_than_max_age_do_not_make_records_travel_alone(clock: VirtualClock) -> None:
    """The contract's batch collapse: one sender, 2.5 s a round trip, a record every 10 ms."""
    platform = Platform(seconds=2.5)
    buffer, _ = make_buffer(platform, clock, max_age=2.0, max_in_flight=1)
    for record in records(1000):
        await buffer.put(record)
        await asyncio.sleep(0.01)
    await buffer.aclose()

    assert [len(batch) for batch in platform.batches[1:-1]] == pytest.approx([250, 250, 250], abs=60)
    assert len(platform.batches) <= 6


@virtual
async def test_the_stats_tell_the_age_of_the_oldest_record_that_waits(clock: VirtualClock) -> None:
    buffer, _ = make_buffer(Platform(), clock, max_age=2.0)
    empty = buffer.stats.oldest_age
    await buffer.put(b"one")
    await asyncio.sleep(1.5)
    await buffer.put(b"two")
    oldest = buffer.stats.oldest_age
    await buffer.aclose()

    assert empty == 0.0
    assert oldest == pytest.approx(1.5)


# -- many at once ------------------------------------------------------------------------------------------------------


@virtual
async def test_put_many_takes_all_in_order_and_returns_one_receipt_a_batch(clock: VirtualClock) -> None:
    platform = Platform(seconds=0.1)
    buffer, _ = make_buffer(platform, clock, max_items=10, max_pending_items=20)
    receipts = await buffer.put_many(records(95))
    report = await buffer.aclose()

    assert platform.records == records(95)
    assert [receipt.delivery.records for receipt in receipts if receipt.delivery] == [10] * 9 + [5]
    assert report.complete


@virtual
async def test_put_many_into_an_open_batch_counts_every_byte(clock: VirtualClock) -> None:
    platform = Platform()
    buffer, _ = make_buffer(platform, clock, max_bytes=10)
    await buffer.put(b"one")
    await buffer.put_many([b"two", b"345"])
    await buffer.put_many([b"6", b"7"])
    assert buffer.stats.pending_bytes == sum(map(len, (b"one", b"two", b"345", b"6", b"7")))
    await buffer.aclose()

    assert [len(b"".join(batch)) for batch in platform.batches] == [10, 1]


@virtual
async def test_what_put_many_took_before_a_bad_record_stays_accepted(clock: VirtualClock) -> None:
    platform = Platform()
    buffer, failures = make_buffer(platform, clock, max_bytes=10)
    with pytest.raises(RecordTooLarge) as caught:
        await buffer.put_many([b"one", b"two", b"x" * 11, b"three"])
    assert caught.value.index == 2
    await buffer.aclose()

    everything_is_in_one_place([b"one", b"two"], platform, failures, buffer)


@virtual
async def test_a_size_that_cannot_be_told_is_the_callers_error_and_nothing_is_taken(clock: VirtualClock) -> None:
    def size(record: bytes) -> int:
        return len(record.decode())

    buffer, _ = make_buffer(Platform(), clock, size=size)
    with pytest.raises(UnicodeDecodeError):
        await buffer.put(b"\xff")
    balance = balanced(buffer).accepted

    assert balance == 0


# -- flush -------------------------------------------------------------------------------------------------------------


@virtual
async def test_flush_does_not_wait_out_the_age(clock: VirtualClock) -> None:
    platform = Platform(seconds=0.2)
    buffer, _ = make_buffer(platform, clock, max_age=2.0)
    await buffer.put(b"one")
    report = await buffer.flush()
    at = clock.now()
    await buffer.aclose()

    assert at == pytest.approx(0.2)
    assert (report.delivered, report.failed, report.pending, report.complete) == (1, 0, 0, True)


@virtual
async def test_flush_with_nothing_pending_returns_at_once(clock: VirtualClock) -> None:
    buffer, _ = make_buffer(Platform(), clock)
    report = await buffer.flush()

    assert (report.delivered, clock.now()) == (0, 0.0)


@virtual
async def test_flush_gives_up_at_its_deadline_and_counts_what_is_pending(clock: VirtualClock) -> None:
    platform = Platform(seconds=10.0)
    buffer, _ = make_buffer(platform, clock, max_items=1, max_in_flight=1)
    await buffer.put_many(records(3))
    report = await buffer.flush(timeout=15.0)
    at = clock.now()
    balanced(buffer)
    await buffer.aclose()

    assert at == pytest.approx(15.0)
    assert (report.delivered, report.pending) == (1, 2)
    assert platform.records == records(3)


@virtual
async def test_flush_reports_failed_batches_and_does_not_raise(clock: VirtualClock) -> None:
    platform = Platform()
    platform.error = OSError("x")
    buffer, _ = make_buffer(platform, clock)
    await buffer.put(b"one")
    report = await buffer.flush()
    await buffer.aclose()

    assert (report.unknown, report.undelivered) == (1, [b"one"])


@virtual
async def test_flush_cancelled_at_every_await_loses_nothing(clock: VirtualClock) -> None:
    scene: dict[str, Any] = {}

    async def make() -> Callable[[], Awaitable[object]]:
        platform = Platform(seconds=1.0)
        buffer, failures = make_buffer(platform, clock)
        await buffer.put(b"one")
        scene.update(platform=platform, buffer=buffer, failures=failures)
        return buffer.flush

    async def check(error: BaseException | None) -> None:
        balanced(scene["buffer"])
        await scene["buffer"].aclose()
        everything_is_in_one_place([b"one"], scene["platform"], scene["failures"], scene["buffer"])

    assert await cancel_at_every_await(make, check) >= 1


# -- where it belongs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["put", "put_nowait", "flush", "aclose"])
@virtual
async def test_another_loop_is_refused_and_does_no_harm(clock: VirtualClock, what: str) -> None:
    platform = Platform()
    buffer, failures = make_buffer(platform, clock)
    await buffer.put(b"one")
    caught: list[BaseException] = []

    async def elsewhere() -> None:
        if what == "put":
            await buffer.put(b"two")
        elif what == "put_nowait":
            buffer.put_nowait(b"two")
        elif what == "flush":
            await buffer.flush()
        else:
            await buffer.aclose()

    def second_loop() -> None:
        try:
            asyncio.run(elsewhere())
        except WrongLoop as error:
            caught.append(error)

    thread = threading.Thread(target=second_loop)
    thread.start()
    await asyncio.to_thread(thread.join)
    await buffer.put(b"three")
    await buffer.aclose()

    assert [type(error) for error in caught] == [WrongLoop]
    everything_is_in_one_place([b"one", b"three"], platform, failures, buffer)


def test_a_buffer_dropped_with_records_in_it_warns() -> None:
    clock = VirtualClock()

    async def main() -> None:
        buffer, _ = make_buffer(Platform(), clock)
        await buffer.put(b"one")

    def forget() -> None:
        clock.run(main())
        gc.collect()

    with pytest.warns(UndeliveredWarning, match="was never closed: 1 records that it had accepted were not delivered"):
        forget()


@pytest.mark.parametrize(
    "policy",
    [
        {"max_items": 0},
        {"max_bytes": 0},
        {"max_age": 0.0},
        {"max_age": float("nan")},
        {"max_in_flight": 0},
        {"drain_timeout": -1.0},
        {"max_pending_items": 0},
        {"max_bytes": 100, "max_pending_bytes": 99},
        {"overflow": "drop"},
    ],
)
def test_a_policy_that_cannot_work_is_a_config_error(policy: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        BatchPolicy(**policy)
