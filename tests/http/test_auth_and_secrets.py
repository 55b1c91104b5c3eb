"""Who sends it: keys and tokens on the wire, and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from loopback import DROP, Loopback, QuickClock, Reply, Seen, road, saying
from pydantic import SecretStr
from secrecy import locals_of_ours

from asyncconn.core.rates.limiter import RateLimiter, Window
from asyncconn.core.retrying import ONCE, RetryPolicy
from asyncconn.errors import ApiError, AsyncConnError, ConfigError, ConnectionLost, NotSent, Unauthorized
from asyncconn.http.auth import Auth, BasicAuth, HeaderKey, NoAuth, TokenAuth
from asyncconn.http.exchange import Call
from asyncconn.http.redact import Redactor
from asyncconn.http.transport import Transport
from asyncconn.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "kéy".replace("é", "e") + "/s3cret+value=&x"


# -- on the wire -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        (HeaderKey("x-api-key", "abc"), "x-api-key", "abc"),
        (HeaderKey("Authorization", SecretStr("bare-token")), "authorization", "bare-token"),
        (BasicAuth("jörg", "pä:ss"), "authorization", "Basic " + base64.b64encode("jörg:pä:ss".encode()).decode()),
        (TokenAuth("t0ken"), "authorization", "Bearer t0ken"),
        (TokenAuth("t0ken", scheme="Jwt"), "authorization", "Jwt t0ken"),
        (TokenAuth("t0ken", scheme=""), "authorization", "t0ken"),
    ],
)
async def test_each_way_has_its_header(auth: NoAuth, header: str, value: str) -> None:
    async with Loopback() as server, road(server, auth=auth) as http:
        await http.request("GET", "/")
        async with http.stream("GET", "/"):
            pass

    assert [seen.headers[header] for seen in server.seen] == [value, value]


@pytest.mark.parametrize("value", ["", " a", "a\n", "a\r\nX: 1", "ä", "a\x00"])
@pytest.mark.parametrize("make", [lambda v: HeaderKey("x", v), TokenAuth], ids=["key", "token"])
def test_what_cannot_be_a_header_is_refused_without_being_quoted(make: Any, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(value)

    assert len(value) < 3 or value not in str(caught.value)


def test_a_colon_in_a_user_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="colon"):
        BasicAuth("a:b", "c")


# -- tokens ------------------------------------------------------------------------------------------------------------


class Provider:
    def __init__(self, *tokens: Any) -> None:
        self.tokens = list(tokens)
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        await asyncio.sleep(0.01)
        token: str = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        return token


def _only(token: str) -> Any:
    return lambda seen: Reply() if seen.headers["authorization"] == f"Bearer {token}" else Reply(401)


async def test_twenty_calls_ask_the_provider_once_and_once_more_after_a_401_to_all() -> None:
    provider = Provider("old", "new")
    async with (
        Loopback(otherwise=_only("new")) as server,
        road(server, auth=TokenAuth(provider), max_concurrency=20) as http,
    ):
        answers = await asyncio.gather(*[http.request("POST", "/", data=b"x") for _ in range(20)])

    assert provider.asked == 2
    assert len(server.seen) == 40
    assert {answer.status for answer in answers} == {200}


async def test_a_download_renews_its_token_too() -> None:
    provider = Provider("old", "new")
    async with (
        Loopback(otherwise=_only("new")) as server,
        road(server, auth=TokenAuth(provider)) as http,
        http.stream("GET", "/") as stream,
    ):
        assert stream.status == 200


async def test_a_second_401_is_final() -> None:
    provider = Provider("old", "new", "newer")
    async with Loopback(otherwise=Reply(401)) as server, road(server, auth=TokenAuth(provider)) as http:
        with pytest.raises(Unauthorized):
            await http.request("GET", "/")

    assert (provider.asked, len(server.seen)) == (2, 2)


async def test_a_provider_that_has_nothing_newer_is_asked_once_for_all_and_nothing_is_repeated() -> None:
    provider = Provider("same")
    async with (
        Loopback(otherwise=Reply(401)) as server,
        road(server, auth=TokenAuth(provider), max_concurrency=20) as http,
    ):
        errors = await asyncio.gather(*[http.request("GET", "/") for _ in range(20)], return_exceptions=True)

    assert {type(error) for error in errors} == {Unauthorized}
    assert (provider.asked, len(server.seen)) == (2, 20)


async def test_a_fixed_token_is_not_tried_twice() -> None:
    async with Loopback(otherwise=Reply(401)) as server, road(server, auth=TokenAuth("fixed")) as http:
        with pytest.raises(Unauthorized):
            await http.request("GET", "/")

    assert len(server.seen) == 1


async def test_the_caller_who_asks_the_provider_may_be_cancelled_without_harm_to_the_others() -> None:
    provider = Provider("token")
    async with Loopback() as server, road(server, auth=TokenAuth(provider)) as http:
        first = asyncio.create_task(http.request("GET", "/"))
        second = asyncio.create_task(http.request("GET", "/"))
        while not provider.asked:
            await asyncio.sleep(0)
        first.cancel()

        assert (await second).status == 200
    assert first.cancelled()


@pytest.mark.parametrize("token", ["", None, "two\nlines"])
async def test_a_provider_must_return_a_token(token: Any) -> None:
    async with Loopback() as server, road(server, auth=TokenAuth(Provider(token))) as http:
        with pytest.raises(ConfigError, match="token provider must return"):
            await http.request("GET", "/")


# -- nowhere else ------------------------------------------------------------------------------------------------------


def _everything(error: BaseException) -> str:
    """All that a log or an error tracker could show of an error and its causes."""
    shown = ["".join(traceback.format_exception(error))]
    cause: BaseException | None = error
    while cause is not None:
        shown += [str(cause), repr(cause), repr(cause.args), repr(vars(cause))]
        cause = cause.__cause__
    return "\n".join(shown)


_ECHOES: dict[str, Callable[[str], str]] = {
    "plain": lambda key: key,
    "in JSON": lambda key: '{"message": "bad key ' + key.replace("/", "\\/") + '"}',
    "in HTML": lambda key: f"<p>{key.replace('&', '&amp;')}</p>",
    "percent-encoded": lambda key: "key=" + "".join(f"%{ord(c):02X}" if not c.isalnum() else c for c in key),
    "percent-encoded in lower case": lambda key: "key=" + "".join(f"%{ord(c):02x}" if c in "/+&" else c for c in key),
    "in Base64": lambda key: base64.b64encode(key.encode()).decode(),
    "at the end of the excerpt": lambda key: "x" * (2000 - len(key) // 2) + key,
    "cut in half after many whole ones": lambda key: key * 400 + "x" * (7_990 - 400 * len(key)) + key * 20,
    "in JSON as Go writes it": lambda key: '{"body": "' + key.replace("&", "\\u0026") + '"}',
    "in JSON that shows no slash": lambda key: (
        '{"body": "' + key.replace("&", "\\u0026").replace("/", "\\u002f") + '"}'
    ),
}


@pytest.mark.parametrize("echo", _ECHOES)
@pytest.mark.parametrize("status", [400, 429, 503])
async def test_a_server_that_echoes_a_key_does_not_get_it_into_logs_or_errors(
    status: int, echo: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = Reply(status, _ECHOES[echo](KEY).encode(), {"Content-Type": "text/plain"})
    told: list[str] = []
    async with Loopback(otherwise=said) as server:
        async with road(server, auth=HeaderKey("x-api-key", KEY), clock=QuickClock()) as http:
            http.events.on("retry", lambda error: told.append(_everything(error)))
            with pytest.raises(ApiError) as caught:
                await http.request("GET", "/a/b", params={"key": KEY})

        assert server.seen[0].headers["x-api-key"] == KEY
    shown = "\n".join([caplog.text, *told, _everything(caught.value)])
    for half in (KEY, KEY[: len(KEY) // 2], KEY[len(KEY) // 2 :], "s3cret"):
        assert half not in shown
    assert base64.b64encode(KEY.encode()).decode() not in shown


@pytest.mark.parametrize(
    "reply",
    [DROP, Reply(raw=b"garbage\r\n\r\n", close=True), Reply(after=60.0), Reply(302, headers={"Location": f"/{KEY}"})],
    ids=["dropped", "garbage", "timeout", "redirect"],
)
async def test_a_broken_exchange_quotes_neither_header_nor_query_nor_body(
    reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Loopback(otherwise=reply) as server, road(server, auth=TokenAuth(KEY), retry=ONCE) as http:
        with pytest.raises(AsyncConnError) as caught:
            await http.request("POST", "/", params={"token": KEY}, data=KEY.encode(), timeout=0.2)

    assert "s3cret" not in caplog.text + _everything(caught.value)


async def test_no_repr_shows_a_secret() -> None:
    auths = [HeaderKey("x", KEY), BasicAuth("user", KEY), TokenAuth(KEY)]
    async with Loopback(saying({"echo": KEY}, X_Echo=KEY)) as server, Hub() as hub:
        http = Transport(lambda: hub.session, service="t", base_url=server.url, auth=auths[0])
        answer = await http.request("GET", "/")
        call = http._call("GET", "/", None, None, None, None, "default", 1, None)
        await http._show(call)
        assert isinstance(call, Call)
        shown = repr([auths, http, answer, call, http.redactor, auths[0].secrets(), server.seen and hub])

    assert "s3cret" not in shown


async def test_a_renewed_token_is_redacted_as_well_as_the_one_before() -> None:
    async def echo(seen: Seen) -> Reply:
        token = seen.headers["authorization"].split()[1]
        return saying({"message": f"no {token}, nor token-one, nor token-two"}, 401)

    async with (
        Loopback(otherwise=echo) as server,
        road(server, auth=TokenAuth(Provider("token-one", "token-two"))) as http,
    ):
        with pytest.raises(Unauthorized) as caught:
            await http.request("GET", "/")

    assert caught.value.message == "no ***, nor ***, nor ***"


async def test_a_key_that_shows_only_after_decoding_does_not_get_into_the_message() -> None:
    said = Reply(400, b'{"message": "bad \\u0073ecret-key"}')
    async with Loopback(said) as server, road(server, auth=HeaderKey("x", "secret-key")) as http:
        with pytest.raises(ApiError) as caught:
            await http.request("GET", "/")

    assert caught.value.message == "bad ***"


def test_a_redactor_leaves_short_words_alone() -> None:
    assert Redactor([SecretStr("abc")]).scrub("abc abc") == "abc abc"


async def test_different_secrets_have_different_limiters_and_equal_ones_share() -> None:
    async with Hub() as hub:

        def limiter(auth: Auth) -> RateLimiter:
            share, _ = hub.share("p", auth.identity() or "", "http://p.example", Window(1, 1.0), 10)
            return share.limiters["default"]

        assert limiter(HeaderKey("x", "a")) is limiter(HeaderKey("x", "a"))
        assert limiter(HeaderKey("x", "a")) is not limiter(HeaderKey("x", "b"))
        assert limiter(BasicAuth("u", "p")) is not limiter(BasicAuth("v", "p"))


# -- providers that do not answer --------------------------------------------------------------------------------------


async def test_a_provider_without_an_answer_ends_the_calls_that_wait_for_it() -> None:
    asked = 0

    async def provider() -> str:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        return "never"

    async with Loopback() as server, road(server, auth=TokenAuth(provider)) as http:
        calls = [http.request("GET", "/", timeout=0.1) for _ in range(3)]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        with pytest.raises(NotSent):
            async with http.stream("GET", "/", idle_timeout=0.1):
                pass

    assert [type(one) for one in ended] == [NotSent] * 3
    assert "no credential came within 0.1 s" in str(ended[0])
    assert (server.seen, asked > 0) == ([], True)


async def test_a_provider_without_a_newer_token_ends_a_refused_call() -> None:
    first = True

    async def provider() -> str:
        nonlocal first
        if not first:
            await asyncio.Event().wait()
        first = False
        return "old"

    async with Loopback(otherwise=Reply(401)) as server, road(server, auth=TokenAuth(provider)) as http:
        with pytest.raises(NotSent, match="no credential"):
            await http.request("POST", "/", timeout=0.2)

    assert len(server.seen) == 1


@pytest.mark.parametrize("earlier", [DROP, Reply(503)], ids=["dropped", "503"])
async def test_without_a_newer_token_the_doubt_of_an_earlier_attempt_stays(earlier: Reply) -> None:
    tokens = iter(["old"])

    async def provider() -> str:
        for token in tokens:
            return token
        await asyncio.Event().wait()
        return "never"

    policy = RetryPolicy(maybe_sent="always", initial=0.01)
    async with Loopback(earlier, Reply(401)) as server, road(server, auth=TokenAuth(provider), retry=policy) as http:
        with pytest.raises(ConnectionLost, match="no credential") as caught:
            await http.request("POST", "/", timeout=0.3)

    assert caught.value.maybe_sent
    assert len(server.seen) == 2


# -- credentials that are none -----------------------------------------------------------------------------------------


class Odd(NoAuth):
    """A user's, whose headers are not right: the first, or those after a 401."""

    def __init__(self, *given: Any) -> None:
        self._given = list(given)

    async def headers(self) -> Any:
        return self._given.pop(0)

    async def renew(self, refused: Any) -> bool:
        return True


@pytest.mark.parametrize("wrong", [None, [("X", KEY)], {"X": None}, {"X": KEY.encode()}, {"X": f"{KEY}\n"}, {1: KEY}])
@pytest.mark.parametrize("good", [[], [{"X": "fine"}]], ids=["first", "renewed"])
async def test_what_cannot_be_headers_is_refused_and_never_sent_as_its_repr(wrong: Any, good: list[Any]) -> None:
    async with (
        Loopback(otherwise=Reply(401)) as server,
        road(server, auth=Odd(*good, wrong), retry=ONCE) as http,
    ):
        with pytest.raises(ConfigError) as caught:
            await http.request("POST", "/")

    assert len(server.seen) == len(good)
    shown = [str(caught.value), *locals_of_ours(caught.value)]
    assert not [text for text in shown if KEY in text]
