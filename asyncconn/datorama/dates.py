"""Days and ranges of days, both ends included, and how they are split. Contract: datorama sections 1.4 and 8."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.datorama.errors import BadDate

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DateRange", "DayLike", "Split", "as_day"]

Split = Literal["window", "even"]

#: A day as callers give it: a ``datetime`` is a ``date``, a text is ``YYYY-MM-DD``.
DayLike = date | str

_DAY = timedelta(days=1)


def as_day(value: Any, what: str = "date") -> date:
    """A day from a ``date``, a ``datetime`` (its own calendar day) or ``YYYY-MM-DD``. Raises ``BadDate``."""
    if isinstance(value, datetime):
        day = value.date()
        if type(day) is date:  # the "not a time" of data frames is a datetime, and its date is itself
            return day
    elif isinstance(value, date):
        return value
    elif isinstance(value, str):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            pass
    raise BadDate(f"{what} is not a date: {value!r}")


@dataclass(frozen=True, slots=True, order=True)
class DateRange:
    """Days from ``start`` to ``end``, both included. Raises ``BadDate`` when it ends before it begins."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise BadDate(f"the range {self.start} to {self.end} ends before it begins")

    @classmethod
    def of(cls, start: Any, end: Any) -> DateRange:
        """From whatever :func:`as_day` takes. Raises ``BadDate``, also when it ends before it begins."""
        return cls(as_day(start, "start"), as_day(end, "end"))

    @property
    def days(self) -> int:
        """How many."""
        return (self.end - self.start).days + 1

    @property
    def body(self) -> dict[str, str]:
        """As the platform wants it."""
        return {"startDate": self.start.isoformat(), "endDate": self.end.isoformat()}

    def split(self, most: Any = 10, how: Split = "window") -> list[DateRange]:
        """Ranges of at most ``most`` days, without gap or overlap.

        ``"window"`` cuts every ``most`` days from the start, as the server does by itself; ``"even"`` makes as few
        ranges, of nearly the same length, as pyDatorama does.

            >>> [part.days for part in DateRange.of("2021-01-01", "2021-01-25").split()]
            [10, 10, 5]
            >>> [part.days for part in DateRange.of("2021-01-01", "2021-01-25").split(how="even")]
            [9, 8, 8]
        """
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise BadDate(f"a range is split into at least 1 day, not {most!r}")
        if how != "window" and how != "even":
            raise BadDate(f"ranges are split as 'window' or 'even', not {how!r}")
        return list(self._windows(most) if how == "window" else self._even(most))

    def _windows(self, most: int) -> Iterator[DateRange]:
        for first in range(0, self.days, most):
            yield self._part(first, min(most, self.days - first))

    def _even(self, most: int) -> Iterator[DateRange]:
        parts = -(-self.days // most)
        length, longer = divmod(self.days, parts)
        first = 0
        for number in range(parts):
            days = length + (number < longer)
            yield self._part(first, days)
            first += days

    def _part(self, first: int, days: int) -> DateRange:
        """``days`` of it, from its day number ``first``: counted from the start, as there is no day after the last."""
        start = self.start + first * _DAY
        return DateRange(start, start + (days - 1) * _DAY)
