"""Back-pressure of the batching buffer: who waits for room, in which order, and who is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from helpers import balanced, cancel_at_every_await, turns, virtual

from asyncconn.core.clock import VirtualClock
from asyncconn.errors import BufferFull

from .batching_scene import Platform, everything_is_in_one_place, make_buffer, records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


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
