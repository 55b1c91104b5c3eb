"""How close together the calls in a server's books lie."""

from __future__ import annotations

__all__ = ["worst_window"]


def worst_window(times: list[float], period: float) -> int:
    """The most of ``times`` (in order) that any stretch of ``period`` seconds holds."""
    worst = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= period:
            first += 1
        worst = max(worst, last - first + 1)
    return worst
