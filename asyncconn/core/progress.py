"""How far something is, for whoever wants to show it: the same for all that takes time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, overload

from asyncconn.core.events import Events

__all__ = ["OnProgress", "Progress", "telling"]


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


@overload
def telling(listener: None) -> None: ...
@overload
def telling(listener: Callable[[P], object]) -> Callable[[P], object]: ...
@overload
def telling(listener: Callable[[P], object] | None) -> Callable[[P], object] | None: ...
def telling(listener: Callable[[P], object] | None) -> Callable[[P], object] | None:
    """The listener as one that cannot break what it listens to."""
    if listener is None:
        return None
    events = Events()
    events.on("progress", listener)
    return partial(events.emit, "progress")
