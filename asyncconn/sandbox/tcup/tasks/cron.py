"""Five fields that say when: minute, hour, day of month, month, day of week (0 is Sunday)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, tzinfo

__all__ = ["Cron"]

_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_PART = re.compile(r"(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:/(\d{1,2}))?")
_FARTHEST_DAYS = 366 * 9  # two 29th of February may be eight years apart


class Cron:
    """A pattern. Raises ``ValueError`` for one that is none.

    >>> Cron("0 4 6 * *").after(datetime(2030, 1, 6, 4, tzinfo=UTC), UTC).isoformat()
    '2030-02-06T04:00:00+00:00'
    """

    def __init__(self, text: str) -> None:
        fields = text.split()
        if len(fields) != len(_BOUNDS):
            raise ValueError(f"cron pattern {text!r} has not five fields")
        sets = [_numbers(field, *bounds) for field, bounds in zip(fields, _BOUNDS, strict=True)]
        self._minutes, self._hours, self._days, self._months, self._weekdays = sets
        self._any_day, self._any_weekday = fields[2].startswith("*"), fields[4].startswith("*")
        if self.after(datetime(2000, 1, 1, tzinfo=UTC), UTC) is None:
            raise ValueError(f"cron pattern {text!r} never comes")

    def after(self, moment: datetime, zone: tzinfo) -> datetime | None:
        """The first time after ``moment`` by the clocks of ``zone``, in UTC."""
        first = moment.astimezone(zone).date()
        for number in range(_FARTHEST_DAYS):
            day = first + timedelta(days=number)
            if not self._on(day):
                continue
            for hour in sorted(self._hours):
                for minute in sorted(self._minutes):
                    local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                    if (found := local.astimezone(UTC)) > moment:
                        return found
        return None

    def _on(self, day: date) -> bool:
        if day.month not in self._months:
            return False
        by_day, by_weekday = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        # As cron has it: where both are given, either of them will do.
        return by_day and by_weekday if self._any_day or self._any_weekday else by_day or by_weekday


def _numbers(field: str, least: int, most: int) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"cron field {field!r} cannot be read")
        first, last, step = match.groups()
        start = least if first is None else int(first)
        stop = int(last) if last else most if first is None or step else start
        if not least <= start <= stop <= most or step == "0":
            raise ValueError(f"cron field {field!r} is not within {least} to {most}")
        found |= set(range(start, stop + 1, int(step or 1)))
    return frozenset(found)
