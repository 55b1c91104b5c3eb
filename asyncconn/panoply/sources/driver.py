"""Calls a data source where it belongs: an asynchronous one on the loop, any other in a thread of its own."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from asyncconn.core.clock import SystemClock
from asyncconn.core.threads import OwnThread
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from asyncconn.core.clock import Clock
    from asyncconn.hub import Hub

__all__ = ["Driven", "Runtime", "SourceDriver"]


@dataclass
class Runtime:
    """What a driven source knows of its surroundings: the loop, a hub for its own calls, its last sign of life."""

    loop: asyncio.AbstractEventLoop
    hub: Hub | None
    clock: Clock
    seen: float

    def alive(self) -> None:
        """The source has done something. From any thread."""
        self.seen = self.clock.now()


class Driven(Protocol):
    """A data source, as its driver sees it; ``close``, plain or async, is optional."""

    _runtime: Runtime | None

    def read(self, n: int | None = None) -> Any:
        """The next rows."""
        ...


S = TypeVar("S", bound=Driven)


class SourceDriver(Generic[S]):
    """Makes, reads and closes one source, all in one place.

    A source whose ``read`` is a coroutine function lives on the loop. Every other one lives in a thread of its own,
    from its constructor to its ``close``: a database connection, say, may not change threads.
    """

    def __init__(self, source: S, *, hub: Hub | None = None, thread: OwnThread | None = None) -> None:
        self.source = source
        clock = SystemClock() if hub is None else hub.clock
        self.runtime = Runtime(asyncio.get_running_loop(), hub, clock, clock.now())
        source._runtime = self.runtime
        self._takes_n = _takes_argument(source.read)
        self._thread = thread if thread is not None or is_async(type(source)) else _thread(type(source))
        self._job: Future[Any] | None = None

    @classmethod
    async def make(
        cls, kind: Callable[..., S], source: dict[str, Any], options: Any, *, hub: Hub | None = None
    ) -> SourceDriver[S]:
        """Call ``kind(source, options)`` where the source is going to live, and drive what it returns."""
        if is_async(kind):
            made = kind(source, options)
            return cls(made, hub=hub)
        thread = _thread(kind)
        try:
            return cls(await thread.run(kind, source, options), hub=hub, thread=thread)
        except BaseException:
            thread.close()
            raise

    async def read(self, n: int | None) -> Any:
        """One call of ``read``, with the hint if it takes one. What it raises comes through."""
        self.runtime.alive()
        args = (n,) if self._takes_n else ()
        return await self._call(self.source.read, *args)

    async def close(self) -> None:
        """The source's ``close``, if it has one. A thread that hangs in ``read`` is not waited for."""
        close = getattr(self.source, "close", None)
        if close is None:
            return
        if self._thread is not None and self._job is not None and not self._job.done():
            # The read hangs. Closing what it waits for, from another thread, is what may set it free.
            self._thread.close()
            self._thread = _thread(type(self.source))
        await self._call(close)

    def release(self) -> None:
        """Let go of the thread; it ends with the call it is in."""
        if self._thread is not None:
            self._thread.close()
        self.source._runtime = None

    async def _call(self, method: Callable[..., Any], *args: Any) -> Any:
        if self._thread is None:
            result = method(*args)
        else:
            self._job = self._thread.submit(method, *args)
            result = await asyncio.wrap_future(self._job)
        return await result if inspect.isawaitable(result) else result


def is_async(kind: Any) -> bool:
    """Whether sources of this class are read on the loop."""
    read = getattr(kind, "read", None)
    return inspect.iscoroutinefunction(inspect.unwrap(read)) if callable(read) else False


def _thread(kind: Any) -> OwnThread:
    return OwnThread(f"asyncconn-source-{getattr(kind, '__name__', 'any')}")


def _takes_argument(read: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(read)
    except (TypeError, ValueError):  # a builtin or a C function tells nothing
        return False
    try:
        signature.bind(None)
    except TypeError:
        pass
    else:
        return True
    try:
        signature.bind()
    except TypeError:
        raise ConfigError(f"read takes at most one argument, the number of rows wanted; not {signature}") from None
    return False
