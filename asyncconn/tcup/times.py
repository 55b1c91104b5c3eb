"""TCUP's six ways to write a time, apart from any locale. Pure functions. Contract: tcup sections 1.5, 13.33.

>>> SOS.write(datetime(2015, 7, 3, 7, 40, tzinfo=UTC))
'03-JUL-2015 07:40:00.000 UTC'
>>> SOS.read("3-jul-2015 13:10:00 IST")
datetime.datetime(2015, 7, 3, 7, 40, tzinfo=datetime.timezone.utc)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

__all__ = [
    "ARCHIVE",
    "DLS",
    "DLS_QUERY",
    "IST",
    "SOS",
    "TASK",
    "VERSIONS",
    "TimeFormat",
    "aware",
    "read_time",
    "zone_named",
]

#: India's standard time. Other platforms mean Israel's or Ireland's by the word; this one is India's.
IST = timezone(timedelta(hours=5, minutes=30), "IST")

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTH_OF = {name: number for number, name in enumerate(_MONTHS, 1)}
_WORDS: dict[str, tzinfo] = {"UTC": UTC, "GMT": UTC, "Z": UTC, "IST": IST}
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})", re.ASCII).fullmatch
_CLOCK = r"(\d{2}):(\d{2}):(\d{2})(?:\.(\d{3}))?"
_NAMED = re.compile(rf"(\d{{1,2}})-([A-Za-z]{{3}})-(\d{{4}}) {_CLOCK}(?: +(\S+))?", re.ASCII).fullmatch
_NUMBERED = re.compile(rf"(\d{{1,2}})-(\d{{1,2}})-(\d{{4}}) {_CLOCK}(?: +(\S+))?", re.ASCII).fullmatch
_ISO = re.compile(r"\d{4}-|\d{8}(?:T|$)", re.ASCII).match  # no other digits: milliseconds would be the year 1712
_DIGITS = re.compile(r"(\d{2})(\d{2})(\d{4})(\d{2})(\d{2})(\d{2})()()", re.ASCII).fullmatch


def zone_named(name: str | tzinfo) -> tzinfo:
    """The zone of a name: ``UTC``, ``GMT``, ``Z``, ``IST`` (India), ``+05:30``, ``+0530``, or an IANA name.

    >>> zone_named("+05:30") == zone_named("IST")
    True

    Raises ``ValueError`` for any other: what an abbreviation means depends on who reads it.
    """
    return name if isinstance(name, tzinfo) else _zone(name, anywhere=True)


@lru_cache(maxsize=256)
def _zone(name: str, *, anywhere: bool) -> tzinfo:
    """Within a text a name of IANA's has its slash: what is short there is an abbreviation."""
    if (known := _WORDS.get(name.upper())) is not None:
        return known
    if offset := _OFFSET(name):
        hours, minutes = int(offset[2]), int(offset[3])
        if hours < 24 and minutes < 60:
            return timezone((-1 if offset[1] == "-" else 1) * timedelta(hours=hours, minutes=minutes))
    elif anywhere or "/" in name:
        try:
            return ZoneInfo(name)
        except (LookupError, OSError, ValueError):
            pass
    raise ValueError(f"{name!r} is no time zone that means one thing: use UTC, IST, +05:30 or Continent/City")


def aware(when: datetime, default_zone: str | tzinfo | None = None) -> datetime:
    """``when`` as UTC; one without a zone is in ``default_zone``.

    Raises ``TypeError`` for what is no datetime, ``ValueError`` for one that has no zone where there is no default.
    """
    given: object = when
    if not isinstance(given, datetime):
        raise TypeError(f"a time is a datetime, not {type(given).__name__}")
    if when.utcoffset() is None:
        if default_zone is None:
            raise ValueError(f"{when!r} has no time zone, and there is no default_timezone")
        when = when.replace(tzinfo=zone_named(default_zone))
    try:
        return when.astimezone(UTC)
    except OverflowError:
        pass
    raise ValueError(f"{when!r} is beyond the times that there are")


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """One way to write a time. What it has no place for (microseconds) is cut off.

    ``month`` is a word or a number, or there is nothing but digits; ``millis`` are written or not; ``zone`` as a word,
    as a numeric offset, or not at all. Reading takes what any of TCUP's services writes in that form: one or two digits
    of the day, any case of the month, with and without milliseconds and zone, which is UTC where there is none.
    """

    month: Literal["word", "number", "digits"]
    millis: bool = False
    zone: Literal["word", "offset", "none"] = "word"

    def write(
        self, when: datetime, zone: str | tzinfo | None = None, *, default_zone: str | tzinfo | None = None
    ) -> str:
        """``when`` in ``zone``, by default UTC. Raises ``ValueError`` for a ``when`` or ``zone`` that cannot be."""
        local = aware(when, default_zone)
        word = "UTC"
        if zone is not None and self.zone != "none":
            local = local.astimezone(zone_named(zone))
            word = _word(local)
        if local.year < 1000:
            raise ValueError(f"{when!r} is before the year 1000")
        if self.month == "digits":
            return f"{local:%d%m%Y%H%M%S}"
        month = _MONTHS[local.month - 1] if self.month == "word" else f"{local.month:02}"
        text = f"{local.day:02}-{month}-{local.year} {local:%H:%M:%S}"
        if self.millis:
            text += f".{local.microsecond // 1000:03}"
        if self.zone == "none":
            return text
        return f"{text} {word if self.zone == 'word' else _offset(local)}"

    def read(self, text: str, zone: str | tzinfo | None = None) -> datetime:
        """The moment, in UTC. ``zone`` is that of a text that names none. Raises ``ValueError``."""
        found = (_NAMED if self.month == "word" else _NUMBERED if self.month == "number" else _DIGITS)(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no time such as {self.write(datetime(2015, 7, 3, 7, 40, tzinfo=UTC))!r}")
        day, month, year, hour, minute, second, millis, named = found.groups()
        number = _MONTH_OF.get(month.upper()) if self.month == "word" else int(month)
        if number is None:
            raise ValueError(f"{text!r}: {month!r} is no month")
        where = _zone(named, anywhere=False) if named else UTC if zone is None else zone_named(zone)
        micros = int(millis) * 1000 if millis else 0
        made = datetime(int(year), number, int(day), int(hour), int(minute), int(second), micros, tzinfo=where)
        try:
            return made.astimezone(UTC)
        except OverflowError:
            pass
        raise ValueError(f"{text!r} is beyond the times that there are")


def _word(local: datetime) -> str:
    """How a zone is called where a word is wanted: India's as TCUP calls it, others by their distance from UTC."""
    offset = local.utcoffset()
    return "UTC" if not offset else "IST" if offset == IST.utcoffset(None) else _offset(local)


def _offset(local: datetime) -> str:
    offset = local.utcoffset() or timedelta()
    if offset % timedelta(minutes=1):
        raise ValueError(f"the zone of {local!r} is not a whole number of minutes from UTC")
    return f"{local:%z}"


def read_time(text: str) -> datetime:
    """A time as people give it: ISO 8601, which may have no zone, or as SOS writes it. Raises ``ValueError``.

    >>> read_time("2026-01-05"), read_time("05-JAN-2026 12:00:00 IST").hour
    (datetime.datetime(2026, 1, 5, 0, 0), 6)
    """
    given = text.strip()
    if _NAMED(given):
        return SOS.read(given)
    if _ISO(given):
        try:
            return datetime.fromisoformat(given)
        except ValueError:
            pass
    raise ValueError(f"{text!r} is no time such as 2026-01-05T12:00:00Z or 05-JAN-2026 12:00:00.000 UTC")


#: Observations, and the time window of a routing rule: ``03-JUL-2015 07:40:00.000 UTC``.
SOS = TimeFormat("word", millis=True)
#: When a version of a rule was applied: ``22-APR-2019 18:01:45.711``, UTC.
VERSIONS = TimeFormat("word", millis=True, zone="none")
#: What the data lake tells: ``11-MAR-2024 04:00:00 UTC``.
DLS = TimeFormat("word")
#: What the data lake is asked: ``11-MAR-2024 04:00:00 +0000``.
DLS_QUERY = TimeFormat("word", zone="offset")
#: When a delayed task runs, the month as a number: ``15-07-2019 07:05:56.789 UTC``.
TASK = TimeFormat("number", millis=True)
#: What an archived file's name ends with, GMT: ``11032024040000``.
ARCHIVE = TimeFormat("digits", zone="none")
