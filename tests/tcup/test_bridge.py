"""A subscription delivered into a sink, which fails, rejects, or is killed in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import Any

import pytest
from helpers import until

from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.core.closing import each
from asyncconn.errors import DeliveryFailed

from .mqtt_scene import scene


class Sink:
    """Keeps what it is given, in its batches; the first ``failing`` deliveries fail."""

    def __init__(self, failing: int = 0) -> None:
        self.batches: list[list[Any]] = []
        self.failing = failing

    @property
    def rows(self) -> list[Any]:
        return [row["n"] for batch in self.batches for row in batch]

    async def deliver(self, rows: Iterable[Any] | AsyncIterable[Any], /) -> FlushReport:
        found = [row async for row in each(rows)]
        await asyncio.sleep(0.001)
        if self.failing:
            self.failing -= 1
            return FlushReport(failed=len(found))
        self.batches.append(found)
        return FlushReport(delivered=len(found))


async def test_everything_arrives_in_batches_and_is_acknowledged_after() -> None:
    sink = Sink()
    async with scene() as (tcup, place):
        delivering = asyncio.create_task(tcup.mqtt.deliver("t", into=sink, client_id="b1"))
        await until(lambda: "b1" in place.sessions and place.sessions["b1"].filters)
        await tcup.mqtt.publish_many("t", ({"n": number} for number in range(500)))
        await until(lambda: len(sink.rows) == 500)
        await until(lambda: place.sessions["b1"].acknowledged == 500)
        tcup.mqtt.stop()
        report = await delivering
    assert sink.rows == list(range(500))
    assert report.delivered == 500
    assert len(sink.batches) < 250


async def test_what_is_no_object_is_reported_as_rejected() -> None:
    sink = Sink()
    async with scene() as (tcup, place):
        delivering = asyncio.create_task(tcup.mqtt.deliver("t", into=sink, client_id="b1"))
        await until(lambda: "b1" in place.sessions and place.sessions["b1"].filters)
        await tcup.mqtt.publish_many("t", [b"no json", {"n": 1}, 7])
        await until(lambda: place.sessions["b1"].acknowledged == 3)
        tcup.mqtt.stop()
        report = await delivering
    assert (report.delivered, report.rejected) == (1, 2)
    assert [one.record for one in report.rejections] == [b"no json", b"7"]


async def test_what_a_sink_could_not_deliver_is_not_acknowledged_and_comes_again() -> None:
    sink = Sink(failing=1)
    async with scene() as (tcup, place):
        async with tcup.mqtt.subscribe("t", client_id="b1", session="persistent"):
            pass
        await tcup.mqtt.publish_many("t", ({"n": number} for number in range(20)))
        with pytest.raises(DeliveryFailed):
            await tcup.mqtt.deliver("t", into=sink, client_id="b1")
        assert place.sessions["b1"].acknowledged == 0
        delivering = asyncio.create_task(tcup.mqtt.deliver("t", into=sink, client_id="b1"))
        await until(lambda: place.sessions["b1"].acknowledged == 20)
        tcup.mqtt.stop()
        await delivering
    assert sink.rows == list(range(20))


async def test_breaks_and_cancellations_in_the_middle_lose_nothing() -> None:
    sink = Sink()
    async with scene() as (tcup, place):
        async with tcup.mqtt.subscribe("t", client_id="b1", session="persistent"):
            pass
        await tcup.mqtt.publish_many("t", ({"n": number} for number in range(400)))
        for stops in range(1, 5):
            delivering = asyncio.create_task(tcup.mqtt.deliver("t", into=sink, client_id="b1"))
            await until(lambda enough=stops * 60: len(sink.rows) >= enough)  # type: ignore[misc] # bound as it is now
            if stops % 2:
                place.streams.kill("b1")
                await asyncio.sleep(0)
            delivering.cancel()
            await asyncio.wait({delivering})
        delivering = asyncio.create_task(tcup.mqtt.deliver("t", into=sink, client_id="b1"))
        await until(lambda: place.sessions["b1"].acknowledged == 400)
        delivering.cancel()
        await asyncio.wait({delivering})
    assert sorted(set(sink.rows)) == list(range(400))
    assert len(sink.rows) - 400 <= 4 * 10
