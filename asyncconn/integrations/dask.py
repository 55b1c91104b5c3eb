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
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from asyncconn.collecting.report import FailedPartition, Outcome
from asyncconn.collecting.running import Crew
from asyncconn.collecting.working import Working
from asyncconn.core.tasks import TaskScope, drain_guard
from asyncconn.errors import AsyncConnError

try:
    from distributed import Client, KilledWorker, Reschedule, WorkerPlugin, get_worker
    from distributed.protocol import pickle
except ImportError as error:
    raise ImportError("asyncconn.integrations.dask needs distributed: pip install 'asyncconn[dask]'") from error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from distributed import Worker

    from asyncconn.collecting.working import Named, Plan
    from asyncconn.hub import Hub

__all__ = ["HubPlugin", "crew"]

logger = logging.getLogger("asyncconn.integrations.dask")

_pickle: Any = pickle  # Dask's, for what a program's main module has too; it has no types

P = TypeVar("P")

_FEWEST = 16  # batches under way: workers may come later
_GRACE = 5.0  # seconds that partitions under way have when the run is over
_LOOK = 30.0  # seconds between looks at whether there are workers at all
_FAREWELL = 60.0  # seconds that all workers together may take to close their hubs


class HubPlugin(WorkerPlugin, Generic[P]):
    """A hub on a worker, and what does batches there, as long as a run lasts.

    It and the partitions are all that is sent: ``hub`` makes the hub on the worker, and credentials come from there.
    """

    idempotent = True

    def __init__(self, plan: Plan[P], hub: Callable[[], Hub]) -> None:
        self._plan = plan
        self._make = hub

    async def setup(self, worker: Worker) -> None:
        """Be ready. The hub is opened by the first batch: a worker whose plugin fails would not start."""
        self._over: set[str] = set()
        self._scope = TaskScope("asyncconn:collect")
        self._opening = asyncio.Lock()
        self._hub: Hub | None = None
        self._working: Working[P] | None = None

    async def teardown(self, worker: Worker) -> None:
        """The run is over, or the worker: begin nothing more, give what is under way its end, and close the hub."""
        self._over.add("")
        await self._scope.aclose(_GRACE)
        if self._hub is not None:
            await self._hub.aclose()

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Nobody waits for a task any more, whose coroutine would go on all the same; or somebody does again."""
        if start in ("executing", "long-running") and finish == "released":
            self._over.add(key)
        elif start == "cancelled":
            self._over.discard(key)

    async def batch(self, key: str, partitions: Sequence[Named[P]]) -> Outcome:
        """Do a batch, unless and until the run is over.

        Raises ``ConfigError`` where the sink cannot be used from here, and what opening a hub raises.
        """
        if "" in self._over:
            raise Reschedule
        task = self._scope.spawn(self._batch(key, partitions), name=key)
        try:
            await asyncio.wait({task})
        finally:
            self._over.discard(key)
        # Cut short, as nobody wants it any more: if somebody does all the same, it is done anew.
        if task.cancelled() or (outcome := task.result()).count < len(partitions):
            raise Reschedule
        return outcome

    async def _batch(self, key: str, partitions: Sequence[Named[P]]) -> Outcome:
        async with self._opening:
            if self._working is None:
                hub = await self._make().open()
                try:
                    self._working = await Working.open(self._plan, hub)
                except BaseException:
                    await hub.aclose()
                    raise
                self._hub = hub
        return await self._working.batch(partitions, lambda: self._over.isdisjoint((key, "")))


async def _batch(plugin: str, key: str, packed: bytes) -> Outcome:
    """What a task of the cluster is."""
    found = cast("HubPlugin[Any]", get_worker().plugins[plugin])
    return await found.batch(key, _pickle.loads(packed))


@asynccontextmanager
async def crew(plan: Plan[P], client: Client, hub: Callable[[], Hub]) -> AsyncIterator[Crew[P]]:
    """The workers of a client's cluster, with a hub each until this is left."""
    async with _asynchronous(client) as ours:
        name = f"asyncconn-{plan.run.attempt}"
        scope = TaskScope("asyncconn:collect")
        try:
            await ours.register_plugin(HubPlugin(plan, hub), name)
            scope.spawn(_watch(ours, plan.run.name), name="workers")
            lanes = max(_FEWEST, 2 * sum((await ours.nthreads()).values()))
            yield Crew(lanes, plan.concurrency, None, _Submitting(ours, plan, name).work)
        finally:
            await scope.aclose()
            await drain_guard(_leave(ours, name), timeout=_FAREWELL, name="asyncconn:collect:leave")


async def _watch(client: Any, run: str) -> None:
    """A cluster may get its workers later, or have lost them for good: who waits for them hears of it."""
    while True:
        await asyncio.sleep(_LOOK)
        if not await client.nthreads():
            logger.warning("%s waits for workers: the cluster of %s has none", run, client.scheduler.address)


async def _leave(client: Any, plugin: str) -> None:
    try:
        await client.unregister_worker_plugin(plugin)
    except OSError as error:  # a worker that has just been lost; its hub is too
        logger.warning("not every worker could be told that the run is over: %s", error)
    except ValueError:  # it could not even be registered
        return


@asynccontextmanager
async def _asynchronous(client: Any) -> AsyncIterator[Any]:
    """A client of this loop: the one that was given, or another one to the same scheduler."""
    if client.asynchronous:
        yield client
        return
    make: Any = Client  # which has no types
    async with make(
        client.scheduler.address, asynchronous=True, security=client.security, set_as_default=False
    ) as ours:
        yield ours


class _Submitting(Generic[P]):
    """Batches as tasks: counts come back, and no rows."""

    def __init__(self, client: Any, plan: Plan[P], plugin: str) -> None:
        self._client = client
        self._plan = plan
        self._plugin = plugin
        self._tasks = 0
        self._searching = asyncio.Lock()

    async def work(self, partitions: Sequence[Named[P]]) -> Outcome:
        """Do a batch. Of one that was with workers that died, time and again, the partition at fault is looked for."""
        try:
            return await self._submit(partitions)
        except KilledWorker as error:
            logger.warning("a batch of %d partitions is looked through: %s", len(partitions), error)
        # What a lost worker had at hand is suspected all together: one at a time, the innocent come through.
        async with self._searching:
            return await self._search(partitions)

    async def _search(self, partitions: Sequence[Named[P]]) -> Outcome:
        half = (len(partitions) + 1) // 2
        whole = half == len(partitions) or self._plan.into.by_batch  # one file is not made of two batches
        outcomes = [Outcome(repeated=len(partitions))]
        for some in [partitions] if whole else [partitions[:half], partitions[half:]]:
            try:
                outcomes.append(await self._submit(some))
            except KilledWorker as error:
                outcomes.append(_lost(some, error) if whole or len(some) == 1 else await self._search(some))
        return Outcome.joined(outcomes)

    async def _submit(self, partitions: Sequence[Named[P]]) -> Outcome:
        self._tasks += 1
        # The name before the digest is the task's in Dask's dashboard; one key twice would be one task.
        key = f"{self._plan.run.name}-{self._plan.run.attempt[:8]}-{self._tasks}"
        # Packed here, as the scheduler would unpack them, and keeps the last thousand tasks in its log.
        packed = _pickle.dumps(partitions)
        future = self._client.submit(_batch, self._plugin, key, packed, key=key, pure=False)
        try:
            outcome: Outcome = await future
        finally:
            future.release()
        return outcome


def _lost(partitions: Sequence[Named[Any]], error: KilledWorker) -> Outcome:
    failures = []
    for _, partition in partitions:
        lost = AsyncConnError("each worker that began it was lost")
        lost.__cause__ = error
        failures.append(FailedPartition(partition, lost))
    return Outcome(failed=len(failures), failures=tuple(failures))
