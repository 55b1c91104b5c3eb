"""The way out, one for both senders: proxies, authorities, client certificates; and none of their secrets told."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from certificates import Authority
from loopback import Loopback, Reply, saying
from proxy import Proxy
from pydantic import SecretStr
from secrecy import locals_of_ours
from senders import HASTY, both, sending
from yarl import URL

from asyncconn.core.retrying import ONCE
from asyncconn.core.secret import Secret
from asyncconn.errors import AsyncConnError, ConfigError, ConnectFailed, ConnectTimeout, NotSent
from asyncconn.http.session import Network, ProxyRule
from asyncconn.http.transport import Transport
from asyncconn.hub import Hub
from asyncconn.settings import HubSettings

if TYPE_CHECKING:
    from pathlib import Path

MESSAGE = saying({"MessageId": "1"})


@pytest.fixture(autouse=True)
def no_proxy_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "ASYNCCONN_PROXY", "ASYNCCONN_NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# -- proxies -----------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("told", ["hub", "settings", "environment"])
async def test_all_traffic_goes_through_the_proxy(sender: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Loopback(otherwise=MESSAGE) as server, Proxy() as proxy:
        if told == "environment":
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
        if told == "settings":
            monkeypatch.setenv("ASYNCCONN_PROXY", proxy.url)
        async with Hub(proxy=proxy.url if told == "hub" else None) as hub, sending(hub, server.url, sender) as send:
            await send()

    assert len(proxy.asked) == len(server.seen) == 1
    assert proxy.asked[0].startswith(f"POST {server.url}/")


@both
async def test_https_goes_through_a_tunnel(sender: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with (
        Loopback(otherwise=MESSAGE, ssl=authority.server()) as server,
        Proxy() as proxy,
        Hub(proxy=proxy.url, ca_file=authority.ca) as hub,
        sending(hub, server.url, sender) as send,
    ):
        await send()
        await send()

    assert proxy.asked == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]
    assert [seen.connection for seen in server.seen] == [1, 1]


@both
@pytest.mark.parametrize("how", ["no_proxy", "empty", "setting"])
async def test_what_is_excepted_goes_directly(sender: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Loopback(otherwise=MESSAGE) as server, Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        if how == "no_proxy":
            monkeypatch.setenv("NO_PROXY", "example.com, 127.0.0.1")
        if how == "setting":
            monkeypatch.setenv("ASYNCCONN_NO_PROXY", "127.0.0.1")
        async with Hub(proxy="" if how == "empty" else None) as hub, sending(hub, server.url, sender) as send:
            await send()

    assert (proxy.asked, len(server.seen)) == ([], 1)


@both
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_the_proxy_gets_its_credential_and_nobody_else_does(sender: str, tls: bool, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with Loopback(otherwise=MESSAGE, ssl=authority.server() if tls else None) as server, Proxy() as proxy:
        url = proxy.url.replace("//", "//me:p%40ss-w0rd@")
        async with Hub(proxy=url, ca_file=authority.ca) as hub, sending(hub, server.url, sender) as send:
            await send()

    assert proxy.shown == [f"Basic {base64.b64encode(b'me:p@ss-w0rd').decode()}"]
    if tls:
        assert "proxy-authorization" not in server.seen[0].headers


REFUSALS = [  # what the proxy says to CONNECT, and whether that is its last word
    (b"HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n", True),
    (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", True),
    (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", False),
]


@both
@pytest.mark.parametrize(("says", "permanent"), REFUSALS)
async def test_a_tunnel_that_is_refused_was_not_sent(sender: str, says: bytes, permanent: bool) -> None:
    async with (
        Proxy(says) as proxy,
        Hub(proxy=proxy.url.replace("//", "//me:pssst-secret@")) as hub,
        sending(hub, "https://queue.example", sender) as send,
    ):
        with pytest.raises(ConnectFailed, match="proxy") as caught:
            await send()

    assert caught.value.permanent is permanent
    assert "pssst" not in _all_that_is_told(caught.value)


@both
async def test_a_proxy_that_wants_another_credential_for_http_did_not_send_it(sender: str) -> None:
    says = b"HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n"
    async with Proxy(says) as proxy, Hub(proxy=proxy.url) as hub, sending(hub, "http://queue.example", sender) as send:
        with pytest.raises(ConnectFailed, match="407") as caught:
            await send()

    assert (caught.value.permanent, caught.value.maybe_sent) == (True, False)


@both
async def test_a_proxy_that_does_not_answer_a_connect_is_no_read_timeout(sender: str) -> None:
    async with (
        Proxy(silent=True) as proxy,
        Hub(proxy=proxy.url) as hub,
        sending(hub, "https://queue.example", sender, HASTY) as send,
    ):
        with pytest.raises(ConnectTimeout):
            await send()


@both
async def test_a_proxy_that_is_away_is_named_without_its_credential(
    sender: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Hub(proxy="http://me:pssst-secret@127.0.0.1:1") as hub:
        async with sending(hub, "https://queue.example", sender) as send:
            with pytest.raises(ConnectFailed, match=r"the proxy 127\.0\.0\.1:1: refused") as caught:
                await send()
        told = f"{hub!r} {hub.settings!r} {vars(hub)}"

    assert "pssst" not in _all_that_is_told(caught.value) + caplog.text + told


def _all_that_is_told(error: BaseException | None) -> str:
    told = ""
    while error is not None:
        told += f"{error} {error!r} {error.args} {vars(error)}"
        error = error.__cause__ or error.__context__
    return told


@pytest.mark.parametrize(
    "url",
    [
        "socks5://me:pssst-secret@host:1080",
        "http://",
        "http://me:pssst-secret@host/path",
        "http://host:pssst",
        "http://me:pssst-secret@ho st:80",
        "  ",
    ],
)
def test_what_is_no_proxy_is_refused_at_once_and_not_quoted(url: str) -> None:
    for options in ({"proxy": url}, {"settings": HubSettings(proxy=SecretStr(url))}):
        with pytest.raises(ConfigError, match="the proxy must be") as caught:
            Hub(**options)
        assert "pssst" not in _all_that_is_told(caught.value)
        assert not [text for text in locals_of_ours(caught.value) if "pssst" in text]


@pytest.mark.parametrize("how", ["http", "https", "of the environment"])
async def test_the_credential_of_a_proxy_is_no_local_of_a_traceback(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Loopback(otherwise=Reply(407)) as proxy:
        url: str | None = f"http://me:pssst-secret@127.0.0.1:{proxy.port}"
        if how == "of the environment":
            monkeypatch.setenv("HTTP_PROXY", str(url))
            url = None
        async with Hub(proxy=url) as hub:
            scheme = "https" if how == "https" else "http"
            http = Transport(lambda: hub.session, service="test", base_url=f"{scheme}://some.example", retry=ONCE)
            with pytest.raises(NotSent, match="407") as caught:
                await http.request("POST", "/")

    encoded = base64.b64encode(b"me:pssst-secret").decode()
    assert proxy.seen[0].headers["proxy-authorization"] == f"Basic {encoded}"
    shown = [_all_that_is_told(caught.value), *locals_of_ours(caught.value)]
    assert not [text for text in shown if "pssst" in text or encoded in text]


@pytest.mark.parametrize("name", ["proxy", "ca_file", "client_cert"])
def test_what_is_no_text_or_path_is_refused(name: str) -> None:
    wrong: list[Any] = [5, b"x"] if name == "proxy" else [5, b"x", "a\0b"]
    for value in wrong:
        with pytest.raises(ConfigError):
            Hub(**{name: value})


async def test_a_proxy_of_the_environment_that_is_none_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:pssst-secret@host:1080")
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        await Hub().open()

    assert "pssst" not in _all_that_is_told(caught.value)


@pytest.mark.parametrize(
    ("excepted", "url", "direct"),
    [
        ("example.com", "http://example.com", True),
        (".example.com", "http://api.example.com", True),
        ("*.example.com", "http://api.example.com", True),
        ("EXAMPLE.com", "http://api.Example.com./x", True),
        ("example.com", "http://badexample.com", False),
        ("example.com:8080", "http://example.com:8080", True),
        ("example.com:8080", "http://example.com", False),
        ("10.0.0.0/8", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.0.0.0/8", "http://ten.example", False),
        ("::1", "http://[::1]:80", True),
        ("*", "https://example.com", True),
        ("", "https://example.com", False),
    ],
)
def test_exceptions_are_names_with_all_below_them_addresses_and_networks(excepted: str, url: str, direct: bool) -> None:
    rule = ProxyRule.of(Network(proxy=Secret("http://proxy:3128"), no_proxy=f"other.example,{excepted}"))

    assert (rule.proxy(URL(url)) is None) is direct


# -- whom to trust, and how to show oneself ----------------------------------------------------------------------------


@both
async def test_an_authority_of_ones_own_is_trusted_when_it_is_named(sender: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with Loopback(otherwise=MESSAGE, ssl=authority.server()) as server:
        async with Hub() as hub, sending(hub, server.url, sender) as send:
            with pytest.raises(ConnectFailed, match="certificate is not trusted") as caught:
                await send()
        async with Hub(ca_file=authority.ca) as hub, sending(hub, server.url, sender) as send:
            await send()

    assert caught.value.permanent
    assert "ca_file" in str(caught.value)
    assert len(server.seen) == 1


@both
async def test_a_certificate_of_the_client_is_shown_to_who_asks(
    sender: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("ASYNCCONN_CA_FILE", str(authority.ca))
    async with Loopback(otherwise=MESSAGE, ssl=authority.server(asks=True)) as server:
        async with Hub() as hub, sending(hub, server.url, sender) as send:
            with pytest.raises(AsyncConnError):
                await send()
        async with Hub(client_cert=authority.signed("me")) as hub, sending(hub, server.url, sender) as send:
            await send()
        monkeypatch.setenv("ASYNCCONN_CLIENT_CERT", f"{authority.signed('you')}, {tmp_path / 'you.pem'}")
        async with Hub() as hub, sending(hub, server.url, sender) as send:
            await send()

    assert len(server.seen) == 2


async def test_files_that_cannot_be_used_are_named_and_no_password_is_asked_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "empty.pem").write_text("nothing\n")
    cases: list[tuple[str, dict[str, Any]]] = [
        ("none.pem", {"ca_file": tmp_path / "none.pem"}),
        ("empty.pem", {"ca_file": tmp_path / "empty.pem"}),
        ("none.pem", {"client_cert": (tmp_path / "none.pem", tmp_path / "none.pem")}),
        ("locked.pem", {"client_cert": authority.signed("locked", password=b"pssst")}),
    ]
    for name, options in cases:
        hub = Hub(**options)
        with pytest.raises(ConfigError, match=name):
            await hub.open()
        await hub.aclose()


async def test_a_session_that_is_lent_has_its_own_of_all_that() -> None:
    async with aiohttp.ClientSession() as session:
        more: list[dict[str, Any]] = [{"proxy": "http://p:1"}, {"ca_file": "x"}, {"client_cert": "x"}]
        for options in more:
            with pytest.raises(ConfigError, match="the one given"):
                Hub(session=session, **options)


@both
async def test_the_proxy_of_a_session_that_is_lent_is_for_both_senders(sender: str) -> None:
    async with (
        Loopback(otherwise=MESSAGE) as server,
        Proxy() as proxy,
        aiohttp.ClientSession(proxy=proxy.url) as session,
        Hub(session=session) as hub,
        sending(hub, server.url, sender) as send,
    ):
        await send()

    assert len(proxy.asked) == 1
