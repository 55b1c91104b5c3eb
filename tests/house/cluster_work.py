"""Work that a cluster's workers import: it is sent to them by name."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from asyncconn import Connector, Hub, Platform, RetryPolicy, Window

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .collecting_scene import Row


class Acme(Connector):
    # Errors are left to collect, which is what is tested.
    platform = Platform("acme", retry=RetryPolicy(attempts=1))


class Capped(Connector):
    platform = Platform("capped", retry=RetryPolicy(attempts=1), rates=Window(400, 4.0, skew=0.5))


def sharing(redis: str) -> Hub:
    """A hub whose rates are those of all workers."""
    from asyncconn.integrations.redis import RedisRates

    return Hub(shared_rates=RedisRates(redis, timeout=5.0))


async def under_a_cap(url: str, hub: Hub, partition: int) -> AsyncIterator[Row]:
    async with Capped(base_url=url, hub=hub) as capped:
        for row in await capped.http.call("GET", f"/{partition}"):
            yield row


async def from_platform(url: str, hub: Hub, partition: int) -> AsyncIterator[Row]:
    """The rows that a platform has of a partition."""
    async with Acme(base_url=url, hub=hub) as acme:
        for row in await acme.http.call("GET", f"/{partition}"):
            yield row


async def failing(hub: Hub, partition: int) -> list[Row]:
    raise ValueError(f"no {partition}")


async def poison(hub: Hub, partition: int) -> list[Row]:
    """One partition that takes every worker along."""
    if partition == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return [{"id": partition}]


async def whose(hub: Hub, partition: int) -> list[Row]:
    """Where it was done, and with which hub."""
    return [{"pid": os.getpid(), "hub": id(hub), "token": os.environ["ACME_TOKEN"]}]
