"""Signs of life from a method that works for long without any of its own.

Contract: panoply section 8 (background_progress); weakness 42 of section 10.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import math
import time
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.clock import SystemClock
from asyncconn.core.tasks import reap
from asyncconn.core.threads import OwnThread
from asyncconn.panoply.errors import IncorrectParamError, PanoplyException

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.panoply.sources.source import DataSource

__all__ = ["background_progress"]

logger = logging.getLogger("asyncconn.panoply.sources.background")

F = TypeVar("F", bound="Callable[..., Any]")

_EXCEEDED = "Max waiting time exceeded"  # the contract's own words


def background_progress(message: str, waiting_interval: float = 600.0, timeout: float = 86_400.0) -> Callable[[F], F]:
    """While the method works, log ``message`` and report it as progress, at once and every ``waiting_interval`` s.

        >>> class Stream(DataSource):
        ...     @background_progress("Waiting for the report")
        ...     async def _report(self): ...

    For methods of a :class:`DataSource`, plain or ``async``; returns or raises what the method does.

    Raises ``PanoplyException`` after ``timeout`` seconds. An ``async`` method is then cancelled, and waited for. A
    plain one works in a daemon thread of its own, which nothing can stop: it is left to itself, without keeping the
    program from ending, and an error of it is logged. Such a method must not use what belongs to the source's own
    thread (a SQLite connection, say). ``log`` and ``progress`` are called from the caller's thread.

    Raises ``IncorrectParamError``, at decoration, when a duration is not more than 0. Contract: panoply section 8.
    """
    if not 0 < waiting_interval < math.inf or not 0 < timeout < math.inf:
        raise IncorrectParamError("background_progress: the two durations must be more than 0, and not without end")

    def decorate(method: F) -> F:
        @functools.wraps(method)
        async def awaited(self: DataSource, *args: Any, **kwargs: Any) -> Any:
            work = asyncio.get_running_loop().create_task(method(self, *args, **kwargs), name=f"asyncconn:{message}")
            return await _watch(self, work, message, waiting_interval, timeout)

        @functools.wraps(method)
        def called(self: DataSource, *args: Any, **kwargs: Any) -> Any:
            thread = OwnThread(f"asyncconn-background-{getattr(method, '__name__', 'method')}")
            work = thread.submit(functools.partial(method, self, *args, **kwargs))
            thread.close()
            return _watch_blocking(self, work, thread.name, message, waiting_interval, timeout)

        wrapper: Any = awaited if inspect.iscoroutinefunction(inspect.unwrap(method)) else called
        return wrapper  # type: ignore[no-any-return] # it has the method's own signature

    return decorate


async def _watch(
    source: DataSource, work: asyncio.Task[Any], message: str, waiting_interval: float, timeout: float
) -> Any:
    clock = SystemClock() if source._runtime is None else source._runtime.clock
    deadline = clock.now() + timeout
    try:
        while (left := deadline - clock.now()) > 0:
            _report(source, message)
            await asyncio.wait({work}, timeout=min(waiting_interval, left))
            if work.done():
                return work.result()
            if left <= waiting_interval:  # not asking the clock again, which may be a rounding error behind
                break
    finally:
        await reap([work])
    raise PanoplyException(_EXCEEDED) from _failure(work)


def _watch_blocking(
    source: DataSource, work: Future[Any], name: str, message: str, waiting_interval: float, timeout: float
) -> Any:
    deadline = time.monotonic() + timeout  # a thread waits in real time, whatever the source's clock is
    try:
        while (left := deadline - time.monotonic()) > 0:
            _report(source, message)
            if wait([work], min(waiting_interval, left)).done:
                return work.result()
            if left <= waiting_interval:
                break
    finally:
        if not work.done():
            work.add_done_callback(functools.partial(_abandoned, name))
    raise PanoplyException(_EXCEEDED)


def _report(source: DataSource, message: str) -> None:
    source.log(message)
    source.progress(None, None, message)


def _failure(work: asyncio.Task[Any]) -> BaseException | None:
    """What the work raised instead of ending quietly when it was cancelled."""
    return work.exception() if work.done() and not work.cancelled() else None


def _abandoned(name: str, work: Future[Any]) -> None:
    error = work.exception()
    if error is not None:
        logger.warning("%s, given up before, ended with %s", name, type(error).__name__)
