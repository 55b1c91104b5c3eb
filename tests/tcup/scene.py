"""A sandbox of TCUP and a client for it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncconn import Hub
from asyncconn.core.retrying import RetryPolicy
from asyncconn.sandbox import Fault, Sandbox
from asyncconn.sandbox.tcup import TcupWorld
from asyncconn.tcup import Sensor, Tcup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn.core.clock import Clock

OBSERVATIONS = "/api/sos/v2.0/observations"
QUICK = RetryPolicy(attempts=3, initial=0.01, maximum=0.05, deadline=5.0)


@dataclass
class Scene:
    sandbox: Sandbox
    hub: Hub
    client: Tcup

    @property
    def world(self) -> TcupWorld:
        return self.sandbox.tcup

    def rows(self) -> list[dict[str, Any]]:
        """What SOS holds."""
        return self.world.sos.rows()

    def values(self) -> list[Any]:
        return [row["value"] for row in self.rows()]

    def inserts(self) -> int:
        """Inserts that the sandbox has seen."""
        return sum(call.method == "POST" and call.path.endswith("/observations") for call in self.world.calls)

    def fail(self, *faults: Fault) -> None:
        self.sandbox.faults.add(*faults)


@asynccontextmanager
async def scene(clock: Clock | None = None, *, registered: bool = True, **world: Any) -> AsyncIterator[Scene]:
    """A world with the sensor ``ts1`` (obs1: text, obs2: count), unless it is not to be registered."""
    async with Sandbox(TcupWorld(**world), seed=1, clock=clock) as sandbox, Hub(clock=clock) as hub:
        made = Scene(sandbox, hub, client(sandbox, hub))
        if registered:
            await made.client.sensors.create(Sensor.atomic("ts1", {"obs1": "text", "obs2": "count"}, feature="tf1"))
        yield made


def client(sandbox: Sandbox, hub: Hub, **options: Any) -> Tcup:
    return Tcup(sandbox.url, sandbox.tcup.api_key, hub=hub, **{"retry": QUICK, **options})
