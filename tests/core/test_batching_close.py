"""Closing the batching buffer: deadlines, cancellations of every kind, and a report that names every record."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from helpers import balanced, cancel_at_every_await, turns, virtual

from asyncconn.errors import BufferClosed, DeliveryFailed

from .batching_scene import Platform, everything_is_in_one_place, make_buffer, named, records

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn.core.buffer.memory import Batch
    from asyncconn.core.clock import VirtualClock


@virtual
async def test_a_close_delivers_what_was_accepted_and_reports_it(clock: VirtualClock) -> None:
    platform = Platform(seconds=0.5)
    buffer, _ = make_buffer(platform, clock, max_items=3)
    await buffer.put_many(records(10))
    report = await buffer.aclose()

    assert platform.records == records(10)
    assert (report.delivered, report.failed, report.pending, report.complete) == (10, 0, 0, True)
    assert clock.now() == pytest.approx(0.5)


@pytest.mark.parametrize("what", ["put", "put_nowait", "put_many"])
@virtual
async def test_a_closed_buffer_takes_nothing(clock: VirtualClock, what: str) -> None:
    buffer, _ = make_buffer(Platform(), clock)
    await buffer.put(b"one")
    await buffer.aclose()

    async def write() -> None:
        if what == "put":
            await buffer.put(b"two")
        elif what == "put_nowait":
            buffer.put_nowait(b"two")
        else:
            await buffer.put_many([b"two"])

    with pytest.raises(BufferClosed):
        await write()
    assert balanced(buffer).accepted == 1


@virtual
async def test_an_unused_buffer_closes_at_once(clock: VirtualClock) -> None:
    buffer, _ = make_buffer(Platform(), clock)
    report = await buffer.aclose()
    with pytest.raises(BufferClosed):
        await buffer.put(b"one")

    assert (report.delivered, clock.now()) == (0, 0.0)


@virtual
async def test_a_second_close_gets_the_same_report(clock: VirtualClock) -> None:
    buffer, _ = make_buffer(Platform(seconds=1.0), clock)
    await buffer.put(b"one")
    first, second = await asyncio.gather(buffer.aclose(), buffer.aclose())
    third = await buffer.aclose()

    assert first is second is third


@virtual
async def test_a_hasty_second_close_does_not_cut_the_first_one_short(clock: VirtualClock) -> None:
    platform = Platform(seconds=30.0)
    buffer, failures = make_buffer(platform, clock)
    await buffer.put(b"one")
    patient = asyncio.create_task(buffer.aclose(timeout=60.0))
    await turns()
    hasty = asyncio.create_task(buffer.aclose(timeout=1.0))
    await asyncio.wait({patient, hasty})

    assert patient.result().delivered == 1
    assert hasty.result() is patient.result()
    everything_is_in_one_place([b"one"], platform, failures, buffer)


@virtual
async def test_a_close_wakes_those_who_wait_for_room(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, failures = make_buffer(platform, clock, max_items=1, max_pending_items=1)
    await buffer.put(b"one")
    waiters = [asyncio.create_task(buffer.put(record)) for record in records(3)]
    await turns()
    closing = asyncio.create_task(buffer.aclose())
    await turns()
    at = clock.now()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    await closing

    assert [type(result) for result in results] == [BufferClosed] * 3
    assert at == 0.0
    everything_is_in_one_place([b"one"], platform, failures, buffer)


@virtual
async def test_a_writer_given_room_just_before_the_close_is_delivered(clock: VirtualClock) -> None:
    platform = Platform()
    buffer, failures = make_buffer(platform, clock, max_items=1, max_pending_items=1)
    accepted = [b"one"]

    async def write() -> None:
        await buffer.put(b"two")
        accepted.append(b"two")

    receipt = await buffer.put(b"one")
    writer = asyncio.create_task(write())
    await receipt
    await buffer.aclose()
    await asyncio.wait({writer})
    with contextlib.suppress(BufferClosed):
        writer.result()

    everything_is_in_one_place(accepted, platform, failures, buffer)


@virtual
async def test_a_hanging_sender_cannot_hold_a_close_beyond_its_deadline(clock: VirtualClock) -> None:
    platform = Platform()
    platform.hang = True
    buffer, failures = make_buffer(platform, clock, max_items=2, max_in_flight=2)
    await buffer.put_many(records(9))
    report = await buffer.aclose(timeout=3.0)

    assert clock.now() == pytest.approx(3.0)
    assert (report.delivered, report.failed, report.unknown, report.pending) == (0, 5, 4, 0)
    assert named(report) == records(9)
    everything_is_in_one_place(records(9), platform, failures, buffer)


@virtual
async def test_a_close_that_gives_up_says_which_records_were_attempted(clock: VirtualClock) -> None:
    platform = Platform()
    platform.hang = True
    buffer, failures = make_buffer(platform, clock, max_items=2, max_in_flight=2)
    await buffer.put_many(records(9))
    await buffer.aclose(timeout=3.0)
    attempted = [record for failure in failures if failure.maybe_delivered for record in failure.records]
    never = [record for failure in failures if not failure.maybe_delivered for record in failure.records]

    assert sorted(attempted) == sorted(platform.tried) == records(4)
    assert sorted(never) == records(5, 4)


@virtual
async def test_a_close_without_any_time_still_reports_every_record(clock: VirtualClock) -> None:
    platform = Platform(seconds=1.0)
    buffer, failures = make_buffer(platform, clock, max_items=2, max_in_flight=2)
    await buffer.put_many(records(9))
    report = await buffer.aclose(timeout=0.0)

    assert named(report) == records(9)
    everything_is_in_one_place(records(9), platform, failures, buffer)


@virtual
async def test_a_sender_that_cleans_up_for_long_cannot_hold_a_close(clock: VirtualClock) -> None:
    ended = asyncio.Event()

    async def send(batch: Batch[bytes]) -> None:
        while (left := 30.0 - clock.now()) > 0:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(left)
        ended.set()

    platform = Platform()
    platform.send = send  # type: ignore[method-assign,assignment] # replaced for the test
    buffer, failures = make_buffer(platform, clock)
    receipt = await buffer.put(b"one")
    report = await buffer.aclose(timeout=1.0)
    at = clock.now()
    again = await buffer.aclose()
    await ended.wait()
    await turns()

    assert at <= 1.0 + 5.0
    assert (report.pending, named(report)) == (0, [b"one"])
    assert again is report
    assert receipt.error is not None
    assert receipt.error.maybe_delivered
    everything_is_in_one_place([b"one"], platform, failures, buffer)


@virtual
async def test_receipts_of_a_close_that_gave_up_fail_with_their_records(clock: VirtualClock) -> None:
    platform = Platform()
    platform.hang = True
    buffer, _ = make_buffer(platform, clock)
    receipt = await buffer.put(b"one")
    awaiting = asyncio.create_task(receipt.wait())
    await buffer.aclose(timeout=1.0)

    with pytest.raises(DeliveryFailed, match="time to close"):
        await awaiting


# -- cancellation ------------------------------------------------------------------------------------------------------


async def native(close: Callable[[], Awaitable[object]]) -> None:
    task = asyncio.ensure_future(close())
    await turns()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.1)
    await asyncio.wait({task})
    assert task.cancelled()


async def by_asyncio_timeout(close: Callable[[], Awaitable[object]]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await close()


async def by_anyio_scope(close: Callable[[], Awaitable[object]]) -> None:
    with anyio.move_on_after(0.1) as scope:
        await close()
        await anyio.sleep(0)
    assert scope.cancelled_caught


async def in_a_cancelled_anyio_scope(close: Callable[[], Awaitable[object]]) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await close()


async def in_a_failing_task_group(close: Callable[[], Awaitable[object]]) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.1)
        raise LookupError

    async def close_in_a_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await close()

    with pytest.raises(ExceptionGroup):
        await close_in_a_group()


WAYS: dict[str, Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]] = {
    way.__name__: way
    for way in (native, by_asyncio_timeout, by_anyio_scope, in_a_cancelled_anyio_scope, in_a_failing_task_group)
}


@pytest.mark.parametrize("way", WAYS)
@virtual
async def test_a_cancelled_close_still_delivers_everything(clock: VirtualClock, way: str) -> None:
    platform = Platform(seconds=1.0)
    buffer, failures = make_buffer(platform, clock, max_items=2, max_in_flight=1)
    await buffer.put_many(records(9))
    await WAYS[way](buffer.aclose)
    report = await buffer.aclose()

    assert report.delivered == 9
    assert platform.records == records(9)
    everything_is_in_one_place(records(9), platform, failures, buffer)


@pytest.mark.parametrize("way", WAYS)
@virtual
async def test_a_cancelled_close_with_a_hanging_sender_still_names_everything(clock: VirtualClock, way: str) -> None:
    platform = Platform()
    platform.hang = True
    buffer, failures = make_buffer(platform, clock, max_items=2, max_in_flight=1)
    await buffer.put_many(records(9))
    await WAYS[way](lambda: buffer.aclose(timeout=2.0))
    report = await buffer.aclose()

    assert named(report) == records(9)
    everything_is_in_one_place(records(9), platform, failures, buffer)


@virtual
async def test_aclose_cancelled_at_every_await_loses_nothing(clock: VirtualClock) -> None:
    scene: dict[str, Any] = {}

    async def make() -> Callable[[], Awaitable[object]]:
        platform = Platform(seconds=1.0)
        buffer, failures = make_buffer(platform, clock, max_items=2, max_in_flight=1)
        await buffer.put_many(records(5))
        scene.update(platform=platform, buffer=buffer, failures=failures)
        return buffer.aclose

    async def check(error: BaseException | None) -> None:
        buffer = scene["buffer"]
        assert (await buffer.aclose()).delivered == 5
        everything_is_in_one_place(records(5), scene["platform"], scene["failures"], buffer)

    assert await cancel_at_every_await(make, check) >= 1


# -- handlers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fate", ["delivered", "failed", "cut short"])
@virtual
async def test_asynchronous_handlers_hear_of_the_last_batch_too(clock: VirtualClock, fate: str) -> None:
    heard: list[str] = []

    async def hear(name: str, _: object) -> None:
        await asyncio.sleep(0.1)
        heard.append(name)

    platform = Platform(seconds=1.0)
    platform.error = OSError("x") if fate == "failed" else None
    platform.hang = fate == "cut short"
    buffer, _ = make_buffer(platform, clock)
    buffer.events.on("*", hear)
    await buffer.put(b"one")
    await buffer.aclose(timeout=10.0)

    assert heard == ["send", "flush" if fate == "delivered" else "error"]
    assert buffer.events.failures == 0


@virtual
async def test_a_handler_that_never_ends_cannot_hold_a_close(clock: VirtualClock) -> None:
    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    platform = Platform()
    buffer, failures = make_buffer(platform, clock)
    buffer.events.on("flush", hang)
    await buffer.put(b"one")
    report = await buffer.aclose(timeout=1.0)

    assert report.delivered == 1
    assert clock.now() <= 1.0 + 5.0
    everything_is_in_one_place([b"one"], platform, failures, buffer)


def test_a_forked_child_is_told_that_the_buffer_is_its_parents() -> None:
    code = """
import asyncio, os
from asyncconn.core.buffer.memory import BatchBuffer
from asyncconn.errors import WrongLoop

async def send(batch): ...

async def child(buffer):
    try:
        await buffer.put(b"two")
    except WrongLoop:
        return 0 if buffer.offer(b"three") is None else 2
    return 1

async def main():
    buffer = BatchBuffer(send, size=len)
    await buffer.put(b"one")
    if not (pid := os.fork()):
        asyncio._set_running_loop(None)
        os._exit(asyncio.run(child(buffer)))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert (await buffer.aclose()).delivered == 1
    return status

raise SystemExit(asyncio.run(main()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)

    assert (done.returncode, done.stderr) == (0, "")
