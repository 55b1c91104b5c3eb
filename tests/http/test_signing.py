"""Credentials that sign each attempt, tokens that expire, and OAuth2's client credentials."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import pytest
from loopback import DROP, Loopback, QuickClock, Reply, Seen, road, saying

from asyncconn import Auth, Connector, Hub, OAuth2, Outgoing, Platform, Secret, Token, TokenAuth
from asyncconn.core.retrying import ONCE, RetryPolicy
from asyncconn.errors import AsyncConnError, ConfigError, NotSent, ProtocolError, Unauthorized, outcome_unknown

QUICK = RetryPolicy(attempts=3, initial=0.01, maximum=0.02)


class Signed(Auth):
    """A nonce, and a digest over it and the body."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes | None]] = []
        self._numbers = count()

    async def sign(self, request: Outgoing) -> None:
        self.seen.append((request.method, str(request.url.path), request.body))
        nonce = str(next(self._numbers))
        request.headers["X-Nonce"] = nonce
        request.query["sig"] = hashlib.sha256(nonce.encode() + (request.body or b"")).hexdigest()

    def secrets(self) -> list[Secret]:
        return [Secret("s3cret-key")]


async def test_each_attempt_is_signed_anew_with_its_body() -> None:
    auth = Signed()
    async with Loopback(Reply(503), DROP, Reply()) as server, road(server, auth=auth, retry=QUICK) as http:
        await http.request("PUT", "/notes", json={"a": 1}, params={"day": "2026-01-01"})

    assert [seen.headers["x-nonce"] for seen in server.seen] == ["0", "1", "2"]
    assert auth.seen == [("PUT", "/notes", b'{"a":1}')] * 3
    last = parse_qs(server.seen[-1].query)
    assert last == {"day": ["2026-01-01"], "sig": [hashlib.sha256(b"2" + b'{"a":1}').hexdigest()]}


async def test_a_streamed_body_cannot_be_known_yet() -> None:
    async def pieces() -> Any:
        yield b"one"

    auth = Signed()
    async with Loopback() as server, road(server, auth=auth, retry=ONCE) as http:
        await http.request("POST", "/", data=pieces)
        await http.request("GET", "/")
    assert [body for _, _, body in auth.seen] == [None, b""]
    assert server.seen[0].body == b"one"


async def test_a_signature_that_cannot_be_made_is_an_error_before_anything_is_sent() -> None:
    class Broken(Auth):
        async def sign(self, request: Outgoing) -> None:
            raise KeyError("s3cret-key")

        def secrets(self) -> list[Secret]:
            return [Secret("s3cret-key")]

    async with Loopback() as server, road(server, auth=Broken(), retry=ONCE) as http:
        with pytest.raises(ConfigError, match="could not sign") as caught:
            await http.request("GET", "/")
    assert server.seen == []
    assert "s3cret-key" not in str(caught.value)


async def test_a_signature_has_a_deadline() -> None:
    class Slow(Auth):
        async def sign(self, request: Outgoing) -> None:
            await asyncio.sleep(3600)

    async with Loopback() as server, road(server, auth=Slow(), retry=ONCE) as http:
        with pytest.raises(NotSent, match="no credential came"):
            await http.request("GET", "/", timeout=0.05)
    assert server.seen == []


# -- tokens that expire ------------------------------------------------------------------------------------------------


async def test_a_token_is_renewed_before_it_expires() -> None:
    numbers, clock = count(1), QuickClock()

    async def provider() -> Token:
        return Token(f"token-{next(numbers)}", expires_in=100.0)

    async with Loopback() as server, road(server, auth=TokenAuth(provider), clock=clock) as http:
        await http.request("GET", "/")
        await clock.sleep(60.0)
        await http.request("GET", "/")
        await clock.sleep(11.0)  # within the 30 seconds before its end
        await asyncio.gather(*[http.request("GET", "/") for _ in range(5)])

    assert [seen.headers["authorization"][-1] for seen in server.seen] == ["1", "1"] + ["2"] * 5


@pytest.mark.parametrize("given", [Token(""), Token(7), Token("spaced out "), 7, None])  # type: ignore[arg-type] # as a provider may
async def test_a_provider_that_returns_no_token_is_told_so_without_its_value(given: Any) -> None:
    async def provider() -> Any:
        return given

    async with Loopback() as server, road(server, auth=TokenAuth(provider), retry=ONCE) as http:
        with pytest.raises(ConfigError, match="token provider"):
            await http.request("GET", "/")
    assert server.seen == []


# -- OAuth2 ------------------------------------------------------------------------------------------------------------


class Acme(Connector):
    platform = Platform("acme", retry=ONCE)


class TokenServer:
    """Gives tokens by client credentials, and takes none but the last."""

    def __init__(self, **more: Any) -> None:
        self.asked: list[Seen] = []
        self.more = more

    def __call__(self, seen: Seen) -> Reply:
        if seen.path == "/token":
            self.asked.append(seen)
            return saying({"access_token": f"token-{len(self.asked)}", "token_type": "Bearer", **self.more})
        good = seen.headers.get("authorization") == f"Bearer token-{len(self.asked)}"
        return Reply(200 if good else 401)


async def test_a_client_gets_its_token_once_for_all_calls_that_wait() -> None:
    there = TokenServer(expires_in=3600)
    async with Loopback(otherwise=there) as server, Hub() as hub:
        auth = OAuth2(f"{server.url}/token", "client 1", "s3cret:x", scope="read")
        acme = Acme(hub=hub, base_url=server.url, auth=auth)
        await asyncio.gather(*[acme.http.request("GET", "/") for _ in range(5)])

    [asked] = there.asked
    assert parse_qs(asked.body.decode()) == {"grant_type": ["client_credentials"], "scope": ["read"]}
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"client+1:s3cret%3Ax").decode()


async def test_it_may_show_itself_in_the_form() -> None:
    there = TokenServer()
    async with Loopback(otherwise=there) as server, Hub() as hub:
        auth = OAuth2(f"{server.url}/token", "client-1", "s3cret", style="form")
        await Acme(hub=hub, base_url=server.url, auth=auth).http.request("GET", "/")

    assert parse_qs(there.asked[0].body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["client-1"],
        "client_secret": ["s3cret"],
    }
    assert "authorization" not in there.asked[0].headers


async def test_after_a_401_it_gets_another_and_clients_with_one_share_an_account() -> None:
    there = TokenServer(expires_in="3600")
    async with Loopback(otherwise=there) as server, Hub() as hub:
        auth, same = (OAuth2(f"{server.url}/token", "client-1", "s3cret") for _ in range(2))
        acme = Acme(hub=hub, base_url=server.url, auth=auth)
        await acme.http.request("GET", "/")
        there.asked.append(there.asked[0])  # another process has taken a newer one
        await acme.http.request("POST", "/notes", json={})

    assert auth.identity() == same.identity()
    assert len(there.asked) == 3


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (saying({"error": "invalid_client", "error_description": "s3cret"}, 401), Unauthorized, "invalid_client"),
        (saying({"token": "s3cret"}), ProtocolError, "no access_token"),
        (Reply(body=b"<html>s3cret</html>", headers={"Content-Type": "text/html"}), ProtocolError, "JSON object"),
    ],
)
async def test_what_the_endpoint_refuses_is_the_calls_error_and_quotes_nothing(
    reply: Reply, kind: type[Exception], words: str
) -> None:
    async with Loopback(otherwise=reply) as server, Hub() as hub:
        acme = Acme(hub=hub, base_url=server.url, auth=OAuth2(f"{server.url}/token", "client-1", "s3cret"))
        with pytest.raises(kind, match=words) as caught:
            await acme.http.request("GET", "/")

    assert "s3cret" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"


@pytest.mark.parametrize("renewing", [False, True], ids=["first", "after a 401"])
@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(500), NotSent, "no credential came: the token endpoint at 127.0.0.1 answered 500"),
        (DROP, NotSent, "no credential came: .* closed without an answer"),
        (Reply(body=b"<html>", headers={"Content-Type": "text/html"}), ProtocolError, "nothing was sent; check"),
    ],
    ids=["fails", "breaks off", "is elsewhere"],
)
async def test_what_became_of_the_request_for_a_token_is_no_doubt_about_the_call(
    reply: Reply, kind: type[AsyncConnError], words: str, renewing: bool
) -> None:
    there, failing = TokenServer(), not renewing

    def answer(seen: Seen) -> Reply:
        return reply if failing and seen.path == "/token" else there(seen)

    async with Loopback(otherwise=answer) as server, Hub(clock=QuickClock()) as hub:
        acme = Acme(hub=hub, base_url=server.url, auth=OAuth2(f"{server.url}/token", "client-1", "s3cret"))
        if renewing:
            await acme.http.request("GET", "/")
            there.asked.append(there.asked[0])  # another process has taken a newer one
            failing = True
        with pytest.raises(kind, match=words) as caught:
            await acme.http.request("POST", "/notes", json={})

    assert not caught.value.maybe_sent
    assert not outcome_unknown(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        ("http://x", "", "s3cret"), ("http://x", "id", ""), ("http://x", "id", "s3cret", "jwt"),
        ("nourl", "id", "s3cret"), ("//s3cret@host/token", "id", "s3cret"), (None, "id", "s3cret"),
    ],
)  # fmt: skip
def test_a_client_that_cannot_be_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        OAuth2(*given[:3], **({"style": given[3]} if len(given) > 3 else {}))
    assert "s3cret" not in str(caught.value)


def test_a_secret_does_not_print() -> None:
    secret = Secret("s3cret")

    assert "s3cret" not in f"{secret} {secret!r} {[secret]} {Token(secret)!r}"
    assert secret == Secret("s3cret") != Secret("other")
    assert len({secret, Secret("s3cret")}) == 1


async def test_a_client_shared_by_many_hubs_keeps_none_that_is_closed() -> None:
    auth = OAuth2("http://127.0.0.1:1/token", "client-1", "s3cret")
    for _ in range(5):
        async with Hub() as hub:
            Acme(hub=hub, base_url="http://127.0.0.1:1", auth=auth)

    assert len(auth._sessions) == 1
