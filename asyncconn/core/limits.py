"""The parts of a rate limiter: a bucket that smooths, a window that is a hard cap, a quota that outlives the process.

Each part answers one question, "when may a call of this cost go?", and keeps its own books. None of them waits or wakes
anybody: :class:`asyncconn.core.ratelimit.RateLimiter` does, for several parts at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from asyncconn.errors import AsyncConnError, ConfigError, QuotaExhausted

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.clock import Clock
    from asyncconn.core.quota_store import QuotaStore

__all__ = ["Part", "PartSnapshot", "Quota", "Slot", "TokenBucket", "Window"]

logger = logging.getLogger("asyncconn.ratelimit")


@dataclass(frozen=True, slots=True)
class PartSnapshot:
    """One part's books.

    ``remaining`` calls may go now; ``resets_in`` seconds until more may (0.0 if nothing is used).
    """

    name: str
    limit: int
    remaining: int
    resets_in: float


class Slot:
    """What one granted permit holds in one part. Its fields are the class's until they change: most never do."""

    cost = 1
    sent_at: float | None = None
    settled = False
    lost = False  # given up after sending: no answer will tell when the server counted it


def _slot(cost: int) -> Slot:
    slot = Slot()
    if cost != 1:
        slot.cost = cost
    return slot


class Part(Protocol):
    """What a limiter asks of its parts. Times are monotonic seconds of the limiter's clock."""

    name: str
    limit: int
    period: float  # seconds until what an answer settles is free again; infinite where answers settle nothing

    def bind(self, clock: Clock, wake: Callable[[], None], key: str) -> None:
        """Called once by the limiter; ``wake`` makes it look again after a change of its own accord."""
        ...

    def ready_at(self, now: float, cost: int) -> float | None:
        """When ``cost`` may go: ``now`` or any earlier time for at once, None when only the end of a call can tell."""
        ...

    def estimate(self, now: float, cost: int) -> float:
        """About when a total of ``cost`` will have gone, for callers who want to know before they wait."""
        ...

    def take(self, now: float, cost: int) -> Slot:
        """Grant; only after :meth:`ready_at` said so."""
        ...

    def sent(self, now: float, slot: Slot) -> None:
        """The request is on the wire."""
        ...

    def done(self, now: float, slot: Slot) -> None:
        """The answer is here, or with ``slot.lost`` nobody waits for it any more."""
        ...

    def give_back(self, now: float, slot: Slot) -> None:
        """It never was sent."""
        ...

    def tighten(self, now: float, remaining: int | None, reset_after: float | None) -> None:
        """What the server says is left; only ever makes the part stricter."""
        ...

    def snapshot(self, now: float) -> PartSnapshot:
        """The books, for people."""
        ...

    async def aclose(self) -> None:
        """Settle with the outside world, if there is one."""
        ...


class _Base:
    """What the three parts share: names, binding, and the calls that mean nothing to some of them."""

    period = float("inf")

    def __init__(self, limit: int, name: str) -> None:
        if not limit >= 1 or limit % 1 != 0:  # so that nan and inf fail too
            raise ConfigError(f"{name}: limit must be a whole number of at least 1, not {limit!r}")
        self.limit = limit
        self.name = name

    def bind(self, clock: Clock, wake: Callable[[], None], key: str) -> None:
        pass

    def sent(self, now: float, slot: Slot) -> None:
        pass

    def done(self, now: float, slot: Slot) -> None:
        pass

    async def aclose(self) -> None:
        pass


class TokenBucket(_Base):
    """``rate`` tokens a second, at most ``burst`` saved up: smooths, but is no hard cap on a window.

    In any window of ``w`` seconds up to ``burst + rate * w`` calls may go; for a hard cap use :class:`Window`.
    """

    def __init__(self, rate: float, burst: int, *, name: str = "bucket") -> None:
        super().__init__(burst, name)
        if not rate > 0:
            raise ConfigError(f"{name}: rate must be more than 0 per second, not {rate!r}")
        self.rate = float(rate)
        self._tokens = float(burst)
        self._at: float | None = None
        self._hold_until = 0.0

    def _refill(self, now: float) -> float:
        if self._at is None:
            self._at = now
        elif now > self._at:
            self._tokens = min(float(self.limit), self._tokens + (now - self._at) * self.rate)
            self._at = now
        return self._tokens

    def ready_at(self, now: float, cost: int) -> float | None:
        # A billionth of a token of slack: sums of floats never quite reach a whole.
        missing = cost - self._refill(now)
        ready = now if missing <= 1e-9 else now + missing / self.rate
        return max(ready, self._hold_until)

    def estimate(self, now: float, cost: int) -> float:
        return max(now, now + (cost - self._refill(now)) / self.rate, self._hold_until)

    def take(self, now: float, cost: int) -> Slot:
        self._tokens -= cost
        return _slot(cost)

    def give_back(self, now: float, slot: Slot) -> None:
        self._tokens = min(float(self.limit), self._refill(now) + slot.cost)

    def tighten(self, now: float, remaining: int | None, reset_after: float | None) -> None:
        if remaining is not None:
            self._tokens = min(self._refill(now), float(remaining))
            if remaining <= 0 and reset_after is not None:
                self._hold_until = max(self._hold_until, now + reset_after)

    def snapshot(self, now: float) -> PartSnapshot:
        tokens = self._refill(now)
        wait = max(0.0, (1 - tokens) / self.rate, self._hold_until - now)
        return PartSnapshot(self.name, self.limit, max(0, int(tokens + 1e-9)), wait)


class Window(_Base):
    """At most ``limit`` calls in any ``period`` seconds, counted where it matters: at the server.

    A slot frees ``period`` after min(response, sent + ``skew``). The server has counted a call before it answers,
    so two windows' calls can never meet there however the network jitters; the ``skew`` bound keeps slow answers
    from holding their slots. A call that is neither answered nor reported as sent keeps its slot.
    """

    def __init__(self, limit: int, period: float, *, skew: float = 2.0, name: str = "window") -> None:
        super().__init__(limit, name)
        if not period > 0:
            raise ConfigError(f"{name}: period must be more than 0 seconds, not {period!r}")
        if not skew >= 0:
            raise ConfigError(f"{name}: skew must be at least 0 seconds, not {skew!r}")
        self.period = float(period)
        self.skew = float(skew)
        self._settled: deque[tuple[float, int]] = deque()  # (free again at, cost), in order of time
        self._sent: deque[Slot] = deque()  # on the wire, in order of sending
        self._used = 0
        self._excess = 0  # calls that the server counted and we did not: another process with this credential
        self._excess_until = 0.0
        self._hold_until = 0.0

    def _settle(self, slot: Slot, at: float) -> None:
        slot.settled = True
        self._settled.append((at + self.period, slot.cost))

    def _advance(self, now: float) -> None:
        sent = self._sent
        while sent and (sent[0].settled or (sent[0].sent_at or 0.0) + self.skew <= now):
            slot = sent.popleft()
            if not slot.settled:
                self._settle(slot, (slot.sent_at or 0.0) + self.skew)
        settled = self._settled
        while settled and settled[0][0] <= now:
            self._used -= settled.popleft()[1]
        if self._excess and self._excess_until <= now:
            self._excess = 0

    def _freed_at(self, need: int) -> float | None:
        """When ``need`` of the used slots will be free, as far as is known by now."""
        for at, cost in self._settled:
            need -= cost
            if need <= 0:
                return at
        for slot in self._sent:
            if not slot.settled:
                need -= slot.cost
                if need <= 0:
                    return (slot.sent_at or 0.0) + self.skew + self.period
        return None

    def ready_at(self, now: float, cost: int) -> float | None:
        if self._settled or self._sent or self._excess:
            self._advance(now)
        need = self._used + self._excess + cost - self.limit
        if need <= 0:
            return self._hold_until
        freed = self._freed_at(need)
        if self._excess:
            without = now if need <= self._excess else self._freed_at(need - self._excess)
            if without is not None:
                without = max(without, self._excess_until)
                freed = without if freed is None else min(freed, without)
        return None if freed is None else max(freed, self._hold_until)

    def estimate(self, now: float, cost: int) -> float:
        rounds, rest = divmod(cost - 1, self.limit)
        first = self.ready_at(now, rest + 1)
        return (now if first is None else max(now, first)) + rounds * self.period

    def take(self, now: float, cost: int) -> Slot:
        self._used += cost
        return Slot() if cost == 1 else _slot(cost)

    def sent(self, now: float, slot: Slot) -> None:
        if slot.sent_at is None and not slot.settled:
            slot.sent_at = now
            self._sent.append(slot)

    def done(self, now: float, slot: Slot) -> None:
        if not slot.settled:
            self._advance(now)  # keeps the log in order; it may settle this very slot
            # Without an answer only the skew bound tells when the server has surely counted the call.
            counted = not slot.lost or slot.sent_at is None
            if counted and not slot.settled:
                self._settle(slot, now)

    def give_back(self, now: float, slot: Slot) -> None:
        if not slot.settled:
            slot.settled = True
            self._used -= slot.cost

    def tighten(self, now: float, remaining: int | None, reset_after: float | None) -> None:
        if remaining is None:
            return
        self._advance(now)
        foreign = (self.limit - max(0, remaining)) - self._used
        if foreign > self._excess:
            self._excess = foreign
            self._excess_until = now + (self.period if reset_after is None else max(0.0, reset_after))
        if remaining <= 0 and reset_after is not None:
            self._hold_until = max(self._hold_until, now + reset_after)

    def snapshot(self, now: float) -> PartSnapshot:
        self._advance(now)
        used = self._used + self._excess
        freed = self._freed_at(1) if self._used else self._excess_until if self._excess else now
        wait = max(freed or now, self._hold_until) - now
        remaining = 0 if self._hold_until > now else max(0, self.limit - used)
        return PartSnapshot(self.name, self.limit, remaining, max(0.0, wait))


class Quota(_Base):
    """At most ``limit`` calls until a moment at which the count starts anew, such as midnight UTC.

    ``resets`` is ``"utc-day"`` or a function from an aware UTC time to the next reset. When nothing is left,
    callers get ``QuotaExhausted(resets_at)``, or with ``wait=True`` they wait. A ``store`` makes the count survive
    the process and be shared between processes: calls are reserved there ``chunk`` at a time, so a crash forfeits
    at most one chunk and can never let too many through. ``skew`` seconds after the reset are left unused, for
    clocks that differ.
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
        self._next_reset = _next_utc_midnight if resets == "utc-day" else resets
        self._store = store
        self._chunk = chunk or max(1, limit // 200)
        self._wait = wait
        self._skew = skew
        self._key = name
        self._clock: Clock | None = None
        self._wakes: list[Callable[[], None]] = []
        self._resets_at: datetime | None = None
        self._rolls_at = float("-inf")  # the same moment plus skew, on the monotonic scale
        self._running = 0  # cost of granted calls that have not ended
        self._late = 0  # cost of calls that ended so near the reset that the server may count them on the new day
        self._left = 0  # calls we may still make before asking the store again
        self._reserve: asyncio.Task[None] | None = None
        self._exhausted = False
        self._error: AsyncConnError | None = None

    def bind(self, clock: Clock, wake: Callable[[], None], key: str) -> None:
        # One quota may stand in several limiters: a day's calls shared by two kinds of call.
        self._wakes.append(wake)
        if self._clock is None:
            self._clock = clock
            self._key = f"{key}/{self.name}"

    def _roll(self, now: float) -> None:
        """Start a new count once the old one's reset has passed."""
        if now < self._rolls_at or self._clock is None:
            return
        wall = self._clock.utcnow()
        if self._resets_at is not None and (early := (self._resets_at - wall).total_seconds() + self._skew) > 0:
            self._rolls_at = now + early  # the wall clock was set back, or runs slower than ours
            return
        self._resets_at = self._next_reset(wall)
        self._rolls_at = now + max(0.001, (self._resets_at - wall).total_seconds() + self._skew)
        self._exhausted = False
        self._error = None
        # Calls that ran over the reset may be counted on the new day's account: pay for them there too.
        self._left = (0 if self._store else self.limit) - self._running - self._late
        self._late = 0

    def ready_at(self, now: float, cost: int) -> float | None:
        self._roll(now)
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._left >= cost:
            return now
        if self._store is not None and not self._exhausted:
            self._start_reserving(cost)
            return None
        if self._wait:
            return self._rolls_at
        raise self._refusal()

    def estimate(self, now: float, cost: int) -> float:
        self._roll(now)
        if self._left >= cost or (self._store is not None and not self._exhausted):
            return now
        return self._rolls_at

    def _refusal(self) -> QuotaExhausted:
        resets_at = self._resets_at
        if resets_at is None:  # bind() and ready_at() come first, so this is a part used outside a limiter
            raise ConfigError(f"{self.name}: a quota must be part of a RateLimiter")
        when = resets_at.isoformat(timespec="seconds")
        return QuotaExhausted(f"{self.name}: all {self.limit} calls are used until {when}", resets_at=resets_at)

    def take(self, now: float, cost: int) -> Slot:
        self._left -= cost
        self._running += cost
        return _slot(cost)

    def done(self, now: float, slot: Slot) -> None:
        if not slot.settled:
            slot.settled = True
            self._roll(now)
            self._running -= slot.cost
            if now > self._rolls_at - 2 * self._skew:
                self._late += slot.cost

    def give_back(self, now: float, slot: Slot) -> None:
        if not slot.settled:
            slot.settled = True
            self._roll(now)
            self._running -= slot.cost
            self._left += slot.cost

    def tighten(self, now: float, remaining: int | None, reset_after: float | None) -> None:
        self._roll(now)
        if remaining is None:
            return
        if self._store is None:
            self._left = min(self._left, remaining)
        elif remaining < self._left:
            self._left = remaining
        if remaining <= 0:
            self._left = min(self._left, 0)
            self._exhausted = True

    def snapshot(self, now: float) -> PartSnapshot:
        self._roll(now)
        return PartSnapshot(self.name, self.limit, max(0, self._left), max(0.0, self._rolls_at - now))

    # -- the store ---------------------------------------------------------------------------------------------------

    def _start_reserving(self, cost: int) -> None:
        if self._reserve is None and self._store is not None and self._resets_at is not None:
            amount = max(self._chunk, cost - self._left)
            self._reserve = asyncio.get_running_loop().create_task(
                self._reserve_from(self._store, self._resets_at, amount), name=f"quota:{self._key}"
            )

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
            if self._resets_at == resets_at and not self._exhausted:  # the server may have said so meanwhile
                self._left += amount - over
                self._exhausted = over > 0
        finally:
            self._reserve = None
            for wake in self._wakes:
                wake()

    async def aclose(self) -> None:
        """Give back to the store what was reserved and not used."""
        if self._reserve is not None:
            await asyncio.wait({self._reserve})
        if self._clock is not None:
            self._roll(self._clock.now())  # a day that is over has nothing to give back
        if self._store is not None and self._left > 0 and self._resets_at is not None:
            left, self._left = self._left, 0
            await self._store.add(self._key, _window(self._resets_at), -left)


def _next_utc_midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _window(resets_at: datetime) -> str:
    return resets_at.astimezone(UTC).isoformat()  # always UTC, so that the order of the texts is the order in time
