"""The part of a rate limiter that counts by days, or whatever a wall clock shows: a quota that outlives the process."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from types import MethodType
from typing import TYPE_CHECKING, Literal
from weakref import WeakMethod

from asyncconn.core.rates.parts import BasePart, PartSnapshot, Slot, slot_of
from asyncconn.errors import AsyncConnError, ConfigError, QuotaExhausted

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.clock import Clock
    from asyncconn.core.rates.parts import Part
    from asyncconn.core.rates.stores import QuotaStore

__all__ = ["Quota"]

logger = logging.getLogger("asyncconn.ratelimit")

_NEVER = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)
# Seconds after which a waiter looks at the wall clock again: a machine that slept woke on another day. And after which
# a store in which all was used up is asked again: others may have given calls back.
_LOOK = 60.0
_JUMP = 5.0  # seconds by which the wall clock may go on faster than ours without having been set
_NOTHING = -1  # less than a call may leave
_DAYS = 8  # counts that are kept, for a clock that is set back


class Quota(BasePart):
    """At most ``limit`` calls until a moment at which the count starts anew, such as midnight UTC.

    ``resets`` is ``"utc-day"`` or a function from an aware UTC time to the next reset, which must be aware and later
    than what it was given, or else a ``ConfigError`` says so. When nothing is left, callers get
    ``QuotaExhausted(resets_at)``, or with ``wait=True`` they wait. A ``store`` makes the count survive the process and
    be shared between processes: calls are reserved there ``chunk`` at a time, so a crash forfeits at most one chunk
    and can never let too many through; one that has nothing left is asked again once a minute, for calls that others
    gave back. ``skew`` seconds after the reset are left unused, for clocks that differ.

    The day is the wall clock's: when that moves on while the machine sleeps, the new day has begun. Set back to a day
    that was counted before, it goes on with that day's count, and what was counted under the later date counts there
    too; a later day that comes round again goes on with its own.
    """

    def __init__(
        self,
        limit: int,
        *,
        resets: Literal["utc-day"] | Callable[[datetime], datetime] = "utc-day",
        store: QuotaStore | None = None,
        chunk: int | None = None,
        wait: bool = False,
        skew: float = 2.0,
        name: str = "quota",
    ) -> None:
        super().__init__(limit, name)
        if chunk is not None and chunk < 1:
            raise ConfigError(f"{name}: chunk must be at least 1, not {chunk!r}")
        if not skew >= 0:
            raise ConfigError(f"{name}: skew must be at least 0 seconds, not {skew!r}")
        if resets != "utc-day" and not callable(resets):
            raise ConfigError(f'{name}: resets is "utc-day" or a function of the time, not {resets!r}')
        self._next_reset = _next_utc_midnight if resets == "utc-day" else resets
        self.store = store
        self._chunk = chunk or max(1, limit // 200)
        self._wait = wait
        self._skew = timedelta(seconds=skew)
        self._key = name
        self._clock: Clock | None = None
        self._wakes: list[Callable[[], Callable[[], None] | None]] = []  # of limiters, as long as these are there
        self._since = self._resets_at = self._until = _NEVER  # the day counted: known from here to here; with skew
        self._told_low = _NEVER  # the reset of the day of which it was told that little is left
        self._low = _NOTHING  # calls left, at which that is told
        self._days: dict[datetime, int] = {}  # what was counted for other days, by their resets
        # Since a clock that was set back: when that was, on the wall and on ours, and what was counted by then.
        self._set_back: tuple[datetime, float, int] | None = None
        self._running = 0  # cost of granted calls that have not ended
        self._late = 0  # cost of calls that ended so near the reset that the server may count them on the new day
        self._left = 0  # calls we may still make before asking the store again
        # What the server says is used, and nobody here has made; whether it says that nothing is left; until when.
        self._withheld, self._told_empty = 0, False
        self._told_until: datetime | None = None
        self._reserve: asyncio.Task[None] | None = None
        self._exhausted = False
        self._look_at = 0.0  # when the store is asked again although it had nothing left
        self._error: AsyncConnError | None = None  # of the store, to be told once
        self._broken: ConfigError | None = None  # the function that tells the resets

    def kept_in(self, store: QuotaStore) -> Quota:
        """An unused twin that counts in ``store``."""
        args, options = self._given
        return type(self)(*args, **{**options, "store": store})

    def bind(self, clock: Clock, wake: Callable[[], None], key: str) -> None:
        # One quota may stand in several limiters: a day's calls shared by two kinds of call.
        self._wakes = [one for one in self._wakes if one() is not None]
        self._wakes.append(WeakMethod(wake) if isinstance(wake, MethodType) else lambda: wake)
        if self._clock is None:
            self._clock = clock
            self._key = f"{key}/{self.name}"
            self._roll()
            if self._broken is not None:
                raise self._broken

    # -- the day -------------------------------------------------------------------------------------------------------

    def _roll(self, now: float | None = None) -> datetime:
        """Look at the wall clock, and turn to another day's count if it shows one. Returns the time."""
        clock = self._clock
        if clock is None:
            raise ConfigError(f"{self.name}: a quota must be part of a RateLimiter")
        wall = clock.utcnow()
        if not self._since <= wall < self._until:
            self._look(wall, clock.now() if now is None else now)
        return wall

    def _look(self, wall: datetime, now: float) -> None:
        try:
            resets_at = self._ahead(wall)
        except ConfigError as error:
            self._broken = error  # whoever asks for a call hears of it; the count stays as it is
            return
        self._broken = None
        self._since = wall
        if resets_at != self._resets_at:
            self._turn(wall, resets_at, now)

    def _ahead(self, wall: datetime) -> datetime:
        """The reset after ``wall``, in UTC. Raises ``ConfigError`` if the user's function has none."""
        try:
            found: object = self._next_reset(wall)
        except Exception as error:
            raise ConfigError(f"{self.name}: resets() failed: {type(error).__name__}: {error}") from error
        if not isinstance(found, datetime) or found.utcoffset() is None:
            raise ConfigError(f"{self.name}: resets() must return an aware datetime, not {found!r}")
        if not wall < found < _LATEST:
            raise ConfigError(f"{self.name}: resets() must return a time after {wall}, not {found}")
        return found.astimezone(UTC)

    def _turn(self, wall: datetime, resets_at: datetime, now: float) -> None:
        """Count for another day from here on."""
        # Calls that run, or ran over the reset, may be counted on the new day's account: pay for them there too.
        running = self._running + self._late
        used = self._days.pop(resets_at, 0)
        if self._resets_at != _NEVER:
            counted = self._counted()
            self._days[self._resets_at] = counted
            if resets_at < self._resets_at:
                # The clock was wrong before, or is now: what was counted may belong to either day, and counts on both.
                used, running = used + counted, 0
                self._set_back = (wall, now, used)
            elif self._set_back is not None:
                since, at, before = self._set_back
                if (wall - since).total_seconds() > now - at + _JUMP:
                    used += counted - before  # put right again: what was counted meanwhile belongs here
                self._set_back = None
            while len(self._days) > _DAYS:
                del self._days[min(self._days)]
        self._resets_at, self._until = resets_at, resets_at + self._skew
        self._exhausted = used >= self.limit
        self._left = -running if self.store else self.limit - used - running
        self._low = _NOTHING if self.store else self.limit // 10
        self._late = 0
        self._forget_told()
        self._error = None

    def _counted(self) -> int:
        """What counts for the day so far; of a store's own count only whether there is any left."""
        if self._exhausted:
            return self.limit
        return 0 if self.store else self.limit - self._left

    # -- calls ---------------------------------------------------------------------------------------------------------

    def ready_at(self, now: float, cost: int) -> float | None:
        wall = self._roll(now)
        if self._broken is not None:
            raise self._broken
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._told_until is not None and wall >= self._told_until:
            self.lift(now)
        if self._left - cost > self._low:
            return now
        if self._left >= cost:
            self._tell_low(self.limit - self._left + cost)
            return now
        if self.store is not None:
            if self._exhausted and not self._told_empty and now + 0.001 >= self._look_at:
                self._exhausted = False
            if not self._exhausted:
                self._look_at = now + _LOOK
                self._start_reserving(cost)
                return None
        if self._wait:
            return now + min(_LOOK, self._seconds_left(wall))
        raise self._refusal(wall)

    def _seconds_left(self, wall: datetime) -> float:
        """Until calls are free again; never nothing, or whoever waits for it would never stop looking."""
        return max(0.001, ((self._told_until or self._until) - wall).total_seconds())

    def estimate(self, now: float, cost: int) -> float:
        wall = self._roll(now)
        if self._left >= cost or (self.store is not None and not self._exhausted):
            return now
        return now + self._seconds_left(wall)

    def _refusal(self, wall: datetime) -> QuotaExhausted:
        resets_at = self._resets_at if wall < self._resets_at else self._until  # never a time that is over
        if self._told_until is not None:
            resets_at = min(resets_at, self._told_until)
        when = resets_at.isoformat(timespec="seconds")
        return QuotaExhausted(f"{self.name}: all {self.limit} calls are used until {when}", resets_at=resets_at)

    def take(self, now: float, cost: int) -> Slot:
        self._left -= cost
        self._running += cost
        return slot_of(cost)

    def done(self, now: float, slot: Slot) -> None:
        if not slot.settled:
            slot.settled = True
            wall = self._roll(now)
            self._running -= slot.cost
            if self._near(wall):
                self._late += slot.cost

    def _tell_low(self, used: int) -> None:
        """Nine tenths are used: worth a line, once a day."""
        self._low = _NOTHING
        if self._told_low != self._resets_at:
            self._told_low = self._resets_at
            when = self._resets_at.isoformat(timespec="seconds")
            logger.warning("%s: %d of %d calls are used, and no more come before %s", self._key, used, self.limit, when)

    def _near(self, wall: datetime) -> bool:
        """Whether the server may count a call that ends now on the next day."""
        return wall > self._resets_at - self._skew

    def give_back(self, now: float, slot: Slot) -> None:
        if not slot.settled:
            slot.settled = True
            self._roll(now)
            self._running -= slot.cost
            self._left += slot.cost

    # -- what the server says ------------------------------------------------------------------------------------------

    def tighten(self, now: float, remaining: int | None, reset_after: float | None) -> None:
        """Withhold what the server says is used and nobody here has made, until our reset or an earlier one of its own.

        Earlier by far: an answer to a call of yesterday must not close today.
        """
        wall = self._roll(now)
        if remaining is None:
            return
        over = self._left - max(0, remaining)
        if over <= 0 and (remaining > 0 or self._exhausted):
            return
        until = self._until
        if reset_after is not None and reset_after + _LOOK < (until - wall).total_seconds():
            until = wall + timedelta(seconds=max(0.0, reset_after)) + self._skew
        self._told_until = until if self._told_until is None else max(until, self._told_until)
        if over > 0:
            self._withheld += over
            self._left -= over
            if self._left <= self._low:
                self._tell_low(self.limit - max(0, self._left))
        if remaining <= 0 and not self._exhausted:
            self._exhausted = self._told_empty = True
            self.held_until = now + self._seconds_left(wall)

    def _forget_told(self) -> None:
        self._withheld, self._told_empty, self._told_until = 0, False, None

    def lift(self, now: float) -> None:
        self._left += self._withheld
        if self._told_empty:
            self._exhausted = False
        self._forget_told()

    def inherit(self, old: Part, now: float) -> None:
        """Take over what another quota has counted as well; with a store that is in the store."""
        if not isinstance(old, Quota):
            return
        wall = old._roll(now)
        for day, counted in old._days.items():
            self._days[day] = self._days.get(day, 0) + counted
        self._set_back = self._set_back or old._set_back
        # Those that ran when their loop ended have no end that would be told.
        self._late += old._late + (old._running if self._near(wall) else 0)
        self._told_low = old._told_low
        if old._told_until is not None:
            self._told_until = old._told_until
            self._told_empty = self._exhausted = old._told_empty or self._told_empty
        if self.store is None and old.store is None:
            self._left -= old.limit - old._left
            self._withheld += old._withheld

    def snapshot(self, now: float) -> PartSnapshot:
        wall = self._roll(now)
        return PartSnapshot(self.name, self.limit, max(0, self._left), (self._until - wall).total_seconds())

    def unused(self, now: float) -> bool:
        """Whether a new one would allow the same: nothing is counted here for this day, nor reserved in the store."""
        wall = self._roll(now)
        if self._told_until is not None and wall < self._told_until:
            return False
        if self.store is None:
            return self._left == self.limit
        return not (self._left or self._running or self._late or self._reserving())

    # -- the store -----------------------------------------------------------------------------------------------------

    def _start_reserving(self, cost: int) -> None:
        if self.store is not None and not self._reserving():
            amount = max(self._chunk, cost - self._left)
            self._reserve = asyncio.get_running_loop().create_task(
                self._reserve_from(self.store, self._resets_at, amount), name=f"quota:{self._key}"
            )
            kept = [one() for one in self._wakes]  # while they wait for it, nothing else may hold them
            self._reserve.add_done_callback(lambda reserve: self._reserved(reserve, kept))

    def _reserving(self) -> bool:
        """Whether the store is being asked; on a loop that has ended nobody waits for its answer any more."""
        return self._reserve is not None and not self._reserve.get_loop().is_closed()

    def _reserved(self, reserve: asyncio.Task[None], kept: list[Callable[[], None] | None]) -> None:
        kept.clear()
        if self._reserve is reserve:
            self._reserve = None
        for one in self._wakes:
            if (wake := one()) is not None:
                wake()

    async def _reserve_from(self, store: QuotaStore, resets_at: datetime, amount: int) -> None:
        window = _window(resets_at)
        try:
            total = await store.add(self._key, window, amount)
            over = min(amount, max(0, total - self.limit))
            if over:
                await store.add(self._key, window, -over)
        except AsyncConnError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - a store is a stranger's code; whoever waits must hear of its failure
            self._error = ConfigError(f"{self.name}: the quota store failed: {type(error).__name__}: {error}")
            self._error.__cause__ = error
        else:
            self._roll()
            if self._resets_at == resets_at and not self._exhausted:  # the server may have said so meanwhile
                self._left += amount - over
                self._exhausted = over > 0
                if self.limit - total <= self.limit // 10:
                    self._tell_low(min(total, self.limit))

    async def aclose(self) -> None:
        """Give back to the store what was reserved and not used."""
        if self._reserve is not None and self._reserving():
            await asyncio.wait({self._reserve})
        if self._clock is not None:
            self._roll()  # a day that is over has nothing to give back
        if self.store is not None and self._left + self._withheld > 0:
            left, self._left, self._withheld = self._left + self._withheld, 0, 0
            await self.store.add(self._key, _window(self._resets_at), -left)


def _next_utc_midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _window(resets_at: datetime) -> str:
    return resets_at.isoformat()  # always UTC, so that the order of the texts is the order in time
