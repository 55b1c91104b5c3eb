"""Virtual time: a day passes in a moment, threads are waited for."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from helpers import virtual

from asyncconn.core.clock import SystemClock, VirtualClock


@virtual
async def test_a_virtual_day_of_sleep_takes_no_time(clock: VirtualClock) -> None:
    started = time.monotonic()
    await asyncio.sleep(86_400)

    assert clock.now() == pytest.approx(86_400)
    assert time.monotonic() - started < 5.0


@virtual
async def test_the_loops_time_is_the_clocks(clock: VirtualClock) -> None:
    await clock.sleep(3.0)

    assert asyncio.get_running_loop().time() == clock.now() == pytest.approx(3.0)


@virtual
async def test_sleepers_wake_in_the_order_of_their_times(clock: VirtualClock) -> None:
    order: list[float] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(seconds)

    await asyncio.gather(*[sleep(seconds) for seconds in (3.0, 1e-9, 2.0, 0.0, 1.0)])

    assert order == [0.0, 1e-9, 1.0, 2.0, 3.0]


@virtual
async def test_a_timeout_is_virtual_too(clock: VirtualClock) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600.0):
            await asyncio.Event().wait()

    assert clock.now() == pytest.approx(3600.0)


@virtual
async def test_a_thread_is_waited_for_before_time_moves_on(clock: VirtualClock) -> None:
    async with asyncio.timeout(0.01):
        await asyncio.to_thread(time.sleep, 0.1)

    assert clock.now() == 0.0


@virtual
async def test_a_callback_comes_at_its_time_unless_it_is_cancelled(clock: VirtualClock) -> None:
    came: list[float] = []
    clock.call_at(5.0, lambda: came.append(clock.now()))
    clock.call_at(6.0, lambda: came.append(clock.now())).cancel()
    await asyncio.sleep(10.0)

    assert came == [pytest.approx(5.0)]


@virtual
async def test_advancing_fires_what_is_due(clock: VirtualClock) -> None:
    sleeper = asyncio.create_task(asyncio.sleep(10.0))
    await asyncio.sleep(0)
    clock.advance(10.0)
    await sleeper

    assert clock.now() == 10.0


def test_the_wall_clock_starts_where_it_is_told_and_moves_along() -> None:
    start = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)
    clock = VirtualClock(start=start)
    clock.advance(90.0)

    assert clock.utcnow() == start + timedelta(seconds=90)


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        VirtualClock().advance(-1.0)


def test_one_clock_may_run_several_mains_one_after_another() -> None:
    clock = VirtualClock()
    for _ in range(2):
        clock.run(asyncio.sleep(5.0))

    assert clock.now() == pytest.approx(10.0)


async def test_the_system_clock_is_the_loops_and_the_machines() -> None:
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(0.01)

    assert clock.now() >= before + 0.009
    assert abs(clock.utcnow() - datetime.now(UTC)) < timedelta(seconds=5)
    assert clock.utcnow().tzinfo is UTC
