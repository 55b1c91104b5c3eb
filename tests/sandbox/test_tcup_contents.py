"""What files hold, and cron patterns, against the plainest way to say the same."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from asyncconn.sandbox.tcup.contents import Gathering, Generated, joined
from asyncconn.sandbox.tcup.tasks.cron import Cron

PIECES = st.lists(st.binary(max_size=20), max_size=8)


@given(PIECES, PIECES, st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_gathered_and_joined_bytes_are_those_that_came(
    first: list[bytes], second: list[bytes], keep: int, start: int, stop: int
) -> None:
    parts = []
    for pieces in (first, second):
        gathering = Gathering(1000)
        for piece in pieces:
            gathering.add(piece)
        parts.append(gathering.done())
    before = parts[0].sha256
    whole, data = joined(parts[0], parts[1], keep), b"".join([*first, *second])

    assert (whole.size, whole.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert whole.kept == (len(data) <= keep)
    if whole.kept:
        assert b"".join(whole.pieces(start, min(stop, whole.size))) == data[start:stop]
    assert parts[0].sha256 == before  # a former version keeps its digest


@given(PIECES, st.integers(0, 100))
def test_what_is_too_much_is_not_kept(pieces: list[bytes], keep: int) -> None:
    gathering = Gathering(keep)
    for piece in pieces:
        gathering.add(piece)
    data = b"".join(pieces)
    stored = gathering.done()
    assert (stored.size, stored.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert stored.kept == (len(data) <= keep)


@given(st.integers(0, 200_000), st.integers(0, 200_000), st.integers(0, 200_000))
def test_generated_bytes_are_the_same_from_wherever_they_are_read(size: int, start: int, stop: int) -> None:
    content = Generated(size, seed=7)
    whole = b"".join(content.pieces(0, size))
    assert len(whole) == size
    assert b"".join(content.pieces(start, min(stop, size))) == whole[start : min(stop, size)]


FIELDS = st.sampled_from(["*", "*/7", "3", "0-2", "1,5"])

WEEKDAYS = st.sampled_from(["*", "*/2", "3", "0-2", "1,5"])


@given(FIELDS, FIELDS, st.sampled_from(["*", "*/2", "3-6"]), WEEKDAYS, st.integers(0, 3 * 24 * 60 * 60))
def test_no_minute_that_fits_a_pattern_is_passed_over(
    minute: str, hour: str, day: str, weekday: str, seconds: int
) -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    found = Cron(f"{minute} {hour} {day} * {weekday}").after(moment, UTC)

    def fits(at: datetime) -> bool:
        by_day, by_weekday = _in(day, at.day, 1), _in(weekday, at.isoweekday() % 7, 0)
        both = "*" in (day[0], weekday[0])
        on = by_day and by_weekday if both else by_day or by_weekday
        return on and _in(minute, at.minute, 0) and _in(hour, at.hour, 0)

    assert found is not None
    at = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while at < min(found, moment + timedelta(days=1)):
        assert not fits(at)
        at += timedelta(minutes=1)
    assert fits(found)
    assert found > moment


def _in(field: str, value: int, least: int) -> bool:
    if field.startswith("*"):
        return (value - least) % int(field[2:] or 1) == 0
    if "-" in field:
        first, last = map(int, field.split("-"))
        return first <= value <= last
    return value in map(int, field.split(","))
