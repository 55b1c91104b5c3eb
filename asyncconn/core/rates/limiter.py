"""The rate limiter: first come, first served, over several limits at once, and the server may tighten any of them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from itertools import count
from threading import get_ident
from typing import TYPE_CHECKING, Any

from asyncconn.core.clock import Clock, SystemClock, end_of, shown_end
from asyncconn.core.durations import seconds
from asyncconn.core.rates.family import Family
from asyncconn.core.rates.parts import RateSnapshot
from asyncconn.core.rates.register import Register
from asyncconn.core.rates.windows import Part, PartSnapshot, Quota, Slot, TokenBucket, Window
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import Answer, AsyncConnError, ConfigError, LifecycleError, RateLimited, WrongLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

__all__ = [
    "Part", "PartSnapshot", "Permit", "Quota", "RateLimiter", "RateSnapshot", "TokenBucket", "Window",
]  # fmt: skip

logger = logging.getLogger("asyncconn.ratelimit")

_tickets = count()  # the order of asking, across limiters that share a part
_WORTH_TELLING = 1.0  # seconds by which a pause that runs must grow to be told again
_LONG = 5.0  # seconds: a longer wait is told
_ISO = "%Y-%m-%dT%H:%M:%S+00:00"
_MANY = 64  # in line, from which on those who gave up are dropped now and then


class Permit(Slot):
    """The right to make one call. Report :meth:`sent` and :meth:`done`, or :meth:`cancel` if no answer will come."""

    _ended = False
    _slots: Sequence[Slot] = ()  # in parts that are not counted in the limiter's register

    def __init__(self, limiter: RateLimiter, cost: int) -> None:
        self._limiter = limiter
        if cost != 1:
            self.cost = cost

    def sent(self) -> None:
        """The request is completely on the wire. Idempotent."""
        if self.sent_at is None and not self._ended:
            self._limiter._on_sent(self)

    def done(self) -> None:
        """The answer is here. Where none will come, as after a cancellation, call :meth:`cancel`. Idempotent."""
        if not self._ended:
            self._ended = True
            self._limiter._on_done(self)

    def cancel(self) -> None:
        """Nobody waits for an answer. If nothing was sent, the call is given back. Idempotent.

        After :meth:`sent` the request may still be on its way to the server, so it stays counted as long as that
        may take (a window's ``skew``).
        """
        if self.sent_at is not None:
            if not self._ended:
                for slot in (self, *self._slots):
                    slot.lost = True
            self.done()
        elif not self._ended:
            self._ended = True
            self._limiter._on_cancel(self)


_Waiter = tuple[asyncio.Future[Permit], int, int, object]  # with cost, ticket and owner


class RateLimiter(Unpicklable):
    """Grants calls in the order they were asked for, when all parts allow it together.

        >>> limiter = RateLimiter(Window(60, 60.0), Quota(20_000), name="datorama")
        >>> async def call() -> None:
        ...     async with limiter:
        ...         ...  # one request

    A large cost waits at the head like any other, so it is never starved. A waiter that is cancelled, even in the
    very turn in which it was granted, gives its call back. A part may stand in several limiters: who has waited longest
    of those that can go is served first. One limiter belongs to the event loop that it is first used on, and so do
    those that share a part with it: from any other it raises ``WrongLoop``; where calls were left in flight on a loop
    that has ended, at the latest when one would have to wait.
    """

    def __init__(self, *parts: Part, name: str = "limiter", key: str | None = None, clock: Clock | None = None) -> None:
        if not parts:
            raise ConfigError(f"{name}: a rate limiter needs at least one part")
        names = [part.name for part in parts]
        if len(set(names)) != len(names):
            raise ConfigError(f"{name}: two parts share a name: {', '.join(names)}")
        self.name = name
        self.parts = parts
        self._clock = clock or SystemClock()
        self._now = self._clock.now  # asked several times a call
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._loop_runs: Callable[[], bool] = bool  # no: there is none yet
        self._queue: deque[_Waiter] = deque()
        self._queued_cost = 0
        self._tidy_from = _MANY
        self._look_from, self._told_until = 1, 0.0  # waiters at whom a wait is looked at; when one that was told ends
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._paused_until = 0.0
        self._asked_until = 0.0  # the same, without the pause for good of a closed one
        self._closed = False
        self._held: dict[asyncio.Task[Any] | None, list[Permit]] = {}
        self._register = Register([part for part in parts if type(part) is Window], self)
        counted = set(map(id, self._register.windows))
        self._others = [part for part in parts if id(part) not in counted]
        self._family: Family[RateLimiter] = Family(self, parts)
        self._most = min(part.limit for part in parts)
        self._shortest = min(part.period for part in parts)
        for part in parts:
            part.bind(self._clock, self._wake, key or name)

    async def acquire(self, cost: int = 1, *, max_wait: float | None = None, owner: object = None) -> Permit:
        """Wait for a permit for one call that counts ``cost`` times.

        Raises ``RateLimited`` (``local``, with ``retry_after`` seconds) at once when the wait would be longer than
        ``max_wait`` seconds, and at the latest after ``max_wait``; ``QuotaExhausted`` when a quota has nothing left
        and does not wait; ``ConfigError`` for a cost that no part could ever grant; ``WrongLoop`` elsewhere than on
        the limiter's own loop. ``owner`` may :meth:`dismiss` those who wait in its name.
        """
        if max_wait is not None:
            seconds("max_wait", max_wait)
        permit = self.acquire_nowait(cost)
        return await self._wait(cost, max_wait, owner) if permit is None else permit

    def acquire_nowait(self, cost: int = 1) -> Permit | None:
        """A permit if one can be had without waiting, else None. Raises what :meth:`acquire` raises at once."""
        # A fraction of the price of asking for the running loop; who has calls in flight hears it when it has to wait.
        if get_ident() != self._thread or not (self._in_flight or self._loop_runs()):
            self._check_loop()
        register = self._register
        if 1 <= cost <= register.credit and not self._others:  # neither part nor clock need be asked
            register.credit -= cost
            self._in_flight += 1
            return Permit(self, cost)
        if cost != 1 and not 1 <= cost <= self._most:
            raise ConfigError(f"{self.name}: a cost of {cost} can never be granted; it must be 1 to {self._most}")
        if self._queue or (now := self._now()) < self._paused_until:
            return None
        lent = cost <= register.credit
        if (ready := self._ready_at(now, cost)) is None or ready > now:
            return None
        permit = self._grant(now, cost)
        if not lent:  # and so the windows were asked
            register.lend(now)
        return permit

    def _check_loop(self) -> None:
        """Belong to the running loop from now on, or raise ``WrongLoop`` where that is another one."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:  # no loop at all: nothing can wait here
            here = None
        if self._loop is None and here is not None:
            for other in self._family.alive():
                if other._loop is not None and other._loop is not here and not other._loop.is_closed():
                    raise WrongLoop(f"{self.name} shares a part with a rate limiter of another event loop")
            ended = [other for other in self._family.alive() if other._loop not in (None, here)]
            self._family.leave(ended)
            for other in ended:
                other._queue.clear()  # a part of theirs that wakes all who use it must find nobody there
            self._loop, self._thread, self._loop_runs = here, get_ident(), here.is_running
        elif here is not self._loop:
            raise WrongLoop(f"the rate limiter {self.name} belongs to another event loop")

    async def _wait(self, cost: int, max_wait: float | None, owner: object) -> Permit:
        if self._closed:
            raise self._is_closed()
        self._check_loop()
        if max_wait is not None:
            wait = self.estimated_wait(cost)
            if wait > max_wait:
                raise self._too_long(wait, max_wait)
        if (waiting := len(self._queue) + 1) == 1 or waiting >= self._look_from:
            self._look_at_wait(waiting, cost)
        self._register.call_in()  # whoever comes later must not overtake
        if len(self._queue) >= self._tidy_from:
            self._tidy()
        future: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._queue.append((future, cost, next(_tickets), owner))
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

    def _look_at_wait(self, waiting: int, cost: int) -> None:
        """Tell of a wait that will be long, once until it is over; a short one is looked at as the line grows."""
        if (now := self._now()) < self._told_until:
            return
        wait, self._look_from = self.estimated_wait(cost), 2 * waiting
        if wait > _LONG:
            self._look_from, self._told_until = 1, now + wait
            waiting, shown = self._waiting() + 1, shown_end(self._clock.utcnow(), wait, _ISO)
            logger.info("%s: %d wait for the rate, the last until %s", self.name, waiting, shown)

    def _waiting(self) -> int:
        return sum(not future.done() for future, *_ in self._queue)

    def _tidy(self) -> None:
        """Drop those who gave up, but for the first in line: it is served when it has heard of its own end."""
        first, *others = self._queue
        self._queue.clear()
        self._queue.extend([first, *(one for one in others if not one[0].done())])
        self._tidy_from = max(_MANY, 2 * len(self._queue))

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
        return max(now, self._paused_until, *(part.estimate(now, ahead) for part in self.parts)) - now

    def _too_long(self, wait: float, max_wait: float) -> RateLimited:
        return RateLimited(
            f"the rate limit has no room within {max_wait:g} s",
            Answer(self.name, 429, retry_after=max(0.0, wait)),
            local=True,
        )

    # -- granting ----------------------------------------------------------------------------------------------------

    def _ready_at(self, now: float, cost: int) -> float | None:
        ready = self._paused_until
        for part in self._others if cost <= self._register.credit else self.parts:
            at = part.ready_at(now, cost)
            if at is None:
                return None
            if at > ready:
                ready = at
        return ready

    def _grant(self, now: float, cost: int) -> Permit:
        self._in_flight += 1
        self._register.take(cost)
        permit = Permit(self, cost)
        if self._others:
            permit._slots = [part.take(now, cost) for part in self._others]
        return permit

    def _wake(self) -> None:
        """Grant to those who wait here, and at limiters that share a part, while that is possible."""
        if self._family.others:
            self._family.serve([one for one in self._family.alive() if one._queue])
        else:
            self.serve()

    def head(self) -> float:
        """The ticket of who waits first, in the order of asking across all limiters; infinity where nobody waits."""
        return self._queue[0][2] if self._queue else math.inf

    def serve(self, until: float = math.inf) -> bool:
        """Grant from the head of the queue while that is possible, then set one timer for the next time it may be.

        Stops before the ticket ``until``, whose turn it is then at another limiter: True if there it stopped.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        queue = self._queue
        now = self._now()
        while queue:
            future, cost, ticket, _ = queue[0]
            if future.done():
                queue.popleft()
                continue
            if ticket > until:
                return True
            try:
                ready = self._ready_at(now, cost)
            except AsyncConnError as error:
                queue.popleft()
                self._queued_cost -= cost
                future.set_exception(error)
                continue
            if ready is None:
                return False
            if ready > now:
                self._timer_at = ready
                self._timer = self._clock.call_at(ready, self._wake)
                return False
            queue.popleft()
            self._queued_cost -= cost
            future.set_result(self._grant(now, cost))
        return False

    def _on_sent(self, permit: Permit) -> None:
        now = self._now()
        self._register.sent(now, permit)
        if self._others:
            for part, slot in zip(self._others, permit._slots, strict=True):
                part.sent(now, slot)
        if self._family.others:
            self._family.serve([one for one in self._family.alive() if one._queue and one._timer is None])
        elif self._queue and self._timer is None:
            self.serve()

    def _on_done(self, permit: Permit) -> None:
        self._in_flight -= 1
        now = self._now()
        self._register.done(now, permit)
        if self._others:
            for part, slot in zip(self._others, permit._slots, strict=True):
                part.done(now, slot)
        if self._family.others:
            self._family.serve([one for one in self._family.alive() if one._queue and one._waits_too_long(now)])
        elif self._queue and self._waits_too_long(now):
            self.serve()

    def _waits_too_long(self, now: float) -> bool:
        """Whether an answer that came now frees its slot, a period from now, earlier than the timer assumed."""
        return self._timer is None or self._timer_at > now + self._shortest

    def _on_cancel(self, permit: Permit) -> None:
        self._in_flight -= 1
        now = self._now()
        self._register.give_back(permit)
        for part, slot in zip(self._others, permit._slots, strict=True):
            part.give_back(now, slot)
        self._wake()

    # -- what the server says ----------------------------------------------------------------------------------------

    def observe(self, *, part: str, remaining: int | None = None, reset_after: float | None = None) -> None:
        """Take in what an answer's headers say of one part: calls left, seconds until its reset.

        It may only tighten, and only for calls that are not our own. A hold that the server asks for is logged at INFO.
        """
        for known in self.parts:
            if known.name == part:
                now = self._now()
                before = getattr(known, "held_until", 0.0)
                known.tighten(now, remaining, reset_after)
                held = getattr(known, "held_until", 0.0)
                if held > max(now, before) + _WORTH_TELLING:
                    self._tell(f"the server says that nothing is left of {part}", held - now)
                return
        raise ConfigError(f"{self.name} has no part {part!r}: it has {', '.join(p.name for p in self.parts)}")

    def pause(self, seconds: float) -> None:
        """Grant nothing for so long, as after a 429 with Retry-After; logged at INFO. Never shortens one that runs.

        :meth:`resume` lifts it. Raises ``ConfigError`` for NaN.
        """
        if math.isnan(seconds):
            raise ConfigError(f"{self.name}: a pause is a number of seconds, not {seconds!r}")
        self._register.call_in()
        now = self._now()
        until = now + max(0.0, seconds)
        running = self._asked_until if self._asked_until > now else None
        if until > now and (running is None or until > running + _WORTH_TELLING):
            self._tell("paused", seconds)
        self._asked_until = max(self._asked_until, until)
        self._paused_until = max(self._paused_until, until)

    def resume(self) -> None:
        """Forget what the server asked for: a pause, and what it said of parts. What was counted here stays counted.

        Whoever waits goes on at once, as far as the parts allow. Raises ``WrongLoop`` elsewhere than on its own loop.
        """
        self._check_loop()
        now = self._now()
        for part in self.parts:
            if (lift := getattr(part, "lift", None)) is not None:
                lift(now)
        self._asked_until = 0.0
        if not self._closed:
            self._paused_until = 0.0
            self._wake()

    def inherit(self, old: RateLimiter, taken: set[tuple[int, int]] | None = None) -> None:
        """Take over the books of a limiter that is used no more: its pause, and those of parts of one name and type.

        Calls that it granted and that never ended keep their slots as long as the server may still count them.
        ``taken`` keeps the ids of pairs of parts, for parts that stand in several limiters.
        """
        taken = set() if taken is None else taken
        now = self._now()
        before = {part.name: part for part in old.parts}
        for part in self.parts:
            other, inherit = before.get(part.name), getattr(part, "inherit", None)
            if inherit is not None and type(other) is type(part) and (id(part), id(other)) not in taken:
                taken.add((id(part), id(other)))
                inherit(other, now)
        self._register.call_in()
        self._asked_until = max(self._asked_until, old._asked_until)
        self._paused_until = max(self._paused_until, old._asked_until)

    def _tell(self, what: str, seconds: float) -> None:
        self._told_until = max(self._told_until, self._now() + seconds)
        until, more = shown_end(self._clock.utcnow(), seconds, _ISO), {"seconds": seconds}
        told = self.name, what, until, seconds
        logger.info("%s: %s; no call before %s, %.3g s from now; resume() lifts it", *told, extra=more)

    def snapshot(self) -> RateSnapshot:
        """The books at this moment."""
        now = self._clock.now()
        paused = max(0.0, self._asked_until - now)  # that of a closed one is no pause
        return RateSnapshot(
            name=self.name,
            parts=tuple(part.snapshot(now) for part in self.parts),
            waiting=self._waiting(),
            in_flight=self._in_flight,
            paused_for=paused,
            paused_until=end_of(self._clock.utcnow(), paused) if paused else None,
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
        permit = self._left()
        if kind is None:
            permit.done()
        else:  # the request may have left, and its answer may not have come
            permit.sent()
            permit.cancel()

    def _left(self) -> Permit:
        """The permit of the block that is left: of this task, or where a block ends in another task than it began in
        (a generator that is closed elsewhere), of one whose task is over, or of any: they all count the same."""
        task: Any = asyncio.current_task()
        if task not in self._held:
            over = (one for one in self._held if one is None or one.done())
            task = next(over, None) or next(iter(self._held))
        permits = self._held[task]
        permit = permits.pop()
        if not permits:
            del self._held[task]
        return permit

    def dismiss(self, owner: object) -> None:
        """Whoever waits in the name of ``owner`` gets a ``LifecycleError``: its hub is closed, and others go on."""
        for future, cost, _, whose in self._queue:
            if whose is owner and not future.done():
                self._queued_cost -= cost
                future.set_exception(self._is_closed())
        if self._queue:
            self._wake()

    async def aclose(self) -> None:
        """Grant nothing more and let each part settle (a quota gives back what it reserved in its store).

        Whoever still waits gets a ``LifecycleError``.
        """
        self._closed = True
        self._register.call_in()
        self._paused_until = math.inf
        while self._queue:
            future, cost, _, _ = self._queue.popleft()
            if not future.done():
                self._queued_cost -= cost
                future.set_exception(self._is_closed())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for part in self.parts:
            await part.aclose()
