"""``collect``: partitions of work in batches, by this process or by a cluster's workers, and what became of them."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterable, Callable, Iterable, Sized
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from asyncconn.collecting.batching import Batches, Size
from asyncconn.collecting.naming import name_of_work
from asyncconn.collecting.report import CollectReport, Outcome
from asyncconn.collecting.sinks import Run
from asyncconn.collecting.working import Plan, Working
from asyncconn.core.clock import SystemClock
from asyncconn.core.closing import each
from asyncconn.core.extras import extra, needed
from asyncconn.core.progress import OnProgress, Progress, telling
from asyncconn.core.tasks import together
from asyncconn.errors import ConfigError
from asyncconn.hub import Hub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence
    from contextlib import AbstractAsyncContextManager

    from distributed import Client

    from asyncconn.collecting.sinks import PartitionSink
    from asyncconn.collecting.working import Named, Work

__all__ = ["Crew", "collect"]

logger = logging.getLogger("asyncconn.collecting")

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Crew(Generic[P]):
    """Those who do batches: ``lanes`` of them at once. ``first`` is how many partitions the first ones have.

    Where nothing is gained by more of them, as each partition is there by itself, ``batch`` says how many always.
    """

    lanes: int
    first: int
    batch: int | None
    work: Callable[[Sequence[Named[P]]], Awaitable[Outcome]]


async def collect(
    partitions: Iterable[P] | AsyncIterable[P],
    work: Work[P],
    *,
    into: PartitionSink,
    client: Client | None = None,
    batch: int | Literal["auto"] = "auto",
    concurrency: int = 16,
    retries: int = 3,
    hub: Hub | Callable[[], Hub] = Hub,
    key: Callable[[P], str] | None = None,
    run: str | None = None,
    on_progress: OnProgress | None = None,
) -> CollectReport:
    """Do the ``work`` of every partition, and put its rows into a sink: each partition whole or not at all, and once.

        >>> async def jobs_of(hub: Hub, stream_id: int) -> AsyncIterator[dict[str, Any]]:
        ...     async with Datorama.from_env(hub=hub) as datorama:
        ...         async for job in datorama.jobs.list(stream_id):
        ...             yield job.raw
        >>> report = await collect(stream_ids, jobs_of, into=JsonLines("jobs"))
        >>> report.done, report.skipped, report.failed, report.rows
        (5000, 0, 0, 61234)

    ``work`` is an async generator of rows, or a coroutine that returns them (or a pager, or None). It may be begun more
    than once for a partition, and is to do no harm then. ``partitions`` are told apart by their JSON, or by the text
    that ``key`` gives, which names the file; one that comes twice is done once. So many as ``concurrency`` are under
    way at a time in each process. One whose work raises what may pass (no connection, 429, 5xx, ``OSError``) is tried
    so many times more as ``retries`` says; then, or with another error, it has failed, and the others go on.

    Called again, after a kill, a cancellation or with partitions failed, it does what is not there yet. A sink has the
    rows of one ``run``: by default its name is that of the work, with a digest of its code and of what is bound to it,
    so that rows of an older one are not taken for those of this one. ``report.run`` is the name.

    With ``client``, one of dask.distributed (the extra ``dask``), a cluster's workers do it: the same program, and the
    sink's folder is one that all see. Each has a hub of its own, made there by ``hub``, a function; credentials are
    read there from the environment, and travel in no task. What ``hub`` makes is closed at the end; in this process it
    may also be one that is open, and stays so. A batch has so many partitions as take some ten seconds, or ``batch`` of
    them. A cancelled run begins no partition more.

    ``on_progress`` gets the partitions that have an outcome.

    Raises ``ConfigError``, and ``StateInUse`` when another call has the sink's folder; what ``partitions`` and ``key``
    raise, after what is under way is cancelled.
    """
    if batch != "auto" and not batch >= 1:
        raise ConfigError(f"batch must be 'auto' or 1 or more, not {batch!r}")
    if concurrency < 1 or retries < 0:
        raise ConfigError(f"concurrency must be 1 or more, and retries 0 or more, not {concurrency} and {retries}")
    if not callable(work):
        raise ConfigError(f"the work is an async function of a hub and a partition, not {work!r:.100}")
    if isinstance(into, type) or not hasattr(into, "hold"):
        raise ConfigError(f"into is a sink of partitions, such as JsonLines('folder'), not {into!r:.100}")
    if not isinstance(hub, Hub) and not callable(hub):
        raise ConfigError(f"hub is an open one, or a function that makes one, not {hub!r:.100}")
    clock = SystemClock()
    started = clock.now()
    its = Run(run or name_of_work(work), uuid.uuid4().hex)
    plan = Plan(work, into, its, concurrency, retries)
    async with AsyncExitStack() as stack:
        known = await stack.enter_async_context(into.hold(its))
        crew = await stack.enter_async_context(_crew(plan, client, hub))
        size = Size(crew.batch or batch, crew.first, crew.lanes)
        source = await stack.enter_async_context(aclosing(each(partitions)))
        total = len(partitions) if isinstance(partitions, Sized) else None
        leading = _Leading(Batches(source, known, size, total=total, key=key), size, total, on_progress)
        await together((leading.lane(crew) for _ in range(crew.lanes)), name="asyncconn:collect:lane")
    report = leading.report(its.name, clock.now() - started)
    if report.failed:
        error = report.failures[0].error
        logger.warning("%d partitions failed: %s: %s", report.failed, type(error).__name__, error)
    return report


def _crew(plan: Plan[P], client: Client | None, hub: Hub | Callable[[], Hub]) -> AbstractAsyncContextManager[Crew[P]]:
    if client is None:
        return _here(plan, hub)
    if isinstance(hub, Hub):
        raise ConfigError("a hub belongs to this process: on a cluster, hub= is a function that makes one")
    needed("distributed", "dask")
    # By its name, as nothing down here may need what only some programs have installed.
    made: AbstractAsyncContextManager[Crew[P]] = extra("asyncconn.integrations.dask", "dask").crew(plan, client, hub)
    return made


@asynccontextmanager
async def _here(plan: Plan[P], hub: Hub | Callable[[], Hub]) -> AsyncIterator[Crew[P]]:
    """This process. Two batches at once, so that the end of one leaves nobody idle."""
    async with AsyncExitStack() as stack:
        opened = hub if isinstance(hub, Hub) else await stack.enter_async_context(hub())
        working = await Working.open(plan, opened)
        if plan.into.by_batch:
            yield Crew(2, plan.concurrency, None, working.batch)
        else:
            yield Crew(plan.concurrency, 1, 1, working.batch)


class _Leading(Generic[P]):
    """Batches out, outcomes in."""

    def __init__(self, batches: Batches[P], size: Size, total: int | None, on_progress: OnProgress | None) -> None:
        self._batches = batches
        self._size = size
        self._total = total
        self._on_progress = telling(on_progress, "collect")
        self._outcome = Outcome()
        self._tell()

    async def lane(self, crew: Crew[P]) -> None:
        while found := await self._batches.next():
            outcome = await crew.work(found)
            self._size.learn(len(found), outcome)
            self._outcome = Outcome.joined([self._outcome, outcome])
            self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            done = self._outcome.count + self._batches.skipped
            self._on_progress(Progress(done, self._total, "partitions"))

    def report(self, run: str, seconds: float) -> CollectReport:
        one = self._outcome
        skipped = self._batches.skipped
        return CollectReport(one.done, skipped, one.failed, one.rows, one.repeated, one.failures, run, seconds)
