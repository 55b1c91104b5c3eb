"""What the log says of rates: a long wait once, with its end; a quota of which little is left once a day."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from helpers import turns, virtual

from asyncconn.core.clock import VirtualClock
from asyncconn.core.rates.limiter import Quota, RateLimiter, TokenBucket, Window
from asyncconn.errors import QuotaExhausted

from .test_quota import DAY, MemoryStore, calls, calls_until_refused

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="asyncconn.ratelimit")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


async def waiting(limiter: RateLimiter, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(calls(limiter, 1)) for _ in range(count)]
    await turns(3)
    return tasks


@virtual
async def test_a_long_wait_is_told_once_with_its_end(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter(Window(10, 60.0), name="tides", clock=clock)
    await calls(limiter, 10)
    await asyncio.gather(*await waiting(limiter, 10))

    assert lines(caplog) == ["INFO tides: 1 wait for the rate, the last until 2030-01-01T00:01:00+00:00"]


@virtual
async def test_the_next_wait_is_told_again(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter(Window(1, 60.0), name="tides", clock=clock)
    await calls(limiter, 3)

    assert [line.rpartition(" ")[2] for line in lines(caplog)] == [
        "2030-01-01T00:01:00+00:00", "2030-01-01T00:02:00+00:00",
    ]  # fmt: skip


@virtual
async def test_a_wait_that_grows_as_others_join_is_told(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter(TokenBucket(1.0, 1), name="tides", clock=clock)
    await calls(limiter, 1)
    tasks = await waiting(limiter, 100)
    [line] = lines(caplog)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

    assert line == "INFO tides: 8 wait for the rate, the last until 2030-01-01T00:00:08+00:00"


@virtual
async def test_who_gave_up_waiting_is_not_counted(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter(TokenBucket(1.0, 1), name="tides", clock=clock)
    await calls(limiter, 1)
    hasty = await waiting(limiter, 4)
    for task in hasty[1:]:
        task.cancel()
    await asyncio.wait(hasty[1:])
    await asyncio.gather(hasty[0], *await waiting(limiter, 20))

    assert [line.partition(" for ")[0] for line in lines(caplog)] == ["INFO tides: 13 wait"]


@virtual
async def test_a_short_wait_is_not_told(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter(Window(10, 5.0, skew=0.0), clock=clock)
    await asyncio.gather(*await waiting(limiter, 20))

    assert lines(caplog) == []


@virtual
async def test_who_waits_for_a_pause_that_was_told_is_not_told_again(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = RateLimiter(Window(10, 5.0), name="tides", clock=clock)
    limiter.pause(30.0)
    await asyncio.gather(*await waiting(limiter, 3))

    assert [line.startswith("INFO tides: paused") for line in lines(caplog)] == [True]


@pytest.mark.parametrize("store", [None, MemoryStore], ids=["alone", "with a store"])
def test_a_quota_is_told_when_nine_tenths_are_used_once_a_day(
    caplog: pytest.LogCaptureFixture, store: Callable[[], MemoryStore] | None
) -> None:
    @virtual
    async def main(clock: VirtualClock) -> None:
        quota = Quota(100, store=None if store is None else store(), chunk=1, name="daily")
        limiter = RateLimiter(quota, name="tides", clock=clock)
        for day in (1, 2):
            await calls(limiter, 89)
            assert len(lines(caplog)) == day - 1
            await calls(limiter, 1)
            assert len(lines(caplog)) == day
            assert await calls_until_refused(limiter) == 10
            await asyncio.sleep(DAY + 60.0)

    main()

    assert lines(caplog) == [
        f"WARNING tides/daily: 90 of 100 calls are used, and no more come before 2030-01-{day:02}T00:00:00+00:00"
        for day in (2, 3)
    ]


@virtual
async def test_what_the_server_says_is_used_counts_for_the_line(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = RateLimiter(Quota(100, name="daily"), name="tides", clock=clock)
    limiter.observe(part="daily", remaining=4)

    assert [line.partition(",")[0] for line in lines(caplog)] == ["WARNING tides/daily: 96 of 100 calls are used"]


@virtual
async def test_a_quota_of_one_call_is_told_when_it_is_used(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = RateLimiter(Quota(1, name="daily"), name="tides", clock=clock)
    await calls(limiter, 1)
    with pytest.raises(QuotaExhausted):
        await limiter.acquire()

    assert len(lines(caplog)) == 1
