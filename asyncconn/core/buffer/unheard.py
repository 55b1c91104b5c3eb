"""Losses that nobody has heard of: a warning, at the place where what lost them was made."""

from __future__ import annotations

import atexit
import sys
import warnings
from functools import cache
from typing import Protocol
from weakref import WeakSet

__all__ = ["UndeliveredWarning", "caller", "warn", "watch"]

#: Frames of these are never where a user's program stands.
_OURS = frozenset({"asyncconn", "asyncio", "contextlib", "functools"})


class UndeliveredWarning(RuntimeWarning):
    """Records were accepted and did not arrive, and no handler, awaited receipt or error has told of them."""


class _Open(Protocol):
    def forsaken(self) -> None: ...


_open: WeakSet[_Open] = WeakSet()


def watch(buffer: _Open) -> None:
    """Call ``buffer.forsaken`` when the program ends, if it is there then."""
    _watch_the_end()
    _open.add(buffer)


@cache
def _watch_the_end() -> None:
    """Once, when a first buffer is made: before whoever made it can ask to be called at the end, and thus after him."""
    atexit.register(_at_the_end)


def _at_the_end() -> None:
    for buffer in list(_open):
        buffer.forsaken()


def caller() -> tuple[str, int]:
    """File and line from where this package was called."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS:
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def warn(message: str, where: tuple[str, int]) -> None:
    """Warn of undelivered records, each time: the second loss at a place is as bad as the first."""
    warnings.warn_explicit(message, UndeliveredWarning, *where, registry=None)
