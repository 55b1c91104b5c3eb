"""``asyncconn.run``: a program's main function with a hub around it, and what signals mean meanwhile."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.errors import LifecycleError
from asyncconn.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from asyncconn.draining import OnUndelivered
    from asyncconn.settings import HubSettings

__all__ = ["run"]

T = TypeVar("T")


def run(
    main: Callable[[Hub], Coroutine[Any, Any, T]],
    *,
    settings: HubSettings | None = None,
    on_undelivered: OnUndelivered = "warn",
) -> T:
    """``asyncio.run`` with a hub around it, for scripts and services: SIGTERM and Ctrl-C deliver before they end.

        >>> async def main(hub: Hub) -> None:
        ...     panoply = Panoply.from_env(hub=hub)
        ...     await panoply.write("events", {"id": 1})
        >>> asyncconn.run(main)

    On SIGTERM ``main`` is cancelled, the hub drains, and ``SystemExit(143)`` is raised; a second SIGTERM does what it
    did before. Afterwards the program's own handler is in its place again. In a thread that is not the main one it runs
    just so, but hears no signals. When the hub has warned of lost records, ``SystemExit(1)`` is raised, also where
    ``main`` has ended by ``sys.exit()`` with 0; ``on_undelivered`` is the hub's.

    Raises ``LifecycleError`` where an event loop runs already, as in a notebook: there, a hub's block does the same.
    """
    _refuse_a_running_loop()
    hub = Hub(settings=settings, on_undelivered=on_undelivered)
    served = _Served(main, hub)
    try:
        asyncio.run(served.serve())
    except SystemExit as ended:
        if not ended.code and served.lost:
            raise SystemExit(1) from ended
        raise
    finally:
        served.sigterm.put_back()
    if served.terminated:
        raise SystemExit(128 + signal.SIGTERM)
    if served.lost:
        raise SystemExit(1)
    return served.result


def _refuse_a_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    error = LifecycleError("asyncconn.run starts an event loop, and here one runs already, as in a notebook")
    error.advice = "write 'async with Hub() as hub: await main(hub)'"
    raise error


class _Served(Generic[T]):
    """One run: ``result`` is what ``main`` returned, unless SIGTERM ``terminated`` it."""

    result: T

    def __init__(self, main: Callable[[Hub], Coroutine[Any, Any, T]], hub: Hub) -> None:
        self._main = main
        self._hub = hub
        self._work: asyncio.Task[T] | None = None
        self.terminated = False
        self.sigterm = _Sigterm()

    @property
    def lost(self) -> bool:
        """Whether the hub has warned of lost records."""
        report = self._hub.report
        return self._hub.on_undelivered == "warn" and report is not None and report.untold > 0

    async def serve(self) -> None:
        self.sigterm.watch(asyncio.get_running_loop(), self._terminate)
        try:
            # The handler stays until the hub has drained: what main left to deliver is as dear as main itself.
            async with self._hub as hub:
                if not self.terminated:  # while the hub opened
                    self._work = asyncio.create_task(self._main(hub), name="asyncconn:main")
                    self.result = await self._work
        except asyncio.CancelledError:
            if not self.terminated or self._work is None or not self._work.cancelled():
                raise
        finally:
            self.sigterm.leave()

    def _terminate(self) -> None:
        self.terminated = True
        if self._work is not None:
            self._work.cancel()


class _Sigterm:
    """Lends the handler of SIGTERM to an event loop, and puts back what the program had, or has set meanwhile."""

    def __init__(self) -> None:
        self._before: Any = None  # None too for a handler that was not set from Python, and cannot be
        self._ours: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self, loop: asyncio.AbstractEventLoop, told: Callable[[], object]) -> None:
        """Call ``told`` at the first SIGTERM. Only the main thread hears signals, and not on every platform's loop."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._before = signal.getsignal(signal.SIGTERM)

        def once() -> None:
            loop.remove_signal_handler(signal.SIGTERM)
            self.put_back()
            self._loop = self._ours = None
            told()

        with suppress(NotImplementedError):
            loop.add_signal_handler(signal.SIGTERM, once)
            self._loop, self._ours = loop, signal.getsignal(signal.SIGTERM)

    def leave(self) -> None:
        """Before the loop closes, which takes away whatever handler there is."""
        if self._loop is not None:
            now = signal.getsignal(signal.SIGTERM)
            self._before = self._before if now is self._ours else now  # one of the program's, set while it ran
            self._loop.remove_signal_handler(signal.SIGTERM)

    def put_back(self) -> None:
        """After it."""
        if self._ours is not None and self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
