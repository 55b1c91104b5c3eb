"""Every pause that a server asks for: told at INFO with its end, readable in the snapshot, and to be lifted."""

from __future__ import annotations

import asyncio
import logging
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from helpers import turns, virtual

from asyncconn.core.rates.limiter import Quota, RateLimiter, TokenBucket, Window
from asyncconn.errors import ConfigError, QuotaExhausted

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock
    from asyncconn.core.rates.windows import Part


@pytest.fixture(autouse=True)
def _at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="asyncconn.ratelimit")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]


def test_a_pause_is_told_once_with_its_end_and_can_be_read(caplog: pytest.LogCaptureFixture) -> None:
    @virtual
    async def main(clock: VirtualClock) -> None:
        limiter = RateLimiter(Window(10, 60.0), name="tides", clock=clock)
        for seconds in (1800.0, 1800.2, 5.0):
            limiter.pause(seconds)
        books = limiter.snapshot()

        assert (books.paused_for, books.remaining) == (1800.2, 0)
        assert books.paused_until is not None
        assert books.paused_until.replace(microsecond=0) == datetime(2030, 1, 1, 0, 30, tzinfo=UTC)

    main()

    assert [line.startswith("tides: paused; no call before 2030-01-01T00:30:00+00:00") for line in told(caplog)] == [
        True
    ]


@virtual
async def test_what_is_not_paused_says_so(clock: VirtualClock) -> None:
    books = RateLimiter(Window(10, 60.0), clock=clock).snapshot()

    assert (books.paused_for, books.paused_until) == (0.0, None)


@pytest.mark.parametrize(
    "part",
    [Window(10, 60.0, name="p"), TokenBucket(1.0, 10, name="p"), Quota(10, name="p")],
    ids=lambda part: type(part).__name__,
)
def test_a_hold_that_headers_ask_for_is_told_once_and_can_be_lifted(
    caplog: pytest.LogCaptureFixture, part: Part
) -> None:
    @virtual
    async def main(clock: VirtualClock) -> None:
        limiter = RateLimiter(part, clock=clock)
        for _ in range(3):
            limiter.observe(part="p", remaining=0, reset_after=900.0)
        limiter.resume()
        await limiter.acquire()
        assert clock.now() <= 1.0  # a bucket fills up again

    main()

    assert [line.startswith("limiter: the server says that nothing is left of p") for line in told(caplog)] == [True]


@virtual
async def test_a_pause_that_is_lifted_lets_whoever_waits_go_on(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 60.0), clock=clock)
    limiter.pause(math.inf)
    assert repr(limiter.snapshot()).endswith("; paused until further notice>")
    waiting = asyncio.create_task(limiter.acquire())
    await turns()
    limiter.resume()
    (await waiting).done()

    assert clock.now() == 0.0
    assert limiter.snapshot().paused_until is None


@virtual
async def test_lifting_forgets_nothing_that_was_counted_here(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(2, 60.0, name="window"), Quota(3, name="day"), clock=clock)
    for _ in range(2):
        (await limiter.acquire()).done()
    limiter.observe(part="window", remaining=0, reset_after=300.0)
    limiter.observe(part="day", remaining=0)
    limiter.resume()
    await limiter.acquire()
    with pytest.raises(QuotaExhausted):
        await limiter.acquire()

    assert clock.now() == pytest.approx(60.0)


@virtual
async def test_a_closed_limiter_stays_closed(clock: VirtualClock) -> None:
    limiter = RateLimiter(Window(10, 60.0), clock=clock)
    await limiter.aclose()
    limiter.resume()

    assert limiter.acquire_nowait() is None


@virtual
async def test_a_pause_of_no_number_is_a_config_error(clock: VirtualClock) -> None:
    with pytest.raises(ConfigError, match="seconds"):
        RateLimiter(Window(10, 60.0), clock=clock).pause(math.nan)
