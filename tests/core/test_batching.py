"""The batching buffer: sizes, ages, back-pressure and order."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from helpers import balanced, cancel_at_every_await, turns, virtual

from asyncconn.core.buffer.memory import BatchBuffer, BatchPolicy
from asyncconn.core.buffer.unheard import UndeliveredWarning
from asyncconn.core.clock import VirtualClock
from asyncconn.errors import BufferFull, ConfigError, DeliveryFailed, RecordTooLarge, WrongLoop

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


# -- back-pressure -----------------------------------------------------------------------------------------------------


@virtual
async def test_a_stalled_sender_bounds_what_is_taken_however_many_put(clock: VirtualClock) -> None:
    platform = Platform()
    platform.hang = True
    buffer, failures = make_buffer(
        platform, clock, max_items=10, max_bytes=400, max_pending_items=50, max_pending_bytes=400
    )
    writers = {record: asyncio.create_task(buffer.put(record)) for record in records(5000)}
    await asyncio.sleep(100.0)
    stats = balanced(buffer)
    for writer in writers.values():
        writer.cancel()
    await asyncio.wait(writers.values())
    accepted = [record for record, writer in writers.items() if not writer.cancelled()]
    await buffer.aclose(timeout=1.0)

    assert (stats.accepted, stats.pending_bytes) == (50, 200)
    everything_is_in_one_place(accepted, platform, failures, buffer)


@virtual
async def test_the_byte_bound_holds_exactly(clock: VirtualClock) -> None:
    platform = Platform()
    platform.hang = True
    buffer, _ = make_buffer(platform, clock, max_bytes=100, max_pending_bytes=250, overflow="raise")
    for _ in range(25):
        await buffer.put(b"x" * 10)
    with pytest.raises(BufferFull):
        await buffer.put(b"x")
    accepted = balanced(buffer).accepted
    await buffer.aclose(timeout=0.1)

    assert accepted == 25


@virtual
async def test_put_nowait_raises_where_put_would_wait(clock: VirtualClock) -> None:
    buffer, _ = make_buffer(Platform(seconds=1.0), clock, max_items=2, max_pending_items=2)
    buffer.put_nowait(b"one")
    buffer.put_nowait(b"two")
    with pytest.raises(BufferFull):
        buffer.put_nowait(b"three")
    accepted = balanced(buffer).accepted
    await buffer.aclose()

    assert accepted == 2


@virtual
async def test_those_who_wait_for_room_are_served_in_order(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, _ = make_buffer(platform, clock, max_items=3, max_pending_items=6, max_in_flight=1)
    writers = []
    for record in records(100):
        writers.append(asyncio.create_task(buffer.put(record)))
        await turns()
    await asyncio.wait(writers)
    await buffer.aclose()

    assert platform.records == records(100)


@virtual
async def test_a_newcomer_does_not_overtake_those_who_wait_for_room(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, _ = make_buffer(platform, clock, max_items=1, max_pending_items=1, max_in_flight=1)
    await buffer.put(b"first")
    waiter = asyncio.create_task(buffer.put(b"waiter"))
    await turns()
    platform_done = asyncio.create_task(buffer.flush())
    await platform_done  # there is room now, and the waiter has been told, but may not have run
    with pytest.raises(BufferFull):
        buffer.put_nowait(b"newcomer")
    await waiter
    await buffer.aclose()

    assert platform.records == [b"first", b"waiter"]


@virtual
async def test_a_small_record_does_not_overtake_a_large_one_that_waits(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, _ = make_buffer(platform, clock, max_bytes=10, max_pending_bytes=10, max_in_flight=1)
    await buffer.put(b"12345")
    large = asyncio.create_task(buffer.put(b"1234567890"))
    await turns()
    small = asyncio.create_task(buffer.put(b"1"))
    await asyncio.wait({large, small})
    await buffer.aclose()

    assert platform.records == [b"12345", b"1234567890", b"1"]


@virtual
async def test_with_many_writers_under_back_pressure_batches_stay_full(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, _ = make_buffer(platform, clock, max_items=50, max_pending_items=200, max_in_flight=2)

    async def writer(number: int) -> None:
        for record in records(20, number * 20):
            await buffer.put(record)

    await asyncio.gather(*[writer(number) for number in range(100)])
    await buffer.aclose()

    assert [len(batch) for batch in platform.batches] == [50] * 40


@virtual
async def test_a_waiter_too_large_for_the_room_beside_an_open_batch_does_not_wait_out_its_age(
    clock: VirtualClock,
) -> None:
    platform = Platform(seconds=1.0)
    buffer, _ = make_buffer(platform, clock, max_bytes=100, max_pending_bytes=100, max_age=3600.0)
    await buffer.put(b"x" * 10)
    flushing = asyncio.create_task(buffer.flush())
    await turns()
    await buffer.put(b"y" * 60)
    await buffer.put(b"z" * 50)  # no room even when the first batch is gone: only the open one can make some
    waited = clock.now()
    await flushing
    await buffer.aclose()

    assert waited == pytest.approx(2.0)


@virtual
async def test_a_tight_loop_of_puts_lets_the_senders_work(clock: VirtualClock) -> None:
    platform = Platform()
    buffer, _ = make_buffer(platform, clock, max_items=10)
    for record in records(1000):
        await buffer.put(record)
    pending = buffer.stats.pending
    await buffer.aclose()

    assert pending <= 20


@virtual
async def test_cancelled_while_waiting_for_room_means_not_taken(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, failures = make_buffer(platform, clock, max_items=1, max_pending_items=1)
    await buffer.put(b"one")
    waiters = {record: asyncio.create_task(buffer.put(record)) for record in (b"two", b"three", b"four")}
    await turns()
    waiters[b"three"].cancel()
    await asyncio.wait(waiters.values())
    await buffer.aclose()

    everything_is_in_one_place([b"one", b"two", b"four"], platform, failures, buffer)


@virtual
async def test_room_given_to_one_who_is_cancelled_in_that_turn_goes_to_the_next(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, failures = make_buffer(platform, clock, max_items=1, max_pending_items=1, max_age=3600.0)
    receipt = await buffer.put(b"one")
    first = asyncio.create_task(buffer.put(b"two"))
    await turns()
    second = asyncio.create_task(buffer.put(b"three"))
    await turns()
    buffer.events.on("flush", lambda _: asyncio.get_running_loop().call_soon(first.cancel))
    await receipt
    await asyncio.wait({first, second})
    await buffer.aclose()

    assert first.cancelled()
    everything_is_in_one_place([b"one", b"three"], platform, failures, buffer)


@virtual
async def test_put_cancelled_at_every_await_is_either_taken_or_not(clock: VirtualClock) -> None:
    scene: dict[str, Any] = {}

    async def make() -> Callable[[], Awaitable[object]]:
        platform = Platform(seconds=1.0)
        buffer, failures = make_buffer(platform, clock, max_items=1, max_pending_items=2, max_in_flight=1)
        await buffer.put(b"one")
        await buffer.put(b"two")
        scene.update(platform=platform, buffer=buffer, failures=failures)
        return lambda: buffer.put(b"three")

    async def check(error: BaseException | None) -> None:
        buffer = scene["buffer"]
        balanced(buffer)
        await buffer.put(b"four")
        await buffer.aclose()
        accepted = [b"one", b"two", b"four"] + ([] if error else [b"three"])
        everything_is_in_one_place(accepted, scene["platform"], scene["failures"], buffer)

    assert await cancel_at_every_await(make, check) >= 2


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


# -- failures and handlers ---------------------------------------------------------------------------------------------


@virtual
async def test_a_failed_batch_is_reported_with_its_records_and_the_next_one_is_sent(clock: VirtualClock) -> None:
    platform = Platform()
    buffer, failures = make_buffer(platform, clock, max_items=2)
    platform.error = OSError("no route")
    receipt = await buffer.put(b"one")
    await buffer.put(b"two")
    await turns()
    platform.error = None
    await buffer.put(b"three")
    await buffer.aclose()

    assert [failure.records for failure in failures] == [[b"one", b"two"]]
    assert isinstance(failures[0].__cause__, OSError)
    assert receipt.error is failures[0]
    assert platform.records == [b"three"]


@pytest.mark.parametrize(("error", "unknown"), [(OSError("x"), True), (ConfigError("x"), False)])
@virtual
async def test_a_failure_says_whether_the_records_may_have_arrived(
    clock: VirtualClock, error: Exception, unknown: bool
) -> None:
    platform = Platform()
    platform.error = error
    buffer, failures = make_buffer(platform, clock)
    await buffer.put(b"one")
    await buffer.flush()
    await buffer.aclose()

    assert failures[0].maybe_delivered is unknown


@virtual
async def test_failures_show_records_as_the_user_knows_them(clock: VirtualClock) -> None:
    platform = Platform()
    platform.error = OSError("x")
    buffer, failures = make_buffer(platform, clock, reveal=bytes.decode)
    await buffer.put(b"one")
    await buffer.aclose()

    assert failures[0].records == ["one"]


@virtual
async def test_a_record_that_cannot_be_revealed_is_reported_as_it_is(clock: VirtualClock) -> None:
    platform = Platform()
    platform.error = OSError("x")
    buffer, failures = make_buffer(platform, clock, reveal=bytes.decode)
    await buffer.put(b"one")
    await buffer.put(b"\xff")
    await buffer.aclose()

    assert failures[0].records == ["one", b"\xff"]
    assert balanced(buffer).unknown == 2


@virtual
async def test_handlers_that_raise_stop_nothing_and_are_counted(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def bad_later(_: object) -> None:
        await asyncio.sleep(0.01)
        raise ValueError("later")

    def bad_now(_: object) -> None:
        raise ValueError("now")

    platform = Platform()
    buffer, _ = make_buffer(platform, clock, max_items=1)
    for name in ("send", "flush"):
        buffer.events.on(name, bad_now)
        buffer.events.on(name, bad_later)
    await buffer.put(b"one")
    await asyncio.sleep(1.0)
    await buffer.put(b"two")
    await asyncio.sleep(1.0)
    await buffer.aclose()

    assert platform.records == [b"one", b"two"]
    assert buffer.events.failures == 8
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 2


@virtual
async def test_events_tell_of_each_batch_before_it_leaves_and_after_it_arrived(clock: VirtualClock) -> None:
    seen: list[str] = []
    buffer, _ = make_buffer(Platform(), clock, max_items=2)
    buffer.events.on("*", lambda name, data: seen.append(f"{name} {type(data).__name__}"))
    await buffer.put_many(records(3))
    await buffer.aclose()

    assert sorted(seen) == ["flush Delivery"] * 2 + ["send Batch"] * 2


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


# -- receipts ----------------------------------------------------------------------------------------------------------


@virtual
async def test_records_of_one_batch_share_a_receipt(clock: VirtualClock) -> None:
    buffer, _ = make_buffer(Platform(), clock, max_items=2)
    one, two, three = [await buffer.put(record) for record in records(3)]
    await buffer.aclose()

    assert one is two
    assert two is not three


@virtual
async def test_a_receipt_says_how_its_batch_arrived(clock: VirtualClock) -> None:
    buffer, _ = make_buffer(Platform(seconds=0.5), clock, max_items=2)
    receipt = await buffer.put(b"one")
    before = (receipt.done, repr(receipt))
    await buffer.put(b"three")
    delivery = await receipt
    await buffer.aclose()

    assert before == (False, "<Receipt pending>")
    assert (delivery.records, delivery.bytes, delivery.result, repr(receipt)) == (2, 8, 1, "<Receipt delivered>")
    assert delivery.seconds == pytest.approx(0.5)


@virtual
async def test_a_cancelled_awaiter_of_a_receipt_disturbs_nobody(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, _ = make_buffer(platform, clock, max_items=1)
    receipt = await buffer.put(b"one")
    awaiters = [asyncio.create_task(receipt.wait()) for _ in range(5)]
    await asyncio.sleep(0.5)
    awaiters[2].cancel()
    results = await asyncio.gather(*awaiters, return_exceptions=True)
    await buffer.aclose()

    assert [isinstance(result, asyncio.CancelledError) for result in results] == [False, False, True, False, False]
    assert platform.records == [b"one"]


@virtual
async def test_every_awaiter_of_a_failed_receipt_gets_the_records(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    platform.error = OSError("x")
    buffer, _ = make_buffer(platform, clock, max_items=1)
    receipt = await buffer.put(b"one")
    results = await asyncio.gather(*[receipt.wait() for _ in range(3)], return_exceptions=True)
    with pytest.raises(DeliveryFailed) as failed:
        await receipt
    await buffer.aclose()

    errors = [failed.value, *(result for result in results if isinstance(result, DeliveryFailed))]
    assert len(errors) == 4
    assert all(error.records == [b"one"] for error in errors)
    assert {id(error.__cause__) for error in errors} == {id(platform.error)}


def test_a_failure_that_nobody_awaits_makes_no_noise_in_the_loop() -> None:
    clock = VirtualClock()
    noise: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
        platform = Platform()
        platform.error = OSError("x")
        buffer: BatchBuffer[bytes]
        buffer, _ = make_buffer(platform, clock, max_items=1, max_pending_items=1)
        await buffer.put_many(records(3))
        waiting = asyncio.create_task(buffer.put(b"late"))
        await buffer.aclose()
        waiting.cancel()
        await asyncio.wait({waiting})
        del buffer, waiting
        gc.collect()
        await turns()

    clock.run(main())
    gc.collect()

    assert noise == []
