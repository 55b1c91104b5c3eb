"""A borrowed session may be set up in any way: what comes out of a call is an answer, or an error of ours."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from loopback import Loopback, saying

from asyncconn.core.rates.limiter import RateLimiter, Window
from asyncconn.core.retrying import ONCE
from asyncconn.errors import ConfigError, MaybeSent, NotFound
from asyncconn.http.auth import TokenAuth
from asyncconn.http.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable


class Broken(Exception):
    """Of a hook in the session."""


def traced(name: str) -> aiohttp.TraceConfig:
    async def fail(*given: Any) -> None:
        raise Broken("s3cret-token")

    config = aiohttp.TraceConfig()
    getattr(config, name).append(fail)
    return config


async def _unhappy(answer: aiohttp.ClientResponse) -> None:
    raise Broken


SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "raise_for_status": lambda: {"raise_for_status": True},
    "raise_for_status as a function": lambda: {"raise_for_status": _unhappy},
    "headers": lambda: {"headers": {"Authorization": "Basic theirs", "Accept": "text/x-odd"}},
    "cookies": lambda: {"cookies": {"a": "b"}},
    "json_serialize": lambda: {"json_serialize": lambda value: 1 / 0},
    "base_url": lambda: {"base_url": "http://elsewhere.example/api/"},
    "read_bufsize": lambda: {"read_bufsize": 1},
    "a timeout": lambda: {"timeout": aiohttp.ClientTimeout(total=1e-9)},
    "version": lambda: {"version": aiohttp.HttpVersion10},
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("how", ["request", "stream"])
async def test_settings_of_a_session_change_nothing_about_an_answer(setting: str, how: str) -> None:
    async with Loopback(saying({"a": 1}), saying({}, 404)) as server, aiohttp.ClientSession(**SETTINGS[setting]()) as s:
        http = Transport(lambda: s, service="test", base_url=server.url, auth=TokenAuth("s3cret-token"), retry=ONCE)
        if how == "request":
            assert (await http.request("POST", "/", json={"b": 2})).json() == {"a": 1}
        else:
            async with http.stream("POST", "/", json={"b": 2}) as stream:
                assert b"".join([chunk async for chunk in stream]) == b'{"a": 1}'
        with pytest.raises(NotFound):
            await http.request("GET", "/")

    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer s3cret-token"}


async def test_a_session_with_a_credential_of_its_own_is_refused_before_anything_is_sent() -> None:
    with warnings.catch_warnings(action="ignore"):  # some versions call it deprecated
        session = aiohttp.ClientSession(auth=aiohttp.BasicAuth("their", "own"))
    async with Loopback() as server, session:
        http = Transport(lambda: session, service="test", base_url=server.url, auth=TokenAuth("s3cret-token"))
        with pytest.raises(ConfigError, match="cannot be sent over this session"):
            await http.request("GET", "/")

    assert server.seen == []


@pytest.mark.parametrize(
    ("hook", "kind", "requests"),
    [
        ("on_request_start", ConfigError, 0),
        ("on_request_end", MaybeSent, 1),
        ("on_response_chunk_received", MaybeSent, 1),
    ],
)
async def test_a_hook_of_a_session_that_raises_is_the_cause_of_an_error_of_ours(
    hook: str, kind: type[Exception], requests: int
) -> None:
    async with Loopback() as server, aiohttp.ClientSession(trace_configs=[traced(hook)]) as session:
        http = Transport(
            lambda: session, service="test", base_url=server.url, auth=TokenAuth("s3cret-token"), retry=ONCE
        )
        with pytest.raises(kind) as caught:
            await http.request("POST", "/", json={})

    assert isinstance(caught.value.__cause__, Broken)
    assert "s3cret-token" not in f"{caught.value} {caught.value.__cause__}"
    assert len(server.seen) == requests


class _Unable(aiohttp.abc.AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
        raise Broken("no such cache")

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("what", ["a resolver", "on_connection_create_start"])
async def test_what_raises_before_the_first_byte_leaves_no_doubt(what: str) -> None:
    own: dict[str, Any]
    if what == "a resolver":
        own = {"connector": aiohttp.TCPConnector(resolver=_Unable())}
    else:
        own = {"trace_configs": [traced(what)]}
    async with Loopback() as server, aiohttp.ClientSession(**own) as session:
        url = server.url.replace("127.0.0.1", "some.example")
        http = Transport(lambda: session, service="test", base_url=url, retry=ONCE)
        with pytest.raises(ConfigError, match="Broken") as caught:
            await http.request("POST", "/", json={})

    assert not caught.value.maybe_sent
    assert server.seen == []


@pytest.mark.parametrize("limited", [True, False])
async def test_a_middleware_may_repeat_what_was_answered_and_each_time_counts(limited: bool) -> None:
    async def with_a_digest(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        answer = await handler(request)
        if answer.status == 401:
            await answer.read()
            request.headers["Authorization"] = "Digest made-up"
            answer = await handler(request)
        return answer

    limiter = RateLimiter(Window(10, 60.0))
    async with Loopback(saying({}, 401)) as server, aiohttp.ClientSession(middlewares=(with_a_digest,)) as session:
        limiters = {"default": limiter} if limited else None
        http = Transport(lambda: session, service="test", base_url=server.url, retry=ONCE, limiters=limiters)
        assert (await http.request("POST", "/", json={"a": 1})).status == 200

    assert [seen.headers.get("authorization") for seen in server.seen] == [None, "Digest made-up"]
    assert [seen.body for seen in server.seen] == [b'{"a":1}'] * 2
    assert limiter.snapshot().remaining == (8 if limited else 10)
