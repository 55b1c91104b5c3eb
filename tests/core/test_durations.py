"""Every timeout refuses what would never end a wait: 0 (where that is not "do not wait"), less, NaN and infinity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback, road

from asyncconn.connector import Connector, Platform
from asyncconn.core.buffer.memory import BatchBuffer, BatchPolicy
from asyncconn.core.durations import positive, seconds
from asyncconn.core.polling import PollPolicy
from asyncconn.core.rates.limiter import RateLimiter, TokenBucket
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import ConfigError
from asyncconn.http.transport import Timeouts
from asyncconn.hub import Hub
from asyncconn.settings import HubSettings

if TYPE_CHECKING:
    from collections.abc import Callable

ENDLESS: list[Any] = [-1, -0.001, math.nan, math.inf, -math.inf, "1", None, True]

POLICIES: dict[str, Callable[[Any], object]] = {
    "Timeouts.connect": lambda value: Timeouts(connect=value),
    "Timeouts.total": lambda value: Timeouts(total=value),
    "RetryPolicy.initial": lambda value: RetryPolicy(initial=value),
    "RetryPolicy.maximum": lambda value: RetryPolicy(maximum=value),
    "RetryPolicy.deadline": lambda value: RetryPolicy(deadline=value),
    "PollPolicy.minimum": lambda value: PollPolicy(minimum=value),
    "PollPolicy.maximum": lambda value: PollPolicy(maximum=value),
    "PollPolicy.deadline": lambda value: PollPolicy(deadline=value),
    "BatchPolicy.max_age": lambda value: BatchPolicy(max_age=value),
    "BatchPolicy.drain_timeout": lambda value: BatchPolicy(drain_timeout=value),
}
NOT_WAITING: dict[str, Callable[[Any], object]] = {
    "Timeouts.place": lambda value: Timeouts(place=value),
    "Timeouts.rate": lambda value: Timeouts(rate=value),
    "PollPolicy.first": lambda value: PollPolicy(first=value),
}


@pytest.mark.parametrize("value", [0, 0.0, *ENDLESS])
def test_what_is_no_time_to_wait_is_refused_with_its_name(value: Any) -> None:
    with pytest.raises(ConfigError, match="the name must be more than 0 seconds"):
        positive("the name", value)


@pytest.mark.parametrize("value", ENDLESS)
def test_where_0_means_do_not_wait_the_rest_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="the name must be 0 seconds"):
        seconds("the name", value)


def test_what_is_a_time_comes_back() -> None:
    assert (positive("x", 2), positive("x", 0.5), seconds("x", 0)) == (2, 0.5, 0)


@pytest.mark.parametrize("value", [0, *ENDLESS])
@pytest.mark.parametrize("name", POLICIES)
def test_policies_refuse_them(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        POLICIES[name](value)


@pytest.mark.parametrize("name", NOT_WAITING)
def test_policies_take_0_where_it_means_do_not_wait(name: str) -> None:
    NOT_WAITING[name](0)
    for value in ENDLESS:
        with pytest.raises(ConfigError, match=name):
            NOT_WAITING[name](value)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_settings_refuse_them(value: float) -> None:
    with pytest.raises(ConfigError, match="SHUTDOWN_TIMEOUT"):
        HubSettings(shutdown_timeout=value)


@pytest.mark.parametrize("option", ["timeout", "max_wait"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
async def test_a_call_refuses_them_before_anything_is_sent(option: str, value: float) -> None:
    async with Loopback() as server, road(server) as http:
        options: dict[str, Any] = {option: value}
        with pytest.raises(ConfigError, match=option):
            await http.request("GET", "/", **options)
        with pytest.raises(ConfigError, match=option):
            async with http.stream("GET", "/", **options):
                pass

    assert server.seen == []


@pytest.mark.parametrize("options", [{"idle_timeout": 0}, {"min_rate": math.nan}, {"min_rate": -1}, {"max_bytes": -1}])
async def test_a_download_refuses_them(options: dict[str, Any]) -> None:
    async with road("http://127.0.0.1:1") as http:
        with pytest.raises(ConfigError):
            http.stream("GET", "/", **options)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
async def test_flushing_and_closing_refuse_them_and_go_on(value: float) -> None:
    sent: list[object] = []

    async def send(batch: Any) -> None:
        sent.extend(batch.items)

    buffer = BatchBuffer[bytes](send, size=len, policy=BatchPolicy())
    await buffer.put(b"x")
    hub = await Hub().open()
    connector = _Named(hub=hub)
    for ending in (buffer.flush, buffer.aclose, connector.aclose, hub.aclose):
        with pytest.raises(ConfigError, match="timeout"):
            await ending(value)
    report = await buffer.aclose(5.0)
    await connector.aclose(0)
    await hub.aclose(0)

    assert (report.delivered, sent) == (1, [b"x"])


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
async def test_a_limiter_refuses_them(value: float) -> None:
    limiter = RateLimiter(TokenBucket(1.0, 1))
    with pytest.raises(ConfigError, match="max_wait"):
        await limiter.acquire(max_wait=value)
    (await limiter.acquire(max_wait=0)).done()


class _Named(Connector):
    platform = Platform("named", base_url="http://127.0.0.1:1")
