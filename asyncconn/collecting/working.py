"""A batch of partitions, done: the same in one process and in a cluster's workers."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.collecting.report import FailedPartition, Outcome
from asyncconn.core.closing import each as each_of
from asyncconn.core.polling import passes
from asyncconn.core.retrying import RetryPolicy
from asyncconn.core.tasks import asked_to_end, cut_short, each
from asyncconn.errors import AsyncConnError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncconn.collecting.sinks import PartitionSink, Place, Run, Writing
    from asyncconn.hub import Hub

__all__ = ["Named", "Plan", "Rows", "Work", "Working"]

P = TypeVar("P")

Row = Mapping[str, Any]
#: What the work of a partition gives: an async generator or a pager, or an awaitable that brings rows, or None.
Rows = AsyncIterable[Row] | Awaitable[Iterable[Row] | AsyncIterable[Row] | None]
Work = Callable[["Hub", P], Rows]
#: A partition with its name.
Named = tuple[str, P]

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Plan(Generic[P]):
    """What a process has to know to do batches. It is sent to workers as it is."""

    work: Work[P]
    into: PartitionSink
    run: Run
    concurrency: int
    retries: int


class Working(Generic[P]):
    """A process that does batches: so many partitions at once, whatever the batch that they are of."""

    def __init__(self, plan: Plan[P], hub: Hub, place: Place) -> None:
        self._plan = plan
        self._hub = hub
        self._place = place
        self._room = asyncio.Semaphore(plan.concurrency)
        self._retry = RetryPolicy(attempts=plan.retries + 1, maximum=30.0, deadline=_DAY)

    @classmethod
    async def open(cls, plan: Plan[P], hub: Hub) -> Working[P]:
        """On a hub that is open. Raises ``ConfigError`` where the sink cannot be used from here."""
        return cls(plan, hub, await plan.into.open(plan.run, hub))

    async def batch(self, partitions: Sequence[Named[P]], wanted: Callable[[], bool] = lambda: True) -> Outcome:
        """Do these; an error of one is in the outcome, and the others go on. Those not begun when it is no longer
        ``wanted`` are left out.
        """
        started = self._hub.clock.now()
        writing = self._place.writing([name for name, _ in partitions])
        outcomes: list[Outcome] = []

        async def one(named: Named[P]) -> None:
            async with self._room:
                if wanted():
                    outcomes.append(await self._one(writing, *named))

        await each(partitions, one, name="asyncconn:collect", at_once=self._plan.concurrency)
        await writing.finish()
        joined = Outcome.joined(outcomes)
        seconds = self._hub.clock.now() - started
        return Outcome(joined.done, joined.rows, joined.repeated, joined.failed, joined.failures, seconds)

    async def _one(self, writing: Writing, name: str, partition: P) -> Outcome:
        if (rows := await writing.found(name)) is not None:  # whoever had this batch before had done it
            return Outcome(done=1, rows=rows)
        tries = 0

        async def attempt() -> int:
            nonlocal tries
            tries += 1
            async with aclosing(_rows(self._plan.work(self._hub, partition))) as rows:
                return await writing.write(name, rows)

        try:
            rows = await self._retry.repeat(attempt, when=_passes, clock=self._hub.clock)
        except asyncio.CancelledError:
            if asked_to_end():
                raise
            failed = FailedPartition(partition, cut_short("the work of a partition"))
            return Outcome(failed=1, repeated=tries - 1, failures=(failed,))
        except Exception as error:  # noqa: BLE001 - the work is the user's, and so are its errors: each is reported
            return Outcome(failed=1, repeated=tries - 1, failures=(FailedPartition(partition, _portable(error)),))
        return Outcome(done=1, rows=rows, repeated=tries - 1)


async def _rows(given: Any) -> AsyncGenerator[Row, None]:
    if isinstance(given, Awaitable) and not isinstance(given, AsyncIterable):
        given = await given
    elif not isinstance(given, AsyncIterable):
        raise ConfigError(
            f"the work of a partition is an async generator or a coroutine, and gave {type(given).__name__}"
        )
    if given is None:
        return
    async with aclosing(each_of(given)) as rows:
        async for row in rows:
            yield row


def _passes(error: BaseException) -> bool:
    """Whether it may go well the next time: no connection, 429, 5xx, and the system's own errors of this kind."""
    return passes(error) if isinstance(error, AsyncConnError) else isinstance(error, OSError)


def _portable(error: Exception) -> Exception:
    """The error, or what can be said of it, where it could not reach the process that reports it."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was packed right here
    except Exception:  # noqa: BLE001 - whatever a stranger's error does
        return AsyncConnError(f"{type(error).__name__}: {error}")
    return error
