"""A sandbox and a client for it, on whatever clock; and what the sandbox counted."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncconn import Hub
from asyncconn.core.polling import PollPolicy
from asyncconn.core.retrying import RetryPolicy
from asyncconn.datorama import BulkProgress, Datorama, DatoramaLimits
from asyncconn.sandbox import DatoramaWorld, Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from asyncconn.core.clock import Clock

#: Far more than any test needs: for those that are not about the limits.
AMPLE = {"platform_per_minute": 100_000, "per_day": 10_000_000}

ONE_BY_ONE = PollPolicy(minimum=5.0, maximum=60.0, share=0.1, jitter=0.0, first=5.0)


@dataclass
class Scene:
    sandbox: Sandbox
    client: Datorama
    before: int = 0
    progress: list[BulkProgress] = field(default_factory=list)

    @property
    def world(self) -> Any:
        return self.sandbox.datorama.live

    @property
    def streams(self) -> list[int]:
        """Ids of all streams."""
        return list(self.world.streams)

    def mark(self) -> None:
        """Count calls from here."""
        self.before = len(self.sandbox.datorama.calls)

    def calls(self, *endings: str) -> int:
        """Calls since the mark; those whose path ends so."""
        since = list(self.sandbox.datorama.calls)[self.before :]
        return sum(not endings or call.path.endswith(endings) for call in since)

    def accepted(self) -> Counter[tuple[int, str, str]]:
        """How often the sandbox took each stream's days, beyond what its world began with."""
        return Counter(
            (stat.stream_id, stat.start.isoformat(), stat.end.isoformat()) for stat in self.world.stats.values()
        )

    def fail(self, *faults: Fault) -> None:
        self.sandbox.faults.add(*faults)


@asynccontextmanager
async def scene(
    clock: Clock | None = None, *, faults: Iterable[Fault] = (), limits: Any = None, **world: Any
) -> AsyncIterator[Scene]:
    """A world without jobs and with ample limits, unless it says otherwise."""
    options = {"workspaces": 1, "jobs": 0, "file_every": 0, **AMPLE, **world}
    async with Sandbox(DatoramaWorld(**options), seed=1, clock=clock) as sandbox, Hub(clock=clock) as hub:
        sandbox.faults.add(*faults)
        yield Scene(sandbox, client(sandbox, hub, limits=limits))


def client(sandbox: Sandbox, hub: Hub, tokens: list[str] | None = None, limits: Any = None, **options: Any) -> Datorama:
    if limits is None:
        world = sandbox.datorama.live.options
        limits = DatoramaLimits(calls_per_minute=world.platform_per_minute, calls_per_day=world.per_day)
    quick = RetryPolicy(attempts=3, initial=0.01, maximum=0.05, deadline=600.0, max_retry_after=120.0)
    given = {"retry": quick, **options}
    return Datorama(tokens or sandbox.datorama.tokens, hub=hub, base_url=sandbox.url, limits=limits, **given)
