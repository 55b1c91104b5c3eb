"""Comparing limits with measures: utilisation, and what is a warning or a breach.

Nobody knows here what the cube holds, so the measure is made up from the limit's id and the day: the same again for
the same seed, and of three kinds (50 %, 95 % and 120.5 % of the limit).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import date

__all__ = ["UTILIZATIONS", "measured", "threshold_is_distance", "utilization", "verdict"]

UTILIZATIONS = (50.0, 95.0, 120.5)
_DISTANCES = frozenset({(4, 0, 1), (4, 0, 2), (4, 0, 3), (4, 1, 0)})


def utilization(seed: int | str | None, limit_id: str, on: date) -> float:
    """The made-up utilisation of a limit on a day, in percent.

    >>> from datetime import date
    >>> utilization(1, "lim_0001", date(2026, 1, 31)) in UTILIZATIONS
    True
    """
    return UTILIZATIONS[zlib.crc32(f"{seed}|{limit_id}|{on}".encode()) % len(UTILIZATIONS)]


def measured(limit_value: float, percent: float, kpi_type: str) -> float:
    """The measure that uses ``percent`` of the limit; for Less Than, more utilisation is a smaller measure."""
    if _is_less(kpi_type):
        return limit_value * 100.0 / percent if percent else limit_value * 1e9
    return limit_value * percent / 100.0


def verdict(
    structure: dict[str, Any], limit_value: float, measure: float, *, threshold_is_distance: bool
) -> Literal["BREACH", "WARNING", "PASS"]:
    """Greater Than is breached by a measure above the limit, Less Than by one below it.

    ``warningThreshold`` is the least utilisation in percent, or, for ``threshold_is_distance``, how near to the limit
    in percent of it; 0 warns of nothing.
    """
    value = abs(measure) if structure["absoluteValueIndicator"] else measure
    less = _is_less(structure["kpiType"])
    if value < limit_value if less else value > limit_value:
        return "BREACH"
    threshold = structure["warningThreshold"]
    if not threshold:
        return "PASS"
    if threshold_is_distance:
        near = abs(limit_value - value) <= abs(limit_value) * threshold / 100.0
    else:
        used, whole = (limit_value, value) if less else (value, limit_value)
        near = whole != 0 and used / whole * 100.0 >= threshold
    return "WARNING" if near else "PASS"


def threshold_is_distance(version: tuple[int, ...]) -> bool:
    """Whether ``warningThreshold`` is a distance: in four versions only, as the guides to 4.0 and 4.1 say."""
    return (*version, 0, 0)[:3] in _DISTANCES


def _is_less(kpi_type: str) -> bool:
    return kpi_type.lower().startswith("less")
