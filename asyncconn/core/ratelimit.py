"""The rate limiter: first come, first served, over several limits at once, and the server may tighten any of them."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.durations import seconds
from asyncconn.core.limits import Part, PartSnapshot, Quota, Slot, TokenBucket, Window
from asyncconn.core.quota_store import FileQuotaStore, QuotaStore
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import AsyncConnError, ConfigError, LifecycleError, RateLimited

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "FileQuotaStore",
    "Part",
    "PartSnapshot",
    "Permit",
    "Quota",
    "QuotaStore",
    "RateLimiter",
    "RateSnapshot",
    "TokenBucket",
    "Window",
]


@dataclass(frozen=True, slots=True)
class RateSnapshot:
    """A limiter at one moment: its parts, callers ``waiting``, calls ``in_flight``, and ``paused_for`` seconds."""

    name: str
    parts: tuple[PartSnapshot, ...]
    waiting: int
    in_flight: int
    paused_for: float

    @property
    def remaining(self) -> int:
        """Calls that may go now: the least that any part has left."""
        return 0 if self.paused_for > 0 else min(part.remaining for part in self.parts)


class Permit:
    """The right to make one call. Report :meth:`sent` and :meth:`done`, or :meth:`cancel` if no answer will come."""

    _sent = False
    _ended = False

    def __init__(self, limiter: RateLimiter, slots: list[Slot]) -> None:
        self._limiter = limiter
        self._slots = slots

    def sent(self) -> None:
        """The request is completely on the wire. Idempotent."""
        if not self._sent and not self._ended:
            self._sent = True
            self._limiter._on_sent(self._slots)

    def done(self) -> None:
        """The answer is here. Where none will come, as after a cancellation, call :meth:`cancel`. Idempotent."""
        if not self._ended:
            self._ended = True
            self._limiter._on_done(self._slots)

    def cancel(self) -> None:
        """Nobody waits for an answer. If nothing was sent, the call is given back. Idempotent.

        After :meth:`sent` the request may still be on its way to the server, so it stays counted as long as that
        may take (a window's ``skew``).
        """
        if self._sent:
            if not self._ended:
                for slot in self._slots:
                    slot.lost = True
            self.done()
        elif not self._ended:
            self._ended = True
            self._limiter._on_cancel(self._slots)


class RateLimiter(Unpicklable):
    """Grants calls in the order they were asked for, when all parts allow it together.

        >>> limiter = RateLimiter(Window(60, 60.0), Quota(20_000), name="datorama")
        >>> async def call() -> None:
        ...     async with limiter:
        ...         ...  # one request

    A large cost waits at the head like any other, so it is never starved. A waiter that is cancelled, even in the
    very turn in which it was granted, gives its call back. One limiter belongs to one event loop.
    """

    def __init__(self, *parts: Part, name: str = "limiter", key: str | None = None, clock: Clock | None = None) -> None:
        if not parts:
            raise ConfigError(f"{name}: a rate limiter needs at least one part")
        names = [part.name for part in parts]
        if len(set(names)) != len(names):
            raise ConfigError(f"{name}: two parts share a name: {', '.join(names)}")
        self.name = name
        self._parts = parts
        self._clock = clock or SystemClock()
        self._now = self._clock.now
        self._queue: deque[tuple[asyncio.Future[Permit], int]] = deque()
        self._queued_cost = 0
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._paused_until = 0.0
        self._closed = False
        self._held: dict[asyncio.Task[Any] | None, list[Permit]] = {}
        self._only = parts[0] if len(parts) == 1 else None
        self._most = min(part.limit for part in parts)
        self._shortest = min(part.period for part in parts)
        for part in parts:
            part.bind(self._clock, self._wake, key or name)

    async def acquire(self, cost: int = 1, *, max_wait: float | None = None) -> Permit:
        """Wait for a permit for one call that counts ``cost`` times.

        Raises ``RateLimited`` (``local``, with ``retry_after`` seconds) at once when the wait would be longer than
        ``max_wait`` seconds, and at the latest after ``max_wait``; ``QuotaExhausted`` when a quota has nothing left
        and does not wait; ``ConfigError`` for a cost that no part could ever grant.
        """
        if max_wait is not None:
            seconds("max_wait", max_wait)
        permit = self.acquire_nowait(cost)
        return await self._wait(cost, max_wait) if permit is None else permit

    def acquire_nowait(self, cost: int = 1) -> Permit | None:
        """A permit if one can be had without waiting, else None. Raises what :meth:`acquire` raises at once."""
        if cost != 1 and not 1 <= cost <= self._most:
            raise ConfigError(f"{self.name}: a cost of {cost} can never be granted; it must be 1 to {self._most}")
        if self._queue or (now := self._now()) < self._paused_until:
            return None
        if (only := self._only) is not None:  # most limiters: every request pays for what stands here
            ready = only.ready_at(now, cost)
            if ready is None or ready > now:
                return None
            self._in_flight += 1
            return Permit(self, [only.take(now, cost)])
        ready = self._ready_at(now, cost)
        return None if ready is None or ready > now else self._grant(now, cost)

    async def _wait(self, cost: int, max_wait: float | None) -> Permit:
        if self._closed:
            raise self._is_closed()
        if max_wait is not None:
            wait = self.estimated_wait(cost)
            if wait > max_wait:
                raise self._too_long(wait, max_wait)
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._queue.append((future, cost))
        self._queued_cost += cost
        if self._timer is None:
            self._wake()
        try:
            if max_wait is None:
                return await future
            async with asyncio.timeout(max_wait):
                return await future
        except TimeoutError:
            self._abandon(future, cost)
            raise self._too_long(self.estimated_wait(cost), max_wait or 0.0) from None
        except asyncio.CancelledError:
            self._abandon(future, cost)
            raise

    def _abandon(self, future: asyncio.Future[Permit], cost: int) -> None:
        """The waiter has gone: leave no place in the queue and no permit behind."""
        if future.cancelled() or not future.done():
            future.cancel()
            self._queued_cost -= cost
            if self._queue and self._queue[0][0] is future:
                self._wake()
        elif future.exception() is None:
            future.result().cancel()  # granted in the very turn in which it was cancelled

    def estimated_wait(self, cost: int = 1) -> float:
        """About how many seconds a call of this cost would wait now, behind those that wait already."""
        now = self._clock.now()
        ahead = self._queued_cost + cost
        return max(now, self._paused_until, *(part.estimate(now, ahead) for part in self._parts)) - now

    def _too_long(self, wait: float, max_wait: float) -> RateLimited:
        return RateLimited(
            f"the rate limit has no room within {max_wait:g} s",
            platform=self.name,
            retry_after=max(0.0, wait),
            local=True,
        )

    # -- granting ----------------------------------------------------------------------------------------------------

    def _ready_at(self, now: float, cost: int) -> float | None:
        ready = self._paused_until
        for part in self._parts:
            at = part.ready_at(now, cost)
            if at is None:
                return None
            if at > ready:
                ready = at
        return ready

    def _grant(self, now: float, cost: int) -> Permit:
        self._in_flight += 1
        return Permit(self, [part.take(now, cost) for part in self._parts])

    def _wake(self) -> None:
        """Grant from the head of the queue while that is possible, then set one timer for the next time it may be."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        queue = self._queue
        now = self._now()
        while queue:
            future, cost = queue[0]
            if future.done():
                queue.popleft()
                continue
            try:
                ready = self._ready_at(now, cost)
            except AsyncConnError as error:
                queue.popleft()
                self._queued_cost -= cost
                future.set_exception(error)
                continue
            if ready is None:
                return
            if ready > now:
                self._timer_at = ready
                self._timer = self._clock.call_at(ready, self._wake)
                return
            queue.popleft()
            self._queued_cost -= cost
            future.set_result(self._grant(now, cost))

    def _on_sent(self, slots: list[Slot]) -> None:
        now = self._now()
        for part, slot in zip(self._parts, slots, strict=True):
            part.sent(now, slot)
        if self._queue and self._timer is None:
            self._wake()

    def _on_done(self, slots: list[Slot]) -> None:
        self._in_flight -= 1
        now = self._now()
        for part, slot in zip(self._parts, slots, strict=True):
            part.done(now, slot)
        # An answer frees its slot a period from now, which may be earlier than the timer assumed.
        if self._queue and (self._timer is None or self._timer_at > now + self._shortest):
            self._wake()

    def _on_cancel(self, slots: list[Slot]) -> None:
        self._in_flight -= 1
        now = self._clock.now()
        for part, slot in zip(self._parts, slots, strict=True):
            part.give_back(now, slot)
        if self._queue:
            self._wake()

    # -- what the server says ----------------------------------------------------------------------------------------

    def observe(self, *, part: str, remaining: int | None = None, reset_after: float | None = None) -> None:
        """Take in what an answer's headers say of one part: calls left, seconds until its reset.

        It may only tighten.
        """
        for known in self._parts:
            if known.name == part:
                known.tighten(self._clock.now(), remaining, reset_after)
                return
        raise ConfigError(f"{self.name} has no part {part!r}: it has {', '.join(p.name for p in self._parts)}")

    def pause(self, seconds: float) -> None:
        """Grant nothing for so long, as after a 429 with Retry-After. Never shortens a pause that runs."""
        self._paused_until = max(self._paused_until, self._clock.now() + max(0.0, seconds))

    def snapshot(self) -> RateSnapshot:
        """The books at this moment."""
        now = self._clock.now()
        return RateSnapshot(
            name=self.name,
            parts=tuple(part.snapshot(now) for part in self._parts),
            waiting=sum(1 for future, _ in self._queue if not future.done()),
            in_flight=self._in_flight,
            paused_for=max(0.0, self._paused_until - now),
        )

    # -- as a context manager ----------------------------------------------------------------------------------------

    def _is_closed(self) -> LifecycleError:
        return LifecycleError(f"{self.name}: the rate limiter is closed; nothing was sent")

    async def __aenter__(self) -> Permit:
        permit = await self.acquire()
        self._held.setdefault(asyncio.current_task(), []).append(permit)
        return permit

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        permits = self._held[task]
        permit = permits.pop()
        if kind is None:
            permit.done()
        else:  # the request may have left, and its answer may not have come
            permit.sent()
            permit.cancel()
        if not permits:
            del self._held[task]

    async def aclose(self) -> None:
        """Grant nothing more and let each part settle (a quota gives back what it reserved in its store).

        Whoever still waits gets a ``LifecycleError``.
        """
        self._closed = True
        self._paused_until = math.inf
        while self._queue:
            future, cost = self._queue.popleft()
            if not future.done():
                self._queued_cost -= cost
                future.set_exception(self._is_closed())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for part in self._parts:
            await part.aclose()
