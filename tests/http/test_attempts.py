"""How often a call is made: what is repeated, when, and what is told of it."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import Any

import aiohttp
import pytest
from loopback import DROP, OK, Loopback, QuickClock, Reply, road, saying

from asyncconn.core.rates.limiter import RateLimiter, TokenBucket
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import (
    AsyncConnError,
    BadRequest,
    ConnectFailed,
    ConnectionLost,
    HubClosed,
    ProtocolError,
    RateLimited,
    ServerError,
)
from asyncconn.http.auth import TokenAuth
from asyncconn.http.transport import Transport
from asyncconn.hub import Hub

# -- what is repeated --------------------------------------------------------------------------------------------------


_TABLE = [
    # answer, method, idempotent, policy, requests that the server sees (a POST is never re-sent by aiohttp)
    (Reply(503), "GET", None, "idempotent", 3),
    (Reply(503), "POST", None, "idempotent", 1),
    (Reply(503), "POST", True, "idempotent", 3),
    (Reply(503), "PUT", False, "idempotent", 1),
    (Reply(503), "GET", None, "never", 1),
    (Reply(503), "POST", None, "always", 3),
    (DROP, "POST", None, "idempotent", 1),
    (DROP, "POST", True, "idempotent", 3),
    (DROP, "POST", None, "always", 3),
    (DROP, "POST", True, "never", 1),
    (DROP, "PUT", False, "idempotent", 1),
    (DROP, "GET", None, "never", 1),
    (Reply(400), "GET", None, "always", 1),
    (Reply(404), "GET", None, "always", 1),
    (Reply(409), "GET", None, "always", 1),
    (Reply(429), "POST", False, "never", 3),
    (Reply(302, headers={"Location": "/x"}), "GET", None, "always", 1),
    (Reply(raw=b"garbage\r\n\r\n", close=True), "POST", None, "idempotent", 1),
    (Reply(raw=b"garbage\r\n\r\n", close=True), "POST", None, "always", 3),
]


@pytest.mark.parametrize(("reply", "method", "idempotent", "maybe_sent", "count"), _TABLE)
async def test_what_is_repeated_depends_on_what_is_known(
    reply: Reply, method: str, idempotent: bool | None, maybe_sent: Any, count: int
) -> None:
    policy = RetryPolicy(attempts=3, maybe_sent=maybe_sent)
    async with Loopback(otherwise=reply) as server, road(server, retry=policy, clock=QuickClock()) as http:
        with pytest.raises(AsyncConnError):
            await http.request(method, "/", idempotent=idempotent)

    assert len(server.seen) == count


async def test_what_was_not_sent_is_repeated_whatever_the_call_is() -> None:
    clock = QuickClock()
    policy = RetryPolicy(attempts=3, maybe_sent="never")
    async with road("http://127.0.0.1:1", retry=policy, clock=clock) as http:
        with pytest.raises(ConnectFailed):
            await http.request("POST", "/", data=b"x", idempotent=False)

    assert len(clock.slept) == 2


async def test_a_repeated_call_succeeds_with_the_first_good_answer() -> None:
    async with Loopback(Reply(500), Reply(502), saying(7)) as server, road(server, clock=QuickClock()) as http:
        assert (await http.request("GET", "/")).json() == 7

    assert len(server.seen) == 3


async def test_a_retry_after_is_a_floor_with_jitter_above_it() -> None:
    clock = QuickClock()
    busy = Reply(429, headers={"Retry-After": "5"})
    async with Loopback(busy, busy) as server, road(server, clock=clock) as http:
        await http.request("GET", "/")

    first, second = clock.slept
    assert 5.0 < first <= 5.25
    assert 5.0 < second <= 5.5


async def test_a_retry_after_may_be_a_date() -> None:
    clock = QuickClock()
    dates = {"Date": "Tue, 01 Jan 2030 00:00:00 GMT", "Retry-After": "Tue, 01 Jan 2030 00:00:07 GMT"}
    async with Loopback(Reply(429, headers=dates)) as server, road(server, clock=clock) as http:
        await http.request("GET", "/")

    assert 7.0 < clock.slept[0] <= 7.25


async def test_a_retry_after_beyond_the_maximum_ends_the_trying() -> None:
    clock = QuickClock()
    busy = Reply(429, headers={"Retry-After": "61"})
    async with Loopback(busy) as server, road(server, clock=clock) as http:
        with pytest.raises(RateLimited) as caught:
            await http.request("GET", "/")

    assert caught.value.retry_after == 61.0
    assert clock.slept == []


async def test_no_attempt_begins_after_the_deadline() -> None:
    clock = QuickClock()
    busy = Reply(503, headers={"Retry-After": "4"})
    policy = RetryPolicy(attempts=99, deadline=10.0)
    async with Loopback(otherwise=busy) as server, road(server, retry=policy, clock=clock) as http:
        with pytest.raises(ServerError):
            await http.request("GET", "/")

        assert len(server.seen) == 3  # one at once, one in the fifth second, one in the ninth or tenth
    assert sum(clock.slept) <= 10.0


async def test_a_cancelled_call_is_not_repeated() -> None:
    arrived = asyncio.Event()

    async def stall() -> None:
        arrived.set()
        await asyncio.sleep(60.0)

    async with Loopback(otherwise=Reply(wait=stall)) as server, road(server) as http:
        task = asyncio.create_task(http.request("GET", "/"))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert len(server.seen) == 1


async def test_the_last_error_remembers_that_an_earlier_attempt_may_have_been_carried_out() -> None:
    async with (
        Loopback(DROP, Reply(400)) as server,
        road(server, retry=RetryPolicy(maybe_sent="always"), clock=QuickClock()) as http,
    ):
        with pytest.raises(BadRequest) as caught:
            await http.request("POST", "/", data=b"x")

    assert caught.value.maybe_sent
    assert not BadRequest.maybe_sent


async def test_the_last_error_says_so_too_after_a_renewed_token() -> None:
    tokens = iter(["one", "two"])

    async def provider() -> str:
        return next(tokens)

    policy = RetryPolicy(maybe_sent="always")
    async with (
        Loopback(DROP, Reply(401), Reply(404)) as server,
        road(server, retry=policy, clock=QuickClock(), auth=TokenAuth(provider)) as http,
    ):
        with pytest.raises(AsyncConnError) as caught:
            await http.request("POST", "/", data=b"x")

    assert caught.value.maybe_sent


def test_the_first_attempt_does_not_load_tenacity() -> None:
    code = """
import asyncio, sys
from aiohttp import web
from asyncconn.hub import Hub
from asyncconn.http.transport import Transport
async def main():
    answers = iter([200, 503, 200])
    async def handle(request): return web.Response(status=next(answers))
    app = web.Application(); app.router.add_get("/", handle)
    runner = web.AppRunner(app); await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with Hub() as hub:
        http = Transport(lambda: hub.session, service="t", base_url=f"http://127.0.0.1:{runner.addresses[0][1]}")
        await http.request("GET", "/")
        before = "tenacity" in sys.modules
        await http.request("GET", "/")
    await runner.cleanup()
    print(before, "tenacity" in sys.modules)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)

    assert (done.stdout.strip(), done.stderr) == ("False True", "")


# -- events ------------------------------------------------------------------------------------------------------------


async def test_attempts_and_retries_are_told_and_a_handler_that_raises_does_no_harm() -> None:
    told: list[tuple[str, Any]] = []
    async with Loopback(Reply(503), OK) as server, road(server, clock=QuickClock()) as http:
        http.events.on("*", lambda name, data: told.append((name, data)))
        http.events.on("attempt", lambda data: 1 // 0)
        http.events.on("retry", lambda data: 1 // 0)
        await http.request("GET", "/")

        assert http.events.failures == 3
    assert [name for name, _ in told] == ["attempt", "retry", "attempt"]
    assert [told[0][1].status, type(told[1][1]), told[2][1].status] == [503, ServerError, 200]


async def test_the_middlewares_of_a_borrowed_session_still_run_and_each_of_their_sends_is_paid() -> None:
    async def twice(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.headers["X-Signed"] = "yes"
        (await handler(request)).release()
        return await handler(request)

    limiter = RateLimiter(TokenBucket(0.001, 10))
    async with (
        Loopback() as server,
        aiohttp.ClientSession(middlewares=(twice,)) as session,
        Hub(session=session) as hub,
    ):
        http = Transport(lambda: hub.session, service="t", base_url=server.url, limiters={"default": limiter})
        await http.request("GET", "/")

    assert [seen.headers.get("x-signed") for seen in server.seen] == ["yes", "yes"]
    assert limiter.snapshot().remaining == 8


async def test_a_session_closed_by_its_owner_is_a_closed_hub_to_us() -> None:
    async with Loopback() as server:
        session = aiohttp.ClientSession()
        async with Hub(session=session) as hub:
            http = Transport(lambda: hub.session, service="t", base_url=server.url)
            await session.close()
            with pytest.raises(HubClosed):
                await http.request("GET", "/")


async def test_a_protocol_error_is_repeated_only_at_any_price() -> None:
    assert not RetryPolicy().allows(ProtocolError("x"), idempotent=True)
    assert RetryPolicy(maybe_sent="always").allows(ProtocolError("x"), idempotent=False)
    assert not RetryPolicy(maybe_sent="always").allows(asyncio.CancelledError(), idempotent=True)
    assert not RetryPolicy(maybe_sent="never").allows(ConnectionLost("x"), idempotent=True)


@pytest.mark.parametrize("reply", [Reply(503), DROP])
async def test_a_line_about_a_call_that_is_tried_again_names_it_once(
    reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asyncconn.http")
    async with Loopback(reply, OK) as server, road(server, clock=QuickClock()) as http:
        await http.request("POST", "/points", data=b"x", idempotent=True)

    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{http.service}: POST /points: ")
    assert (line.count("POST"), line.count("; again in ")) == (1, 1)
