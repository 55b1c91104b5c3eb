"""MQTT through restarts of mosquitto and RabbitMQ in the middle of everything.

What mosquitto has acknowledged outlives an orderly stop, and no other; RabbitMQ's outlives SIGKILL, too.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.errors import ReadTimeout

from .brokers import KINDS, SERVED, Broker, running
from .mqtt_scene import client, new_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_COUNT = 10_000
_WINDOW = 20  # these may come twice after each restart, and the ten or more that the subscriber has
_RESTARTS_AT = [1_500, 3_000, 4_500, 6_000, 7_500]

_ways = pytest.mark.parametrize(
    ("kind", "way"),
    [
        pytest.param("mosquitto", "stop", marks=SERVED["mosquitto"]),
        pytest.param("rabbitmq", "stop", marks=SERVED["rabbitmq"]),
        pytest.param("rabbitmq", "kill", marks=SERVED["rabbitmq"]),
    ],
)


@_ways
@pytest.mark.slow(400)
async def test_five_restarts_of_the_broker_lose_nothing_of_ten_thousand(kind: str, way: str, tmp_path: Path) -> None:
    with running(kind, tmp_path / "broker") as broker:
        mqtt = {**broker.tenant("user1"), "topic": "t"}
        async with client(mqtt) as publisher, client(mqtt) as subscriber:
            seen: Counter[int] = Counter()
            ready = asyncio.Event()

            async def receive() -> None:
                async with subscriber.mqtt.subscribe(client_id=new_id(), session="persistent") as messages:
                    ready.set()
                    async for message in messages:
                        seen[message.json] += 1
                        if len(seen) == _COUNT:
                            return

            receiving = asyncio.create_task(receive())
            await ready.wait()
            report = await publisher.mqtt.publish_many(None, _through_restarts(broker, way), window=_WINDOW)
            await receiving
    assert (report.delivered, report.complete) == (_COUNT, True)
    assert sorted(seen) == list(range(_COUNT))
    assert sum(seen.values()) - _COUNT <= 150  # five times the window and RabbitMQ's ten


async def _through_restarts(broker: Broker, way: str) -> AsyncIterator[int]:
    """The numbers; at some of them a restart begins, once the last one is over."""

    def restart() -> None:
        broker.stop() if way == "stop" else broker.kill()
        broker.start()

    restarting: asyncio.Task[None] | None = None
    for number in range(_COUNT):
        if number in _RESTARTS_AT:
            if restarting is not None:
                await restarting
            restarting = asyncio.create_task(asyncio.to_thread(restart))
        if number % 10 == 0:
            await asyncio.sleep(0.005)  # a broker with many acknowledgements to read forgets them when it stops
        yield number
    assert restarting is not None
    await restarting


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=SERVED[kind]) for kind in KINDS])
async def test_what_is_under_way_when_the_broker_dies_is_sent_again_or_its_publisher_told(
    kind: str, tmp_path: Path
) -> None:
    with running(kind, tmp_path / "broker") as broker:
        mqtt: dict[str, Any] = {**broker.tenant("user1"), "topic": "t"}
        name = new_id()
        async with client(mqtt) as tcup:
            async with tcup.mqtt.subscribe(client_id=name, session="persistent"):
                await tcup.mqtt.publish(None, 0)
            broker.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.2)  # until all of its threads have stopped
            hasty = asyncio.create_task(tcup.mqtt.publish(None, 1, timeout=0.5))
            patient = asyncio.create_task(tcup.mqtt.publish(None, 2))
            await asyncio.sleep(0.1)  # they leave; no more can be seen from here
            await asyncio.to_thread(broker.kill)
            with pytest.raises(ReadTimeout):
                await hasty
            assert not patient.done()
            await asyncio.to_thread(broker.start)
            async with asyncio.timeout(5):  # the library underneath would wait twice as long
                await patient
