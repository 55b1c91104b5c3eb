"""What becomes of a batch: failures, handlers, events, receipts."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from helpers import balanced, turns, virtual

from asyncconn.core.buffer.memory import BatchBuffer
from asyncconn.core.clock import VirtualClock
from asyncconn.errors import ConfigError, DeliveryFailed

from .batching_scene import Platform, make_buffer, records

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
async def test_who_waits_no_more_leaves_nothing_behind(clock: VirtualClock) -> None:
    platform = Platform(seconds=100.0)
    buffer, _ = make_buffer(platform, clock, max_items=1)
    receipt = await buffer.put(b"one")
    kept = asyncio.create_task(receipt.wait())
    await turns()
    for _ in range(3):
        await buffer.flush(0)
        await buffer.flush(0.1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await receipt
    assert len(receipt._waiting) == 1
    await buffer.flush()
    assert (await kept).records == 1
    await buffer.aclose()


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
