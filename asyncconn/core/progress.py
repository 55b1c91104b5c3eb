"""How far something is, for whoever wants to show it: the same for all that takes time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from asyncconn.core.events import Events

__all__ = ["Begun", "OnProgress", "Progress", "displayed", "telling"]


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` things of a ``unit`` (``"files"``, ``"streams"``, ``"bytes"``); None is not known.

    What takes ``on_progress`` calls it with one of these, in the beginning and whenever there is news. It is a plain
    function; one that raises is logged, once, and stops nothing.

        >>> Progress(3, 10, "files").done
        3
    """

    done: int
    total: int | None
    unit: str


#: What ``on_progress`` takes, wherever there is one.
OnProgress = Callable[[Progress], object]

P = TypeVar("P", bound=Progress)

#: Hears what begins, in words, and says who is told how far it is.
Begun = Callable[[str], OnProgress]

_display: ContextVar[Begun | None] = ContextVar("asyncconn_display", default=None)


@contextmanager
def displayed(begun: Begun) -> Iterator[None]:
    """Have all work that begins in this task, and in those that it starts, tell a display how far it is.

    The display's listener is held by the work alone: it is gone when the work is over.
    """
    before = _display.set(begun)
    try:
        yield
    finally:
        with suppress(ValueError):  # left in another context than it was entered in: that one ends by itself
            _display.reset(before)


def telling(listener: Callable[[P], object] | None, what: str) -> Callable[[P], object] | None:
    """The listener, and a display if there is one, as a listener that cannot break what it listens to.

    ``what`` says in a display what it is about. None where nobody listens.
    """
    begun = _display.get()
    if listener is None and begun is None:
        return None
    events = Events()
    for one in (listener, None if begun is None else begun(what)):
        if one is not None:
            events.on("progress", one)
    return partial(events.emit, "progress")
