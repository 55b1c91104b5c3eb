"""Times as TCUP's services read and write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.sandbox.tcup.times import (
    archive_suffix,
    dls_time,
    read_task_time,
    read_time,
    sos_time,
    version_time,
)

JULY = datetime(2015, 7, 3, 7, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "03-JUL-2015 13:10:00 IST",
        "3-Jul-2015 13:10:00.000 ist",
        "03-jul-2015 07:40:00",
        "03-JUL-2015 07:40:00.000",
        "03-JUL-2015 07:40:00 UTC",
        "03-JUL-2015 07:40:00 GMT",
        "03-JUL-2015 07:40:00 Z",
        "03-JUL-2015 13:10:00 +0530",
        "03-JUL-2015 02:40:00.000 -05:00",
        "03-JUL-2015 13:10:00 Asia/Kolkata",
        " 03-JUL-2015 07:40:00 ",
    ],
)
def test_a_time_is_read_in_each_of_its_forms(text: str) -> None:
    assert read_time(text) == JULY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2015-07-03T07:40:00Z",
        "03-07-2015 07:40:00",
        "31-FEB-2015 07:40:00",
        "03-JLY-2015 07:40:00",
        "03-JUL-2015 24:00:00",
        "03-JUL-2015 07:40",
        "03-JUL-2015 07:40:00.5",
        "03-JUL-2015 07:40:00 EST",
        "03-JUL-2015 07:40:00 Nowhere/Land",
        "03-JUL-2015 07:40:00 ../etc/passwd",
        "03-JUL-2015 07:40:00 +9900",
        "01-JAN-0001 00:00:00 IST",
        "٠٣-JUL-2015 07:40:00",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_time(text)


def test_tasks_write_months_as_numbers() -> None:
    assert read_task_time("15-07-2019 12:35:56.789 IST") == datetime(2019, 7, 15, 7, 5, 56, 789_000, UTC)
    with pytest.raises(ValueError, match="JUL"):
        read_task_time("15-JUL-2019 12:35:56.789 IST")
    with pytest.raises(ValueError, match="month"):
        read_task_time("15-13-2019 12:35:56.789 IST")


def test_each_service_writes_its_own_form() -> None:
    when = datetime(2019, 4, 2, 18, 1, 45, 711_999, UTC)
    assert sos_time(when) == "02-APR-2019 18:01:45.711 UTC"
    assert version_time(when) == "02-Apr-2019 18:01:45.711"
    assert dls_time(when) == "02-Apr-2019 18:01:45 UTC"
    assert archive_suffix(when) == "02042019180145"


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)))  # noqa: DTZ001 - hypothesis wants them naive and gives them zones
def test_what_is_written_is_read_again_to_the_millisecond(when: datetime) -> None:
    utc = when.astimezone(UTC)
    floor = utc.replace(microsecond=utc.microsecond // 1000 * 1000)
    assert read_time(sos_time(when)) == floor
    assert read_time(version_time(when)) == floor
    assert read_time(dls_time(when)) == utc.replace(microsecond=0)
