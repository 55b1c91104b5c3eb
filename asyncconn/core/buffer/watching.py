"""Watching batches on their way: the same ``on`` and ``off`` for all that sends them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

if TYPE_CHECKING:
    from asyncconn.core.buffer.batch import Batch
    from asyncconn.core.buffer.receipts import Delivery
    from asyncconn.core.events import Events
    from asyncconn.errors import DeliveryFailed

__all__ = ["Watched"]

OnSend = TypeVar("OnSend", bound="Callable[[Batch[Any]], object]")
OnFlush = TypeVar("OnFlush", bound="Callable[[Delivery], object]")
OnError = TypeVar("OnError", bound="Callable[[DeliveryFailed], object]")
OnAny = TypeVar("OnAny", bound=Callable[[str, Any], object])
Handler = TypeVar("Handler", bound=Callable[..., object])


class Watched:
    """What sends batches, and can be watched."""

    @property
    @abstractmethod
    def _events(self) -> Events:
        """Those of the buffer."""

    @overload
    def on(self, name: Literal["send"]) -> Callable[[OnSend], OnSend]: ...
    @overload
    def on(self, name: Literal["send"], handler: OnSend) -> OnSend: ...
    @overload
    def on(self, name: Literal["flush"]) -> Callable[[OnFlush], OnFlush]: ...
    @overload
    def on(self, name: Literal["flush"], handler: OnFlush) -> OnFlush: ...
    @overload
    def on(self, name: Literal["error"]) -> Callable[[OnError], OnError]: ...
    @overload
    def on(self, name: Literal["error"], handler: OnError) -> OnError: ...
    @overload
    def on(self, name: Literal["*"]) -> Callable[[OnAny], OnAny]: ...
    @overload
    def on(self, name: Literal["*"], handler: OnAny) -> OnAny: ...
    def on(self, name: str, handler: Handler | None = None) -> object:
        """Watch ``send`` (a :class:`Batch` leaves), ``flush`` (it arrived: its :class:`Delivery`), ``error`` (it did
        not: the ``DeliveryFailed``, with the records) or ``*``; returns the handler, or is its decorator.

        A handler may be a function or a coroutine function; one that raises is counted and logged, and stops nothing.
        Raises ``ConfigError`` for an event that does not exist.

            >>> @panoply.on("error")
            ... def keep(failure: DeliveryFailed) -> None:
            ...     backlog.extend(failure.records)
        """
        return self._events.on(name) if handler is None else self._events.on(name, handler)

    def off(self, name: str, handler: Callable[..., object]) -> None:
        """Stop watching; nothing happens if nobody did."""
        self._events.off(name, handler)
