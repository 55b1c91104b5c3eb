"""The line of those who wait to put something in: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from asyncconn.core.clock import Clock

__all__ = ["Line"]

_Key: TypeAlias = "tuple[str, Hashable]"  # in its space


@dataclass(eq=False, slots=True)
class _Waiter:
    future: asyncio.Future[None]
    size: int
    key: _Key


class _Admits(Protocol):
    def __call__(self, size: int, key: _Key, *, patient: bool) -> bool: ...


class Line:
    """Puts that wait for room or for a sender, each with the size and the key of its item.

    The first goes on when ``admits`` says so. Once he has waited for ``patience`` seconds, it is asked whether there is
    room for one who is ``patient`` no more. ``make_way`` is called whenever it is found that he has to wait.
    """

    def __init__(self, clock: Clock, patience: float, *, admits: _Admits, make_way: Callable[[], object]) -> None:
        self._clock = clock
        self._patience = patience
        self._admits = admits
        self._make_way = make_way
        self._waiters: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None  # of the first

    def __len__(self) -> int:
        return len(self._waiters)

    async def wait(self, size: int, key: _Key) -> None:
        """Line up, and return when it is one's turn. Raises what :meth:`close` is given."""
        waiter = _Waiter(asyncio.get_running_loop().create_future(), size, key)
        future = waiter.future
        self._waiters.append(waiter)
        self._wait()
        try:
            await future
        except BaseException:
            if future.done() and not future.cancelled():
                future.exception()  # it may hold an error that nobody will look at now
            self._leave(waiter)
            self.serve()  # the room that this one was given goes to the next
            raise
        self._leave(waiter)

    def serve(self, *, patient: bool = True) -> None:
        """Let the first go on, if he may. He leaves the line himself, so that nobody overtakes him meanwhile."""
        if not self._waiters or self._waiters[0].future.done():
            return
        first = self._waiters[0]
        if self._admits(first.size, first.key, patient=patient):
            first.future.set_result(None)
        elif patient:
            self._wait()

    def close(self, error: Callable[[], Exception]) -> None:
        """All who wait get an error."""
        for waiter in self._waiters:
            if not waiter.future.done():
                waiter.future.set_exception(error())

    def _wait(self) -> None:
        self._make_way()
        if self._timer is None:
            self._timer = self._clock.call_at(self._clock.now() + self._patience, self._end_patience)

    def _end_patience(self) -> None:
        self._timer = None
        self.serve(patient=False)

    def _leave(self, waiter: _Waiter) -> None:
        if self._timer is not None:  # the next in line has his own
            self._timer.cancel()
            self._timer = None
        with suppress(ValueError):
            self._waiters.remove(waiter)
