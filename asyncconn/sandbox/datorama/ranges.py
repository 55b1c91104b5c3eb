"""The named date ranges of queries.

Contract: datorama section 3.10. Weeks begin on Monday; two-week spans end with the current week.
"""

from __future__ import annotations

from datetime import date, timedelta

__all__ = ["named_range"]

_DAY = timedelta(days=1)
_UNITS = ("WEEK", "BI_WEEK", "MONTH", "QUARTER", "YEAR")
_OVER = ("DAY", "WEEK", "MONTH", "QUARTER")


def named_range(word: str, today: date) -> tuple[date, date] | None:
    """First and last day, both included; None for a word there is not, and for the custom ones.

    >>> named_range("PREV_MONTH", date(2026, 3, 15))
    (datetime.date(2026, 2, 1), datetime.date(2026, 2, 28))
    """
    if word in ("YESTERDAY", "PREV_DAY"):
        return today - _DAY, today - _DAY
    if word == "LAST_3_MONTHS":
        return _months_before(_first(today, "MONTH"), 3), _first(today, "MONTH") - _DAY
    for unit in _OVER:
        if word == f"{unit}_OVER_{unit}":
            first = _first(today, unit)
            return _before(_before(first, unit), unit), first - _DAY
    word = word.removesuffix("_CUSTOM")
    for unit in _UNITS:
        first = _first(today, unit)
        if word == f"THIS_{unit}":
            return first, _after(first, unit) - _DAY
        if word == f"{unit}_TO_DATE":
            return first, today
        if word == f"PREV_{unit}" or (word == f"LAST_{unit}" and unit in ("WEEK", "BI_WEEK", "MONTH")):
            return _before(first, unit), first - _DAY
    return None


def _first(day: date, unit: str) -> date:
    match unit:
        case "DAY":
            return day
        case "WEEK":
            return day - timedelta(days=day.weekday())
        case "BI_WEEK":
            return day - timedelta(days=day.weekday() + 7)
        case "MONTH":
            return day.replace(day=1)
        case "QUARTER":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    return day.replace(month=1, day=1)


_DAYS = {"DAY": 1, "WEEK": 7, "BI_WEEK": 14}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def _before(first: date, unit: str) -> date:
    if unit in _DAYS:
        return first - timedelta(days=_DAYS[unit])
    return _months_before(first, _MONTHS[unit])


def _after(first: date, unit: str) -> date:
    if unit in _DAYS:
        return first + timedelta(days=_DAYS[unit])
    return _months_before(first, -_MONTHS[unit])


def _months_before(first: date, months: int) -> date:
    number = first.year * 12 + first.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)
