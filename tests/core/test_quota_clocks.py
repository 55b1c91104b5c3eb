"""A day belongs to the wall clock: over sleep, clocks that are set either way, and files written under a wrong one."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.core.clock import VirtualClock
from asyncconn.core.rates.limiter import Quota, RateLimiter
from asyncconn.core.rates.stores import FileQuotaStore
from asyncconn.errors import ConfigError, QuotaExhausted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOUR = 3600.0
DAY = 24 * HOUR
STORES = [False, True]


class Scene:
    """A quota of 100 calls a UTC day, from 20:00 on, and what was granted by the day that the wall clock showed."""

    def __init__(self, path: Path | None = None, **options: Any) -> None:
        self.clock = VirtualClock(datetime(2030, 1, 1, 20, tzinfo=UTC))
        self.path, self.options = path, options
        self.by_day: Counter[date] = Counter()
        self.refused_until: list[timedelta] = []  # from the time of the refusal

    def limiter(self) -> RateLimiter:
        store = None if self.path is None else FileQuotaStore(self.path)
        return RateLimiter(Quota(100, store=store, chunk=1 if store else None, **self.options), clock=self.clock)

    async def some(self, limiter: RateLimiter, wanted: int) -> int:
        for number in range(wanted):
            try:
                async with limiter:
                    self.by_day[self.clock.utcnow().date()] += 1
            except QuotaExhausted as error:
                self.refused_until.append(error.resets_at - self.clock.utcnow())
                return number
        return wanted


def scene(stored: bool, folder: Path, **options: Any) -> Scene:
    return Scene(folder / "quota.json" if stored else None, **options)


@pytest.mark.parametrize("stored", STORES)
def test_a_machine_that_sleeps_over_midnight_wakes_to_a_new_day_and_its_quota_holds(
    stored: bool, tmp_path: Path
) -> None:
    there = scene(stored, tmp_path)

    async def main() -> list[int]:
        limiter = there.limiter()
        granted = [await there.some(limiter, 50)]
        there.clock.step(12 * HOUR)
        granted.append(await there.some(limiter, 60))
        await asyncio.sleep(5 * HOUR)
        return [*granted, await there.some(limiter, 100)]

    assert there.clock.run(main()) == [50, 60, 40]
    assert min(there.refused_until) > timedelta()


@pytest.mark.parametrize("stored", STORES)
def test_a_clock_that_is_set_back_a_day_begins_no_new_count(stored: bool, tmp_path: Path) -> None:
    there = scene(stored, tmp_path)

    async def main() -> list[int]:
        limiter = there.limiter()
        granted = [await there.some(limiter, 50)]
        there.clock.step(12 * HOUR)
        granted.append(await there.some(limiter, 30))
        there.clock.step(-12 * HOUR)  # put right: these 30 were made today
        granted.append(await there.some(limiter, 100))
        await asyncio.sleep(5 * HOUR)  # the day that was counted by 30 comes
        return [*granted, await there.some(limiter, 100)]

    assert there.clock.run(main()) == [50, 30, 20, 70]
    assert min(there.refused_until) > timedelta()


def test_a_clock_that_is_set_back_by_mistake_and_forth_again_grants_no_day_twice() -> None:
    there = Scene()

    async def main() -> list[int]:
        limiter = there.limiter()
        await there.some(limiter, 10)
        there.clock.step(12 * HOUR)
        granted = [await there.some(limiter, 60)]
        there.clock.step(-12 * HOUR)
        granted.append(await there.some(limiter, 20))
        there.clock.step(12 * HOUR)
        return [*granted, await there.some(limiter, 100)]

    granted = there.clock.run(main())

    assert granted == [60, 20, 20]
    assert sum(granted) == 100  # all of them on one true day


@pytest.mark.parametrize("seconds", [-3.0, -1.0, -0.1, 0.1])
def test_a_small_step_around_midnight_grants_no_day_twice(seconds: float) -> None:
    there = Scene()

    async def main() -> None:
        limiter = there.limiter()
        await asyncio.sleep(4 * HOUR + 2.05)
        await there.some(limiter, 100)
        there.clock.step(seconds)
        await there.some(limiter, 100)
        await asyncio.sleep(10.0)
        await there.some(limiter, 100)

    there.clock.run(main())

    assert sum(there.by_day.values()) == 100
    assert min(there.refused_until) > timedelta()


@pytest.mark.parametrize("ahead", [timedelta(days=1), timedelta(days=400)])
def test_a_file_written_under_a_clock_that_was_ahead_closes_no_day_and_its_calls_count_once(
    ahead: timedelta, tmp_path: Path
) -> None:
    there = Scene(tmp_path / "quota.json")

    async def main() -> list[int]:
        there.clock.step(ahead.total_seconds())
        await there.some(wrong := there.limiter(), 60)
        await wrong.aclose()
        there.clock.step(-ahead.total_seconds())
        limiter = there.limiter()
        granted = [await there.some(limiter, 100)]
        await asyncio.sleep(3 * DAY)
        return [*granted, await there.some(limiter, 200)]

    assert there.clock.run(main()) == [40, 100]


def test_a_file_written_under_a_clock_that_was_behind_weighs_on_no_later_day(tmp_path: Path) -> None:
    there = Scene(tmp_path / "quota.json")

    async def main() -> int:
        there.clock.step(-400 * DAY)
        await there.some(wrong := there.limiter(), 60)
        await wrong.aclose()
        there.clock.step(400 * DAY)
        return await there.some(there.limiter(), 200)

    assert there.clock.run(main()) == 100


@pytest.mark.parametrize("stored", STORES)
def test_who_waits_for_the_next_day_goes_on_soon_after_the_machine_wakes(stored: bool, tmp_path: Path) -> None:
    there = scene(stored, tmp_path, wait=True)

    async def main() -> float:
        limiter = there.limiter()
        await there.some(limiter, 100)
        waiting = asyncio.create_task(there.some(limiter, 1))
        await asyncio.sleep(HOUR)
        there.clock.step(8 * HOUR)
        woken = there.clock.now()
        await waiting
        return there.clock.now() - woken

    assert there.clock.run(main()) <= 60.0


def test_who_waits_for_the_next_day_waits_on_when_the_clock_is_set_back() -> None:
    there = Scene(wait=True)

    async def main() -> None:
        limiter = there.limiter()
        await there.some(limiter, 100)
        there.clock.step(-2 * HOUR)
        await there.some(limiter, 1)

    there.clock.run(main())

    assert there.clock.utcnow().date() == date(2030, 1, 2)
    assert there.by_day == {date(2030, 1, 1): 100, date(2030, 1, 2): 1}


def test_a_refusal_in_the_seconds_after_the_reset_names_a_time_that_is_not_over() -> None:
    there = Scene()

    async def main() -> None:
        limiter = there.limiter()
        await there.some(limiter, 101)
        await asyncio.sleep(4 * HOUR + 1.0)
        await there.some(limiter, 1)

    there.clock.run(main())

    assert there.refused_until == [timedelta(hours=4), timedelta(seconds=1)]


# -- what a user's function may say ------------------------------------------------------------------------------------


def fails(now: datetime) -> datetime:
    raise LookupError("no calendar")


BAD_RESETS: dict[str, Any] = {
    "now": lambda now: now,
    "past": lambda now: now - timedelta(hours=1),
    "this midnight": lambda now: now.replace(hour=0, minute=0),
    "naive": lambda now: datetime(2030, 1, 2),  # noqa: DTZ001 - wrong on purpose
    "a date": lambda now: date(2030, 1, 2),
    "seconds": lambda now: 3600.0,
    "nothing": lambda now: None,
    "the end of time": lambda now: datetime.max.replace(tzinfo=UTC),
    "an error": fails,
}


@pytest.mark.parametrize("what", BAD_RESETS)
def test_a_reset_that_is_not_ahead_or_no_time_is_a_config_error_before_any_call(what: str) -> None:
    with pytest.raises(ConfigError, match=r"quota: resets\(\)"):
        RateLimiter(Quota(5, resets=BAD_RESETS[what]), clock=VirtualClock())


@pytest.mark.parametrize("given", ["daily", None, 86_400])
def test_resets_is_a_word_or_a_function(given: Any) -> None:
    with pytest.raises(ConfigError, match="utc-day"):
        Quota(5, resets=given)


def first_right_then_not() -> Callable[[datetime], datetime]:
    given: list[datetime] = []

    def resets(now: datetime) -> datetime:
        given.append(now)
        return given[0] + timedelta(hours=1)

    return resets


@virtual
async def test_a_function_that_goes_wrong_later_stops_the_calls_and_not_their_ends(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(5, resets=first_right_then_not()), clock=clock)
    running = await limiter.acquire()
    await asyncio.sleep(2 * HOUR)
    running.sent()
    running.done()
    for _ in range(3):
        with pytest.raises(ConfigError, match="after"):
            await limiter.acquire()

    assert limiter.snapshot().in_flight == 0


@virtual
async def test_a_reset_in_another_zone_is_told_in_utc(clock: VirtualClock) -> None:
    def midnight(now: datetime) -> datetime:
        there = now.astimezone(timezone(timedelta(hours=-8)))
        return there.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)

    limiter = RateLimiter(Quota(1, resets=midnight), clock=clock)
    (await limiter.acquire()).done()
    with pytest.raises(QuotaExhausted) as refused:
        await limiter.acquire()

    assert refused.value.resets_at.isoformat() == "2030-01-01T08:00:00+00:00"


# -- what the server says of the day -----------------------------------------------------------------------------------


@virtual
async def test_an_answer_of_yesterday_does_not_close_today(clock: VirtualClock) -> None:
    limiter = RateLimiter(Quota(100), clock=clock)
    await asyncio.sleep(DAY + 3.0)
    limiter.observe(part="quota", remaining=0, reset_after=0.0)
    with pytest.raises(QuotaExhausted):
        await limiter.acquire()
    await asyncio.sleep(3.0)
    (await limiter.acquire()).done()

    assert limiter.snapshot().remaining == 99


@pytest.mark.parametrize("stored", STORES)
def test_a_day_that_the_server_closed_can_be_opened_again(stored: bool, tmp_path: Path) -> None:
    there = scene(stored, tmp_path)

    async def main() -> list[int]:
        limiter = there.limiter()
        granted = [await there.some(limiter, 10)]
        limiter.observe(part="quota", remaining=0)
        granted.append(await there.some(limiter, 1))
        limiter.resume()
        return [*granted, await there.some(limiter, 200)]

    assert there.clock.run(main()) == [10, 0, 90]
