"""Whether a call was sent: one byte decides. Why it was not, in words, and whether trying again can help."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from certificates import Authority
from loopback import DROP, Loopback, QuickClock, Reply, Server, road, saying
from senders import HASTY, both, sending

from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import (
    Answer,
    AsyncConnError,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    MaybeSent,
    NotDone,
    NotSent,
    PoolTimeout,
    ProtocolError,
    ReadTimeout,
    ServerError,
)
from asyncconn.http.response import Response
from asyncconn.http.rules import PlainRules
from asyncconn.hub import Hub
from asyncconn.settings import HubSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from asyncconn.http.redact import Redactor

MESSAGE = saying({"MessageId": "1"})


async def _error(send: Callable[[], Awaitable[object]]) -> AsyncConnError:
    with pytest.raises(AsyncConnError) as caught:
        await send()
    return caught.value


class Names:
    """The system's lookups: ``found`` is an address, an error, or an event to wait for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
        self.found = found
        self.asked: list[str] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._look_up)

    async def _look_up(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        if isinstance(self.found, asyncio.Event):
            await self.found.wait()
        if isinstance(self.found, Exception):
            raise self.found
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.found, port))]


# -- before the first byte ---------------------------------------------------------------------------------------------


@both
async def test_who_got_no_connection_from_the_full_pool_did_not_send(sender: str) -> None:
    release = asyncio.Event()
    server = Loopback(Reply(wait=release.wait), otherwise=MESSAGE)
    async with (
        server,
        Hub(settings=HubSettings(max_connections=1)) as hub,
        sending(hub, server.url, "form") as first,
        sending(hub, server.url, sender, HASTY) as second,
    ):
        holding = asyncio.ensure_future(first())
        await server.arrived()
        error = await _error(second)
        release.set()
        await holding

    assert isinstance(error, PoolTimeout)
    assert not error.maybe_sent
    assert len(server.seen) == 1


@both
async def test_a_name_that_takes_too_long_to_look_up_is_no_read_timeout(
    sender: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch, asyncio.Event())
    async with Hub() as hub, sending(hub, "http://queue.example", sender, HASTY) as send:
        error = await _error(send)
        names.found.set()

    assert isinstance(error, ConnectTimeout)
    assert "queue.example" in str(error)


@both
async def test_a_server_that_is_silent_in_the_tls_handshake_is_no_read_timeout(sender: str) -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        ended.set()

    async with Server(silent) as server:
        async with Hub() as hub, sending(hub, f"https://127.0.0.1:{server.port}", sender, HASTY) as send:
            error = await _error(send)
        await ended.wait()

    assert isinstance(error, ConnectTimeout)


@both
async def test_who_was_connected_and_got_no_answer_may_have_sent(sender: str) -> None:
    async with (
        Loopback(otherwise=Reply(after=60.0)) as server,
        Hub() as hub,
        sending(hub, server.url, sender, HASTY) as send,
    ):
        error = await _error(send)

    assert isinstance(error, ReadTimeout)
    assert f"127.0.0.1:{server.port}" in str(error)


@both
async def test_a_connection_that_breaks_after_the_sending_may_have_sent(sender: str) -> None:
    async with Loopback(otherwise=DROP) as server, Hub() as hub, sending(hub, server.url, sender) as send:
        error = await _error(send)

    assert isinstance(error, ConnectionLost)
    assert f"127.0.0.1:{server.port}" in str(error)


@both
async def test_a_reset_after_the_sending_may_have_sent(sender: str) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with Server(reset) as server, Hub() as hub, sending(hub, server.url, sender) as send:
        error = await _error(send)

    assert isinstance(error, ConnectionLost)


async def test_an_earlier_attempt_that_may_have_arrived_counts_more_than_the_last_that_did_not() -> None:
    server = Loopback(DROP)
    async with server, road(server, retry=RetryPolicy(maybe_sent="always"), clock=QuickClock()) as http:
        http.events.on("retry", lambda error: server._server.close() if server._server else None)
        error = await _error(lambda: http.request("POST", "/"))

    assert isinstance(error, MaybeSent)
    assert error.maybe_sent


# -- why, and whether trying again can help ----------------------------------------------------------------------------


async def _tried(url: str) -> tuple[int, AsyncConnError]:
    """How often a call goes out, and what it ends with."""
    again: list[object] = []
    async with road(url, retry=RetryPolicy(attempts=3), clock=QuickClock()) as http:
        http.events.on("retry", again.append)
        error = await _error(lambda: http.request("POST", "/"))
    return 1 + len(again), error


async def test_a_certificate_that_is_not_trusted_is_named_and_tried_once(tmp_path: Path) -> None:
    async with Loopback(ssl=Authority(tmp_path).server()) as server:
        tries, error = await _tried(server.url)

    assert (tries, isinstance(error, NotSent)) == (1, True)
    assert f"no connection to 127.0.0.1:{server.port}: its certificate is not trusted" in str(error)
    assert "repeating does not help" in str(error)


async def test_tls_to_a_port_that_does_not_speak_it_is_tried_once() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(Reply(400).encoded())

    async with Server(plain) as server:
        tries, error = await _tried(f"https://127.0.0.1:{server.port}")

    assert (tries, type(error)) == (1, ConnectFailed)
    assert "does not speak TLS" in str(error)


async def test_plain_http_to_a_port_that_answers_in_tls_says_so() -> None:
    alert = Reply(raw=b"\x15\x03\x01\x00\x02\x02\x46", close=True)
    async with Loopback(otherwise=alert) as server:
        tries, error = await _tried(server.url)

    assert (tries, type(error)) == (1, ProtocolError)
    assert "must begin with https://" in str(error)


@pytest.mark.parametrize(
    ("headers", "words"),
    [({"Link": "<x>" * 3000}, "a header is longer"), ({f"X-{n}": "y" for n in range(500)}, "more headers")],
    ids=["long", "many"],
)
async def test_headers_beyond_the_limit_say_so(headers: dict[str, str], words: str) -> None:
    async with Loopback(otherwise=Reply(headers=headers)) as server:
        tries, error = await _tried(server.url)

    assert (tries, type(error)) == (1, ProtocolError)
    assert words in str(error)


LOOKUPS = [  # what the system says of a name, how often a call is tried, and the words for it
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), 1, "its name is unknown"),
    (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), 3, "its name could not be looked up"),
]


@pytest.mark.parametrize(("found", "times", "words"), LOOKUPS, ids=["unknown", "for now"])
async def test_a_name_that_is_unknown_is_tried_once_and_one_that_cannot_be_looked_up_again(
    found: Exception, times: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, found)
    tries, error = await _tried("http://shop.example")

    assert (tries, type(error)) == (times, ConnectFailed)
    assert f"no connection to shop.example:80: {words}" in str(error)


async def test_a_name_that_was_known_before_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    async with Loopback(otherwise=Reply(headers={"Connection": "close"})) as server:
        names = Names(monkeypatch, "127.0.0.1")
        settings = HubSettings(dns_cache_seconds=0)
        async with Hub(settings=settings) as hub, sending(hub, f"http://shop.example:{server.port}", "form") as send:
            await send()
            names.found = gone
            error = await _error(send)

    assert isinstance(error, ConnectFailed)
    assert not error.permanent


async def test_a_refused_connection_is_tried_again_and_named() -> None:
    tries, error = await _tried("http://127.0.0.1:1")

    assert (tries, type(error)) == (3, ConnectFailed)
    assert "no connection to 127.0.0.1:1: refused" in str(error)


@both
@pytest.mark.parametrize("owned", [True, False], ids=["own session", "borrowed session"])
async def test_after_a_failed_connect_the_name_is_looked_up_anew(
    sender: str, owned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch, "127.0.0.9")
    session = None if owned else aiohttp.ClientSession()
    async with (
        Loopback(otherwise=MESSAGE) as server,
        Hub(session=session) as hub,
        sending(hub, f"http://shop.example:{server.port}", sender) as send,
    ):
        assert isinstance(await _error(send), ConnectFailed)
        names.found = "127.0.0.1"  # a service that has moved
        await send()
        await send()
    if session is not None:
        await session.close()

    assert names.asked == ["shop.example"] * 2


# -- refused, and nothing was done -------------------------------------------------------------------------------------


class Honest(PlainRules):
    """A platform whose 503 does nothing, and that says so one way or the other."""

    def __init__(self, way: str) -> None:
        self.way = way

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        error = super().error(response, redactor)
        if not isinstance(error, ServerError):
            return error
        if self.way == "NotDone":
            return NotDone("too busy", Answer("shop", 503))
        error.maybe_sent = False
        return error


@pytest.mark.parametrize("way", ["NotDone", "maybe_sent"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_did_nothing_is_repeated_whatever_the_call_is(way: str, method: str) -> None:
    policy = RetryPolicy(maybe_sent="never")
    server = Loopback(Reply(503), Reply(503))
    async with server, road(server, rules=Honest(way), retry=policy, clock=QuickClock()) as http:
        await http.request(method, "/")

    assert len(server.seen) == 3


async def test_what_did_nothing_to_the_end_says_that_it_is_safe_to_repeat() -> None:
    server = Loopback(otherwise=Reply(503))
    async with server, road(server, rules=Honest("NotDone"), clock=QuickClock()) as http:
        error = await _error(lambda: http.request("POST", "/"))

    assert not error.maybe_sent
    assert "nothing was done" in str(error)
