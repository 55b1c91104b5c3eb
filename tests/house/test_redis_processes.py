"""Eight processes, one cap: it holds exactly and is used up, whatever becomes of processes, of Redis, or of answers.

What is counted is counted at the platform, as calls arrive; Redis counts how often its script ran.
"""

from __future__ import annotations

import asyncio

import pytest
from redis_holder import CREDENTIAL as HOLDERS_CREDENTIAL
from redis_scene import Between, Counting, Holder, RedisServer, Told, holders, redis_server, shared_for_long

from asyncconn import Window
from asyncconn.integrations.redis import RedisRates

pytestmark = [pytest.mark.service("redis"), pytest.mark.slow(120)]

PROCESSES, CALLERS = 8, 12
PERIOD = 4.0
LONGEST = 1.3 * PERIOD


def _longest(told: list[Told]) -> float:
    return max(one.longest for one in told)


async def _begin(redis: RedisServer, working: list[Holder]) -> None:
    """All at once, at a store that grants from the first call on."""
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, Window(200, PERIOD), HOLDERS_CREDENTIAL)
    for one in working:
        one.go()


async def test_the_cap_holds_exactly_and_is_used_up() -> None:
    with redis_server() as redis:
        async with Counting(200, PERIOD) as platform:
            what = {"url": redis.url, "port": platform.port, "limit": 200, "period": PERIOD, "timeout": 1.0}
            async with holders(PROCESSES, **what, seconds=12.0, callers=CALLERS) as working:
                await _begin(redis, working)
                told = [await one.told() for one in working]
            scripts = await redis.scripts()

    assert platform.refused == 0
    assert platform.worst() <= 200
    assert platform.share(3) >= 0.98
    assert scripts <= 0.7 * len(platform.arrivals)
    assert _longest(told) <= LONGEST
    assert [one.errors for one in told] == [[]] * PROCESSES
    assert min(platform.by.values()) >= 0.4 * len(platform.arrivals) / PROCESSES  # fair, if not to the call


async def test_many_calls_take_few_calls_of_redis() -> None:
    with redis_server() as redis:
        async with Counting(2_000, PERIOD) as platform:
            what = {"url": redis.url, "port": platform.port, "limit": 2_000, "period": PERIOD, "timeout": 1.0}
            async with holders(PROCESSES, **what, seconds=8.0, callers=CALLERS) as working:
                await _begin(redis, working)
                told = [await one.told() for one in working]
            scripts = await redis.scripts()

    assert platform.refused == 0
    assert scripts <= 0.15 * len(platform.arrivals)
    assert _longest(told) <= LONGEST


async def test_what_two_killed_processes_had_comes_back() -> None:
    with redis_server() as redis:
        async with Counting(200, PERIOD) as platform:
            what = {"url": redis.url, "port": platform.port, "limit": 200, "period": PERIOD, "timeout": 1.0}
            async with holders(PROCESSES, **what, seconds=12.0, callers=CALLERS) as working:
                await _begin(redis, working)
                await asyncio.sleep(4.2)  # in the middle of a burst: they hold leases
                for one in working[:2]:
                    await one.kill()
                told = [await one.told() for one in working[2:]]

    assert platform.refused == 0
    assert platform.share(3) >= 0.98
    assert _longest(told) <= LONGEST


async def test_answers_that_are_lost_cost_nothing() -> None:
    with redis_server() as redis:
        async with Counting(200, PERIOD) as platform, Between(redis.port, swallows=0.06) as between:
            what = {"url": between.url, "port": platform.port, "limit": 200, "period": PERIOD, "timeout": 1.0}
            async with holders(PROCESSES, **what, seconds=12.0, callers=CALLERS) as working:
                await _begin(redis, working)
                told = [await one.told() for one in working]
            scripts = await redis.scripts()

    assert between.swallowed >= 5
    assert platform.refused == 0
    assert platform.share(3) >= 0.98
    assert scripts <= 0.7 * len(platform.arrivals)
    assert {error for one in told for error in one.errors} <= {"RateStoreUnavailable"}
    assert _longest(told) <= LONGEST


async def test_a_redis_that_comes_back_empty_lets_nobody_exceed_the_cap() -> None:
    with redis_server() as redis:
        async with Counting(200, PERIOD) as platform:
            what = {"url": redis.url, "port": platform.port, "limit": 200, "period": PERIOD, "timeout": 1.0}
            async with holders(PROCESSES, **what, seconds=20.0, callers=CALLERS) as working:
                await _begin(redis, working)
                await asyncio.sleep(6.0)
                redis.kill()
                await asyncio.sleep(1.5)
                await asyncio.to_thread(redis.start)
                told = [await one.told() for one in working]

    assert platform.refused == 0
    assert platform.worst() <= 200
    assert platform.share(5) >= 0.75
    assert {error for one in told for error in one.errors} == {"RateStoreUnavailable"}
