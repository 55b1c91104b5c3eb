"""Downloads that are not held in memory, and how they end."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from helpers import cancel_at_every_await
from loopback import DROP, Loopback, QuickClock, Reply, Server, road, saying

from asyncconn.core.rates.limiter import RateLimiter, Window
from asyncconn.core.retrying import ONCE
from asyncconn.errors import ConnectionLost, LifecycleError, NotFound, ProtocolError, ReadTimeout, ServerError
from asyncconn.http.transport import Timeouts, Transport
from asyncconn.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncconn.http.transport import Stream

BIG = Reply(body=b"0123456789" * 500_000)


async def _all_closed(server: Loopback) -> None:
    while server.open:
        await asyncio.sleep(0.005)


async def _all_of(stream: Stream) -> bytes:
    async with stream:
        return b"".join([chunk async for chunk in stream])


async def test_a_download_comes_in_chunks_and_its_connection_is_used_again() -> None:
    async with Loopback(BIG) as server, road(server, max_answer_bytes=1000) as http:
        async with http.stream("GET", "/big", params={"a": 1}) as stream:
            assert (stream.status, stream.headers["content-length"]) == (200, "5000000")
            chunks = [chunk async for chunk in stream]
        await http.request("GET", "/")

    assert len(chunks) > 5
    assert b"".join(chunks) == BIG.body
    assert [seen.connection for seen in server.seen] == [1, 1]


async def test_a_download_may_be_asked_for_with_a_body() -> None:
    async with Loopback() as server, road(server) as http, http.stream("POST", "/export", json={"q": 1}) as stream:
        assert [chunk async for chunk in stream] == [b"{}"]

    assert json.loads(server.seen[0].body) == {"q": 1}


async def test_leaving_early_closes_the_connection_and_frees_the_place() -> None:
    async with Loopback(BIG, BIG) as server, road(server, max_concurrency=1) as http:
        async with http.stream("GET", "/"):
            pass
        async with http.stream("GET", "/") as stream:
            async for chunk in stream:
                assert chunk
                break
        await http.request("GET", "/")

        assert [seen.connection for seen in server.seen] == [1, 2, 3]


async def _broken_off(stream: Stream) -> None:
    async with stream:
        async for _ in stream:
            raise KeyError("mine")


async def test_an_error_of_the_readers_own_passes_and_the_connection_is_closed() -> None:
    async with Loopback(BIG) as server, road(server, max_concurrency=1) as http:
        with pytest.raises(KeyError):
            await _broken_off(http.stream("GET", "/"))
        await _all_closed(server)


async def test_a_download_that_breaks_in_the_middle_says_so() -> None:
    half = Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", close=True)
    async with Loopback(half) as server, road(server) as http:
        with pytest.raises(ConnectionLost):
            await _all_of(http.stream("GET", "/"))


async def test_a_download_without_an_end_may_take_longer_than_a_request_but_not_stand_still() -> None:
    pause = Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    async with Loopback(pause) as server, road(server, timeouts=Timeouts(total=0.01)) as http:
        with pytest.raises(ReadTimeout):
            await _all_of(http.stream("GET", "/", idle_timeout=0.1))


async def test_a_slow_reader_is_no_timeout() -> None:
    async with (
        Loopback(BIG) as server,
        road(server, timeouts=Timeouts(total=0.05)) as http,
        http.stream("GET", "/", idle_timeout=5.0) as stream,
    ):
        size = 0
        async for chunk in stream:
            if not size:
                await asyncio.sleep(0.2)
            size += len(chunk)

    assert size == len(BIG.body)


async def test_no_answer_at_all_is_retried_like_a_request() -> None:
    told: list[object] = []
    async with Loopback(Reply(503), DROP, saying([1])) as server, road(server, clock=QuickClock()) as http:
        http.events.on("retry", told.append)
        async with http.stream("GET", "/") as stream:
            assert b"".join([chunk async for chunk in stream]) == b"[1]"

    assert type(told[0]) is ServerError


async def test_a_refusal_is_its_error_and_leaves_the_connection() -> None:
    async with Loopback(saying({"message": "gone"}, 404)) as server, road(server) as http:
        with pytest.raises(NotFound, match="gone"):
            async with http.stream("GET", "/"):
                raise AssertionError("it opened")
        await http.request("GET", "/")

        assert server.connections == 1


async def test_a_redirected_download_is_refused() -> None:
    async with Loopback(Reply(307, headers={"Location": "/x"})) as server, road(server) as http:
        with pytest.raises(ProtocolError, match="redirected"):
            async with http.stream("GET", "/"):
                raise AssertionError("it opened")


async def test_outside_its_block_a_stream_is_an_error_and_not_empty() -> None:
    async with Loopback() as server, road(server) as http:
        stream = http.stream("GET", "/")
        with pytest.raises(LifecycleError):
            _ = [chunk async for chunk in stream]
        async with stream:
            pass
        with pytest.raises(LifecycleError):
            _ = [chunk async for chunk in stream]


async def test_cancelled_at_any_await_a_download_leaves_nothing_behind() -> None:
    async def make() -> Callable[[], Awaitable[object]]:
        server = await Loopback(otherwise=Reply(body=b"x" * 300_000)).__aenter__()
        hub = await Hub().open()
        limiter = RateLimiter(Window(5, 60.0))
        http = Transport(
            lambda: hub.session,
            service="t",
            base_url=server.url,
            max_concurrency=1,
            retry=ONCE,
            limiters={"default": limiter},
        )

        async def download() -> int:
            async with http.stream("GET", "/") as stream:
                return sum([len(chunk) async for chunk in stream])

        scene[:] = [server, hub, http, limiter]
        return download

    async def check(error: BaseException | None) -> None:
        server, hub, http, limiter = scene
        assert limiter.snapshot().in_flight == 0
        await http.request("GET", "/", timeout=5.0)
        await hub.aclose()
        await _all_closed(server)
        await server.__aexit__(None, None, None)

    scene: list[Any] = []
    assert await cancel_at_every_await(make, check) >= 3


# -- every wait ends ---------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
DRIPS = {  # what comes again and again, after what
    "headers": (HEAD + b"X: ", b"a"),
    "informational answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the body of an error": (b"HTTP/1.1 500 Oh\r\nContent-Length: 99999\r\n\r\n", b"a"),
}


def _dripping(start: bytes, drop: bytes) -> Server:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        while not writer.is_closing():
            writer.write(drop)
            await asyncio.sleep(0.02)

    return Server(drip)


@pytest.mark.parametrize("what", DRIPS)
async def test_opening_ends_however_slowly_it_drips(what: str) -> None:
    async with _dripping(*DRIPS[what]) as server, road(server, retry=ONCE) as http:
        with pytest.raises(ReadTimeout):
            await _all_of(http.stream("GET", "/", idle_timeout=0.2))


async def test_opening_may_have_a_time_of_its_own() -> None:
    async with Loopback(Reply(after=0.3)) as server, road(server, retry=ONCE) as http:
        assert await _all_of(http.stream("GET", "/", timeout=10.0, idle_timeout=5.0)) == b"{}"
    async with Loopback(Reply(after=60.0)) as server, road(server, retry=ONCE) as http:
        with pytest.raises(ReadTimeout):
            await _all_of(http.stream("GET", "/", timeout=0.1, idle_timeout=60.0))


async def test_a_download_slower_than_its_least_rate_is_given_up() -> None:
    start = HEAD + b"Content-Length: 99999\r\n\r\n"
    async with _dripping(start, b"a") as server, road(server, retry=ONCE) as http:
        with pytest.raises(ReadTimeout, match="less than 100000"):
            await _all_of(http.stream("GET", "/", idle_timeout=0.2, min_rate=100_000.0))


async def test_a_slow_reader_is_not_a_slow_download() -> None:
    async with (
        Loopback(BIG) as server,
        road(server) as http,
        http.stream("GET", "/", idle_timeout=0.2, min_rate=1000.0) as stream,
    ):
        size = 0
        async for chunk in stream:
            size += len(chunk)
            await asyncio.sleep(0.02)

    assert size == len(BIG.body)


async def test_a_download_larger_than_it_may_be_is_given_up() -> None:
    async with Loopback(otherwise=BIG) as server, road(server) as http:
        with pytest.raises(ProtocolError, match="max_bytes"):
            await _all_of(http.stream("GET", "/", max_bytes=len(BIG.body) - 1))
        assert len(await _all_of(http.stream("GET", "/", max_bytes=len(BIG.body)))) == len(BIG.body)


# -- read in two goes, or slowly ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/json", "text/csv"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_who_leaves_the_loop_and_begins_another_goes_on_where_it_stopped(kind: str, encoding: str) -> None:
    whole = json.dumps(list(range(60_000))).encode()
    body = gzip.compress(whole) if encoding == "gzip" else whole
    reply = Reply(body=body, headers={"Content-Type": kind, "Content-Encoding": encoding})
    async with Loopback(reply) as server, road(server) as http, http.stream("GET", "/") as stream:
        got = b""
        async for chunk in stream:
            got += chunk
            break
        assert 0 < len(got) < len(whole)
        got += b"".join([chunk async for chunk in stream])
        assert got == whole
        assert [chunk async for chunk in stream] == []


async def test_a_stream_that_broke_off_does_not_end_as_if_it_were_whole_in_another_loop() -> None:
    half = Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nhalf", close=True)
    async with Loopback(half) as server, road(server) as http, http.stream("GET", "/") as stream:
        with pytest.raises(ConnectionLost):
            b"".join([chunk async for chunk in stream])
        with pytest.raises(LifecycleError, match="broke off"):
            b"".join([chunk async for chunk in stream])


async def test_a_slow_json_document_may_take_longer_than_its_opening() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    async with _dripping(head, b" 1,") as server, road(server) as http:
        got = b""
        async with http.stream("GET", "/", idle_timeout=0.2) as stream:
            async for chunk in stream:
                got += chunk
                if len(got) > 60:
                    break

    assert got == (b" 1," * 100)[: len(got)]
