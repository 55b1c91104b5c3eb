"""Windows and buckets whose calls are leased from a store that several processes share."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from asyncconn.core.rates.parts import BasePart, Part, PartSnapshot, Slot
from asyncconn.core.rates.windows import TokenBucket, Window
from asyncconn.errors import AsyncConnError, RateStoreUnavailable
from asyncconn.integrations.redis.leases import Asked, Leases

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.clock import Clock
    from asyncconn.integrations.redis.server import Server

__all__ = ["Cap", "SharedBucket", "SharedWindow"]

_AGAIN = 0.5  # seconds for which a store that is gone is not asked again: whoever asks for a call hears so at once
_LONGEST_LEASE = 10.0


@dataclass(frozen=True, slots=True)
class Cap:
    """One limit of one credential, as it stands in a store. ``label`` is for people.

    ``alone`` is how many processes are assumed to share it while the store is gone; None: then nothing is granted.
    """

    server: Server
    key: str
    label: str
    alone: int | None = None

    def keys(self, kind: Literal["window", "bucket"]) -> list[str]:
        """The keys of its books, in one slot of a cluster."""
        return [f"{self.key}:{kind}:{what}" for what in ("books", "settled", "leases", "waiting", "holders")]


class _Held(Slot):
    """A permit of a shared part; ``alone`` is its slot in the window that holds while the store is gone."""

    alone: Slot | None = None


class _Leased(BasePart):
    """A part that leases calls, grants them by itself, and tells what became of them with the next call of the store.

    The store has the last word on everything: this holder's clock serves for ages only.
    """

    kind: Literal["window", "bucket"]
    rate = 0.0  # calls a second

    def __init__(
        self, cap: Cap, limit: int, period: float, skew: float, ttl: float, name: str, alone: Part | None
    ) -> None:
        super().__init__(limit, name)
        self.cap = cap
        self._alone = alone  # what holds while the store is gone
        self.skew = skew
        self._span = period  # seconds until a call is free again, once it is settled
        self._ttl = ttl
        self._every = min(2.0, period / 10)  # seconds between two calls of the store that only tell
        self._leases = Leases(ttl, grain=period / 80)
        self._keys = cap.keys(self.kind)
        self._me = secrets.token_hex(8)
        self._number = 0
        self._clock: Clock | None = None
        self._wakes: list[Callable[[], None]] = []
        self._unanswered: Asked | None = None  # of which it is not known whether the store has heard it
        self._asking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0  # as the store said
        self._need = 0  # of who waits for that
        self._failed: AsyncConnError | None = None  # for whoever asks before it is tried again
        self._again_at = 0.0
        self._gone_since: float | None = None
        self._left, self._left_at = limit, -math.inf  # in the store, and when it said so
        self._sharing = 1
        self._entered = False
        self._closed = False
        self._alone_at = -math.inf  # when it last granted by itself

    def bind(self, clock: Clock, wake: Callable[[], None], key: str) -> None:
        self._wakes.append(wake)
        self._clock = clock

    # -- calls ---------------------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        self._leases.advance(now)

    def ready_at(self, now: float, cost: int) -> float | None:
        self._advance(now)
        if self._leases.room >= cost:
            return self.held_until
        if self._alone is not None and self._is_alone(now):
            if now >= self._again_at:
                self._ask(now, 0)
            if cost <= self._alone.limit:
                return self._alone.ready_at(now, cost)
        if self._failed is not None and now < self._again_at:
            raise self._refusal(self._failed)
        if now < self._not_before:
            return max(self._not_before, self.held_until)
        self._ask(now, cost)
        return None

    def _is_alone(self, now: float) -> bool:
        """Whether the store has been gone for so long that nothing that others were granted by it still counts."""
        since = self._gone_since
        return since is not None and now >= since + self._span + self._ttl + self.skew

    @staticmethod
    def _refusal(failed: AsyncConnError) -> AsyncConnError:
        error = type(failed)(failed.message)
        error.__cause__ = failed.__cause__
        return error

    def estimate(self, now: float, cost: int) -> float:
        self._advance(now)
        missing = cost - self._leases.room
        if missing <= 0:
            return max(now, self.held_until)
        rounds = (missing - 1) // max(1, self.limit // self._sharing)
        return max(now, self._not_before, self.held_until) + rounds * self._span

    def take(self, now: float, cost: int) -> Slot:
        slot = _Held()
        slot.cost = cost
        if self._leases.room < cost and self._alone is not None:
            self._alone_at = now
            slot.alone = self._alone.take(now, cost)
            return slot
        self._leases.take(now, cost)
        if self._leases.brisk(now) and now >= max(self._not_before, self._again_at):
            self._ask(now, 1)
        elif self._timer is None:
            self._later(now)
        return slot

    def give_back(self, now: float, slot: Slot) -> None:
        if slot.settled:
            return
        slot.settled = True
        if self._alone is not None and (alone := _alone(slot)) is not None:
            self._alone.give_back(now, alone)
        else:
            self._leases.unused(now, slot.cost)
            self._later(now)

    def tighten(self, now: float, remaining: int | None, reset_after: float | None) -> None:
        """Hold where nothing that all who share it have done explains what the server says: it is longer than that."""
        longest = self._span + self._ttl + self.skew
        if remaining is not None and remaining <= 0 and reset_after is not None and reset_after > longest:
            self.held_until = max(self.held_until, now + reset_after)

    def lift(self, now: float) -> None:
        self.held_until = 0.0

    def inherit(self, old: Part, now: float) -> None:
        if isinstance(old, _Leased):  # the rest is in the store
            self.held_until = max(self.held_until, old.held_until)

    def snapshot(self, now: float) -> PartSnapshot:
        self._advance(now)
        known = self._left if self._left_at + self._span > now else self.limit
        remaining = 0 if self.held_until > now else max(0, min(self.limit, self._leases.room + known))
        return PartSnapshot(self.name, self.limit, remaining, max(0.0, self._not_before - now, self.held_until - now))

    # -- the store -----------------------------------------------------------------------------------------------------

    def _later(self, now: float) -> None:
        """Look again soon: at leases that are over, and at what is to be told."""
        if self._timer is None and not self._closed and self._clock is not None:
            self._timer = self._clock.call_at(now + self._every, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._clock is None or self._closed:
            return
        now = self._clock.now()
        self._advance(now)
        waits = now < self._not_before  # and tells the rest when it asks again
        due = self._leases.fading(now) if waits else self._leases.due(now)
        if now >= self._again_at and (self._unanswered is not None or due):
            self._ask(now, self._need if waits else 0)
        if self._busy():
            self._later(now)

    def _busy(self) -> bool:
        return bool(self._leases) or self._unanswered is not None

    def _ask(self, now: float, need: int) -> None:
        if self._asking is not None and not self._asking.get_loop().is_closed():
            return
        self._need = need
        if self._unanswered is None:
            self._number += 1
            want = self._leases.want(need, max(1, self.limit // 64)) if need else 0
            self._unanswered = Asked(self._number, now, need, want, self._leases.reports(now))
        self._asking = asyncio.get_running_loop().create_task(
            self._hear(self._unanswered), name=f"rates:{self.cap.label}"
        )

    def _hold(self, now: float) -> float:
        """For how long others must wait because of what was granted while the store was gone, here or elsewhere."""
        if self._alone is None or not (self._is_alone(now) or now <= self._alone_at + self._span + self.skew):
            return 0.0
        return self._span + self.skew + _AGAIN + 2 * self.cap.server.timeout  # until the last of them knows it is back

    async def _hear(self, asked: Asked) -> None:
        clock = self._clock
        if clock is None:
            return
        if not self._entered:
            self._entered = True
            self.cap.server.enter()
        try:
            grant, wait, left, sharing = await self.cap.server.ask(self._keys, lambda: self._told(asked, clock.now()))
        except AsyncConnError as error:
            self._failed = error
            self._again_at = clock.now() + _AGAIN
            if isinstance(error, RateStoreUnavailable) and self._gone_since is None:
                self._gone_since = clock.now()
        else:
            now = clock.now()
            self._failed = self._gone_since = self._unanswered = None
            self._again_at = 0.0
            self._left, self._left_at, self._sharing = left, now, sharing
            if grant:
                self._leases.add(asked, f"{self._me}:{asked.number}", grant)
            if asked.need:
                self._not_before = 0.0 if grant else now + wait / 1000
        finally:
            self._asking = None
            if self._busy():
                self._later(clock.now())
            if not self._closed:
                for wake in self._wakes:
                    wake()

    def _told(self, asked: Asked, now: float) -> list[str | int | float]:
        span, ttl, skew = (math.ceil(seconds * 1000) for seconds in (self._span, self._ttl, self.skew))
        cap: list[str | int | float] = [
            self.limit,
            span,
            ttl,
            skew,
            math.ceil(self._hold(now) * 1000),
            self.cap.label,
            self.rate / 1000,
        ]
        return [self.kind, self._me, asked.number, asked.need, asked.want, *cap, *asked.told(now)]

    async def aclose(self) -> None:
        """Give back what is left; what is still under way counts as used as soon as its lease is over."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asking is not None:
            await asyncio.wait({self._asking})
        if self._clock is not None and self._entered:
            for _ in range(2):  # the first may only repeat what was asked before
                now = self._clock.now()
                self._advance(now)
                self._leases.end()
                if not self.cap.server.gone and (self._unanswered is not None or self._leases.due(now)):
                    self._ask(now, 0)
                    if self._asking is not None:
                        await asyncio.wait({self._asking})
            await self.cap.server.leave()


class SharedWindow(_Leased):
    """A :class:`Window` that all processes with one store keep together; its hard cap is theirs in all."""

    kind = "window"

    def __init__(self, cap: Cap, limit: int, period: float, *, skew: float = 2.0, name: str = "window") -> None:
        alone = None if cap.alone is None else Window(max(1, limit // cap.alone), period, skew=skew, name=name)
        super().__init__(cap, limit, float(period), float(skew), min(_LONGEST_LEASE, period / 4), name, alone)
        self.period = float(period)
        self._sent: deque[Slot] = deque()  # on the wire, in order of sending

    def _advance(self, now: float) -> None:
        sent = self._sent
        while sent and (sent[0].settled or (sent[0].sent_at or 0.0) + self.skew <= now):
            slot = sent.popleft()
            if not slot.settled:
                self._settle(slot, (slot.sent_at or 0.0) + self.skew)
        super()._advance(now)

    def _settle(self, slot: Slot, at: float) -> None:
        slot.settled = True
        self._leases.over(slot.cost, at)

    def sent(self, now: float, slot: Slot) -> None:
        if self._alone is not None and (alone := _alone(slot)) is not None:
            self._alone.sent(now, alone)
        elif slot.sent_at is None and not slot.settled:
            slot.sent_at = now
            self._sent.append(slot)

    def done(self, now: float, slot: Slot) -> None:
        if self._alone is not None and (alone := _alone(slot)) is not None:
            alone.lost = slot.lost
            self._alone.done(now, alone)
        elif not slot.settled and (not slot.lost or slot.sent_at is None):
            # Without an answer only the skew bound tells when the server has surely counted the call.
            self._settle(slot, now if slot.sent_at is None else min(now, slot.sent_at + self.skew))


class SharedBucket(_Leased):
    """A :class:`TokenBucket` that all processes with one store draw from.

    What is drawn is used within a tenth of the time that fills it, and that is taken to be a second at least: any ``w``
    seconds see at most ``burst + rate * (w + filled / 10)`` calls.
    """

    kind = "bucket"

    def __init__(self, cap: Cap, rate: float, burst: int, *, name: str = "bucket") -> None:
        filled = max(1.0, burst / rate)
        share = cap.alone
        alone = None if share is None else TokenBucket(rate / share, max(1, burst // share), name=name)
        super().__init__(cap, burst, filled, 0.0, min(_LONGEST_LEASE, filled / 10), name, alone)
        self.rate = float(rate)

    def sent(self, now: float, slot: Slot) -> None:
        """It is drawn for good: no answer changes anything."""
        if not slot.settled:
            slot.settled = True
            if _alone(slot) is None:
                self._leases.drop(slot.cost)

    def done(self, now: float, slot: Slot) -> None:
        self.sent(now, slot)


def _alone(slot: Slot) -> Slot | None:
    """The slot of what held while the store was gone, where it was granted by that."""
    return slot.alone if isinstance(slot, _Held) else None
