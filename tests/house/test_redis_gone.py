"""Without Redis: what becomes of calls, and when they go again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback
from redis_scene import Counting, call, calls, limiter, redis_server, shared_for_long

from asyncconn import Hub, RateLimiter, Window
from asyncconn.errors import ConfigError, RateStoreUnavailable
from asyncconn.integrations.redis import RedisRates

from .sharing_scene import SECRET, Acme, at_full_demand

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis_scene import RedisServer

pytestmark = pytest.mark.service("redis")


async def test_without_redis_what_was_leased_goes_then_an_error_says_so_and_nothing_is_sent(redis: RedisServer) -> None:
    async with Loopback() as server, Hub(shared_rates=RedisRates(redis.url, timeout=2.0)) as hub:
        acme = Acme(server.url, hub=hub)
        await shared_for_long(redis.url, RedisRates(redis.url), Acme.platform.rates, f"{server.url}\n{SECRET}")

        async def one_after_another(count: int) -> None:
            for _ in range(count):
                await acme.http.request("GET", "/")

        await one_after_another(3)
        redis.kill()
        async with asyncio.timeout(4.0):
            with pytest.raises(RateStoreUnavailable, match="nothing reached the server"):
                await one_after_another(20)
        sent = len(server.seen)
        async with asyncio.timeout(4.0):  # all of them, and not one after another
            outcomes = await asyncio.gather(*(acme.http.request("GET", "/") for _ in range(30)), return_exceptions=True)

    assert {type(one) for one in outcomes} == {RateStoreUnavailable}
    assert sent == len(server.seen) < 20


async def test_a_redis_that_hangs_is_heard_of_as_soon(redis: RedisServer) -> None:
    async with limiter(redis.url, Window(2, 60.0), timeout=2.0) as one:
        await call(one)
        redis.hang()
        try:
            async with asyncio.timeout(4.0):
                with pytest.raises(RateStoreUnavailable, match="does not answer within 2 s"):
                    await calls(one, 3)
        finally:
            redis.go_on()
        async with asyncio.timeout(4.0):
            while True:
                try:
                    await call(one)
                    break
                except RateStoreUnavailable:
                    await asyncio.sleep(0.05)


async def test_a_redis_that_forgot_holds_one_window_and_no_longer(redis: RedisServer) -> None:
    part = Window(10, 1.0, skew=0.5)
    async with Counting(10, 1.0) as platform, limiter(redis.url, part) as one, limiter(redis.url, part) as other:
        demand = asyncio.create_task(at_full_demand(platform, 7.0, one, other))
        await asyncio.sleep(1.5)
        redis.kill()
        await asyncio.to_thread(redis.start)
        before = len(platform.arrivals)
        async with asyncio.timeout(1.0 + 0.25 + 0.5 + 1.0 + 1.0):  # the window, and a second of the server's uptime
            while len(platform.arrivals) <= before + 10:  # what was leased may still go
                await asyncio.sleep(0.02)
        errors = await demand

    assert platform.refused == 0
    assert set(errors) <= {"RateStoreUnavailable"}


async def test_the_gone_and_the_back_are_told_once(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async with limiter(redis.url, Window(1, 0.2, skew=0.0), timeout=0.2) as one:
        await call(one)
        redis.kill()
        for _ in range(5):
            with pytest.raises(RateStoreUnavailable):
                await calls(one, 5)
        await asyncio.to_thread(redis.start)
        async with asyncio.timeout(10.0):
            while "is back" not in caplog.text:
                await asyncio.sleep(0.05)

    told = [record.getMessage() for record in caplog.records if record.name == "asyncconn.rates"]
    assert [text.rpartition("cannot be reached")[1] or text.rpartition("is back")[1] for text in told] == [
        "cannot be reached",
        "is back",
    ]


async def test_alone_each_process_goes_on_with_its_share_and_the_cap_holds_over_the_return(redis: RedisServer) -> None:
    part = Window(20, 1.0, skew=0.2)
    options: dict[str, Any] = {"gone": "share", "processes": 2, "timeout": 0.3}
    async with (
        Counting(20, 1.0) as platform,
        limiter(redis.url, part, **options) as one,
        limiter(redis.url, part, **options) as other,
    ):
        demand = asyncio.create_task(at_full_demand(platform, 9.0, one, other))
        await asyncio.sleep(1.2)
        redis.hang()  # so that it forgets nothing, and knows nothing of what goes on
        await asyncio.sleep(1.0)
        before = len(platform.arrivals)
        await asyncio.sleep(3.0)
        meanwhile = len(platform.arrivals) - before
        redis.go_on()
        back = len(platform.arrivals)
        errors = await demand

    assert platform.refused == 0
    assert errors  # until nothing that the other was granted can count any more
    assert meanwhile >= 20
    assert len(platform.arrivals) > back + 20


async def test_a_hub_does_not_open_without_its_store_unless_it_may_share() -> None:
    nowhere = "redis://127.0.0.1:1/0"
    with pytest.raises(RateStoreUnavailable):
        await Hub(shared_rates=RedisRates(nowhere)).open()
    async with Hub(shared_rates=RedisRates(nowhere, gone="share", processes=2)):
        pass


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_server_that_may_forget_keys_is_refused(policy: str) -> None:
    with redis_server("--maxmemory", "100mb", "--maxmemory-policy", policy) as server:
        with pytest.raises(ConfigError, match=f"maxmemory-policy is {policy}"):
            await Hub(shared_rates=RedisRates(server.url)).open()
        async with limiter_without_a_look(server.url) as one:
            with pytest.raises(ConfigError, match="noeviction"):
                await call(one)


@asynccontextmanager
async def limiter_without_a_look(url: str) -> AsyncIterator[RateLimiter]:
    """One whose server is not looked at before its first call."""
    shared = RedisRates(url).share("acme", SECRET, Window(5, 60.0))
    assert isinstance(shared, dict)
    one = RateLimiter(*(part.fresh() for part in shared["default"]))
    yield one
    await one.aclose()
