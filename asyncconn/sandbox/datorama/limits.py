"""What each token has left: calls in a minute, queries in a minute, both together in a day.

Contract: datorama section 4.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, Protocol

from asyncconn.sandbox.views import Gauge

if TYPE_CHECKING:
    from asyncconn.sandbox.clock import MovableClock
    from asyncconn.sandbox.datorama.options import Options

__all__ = ["RATE_HEADERS", "Allowance", "Kind"]

Kind = Literal["platform", "query"]

_MINUTE = 60_000_000
_DAY = 86_400_000_000
_FAMILIES = ("X-PlatformRateLimit", "X-QueryRateLimit", "X-DailyQuota")
#: The nine headers of an ordinary answer.
RATE_HEADERS = tuple(f"{family}-{part}" for family in _FAMILIES for part in ("Limit", "Remaining", "Reset"))


class _Window(Protocol):
    """Counts, at most ``limit`` at a time. Times are microseconds since the epoch."""

    limit: int

    def used(self, now: int) -> int: ...

    def reset(self, now: int) -> int: ...

    def hit(self, now: int) -> None: ...


class _Fixed:
    """Windows side by side, aligned to the epoch: minutes of the clock, days of UTC."""

    def __init__(self, limit: int, span: int) -> None:
        self.limit = limit
        self._span = span
        self._number = 0
        self._used = 0

    def used(self, now: int) -> int:
        if now // self._span != self._number:
            self._number, self._used = now // self._span, 0
        return self._used

    def reset(self, now: int) -> int:
        """When the next window opens."""
        return (now // self._span + 1) * self._span

    def hit(self, now: int) -> None:
        self._used = self.used(now) + 1


class _Sliding:
    """Any span whatever: the strictest reading of "so many a minute"."""

    # A span that a client measured in floating seconds may come out a microsecond short here.
    _SLACK = 1

    def __init__(self, limit: int, span: int) -> None:
        self.limit = limit
        self._span = span
        self._hits: deque[int] = deque()

    def used(self, now: int) -> int:
        while self._hits and now - self._hits[0] >= self._span - self._SLACK:
            self._hits.popleft()
        return len(self._hits)

    def reset(self, now: int) -> int:
        """When there is one more than now; when nothing was used, a span from now."""
        used = self.used(now)
        if not used or not self.limit:
            return now + self._span
        return self._hits[max(0, used - self.limit)] + self._span

    def hit(self, now: int) -> None:
        self._hits.append(now)


class Allowance:
    """One token's."""

    def __init__(self, options: Options, clock: MovableClock) -> None:
        window = _Sliding if options.windows == "sliding" else _Fixed
        self._clock = clock
        self._count_refused = options.count_refused
        self._minutes: dict[Kind, _Window] = {
            "platform": window(options.platform_per_minute, _MINUTE),
            "query": window(options.query_per_minute, _MINUTE),
        }
        self._day = _Fixed(options.per_day, _DAY)

    def take(self, kind: Kind) -> bool:
        """Count a call; False when it must be refused."""
        now = self._clock.micros()
        windows = (self._minutes[kind], self._day)
        allowed = all(window.used(now) < window.limit for window in windows)
        if allowed or self._count_refused:
            for window in windows:
                window.hit(now)
        return allowed

    def left(self) -> dict[str, int]:
        """What remains: ``platform``, ``query`` and ``day``."""
        now = self._clock.micros()
        windows: list[tuple[str, _Window]] = [*self._minutes.items(), ("day", self._day)]
        return {name: max(0, window.limit - window.used(now)) for name, window in windows}

    def gauges(self, name: str) -> list[Gauge]:
        """How full each is, for somebody who looks."""
        now = self._clock.micros()
        windows = {
            "calls a minute": self._minutes["platform"],
            "queries a minute": self._minutes["query"],
            "calls a day": self._day,
        }
        return [
            Gauge(f"{name}: {what}", window.used(now), window.limit, "calls", (window.reset(now) - now) / 1e6)
            for what, window in windows.items()
        ]

    def headers(self) -> dict[str, str]:
        """The nine, as they are now."""
        now = self._clock.micros()
        found: list[int] = []
        for window in (*self._minutes.values(), self._day):
            found += (window.limit, max(0, window.limit - window.used(now)), _millis(window.reset(now)))
        return dict(zip(RATE_HEADERS, map(str, found), strict=True))

    def documented_headers(self, kind: Kind) -> dict[str, str]:
        """Those that the documentation names for a 429, in its spelling."""
        now = self._clock.micros()
        return {
            "X-RateLimit-Reset": str(_millis(self._minutes[kind].reset(now))),
            "X-DailyQuota-Rest": str(_millis(self._day.reset(now))),
        }


def _millis(micros: int) -> int:
    """Rounded up: whoever waits until then must not be too early."""
    return -(-micros // 1000)
