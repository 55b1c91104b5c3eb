"""What comes back: the answer as it was, or the one error that tells the caller what to do."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from loopback import DROP, OK, Loopback, QuickClock, Reply, road, saying

from asyncconn.core.retrying import ONCE
from asyncconn.errors import (
    AsyncConnError,
    BadRequest,
    ConfigError,
    Conflict,
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    Forbidden,
    MaybeSent,
    NotFound,
    NotSent,
    PayloadTooLarge,
    ProtocolError,
    RateLimited,
    ReadTimeout,
    ServerError,
    Unauthorized,
    Unprocessable,
)
from asyncconn.http.response import http_date, retry_after
from asyncconn.http.transport import Timeouts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


async def test_an_answer_comes_with_its_status_headers_and_body() -> None:
    async with Loopback(saying({"a": [1]}, 201, X_Kind="new")) as server, road(server) as http:
        answer = await http.request("GET", "/things/1")

    assert (answer.status, answer.headers["x-kind"], answer.json()) == (201, "new", {"a": [1]})
    assert (answer.method, answer.path, answer.content_type) == ("GET", "/things/1", "application/json")
    assert 0 < answer.seconds < 10


async def test_params_become_the_query() -> None:
    params = {"q": "a b&c", "n": 3, "none": None, "yes": True, "no": False, "ids": [1, 2]}
    async with Loopback() as server, road(server) as http:
        await http.request("GET", "/find?fixed=a%26b", params=params)

    assert server.seen[0].target == "/find?fixed=a%26b&q=a+b%26c&n=3&yes=true&no=false&ids=1&ids=2"


async def test_a_path_goes_out_encoded_as_it_was_given() -> None:
    async with Loopback() as server, road(f"{server.url}/base/") as http:
        await http.request("GET", "/a%2Fb/%C3%A9")

    assert server.seen[0].target == "/base/a%2Fb/%C3%A9"


async def test_json_goes_out_with_its_content_type() -> None:
    async with Loopback() as server, road(server) as http:
        await http.request("POST", "/", json={"é": [1, None]}, headers={"X-Mine": "1"})

    seen = server.seen[0]
    assert json.loads(seen.body) == {"é": [1, None]}
    assert (seen.headers["content-type"], seen.headers["x-mine"]) == ("application/json", "1")
    assert seen.headers["user-agent"].startswith("asyncconn/")


async def test_bytes_go_out_as_they_are() -> None:
    async with Loopback() as server, road(server) as http:
        await http.request("POST", "/", data=b"\x00raw", headers={"Content-Type": "application/x-raw"})

    assert (server.seen[0].body, server.seen[0].headers["content-type"]) == (b"\x00raw", "application/x-raw")


async def test_an_upload_is_made_anew_for_each_attempt() -> None:
    made = 0

    def form() -> aiohttp.FormData:
        nonlocal made
        made += 1
        data = aiohttp.FormData()
        data.add_field("file", _pieces(), filename="a.csv")
        return data

    async with Loopback(Reply(429, headers={"Retry-After": "0"})) as server, road(server) as http:
        await http.request("POST", "/upload", data=form)

    assert made == 2
    assert all(b"one two" in seen.body for seen in server.seen)
    assert len(server.seen) == 2


async def _pieces() -> AsyncIterator[bytes]:
    yield b"one "
    yield b"two"


async def test_no_cookie_is_kept() -> None:
    async with Loopback(Reply(headers={"Set-Cookie": "s=1; Path=/"})) as server, road(server) as http:
        await http.request("GET", "/")
        await http.request("GET", "/")

    assert "cookie" not in server.seen[1].headers


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"path": "no-slash"}, "begins with a slash"),
        ({"path": "@elsewhere.example/"}, "begins with a slash"),
        ({"path": "/a b"}, "percent-encoded"),
        ({"path": "/a\r\nX-Evil: 1"}, "percent-encoded"),
        ({"path": "/", "headers": {"X": "a\r\nY: b"}}, "line break"),
        ({"path": "/", "json": {1, 2}}, "not JSON"),
        ({"path": "/", "json": {}, "data": b"x"}, "not both"),
        ({"path": "/", "limit": "nope"}, "no rate limit 'nope'"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_anything_is(arguments: dict[str, Any], words: str) -> None:
    async with Loopback() as server, road(server) as http:
        with pytest.raises(ConfigError, match=words):
            await http.request("POST", **arguments)

    assert server.connections == 0


@pytest.mark.parametrize(
    "url", ["ftp://host", "host", "http://", "http://u:p@host", "http://host?x=1", "http://host#x"]
)
async def test_a_base_url_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        async with road(url):
            raise AssertionError("it was taken")


# -- statuses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (405, BadRequest),
        (409, Conflict),
        (413, PayloadTooLarge),
        (422, Unprocessable),
        (429, RateLimited),
        (500, ServerError),
        (503, ServerError),
    ],
)
async def test_each_status_has_its_error(status: int, kind: type[AsyncConnError]) -> None:
    body = {"message": "so not"}
    async with Loopback(otherwise=saying(body, status, X_Request_Id="r1")) as server, road(server, retry=ONCE) as http:
        with pytest.raises(AsyncConnError) as caught:
            await http.request("GET", "/")

    error = caught.value
    assert type(error) is kind
    assert (getattr(error, "status", 0), error.message, getattr(error, "request_id", "")) == (status, "so not", "r1")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused(status: int) -> None:
    async with Loopback() as other:
        there = Reply(status, b"", {"Location": f"{other.url}/"})
        async with Loopback(there) as server, road(server) as http:
            with pytest.raises(ProtocolError, match=f"redirected .{status}.") as caught:
                await http.request("POST", "/", data=b"x")

        assert other.connections == 0
    assert not caught.value.maybe_sent


async def test_a_page_instead_of_json_is_a_protocol_error_that_says_so() -> None:
    page = Reply(200, b"<html>welcome</html>", {"Content-Type": "text/html; charset=utf-8"})
    async with Loopback(page) as server, road(server) as http:
        answer = await http.request("GET", "/v1/wrong")
        with pytest.raises(ProtocolError, match="GET /v1/wrong answered 200 with text/html instead of JSON"):
            answer.json()


# -- the network -------------------------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_refused_connection_was_not_sent() -> None:
    async with road(f"http://127.0.0.1:{_free_port()}", retry=ONCE) as http:
        with pytest.raises(ConnectFailed) as caught:
            await http.request("POST", "/", data=b"x")

    assert isinstance(caught.value, NotSent)
    assert isinstance(caught.value.__cause__, aiohttp.ClientConnectorError)


async def test_an_unknown_host_was_not_sent() -> None:
    async with road("http://nowhere.invalid", retry=ONCE) as http:
        with pytest.raises(ConnectFailed):
            await http.request("POST", "/", data=b"x")


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a socket that accepts nobody, its queue full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(8):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
            waiting.append(client)
        yield listening.getsockname()[1]
        for client in waiting:
            client.close()


async def test_no_connection_in_time_was_not_sent(full: int) -> None:
    async with road(f"http://127.0.0.1:{full}", retry=ONCE, timeouts=Timeouts(connect=0.1)) as http:
        with pytest.raises(ConnectTimeout):
            await http.request("POST", "/", data=b"x")


async def test_no_connection_within_a_total_time_below_the_connect_time_was_not_sent_either(full: int) -> None:
    async with road(f"http://127.0.0.1:{full}", retry=ONCE) as http:
        with pytest.raises(ConnectTimeout):
            await http.request("POST", "/", data=b"x", timeout=0.1)


async def test_no_answer_in_time_has_an_unknown_outcome() -> None:
    async with Loopback(Reply(after=60.0)) as server, road(server, retry=ONCE) as http:
        with pytest.raises(ReadTimeout) as caught:
            await http.request("GET", "/", timeout=0.1)

        assert len(server.seen) == 1
    assert isinstance(caught.value, MaybeSent)


async def test_an_answer_that_stops_half_way_is_timed_out() -> None:
    slow = Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    async with Loopback(slow) as server, road(server, retry=ONCE) as http:
        with pytest.raises(ReadTimeout):
            await http.request("GET", "/", timeout=0.1)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (DROP, ConnectionLost),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", close=True), ConnectionLost),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", close=True), ConnectionLost),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-", close=True), ConnectionLost),
        (Reply(raw=b"220 mail.example ESMTP\r\n\r\n", close=True), ProtocolError),
        (Reply(raw=b"\x00\x01\x02\r\n\r\n", close=True), ProtocolError),
        (Reply(200, b"not gzip", {"Content-Encoding": "gzip"}), ConnectionLost),
    ],
    ids=["dropped", "half body", "half chunks", "half head", "another protocol", "garbage", "broken gzip"],
)
async def test_a_broken_answer_has_an_unknown_outcome(reply: Reply, kind: type[AsyncConnError]) -> None:
    async with Loopback(otherwise=reply) as server, road(server, retry=ONCE) as http:
        with pytest.raises(kind) as caught:
            await http.request("POST", "/", data=b"x")

        assert len(server.seen) == 1
    assert caught.value.maybe_sent


async def test_a_tls_failure_was_not_sent() -> None:
    async with (
        Loopback() as server,
        road(server.url.replace("http", "https"), retry=ONCE, timeouts=Timeouts(connect=0.2)) as http,
    ):
        with pytest.raises(NotSent):
            await http.request("POST", "/", data=b"x")


async def test_tls_of_an_unknown_authority_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ADH-AES256-GCM-SHA384:@SECLEVEL=0")  # no certificate at all: no client will have that
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Loopback(ssl=context) as server, road(server, retry=ONCE) as http:
        with pytest.raises(ConnectFailed):
            await http.request("POST", "/", data=b"x")


# -- too much ----------------------------------------------------------------------------------------------------------

_MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"x" * _MEGABYTE),
        Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"2710\r\n" + b"x" * 10_000 + b"\r\n"),
        # A megabyte even when packed: of one that has arrived whole, the connection may well be used again.
        Reply(body=gzip.compress(b"0" * _MEGABYTE) * 1000, headers={"Content-Encoding": "gzip"}),
        Reply(404, body=b"x" * _MEGABYTE),
    ],
    ids=["with a length", "in chunks", "gzip bomb", "an error"],
)
async def test_an_answer_beyond_the_limit_is_refused_and_its_connection_closed(reply: Reply) -> None:
    async with Loopback(otherwise=reply) as server, road(server, max_answer_bytes=9_999) as http:
        with pytest.raises(ProtocolError, match="larger than max_answer_bytes"):
            await http.request("GET", "/")

        while server.open:
            await asyncio.sleep(0.01)
        assert len(server.seen) == 1


async def test_an_answer_at_the_limit_is_taken() -> None:
    packed = Reply(body=gzip.compress(b"x" * 9_999), headers={"Content-Encoding": "gzip"})
    async with Loopback(Reply(body=b"x" * 9_999), packed) as server, road(server, max_answer_bytes=9_999) as http:
        assert len((await http.request("GET", "/")).body) == 9_999
        assert len((await http.request("GET", "/")).body) == 9_999


# -- times that are none -----------------------------------------------------------------------------------------------

NO_DATES = [
    "Mon, 01 Jan 99999999999 00:00:00 GMT",
    "Mon, 01 Jan 9999 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Mon, 01 Jan 0100 00:00:00 +2359",
    "Mon, 32 Jan 2030 00:00:00 GMT",
    "Mon, 01 Jan 2030 99:99:99 GMT",
    "Mon, 01 Jan 2030 00:00:00 +99999999999999999999",
    "1" * 5000,
    "-1",
    "1e999",
    "nan",
    "\u0664",
    ",",
    "Mon,",
    ", , , , :",
]


@pytest.mark.parametrize("text", NO_DATES, ids=lambda text: text[:30])
def test_what_is_no_date_is_no_time(text: str) -> None:
    assert http_date(text) is None


@pytest.mark.parametrize("text", NO_DATES, ids=lambda text: text[:30])
def test_a_retry_after_that_is_no_time_is_none_or_a_number(text: str) -> None:
    assert retry_after({"Retry-After": text}) in (None, 4.0)
    assert retry_after({"Retry-After": "Tue, 01 Jan 2030 00:00:10 GMT", "Date": text}) is not None


@pytest.mark.parametrize("header", ["Retry-After", "Date"])
@pytest.mark.parametrize("text", NO_DATES[:3])
async def test_a_503_with_an_odd_time_is_repeated_like_any(header: str, text: str) -> None:
    async with Loopback(Reply(503, headers={header: text}), OK) as server:
        async with road(server, clock=QuickClock()) as http:
            assert (await http.request("GET", "/")).status == 200

        assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("status", "name"), [(b"404", b"X-Request-Id"), (b"404", b"x-amzn-RequestId"), (b"200", b"Content-Type")]
)
async def test_bytes_of_a_header_that_are_no_text_can_be_printed_in_an_error(status: bytes, name: bytes) -> None:
    raw = b"HTTP/1.1 " + status + b" Said\r\n" + name + b": a/\xff\r\nContent-Length: 1\r\n\r\nx"
    async with Loopback(Reply(raw=raw)) as server, road(server) as http:
        with pytest.raises(AsyncConnError) as caught:
            (await http.request("GET", "/x", retry=ONCE)).json()

    assert str(caught.value).encode()
    assert "a/\\udcff" in str(caught.value)
