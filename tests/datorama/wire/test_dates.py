"""Days, and ranges of them cut into what a job takes. Contract: datorama section 8."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.datorama import DateRange
from asyncconn.datorama.dates import as_day
from asyncconn.datorama.errors import BadDate
from asyncconn.errors import ConfigError


@pytest.mark.parametrize(
    "value",
    [
        date(2026, 1, 31),
        datetime(2026, 1, 31, 23, 59, tzinfo=UTC),
        datetime(2026, 1, 31),  # noqa: DTZ001 - a calendar day has no zone
        "2026-01-31",
        " 2026-01-31 ",
        pd.Timestamp("2026-01-31 12:00"),
    ],
)
def test_a_day_comes_as_date_datetime_or_iso_text(value: Any) -> None:
    assert as_day(value) == date(2026, 1, 31)
    assert type(as_day(value)) is date


@pytest.mark.parametrize(
    "value", ["", "yesterday", "2026-02-30", "31.01.2026", "2026-01-31 10:00:00", 20260131, 1.5, None, True, [], pd.NaT]
)
def test_anything_else_is_refused_and_named(value: Any) -> None:
    with pytest.raises(BadDate, match="start is not a date"):
        DateRange.of(value, "2026-02-01")
    with pytest.raises(BadDate, match="end is not a date"):
        DateRange.of("2026-01-01", value)
    assert issubclass(BadDate, ConfigError)


def test_a_range_that_ends_before_it_begins_is_refused_however_it_is_made() -> None:
    for make in (DateRange.of, DateRange):
        with pytest.raises(BadDate, match="2026-01-02 to 2026-01-01 ends before it begins"):
            make(date(2026, 1, 2), date(2026, 1, 1))


def test_both_ends_are_in_a_range() -> None:
    assert DateRange.of("2026-01-01", "2026-01-01").days == 1
    assert DateRange.of("2026-01-01", "2026-01-31").days == 31
    assert DateRange.of("2026-01-01", "2026-01-31").body == {"startDate": "2026-01-01", "endDate": "2026-01-31"}


def shown(parts: list[DateRange]) -> str:
    return ", ".join(f"{part.start:%m-%d}..{part.end:%m-%d}" for part in parts)


#: The table of the contract's section 8.1.
EVEN = [
    ("2021-01-10", "01-01..01-10"),
    ("2021-01-11", "01-01..01-06, 01-07..01-11"),
    ("2021-01-25", "01-01..01-09, 01-10..01-17, 01-18..01-25"),
    ("2021-01-30", "01-01..01-10, 01-11..01-20, 01-21..01-30"),
    ("2021-01-31", "01-01..01-08, 01-09..01-16, 01-17..01-24, 01-25..01-31"),
    ("2021-02-28", "01-01..01-10, 01-11..01-20, 01-21..01-30, 01-31..02-09, 02-10..02-19, 02-20..02-28"),
    ("2021-01-01", "01-01..01-01"),
]
WINDOW = [
    ("2021-01-10", "01-01..01-10"),
    ("2021-01-11", "01-01..01-10, 01-11..01-11"),
    ("2021-01-25", "01-01..01-10, 01-11..01-20, 01-21..01-25"),
    ("2021-01-30", "01-01..01-10, 01-11..01-20, 01-21..01-30"),
    ("2021-01-31", "01-01..01-10, 01-11..01-20, 01-21..01-30, 01-31..01-31"),
    ("2021-01-01", "01-01..01-01"),
]


@pytest.mark.parametrize(("end", "parts"), EVEN)
def test_an_even_split_is_the_originals(end: str, parts: str) -> None:
    assert shown(DateRange.of("2021-01-01", end).split(10, "even")) == parts


@pytest.mark.parametrize(("end", "parts"), WINDOW)
def test_a_split_into_windows_is_the_servers(end: str, parts: str) -> None:
    assert shown(DateRange.of("2021-01-01", end).split()) == parts


@given(
    start=st.dates(date(1990, 1, 1), date(2100, 1, 1)),
    days=st.integers(1, 400),
    most=st.integers(1, 60),
    how=st.sampled_from(["window", "even"]),
)
def test_a_split_covers_every_day_once_in_order_and_no_part_is_too_long(
    start: date, days: int, most: int, how: Any
) -> None:
    whole = DateRange(start, start + timedelta(days=days - 1))
    parts = whole.split(most, how)
    assert [part.start + timedelta(days=n) for part in parts for n in range(part.days)] == [
        start + timedelta(days=n) for n in range(days)
    ]
    assert max(part.days for part in parts) <= most
    assert len(parts) == -(-days // most)
    if how == "even":
        assert max(part.days for part in parts) - min(part.days for part in parts) <= 1


@pytest.mark.parametrize("most", [0, -1, True, 2.5, "10", None])
def test_a_part_has_at_least_a_whole_day(most: Any) -> None:
    with pytest.raises(BadDate, match="at least 1 day"):
        DateRange.of("2021-01-01", "2021-01-02").split(most)


def test_a_way_to_split_that_there_is_not_is_refused() -> None:
    how: Any = "halves"
    with pytest.raises(BadDate, match="'window' or 'even'"):
        DateRange.of("2021-01-01", "2021-01-02").split(10, how)


@pytest.mark.parametrize("how", ["window", "even"])
@pytest.mark.parametrize("most", [1, 7, 10, 10**12])
def test_a_range_may_end_with_the_last_day_there_is(most: int, how: Any) -> None:
    parts = DateRange.of("9999-12-01", "9999-12-31").split(most, how)

    assert (parts[0].start, parts[-1].end) == (date(9999, 12, 1), date.max)
    assert sum(part.days for part in parts) == 31
