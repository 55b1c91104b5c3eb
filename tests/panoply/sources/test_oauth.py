"""``validate_token``: a call that fails is made once more with a new token, which is kept and announced."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from loopback import DROP, Loopback, Reply, saying

from asyncconn import Hub
from asyncconn.errors import BadRequest, ConfigError, ProtocolError, ServerError, TransportError, Unauthorized
from asyncconn.http import token_endpoint
from asyncconn.http.transport import Timeouts
from asyncconn.panoply import DataSource, TokenCallbackException, TokenValidationException, validate_token
from asyncconn.panoply.sources import oauth
from asyncconn.panoply.sources.driver import SourceDriver

from .token_scene import CLIENT_SECRET, OLD, OLD_REFRESH, REFRESH, Refused, Scene, form, granting


async def test_a_call_that_fails_is_made_once_more_with_the_new_token(scene: Scene) -> None:
    async with Loopback(otherwise=granting()) as server:
        source = scene.source(f"{server.url}/oauth/token?tenant=7")

        assert await source.request("form", times=2) == [{"what": "form"}] * 2
    assert scene.calls == [OLD, "new-access-1"]
    assert (server.seen[0].method, server.seen[0].target) == ("POST", "/oauth/token?tenant=7")
    assert form(server.seen[0]) == [*REFRESH.items(), ("refresh_token", OLD_REFRESH)]
    assert source.source == {"type": "demo", "access_token": "new-access-1", "refresh_token": OLD_REFRESH}
    assert scene.changes == [{"access_token": "new-access-1"}]
    assert scene.logs == [("Revalidating the access token...",), ("The access token was renewed",)]


async def test_a_call_that_succeeds_renews_nothing(scene: Scene) -> None:
    scene.valid = OLD
    async with Loopback(otherwise=granting()) as server:
        await scene.source(server.url).request("form")

    assert server.seen == []


async def test_the_form_fields_keep_their_order_and_none_is_left_out(scene: Scene) -> None:
    fields = {"z": "1", "scope": ["a", "b c"], "nothing": None, "a": 2, "code": b"\xc3\xa9"}
    params = {"access_token": OLD}
    async with Loopback(otherwise=granting()) as server:
        await scene.source(server.url, params=params, options={"refresh": fields}).request("form")

    assert form(server.seen[0]) == [("z", "1"), ("scope", "a"), ("scope", "b c"), ("a", "2"), ("code", "é")]
    assert params == {"access_token": "new-access-1"}


async def test_a_rotated_refresh_token_is_kept_announced_and_used_next(scene: Scene) -> None:
    async with Loopback(otherwise=granting(refresh_token="rotated-0002")) as server:
        source = scene.source(server.url)
        await source.request("form")
        scene.valid = "new-access-2"
        await source.request("form")

    assert source.source["refresh_token"] == "rotated-0002"
    assert scene.changes == [
        {"access_token": "new-access-1", "refresh_token": "rotated-0002"},
        {"access_token": "new-access-2"},
    ]
    assert dict(form(server.seen[1]))["refresh_token"] == "rotated-0002"


async def test_both_tokens_may_have_other_names(scene: Scene) -> None:
    params = {"access_token": OLD, "key": "k", "rkey": "r"}
    async with Loopback(otherwise=saying({"key": "k2", "rkey": "r2"})) as server:
        source = scene.source(server.url, params=params, access_key="key", refresh_key="rkey")
        with pytest.raises(Refused):
            await source.request("form")

    assert params == {"access_token": OLD, "key": "k2", "rkey": "r2"}
    assert dict(form(server.seen[0]))["rkey"] == "r"


async def test_the_old_token_stays_until_the_new_one_is_there(scene: Scene) -> None:
    during: list[Any] = []

    async def look() -> None:
        during.append(source.source["access_token"])

    reply = Reply(body=b'{"access_token": "new-access-1"}', wait=look)
    async with Loopback(reply) as server:
        source = scene.source(server.url)
        await source.request("form")

    assert during == [OLD]


async def test_the_error_of_the_second_call_comes_through_as_it_is(scene: Scene) -> None:
    scene.valid = "never"
    async with Loopback(otherwise=granting()) as server:
        with pytest.raises(Refused, match="not with call 2") as caught:
            await scene.source(server.url).request("form")

    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert len(server.seen) == 1


async def test_by_default_every_exception_leads_to_a_renewal_but_no_cancellation_does(scene: Scene) -> None:
    class Stream(DataSource):
        async def read(self, n: int | None = None) -> Any: ...

        async def fail(self, error: BaseException) -> None:
            raise error

    async with Loopback(otherwise=granting()) as server:
        by_default = validate_token(server.url)(Stream.fail)
        every = validate_token(server.url, BaseException)(Stream.fail)
        source = Stream({"access_token": OLD}, {"refresh": {}})
        with pytest.raises(KeyError):
            await by_default(source, KeyError("x"))
        renewals = len(server.seen)
        for decorated in (by_default, every):
            with pytest.raises(asyncio.CancelledError):
                await decorated(source, asyncio.CancelledError())

    assert (renewals, len(server.seen)) == (1, 1)


async def test_other_exceptions_than_the_named_ones_and_those_of_an_empty_tuple_pass(scene: Scene) -> None:
    async with Loopback(otherwise=granting()) as server:
        for exceptions in (ValueError, (), (KeyError, ValueError)):
            with pytest.raises(Refused):
                await scene.source(server.url, exceptions=exceptions).request("form")

    assert server.seen == []


def test_a_decorated_method_keeps_its_name_its_documentation_and_its_kind(scene: Scene) -> None:
    kind = type(scene.source("http://127.0.0.1:1"))

    assert (kind.request.__name__, kind.request.__doc__) == ("request", "Ask the API.")
    assert (kind.fetch.__name__, kind.fetch.__doc__) == ("fetch", "Ask the API, and wait.")
    assert inspect.iscoroutinefunction(kind.request)
    assert not inspect.iscoroutinefunction(kind.fetch)


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replies", "requests", "cause", "retryable"),
    [
        ([Reply(400)], 1, BadRequest, False),
        ([Reply(401)], 1, Unauthorized, False),
        ([Reply(302)], 1, ProtocolError, False),
        ([Reply(503)] * 3, 3, ServerError, True),
        ([DROP] * 3, 3, TransportError, True),
        ([Reply(body=b"<html>welcome</html>")], 1, ProtocolError, False),
        ([Reply(body=b"[1]")], 1, ProtocolError, False),
        ([saying({"token": "x"})], 1, ProtocolError, False),
        ([saying({"access_token": ""})], 1, ProtocolError, False),
        ([saying({"access_token": 7})], 1, ProtocolError, False),
        ([saying({"access_token": None})], 1, ProtocolError, False),
    ],
    ids=["400", "401", "302", "503", "drop", "html", "list", "no key", "empty", "number", "null"],
)
async def test_without_a_new_token_the_old_ones_stay_and_the_error_says_whether_to_try_again(
    scene: Scene, replies: list[Reply], requests: int, cause: type[Exception], retryable: bool
) -> None:
    async with Loopback(*replies, otherwise=granting()) as server:
        source = scene.source(server.url, callback="keep")
        with pytest.raises(TokenValidationException, match=r"^access token could not be refreshed \(.+\)$") as caught:
            await source.request("x")

    assert isinstance(caught.value.__cause__, cause)
    assert caught.value.original_error is caught.value.__cause__
    assert caught.value.retryable is retryable
    assert len(server.seen) == requests
    assert (source.source["access_token"], source.source["refresh_token"]) == (OLD, OLD_REFRESH)
    assert (scene.changes, source.told, len(scene.calls)) == ([], [], 1)
    assert len(scene.logs) == 2
    assert ("re-authenticate" in scene.logs[1][0]) is not retryable


async def test_what_may_pass_by_itself_is_tried_again(scene: Scene) -> None:
    async with Loopback(Reply(503), DROP, otherwise=granting()) as server:
        assert await scene.source(server.url).request("x")
    assert len(server.seen) == 3


async def test_a_refusal_for_too_many_calls_is_no_refusal_of_the_user(scene: Scene) -> None:
    async with Loopback(Reply(429), otherwise=granting()) as server:
        assert await scene.source(server.url).request("x")
    assert len(server.seen) == 2


async def test_an_endpoint_that_cannot_be_reached_is_worth_another_try(scene: Scene) -> None:
    async with Loopback() as server:
        url = server.url
    with pytest.raises(TokenValidationException) as caught:
        await scene.source(url).request("x")

    assert caught.value.retryable


async def test_an_endpoint_that_hangs_is_given_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_endpoint, "TIMEOUTS", Timeouts(total=0.1))
    never = asyncio.Event()
    async with Loopback(otherwise=Reply(wait=never.wait)) as server:
        with pytest.raises(TokenValidationException) as caught:
            await scene.source(server.url).request("x")

    assert caught.value.retryable
    assert len(server.seen) == 3


async def test_a_renewal_as_a_whole_has_a_deadline(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "_DEADLINE", 0.2)
    never = asyncio.Event()
    async with Loopback(otherwise=Reply(wait=never.wait)) as server:
        with pytest.raises(TokenValidationException) as caught:
            await scene.source(server.url).request("x")

    assert isinstance(caught.value.__cause__, TimeoutError)
    assert caught.value.retryable


@pytest.mark.parametrize("options", [{}, {"refresh": None}, {"refresh": "a=b"}], ids=["missing", "null", "text"])
async def test_without_form_fields_nothing_is_sent_and_the_error_names_them(
    scene: Scene, options: dict[str, Any]
) -> None:
    async with Loopback(otherwise=granting()) as server:
        with pytest.raises(TokenValidationException, match=r'options\["refresh"\]') as caught:
            await scene.source(server.url, options=options).request("x")

    assert isinstance(caught.value.__cause__, ConfigError)
    assert not caught.value.retryable
    assert server.seen == []


@pytest.mark.parametrize("url", ["", "oauth.example/token", "ftp://oauth.example", None, 7, "http://[::1"])
async def test_a_refresh_url_that_is_none_is_an_error_when_it_is_needed(scene: Scene, url: Any) -> None:
    with pytest.raises(TokenValidationException, match="the URL of a token endpoint must be"):
        await scene.source(url).request("x")


@pytest.mark.parametrize("exceptions", ["HttpError", [KeyError], (KeyError, "x"), KeyError("x"), None])
def test_exceptions_that_are_none_are_refused_at_decoration(exceptions: Any) -> None:
    with pytest.raises(ConfigError, match="exceptions must be"):
        validate_token("http://127.0.0.1:1", exceptions)


def test_a_callback_that_is_none_is_refused_at_decoration() -> None:
    bad: Any = 7
    with pytest.raises(ConfigError, match="callback must be"):
        validate_token("http://127.0.0.1:1", Refused, bad)


async def test_a_verdict_on_the_token_is_not_answered_with_another_renewal(scene: Scene) -> None:
    async with Loopback(otherwise=Reply(400)) as server:
        source = scene.source(server.url)
        outer = validate_token(server.url)(type(source).request)
        with pytest.raises(TokenValidationException):
            await outer(source, "x")

    assert len(server.seen) == 1


# -- the callback ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["keep", "keep_later"])
async def test_a_method_is_told_the_new_token_before_the_second_call(scene: Scene, name: str) -> None:
    async with Loopback(otherwise=granting()) as server:
        source = scene.source(server.url, callback=name)
        await source.request("x")

    assert source.told == ["new-access-1"]


async def test_a_function_plain_or_async_is_told_the_new_token_alone(scene: Scene) -> None:
    told: list[tuple[Any, ...]] = []

    async def later(*args: Any) -> None:
        await asyncio.sleep(0)
        told.append(args)

    async with Loopback(otherwise=saying({"access_token": "new-access-1"})) as server:
        await scene.source(server.url, callback=lambda *args: told.append(args)).request("x")
        await scene.source(server.url, callback=later).request("x")

    assert told == [("new-access-1",)] * 2


@pytest.mark.parametrize("later", [False, True], ids=["plain", "async"])
async def test_an_error_of_the_callback_is_its_own_and_the_token_is_kept(scene: Scene, later: bool) -> None:
    failure = KeyError("no client yet")

    def fail(token: str) -> None:
        raise failure

    async def fail_later(token: str) -> None:
        raise failure

    async with Loopback(otherwise=granting()) as server:
        source = scene.source(server.url, callback=fail_later if later else fail)
        errors = await asyncio.gather(*[source.request("x") for _ in range(3)], return_exceptions=True)

        assert await source.request("x")
    for error in errors:
        assert isinstance(error, TokenCallbackException)
        assert error.__cause__ is error.original_error is failure
        assert "no client yet" in str(error)
    assert len(server.seen) == 1
    assert source.source["access_token"] == "new-access-1"
    assert scene.changes == [{"access_token": "new-access-1"}]


@pytest.mark.parametrize("name", ["missing", "source"])
async def test_a_callback_that_is_no_method_is_found_before_anything_is_sent(scene: Scene, name: str) -> None:
    async with Loopback(otherwise=granting()) as server:
        with pytest.raises(TokenValidationException, match=f"Stream has no method {name}"):
            await scene.source(server.url, callback=name).request("x")

    assert server.seen == []


async def test_a_callback_may_call_the_method_and_its_failure_is_not_repeated(scene: Scene) -> None:
    scene.valid = "never"

    async def check(token: str) -> None:
        await source.request("me")

    async with Loopback(otherwise=granting()) as server:
        source = scene.source(server.url, callback=check)
        with pytest.raises(TokenCallbackException) as caught:
            await source.request("x")

    assert isinstance(caught.value.__cause__, Refused)
    assert scene.calls == [OLD, "new-access-1"]
    assert len(server.seen) == 1


# -- the session -------------------------------------------------------------------------------------------------------


async def test_a_driven_source_renews_over_the_session_of_its_hub(scene: Scene) -> None:
    async with Loopback(otherwise=granting()) as server, Hub() as hub:
        driver = SourceDriver(scene.source(server.url), hub=hub)
        await driver.read(None)
        scene.valid = "new-access-2"
        await driver.read(None)
        driver.release()

        assert (len(server.seen), server.connections, server.open) == (2, 1, 1)
        assert not hub.session.closed


async def test_a_user_in_the_url_authenticates_the_client(scene: Scene) -> None:
    async with Loopback(otherwise=granting()) as server:
        await scene.source(server.url.replace("//", "//me:pass%21word@")).request("x")

    assert server.seen[0].headers["authorization"] == "Basic bWU6cGFzcyF3b3Jk"
    assert CLIENT_SECRET in dict(form(server.seen[0])).values()
