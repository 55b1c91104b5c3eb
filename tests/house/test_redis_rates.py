"""Rates that are kept in Redis, seen from one process: what is counted there, and what becomes of calls without it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from helpers import cancel_at_every_await, until
from loopback import Loopback
from redis_scene import CREDENTIAL, Between, Counting, RedisServer, call, calls, limiter, redis_server, shared_for_long

from asyncconn import Connector, Hub, Platform, Quota, RateLimiter, TokenBucket, Window
from asyncconn.errors import ConfigError, LifecycleError, QuotaExhausted, RateLimited, RateStoreUnavailable
from asyncconn.http.auth import TokenAuth
from asyncconn.integrations.redis import RedisRates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

pytestmark = pytest.mark.service("redis")

SECRET = "s3cret-token"
WINDOW = Window(10, 2.0, skew=0.2)


class Acme(Connector):
    platform = Platform("acme", rates=Window(20, 60.0))

    def __init__(self, url: str, token: str = SECRET, **options: Any) -> None:
        super().__init__(base_url=url, auth=TokenAuth(token), **options)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


async def granted(*limiters: RateLimiter) -> int:
    """How many calls go at once."""
    count = 0
    for one in limiters:
        try:
            while True:
                permit = await one.acquire(max_wait=2.0)
                permit.sent()
                permit.done()
                count += 1
        except RateLimited:
            pass
    return count


async def at_full_demand(platform: Counting, seconds: float, *limiters: RateLimiter, callers: int = 4) -> list[str]:
    """Callers of each limiter call the platform; the kinds of errors that they saw meanwhile."""
    errors: list[str] = []

    async def caller(limiter: RateLimiter) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", platform.port)
        try:
            while True:
                try:
                    permit = await limiter.acquire()
                except RateStoreUnavailable as error:
                    errors.append(type(error).__name__)
                    await asyncio.sleep(0.02)
                    continue
                writer.write(b"one\n")
                permit.sent()
                await reader.readline()
                permit.done()
        finally:
            writer.close()

    working = [asyncio.create_task(caller(one)) for one in limiters for _ in range(callers)]
    await asyncio.sleep(seconds)
    for task in working:
        task.cancel()
    await asyncio.wait(working)
    return errors


# -- what is shared ----------------------------------------------------------------------------------------------------


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


async def test_what_a_dead_process_had_comes_back_and_not_before_it_may(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        await _asked(rates, redis, me="dead", number=1, need=10, want=10)  # and no word any more
        (before,) = await rates.show()
        number, over = 0, before
        while over.leased:
            number += 1
            await asyncio.sleep(0.02)
            await _asked(rates, redis, me="looks", number=number, need=0, want=0)
            (over,) = await rates.show()
        async with limiter(redis.url, WINDOW) as one, asyncio.timeout(10.0):
            await call(one)
        (after,) = await rates.show()

    assert (before.leased, before.used) == (10, 10)
    assert over.used == 10  # it may have been used up at the last moment, and that counts for a period
    assert after.used == 1


async def test_a_store_that_nobody_asks_forgets_by_itself(redis: RedisServer) -> None:
    async with limiter(redis.url, Window(10, 0.1, skew=0.0)) as one:
        await call(one)
    async with redis.client() as client, asyncio.timeout(10.0):
        while [key async for key in client.scan_iter()]:
            await asyncio.sleep(0.05)


# -- calls that come twice ---------------------------------------------------------------------------------------------


async def _asked(
    rates: RedisRates, redis: RedisServer, *, me: str, number: int, need: int, want: int, reports: tuple[Any, ...] = ()
) -> list[int]:
    """One call of the script, as a holder makes it."""
    shared: Any = rates.share("acme", CREDENTIAL, WINDOW)
    cap = shared["default"][0].cap
    what = ["window", me, number, need, want, 10, 2000, 500, 200, 0, cap.label, 0.0, *reports]
    found: list[int] = await cap.server.ask(cap.keys("window"), lambda: what)
    return found


async def test_a_call_that_comes_twice_counts_once(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        first = await _asked(rates, redis, me="me", number=1, need=1, want=2)
        again = [await _asked(rates, redis, me="me", number=1, need=1, want=2) for _ in range(3)]
        (one,) = await rates.show()
        told = await _asked(rates, redis, me="me", number=2, need=0, want=0, reports=("me:1", 1, -1))
        again += [await _asked(rates, redis, me="me", number=2, need=0, want=0, reports=("me:1", 1, -1))]
        (other,) = await rates.show()

    assert again == [first, first, first, told]
    assert (one.used, one.leased, other.used, other.leased) == (2, 2, 1, 1)


async def test_a_call_that_arrives_after_a_later_one_does_nothing(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        await _asked(rates, redis, me="me", number=2, need=1, want=2)
        late = await _asked(rates, redis, me="me", number=1, need=1, want=2)
        (one,) = await rates.show()

    assert late[0] == 0
    assert one.used == 2


async def test_a_report_of_a_lease_that_was_given_up_counts_anew(redis: RedisServer) -> None:
    async with RedisRates(redis.url) as rates:
        await shared_for_long(redis.url, rates, WINDOW)
        await _asked(rates, redis, me="me", number=1, need=0, want=0, reports=("me:0", 3, 100))
        (one,) = await rates.show()

    assert one.used == 3


# -- quotas ------------------------------------------------------------------------------------------------------------


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


# -- without Redis -----------------------------------------------------------------------------------------------------


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
    async with limiter(redis.url, Window(20, 60.0), timeout=2.0) as one:
        await call(one)
        redis.hang()
        try:
            async with asyncio.timeout(4.0):
                with pytest.raises(RateStoreUnavailable, match="does not answer within 2 s"):
                    await calls(one, 21)
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


# -- lifetimes ---------------------------------------------------------------------------------------------------------


async def test_one_redis_rates_serves_several_hubs_and_ends_with_the_last(redis: RedisServer) -> None:
    rates = RedisRates(redis.url)
    async with Loopback() as server:
        await shared_for_long(redis.url, rates, Acme.platform.rates, f"{server.url}\n{SECRET}")
        async with Hub(shared_rates=rates) as hub:
            async with Hub(shared_rates=rates) as inner:
                await Acme(server.url, hub=inner).http.request("GET", "/")
            await Acme(server.url, hub=hub).http.request("GET", "/")
        async with redis.client() as client:
            others = [one for one in await client.client_list() if one["cmd"] != "client|list"]

    assert others == []


def test_one_redis_rates_serves_loop_after_loop(redis: RedisServer) -> None:
    rates = RedisRates(redis.url)

    async def calls() -> None:
        async with Loopback() as server, Hub(shared_rates=rates) as hub:
            await shared_for_long(redis.url, rates, Acme.platform.rates, f"{server.url}\n{SECRET}")
            await Acme(server.url, hub=hub).http.request("GET", "/")

    for _ in range(3):
        asyncio.run(calls())


async def test_who_waits_when_the_limiter_closes_is_told(redis: RedisServer) -> None:
    async with limiter(redis.url, Window(1, 60.0)) as one:
        await call(one)
        waiting = asyncio.create_task(one.acquire())
        await asyncio.sleep(0.05)
        await one.aclose()
        with pytest.raises(LifecycleError):
            await waiting


async def test_a_permit_that_ends_after_the_limiter_has_closed_does_no_harm(redis: RedisServer) -> None:
    async with limiter(redis.url, Window(5, 60.0)) as one:
        permit = await one.acquire()
    permit.sent()
    permit.done()


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "localhost:6379"},
        {"url": "http://localhost"},
        {"prefix": ""},
        {"prefix": "a{b}"},
        {"timeout": 0},
        {"gone": "never"},
        {"gone": "share"},
        {"processes": 3},
        {"gone": "share", "processes": 0},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        RedisRates(**{"url": "redis://localhost/0", **wrong})


def test_a_password_is_not_shown() -> None:
    assert "pa55word" not in repr(RedisRates("redis://user:pa55word@localhost:6379/0?password=pa55word"))


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
