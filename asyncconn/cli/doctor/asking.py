"""What the looks at all platforms share: who asks, the clock that answers tell, and one step at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncconn.cli.doctor.check import Check
from asyncconn.http.response import http_date

if TYPE_CHECKING:
    from asyncconn import Hub
    from asyncconn.cli.doctor.network import Roads
    from asyncconn.core.clock import Clock
    from asyncconn.core.events import Events
    from asyncconn.http.response import Response

__all__ = ["Asking", "Dates"]

_APART = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Asking:
    """``names`` are the variables that are set. Without ``roads`` the platforms are not to be asked, or cannot be."""

    names: frozenset[str]
    hub: Hub
    roads: Roads | None


@dataclass(slots=True)
class Dates:
    """Hears in the answers of a platform how far its clock is from ours."""

    clock: Clock
    ahead: list[float] = field(default_factory=list)

    def listen(self, *events: Events) -> None:
        """To clients, before they ask."""
        for one in events:
            one.on("attempt", self._hear)

    def _hear(self, response: Response) -> None:
        told = http_date(response.headers.get("Date", ""))
        if told is not None:
            self.ahead.append((told - self.clock.utcnow()).total_seconds())

    def check(self, name: str) -> list[Check]:
        """What it comes to; nothing where no answer had a date."""
        if not self.ahead:
            return []
        apart = min(self.ahead, key=abs)
        if abs(apart) <= _APART:
            return [Check(name, "ok", "the same as here")]
        which = "ahead of" if apart > 0 else "behind"
        advice = "set this machine's clock (NTP): tokens, signatures and the day of a quota depend on it"
        return [Check(name, "warn", f"{abs(apart):,.0f} s {which} this machine's", advice)]
