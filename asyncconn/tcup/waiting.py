"""Waiting for tasks and workflows: however many wait, each is asked for once at a time, and so many in all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from asyncconn.core.poll_group import PollGroup
from asyncconn.core.polling import Poller, PollPolicy
from asyncconn.core.tasks import Flights
from asyncconn.core.unpicklable import Unpicklable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from asyncconn.core.clock import Clock
    from asyncconn.http.transport import Transport

__all__ = ["JOB_POLLING", "Watch"]

S = TypeVar("S")

#: A batch job may take the whole day.
JOB_POLLING = PollPolicy(minimum=1.0, maximum=30.0, deadline=24 * 3600.0)


class Watch(Unpicklable, Generic[S]):
    """What asks for the states of one client's tasks, or runs: ``places`` of them at once, each once at a time.

    Who asks for one while it is being asked for gets the same answer. Pollers that wait for a place here keep none of
    the client's own from other calls.
    """

    _elsewhere = "hand over a token(), and go on from that"

    def __init__(
        self, fetch: Callable[[str], Awaitable[S]], *, places: int, clock: Clock, http: Transport, name: str
    ) -> None:
        self._fetch = fetch
        self._places = asyncio.Semaphore(places)
        self._at_once = places
        self._flights: Flights[str] = Flights(name)
        self._clock = clock
        self._http = http
        self._name = name

    @property
    def clock(self) -> Clock:
        """The one by which it waits."""
        return self._clock

    def scrub(self, text: str) -> str:
        """A text of a state without the key: a task may have been given it, and quote it."""
        return self._http.redactor.scrub(text)

    async def ask(self, token: str) -> S:
        """The state of one, now."""
        return await self._flights.join(token, lambda: self._asked(token))

    async def _asked(self, token: str) -> S:
        async with self._places:
            return await self._fetch(token)

    def poller(
        self,
        token: str,
        *,
        done: Callable[[S], bool],
        result: Callable[[S], S],
        policy: PollPolicy,
        deadline: float | None,
        name: str,
        seen: Callable[[S], object] = lambda _: None,
    ) -> Poller[S, S]:
        """A poller for one; ``deadline``, in seconds, replaces the policy's. ``seen`` is told every state."""

        async def fetch() -> S:
            state = await self.ask(token)
            seen(state)
            return state

        return Poller(
            fetch,
            done=done,
            result=result,
            policy=policy if deadline is None else replace(policy, deadline=deadline),
            token=token,
            clock=self._clock,
            name=name,
            watching=self._http.watching,
            scrub=self.scrub,
        )

    def group(self, tokens: Iterable[str], *, done: Callable[[S], bool], policy: PollPolicy) -> PollGroup[str, S]:
        """Many waited for together."""
        return PollGroup(
            self.ask,
            tokens,
            done=done,
            at_once=self._at_once,
            policy=policy,
            clock=self._clock,
            name=self._name,
            watching=self._http.watching,
            scrub=self.scrub,
        )
