"""Publish over MQTT: one reading that is waited for, four years of them in a window, while the connection breaks.

The broker is the sandbox's. With your own: ``async with Tcup.from_env() as tcup``, and the rest as it is here.
"""

from __future__ import annotations

import asyncio
import csv
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncconn import Hub, Tcup
from asyncconn.sandbox import Sandbox, StreamFault, TcupWorld
from asyncconn.tcup import payload

WEATHER = Path(__file__).parent / "data" / "seattle-weather.csv"
TOPIC = "weather/seattle"


def documents() -> Iterator[dict[str, Any]]:
    """What SOS, message routing and MQTT understand, one for each day."""
    with WEATHER.open(newline="") as stream:
        for day in csv.DictReader(stream):
            time = datetime.strptime(day["date"], "%Y/%m/%d").replace(tzinfo=UTC)
            yield payload("station", {"temp_max": float(day["temp_max"])}, "Seattle", time=time)


async def main() -> None:
    logging.getLogger("asyncconn").addHandler(logging.NullHandler())  # breaks are logged, and here they are expected
    async with Sandbox(TcupWorld(), seed=1) as sandbox, Hub() as hub:
        world = sandbox.tcup
        broker = {"host": world.mqtt.host, "port": world.mqtt.port, "tls": False}
        user = {"username": world.tenant.mqtt_username, "password": world.tenant.mqtt_password}
        tcup = Tcup(world.url, world.api_key, hub=hub, mqtt=broker | user)

        await tcup.mqtt.publish(TOPIC, {"station": "on"}, retain=True)  # returns when the broker has acknowledged it
        print("the broker has", [message["station"] for message in world.routed("amq.topic", "weather.seattle")])

        world.streams.faults.add(StreamFault("kill", match="mqtt", after=500, times=2))
        report = await tcup.mqtt.publish_many(TOPIC, documents(), window=100)
        print(f"{report.delivered} acknowledged, {report.failed + report.unknown} not")

        came = [one["observations"][0]["record"][0]["starttime"] for one in world.routed("amq.topic")[1:]]
        print(f"{len(set(came))} days came, over {world.streams.books['mqtt'].connects} connections")


if __name__ == "__main__":
    asyncio.run(main())
