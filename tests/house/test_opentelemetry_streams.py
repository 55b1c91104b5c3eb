"""Connections of streams as OpenTelemetry's own SDK receives them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from loopback import QuickClock

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")

from asyncconn import Hub
from asyncconn.core.supervise import Reconnect, Supervisor
from asyncconn.errors import ConnectionLost, ConnectTimeout

from .telemetry_scene import Told, attributes, events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def told() -> Told:
    return Told()


class Line:
    def __init__(self) -> None:
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ended(self) -> None:
        await self.end


async def test_each_connection_is_a_span_and_what_was_between_is_told_by_the_next(told: Told) -> None:
    lines: list[Line] = []
    refusals = [ConnectionLost("refused")]

    @asynccontextmanager
    async def connect() -> AsyncIterator[Line]:
        if len(lines) == 1 and refusals:
            raise refusals.pop()
        lines.append(Line())
        yield lines[-1]

    hub = Hub(clock=QuickClock())
    with told.instrument(hub):
        async with Supervisor(
            connect, name="acme:7f", policy=Reconnect(initial=0.01), clock=hub.clock, watching=hub.watching
        ) as kept:
            (await kept.link()).end.set_exception(ConnectionLost("broke"))
            while len(lines) < 2:
                await asyncio.sleep(0)
            kept.missed("the server has no memory")
            assert await kept.link() is lines[1]

    first, second = told.spans
    assert [span.name for span in (first, second)] == ["connected acme:{}"] * 2
    assert [attributes(span)["asyncconn.connection"] for span in (first, second)] == [1, 2]
    assert attributes(first)["error.type"] == "ConnectionLost"
    assert [name for name, _ in events(second)] == ["reconnect", "reconnect", "gap"]
    assert (first.parent, second.parent) == (None, None)


async def test_of_a_connection_that_long_did_not_come_up_the_newest_failures_are_told_and_the_others_counted(
    told: Told,
) -> None:
    hub = Hub(clock=QuickClock())
    refusals = iter(range(200))

    @asynccontextmanager
    async def connect() -> AsyncIterator[Line]:
        if (number := next(refusals, None)) is not None:
            raise ConnectionLost("refused") if number < 199 else ConnectTimeout("the last")
        yield Line()

    with told.instrument(hub):
        async with Supervisor(
            connect, name="acme", policy=Reconnect(initial=0.01), clock=hub.clock, watching=hub.watching
        ) as kept:
            await kept.link()

    [span] = told.spans
    assert [kind["error.type"] for _, kind in events(span)] == ["ConnectionLost"] * 127 + ["ConnectTimeout"]
    assert attributes(span)["asyncconn.dropped"] == 200 - 128
