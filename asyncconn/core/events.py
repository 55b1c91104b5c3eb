"""Events: named handlers that can watch, but can never break what they watch."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any, TypeVar, overload

from asyncconn.core.notes import with_notes
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncconn.core.tasks import TaskScope

__all__ = ["VOCABULARY", "Events"]

logger = logging.getLogger("asyncconn.events")

#: The events of all connectors, and what a handler is given. Who has which, ``on`` says.
VOCABULARY = {
    "attempt": "the Response of each attempt that got an answer",
    "retry": "the error of an attempt that is made again",
    "send": "the Batch that is about to leave",
    "flush": "the Delivery of a batch that arrived",
    "error": "the DeliveryFailed of a batch, or of a part of one, that did not: with its records",
    "live": "the Change of a connection that is up, again or for the first time",
    "lost": "the Change of a connection that broke, or could not be made: with its error and the pause before the next",
    "gap": "the Gap where messages may have been missed",
}

Handler = TypeVar("Handler", bound="Callable[..., object]")


class Events:
    """Handlers by event name, called in the order they were added.

    ``names`` are the events that there are, each of the ``VOCABULARY``; without them every name is one, as in data
    sources, whose authors have events of their own.

    A handler of ``"*"`` is called as ``handler(name, data)``, every other as ``handler(data)``. A handler may be a
    coroutine function: it then runs as a task of ``scope``. One that raises is counted in ``failures``, logged
    once, and skipped; the others still run, and so does the emitter.

        >>> events = Events("send")
        >>> @events.on("send")
        ... def seen(data: int) -> None:
        ...     print("sent", data)
        >>> events.emit("send", 3)
        sent 3
    """

    def __init__(self, *names: str, scope: TaskScope | None = None) -> None:
        if strange := set(names) - VOCABULARY.keys():
            raise ConfigError(f"no event of a connector is called {_listed(strange)}: use {_listed(VOCABULARY)}")
        self._names = frozenset(names)
        self._scope = scope
        self._handlers: dict[str, list[Callable[..., Any]]] = {}
        self._logged: list[Callable[..., Any]] = []
        self.failures = 0

    @overload
    def on(self, name: str) -> Callable[[Handler], Handler]: ...
    @overload
    def on(self, name: str, handler: Handler) -> Handler: ...
    def on(self, name: str, handler: Handler | None = None) -> Handler | Callable[[Handler], Handler]:
        """Add a handler and return it; without one, a decorator. Adding the same one twice calls it once.

        Raises ``ConfigError`` for a name that is never emitted, which would otherwise stay silent for ever.
        """
        if self._names and name != "*" and name not in self._names:
            raise ConfigError(f"there is no event {name!r}: use one of {_listed(self._names | {'*'})}")
        if handler is None:
            return lambda given: self.on(name, given)
        if not callable(handler):
            raise ConfigError(f"the handler of {name!r} is not callable: {type(handler).__name__}")
        handlers = self._handlers.get(name, [])
        if handler not in handlers:
            # A new list each time: an emit that is under way keeps the one it started with.
            self._handlers[name] = [*handlers, handler]
        return handler

    def off(self, name: str, handler: Callable[..., object]) -> None:
        """Remove a handler; nothing happens if it is not there."""
        self._handlers[name] = [known for known in self._handlers.get(name, ()) if known != handler]
        self._logged = [known for known in self._logged if known != handler]

    def wanted(self, name: str) -> bool:
        """Whether anybody listens: lets an emitter skip the making of costly data."""
        return bool(self._handlers.get(name) or self._handlers.get("*"))

    def emit(self, name: str, data: Any = None) -> int:
        """Call every handler of ``"*"`` and then of ``name``; how many took it.

        Never raises an ``Exception`` of a handler.
        """
        taken = 0
        for handler in self._handlers.get("*", ()):
            taken += self._call(handler, name, name, data)
        for handler in self._handlers.get(name, ()):
            taken += self._call(handler, name, data)
        return taken

    def _call(self, handler: Callable[..., Any], name: str, *args: Any) -> bool:
        try:
            result = handler(*args)
            if inspect.iscoroutine(result):
                if self._scope is None:
                    result.close()
                    raise TypeError("a coroutine function cannot handle this event: there is no task scope to run it")
                self._scope.spawn(self._watch(result, handler, name), name=f"on-{name}")
        except Exception as error:  # noqa: BLE001 - a handler is a stranger's code and must not stop the emitter
            self._failed(handler, name, error)
            return False
        return True

    async def _watch(self, result: Any, handler: Callable[..., Any], name: str) -> None:
        try:
            await result
        except Exception as error:  # noqa: BLE001 - as above, for the asynchronous half
            self._failed(handler, name, error)

    def _failed(self, handler: Callable[..., Any], name: str, error: Exception) -> None:
        self.failures += 1
        if handler not in self._logged:
            if any(handler in known for known in self._handlers.values()):  # one that is off by now is not kept
                self._logged.append(handler)
            where = getattr(handler, "__qualname__", type(handler).__name__)
            logger.warning("handler %s of event %r raised %s: %s", where, name, type(error).__name__, with_notes(error))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
