"""One step of a check: a connector made anew, a function of the author run with it, and an end within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.connector import Connector
from asyncconn.core.clock import Clock, VirtualClock
from asyncconn.core.tasks import reap
from asyncconn.hub import Hub
from asyncconn.testing.watching import Ground, Heard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.http.redact import Redactor
    from asyncconn.testing.watching import Seen

__all__ = ["Ended", "Plan", "Step"]

C = TypeVar("C", bound=Connector)

Step = Callable[[C], Awaitable[object]]

_PATIENCE = 4.0  # seconds of the machine for a run with a fault: it shows by then what it shows
_LITTLE = 0.5  # the same for what is known to have no end
_LONGEST = 6.0  # the same for what has no end in virtual time either
_CALLS = 30  # so many calls' deadlines, one after the other, are an end


@dataclass
class Ended:
    """What a run came to: what the function returned or raised, and what the connector reported at its close."""

    result: object = None
    error: BaseException | None = None
    report: FlushReport | None = None
    in_time: bool = True


@dataclass
class Plan(Generic[C]):
    """What is to be checked; the words and the redactors of all runs are gathered here."""

    factory: Callable[[str, Hub], C]
    ground: Ground
    reads: Sequence[Step[C]]
    writes: Sequence[Step[C]]
    deliveries: Sequence[Step[C]]
    heard: Heard
    redactors: list[Redactor] = field(default_factory=list)
    clean: dict[Step[C], list[Seen]] = field(default_factory=dict)  # what each sends when nothing goes wrong
    endless: set[Step[C]] = field(default_factory=set)

    @property
    def steps(self) -> list[Step[C]]:
        """All functions."""
        return [*self.reads, *self.writes, *self.deliveries]

    @property
    def taken(self) -> int:
        """How many records the fake has stored; 0 where it does not say."""
        return int(getattr(self.ground, "taken", 0))

    async def run(self, step: Step[C], clock: Clock, *, patience: float | None = None) -> Ended:
        """Run it with a connector of its own, which is closed; errors are noted and not raised.

        It has ``patience`` seconds of the running loop, its close included.
        """
        ended = Ended()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience) as limit:
                await self._run(step, clock, ended)
        ended.in_time = not limit.expired()
        return ended

    async def hurried(self, step: Step[C], clock: Clock) -> Ended:
        """:meth:`run` under a fault, in which a wait without end is somebody else's finding."""
        if (forget := getattr(self.ground, "forget", None)) is not None:
            forget()
        return await self.run(step, clock, patience=_LITTLE if step in self.endless else _PATIENCE)

    async def _run(self, step: Step[C], clock: Clock, ended: Ended) -> None:
        async with Hub(clock=clock, on_undelivered="log") as hub:
            connector = self.factory(self.ground.url, hub)
            try:
                await connector.open()
                ended.result = await step(connector)
            except Exception as error:  # noqa: BLE001 - a stranger's function: what it raises is looked at
                ended.error = error
                self.heard.error(error)
            finally:
                self.heard.things(connector)
                self.redactors.append(connector.http.redactor)
                try:
                    ended.report = await connector.aclose()
                except Exception as error:  # noqa: BLE001 - so is its close
                    self.heard.error(error)

    async def virtually(self, step: Step[C]) -> Ended:
        """:meth:`run` on a virtual loop in a thread: of a server that never answers, an hour is over at once."""
        loop = _Loop()
        running = asyncio.ensure_future(asyncio.to_thread(loop.run, self._within(step, loop)))
        try:
            await asyncio.wait({running}, timeout=_LONGEST)
        finally:
            loop.cancel()
            await asyncio.wait({running})
        return running.result() or Ended(in_time=False)

    async def _within(self, step: Step[C], loop: _Loop) -> Ended:
        return await self.run(step, loop.clock, patience=self._end_of_all_waits(loop.clock))

    def _end_of_all_waits(self, clock: Clock) -> float:
        """Seconds after which what goes on has no end: many times the deadlines of a call, or of a close."""
        hub = Hub(clock=clock)
        http = self.factory(self.ground.url, hub).http
        waits, retry = http.timeouts, http.retry
        return _CALLS * (retry.deadline + waits.total + waits.connect + waits.place + hub.settings.shutdown_timeout)


class _Loop:
    """A virtual loop, and how another thread ends what runs there."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Any) -> Ended | None:
        """None if it had to be ended."""

        async def main() -> Ended | None:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.ensure_future(work)
            try:
                await asyncio.wait({self._task})
            finally:
                await reap([self._task])
            return None if self._task.cancelled() else self._task.result()

        return self.clock.run(main())

    def cancel(self) -> None:
        """From another thread; nothing happens if it is over."""
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(task.cancel)
