"""What a part of a rate limiter is: it says when a call of some cost may go, and keeps its own books.

No part waits or wakes anybody: :class:`asyncconn.core.rates.limiter.RateLimiter` does, for several parts at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.clock import Clock

__all__ = ["BasePart", "Part", "PartSnapshot", "RateSnapshot", "Slot", "slot_of"]


@dataclass(frozen=True, slots=True)
class PartSnapshot:
    """One part's books.

    ``remaining`` calls may go now; ``resets_in`` seconds until more may (0.0 if nothing is used).
    """

    name: str
    limit: int
    remaining: int
    resets_in: float


@dataclass(frozen=True, slots=True)
class RateSnapshot:
    """A limiter at one moment: its parts, callers ``waiting``, calls ``in_flight``.

    Paused, it grants nothing for ``paused_for`` seconds, until ``paused_until`` (aware UTC; None if it is not, or
    without end).
    """

    name: str
    parts: tuple[PartSnapshot, ...]
    waiting: int
    in_flight: int
    paused_for: float
    paused_until: datetime | None = None

    @property
    def remaining(self) -> int:
        """Calls that may go now: the least that any part has left."""
        return 0 if self.paused_for > 0 else min(part.remaining for part in self.parts)

    def __repr__(self) -> str:
        parts = "; ".join(f"{part.name}: {part.remaining} of {part.limit} left" for part in self.parts)
        waits = f"; {self.waiting} waiting" if self.waiting else ""
        pause = f"; {self._pause}" if self.paused_for else ""
        return f"<RateSnapshot {self.name}: {parts}{waits}{pause}>"

    @property
    def _pause(self) -> str:
        end = self.paused_until
        return f"paused until {'further notice' if end is None else f'{end:%Y-%m-%d %H:%M:%S} UTC'}"

    def _repr_html_(self) -> str:
        from asyncconn.core.tables import html_table

        rows = [(part.name, part.limit, part.remaining, round(part.resets_in, 1)) for part in self.parts]
        waits = f"{self.waiting} waiting, {self.in_flight} under way"
        pause = f", {self._pause}" if self.paused_for else ""
        return html_table(("limit", "calls", "left", "resets in s"), rows, title=f"{self.name}: {waits}{pause}")


class Slot:
    """What one granted permit holds in one part. Its fields are the class's until they change: most never do."""

    cost = 1
    sent_at: float | None = None
    settled = False
    lost = False  # given up after sending: no answer will tell when the server counted it


def slot_of(cost: int) -> Slot:
    """A slot of that cost."""
    slot = Slot()
    if cost != 1:
        slot.cost = cost
    return slot


class Part(Protocol):
    """What a limiter asks of its parts. Times are monotonic seconds of the limiter's clock.

    Two more methods are called where a part has them: ``lift(now)`` forgets what the server said and keeps what was
    counted here; ``inherit(old, now)`` takes over what another part of its name and type has counted as well.
    """

    name: str
    limit: int
    period: float  # seconds until what an answer settles is free again; infinite where answers settle nothing

    def fresh(self) -> Self:
        """An unused twin: what its constructor was given, stores, callables and clocks by reference."""
        ...

    def bind(self, clock: Clock, wake: Callable[[], None], key: str) -> None:
        """Called once by each limiter; ``wake`` makes it look again after a change of its own accord."""
        ...

    def ready_at(self, now: float, cost: int) -> float | None:
        """When ``cost`` may go: ``now`` or any earlier time for at once, None when only the end of a call can tell.

        Asked again at that time, so it may also be a time to look again.
        """
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
        """What the server says is left; only ever makes the part stricter, and only for calls that are not ours."""
        ...

    def snapshot(self, now: float) -> PartSnapshot:
        """The books, for people."""
        ...

    async def aclose(self) -> None:
        """Settle with the outside world, if there is one."""
        ...


class BasePart:
    """What the three parts share: names, binding, and the calls that mean nothing to some of them."""

    period = float("inf")
    held_until = 0.0  # nothing goes before, as the server asked; for the log
    _given: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **options: Any) -> Self:
        part = super().__new__(cls)
        part._given = args, options
        return part

    def __init__(self, limit: int, name: str) -> None:
        if not limit >= 1 or limit % 1 != 0:  # so that nan and inf fail too
            raise ConfigError(f"{name}: limit must be a whole number of at least 1, not {limit!r}")
        self.limit = limit
        self.name = name

    def fresh(self) -> Self:
        args, options = self._given
        return type(self)(*args, **options)

    def bind(self, clock: Clock, wake: Callable[[], None], key: str) -> None:
        pass

    def sent(self, now: float, slot: Slot) -> None:
        pass

    def done(self, now: float, slot: Slot) -> None:
        pass

    def lift(self, now: float) -> None:
        pass

    def inherit(self, old: Part, now: float) -> None:
        pass

    async def aclose(self) -> None:
        pass
