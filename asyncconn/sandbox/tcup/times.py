"""Times as the services read and write them, each in its own way.

Contract: tcup sections 1.5 and 13.33.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

__all__ = ["archive_suffix", "dls_time", "read_task_time", "read_time", "read_zone", "sos_time", "version_time"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBER = {month.lower(): number for number, month in enumerate(_MONTHS, start=1)}
_CLOCK = r"(\d{4}) (\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{3}))?(?: (\S+))?"
_NAMED = re.compile(rf"(\d{{1,2}})-([A-Za-z]{{3}})-{_CLOCK}", re.ASCII)
_NUMERIC = re.compile(rf"(\d{{1,2}})-(\d{{1,2}})-{_CLOCK}", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})", re.ASCII)
_ZONES = {"UTC": UTC, "GMT": UTC, "Z": UTC, "IST": timezone(timedelta(hours=5, minutes=30))}


def read_time(text: str) -> datetime:
    """``03-JUL-2015 13:10:00 IST`` and its kin, in UTC. ``ValueError`` for anything else.

    >>> read_time("4-feb-2021 10:20:30.125 IST").isoformat()
    '2021-02-04T04:50:30.125000+00:00'
    """
    return _read(_NAMED, text)


def read_task_time(text: str) -> datetime:
    """``15-07-2019 12:35:56.789 IST``, in UTC. ``ValueError`` for anything else."""
    return _read(_NUMERIC, text)


def sos_time(when: datetime) -> str:
    """``03-JUL-2015 07:40:00.000 UTC``."""
    return f"{_text(when).upper()}.{_millis(when)} UTC"


def version_time(when: datetime) -> str:
    """``22-Apr-2019 18:01:45.711``, which is UTC without saying so."""
    return f"{_text(when)}.{_millis(when)}"


def dls_time(when: datetime) -> str:
    """``11-Mar-2024 09:30:00 UTC``."""
    return f"{_text(when)} UTC"


def archive_suffix(when: datetime) -> str:
    """``11032024040000``."""
    return f"{when.astimezone(UTC):%d%m%Y%H%M%S}"


def _text(when: datetime) -> str:
    utc = when.astimezone(UTC)
    # By hand: what strftime calls a month depends on the locale, and a year before 1000 is short of digits.
    return f"{utc.day:02}-{_MONTHS[utc.month - 1]}-{utc.year:04} {utc:%H:%M:%S}"


def _millis(when: datetime) -> str:
    return f"{when.microsecond // 1000:03}"


def _read(pattern: re.Pattern[str], text: str) -> datetime:
    if (found := pattern.fullmatch(text.strip())) is None:
        raise ValueError(f"{text!r} is not a time")
    day, month, year, hour, minute, second, millis, zone = found.groups()
    number = int(month) if month.isdigit() else _NUMBER.get(month.lower(), 0)
    local = datetime(
        int(year),
        number,
        int(day),
        int(hour),
        int(minute),
        int(second),
        int(millis or 0) * 1000,
        tzinfo=UTC if zone is None else read_zone(zone),
    )
    try:
        return local.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is beyond the calendar") from None


def read_zone(name: str) -> tzinfo:
    """``UTC``, ``IST``, ``+05:30``, ``Asia/Kolkata``. ``ValueError`` for anything else."""
    if (known := _ZONES.get(name.upper())) is not None:
        return known
    if (offset := _OFFSET.fullmatch(name)) is not None:
        sign, hours, minutes = offset.groups()
        shift = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-shift if sign == "-" else shift)
    if "/" not in name:
        raise ValueError(f"{name!r} is not a zone")
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"{name!r} is not a zone") from None
