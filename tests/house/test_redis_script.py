"""The books of a limit in Redis, call by call of the script: each counts once, and each holder gets its share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis_scene import CREDENTIAL, call, limiter, shared_for_long

from asyncconn import Window
from asyncconn.integrations.redis import RedisRates

if TYPE_CHECKING:
    from redis_scene import RedisServer

pytestmark = pytest.mark.service("redis")


WINDOW = Window(10, 2.0, skew=0.2)


async def _asked(
    rates: RedisRates,
    *,
    me: str,
    number: int,
    need: int,
    want: int,
    limit: int = 10,
    period: int = 2_000,
    reports: tuple[Any, ...] = (),
) -> list[int]:
    """One call of the script, as a holder makes it: what is granted, how long to wait, what is left, for how many."""
    shared: Any = rates.share("acme", CREDENTIAL, WINDOW)
    cap = shared["default"][0].cap
    what = ["window", me, number, need, want, limit, period, 500, 200, 0, cap.label, 0.0, *reports]
    found: list[int] = await cap.server.ask(cap.keys("window"), lambda: what)
    return found


async def test_a_call_that_comes_twice_counts_once(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        first = await _asked(rates, me="me", number=1, need=1, want=2)
        again = [await _asked(rates, me="me", number=1, need=1, want=2) for _ in range(3)]
        (one,) = await rates.show()
        told = await _asked(rates, me="me", number=2, need=0, want=0, reports=("me:1", 1, -1))
        again += [await _asked(rates, me="me", number=2, need=0, want=0, reports=("me:1", 1, -1))]
        (other,) = await rates.show()

    assert again == [first, first, first, told]
    assert (one.used, one.leased, other.used, other.leased) == (2, 2, 1, 1)


async def test_a_call_that_arrives_after_a_later_one_does_nothing(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        await _asked(rates, me="me", number=2, need=1, want=2)
        late = await _asked(rates, me="me", number=1, need=1, want=2)
        (one,) = await rates.show()

    assert late[0] == 0
    assert one.used == 2


async def test_a_report_of_a_lease_that_was_given_up_counts_anew(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        await _asked(rates, me="me", number=1, need=0, want=0, reports=("me:0", 3, 100))
        (one,) = await rates.show()

    assert one.used == 3


async def test_what_a_dead_process_had_comes_back_and_not_before_it_may(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        await _asked(rates, me="dead", number=1, need=10, want=10)  # and no word any more
        (before,) = await rates.show()
        number, over = 0, before
        while over.leased:
            number += 1
            await asyncio.sleep(0.02)
            await _asked(rates, me="looks", number=number, need=0, want=0)
            (over,) = await rates.show()
        async with limiter(redis.url, WINDOW) as one, asyncio.timeout(10.0):
            await call(one)
        (after,) = await rates.show()

    assert (before.leased, before.used) == (10, 10)
    assert over.used == 10  # it may have been used up at the last moment, and that counts for a period
    assert after.used == 1


async def test_a_wait_that_is_told_again_is_as_much_shorter(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        await _asked(rates, me="other", number=1, need=10, want=10)
        _, first, *_ = await _asked(rates, me="me", number=1, need=1, want=1)
        await asyncio.sleep(0.05)
        _, again, *_ = await _asked(rates, me="me", number=1, need=1, want=1)

    assert 0 < again <= first - 50


# -- each its share ----------------------------------------------------------------------------------------------------


class Asking:
    """A holder that wants as much as it can get of 60 calls, five at a time, and gives none back."""

    def __init__(self, rates: RedisRates, name: str, *, period: int = 2_000) -> None:
        self._rates = rates
        self._name = name
        self._period = period
        self._number = 0

    async def asks(self, need: int = 1, want: int = 5) -> int:
        self._number += 1
        grant, *_ = await _asked(
            self._rates, me=self._name, number=self._number, need=need, want=want, limit=60, period=self._period
        )
        return grant


async def test_what_a_holder_wants_of_its_share_is_kept_for_it_while_an_answer_may_be_lost(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        away, there = Asking(rates, "away"), Asking(rates, "there")
        first = await away.asks(), await there.asks()  # and the first does not hear of it
        meanwhile = 0
        while grant := await there.asks():
            meanwhile += grant
        then = [await away.asks() for _ in range(3)]

    assert first == (5, 5)
    assert meanwhile == 60 - 5 - 5 - 15  # three leases are kept, which is what it can have asked for meanwhile
    assert then == [5, 5, 5]


async def test_nothing_is_kept_for_long_nor_for_who_wants_little(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        modest, there = (Asking(rates, name, period=60_000) for name in ("modest", "there"))
        await modest.asks(want=1)
        given = 0
        while grant := await there.asks():
            given += grant
        async with asyncio.timeout(10.0):  # long before anything of the window is free again
            while not (later := await there.asks()):
                await asyncio.sleep(0.02)

    assert given == 60 - 1 - 3
    assert later == 3


async def test_who_has_had_its_share_does_not_hold_up_who_has_not(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        one, other = Asking(rates, "one"), Asking(rates, "other")
        await other.asks()
        while await one.asks():
            pass
        await other.asks()  # it has got something later than the first, which stands before it in the queue

        assert [await one.asks(), await other.asks(), await one.asks(), await other.asks()] == [0, 5, 0, 5]


async def test_a_need_beyond_any_share_waits_in_its_turn(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        great, small = Asking(rates, "great"), Asking(rates, "small")
        await small.asks()
        blocked = await great.asks(need=58, want=58)
        behind = await small.asks()
        number = 0
        while not (grant := await great.asks(need=58, want=58)):
            number += 1
            await asyncio.sleep(0.05)
            await small.asks()

    assert (blocked, behind, grant) == (0, 0, 58)
    assert number
