"""What is to happen at a moment of the world's clock, which may be moved on by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from asyncconn.sandbox.clock import MovableClock

__all__ = ["Timer", "Timers"]

_SMALLEST_WAIT = 0.001  # less would have the loop spin until a rounding error has passed


class Timer:
    """One callback to come."""

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """It will not be called."""
        self.callback = None


class Timers:
    """Callbacks by their time. The event loop sees to them, and :meth:`tick` whatever the loop could not know of."""

    def __init__(self, clock: MovableClock) -> None:
        self.clock = clock
        self._queue: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._handle: asyncio.TimerHandle | None = None
        self._closed = False

    def after(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call back in so many seconds."""
        timer = Timer(self.clock.now() + seconds, callback)
        heapq.heappush(self._queue, (timer.when, next(self._numbers), timer))
        self._arm()
        return timer

    def at(self, moment: datetime, callback: Callable[[], object]) -> Timer:
        """Call back at that moment, soon for one that has passed."""
        return self.after(max(0.0, (moment - self.clock.utcnow()).total_seconds()), callback)

    def tick(self) -> None:
        """Call what is due."""
        now = self.clock.now()
        while self._queue and (self._queue[0][0] <= now or self._queue[0][2].callback is None):
            callback = heapq.heappop(self._queue)[2].callback
            if callback is not None:
                callback()
        self._arm()

    def close(self) -> None:
        """Nothing is called any more."""
        self._closed = True
        self._queue.clear()
        self._arm()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._queue and not self._closed:
            wait = max(_SMALLEST_WAIT, self._queue[0][0] - self.clock.now())
            self._handle = asyncio.get_running_loop().call_later(wait, self.tick)
