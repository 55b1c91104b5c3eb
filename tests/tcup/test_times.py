"""TCUP's six ways to write a time."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.tcup.times import (
    ARCHIVE,
    DLS,
    DLS_QUERY,
    SOS,
    TASK,
    VERSIONS,
    TimeFormat,
    aware,
    read_time,
    zone_named,
)

FORMATS = {"sos": SOS, "versions": VERSIONS, "dls": DLS, "dls query": DLS_QUERY, "task": TASK, "archive": ARCHIVE}
WITH_ZONES = [SOS, DLS, DLS_QUERY, TASK]
ZONES = ["UTC", "IST", "Asia/Kolkata", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "+05:45", "-0330"]

moments = st.datetimes(datetime(1900, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
recent = st.datetimes(datetime(1980, 1, 1), datetime(2080, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
zones = st.sampled_from(ZONES)


def kept(when: datetime, form: TimeFormat) -> datetime:
    """As much of it as the format has room for."""
    return when.replace(microsecond=when.microsecond // 1000 * 1000 if form.millis else 0)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@given(moments)
def test_every_format_survives_the_round_trip(form: TimeFormat, when: datetime) -> None:
    assert form.read(form.write(when)) == kept(when, form)


@pytest.mark.parametrize("form", WITH_ZONES)
@given(recent, zones)
def test_a_time_in_a_zone_is_the_same_moment(form: TimeFormat, when: datetime, zone: str) -> None:
    assert form.read(form.write(when, zone)) == kept(when, form)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@given(st.integers(1980, 2036), st.integers(0, 366 * 48))
def test_around_the_change_of_the_clocks_too(zone: str, year: int, half_hours: int) -> None:
    when = datetime(year, 1, 1, tzinfo=UTC) + timedelta(minutes=30 * half_hours)

    assert SOS.read(SOS.write(when.astimezone(ZoneInfo(zone)))) == when
    assert SOS.read(SOS.write(when, zone)) == when


def changes(zone: str, year: int) -> list[datetime]:
    """The moments of a year at which the clocks of a zone change, to the quarter of an hour."""
    found, local = [], ZoneInfo(zone)
    for day in range(366):
        start = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day)
        ticks = [start + timedelta(minutes=15 * quarter) for quarter in range(97)]
        if ticks[0].astimezone(local).utcoffset() != ticks[-1].astimezone(local).utcoffset():
            found += [
                after
                for before, after in itertools.pairwise(ticks)
                if before.astimezone(local).utcoffset() != after.astimezone(local).utcoffset()
            ]
    return found


@pytest.mark.parametrize("form", WITH_ZONES)
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_at_the_very_change_no_moment_becomes_another(form: TimeFormat, zone: str) -> None:
    edges = changes(zone, 2025)
    assert len(edges) == 2

    for edge in edges:
        for seconds in (-7200, -3600, -1800, -1, 0, 1, 1799, 1800, 3599, 3600, 7200):
            when = edge + timedelta(seconds=seconds)
            assert form.read(form.write(when, zone)) == when
            assert form.read(form.write(when.astimezone(ZoneInfo(zone)))) == when


@pytest.mark.parametrize("form", [SOS, VERSIONS, DLS, DLS_QUERY, TASK])
@given(recent, st.booleans(), st.randoms(use_true_random=False))
def test_a_day_of_one_digit_and_letters_of_any_case_are_the_same(
    form: TimeFormat, when: datetime, short: bool, chance: random.Random
) -> None:
    text = form.write(when)
    text = "".join(chance.choice((one.lower(), one.upper())) for one in text)

    assert form.read(text.removeprefix("0") if short else text) == kept(when, form)


@pytest.mark.parametrize(
    ("form", "text", "when"),
    [
        (SOS, "03-JUL-2015 13:10:00 IST", datetime(2015, 7, 3, 7, 40, tzinfo=UTC)),
        (SOS, "4-FEB-2021 10:20:30 IST", datetime(2021, 2, 4, 4, 50, 30, tzinfo=UTC)),
        (SOS, "1-jan-2014 00:00:00", datetime(2014, 1, 1, tzinfo=UTC)),
        (SOS, "04-FEB-2021 10:20:30.125 UTC", datetime(2021, 2, 4, 10, 20, 30, 125_000, tzinfo=UTC)),
        (SOS, "23-JUL-2013 15:30:00 Z", datetime(2013, 7, 23, 15, 30, tzinfo=UTC)),
        (SOS, "23-Jul-2013 15:30:00 Europe/Berlin", datetime(2013, 7, 23, 13, 30, tzinfo=UTC)),
        (VERSIONS, "22-Apr-2019 18:01:45.711", datetime(2019, 4, 22, 18, 1, 45, 711_000, tzinfo=UTC)),
        (DLS, "11-Mar-2024 09:30:00 IST", datetime(2024, 3, 11, 4, tzinfo=UTC)),
        (DLS_QUERY, "11-Mar-2024 09:30:00 +0530", datetime(2024, 3, 11, 4, tzinfo=UTC)),
        (TASK, "15-07-2019 12:35:56.789 IST", datetime(2019, 7, 15, 7, 5, 56, 789_000, tzinfo=UTC)),
        (ARCHIVE, "11032024040000", datetime(2024, 3, 11, 4, tzinfo=UTC)),
    ],
)
def test_what_the_contract_shows_is_read(form: TimeFormat, text: str, when: datetime) -> None:
    assert form.read(text) == when


def test_times_are_written_as_the_contract_says() -> None:
    when = datetime(2015, 7, 3, 7, 40, 0, 999_999, tzinfo=UTC)

    assert {name: form.write(when) for name, form in FORMATS.items()} == {
        "sos": "03-JUL-2015 07:40:00.999 UTC",
        "versions": "03-JUL-2015 07:40:00.999",
        "dls": "03-JUL-2015 07:40:00 UTC",
        "dls query": "03-JUL-2015 07:40:00 +0000",
        "task": "03-07-2015 07:40:00.999 UTC",
        "archive": "03072015074000",
    }
    assert TASK.write(when, "IST") == "03-07-2015 13:10:00.999 IST"
    assert DLS_QUERY.write(when, "Asia/Kolkata") == "03-JUL-2015 13:10:00 +0530"


@pytest.mark.parametrize("month", ["jul", "Jul", "JUL", "jUL"])
def test_a_month_is_read_in_any_case(month: str) -> None:
    assert SOS.read(f"3-{month}-2015 07:40:00") == datetime(2015, 7, 3, 7, 40, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["EST", "CET", "CEST", "PST", "BST", "XYZ", "+25:00", "+05:99", "Mars/Olympus"])
def test_an_abbreviation_that_nobody_settled_is_an_error(zone: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        SOS.read(f"03-JUL-2015 13:10:00 {zone}")


@pytest.mark.parametrize(
    "text",
    [
        "", "03-JUL-2015", "2015-07-03 13:10:00", "03-07-2015 13:10:00", "31-FEB-2015 00:00:00", "03-JUL-15 13:10:00",
        "03-JUL-2015 24:00:00", "03-JUL-2015 13:10:00.5", "03-JÜL-2015 13:10:00", "٠٣-JUL-2015 13:10:00",
        "01-JAN-0001 00:00:00 +05:30", "31-DEC-9999 23:59:59 -05:30",
    ],
)  # fmt: skip
def test_what_is_no_time_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time|is no month|out of range|must be|range|beyond"):
        SOS.read(text)


def test_a_naive_datetime_is_refused_unless_there_is_a_default() -> None:
    naive = datetime(2015, 7, 3, 13, 10)  # noqa: DTZ001 - that is the point

    with pytest.raises(ValueError, match="default_timezone"):
        SOS.write(naive)
    with pytest.raises(TypeError):
        aware("03-JUL-2015")  # type: ignore[arg-type] # that is the point
    assert SOS.write(naive, default_zone="IST") == "03-JUL-2015 07:40:00.000 UTC"
    assert aware(naive, "Asia/Kolkata") == datetime(2015, 7, 3, 7, 40, tzinfo=UTC)


def test_a_name_given_apart_may_be_any_of_ianas() -> None:
    assert zone_named("CET") == ZoneInfo("CET")
    assert zone_named("ist") == timezone(timedelta(hours=5, minutes=30))
    assert SOS.read("03-JUL-2015 13:10:00", "IST") == datetime(2015, 7, 3, 7, 40, tzinfo=UTC)
    with pytest.raises(ValueError, match="time zone"):
        zone_named("../../etc/passwd")


def test_before_the_year_1000_nothing_is_written() -> None:
    with pytest.raises(ValueError, match="year 1000"):
        SOS.write(datetime(999, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-01-05T12:00:00Z", "05-JAN-2026 12:00:00.000 UTC"),
        ("2026-01-05 12:00:00.5+05:30", "05-JAN-2026 06:30:00.500 UTC"),
        ("20260105", "04-JAN-2026 18:30:00.000 UTC"),
        (" 2026-01-05 ", "04-JAN-2026 18:30:00.000 UTC"),
        ("5-jan-2026 12:00:00 IST", "5-jan-2026 12:00:00 IST"),
    ],
)
def test_a_time_that_people_give_is_iso_8601_or_as_sos_writes_it(text: str, same: str) -> None:
    assert aware(read_time(text), "IST") == SOS.read(same)


@pytest.mark.parametrize("text", ["", "soon", "2026", "1712011000000", "2026-13-05", "05-JAN-2026"])
def test_a_text_that_is_neither_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time such as 2026-01-05T12:00:00Z"):
        read_time(text)


def test_a_time_that_ends_where_its_zone_begins_is_beyond() -> None:
    with pytest.raises(ValueError, match="beyond the times"):
        aware(read_time("0001-01-01"), "IST")
