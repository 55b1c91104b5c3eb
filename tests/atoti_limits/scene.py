"""The embedded session and Limits server, and a client between them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from asyncconn import AtotiLimits, Hub
from asyncconn.core.retrying import RetryPolicy
from asyncconn.http.transport import Timeouts
from asyncconn.sandbox.atoti_limits import FakeAtotiSession, FakeLimitsServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from asyncconn.core.clock import Clock

QUICK = RetryPolicy(attempts=4, initial=0.01, maximum=0.05, deadline=5.0)
SHORT = Timeouts(connect=1.0, total=5.0, place=1.0)

CONNECT = "POST /limits/autoconfig/connect"
CONNECTED = "GET /limits/autoconfig/connected"
REST = "/limits/rest/v2"
CONNECTIONS = f"GET {REST}/connections"


def at_connect(call: Any) -> bool:
    return str(call.path).endswith(CONNECT.removeprefix("POST "))


@dataclass
class Scene:
    """Two servers and a client; ``client`` makes another one of them."""

    session: FakeAtotiSession
    limits: FakeLimitsServer
    hub: Hub
    options: Mapping[str, Any] = field(default_factory=dict)

    def client(self, **options: Any) -> AtotiLimits:
        given: dict[str, Any] = {
            "session_url": self.session.url,
            "limits_url": self.limits.url,
            "auth": ("admin", "admin"),
            "generation": self.session.generation,
            "hub": self.hub,
            "retry": QUICK,
            "timeouts": SHORT,
        }
        return AtotiLimits(**{**given, **self.options, **options})

    @property
    def polls(self) -> int:
        return self.session.requests[CONNECTED]

    @property
    def connects(self) -> int:
        return self.session.requests[CONNECT]


@asynccontextmanager
async def scene(
    *,
    clock: Clock | None = None,
    session: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Scene]:
    """``session`` and ``limits`` are the knobs of the two servers, ``options`` those of every client."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(FakeLimitsServer(**(limits or {})))
        asked = await stack.enter_async_context(FakeAtotiSession(**{"limits_url": server.url, **(session or {})}))
        hub = await stack.enter_async_context(Hub(clock=clock))
        yield Scene(asked, server, hub, options)


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[Scene, AtotiLimits]]:
    """As if the session were connected."""
    async with scene(**options) as world:
        world.limits.connect("atoti")
        yield world, world.client()


@asynccontextmanager
async def filled(count: int = 1, **options: Any) -> AsyncIterator[tuple[Scene, AtotiLimits]]:
    """With a structure, and so many limits of it."""
    async with connected(**options) as (world, limits):
        await limits.structures.save(STRUCTURE)
        await limits.upload.limits([row(number) for number in range(1, count + 1)])
        yield world, limits


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "Structure Group": "Desk limits",
        "Structure Name": "Price limit",
        "Structure ID": "s1",
        "Cube Name": "Cars_Cube",
        "Server Name": "atoti",
        "Measure Name": "Price.SUM",
        "Limit ID": f"l{number}",
        "Limit Name": f"Limit {number}",
        "Start Date": date(2026, 1, 1),
        "End Date": None,
        "Limit Type": "OFFICIAL",
        "Limit Value": 100.0,
        "Scope": f"CarName=car{number}",
        "Limit Status": "APPROVED",
        "Source Limit ID": None,
        "Precedence": 0,
        **more,
    }


STRUCTURE: dict[str, Any] = {
    "serverName": "atoti",
    "cubeName": "Cars_Cube",
    "measureName": "Price.SUM",
    "group": "Desk limits",
    "referenceId": "s1",
    "name": "Price limit",
    "comment": "",
    "exceptionWorkflow": "Exception",
    "exceptionWorkflowParameters": {},
    "limitChangesWorkflow": "FourEyes",
    "limitChangesWorkflowParameters": {},
    "pollingFrequency": "EOD",
    "kpiType": "Greater Than",
    "warningThreshold": 90.0,
    "scopeKeys": ["CarName@CarName@Cars"],
}

LIMIT: dict[str, Any] = {
    "structureId": "s1",
    "limitId": "l1",
    "limitName": "Alpha price",
    "startDate": "2026-01-01",
    "endDate": None,
    "limitType": "OFFICIAL",
    "limitValue": 100.0,
    "scope": "CarName=alpha",
    "limitStatus": "APPROVED",
    "sourceLimitId": None,
    "precedence": 0,
    "alive": True,
}
