"""What a request on the wire costs: permits, places, what the server says of the limits, and what is given back."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from helpers import cancel_at_every_await
from loopback import DROP, OK, Loopback, QuickClock, Reply, Seen, road, saying

from asyncconn.connector import Connector, Platform
from asyncconn.core.rates.limiter import Quota, RateLimiter, Window
from asyncconn.core.retrying import ONCE, RetryPolicy
from asyncconn.errors import (
    Answer,
    AsyncConnError,
    ConfigError,
    ConnectFailed,
    PoolTimeout,
    RateLimited,
    ReadTimeout,
    ServerError,
)
from asyncconn.http.response import Response
from asyncconn.http.rules import PlainRules, RateHint
from asyncconn.http.transport import Timeouts, Transport
from asyncconn.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable


def _used(limiter: RateLimiter) -> int:
    part = limiter.snapshot().parts[0]
    return part.limit - part.remaining


# -- permits -----------------------------------------------------------------------------------------------------------


async def test_each_time_on_the_wire_takes_a_permit_re_sends_and_retries_included() -> None:
    limiter = RateLimiter(Window(100, 60.0))
    server = Loopback(OK, DROP, OK, Reply(503), DROP, DROP, OK)
    async with server, road(server, limiters={"default": limiter}, clock=QuickClock()) as http:
        await http.request("GET", "/")
        assert (len(server.seen), _used(limiter)) == (1, 1)
        await http.request("GET", "/")  # the kept-alive connection dies under it: sent again
        assert (len(server.seen), _used(limiter)) == (3, 3)
        await http.request("GET", "/")
        assert len(server.seen) >= 7

        assert _used(limiter) == len(server.seen)
        assert limiter.snapshot().in_flight == 0


async def test_the_wait_for_the_permit_of_a_re_send_is_not_part_of_the_timeout() -> None:
    limiter = RateLimiter(Window(2, 0.6, skew=0.0))
    async with (
        Loopback(OK, DROP) as server,
        road(
            server, limiters={"default": limiter}, timeouts=Timeouts(total=0.4), retry=RetryPolicy(initial=0.01)
        ) as http,
    ):
        await http.request("GET", "/")
        await http.request("GET", "/")

    assert len(server.seen) == 3
    assert server.seen[2].at - server.seen[0].at > 0.4  # longer than the whole call may take


async def test_the_permit_of_a_re_send_obeys_max_wait() -> None:
    limiter = RateLimiter(Window(2, 60.0))
    async with Loopback(OK, DROP) as server, road(server, limiters={"default": limiter}) as http:
        await http.request("GET", "/")
        with pytest.raises(RateLimited) as caught:
            await http.request("GET", "/", max_wait=1.0)

    assert caught.value.local
    assert len(server.seen) == 2


async def test_the_wait_for_a_permit_is_part_of_neither_the_timeout_nor_the_retry_deadline() -> None:
    limiter = RateLimiter(Window(1, 0.5, skew=0.0))
    policy = RetryPolicy(attempts=2, initial=0.01, maximum=0.01, deadline=0.4)
    async with (
        Loopback(OK, Reply(503), OK) as server,
        road(server, limiters={"default": limiter}, timeouts=Timeouts(total=0.4), retry=policy) as http,
    ):
        await http.request("GET", "/")
        answer = await http.request("GET", "/")  # waits 0.5 s, fails, waits 0.5 s, succeeds

    assert answer.seconds < 0.4
    assert [round(b.at - a.at, 1) >= 0.5 for a, b in zip(server.seen, server.seen[1:], strict=False)] == [True, True]


async def test_a_failed_connection_gives_its_permit_back() -> None:
    limiter = RateLimiter(Window(5, 60.0))
    async with road("http://127.0.0.1:1", limiters={"default": limiter}, retry=ONCE) as http:
        with pytest.raises(ConnectFailed):
            await http.request("GET", "/")

    assert (_used(limiter), limiter.snapshot().in_flight) == (0, 0)


@pytest.mark.parametrize("owned", [True, False], ids=["own session", "borrowed session"])
@pytest.mark.parametrize("wrong", [lambda: Path("there/is/none").read_bytes(), lambda: ["no", "async", "iterable"]])
async def test_a_body_that_cannot_be_made_costs_no_permit_and_is_not_tried_again(owned: bool, wrong: Any) -> None:
    limiter = RateLimiter(Window(5, 60.0))
    made: list[int] = []

    def body() -> Any:
        made.append(1)
        return wrong()

    async with (
        Loopback() as server,
        aiohttp.ClientSession() as session,
        Hub(session=None if owned else session) as hub,
    ):
        http = Transport(lambda: hub.session, service="t", base_url=server.url, limiters={"default": limiter})
        with pytest.raises(ConfigError, match="POST /: its body"):
            await http.request("POST", "/", data=body, idempotent=True)

    assert (len(server.seen), len(made)) == (0, 1)
    assert (_used(limiter), limiter.snapshot().in_flight) == (0, 0)


async def test_a_call_given_up_after_it_was_sent_keeps_its_slot_for_as_long_as_it_may_travel() -> None:
    limiter = RateLimiter(Window(1, 0.1, skew=60.0))
    async with (
        Loopback(otherwise=Reply(after=60.0)) as server,
        road(server, limiters={"default": limiter}, retry=ONCE) as http,
    ):
        with pytest.raises(ReadTimeout):
            await http.request("GET", "/", timeout=0.1)
        await asyncio.sleep(0.15)

        assert (_used(limiter), limiter.snapshot().in_flight) == (1, 0)


@pytest.mark.parametrize("owned", [True, False], ids=["own session", "borrowed session"])
@pytest.mark.parametrize(("size", "frees"), [(0, True), (60_000, True), (100_000, False)])
async def test_a_slot_frees_although_the_answer_takes_long_once_the_request_is_surely_sent(
    owned: bool, size: int, frees: bool
) -> None:
    limiter = RateLimiter(Window(1, 0.1, skew=0.1))
    release = asyncio.Event()
    async with (
        Loopback(Reply(wait=release.wait)) as server,
        aiohttp.ClientSession() as session,
        Hub(session=None if owned else session) as hub,
    ):
        http = Transport(
            lambda: hub.session, service="t", base_url=server.url, limiters={"default": limiter}, retry=ONCE
        )
        slow = asyncio.create_task(http.request("POST", "/", data=b"x" * size or None))
        await server.arrived()
        if frees:
            await http.request("GET", "/", max_wait=5.0)
            assert not slow.done()
        else:
            with pytest.raises(RateLimited):
                await http.request("GET", "/", max_wait=0.5)
        release.set()
        await slow
        await http.request("GET", "/", max_wait=5.0)


@pytest.mark.parametrize("owned", [True, False], ids=["own session", "borrowed session"])
async def test_cancelled_at_any_await_a_request_leaves_nothing_behind(owned: bool) -> None:
    sockets: list[Loopback] = []

    async def make() -> Callable[[], Awaitable[object]]:
        server = await Loopback().__aenter__()
        session = None if owned else aiohttp.ClientSession()
        hub = await Hub(session=session).open()
        limiter = RateLimiter(Window(3, 60.0))
        http = Transport(
            lambda: hub.session,
            service="t",
            base_url=server.url,
            limiters={"default": limiter},
            max_concurrency=1,
        )
        sockets[:] = [server]
        scene.clear()
        scene.update(hub=hub, http=http, limiter=limiter, session=session)
        return lambda: http.request("POST", "/", data=b"x" * 200_000)

    async def check(error: BaseException | None) -> None:
        limiter, http, hub = scene["limiter"], scene["http"], scene["hub"]
        assert limiter.snapshot().in_flight == 0
        assert limiter.snapshot().waiting == 0
        assert _used(limiter) >= len(sockets[0].seen)
        await http.request("GET", "/", timeout=5.0)  # the only place is free again
        await hub.aclose()
        if scene["session"] is not None:
            await scene["session"].close()
        while sockets[0].open:
            await asyncio.sleep(0.001)
        await sockets[0].__aexit__(None, None, None)

    scene: dict[str, Any] = {}
    assert await cancel_at_every_await(make, check) >= 3


async def test_cancelled_while_waiting_for_a_permit_or_a_place_a_request_leaves_the_queue() -> None:
    release = asyncio.Event()
    limiter = RateLimiter(Window(3, 60.0))
    async with (
        Loopback(Reply(wait=release.wait)) as server,
        road(server, limiters={"default": limiter}, max_concurrency=1) as http,
    ):
        first = asyncio.create_task(http.request("GET", "/"))
        for_place = asyncio.create_task(http.request("GET", "/"))
        also = asyncio.create_task(http.request("GET", "/"))
        for_permit = asyncio.create_task(http.request("GET", "/"))
        await server.arrived()
        for task in (for_permit, for_place, also):
            task.cancel()
        await asyncio.wait({for_permit, for_place, also})

        assert (limiter.snapshot().waiting, limiter.snapshot().in_flight, _used(limiter)) == (0, 1, 1)
        release.set()
        await first


# -- places ------------------------------------------------------------------------------------------------------------


async def test_never_more_requests_at_once_than_places() -> None:
    async with Loopback(otherwise=Reply(after=0.01)) as server, road(server, max_concurrency=3) as http:
        await asyncio.gather(*[http.request("GET", "/") for _ in range(20)])

    assert (server.most, len(server.seen)) == (3, 20)


async def test_no_place_in_time_was_not_sent() -> None:
    release = asyncio.Event()
    limiter = RateLimiter(Window(5, 60.0))
    async with (
        Loopback(Reply(wait=release.wait)) as server,
        road(
            server, max_concurrency=1, timeouts=Timeouts(place=0.05), retry=ONCE, limiters={"default": limiter}
        ) as http,
    ):
        first = asyncio.create_task(http.request("GET", "/"))
        await asyncio.sleep(0)
        with pytest.raises(PoolTimeout):
            await http.request("GET", "/")
        release.set()
        await first

        assert _used(limiter) == len(server.seen) == 1


# -- what the server says of the limits --------------------------------------------------------------------------------


async def test_a_429_holds_all_callers() -> None:
    limiter = RateLimiter(Window(100, 60.0))
    async with (
        Loopback(Reply(429, headers={"Retry-After": "0.5"})) as server,
        road(server, limiters={"default": limiter}, retry=ONCE) as http,
    ):
        with pytest.raises(RateLimited):
            await http.request("GET", "/")
        await asyncio.gather(*[http.request("GET", "/") for _ in range(5)])

    assert all(seen.at - server.seen[0].at >= 0.5 for seen in server.seen[1:])


class _Hinting(PlainRules):
    def hints(self, response: Response) -> Iterable[RateHint]:
        for part in ("minute", "day", "unknown"):
            if left := response.headers.get(f"X-{part}-Left"):
                yield RateHint(part, int(left), 60.0)


def _two_limits() -> dict[str, RateLimiter]:
    day = Quota(1000, name="day")
    return {
        "default": RateLimiter(Window(60, 60.0, name="minute"), day),
        "query": RateLimiter(Window(200, 60.0, name="queries"), day),
    }


async def test_hints_tighten_every_limiter_that_has_the_part_and_no_other() -> None:
    limits = _two_limits()
    told = Reply(headers={"X-minute-Left": "7", "X-day-Left": "70", "X-unknown-Left": "0"})
    async with Loopback(told) as server, road(server, limiters=limits, rules=_Hinting()) as http:
        await http.request("GET", "/", limit="query")

    left = {(name, part.name): part.remaining for name, lim in limits.items() for part in lim.snapshot().parts}
    assert left == {("default", "minute"): 7, ("default", "day"): 70, ("query", "queries"): 199, ("query", "day"): 70}


async def test_a_download_gives_hints_too() -> None:
    limits = _two_limits()
    async with (
        Loopback(Reply(headers={"X-minute-Left": "3"})) as server,
        road(server, limiters=limits, rules=_Hinting()) as http,
        http.stream("GET", "/") as stream,
    ):
        assert [chunk async for chunk in stream] == [b"{}"]

    assert limits["default"].snapshot().parts[0].remaining == 3


class _HiddenErrors(PlainRules):
    def error(self, response: Response, redactor: Any) -> AsyncConnError | None:
        inner = response.json().get("code", response.status)
        if inner >= 400:
            return ServerError("inside", Answer(response.service, inner))
        return super().error(response, redactor)


async def test_a_platforms_rules_find_the_error_in_a_good_status() -> None:
    async with (
        Loopback(saying({"code": 500}), saying({"code": 201})) as server,
        road(server, rules=_HiddenErrors(), clock=QuickClock()) as http,
    ):
        assert (await http.request("GET", "/")).json() == {"code": 201}

    assert len(server.seen) == 2


# -- the cap, on real sockets ------------------------------------------------------------------------------------------


_LIMIT, _PERIOD = 20, 1.0


class _Capped:
    """Counts at arrival: how many requests stand in the second before each."""

    def __init__(self) -> None:
        self.random = random.Random(1)
        self.recent: deque[float] = deque()
        self.refused = self.served = 0

    async def __call__(self, seen: Seen) -> Reply:
        while self.recent and self.recent[0] <= seen.at - _PERIOD:
            self.recent.popleft()
        self.recent.append(seen.at)
        self.served += 1
        if len(self.recent) > _LIMIT:
            self.refused += 1
        await asyncio.sleep(self.random.uniform(0.0, 0.15))
        return DROP if self.random.random() < 0.1 else OK


class _Eager(Connector):
    platform = Platform("eager", max_concurrency=30, rates=Window(_LIMIT, _PERIOD, skew=0.2))


@pytest.mark.parametrize("owned", [True, False], ids=["own session", "borrowed session"])
async def test_endless_demand_with_drops_and_storms_of_cancellation_is_never_refused(owned: bool) -> None:
    counting = _Capped()
    chance = random.Random(2)
    session = None if owned else aiohttp.ClientSession()
    async with Loopback(otherwise=counting) as server, Hub(session=session) as hub:
        client = _Eager(hub=hub, base_url=server.url)

        async def demand() -> None:
            while True:
                try:
                    await client.http.request("GET", "/")
                except AsyncConnError:
                    continue

        workers = [asyncio.create_task(demand()) for _ in range(40)]
        end = asyncio.get_running_loop().time() + 5.0
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(chance.uniform(0.0, 0.2))
            for _ in range(chance.randrange(8)):
                at = chance.randrange(len(workers))
                workers[at].cancel()
                workers[at] = asyncio.create_task(demand())
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)

        assert counting.refused == 0
        assert counting.served > 2 * _LIMIT
        assert client.rate.in_flight == 0
    if session is not None:
        await session.close()
