"""Subscribe over MQTT and lose nothing: a handler that fails, a connection that breaks, hours without a subscriber.

The broker is the sandbox's. With your own: ``async with Tcup.from_env() as tcup``, and the rest as it is here.
"""

from __future__ import annotations

import asyncio
import logging

from asyncconn import Hub, Tcup
from asyncconn.sandbox import Sandbox, StreamFault, TcupWorld


async def handle(tcup: Tcup, count: int, seen: list[int], *, fail_at: int | None = None) -> None:
    """So many different ones. Each is acknowledged when the next is asked for; one at which the block fails is not."""
    async with tcup.mqtt.subscribe("plant/+", client_id="watcher", session="persistent") as messages:
        messages.on("lost", lambda change: print("  the connection broke:", type(change.error).__name__))
        messages.on("live", lambda change: print("  connection", change.connection))
        async for message in messages:
            if message.json["n"] == fail_at:
                raise ValueError(f"{message.topic} says {message.json}")
            seen.append(message.json["n"])
            if len(set(seen)) == count:  # at a break, what was on its way comes again
                break


async def main() -> None:
    logging.getLogger("asyncconn").addHandler(logging.NullHandler())  # breaks are logged, and here they are expected
    async with Sandbox(TcupWorld(), seed=1) as sandbox, Hub() as hub:
        world = sandbox.tcup
        broker = {"host": world.mqtt.host, "port": world.mqtt.port, "tls": False}
        user = {"username": world.tenant.mqtt_username, "password": world.tenant.mqtt_password}
        tcup = Tcup(world.url, world.api_key, hub=hub, mqtt=broker | user)
        async with tcup.mqtt.subscribe("plant/+", client_id="watcher", session="persistent"):
            pass  # the broker keeps what comes from here on
        await tcup.mqtt.publish_many("plant/1", ({"n": n} for n in range(100)))

        seen: list[int] = []
        try:
            await handle(tcup, 100, seen, fail_at=40)
        except ValueError as error:
            print("the handler failed:", error)
        print(f"{len(seen)} handled")

        await tcup.mqtt.publish_many("plant/2", ({"n": n} for n in range(100, 200)))
        world.streams.faults.add(StreamFault("kill", match="watcher", after=80))
        await handle(tcup, 200, seen)
        print(f"{len(set(seen))} of 200 handled, {len(seen) - len(set(seen))} of them twice")


if __name__ == "__main__":
    asyncio.run(main())
