"""Time as a parameter: the system's clock, and a virtual one on which a day passes in a second."""

from __future__ import annotations

import asyncio
import selectors
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor

__all__ = ["Clock", "SystemClock", "VirtualClock", "end_of", "shown_end"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Clock(Protocol):
    """What time-dependent code asks for. Seconds are floats; ``now`` is monotonic and has no meaning of its own."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def utcnow(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Call back at ``when`` on the scale of :meth:`now`; the handle can be cancelled."""
        ...


def end_of(now: datetime, seconds: float) -> datetime | None:
    """The time so many seconds from now; None where that is beyond all calendars."""
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        return None


def shown_end(now: datetime, seconds: float, form: str) -> str:
    """That time for people, in the ``form`` of ``strftime``.

    >>> now = datetime(2030, 1, 1, tzinfo=UTC)
    >>> shown_end(now, 60.0, "%H:%M:%S UTC"), shown_end(now, float("inf"), "%H:%M:%S UTC")
    ('00:01:00 UTC', 'further notice')
    """
    end = end_of(now, seconds)
    return "further notice" if end is None else end.strftime(form)


class SystemClock:
    """The machine's own clocks: monotonic for durations, wall for dates."""

    #: ``time.monotonic`` itself: what asyncio's own loops count by, without asking which of them is running.
    now = staticmethod(time.monotonic)

    def utcnow(self) -> datetime:
        """The machine's wall clock, aware, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """``asyncio.sleep``."""
        await asyncio.sleep(seconds)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """``loop.call_at``, on whatever scale the running loop counts."""
        loop = asyncio.get_running_loop()
        return loop.call_at(loop.time() + when - self.now(), callback, *args)


class VirtualClock(SystemClock):
    """A clock for tests and simulations that never really waits.

    It brings an event loop of its own: when nothing is ready to run, the loop jumps to the next timer. Everything
    that takes its time from the loop is virtual there, ``asyncio.sleep`` and ``asyncio.timeout`` included; sockets
    and threads work and make it wait for real.

        >>> clock = VirtualClock()
        >>> async def main() -> float:
        ...     await asyncio.sleep(86_400)
        ...     return clock.now()
        >>> clock.run(main())
        86400.0

    ``turn`` is what each turn of the loop takes, in seconds. Code that waits for "now" over and over until a rounding
    error has passed needs it to be more than nothing, as it is in reality.
    """

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC), *, turn: float = 0.0) -> None:
        self._start = start
        self._stepped = timedelta()
        self.turn = turn
        self._seconds = 0.0

    def now(self) -> float:
        """Virtual seconds since this clock was made."""
        return self._seconds

    def utcnow(self) -> datetime:
        """The wall clock that belongs to :meth:`now`."""
        return self._start + self._stepped + timedelta(seconds=self._seconds)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back with less than 0, and leave :meth:`now` as it is.

        So does a machine that sleeps and wakes, or one whose clock is put right.
        """
        self._stepped += timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        """Move on at once, without waiting; timers that are now due fire on the loop's next turn."""
        if seconds < 0:
            raise ValueError("a monotonic clock does not go back")
        self._seconds += seconds

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """``loop.call_at`` of the virtual loop, which counts by this very clock."""
        return asyncio.get_running_loop().call_at(when, callback, *args)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run ``main`` to its end on a new virtual loop, as ``asyncio.run`` does on a real one."""
        with asyncio.Runner(loop_factory=lambda: _VirtualLoop(self)) as runner:
            return runner.run(main)


class _VirtualSelector(selectors.DefaultSelector):
    """Polls real file descriptors without waiting, and lets the clock jump when none is ready."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self._clock.advance(self._clock.turn)
        if ready or timeout == 0:
            return ready
        if timeout is None or self.threads:  # only a thread or a socket can go on from here: really wait for it
            return super().select(0.05)
        # Never less than a nanosecond: a step that rounds to nothing would spin for ever.
        self._clock.advance(max(timeout, 1e-9))
        return super().select(0)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self._virtual_selector = _VirtualSelector(clock)
        self._virtual_clock = clock
        super().__init__(self._virtual_selector)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._virtual_clock.now()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        self._virtual_selector.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self._virtual_selector.threads -= 1

    async def shutdown_default_executor(self, *timeout: Any) -> None:
        """From Python 3.12 on with a timeout by this loop's own clock, which must not jump over it."""
        self._virtual_selector.threads += 1
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self._virtual_selector.threads -= 1
