"""Waiting for what takes time elsewhere: poll as often as the wait so far deserves, until it is done or a deadline."""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.durations import positive, seconds
from asyncconn.core.progress import OnProgress, Progress, telling
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.core.watching import Watching
from asyncconn.core.words import count
from asyncconn.errors import AsyncConnError, ConfigError, NotDone, PollTimeout, RateLimited, ServerError, TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator

    from asyncconn.core.watching import Following

__all__ = ["PollPolicy", "Poller", "passes"]

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPolicy:
    """How often to ask. All times in seconds.

    The next wait is ``minimum`` and a ``share`` of the time waited so far (so each is ``1 + share`` times the one
    before), at most ``maximum``, moved by up to ``jitter`` of itself either way: the lag is then a share of the job's
    own length. ``first`` is the wait before the first poll. ``deadline`` bounds the whole wait. ``tolerate`` is how
    many passing errors in a row (no connection, 429, 5xx) are taken as "not yet"; any other error ends the wait.
    """

    minimum: float = 1.0
    maximum: float = 30.0
    share: float = 0.055
    jitter: float = 0.2
    first: float = 0.0
    deadline: float = 3600.0
    tolerate: int = 10

    def __post_init__(self) -> None:
        for name in ("minimum", "maximum", "deadline"):
            positive(f"PollPolicy.{name}", getattr(self, name))
        seconds("PollPolicy.first", self.first)
        if not self.minimum <= self.maximum or not 0 <= self.share < math.inf or not 0 <= self.jitter < 1:
            raise ConfigError(f"a poll policy needs minimum <= maximum, share >= 0 and 0 <= jitter < 1: {self}")
        if not self.tolerate >= 0:
            raise ConfigError(f"a poll policy needs tolerate >= 0: {self}")

    def interval(self, elapsed: float) -> float:
        """The wait after ``elapsed`` seconds of waiting."""
        wait = min(self.maximum, self.minimum + self.share * elapsed)
        return wait * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 - spreading load is no secret


def passes(error: AsyncConnError) -> bool:
    """Whether an error means "not yet": no connection, 429, 5xx, nothing done."""
    if isinstance(error, TransportError):
        return not error.permanent
    return isinstance(error, ServerError | RateLimited | NotDone)


class Poller(Unpicklable, Generic[S, T]):
    """Something under way at a platform: await it for the result, iterate over it for every state seen.

    ``fetch`` asks for the state; ``done`` says whether it is final, and may raise ``OperationFailed``; ``result``
    makes the result of the final state. ``token`` is what another process needs to go on waiting. ``passing`` says
    which errors mean "not yet", where a platform has its own view of that. Who is ``watching`` follows the wait.
    ``scrub`` takes what nobody is to see out of the text of a ``PollTimeout``, which tells the last state.

        >>> poller = Poller(fetch, done=lambda state: state == "SUCCESS", result=str.lower)
        >>> await poller
        'success'

    Raises ``PollTimeout`` (with the token, the last state and the number of polls) at the deadline.
    """

    _elsewhere = "hand over its token(), and go on from that"

    def __init__(
        self,
        fetch: Callable[[], Awaitable[S]],
        *,
        done: Callable[[S], bool],
        result: Callable[[S], T],
        policy: PollPolicy | None = None,
        token: str = "",
        clock: Clock | None = None,
        name: str = "operation",
        passing: Callable[[AsyncConnError], bool] | None = None,
        watching: Watching | None = None,
        scrub: Callable[[str], str] = str,
    ) -> None:
        self._fetch = fetch
        self._passing = passing or passes
        self._done = done
        self._result = result
        self._token = token
        self._clock = clock or SystemClock()
        self._watching = watching or Watching()
        self._scrub = scrub
        self.policy = policy or PollPolicy()
        self.name = name
        self.polls = 0
        self.last: S | None = None

    def __repr__(self) -> str:
        return f"<Poller of {self.name}: {count(self.polls, 'poll')}>"

    def token(self) -> str:
        """What another process needs to resume the wait."""
        return self._token

    async def status(self) -> S:
        """Ask once, now."""
        self.polls += 1
        self.last = await self._fetch()
        return self.last

    async def wait(self) -> T:
        """What awaiting the poller itself does."""
        async for state in self:
            last = state
        return self._result(last)

    def __await__(self) -> Generator[Any, None, T]:
        return self.wait().__await__()

    async def __aiter__(self) -> AsyncIterator[S]:
        with self._watching.follow("poll", self.name, self) as following:
            async with aclosing(self._states(following)) as states:
                async for state in states:
                    yield state

    async def _states(self, following: Following) -> AsyncGenerator[S, None]:
        policy = self.policy
        started = self._clock.now()
        deadline = started + policy.deadline
        await self._sleep(policy.first, deadline, None)
        tell: OnProgress | None = telling(None, self.name)
        errors = 0
        pause = policy.minimum
        failure: AsyncConnError | None = None
        while True:
            try:
                async with asyncio.timeout(max(0.0, deadline - self._clock.now())) as limit:
                    following.event("ask", self.polls + 1)
                    state = await self.status()
                    following.event("state", state)
            except TimeoutError:
                if limit.expired():
                    raise self._timed_out(failure) from failure
                raise
            except AsyncConnError as error:
                errors += 1
                if not self._passing(error) or errors > policy.tolerate:
                    raise
                failure = error
                following.event("passing", error)
                # Decorrelated jitter, apart from the poll interval: a struggling server is asked less and less.
                pause = min(policy.maximum, random.uniform(policy.minimum, pause * 3))  # noqa: S311 - as above
                await self._sleep(max(pause, getattr(error, "retry_after", None) or 0.0), deadline, failure)
                continue
            errors, pause, failure = 0, policy.minimum, None
            final = self._done(state)
            if tell is not None:
                tell(Progress(self.polls, None, "polls"))
            yield state
            if final:
                return
            await self._sleep(policy.interval(self._clock.now() - started), deadline, None)

    async def _sleep(self, seconds: float, deadline: float, failure: AsyncConnError | None) -> None:
        left = deadline - self._clock.now()
        if seconds >= left:
            await self._clock.sleep(max(0.0, left))
            raise self._timed_out(failure) from failure
        if seconds > 0:
            await self._clock.sleep(seconds)

    def _timed_out(self, failure: AsyncConnError | None) -> PollTimeout:
        # Scrubbed before it is cut: half a secret is still half a secret.
        seen = f"the last poll failed: {failure}" if failure else f"last state: {self._scrub(repr(self.last))[:300]}"
        return PollTimeout(
            f"{self.name} was not done after {self.policy.deadline:g} s and {self.polls} polls; {seen}",
            token=self._token or None,
            last=self.last,
            polls=self.polls,
        )
