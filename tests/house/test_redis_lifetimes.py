"""Who opens and closes what of rates that are kept in Redis, and which settings can be."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback
from redis_scene import call, limiter, shared_for_long
from secrecy import locals_of_ours

from asyncconn import Hub, Window
from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.integrations.redis import RedisRates

from .sharing_scene import SECRET, Acme

if TYPE_CHECKING:
    from redis_scene import RedisServer

pytestmark = pytest.mark.service("redis")


async def test_one_redis_rates_serves_several_hubs_and_ends_with_the_last(redis: RedisServer) -> None:
    rates = RedisRates(redis.url)
    async with Loopback() as server:
        await shared_for_long(redis.url, rates, Acme.platform.rates, f"{server.url}\n{SECRET}")
        async with Hub(shared_rates=rates) as hub:
            async with Hub(shared_rates=rates) as inner:
                await Acme(server.url, hub=inner).http.request("GET", "/")
            await Acme(server.url, hub=hub).http.request("GET", "/")
        async with redis.client() as client:
            others = [one for one in await client.client_list() if one["cmd"] != "client|list"]

    assert others == []


def test_one_redis_rates_serves_loop_after_loop(redis: RedisServer) -> None:
    rates = RedisRates(redis.url)

    async def calls() -> None:
        async with Loopback() as server, Hub(shared_rates=rates) as hub:
            await shared_for_long(redis.url, rates, Acme.platform.rates, f"{server.url}\n{SECRET}")
            await Acme(server.url, hub=hub).http.request("GET", "/")

    for _ in range(3):
        asyncio.run(calls())


async def test_who_waits_when_the_limiter_closes_is_told(redis: RedisServer) -> None:
    async with limiter(redis.url, Window(1, 60.0)) as one:
        await call(one)
        waiting = asyncio.create_task(one.acquire())
        await asyncio.sleep(0.05)
        await one.aclose()
        with pytest.raises(LifecycleError):
            await waiting


async def test_a_permit_that_ends_after_the_limiter_has_closed_does_no_harm(redis: RedisServer) -> None:
    async with limiter(redis.url, Window(5, 60.0)) as one:
        permit = await one.acquire()
    permit.sent()
    permit.done()


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "localhost:6379"},
        {"url": "http://localhost"},
        {"prefix": ""},
        {"prefix": "a{b}"},
        {"timeout": 0},
        {"gone": "never"},
        {"gone": "share"},
        {"processes": 3},
        {"gone": "share", "processes": 0},
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        RedisRates(**{"url": "redis://localhost/0", **wrong})


def test_a_password_is_not_shown() -> None:
    assert "pa55word" not in repr(RedisRates("redis://user:pa55word@localhost:6379/0?password=pa55word"))


@pytest.mark.parametrize(
    "wrong",
    [{"url": "redis://user:pa55word@localhost:99999999/0"}, {"prefix": "a b"}, {"gone": "never"}, {"timeout": 0}],
    ids=str,
)
@pytest.mark.parametrize("given", ["as an argument", "in the environment"])
def test_a_refusal_shows_no_password_in_its_frames(
    given: str, wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, options = wrong.get("url", "redis://user:pa55word@localhost:6379/0"), {**wrong}
    options.pop("url", None)
    monkeypatch.setenv("ASYNCCONN_REDIS_URL", url)
    make = partial(RedisRates, url) if given == "as an argument" else RedisRates.from_env
    with pytest.raises(ConfigError) as caught:
        make(**options)

    shown = locals_of_ours(caught.value)
    assert [one for one in shown if "pa55word" in one or "in its repr" in one] == []
    assert any("RedisRates.__init__: self = <RedisRates" in one for one in shown)
