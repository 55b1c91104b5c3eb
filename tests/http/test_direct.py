"""Straight to the connector: the same bytes as by the session, whenever nobody stands between, and only then."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import TimeoutHandle, TimerNoop
from loopback import DROP, OK, Loopback, Reply, road, saying
from multidict import CIMultiDict
from yarl import URL

from asyncconn.core.rates.limiter import RateLimiter, Window
from asyncconn.errors import ConnectionLost
from asyncconn.http.attempts import direct
from asyncconn.http.attempts.by_session import BySession
from asyncconn.http.attempts.direct import Direct, OwnConnector, fits
from asyncconn.http.auth import TokenAuth
from asyncconn.http.transport import Transport
from asyncconn.hub import Hub


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The way of each attempt."""
    found: list[str] = []
    for way in (Direct, BySession):
        send: Callable[..., Any] = way.send

        async def sending(self: Any, going: Any, send: Callable[..., Any] = send) -> Any:
            found.append(type(self).__name__)
            return await send(self, going)

        monkeypatch.setattr(way, "send", sending)
    return found


# -- when --------------------------------------------------------------------------------------------------------------


async def test_a_hubs_own_session_is_left_aside(ways: list[str]) -> None:
    async with Loopback(OK) as server, road(server) as http:
        await http.request("GET", "/")

    assert ways == ["Direct"]


async def test_a_borrowed_session_is_used_as_it_is(ways: list[str]) -> None:
    async with Loopback(OK) as server, aiohttp.ClientSession() as session:
        await Transport(lambda: session, service="t", base_url=server.url).request("GET", "/")

    assert ways == ["BySession"]


async def test_a_proxy_needs_the_session(ways: list[str]) -> None:
    async with Loopback(OK) as server, Hub(proxy=server.url) as hub:
        await Transport(lambda: hub.session, service="t", base_url="http://example.invalid").request("GET", "/")

    assert ways == ["BySession"]


async def test_who_watches_all_sessions_sees_the_hubs_requests_too(
    ways: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    theirs = aiohttp.ClientSession.__init__

    async def started(session: Any, context: Any, params: Any) -> None:
        seen.append(str(params.url.path))

    def instrumented(self: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
        config = aiohttp.TraceConfig()
        config.on_request_start.append(started)
        theirs(self, *args, trace_configs=[config], **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
    async with Loopback(OK) as server, road(server) as http:
        await http.request("GET", "/watched")

    assert (ways, seen) == (["BySession"], ["/watched"])


async def test_who_replaces_the_sessions_requests_meanwhile_as_mocks_do_is_asked(
    ways: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    theirs = aiohttp.ClientSession._request

    async def mocked(self: aiohttp.ClientSession, *args: Any, **options: Any) -> aiohttp.ClientResponse:
        seen.append(args[1])
        return await theirs(self, *args, **options)

    async with Loopback(OK) as server, road(server) as http:
        with monkeypatch.context() as patched:
            patched.setattr(aiohttp.ClientSession, "_request", mocked)
            await http.request("GET", "/mocked")
        await http.request("GET", "/")

    assert ways == ["BySession", "Direct"]
    assert [url.path for url in seen] == ["/mocked"]


async def test_another_aiohttp_than_it_was_written_for_is_used_by_its_session(
    ways: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: Any, connection: Any, something: Any) -> None:
        raise AssertionError

    with monkeypatch.context() as patched:
        patched.setattr(aiohttp.ClientResponse, "start", start)
        hub = await Hub().open()
    async with Loopback(OK) as server, hub:
        await Transport(lambda: hub.session, service="t", base_url=server.url).request("GET", "/")

    assert ways == ["BySession"]


async def test_a_request_that_knows_more_than_ours_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = aiohttp.ClientRequest.__init__

    def knowing(self: Any, *args: Any, **options: Any) -> None:
        theirs(self, *args, **options)
        self.something_new = 1

    async with aiohttp.ClientSession() as session:
        assert fits(session)
        monkeypatch.setattr(aiohttp.ClientRequest, "__init__", knowing)
        assert not fits(session)


# -- what --------------------------------------------------------------------------------------------------------------


async def chunks() -> AsyncIterator[bytes]:
    yield b"some "
    yield b"pieces"


def form() -> aiohttp.FormData:
    made = aiohttp.FormData()
    made.add_field("a", "b")
    return made


CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "get": ("GET", "/a%20b", {"params": {"q": "ä", "n": [1, 2]}}),
    "head": ("HEAD", "/", {}),
    "delete": ("DELETE", "/", {}),
    "post of nothing": ("POST", "/", {}),
    "json": ("POST", "/", {"json": {"a": [1, 2, "ü"]}}),
    "bytes": ("PUT", "/", {"data": b"x" * 100_000, "headers": {"content-type": "text/x-odd"}}),
    "no bytes": ("POST", "/", {"data": b""}),
    "form": ("POST", "/", {"data": form}),
    "stream": ("PUT", "/", {"data": chunks}),
    "headers": ("GET", "/", {"headers": {"accept": "text/csv", "user-agent": "me", "Cookie": "a=b", "X-Y": "z"}}),
    "own host": ("GET", "/", {"headers": {"Host": "elsewhere.example"}}),
    "another method": ("PROPFIND", "/", {"data": b"<a/>"}),
}


@pytest.mark.parametrize("call", CALLS)
async def test_both_ways_put_the_same_on_the_wire(call: str, ways: list[str]) -> None:
    method, path, options = CALLS[call]
    answer = Reply(body=b"" if method == "HEAD" else b"{}")
    async with Loopback(otherwise=answer) as server, Hub() as hub:
        http = Transport(lambda: hub.session, service="t", base_url=server.url, auth=TokenAuth("s3cret-t0ken"))
        await http.request(method, path, **options)
        assert isinstance(hub.session.connector, OwnConnector)
        hub.session.connector.direct = False
        await http.request(method, path, **options)
        one, other = [(seen.method, seen.target, seen.headers, seen.body) for seen in server.seen]

    assert one == other
    assert ways == ["Direct", "BySession"]


async def test_without_cookies_none_are_sent(ways: list[str]) -> None:
    async with Loopback(OK) as server, Hub() as hub:
        http = Transport(lambda: hub.session, service="t", base_url=server.url, cookies=False)
        await http.request("GET", "/", headers={"Cookie": "a=b"})

        assert "cookie" not in server.seen[0].headers
    assert ways == ["Direct"]


@pytest.mark.parametrize("data", [None, b"", b"body"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_of_ours_is_what_aiohttp_makes(method: str, data: bytes | None) -> None:
    url, timer = URL("http://example.com:81/a?b=c"), TimerNoop()
    async with aiohttp.ClientSession() as session:
        theirs = aiohttp.ClientRequest(method, url, headers={"A": "b"}, data=data, timer=timer, session=session)
        headers = CIMultiDict({"Host": "example.com:81", "A": "b"})
        headers.extend({name: theirs.headers[name] for name in ("Accept", "Accept-Encoding", "User-Agent")})
        ours = direct._Request(method, url, headers, data, session, timer)
        differ = {
            name
            for name, value in vars(theirs).items()
            if name not in ("_body", "response_class", "_source_traceback") and getattr(ours, name) != value
        }

    assert not differ
    assert type(ours._body) is type(theirs._body)


# -- again -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "sent"), [("GET", 2), ("PUT", 2), ("POST", 1)])
async def test_a_request_goes_again_where_aiohttp_itself_would_send_it(method: str, sent: int, ways: list[str]) -> None:
    limiter = RateLimiter(Window(10, 60.0))
    async with Loopback(DROP, saying({"a": 1})) as server, road(server, limiters={"default": limiter}) as http:
        if sent == 1:
            with pytest.raises(ConnectionLost):
                await http.request(method, "/", data=b"x")
        else:
            assert (await http.request(method, "/")).json() == {"a": 1}

        assert len(server.seen) == sent
    assert ways == ["Direct"]
    assert limiter.snapshot().remaining == 10 - sent


# -- what it leans on --------------------------------------------------------------------------------------------------

#: Digests of what was read when this way was written, or has been read again since: of aiohttp 3.13.5 and 3.14.5.
READ = {
    "the session's way": ("317f968ffc55", "32986b8105fa"),
    "a request": ("dd4c125852e7", "8636fdb3a4b9"),
    "its sending": ("9504ca54679d", "82b495aa0676"),
    "its body": ("05b09c13b465", "05b09c13b465"),
    "its framing": ("bdf48822001f", "bdf48822001f"),
    "its expectation": ("82689b67b41d", "82689b67b41d"),
    "the start of an answer": ("bcbf178da366", "bcbf178da366"),
    "the connecting": ("1f2bec7152f9", "b9fe1f4d3e57"),
    "the parameters of an answer": ("c568f38d4af6", "2eb047e32248"),
    "the timeout": ("82e84fb62382", "23fc5ffb5afe"),
}


def test_what_it_leans_on_is_what_was_read() -> None:
    sources: dict[str, Any] = {
        "the session's way": aiohttp.ClientSession._request,
        "a request": aiohttp.ClientRequest.__init__,
        "its sending": aiohttp.ClientRequest.send,
        "its body": aiohttp.ClientRequest.update_body_from_data,
        "its framing": aiohttp.ClientRequest.update_transfer_encoding,
        "its expectation": aiohttp.ClientRequest.update_expect_continue,
        "the start of an answer": aiohttp.ClientResponse.start,
        "the connecting": aiohttp.TCPConnector.connect,
        "the parameters of an answer": ResponseHandler.set_response_params,
        "the timeout": TimeoutHandle,
    }
    digests = {
        name: hashlib.sha256(inspect.getsource(source).encode()).hexdigest()[:12] for name, source in sources.items()
    }
    changed = {name: digest for name, digest in digests.items() if digest not in READ[name]}

    assert not changed, "read these in aiohttp again, compare them with the way, and add their digests"
