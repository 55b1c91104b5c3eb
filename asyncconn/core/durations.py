"""Seconds that a caller gives: what could not end a wait, or never would, is refused before the wait begins."""

from __future__ import annotations

import math
from typing import TypeVar

from asyncconn.errors import ConfigError

__all__ = ["positive", "seconds"]

D = TypeVar("D", int, float)


def positive(name: str, value: D) -> D:
    """``value``, if it is more than 0 and finite. Raises ``ConfigError``: zero would mean "for ever" to a library."""
    if not _number(value) or not 0 < value < math.inf:
        raise ConfigError(f"{name} must be more than 0 seconds, and not without end, not {value!r}")
    return value


def seconds(name: str, value: D) -> D:
    """``value``, if it is finite and not negative: for waits where 0 means "do not wait". Raises ``ConfigError``."""
    if not _number(value) or not 0 <= value < math.inf:
        raise ConfigError(f"{name} must be 0 seconds (do not wait) or more, and not without end, not {value!r}")
    return value


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
