"""A client of Datorama and the embedded platform it talks to, for the tests of the connector."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loopback import QuickClock

from asyncconn import Hub
from asyncconn.core.retrying import RetryPolicy
from asyncconn.datorama import Datorama
from asyncconn.sandbox import Sandbox
from asyncconn.sandbox.datorama import DatoramaWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn.core.clock import Clock
    from asyncconn.sandbox.datorama import ApiCall, DatoramaWorld
    from asyncconn.sandbox.faults import Fault

#: The workspace and the streams of a world: the fifth of each five is file based.
WORKSPACE, STREAM, FILE_STREAM = 41001, 7700101, 7700105

#: The connector's own policy but for the waits between attempts.
QUICK = RetryPolicy(attempts=6, initial=0.01, maximum=0.05, deadline=600.0, max_retry_after=120.0)


@dataclass
class Scene:
    sandbox: Sandbox
    hub: Hub
    clock: Clock
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def platform(self) -> DatoramaWorld:
        return self.sandbox.datorama

    def client(self, *tokens: str, **options: Any) -> Datorama:
        """With all of the world's tokens unless some are given."""
        given: dict[str, Any] = {"hub": self.hub, "base_url": self.sandbox.url, "retry": QUICK}
        return Datorama(list(tokens or self.platform.tokens), **{**given, **self.options, **options})

    def fault(self, *faults: Fault) -> None:
        for fault in faults:
            self.sandbox.faults.add(fault)

    @property
    def calls(self) -> list[ApiCall]:
        """What reached the platform."""
        return list(self.platform.calls)

    def asked(self, path: str = "") -> list[tuple[str, str, int]]:
        """Method, path and status of the calls whose path ends so."""
        return [(call.method, call.path, call.status) for call in self.calls if call.path.endswith(path)]


@asynccontextmanager
async def scene(
    world: DatoramaWorld | None = None, *, faults: str | None = None, clock: Clock | None = None, **options: Any
) -> AsyncIterator[Scene]:
    """A running sandbox and an open hub; by default on a clock whose waits cost nothing.

    ``options`` are those of the clients.
    """
    clock = clock or QuickClock()
    world = world or DatoramaWorld(outcomes={"SUCCESS": 1.0})
    async with Sandbox(world, faults=faults, seed=1, clock=clock) as sandbox, Hub(clock=clock) as hub:
        yield Scene(sandbox, hub, clock, options)
