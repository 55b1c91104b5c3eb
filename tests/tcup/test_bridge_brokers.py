"""The bridge from mosquitto and RabbitMQ: killed at any moment, and never waiting for more than there is."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from helpers import until

from asyncconn import BatchPolicy, Hub, Panoply, Tcup
from asyncconn.sandbox import PanoplyWorld, Sandbox

from .brokers import Broker, served
from .mqtt_scene import KEY, client, new_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_COUNT = 1_000
_KILLS = 3
_BATCH = 50

_BRIDGE = """
import asyncio, json, sys
from asyncconn import FlushReport, Hub, Tcup

class Lines:
    async def deliver(self, rows):
        rows = list(rows)
        await asyncio.sleep(0.005)  # under way
        with open(sys.argv[3], "a", buffering=1) as file:
            for row in rows:
                print(row["n"], file=file)
        await asyncio.sleep(0.005)  # arrived, and not acknowledged
        return FlushReport(delivered=len(rows))

async def main():
    async with Hub() as hub:
        tcup = Tcup("http://localhost:9", "0" * 64, hub=hub, mqtt=json.loads(sys.argv[1]))
        await tcup.mqtt.deliver(None, into=Lines(), client_id=sys.argv[2], max_items=int(sys.argv[4]))

asyncio.run(main())
"""


@pytest.mark.slow(150)
async def test_a_bridge_killed_at_random_loses_nothing(mqtt: dict[str, Any], tmp_path: Path) -> None:
    arrived = tmp_path / "arrived"
    arrived.touch()
    name = await _waiting(mqtt)

    def lines() -> list[int]:
        return [int(line) for line in arrived.read_text().split()]

    for _ in range(_KILLS):
        enough = len(lines()) + random.randint(1, _COUNT // (_KILLS + 1))
        async with _bridge(mqtt, name, arrived):
            await until(lambda enough=enough: len(lines()) >= enough)  # type: ignore[misc] # bound as it is now
    async with client(mqtt) as tcup:
        await tcup.mqtt.publish(None, {"n": _COUNT})
    async with _bridge(mqtt, name, arrived):
        await until(lambda: _COUNT in lines())
    assert set(lines()) == set(range(_COUNT + 1))
    assert len(lines()) - _COUNT - 1 <= _KILLS * _BATCH


@asynccontextmanager
async def _bridge(mqtt: dict[str, Any], client_id: str, to: Path) -> AsyncIterator[None]:
    """In a process of its own, which is killed at the end of the block."""
    own = {option: value for option, value in mqtt.items() if option != "reconnect"}
    command = (_BRIDGE, json.dumps(own), client_id, str(to), str(_BATCH))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", *command)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@served("rabbitmq")
async def test_it_flushes_when_the_broker_hands_out_no_more(rabbitmq: Broker) -> None:
    """Ten unacknowledged: a batch that waited for more would wait for its age, which is an hour here."""
    mqtt = rabbitmq.tenant("bridge")
    name = await _waiting(mqtt, 200)
    async with Sandbox(PanoplyWorld(), seed=1) as sandbox, Hub() as hub:
        keys = sandbox.panoply.api_key, sandbox.panoply.api_secret
        patient = BatchPolicy(max_age=3600.0)
        panoply = Panoply(*keys, hub=hub, endpoint_url=sandbox.url, policy=patient)
        tcup = Tcup("http://localhost:9", KEY, hub=hub, mqtt=mqtt)
        delivering = asyncio.create_task(tcup.mqtt.deliver(None, into=panoply.table("series"), client_id=name))
        await until(lambda: panoply.stats.delivered == 200)
        batches = panoply.stats.batches_delivered
        tcup.mqtt.stop()
        assert (await delivering).delivered == 200
    assert 200 / 10 <= batches <= 200 / 3


async def _waiting(mqtt: dict[str, Any], count: int = _COUNT) -> str:
    """The client id for which the broker keeps so many rows."""
    name = new_id()
    async with client(mqtt) as tcup:
        async with tcup.mqtt.subscribe(client_id=name, session="persistent"):
            pass
        report = await tcup.mqtt.publish_many(None, ({"n": number} for number in range(count)))
    assert report.delivered == count
    return name
