"""A clock that a test can move on, whatever clock is below it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from asyncconn.core.clock import Clock

__all__ = ["MOST_AHEAD", "MovableClock"]

MOST_AHEAD = 10 * 365.25 * 86_400  # seconds: ten years, so that dates computed from it still are dates

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class MovableClock:
    """Takes its start from the wall clock and its pace from the monotonic one, so that it never goes back.

    Whole microseconds since the epoch: minutes and days that a client computes from the answers' milliseconds end
    here at the same moment.

        >>> from asyncconn.core.clock import VirtualClock
        >>> clock = MovableClock(VirtualClock())
        >>> clock.advance(86_400)
        >>> clock.utcnow().isoformat()
        '2030-01-02T00:00:00+00:00'
    """

    def __init__(self, base: Clock) -> None:
        self._base = base
        self._began = base.now()
        self._epoch = (base.utcnow() - _EPOCH) // timedelta(microseconds=1)
        self._shift = 0.0

    def advance(self, seconds: float) -> None:
        """Move on at once, by ten years in all at most.

        Raises :class:`~asyncconn.errors.ConfigError`, a ``ValueError``, for more, for going back, and for NaN.
        """
        if seconds < 0:
            raise ConfigError("the sandbox's clock does not go back")
        if not self._shift + seconds <= MOST_AHEAD:  # this way round NaN is refused too
            raise ConfigError(f"the sandbox's clock moves on by {MOST_AHEAD:.0f} s (ten years) in all at most")
        self._shift += seconds

    @property
    def moved(self) -> float:
        """Seconds that it was moved on by, in all."""
        return self._shift

    async def sleep(self, seconds: float) -> None:
        """Wait on the clock below: to move this one on ends no wait."""
        await self._base.sleep(seconds)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call back at ``when``, as this clock stands now."""
        return self._base.call_at(when - self._shift, callback, *args)

    def now(self) -> float:
        """Monotonic seconds."""
        return self._base.now() + self._shift

    def micros(self) -> int:
        """Microseconds since the epoch, UTC."""
        return self._epoch + round((self.now() - self._began) * 1e6)

    def seconds(self) -> float:
        """Seconds since the epoch, UTC."""
        return self.micros() / 1e6

    def millis(self) -> int:
        """Milliseconds since the epoch, UTC: what the platform calls a time."""
        return self.micros() // 1000

    def utcnow(self) -> datetime:
        """Aware, UTC."""
        return _EPOCH + timedelta(microseconds=self.micros())

    def today(self) -> date:
        """The UTC day."""
        return self.utcnow().date()
