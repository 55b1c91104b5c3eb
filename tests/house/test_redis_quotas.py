"""A day's count that processes share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis_scene import Between, call, limiter

from asyncconn import Quota
from asyncconn.errors import QuotaExhausted, RateStoreUnavailable
from asyncconn.integrations.redis import RedisRates

from .sharing_scene import SECRET

if TYPE_CHECKING:
    from redis_scene import RedisServer

pytestmark = pytest.mark.service("redis")


async def test_two_limiters_share_the_calls_of_a_day(redis: RedisServer) -> None:
    async with limiter(redis.url, Quota(10)) as one, limiter(redis.url, Quota(10)) as other:
        for turn in range(10):
            await call((one, other)[turn % 2])
        for each in (one, other):
            with pytest.raises(QuotaExhausted):
                await each.acquire()


async def test_a_quota_gives_back_what_it_did_not_use(redis: RedisServer) -> None:
    async with limiter(redis.url, Quota(1_000)) as one:
        await call(one)
    async with RedisRates(redis.url) as rates:
        (found,) = await rates.show()

    assert (found.kind, found.used, found.limit) == ("quota", 1, 1_000)


async def test_a_quota_with_a_store_of_its_own_keeps_it(redis: RedisServer) -> None:
    class Store:
        async def add(self, key: str, window: str, amount: int) -> int:
            return amount

    own = Quota(10, store=Store())
    async with RedisRates(redis.url) as rates:
        assert rates.share("acme", SECRET, own) == {"default": [own]}


def _store(rates: RedisRates) -> Any:
    shared = rates.share("acme", SECRET, Quota(100))
    assert isinstance(shared, dict)
    return shared["default"][0].store


TODAY, TOMORROW = "2030-01-02T00:00:00+00:00", "2030-01-03T00:00:00+00:00"


async def test_what_a_redis_forgot_of_a_quota_comes_back_from_those_that_know(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        one, other = _store(rates), _store(rates)
        assert [await one.add("", TODAY, 5), await other.add("", TODAY, 3)] == [5, 8]
        redis.kill()
        with pytest.raises(RateStoreUnavailable):
            await one.add("", TODAY, 1)
        await asyncio.to_thread(redis.start)

        assert [await one.add("", TODAY, 1), await other.add("", TODAY, 1)] == [6, 10]


async def test_a_later_window_counts_in_an_earlier_one_too_but_only_once(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        store = _store(rates)
        await store.add("", TOMORROW, 50)

        assert [await store.add("", TODAY, 1), await store.add("", TODAY, 1), await store.add("", TOMORROW, 1)] == [
            51,
            52,
            51,
        ]


async def test_lost_answers_count_nothing_twice_in_a_quota(redis: RedisServer) -> None:
    async with Between(redis.port, swallows=0.4) as between, RedisRates(between.url, timeout=0.4) as rates:
        store = _store(rates)
        known = 0
        for _ in range(40):
            try:
                known = await store.add("", TODAY, 1)
            except RateStoreUnavailable:
                continue
            assert known == store._windows[TODAY].calls

    assert between.swallowed > 5
