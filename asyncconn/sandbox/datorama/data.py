"""A small set of marketing data, computed from seed, workspace and day, so that none of it is kept.

Contract: datorama sections 3.8 and 3.10.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

__all__ = ["FIELDS", "Cell", "Field", "Row", "find_field", "model_of", "rows"]

Cell = str | int | float | None
Row = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Field:
    """A dimension or a measurement, by both its names."""

    system: str
    display: str
    type: str
    is_measurement: bool = False


FIELDS = (
    Field("DAY", "Day", "DATE"),
    Field("CAMPAIGN_KEY", "Campaign Key", "TEXT"),
    Field("CAMPAIGN_NAME", "Campaign Name", "TEXT"),
    Field("CREATIVE_KEY", "Creative Key", "TEXT"),
    Field("DELIVERY_CLICKS", "Clicks", "NUMBER", is_measurement=True),
    Field("DELIVERY_IMPRESSIONS", "Impressions", "NUMBER", is_measurement=True),
    Field("DELIVERY_COST", "Media Cost", "CURRENCY", is_measurement=True),
)
_BY_NAME = {name: field for field in FIELDS for name in (field.system, field.display)}
_CAMPAIGNS = (("70001", "Winter"), ("70002", "Spring"), ("70003", "Brand"))
_CREATIVES = ("email_1", "banner_1")


def find_field(name: object) -> Field | None:
    """By system or display name."""
    return _BY_NAME.get(name) if isinstance(name, str) else None


def model_of(word: str) -> dict[str, dict[str, Any]]:
    """A workspace's ``dimensions`` or ``measurements`` as the API shows them, by system name."""
    found: dict[str, dict[str, Any]] = {}
    for field in FIELDS:
        shown = {"systemName": field.system, "displayName": field.display}
        if field.is_measurement and word == "measurements":
            found[field.system] = {**shown, "measurementType": field.type, "aggregation": "SUM", "origin": "MODEL"}
        elif not field.is_measurement and word == "dimensions":
            found[field.system] = {**shown, "dimensionType": field.type, "scope": "GLOBAL"}
    return found


def rows(seed: str, workspace_id: int, first: date, last: date) -> Iterator[Row]:
    """Three campaigns, two creatives, by day; clicks are null now and then."""
    day = first
    while day <= last:
        for key, name in _CAMPAIGNS:
            for creative in _CREATIVES:
                chance = zlib.crc32(f"{seed}:{workspace_id}:{day}:{key}:{creative}".encode())
                impressions = 1000 + chance % 9000
                yield {
                    "DAY": day.isoformat(),
                    "CAMPAIGN_KEY": key,
                    "CAMPAIGN_NAME": name,
                    "CREATIVE_KEY": creative,
                    "DELIVERY_CLICKS": None if chance % 41 == 0 else impressions // 40,
                    "DELIVERY_IMPRESSIONS": impressions,
                    "DELIVERY_COST": round(impressions * 0.0125, 2),
                }
        day += timedelta(days=1)
