"""Renewing a token for asynchronous methods."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from helpers import cancel_at_every_await
from loopback import DROP, Loopback, Reply, saying

from asyncconn import Hub
from asyncconn.errors import BadRequest, ConfigError, ProtocolError, ServerError, TransportError, Unauthorized
from asyncconn.http import token_endpoint
from asyncconn.http.transport import Timeouts
from asyncconn.panoply import (
    DataSource,
    TokenCallbackException,
    TokenValidationException,
    validate_token,
)
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


# -- together ----------------------------------------------------------------------------------------------------------


async def test_twenty_calls_that_failed_with_one_token_share_one_renewal(scene: Scene) -> None:
    async with Loopback(otherwise=granting()) as server:
        source = scene.source(server.url, callback="keep")
        answers = await asyncio.gather(*[source.request(str(n)) for n in range(20)])

    assert [rows[0]["what"] for rows in answers] == [str(n) for n in range(20)]
    assert len(server.seen) == 1
    assert source.told == ["new-access-1"]
    assert len(scene.changes) == 1


async def test_a_renewal_that_brings_the_same_token_is_shared_too(scene: Scene) -> None:
    reply = Reply(body=b'{"access_token": "%s"}' % OLD.encode(), wait=scene.after(20))
    async with Loopback(otherwise=reply) as server:
        source = scene.source(server.url)
        errors = await asyncio.gather(*[source.request("x") for _ in range(20)], return_exceptions=True)

    assert {type(error) for error in errors} == {Refused}
    assert len(server.seen) == 1


async def test_twenty_calls_share_one_failure_each_with_an_error_of_its_own(scene: Scene) -> None:
    async with Loopback(otherwise=Reply(400, wait=scene.after(20))) as server:
        source = scene.source(server.url)
        errors = await asyncio.gather(*[source.request("x") for _ in range(20)], return_exceptions=True)

    assert {type(error) for error in errors} == {TokenValidationException}
    assert len({id(error) for error in errors}) == 20
    assert len(server.seen) == 1


async def test_a_call_whose_token_was_replaced_meanwhile_does_not_renew_again(scene: Scene) -> None:
    class Slow(DataSource):
        async def read(self, n: int | None = None) -> Any: ...

        async def request(self) -> str:
            token: str = self.source["access_token"]
            if token == OLD:
                self.source["access_token"] = "somebody-elses"
                raise Refused
            return token

    async with Loopback(otherwise=granting()) as server:
        source = Slow({"access_token": OLD}, {"refresh": REFRESH})

        assert await validate_token(server.url)(Slow.request)(source) == "somebody-elses"
    assert server.seen == []


async def test_a_call_that_failed_with_the_new_token_waits_for_the_callback_and_then_renews_that_one(
    scene: Scene,
) -> None:
    gate = asyncio.Event()

    async def wait(token: str) -> None:
        if token == "new-access-1":
            await gate.wait()

    async with Loopback(otherwise=granting()) as server:
        source = scene.source(server.url, callback=wait)
        first = asyncio.create_task(source.request("first"))
        while source.source["access_token"] == OLD:
            await asyncio.sleep(0.001)
        scene.valid = "new-access-2"
        second = asyncio.create_task(source.request("second"))
        while len(scene.calls) < 2:
            await asyncio.sleep(0.001)
        requests = len(server.seen)
        gate.set()

        assert await second == [{"what": "second"}]
        await asyncio.gather(first, return_exceptions=True)  # it may have called before that, or after
    assert (requests, len(server.seen)) == (1, 2)


async def test_two_sources_and_two_endpoints_renew_apart(scene: Scene) -> None:
    async with Loopback(otherwise=saying({"access_token": "new-access-1"})) as server:
        sources = [scene.source(f"{server.url}/{n}") for n in range(2)] + [scene.source(f"{server.url}/0")]
        await asyncio.gather(*[source.request("x") for source in sources])

    assert sorted(seen.path for seen in server.seen) == ["/0", "/0", "/1"]


async def test_a_source_is_as_it_was_after_a_renewal(scene: Scene) -> None:
    async with Loopback(Reply(400), otherwise=granting()) as server:
        source = scene.source(server.url)
        with pytest.raises(TokenValidationException):
            await source.request("x")

        assert await source.request("x") == [{"what": "x"}]


# -- cancellation ------------------------------------------------------------------------------------------------------


async def test_whenever_the_leader_is_cancelled_a_token_that_was_given_out_is_kept_and_announced(scene: Scene) -> None:
    async with Loopback(otherwise=saying({"access_token": "new-access-1", "refresh_token": "rotated-0002"})) as server:
        made: list[Any] = []

        async def make() -> Any:
            scene.events.clear()
            server.seen.clear()
            made[:] = [scene.source(server.url, callback="keep")]
            return lambda: made[0].request("x")

        async def check(error: BaseException | None) -> None:
            tokens = (made[0].source["access_token"], made[0].source["refresh_token"])
            if server.seen:
                assert tokens == ("new-access-1", "rotated-0002")
                assert scene.changes == [{"access_token": "new-access-1", "refresh_token": "rotated-0002"}]
                assert made[0].told == ["new-access-1"]
            else:
                assert tokens == (OLD, OLD_REFRESH)

        assert await cancel_at_every_await(make, check) >= 3


async def test_followers_go_on_when_the_leader_is_cancelled_and_a_cancelled_follower_stops_nobody(scene: Scene) -> None:
    gate = asyncio.Event()
    reply = Reply(body=b'{"access_token": "new-access-1"}', wait=gate.wait)
    async with Loopback(reply) as server:
        source = scene.source(server.url)
        leader, *followers = [asyncio.create_task(source.request("x")) for _ in range(4)]
        await server.arrived()
        await asyncio.sleep(0.02)
        followers[0].cancel()
        leader.cancel()
        await asyncio.wait({followers[0]})
        gate.set()
        await asyncio.wait({leader, *followers})

        assert [task.cancelled() for task in (leader, *followers)] == [True, True, False, False]
        assert followers[1].result() == followers[2].result() == [{"what": "x"}]
    assert len(server.seen) == 1


async def test_followers_of_a_renewal_that_is_ended_from_outside_are_not_left_waiting(scene: Scene) -> None:
    never = asyncio.Event()
    async with Loopback(otherwise=Reply(wait=never.wait)) as server:
        source = scene.source(server.url)
        leader, follower = [asyncio.create_task(source.request("x")) for _ in range(2)]
        await server.arrived()
        while len(scene.calls) < 2:
            await asyncio.sleep(0.001)
        for task in asyncio.all_tasks():
            if task.get_name() == "asyncconn:token":
                task.cancel()
        await asyncio.wait({leader, follower})

    error = follower.exception()
    assert leader.cancelled()
    assert isinstance(error, TokenValidationException)
    assert error.retryable
    assert source.source["access_token"] == OLD


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
