"""The parts of a rate limiter that count by intervals: a bucket that smooths, and a window that is a hard cap.

What counts by days is a :class:`asyncconn.core.rates.quota.Quota`.
"""

from __future__ import annotations

import heapq
import math
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from asyncconn.core.rates.parts import BasePart, Part, PartSnapshot, Slot, slot_of
from asyncconn.core.rates.quota import Quota
from asyncconn.core.rates.register import Log, Register
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Part", "PartSnapshot", "Quota", "Slot", "TokenBucket", "Window"]

_WHOLE = 1.0  # seconds: servers tell a reset in whole ones


class TokenBucket(BasePart):
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
        return max(ready, self.held_until)

    def estimate(self, now: float, cost: int) -> float:
        return max(now, now + (cost - self._refill(now)) / self.rate, self.held_until)

    def take(self, now: float, cost: int) -> Slot:
        self._tokens -= cost
        return slot_of(cost)

    def give_back(self, now: float, slot: Slot) -> None:
        self._tokens = min(float(self.limit), self._refill(now) + slot.cost)

    def tighten(self, now: float, remaining: int | None, reset_after: float | None) -> None:
        # Less than a whole call is the rounding of what a server tells: no call of somebody else.
        if remaining is not None and self._refill(now) - remaining >= 1:
            self._tokens = float(max(0, remaining))
            if remaining <= 0 and reset_after is not None:
                self.held_until = max(self.held_until, now + reset_after)

    def lift(self, now: float) -> None:
        self.held_until = 0.0

    def inherit(self, old: Part, now: float) -> None:
        if isinstance(old, TokenBucket):
            self._tokens = self._refill(now) - (old.limit - old._refill(now))
            self.held_until = max(self.held_until, old.held_until)

    def snapshot(self, now: float) -> PartSnapshot:
        tokens = self._refill(now)
        wait = max(0.0, (1 - tokens) / self.rate, self.held_until - now)
        return PartSnapshot(self.name, self.limit, max(0, int(tokens + 1e-9)), wait)


class Window(BasePart):
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
        self.taken = 0  # granted since the beginning, but for what is lent
        self.log = Log()  # what the server has counted
        self._registers: list[Register] = []  # of the limiters it stands in
        # Calls that the server counted and we did not, another process's with this credential.
        self._foreign = Log()
        self._heard = False  # whether an answer has told anything yet
        self.held_until = 0.0

    def join(self, register: Register) -> None:
        """Be counted in ``register`` as well. Those that are over are forgotten."""
        self._registers = [*(one for one in self._registers if not one.over), register]

    @cached_property
    def _own(self) -> Register:
        """For whoever uses it as any other part."""
        return Register([self], self)

    def _advance(self, now: float) -> None:
        for register in self._registers:
            register.call_in()
            register.settle(now)
        self.log.forget(now)
        self._foreign.forget(now)

    @property
    def _ours(self) -> int:
        return self.taken - self.log.gone

    @property
    def _used(self) -> int:
        """Slots that are not free: ours, and those of others."""
        return self.taken - self.log.gone + len(self._foreign)

    def room(self, now: float) -> int:
        return 0 if now < self.held_until else self.limit - self._used

    def _on_the_wire(self) -> Iterator[tuple[float, int]]:
        for register in self._registers:
            for slot in register.wire:
                if not slot.settled:
                    yield (slot.sent_at or 0.0) + self.skew + self.period, slot.cost

    def _freed_at(self, need: int) -> float | None:
        """When ``need`` of the used slots will be free, as far as is known by now."""
        if not self._foreign and (freed := self.log.freed_at(need)) is not None:
            return freed
        # What is on the wire is free after all that is in the log.
        for at, cost in heapq.merge(chain(self.log, sorted(self._on_the_wire())), self._foreign):
            need -= cost
            if need <= 0:
                return at
        return None

    def ready_at(self, now: float, cost: int) -> float | None:
        self._advance(now)
        need = self._used + cost - self.limit
        if need <= 0:
            return self.held_until
        freed = self._freed_at(need)
        return None if freed is None else max(freed, self.held_until)

    def estimate(self, now: float, cost: int) -> float:
        rounds, rest = divmod(cost - 1, self.limit)
        first = self.ready_at(now, rest + 1)
        return (now if first is None else max(now, first)) + rounds * self.period

    def take(self, now: float, cost: int) -> Slot:
        self._own.take(cost)
        return slot_of(cost)

    def sent(self, now: float, slot: Slot) -> None:
        self._own.sent(now, slot)

    def done(self, now: float, slot: Slot) -> None:
        self._own.done(now, slot)

    def give_back(self, now: float, slot: Slot) -> None:
        self._own.give_back(slot)

    def tighten(self, now: float, remaining: int | None, reset_after: float | None) -> None:
        """Make room for calls that are not our own; our own are counted here already, and hold nobody twice.

        Those that the first answer finds were made before ours: they are gone at the reset it names. Any found later
        may have been made just now, and stay for a period: a reset tells when the first call is free again, often in
        whole seconds, not when all are.
        """
        if remaining is None:
            return
        self._advance(now)
        first, self._heard = not self._heard, True
        foreign = (self.limit - max(0, remaining)) - self._used
        if foreign > 0:
            gone = now + self.period
            if first and reset_after is not None:
                gone = min(gone, now + max(0.0, reset_after))
            self._foreign.add(gone, foreign, now)
        if remaining <= 0 and reset_after is not None and self._all_free(now) + _WHOLE < now + reset_after:
            self.held_until = max(self.held_until, now + reset_after)  # longer than any call we know of explains

    def _all_free(self, now: float) -> float:
        """When every call that is known will be free; infinite while one may still be sent."""
        if not self._used:
            return now
        freed = self._freed_at(self._used)
        return math.inf if freed is None else freed

    def lift(self, now: float) -> None:
        self._foreign.clear()
        self.held_until = 0.0

    def inherit(self, old: Part, now: float) -> None:
        """Take over what another window has counted as well; what it granted and never saw sent counts as sent now."""
        if not isinstance(old, Window):
            return
        old._advance(now)
        self._advance(now)
        known = [*old.log, *old._on_the_wire()]
        if unsent := old._ours - sum(cost for _, cost in known):
            known.append((now + self.skew + self.period, unsent))
        ours = self._ours + old._ours
        self.log, self._foreign = Log.of([*self.log, *known]), Log.of([*self._foreign, *old._foreign])
        self.taken = ours
        self._heard = self._heard or old._heard
        self.held_until = max(self.held_until, old.held_until)

    def snapshot(self, now: float) -> PartSnapshot:
        self._advance(now)
        used = self._used
        freed = self._freed_at(1) if used else now
        wait = max(freed or now, self.held_until) - now
        remaining = 0 if self.held_until > now else max(0, self.limit - used)
        return PartSnapshot(self.name, self.limit, remaining, max(0.0, wait))
