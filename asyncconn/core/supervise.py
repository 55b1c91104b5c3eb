"""A connection that is kept up: made anew whenever it breaks, after growing pauses, until it cannot get better."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypeVar
from weakref import WeakSet

from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.durations import positive
from asyncconn.core.events import Events
from asyncconn.core.notes import with_notes
from asyncconn.core.tasks import asked_to_end, drain_guard, reap
from asyncconn.core.watching import NOBODY, Following, Watching
from asyncconn.errors import (
    ApiError,
    AsyncConnError,
    ConfigError,
    ConnectionLost,
    ConnectTimeout,
    LifecycleError,
    RateLimited,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

__all__ = [
    "Change", "Gap", "Link", "Reconnect", "State", "StreamFigures", "StreamTally", "Supervisor", "cannot_get_better",
]  # fmt: skip

logger = logging.getLogger("asyncconn.supervise")

State = Literal["connecting", "live", "lost", "closed"]

_PASSING = (408, 425, 429)  # statuses below 500 that may be others a moment later
_KEPT = 1_000  # gaps
_GRACE = 5.0  # seconds beyond the time that the end of a connection may take
_LONGEST = 3600.0  # seconds that a server may ask for: a slip of its own would end the stream in silence


class Link(Protocol):
    """One connection, from its opening to its end."""

    async def ended(self) -> None:
        """Wait for its end: return where the other side has nothing more to say, raise what broke it."""
        ...


L = TypeVar("L", bound=Link)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnect:
    """How a broken connection is made anew.

    Pauses have full jitter: a random part of ``initial`` seconds, of twice as much after the next failure, and so on up
    to ``maximum``; what the server asks for is a floor, up to an hour. A connection that lived ``healthy`` seconds
    begins this anew. One attempt may take ``timeout`` seconds. ``attempts`` bounds the failures in a row; None is
    without end.

    >>> Reconnect().pause(1, random=lambda: 1.0), Reconnect().pause(9, random=lambda: 1.0)
    (0.5, 30.0)
    """

    initial: float = 0.5
    maximum: float = 30.0
    healthy: float = 60.0
    timeout: float = 10.0
    attempts: int | None = None

    def __post_init__(self) -> None:
        for name in ("initial", "maximum", "healthy", "timeout"):
            positive(f"Reconnect.{name}", getattr(self, name))
        if self.maximum < self.initial or (self.attempts is not None and not self.attempts >= 1):
            raise ConfigError(f"a reconnect policy needs initial <= maximum, and attempts >= 1 or None: {self}")

    def pause(self, failures: int, floor: float = 0.0, *, random: Callable[[], float] = random.random) -> float:
        """Seconds before the next attempt, after so many failures in a row."""
        ceiling = min(self.maximum, self.initial * 2.0 ** min(failures - 1, 60))
        return min(floor, _LONGEST) + random() * ceiling


@dataclass(frozen=True, slots=True)
class Change:
    """What handlers of ``live`` and ``lost`` are given: the ``state``, and the number of the connection it is about.

    ``error`` is what broke it, or kept it from coming up; ``pause`` the seconds until the next attempt.
    """

    state: State
    connection: int
    error: Exception | None = None
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages may have been missed before this ``connection``, and ``why``."""

    connection: int
    why: str


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """Of connections of one kind that are kept up: how many are ``live``, and how many ``down``, to be live again.

    Since the start: ``connections`` that were live, ``reconnects`` (of those, all but each one's first), ``lost``
    (connections that broke, and attempts that failed) and ``gaps``, where messages may have been missed.
    """

    name: str
    live: int = 0
    down: int = 0
    connections: int = 0
    reconnects: int = 0
    lost: int = 0
    gaps: int = 0

    def over(self) -> Self:
        """The same when all of them are closed."""
        return replace(self, live=0, down=0)

    def joined(self, other: Self) -> Self:
        """Both together."""
        counts = {one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)[1:]}
        return replace(self, **counts)


class StreamTally:
    """Counts what happens to connections of one kind, for :meth:`figures`; those that are over count on.

    >>> tally = StreamTally("acme.events")
    >>> supervisor = Supervisor(connect, name="acme", tally=tally)
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._kept: WeakSet[Supervisor[Any]] = WeakSet()
        self._connections = self._reconnects = self._lost = self._gaps = 0

    def watch(self, supervisor: Supervisor[Any]) -> None:
        """Count what happens to one more."""
        self._kept.add(supervisor)
        supervisor.events.on("live", self._on_live)
        supervisor.events.on("lost", self._on_lost)
        supervisor.events.on("gap", self._on_gap)

    def figures(self) -> StreamFigures:
        """At this moment."""
        states = [one.state for one in self._kept if one.opened]
        live = states.count("live")
        down = len(states) - live - states.count("closed")
        return StreamFigures(self.name, live, down, self._connections, self._reconnects, self._lost, self._gaps)

    def _on_live(self, change: Change) -> None:
        self._connections += 1
        self._reconnects += change.connection > 1

    def _on_lost(self, change: Change) -> None:
        self._lost += 1

    def _on_gap(self, gap: Gap) -> None:
        self._gaps += 1


def cannot_get_better(error: Exception) -> bool:
    """Whether the same attempt would end in the same error: by default what a supervisor gives up for.

    What is wrong in the program or its configuration, a hub that is closed, a certificate that is not trusted, and a
    refusal other than "too many" or "not now".
    """
    if isinstance(error, ApiError):
        return not isinstance(error, RateLimited) and error.status < 500 and error.status not in _PASSING
    return not isinstance(error, AsyncConnError) or isinstance(error, ConfigError | LifecycleError) or error.permanent


class Supervisor(Generic[L]):
    """Keeps one connection up, in a task of its own.

        >>> async with Supervisor(connect, name="acme") as supervisor:
        ...     link = await supervisor.link()     # the one that is live, or the next
        ...     await link.send(b"hello")

    ``connect`` makes a new context manager for each attempt; entered, it gives a :class:`Link` that is ready for use:
    what must be said after connecting (who asks, which topics) has been said. ``final`` tells the errors after which
    there is no further attempt; one that it raises itself ends it, too. Who is ``watching`` follows it to its end.
    Events: ``live`` and ``lost`` with a :class:`Change`, ``gap`` with a :class:`Gap`; ``tally`` counts them, for
    several connections of a kind.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[L]],
        *,
        name: str,
        policy: Reconnect | None = None,
        final: Callable[[Exception], bool] = cannot_get_better,
        clock: Clock | None = None,
        watching: Watching | None = None,
        tally: StreamTally | None = None,
    ) -> None:
        self.state: State = "connecting"
        self.connection = 0
        self.gaps: list[Gap] = []
        self.events = Events("live", "lost", "gap")
        self._connect = connect
        self._name = name
        self._policy = policy or Reconnect()
        self._final = final
        self._clock = clock or SystemClock()
        self._watching = watching or Watching()
        self._following: Following = NOBODY
        self._task: asyncio.Task[None] | None = None
        self._next: asyncio.Future[L] | None = None
        self._problem: Exception | None = None
        if tally is not None:
            tally.watch(self)

    def __repr__(self) -> str:
        return f"<Supervisor {self._name}: {self.state}, connection {self.connection}>"

    @property
    def opened(self) -> bool:
        """Whether its block was entered."""
        return self._task is not None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._next = loop.create_future()
        self._task = loop.create_task(self._keep(), name=f"{self._name}:supervise")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def link(self) -> L:
        """The connection that is live, or the next one that is.

        Raises the error that was final, and ``LifecycleError`` where there will be none: before it is opened, after it
        is closed, and when the other side has ended it.
        """
        if self._next is None:
            raise LifecycleError(f"{self._name} is not open: use 'async with'")
        return await asyncio.shield(self._next)

    async def over(self) -> None:
        """Wait until there will be no further connection. Raises the error that was final, if one was."""
        if self._task is not None:
            await asyncio.wait({self._task})
        if self._problem is not None:
            raise self._problem

    def missed(self, why: str) -> None:
        """Tell that messages may have been missed. For who knows the protocol."""
        gap = Gap(self.connection, why)
        self.gaps.append(gap)
        del self.gaps[:-_KEPT]
        logger.warning("%s: messages may have been missed: %s", self._name, why)
        self._tell("gap", gap)

    async def aclose(self) -> None:
        """End the connection, and every attempt to make one: also where the caller is cancelled meanwhile."""
        if self._task is not None and not self._task.done():
            await drain_guard(reap([self._task]), timeout=self._policy.timeout + _GRACE, name=f"{self._name}:close")

    # -- the task ------------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        with self._watching.follow("stream", self._name, self) as self._following:
            await self._kept_up()
            if self._problem is not None:
                self._following.event("final", self._problem)

    async def _kept_up(self) -> None:
        failures = 0
        try:
            while True:
                self.state = "connecting"
                problem, lived = await self._connection()
                if problem is None:
                    return
                failures = 1 if lived >= self._policy.healthy else failures + 1
                if (last := self._last(problem, failures)) is not None:
                    self._problem = last
                    self._end(last)
                    return
                pause = self._policy.pause(failures, getattr(problem, "retry_after", None) or 0.0)
                self._lost(problem, pause)
                await self._clock.sleep(pause)
        finally:
            self._end(LifecycleError(f"{self._name} is closed"))

    def _last(self, problem: Exception, failures: int) -> Exception | None:
        """The error that ends it, if there is to be no further attempt: a bug in who says so, too."""
        try:
            return problem if self._final(problem) or failures == self._policy.attempts else None
        except Exception as bug:  # noqa: BLE001 - it is a stranger's code, and those who wait are to hear of it
            if bug is not problem:
                bug.__context__ = problem
            return bug

    async def _connection(self) -> tuple[Exception | None, float]:
        """One connection: what broke it, None where it came to its end, and the seconds that it lived."""
        lived = 0.0
        stack = AsyncExitStack()
        try:
            link = await self._opened(stack)
            began = self._clock.now()
            self._up(link)
            try:
                await link.ended()
            finally:
                self._down()
                lived = self._clock.now() - began
        except asyncio.CancelledError as error:
            if asked_to_end():
                raise
            broke = ConnectionLost(f"{self._name}: something underneath was cancelled")
            broke.__cause__ = error
            return broke, lived
        except Exception as error:  # noqa: BLE001 - whether it is one of ours is for final to say
            return error, lived
        finally:
            await self._left(stack)
        return None, lived

    async def _opened(self, stack: AsyncExitStack) -> L:
        limit = asyncio.timeout(self._policy.timeout)
        try:
            async with limit:
                return await stack.enter_async_context(self._connect())
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ConnectTimeout(f"{self._name}: no connection within {self._policy.timeout:g} s") from error

    async def _left(self, stack: AsyncExitStack) -> None:
        """Let go of a connection that is over: what is wrong with its end changes nothing."""
        try:
            async with asyncio.timeout(self._policy.timeout):
                await stack.aclose()
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and asked_to_end():
                raise
            logger.debug("%s: the end of a connection failed: %r", self._name, error)

    def _up(self, link: L) -> None:
        self.state = "live"
        self.connection += 1
        logger.info("%s: connection %d is live", self._name, self.connection)
        if self._next is not None:
            self._next.set_result(link)
        self._tell("live", Change("live", self.connection))

    def _down(self) -> None:
        """Who asks from now on waits for the next."""
        self.state = "lost"
        self._next = asyncio.get_running_loop().create_future()

    def _lost(self, error: Exception, pause: float) -> None:
        self.state = "lost"
        said = f"{type(error).__name__}: {with_notes(error)}"
        logger.warning("%s: connection lost, next attempt in %.1f s: %s", self._name, pause, said)
        self._tell("lost", Change("lost", self.connection, error, pause))

    def _tell(self, name: str, data: Change | Gap) -> None:
        self._following.event(name, data)
        self.events.emit(name, data)

    def _end(self, error: Exception) -> None:
        if self.state == "closed":
            return
        self.state = "closed"
        if self._next is not None and not self._next.done():
            self._next.set_exception(error)
            self._next.exception()  # nobody need ask for it
