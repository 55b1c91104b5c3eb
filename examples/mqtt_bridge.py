"""A bridge from MQTT into Panoply: a message is acknowledged when its row has arrived, so that no end loses any.

Broker and warehouse are the sandbox's. With your own: ``Tcup.from_env(hub=hub)``, ``Panoply.from_env(hub=hub)``.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from asyncconn import Hub, Panoply, Tcup
from asyncconn.sandbox import PanoplyWorld, Sandbox, StreamFault, TcupWorld


def row(message: Any) -> dict[str, Any] | None:
    """A row of a message; None for what is to be reported as rejected. With an ``id``, twice in the table is once."""
    said = message.json
    if not isinstance(said, dict):
        return None
    return {
        "id": f"{message.topic}:{said['n']}",
        "machine": message.topic.rpartition("/")[2],
        "celsius": said["celsius"],
    }


def client(world: TcupWorld, hub: Hub) -> Tcup:
    broker = {"host": world.mqtt.host, "port": world.mqtt.port, "tls": False}
    user = {"username": world.tenant.mqtt_username, "password": world.tenant.mqtt_password}
    return Tcup(world.url, world.api_key, hub=hub, mqtt=broker | user)


async def machine(tcup: Tcup, name: str) -> None:
    readings = ({"n": n, "celsius": 20 + n % 7} for n in range(500))
    await tcup.mqtt.publish_many(f"plant/{name}", readings)


async def main() -> None:
    logging.getLogger("asyncconn").addHandler(logging.NullHandler())  # breaks are logged, and here they are expected
    async with Sandbox(PanoplyWorld(), TcupWorld(), seed=1) as sandbox, Hub() as hub:
        world, account = sandbox.tcup, sandbox.panoply
        panoply = Panoply(account.api_key, account.api_secret, endpoint_url=account.url, hub=hub)
        table = panoply.table("readings")
        world.streams.faults.add(StreamFault("kill", match="bridge", after=300))

        async with client(world, hub) as tcup:
            async with tcup.mqtt.subscribe("plant/#", client_id="bridge", session="persistent"):
                pass  # from here on the broker keeps what comes for it
            bridge = asyncio.create_task(tcup.mqtt.deliver("plant/#", into=table, client_id="bridge", row=row))
            machines = client(world, hub)
            await asyncio.gather(machine(machines, "press"), machine(machines, "mill"))
            await machines.mqtt.publish("plant/mill", "stopped")
            bridge.cancel()
            await asyncio.wait({bridge})
        print("cancelled; the broker keeps", "what is left" if world.sessions["bridge"].kept else "nothing")

        async with client(world, hub) as tcup:
            bridge = asyncio.create_task(tcup.mqtt.deliver("plant/#", into=table, client_id="bridge", row=row))
            while world.sessions["bridge"].kept:  # noqa: ASYNC110 - the sandbox has no event for it
                await asyncio.sleep(0.01)
        report = await bridge  # its client was closed
        print(f"{report.rejected} rejected: {[one.record for one in report.rejections]}")

        found = account.sql(
            "select machine, count(*) as rows, max(celsius) as hottest from readings group by 1 order by 1"
        )
        print(found)


if __name__ == "__main__":
    asyncio.run(main())
