"""dask.distributed: a cluster's workers do the batches of :func:`asyncconn.collect`.

    >>> async with Client("tcp://scheduler:8786", asynchronous=True) as client:
    ...     report = await collect(streams, jobs_of, into=JsonLines("/shared/jobs"), client=client)

Each worker has a hub of its own, open on the worker's loop while the run lasts; a worker that starts anew gets a new
one. What a lost worker had is done again by others, but for the partitions that are there already.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.collecting.report import Outcome
from asyncconn.collecting.running import Crew
from asyncconn.collecting.working import Working
from asyncconn.core.tasks import TaskScope, drain_guard
from asyncconn.errors import LifecycleError

try:
    from distributed import Client, KilledWorker, WorkerPlugin, get_worker
except ImportError as error:
    raise ImportError("asyncconn.integrations.dask needs distributed: pip install 'asyncconn[dask]'") from error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from distributed import Worker

    from asyncconn.collecting.working import Named, Plan
    from asyncconn.hub import Hub

__all__ = ["HubPlugin", "crew"]

logger = logging.getLogger("asyncconn.integrations.dask")

P = TypeVar("P")

_FEWEST = 16  # batches under way: workers may come later
_GRACE = 5.0  # seconds that partitions under way have when the run is over
_FAREWELL = 60.0  # seconds that all workers together may take to close their hubs


class HubPlugin(WorkerPlugin, Generic[P]):
    """A hub on a worker, and what does batches there, as long as a run lasts.

    It and the partitions are all that is sent: ``hub`` makes the hub on the worker, and credentials come from there.
    """

    idempotent = True

    def __init__(self, plan: Plan[P], hub: Callable[[], Hub]) -> None:
        self.name = f"asyncconn-{plan.run.attempt}"
        self._plan = plan
        self._make = hub

    async def setup(self, worker: Worker) -> None:
        """Open the hub on the worker's loop. Raises ``ConfigError`` where the sink cannot be used from here."""
        self._over: set[str] = set()
        self._scope = TaskScope("asyncconn:collect")
        self._hub = await self._make().open()
        try:
            self._working = await Working.open(self._plan, self._hub)
        except BaseException:
            await self._hub.aclose()
            raise

    async def teardown(self, worker: Worker) -> None:
        """The run is over, or the worker: begin nothing more, give what is under way its end, and close the hub."""
        self._over.add("")
        await self._scope.aclose(_GRACE)
        await self._hub.aclose()

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Nobody waits for a task any more: its coroutine would go on to its end all the same."""
        if finish == "cancelled":
            self._over.add(key)

    async def batch(self, key: str, partitions: Sequence[Named[P]]) -> Outcome:
        """Do a batch, unless and until the run is over."""
        self._over.discard(key)
        task = self._scope.spawn(
            self._working.batch(partitions, lambda: self._over.isdisjoint((key, ""))), name=f"batch {key}"
        )
        await asyncio.wait({task})
        if task.cancelled():
            raise LifecycleError("the run was over before this batch was done")
        return task.result()


async def _batch(plugin: str, key: str, partitions: Sequence[Named[Any]]) -> Outcome:
    """What a task of the cluster is."""
    found: HubPlugin[Any] = get_worker().plugins[plugin]
    return await found.batch(key, partitions)


@asynccontextmanager
async def crew(plan: Plan[P], client: Client, hub: Callable[[], Hub]) -> AsyncIterator[Crew[P]]:
    """The workers of a client's cluster, with a hub each until this is left."""
    async with _asynchronous(client) as ours:
        plugin = HubPlugin(plan, hub)
        await ours.register_plugin(plugin)
        try:
            lanes = max(_FEWEST, 2 * sum((await ours.nthreads()).values()))
            yield Crew(lanes, plan.concurrency, None, _Submitting(ours, plan, plugin.name).work)
        finally:
            leaving = ours.unregister_worker_plugin(plugin.name)
            await drain_guard(leaving, timeout=_FAREWELL, name="asyncconn:collect:leave")


@asynccontextmanager
async def _asynchronous(client: Client) -> AsyncIterator[Client]:
    """A client of this loop: the one that was given, or another one to the same scheduler."""
    if client.asynchronous:
        yield client
        return
    here = Client(client.scheduler.address, asynchronous=True, security=client.security, set_as_default=False)
    async with here as ours:
        yield ours


class _Submitting(Generic[P]):
    """Batches as tasks: counts come back, and no rows."""

    def __init__(self, client: Client, plan: Plan[P], plugin: str) -> None:
        self._client = client
        self._plan = plan
        self._plugin = plugin
        self._tasks = 0

    async def work(self, partitions: Sequence[Named[P]]) -> Outcome:
        """Do a batch. One that took its workers along, time and again, is given out anew."""
        left = self._plan.retries
        while True:
            try:
                return await self._submit(partitions)
            except KilledWorker as error:
                # Whatever a lost worker had at hand is suspected of it, and one of these partitions may be at fault.
                logger.warning("a batch of %d partitions is done again: %s", len(partitions), error)
                repeated = Outcome(repeated=len(partitions))
                if len(partitions) > 1 and not self._plan.into.by_batch:
                    half = len(partitions) // 2
                    parts = await asyncio.gather(self.work(partitions[:half]), self.work(partitions[half:]))
                    return Outcome.joined([repeated, *parts])
                left -= 1
                if left < 0:
                    failed = tuple(self._failed(partitions, error))
                    return Outcome(failed=len(failed), failures=failed)

    async def _submit(self, partitions: Sequence[Named[P]]) -> Outcome:
        self._tasks += 1
        # The name before the digest is the task's in Dask's dashboard; one key twice would be one task.
        key = f"{self._plan.run.name}-{self._plan.run.attempt[:8]}-{self._tasks}"
        future = self._client.submit(_batch, self._plugin, key, partitions, key=key, pure=False)
        try:
            outcome: Outcome = await future
        finally:
            future.release()
        return outcome
