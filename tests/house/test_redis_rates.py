"""Rates that are kept in Redis: what is shared of them, what is reported, and what people see of it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from helpers import cancel_at_every_await, until
from loopback import Loopback
from redis_scene import Counting, call, calls, limiter, shared_for_long

from asyncconn import Hub, Quota, RateLimiter, TokenBucket, Window
from asyncconn.errors import RateLimited
from asyncconn.integrations.redis import RedisRates

from .sharing_scene import SECRET, Acme, at_full_demand, granted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis_scene import RedisServer

pytestmark = pytest.mark.service("redis")


async def test_two_limiters_share_one_window(redis: RedisServer) -> None:
    async with limiter(redis.url, Window(20, 60.0)) as one, limiter(redis.url, Window(20, 60.0)) as other:
        assert await granted(one, other, one) == 20


async def test_another_credential_has_a_window_of_its_own(redis: RedisServer) -> None:
    async with (
        limiter(redis.url, Window(20, 60.0)) as one,
        limiter(redis.url, Window(20, 60.0), credential="another") as other,
        limiter(redis.url, Window(20, 60.0), prefix="elsewhere") as elsewhere,
    ):
        assert [await granted(one), await granted(other), await granted(elsewhere)] == [20, 20, 20]


async def test_a_credential_is_nowhere_in_the_store(redis: RedisServer) -> None:
    async with limiter(redis.url, Window(20, 60.0), Quota(100), TokenBucket(5, 5)) as one, redis.client() as client:
        await call(one)
        dumped = [key async for key in client.scan_iter()]
        for key in list(dumped):
            hashed = await client.type(key) == "hash"
            dumped += [str(await (client.hgetall(key) if hashed else client.zrange(key, 0, -1)))]

    assert len(dumped) > 6
    assert not [text for text in dumped if SECRET in text or "acme.example" in text]


async def test_a_hub_shares_the_rates_of_its_connectors_with_other_processes(redis: RedisServer) -> None:
    async with (
        Loopback() as server,
        limiter(redis.url, Window(20, 60.0), credential=f"{server.url}\n{SECRET}") as another,
    ):
        async with Hub(shared_rates=RedisRates(redis.url)) as hub:
            acme = Acme(server.url, hub=hub)
            await asyncio.gather(*(acme.http.request("GET", "/") for _ in range(5)))
            assert acme.rate.parts[0].limit == 20
        left = await granted(another)

    assert (len(server.seen), left) == (5, 15)


async def test_parts_of_one_name_for_two_kinds_of_call_are_two(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        kinds = {"default": Window(3, 60.0), "query": Window(4, 60.0)}
        shared = await shared_for_long(redis.url, rates, kinds)
        limiters = [RateLimiter(*parts) for parts in shared.values()]

        assert [await granted(one) for one in limiters] == [3, 4]
        for one in limiters:
            await one.aclose()


async def test_a_part_that_stands_in_two_limiters_is_one(redis: RedisServer) -> None:
    day = Window(5, 60.0, name="day")
    async with RedisRates(redis.url) as rates:
        shared = rates.share("acme", SECRET, {"default": [Window(3, 60.0), day], "query": [day]})
        assert isinstance(shared, dict)

    assert shared["default"][1] is shared["query"][0]


async def test_a_part_of_the_users_own_stays_local_and_is_told_of_once(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Own(Window):
        pass

    caplog.set_level(logging.INFO, "asyncconn.rates")
    own = Own(3, 60.0)
    async with RedisRates(redis.url) as rates:
        for _ in range(3):
            assert rates.share("acme", SECRET, own) == {"default": [own]}

    assert len([one for one in caplog.records if "not shared" in one.getMessage()]) == 1


async def test_a_bucket_is_drawn_from_by_all(redis: RedisServer) -> None:
    async with (
        Counting(10_000, 60.0, jitter=False) as platform,
        limiter(redis.url, TokenBucket(40, 20)) as one,
        limiter(redis.url, TokenBucket(40, 20)) as other,
    ):
        await at_full_demand(platform, 2.0, one, other)

    assert platform.worst(1.0) <= 20 + 40 * 1.1 + 1  # the burst, the rate, and what was drawn and used later
    assert len(platform.arrivals) >= 20 + 40 * 1.5


async def test_a_call_of_a_great_cost_waits_for_all_of_it_and_is_not_overtaken_for_ever(redis: RedisServer) -> None:
    async with (
        limiter(redis.url, Window(10, 0.5, skew=0.1)) as one,
        limiter(redis.url, Window(10, 0.5, skew=0.1)) as other,
        Counting(10, 0.5, jitter=False) as platform,
    ):
        demand = asyncio.create_task(at_full_demand(platform, 5.0, one))
        await until(lambda: platform.arrivals)
        for _ in range(2):
            async with asyncio.timeout(4.0):
                permit = await other.acquire(8)
            permit.cancel()
        await demand

    assert platform.refused == 0


# -- what is reported --------------------------------------------------------------------------------------------------


async def test_what_was_leased_and_not_used_is_given_back_at_the_end(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        async with limiter(redis.url, Window(300, 60.0)) as one:
            await calls(one, 7)
            (meanwhile,) = await rates.show()
        (after,) = await rates.show()

    assert meanwhile.used >= 7
    assert (after.used, after.leased, after.limit, after.platform, after.part) == (7, 0, 300, "acme", "window")


async def test_a_call_that_was_not_sent_is_given_back(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        async with limiter(redis.url, Window(300, 60.0)) as one:
            for _ in range(7):
                (await one.acquire()).cancel()
        (after,) = await rates.show()

    assert (after.used, after.leased) == (0, 0)


async def test_a_caller_that_is_cancelled_anywhere_leaves_nothing_behind(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates, AsyncExitStack() as scene:
        await scene.enter_async_context(limiter(redis.url, Window(30, 60.0), credential="open all the time"))
        current = AsyncExitStack()

        async def make() -> Callable[[], Awaitable[object]]:
            one = await current.enter_async_context(limiter(redis.url, Window(30, 60.0)))

            async def attempt() -> None:
                (await one.acquire()).cancel()

            return attempt

        async def check(error: BaseException | None) -> None:
            await current.aclose()
            assert [(found.used, found.waiting) for found in await rates.show() if found.used or found.waiting] == []

        assert await cancel_at_every_await(make, check) >= 1


async def test_a_permit_that_is_not_sent_for_long_keeps_its_place(redis: RedisServer) -> None:
    parts = [Window(1, 0.4, skew=0.1) for _ in range(2)]
    async with limiter(redis.url, parts[0]) as one, limiter(redis.url, parts[1]) as other:
        permit = await one.acquire()  # a connection cannot be had, say
        with pytest.raises(RateLimited):
            await other.acquire(max_wait=2.0)
        permit.sent()
        permit.done()
        async with asyncio.timeout(5.0):
            await call(other)


async def test_a_store_that_nobody_asks_forgets_by_itself(redis: RedisServer) -> None:
    async with limiter(redis.url, Window(10, 0.1, skew=0.0)) as one:
        await call(one)
    async with redis.client() as client, asyncio.timeout(10.0):
        while [key async for key in client.scan_iter()]:
            await asyncio.sleep(0.05)


# -- looking and forgetting --------------------------------------------------------------------------------------------


async def test_what_is_reset_is_forgotten(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        async with limiter(redis.url, Window(3, 60.0), Quota(50)) as one:
            await granted(one)
        names = [(one.part, one.used) for one in await rates.show()]
        assert [await rates.reset("another"), await rates.reset("acme")] == [0, 2]

        assert names == [("quota", 3), ("window", 3)]
        assert await rates.show() == []
        async with redis.client() as client:
            assert await client.dbsize() == 0
