"""When tasks run by themselves: what is sent for what was asked, and what is refused before that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.errors import ConfigError
from asyncconn.tcup.schedules import delayed, recurrent, same
from asyncconn.tcup.times import TASK

SAMPLE = "15-07-2019 12:35:56.789 IST"


def test_a_time_given_as_text_goes_as_it_is() -> None:
    assert delayed(SAMPLE) == {"type": "delayed", "delayedTime": SAMPLE, "timeZone": "IST"}
    assert delayed(SAMPLE, time_zone="IST") == delayed(SAMPLE)
    assert delayed(SAMPLE, time_zone="Asia/Kolkata") == delayed(SAMPLE)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "+05:00"])
def test_a_zone_that_is_not_the_text_s_own_is_refused(zone: str) -> None:
    with pytest.raises(ConfigError, match=f"not in the time zone '{zone}'".replace("+", r"\+")):
        delayed(SAMPLE, time_zone=zone)


@pytest.mark.parametrize(
    ("zone", "default", "sent"),
    [
        (None, None, "15-07-2019 12:35:56.789 UTC"),
        ("IST", None, "15-07-2019 12:35:56.789 IST"),
        (None, "Asia/Kolkata", "15-07-2019 12:35:56.789 IST"),
        ("Europe/Berlin", "Asia/Kolkata", "15-07-2019 12:35:56.789 +0200"),
    ],
)
def test_a_text_without_a_zone_gets_one(zone: str | None, default: str | None, sent: str) -> None:
    made = delayed("15-07-2019 12:35:56.789", time_zone=zone, default_timezone=default)

    assert made == {"type": "delayed", "delayedTime": sent, "timeZone": sent.split()[-1]}


@given(
    st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2090-01-01")),
    st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), timezone(timedelta(hours=-3))]),
    st.sampled_from([None, "IST", "UTC", "America/New_York", "+05:45"]),
)
def test_a_datetime_is_the_same_moment_in_whatever_zone_it_is_written(
    local: datetime, tz: Any, zone: str | None
) -> None:
    when = local.replace(tzinfo=tz, microsecond=local.microsecond // 1000 * 1000)

    made = delayed(when, time_zone=zone)

    assert TASK.read(made["delayedTime"]) == when.astimezone(UTC)
    assert same(made, delayed(when))
    assert delayed(made["delayedTime"]) == made


def test_a_datetime_without_a_zone_is_in_the_one_that_is_given_or_refused() -> None:
    naive = datetime.fromisoformat("2026-01-01T09:00")

    assert delayed(naive, time_zone="IST")["delayedTime"] == "01-01-2026 09:00:00.000 IST"
    assert delayed(naive, default_timezone="IST")["delayedTime"] == "01-01-2026 03:30:00.000 UTC"
    with pytest.raises(ConfigError, match="no time zone"):
        delayed(naive)


@pytest.mark.parametrize("text", ["", "15-JUL-2019 12:35:56.789 IST", "31-02-2026 00:00:00.000 UTC", f"{SAMPLE} IST"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="delayed_time"):
        delayed(text)


def test_an_abbreviation_that_means_several_zones_is_refused() -> None:
    with pytest.raises(ConfigError, match="EST"):
        delayed("15-07-2019 12:35:56.789 EST")
    with pytest.raises(ConfigError, match="CST"):
        recurrent(hour=1, time_zone="CST")


@pytest.mark.parametrize(
    ("fields", "cron"),
    [
        ({"hour": "4", "day": "6"}, "0 4 6 * *"),
        ({"minute": 30}, "30 * * * *"),
        ({"hour": 4}, "0 4 * * *"),
        ({"day": 6}, "0 0 6 * *"),
        ({"month": 3}, "0 0 1 3 *"),
        ({"day_of_week": 0}, "0 0 * * 0"),
        ({"minute": 5, "day": 6}, "5 * 6 * *"),
        ({"month": 3, "day_of_week": 1}, "0 0 * 3 1"),
        ({"pattern": "Fixed", "hour": " 5 ", "day": "7"}, "0 5 7 * *"),
        ({"pattern": "interval", "minute": 15}, "*/15 * * * *"),
        ({"pattern": "interval", "hour": "4"}, "0 */4 * * *"),
        ({"pattern": "INTERVAL", "day": 2}, "0 0 */2 * *"),
        ({"pattern": "expression", "cron": " 0  4 1,15 * mon-fri "}, "0 4 1,15 * mon-fri"),
    ],
)
def test_the_cron_of_a_pattern(fields: dict[str, Any], cron: str) -> None:
    made = recurrent(**fields)

    assert made["cron"] == cron
    assert made["cronPatternType"] == fields.get("pattern", "fixed").lower()


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "at least one"),
        ({"minute": 60}, "minute"),
        ({"hour": -1}, "hour"),
        ({"day": 0}, "day"),
        ({"month": 13}, "month"),
        ({"day_of_week": 7}, "day_of_week"),
        ({"hour": "4,5"}, "hour"),
        ({"hour": "٤"}, "hour"),
        ({"hour": True}, "hour"),
        ({"hour": 4.0}, "hour"),
        ({"day": 30, "month": 2}, "no cron"),
        ({"pattern": "interval"}, "exactly one"),
        ({"pattern": "interval", "hour": 1, "day": 1}, "exactly one"),
        ({"pattern": "interval", "month": 1}, "exactly one"),
        ({"pattern": "interval", "hour": 0}, "never ends"),
        ({"pattern": "weekly", "hour": 1}, "pattern"),
        ({"cron": "* * * * *"}, "expression"),
        ({"pattern": "expression"}, "expression"),
        ({"pattern": "expression", "cron": "* * * * *", "hour": 4}, "expression"),
        ({"pattern": "expression", "cron": "0 0 4 6 * *"}, "five"),
        ({"pattern": "expression", "cron": "@daily"}, "five"),
        ({"pattern": "expression", "cron": "5-1 * * * *"}, "no cron"),
        ({"pattern": "expression", "cron": "*/0 * * * *"}, "no cron"),
        ({"pattern": "expression", "cron": "0 0 30,31 2 *"}, "no cron"),
        ({"hour": 4, "recurrence_limit": -1}, "recurrence_limit"),
        ({"hour": 4, "recurrence_limit": True}, "recurrence_limit"),
        ({"hour": 4, "time_zone": "Mars/Olympus"}, "Mars"),
    ],
)
def test_a_recurrence_that_cannot_be_is_refused(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        recurrent(**fields)


def test_schedules_are_compared_by_what_they_mean() -> None:
    assert same(delayed(SAMPLE), {"delayedTime": "15-07-2019 07:05:56.789", "timeZone": "UTC"})
    assert same(recurrent(hour=4), {"cron": "0 4 * * *", "type": "recurrent", "runs": 3})
    assert same(None, {})
    assert not same(recurrent(hour=4), recurrent(hour=4, recurrence_limit=2))
    assert not same(recurrent(hour=4), recurrent(hour=4, time_zone="IST"))
    assert not same(delayed(SAMPLE), None)
    assert not same(delayed(SAMPLE), {"delayedTime": "soon"})
