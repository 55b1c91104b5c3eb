"""A WebSocket on the one road: by the hub's proxy, trusting whom the hub trusts, counted and refused as a call."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from certificates import Authority
from loopback import Loopback, Reply, saying
from proxy import Proxy

from asyncconn import Hub, Platform, Timeouts, Window
from asyncconn.connector import Connector
from asyncconn.errors import ConnectFailed, HubClosed, NotFound, RateLimited
from asyncconn.http.auth import TokenAuth
from asyncconn.http.websocket import Dialler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Acme(Connector):
    platform = Platform("acme")


def dialler(url: str, hub: Hub, **options: object) -> Dialler:
    acme = Acme(base_url=url, hub=hub, auth=TokenAuth("t0ken-of-acme"), **options)  # type: ignore[arg-type] # as given
    return Dialler(acme.http, hub.network, "/feed", params={"topic": "a b"}, max_bytes=1_000)


@asynccontextmanager
async def echoing(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A WebSocket server's URL, and what it was asked."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.WebSocketResponse:
        seen.append(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for frame in socket:
            await socket.send_str(frame.data)
        return socket

    app = web.Application()
    app.router.add_get("/feed", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    scheme = "http" if context is None else "https"
    try:
        yield f"{scheme}://127.0.0.1:{runner.addresses[0][1]}", seen
    finally:
        await runner.cleanup()


async def talked(there: Dialler) -> bytes:
    socket = await there.dial()
    await socket.send("hello")
    heard = await socket.recv(decode=False)
    await socket.close()
    return heard


async def test_it_shows_the_credential_and_its_parameters() -> None:
    async with echoing() as (url, seen), Hub() as hub:
        assert await talked(dialler(url, hub)) == b"hello"
    [row] = hub.traffic
    assert (row.method, row.route, row.statuses) == ("GET", "/feed", {101: 1})
    request = seen[0]
    assert request.headers["Authorization"] == "Bearer t0ken-of-acme"
    assert request.headers["User-Agent"].startswith("asyncconn/")
    assert request.query == {"topic": "a b"}
    assert "Sec-WebSocket-Extensions" not in request.headers


async def test_it_trusts_whom_the_hub_trusts(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.signed("server"))
    async with echoing(context) as (url, _):
        async with Hub(ca_file=authority.ca) as hub:
            assert await talked(dialler(url, hub)) == b"hello"
        async with Hub() as hub:
            with pytest.raises(ConnectFailed, match="not trusted") as caught:
                await dialler(url, hub).dial()
            assert caught.value.permanent


async def test_it_goes_by_the_hubs_proxy() -> None:
    async with echoing() as (url, _), Proxy() as proxy:
        async with Hub(proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}") as hub:
            assert await talked(dialler(url, hub)) == b"hello"
        assert proxy.asked[0].startswith("CONNECT 127.0.0.1:")
        assert proxy.shown == ["Basic dXNlcjpwQHNz"]


async def test_a_proxy_that_refuses_is_no_connection() -> None:
    no = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
    async with Proxy(no) as proxy, Hub(proxy=f"http://127.0.0.1:{proxy.port}") as hub:
        with pytest.raises(ConnectFailed, match="proxy"):
            await dialler("http://acme.example", hub).dial()


async def test_a_refusal_is_the_error_that_its_answer_means() -> None:
    refused = saying({"message": "no such feed for t0ken-of-acme"}, 404)
    async with Loopback(refused, Reply(raw=b"", close=True)) as server, Hub() as hub:
        there = dialler(server.url, hub)
        with pytest.raises(NotFound, match=r"no such feed for \*\*\*"):
            await there.dial()
        with pytest.raises(ConnectFailed, match="without an answer"):
            await there.dial()
    assert [row.statuses for row in hub.traffic] == [{404: 1, "ConnectFailed": 1}]


async def test_it_counts_as_a_call_and_a_429_holds_the_others() -> None:
    busy = saying({}, 429, Retry_After="30")
    async with Loopback(busy) as server, Hub() as hub:
        acme = Acme(base_url=server.url, hub=hub, rates=Window(5, 60.0))
        there = Dialler(acme.http, hub.network, "/feed", params={}, max_bytes=1_000)
        with pytest.raises(RateLimited) as caught:
            await there.dial()
        assert caught.value.retry_after == 30.0
        with pytest.raises(RateLimited, match="nothing was sent"):
            await acme.http.request("GET", "/x", max_wait=1.0)
        assert acme.rate.parts[0].remaining == 4
    assert len(server.seen) == 1


async def test_it_waits_for_its_rate_no_longer_than_a_call_may() -> None:
    async with Loopback(otherwise=saying({}, 404)) as server, Hub() as hub:
        acme = Acme(base_url=server.url, hub=hub, rates=Window(1, 3600.0), timeouts=Timeouts(rate=0.0))
        there = Dialler(acme.http, hub.network, "/feed", params={}, max_bytes=1_000)
        with pytest.raises(NotFound):
            await there.dial()
        with pytest.raises(RateLimited, match="nothing was sent"):
            await there.dial()
    assert len(server.seen) == 1


async def test_a_hub_that_is_closed_says_so() -> None:
    async with Hub() as hub:
        there = dialler("http://127.0.0.1:9", hub)
    with pytest.raises(HubClosed):
        await there.dial()
