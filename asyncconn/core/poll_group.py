"""Waiting for many things at once: one loop for all, each asked once at a time, and told as soon as it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.polling import Poller, PollPolicy, passes
from asyncconn.core.tasks import Flights, each, reap
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import AsyncConnError, ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable

    from asyncconn.core.watching import Watching

__all__ = ["PollGroup", "Polled"]

K = TypeVar("K", bound=Hashable)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Polled(Generic[K, S]):
    """How one of many ended: by its ``state``, or by the ``error`` after which it is not asked for any more."""

    id: K
    state: S | None = None
    error: AsyncConnError | None = None


class PollGroup(Unpicklable, Generic[K, S]):
    """Many things under way at a platform: iterate for each one as it ends, or await how all of them ended.

        >>> group = PollGroup(jobs.get, [7, 8, 9], done=lambda job: job.final, policy=PollPolicy(deadline=600.0))
        >>> async for one in group:
        ...     print(one.id, one.state or one.error)

    ``fetch`` asks for the state of one; ``done`` says whether that is final, and may raise ``OperationFailed``. A round
    asks for all that have not ended, ``at_once`` of them together; the waits between rounds are the ``policy``'s. An
    error that ``passing`` takes for "not yet" (by default: no connection, 429, 5xx) is tolerated as often in a row as
    the policy says; it, and any other error, is the end of that one alone. Others may be added at any time. ``scrub``
    is that of a :class:`Poller`.

    Raises ``PollTimeout`` at the policy's deadline, whose ``last`` is the states by id; ``ended`` has what had ended.
    """

    _elsewhere = "hand over the ids that are unfinished, and make another one there"

    def __init__(
        self,
        fetch: Callable[[K], Awaitable[S]],
        ids: Iterable[K] = (),
        *,
        done: Callable[[S], bool],
        at_once: int = 10,
        policy: PollPolicy | None = None,
        clock: Clock | None = None,
        name: str = "operations",
        passing: Callable[[AsyncConnError], bool] = passes,
        watching: Watching | None = None,
        scrub: Callable[[str], str] = str,
    ) -> None:
        if at_once < 1:
            raise ConfigError(f"{name}: at least one is asked for at once, not {at_once}")
        self._fetch = fetch
        self._done = done
        self._at_once = at_once
        self._clock = clock or SystemClock()
        self._passing = passing
        self._watching = watching
        self._scrub = scrub
        self._flights: Flights[K] = Flights(name)
        self._errors: dict[K, int] = {}  # in a row, of those that have not ended
        self._listeners: list[asyncio.Queue[Polled[K, S] | None]] = []
        self.policy = policy or PollPolicy()
        self.name = name
        self.last: dict[K, S] = {}
        self.ended: dict[K, Polled[K, S]] = {}
        self.add(*ids)

    def __repr__(self) -> str:
        return f"<PollGroup of {self.name}: {len(self.ended):,} of {len(self.ended) + len(self._errors):,} ended>"

    def add(self, *ids: K) -> None:
        """Wait for these, too; again for those that had ended."""
        for one in ids:
            self._errors.setdefault(one, 0)
            self.ended.pop(one, None)

    @property
    def unfinished(self) -> list[K]:
        """Those that have not ended, in the order in which they were added."""
        return list(self._errors)

    async def ask(self, id: K) -> S:  # noqa: A002 - what it is called everywhere
        """The state of one, now. Whoever asks while it is being asked for gets the same answer, or the same error."""
        return await self._flights.join(id, lambda: self._asked(id))

    async def _asked(self, one: K) -> S:
        state = await self._fetch(one)
        self.last[one] = state
        if one in self._errors:
            self._errors[one] = 0
            if self._done(state):
                self._end(Polled(one, state))
        return state

    async def round(self) -> dict[K, S]:
        """Ask for all that have not ended, once; the states of all. Raises a passing error if nothing else came."""
        asked, failures = self.unfinished, []

        async def ask(one: K) -> None:
            try:
                await self.ask(one)
            except AsyncConnError as error:
                count = self._errors.get(one, 0) + 1
                if not self._passing(error) or count > self.policy.tolerate:
                    self._end(Polled(one, self.last.get(one), error))
                else:
                    self._errors[one] = count
                    failures.append(error)

        await each(asked, ask, name=f"{self.name}:round", at_once=self._at_once)
        if failures and len(failures) == len(asked):
            raise failures[0]
        return self.last

    def _end(self, ended: Polled[K, S]) -> None:
        self._errors.pop(ended.id, None)
        self.ended[ended.id] = ended
        for listener in self._listeners:
            listener.put_nowait(ended)

    async def wait(self) -> dict[K, Polled[K, S]]:
        """What awaiting the group itself does."""
        if self._errors:
            poller: Poller[dict[K, S], dict[K, S]] = Poller(
                self.round,
                done=lambda _: not self._errors,
                result=lambda states: states,
                policy=self.policy,
                clock=self._clock,
                name=self.name,
                passing=self._passing,
                watching=self._watching,
                scrub=self._scrub,
            )
            poller.last = self.last  # the same object: it is there although a deadline cuts the first round short
            await poller
        return self.ended

    def __await__(self) -> Generator[Any, None, dict[K, Polled[K, S]]]:
        return self.wait().__await__()

    async def __aiter__(self) -> AsyncGenerator[Polled[K, S], None]:
        news: asyncio.Queue[Polled[K, S] | None] = asyncio.Queue()
        for ended in self.ended.values():
            news.put_nowait(ended)
        self._listeners.append(news)
        loop = asyncio.get_running_loop().create_task(self.wait(), name=f"{self.name}:polling")
        loop.add_done_callback(lambda _: news.put_nowait(None))
        try:
            while (one := await news.get()) is not None:
                yield one
            loop.result()
        finally:
            self._listeners.remove(news)
            await reap([loop])
