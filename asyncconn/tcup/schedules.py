"""When a task runs by itself: at one time, or again and again. Pure functions. Contract: tcup sections 7.5, 13.17.

>>> recurrent(hour="4", day="6")
{'type': 'recurrent', 'cronPatternType': 'fixed', 'cron': '0 4 6 * *', 'timeZone': 'UTC', 'recurrenceLimit': 0}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from asyncconn.core.extras import extra
from asyncconn.errors import ConfigError
from asyncconn.tcup.times import TASK, zone_named

if TYPE_CHECKING:
    from datetime import tzinfo

__all__ = ["Recurrence", "Schedule", "delayed", "recurrent", "same"]

#: As it is on the wire.
Schedule = dict[str, Any]


class Recurrence(TypedDict, total=False):
    """The arguments of :func:`recurrent` that say when."""

    pattern: str
    minute: int | str | None
    hour: int | str | None
    day: int | str | None
    month: int | str | None
    day_of_week: int | str | None
    cron: str | None
    recurrence_limit: int


_FIELDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "day_of_week": (0, 6)}
_SIZE = {"minute": 0, "hour": 1, "day": 2, "day_of_week": 2, "month": 3}
_EVERY = {"minute": "*/{} * * * *", "hour": "0 */{} * * *", "day": "0 0 */{} * *"}
_DIGITS = re.compile(r"\d{1,9}", re.ASCII).fullmatch
_ZONED = re.compile(r"(\S+\s+\S+)\s+(\S+)").fullmatch


def delayed(
    delayed_time: datetime | str, *, time_zone: str | None = None, default_timezone: str | tzinfo | None = None
) -> Schedule:
    """One run, at a time: a text such as ``15-07-2019 12:35:56.789 IST``, which goes as it is, or a datetime.

    >>> delayed("15-07-2019 12:35:56.789 IST")
    {'type': 'delayed', 'delayedTime': '15-07-2019 12:35:56.789 IST', 'timeZone': 'IST'}

    ``time_zone`` is that of a time which has none (by default ``default_timezone``; a text's is else UTC), and the one
    in which a datetime is written. Raises ``ConfigError`` for a zone that is not the text's own, and for what is no
    time, such as a datetime without a zone where none is given.
    """
    given: object = delayed_time
    try:
        if isinstance(given, str):
            text = _as_text(given.strip(), time_zone, default_timezone)
        elif isinstance(given, datetime):
            text = TASK.write(given, time_zone, default_zone=time_zone or default_timezone)
        else:
            raise ConfigError(f"delayed_time is a text or a datetime, not {type(given).__name__}")
    except ValueError as error:
        raise ConfigError(f"delayed_time: {getattr(error, 'message', error)}") from error
    return {"type": "delayed", "delayedTime": text, "timeZone": text.rpartition(" ")[2]}


def _as_text(text: str, time_zone: str | None, default_timezone: str | tzinfo | None) -> str:
    zoned = _ZONED(text)
    if zoned is None:
        zone = time_zone or default_timezone
        return TASK.write(TASK.read(text, zone), zone)
    if TASK.read(text) != TASK.read(zoned[1], time_zone or zoned[2]):
        raise ConfigError(f"{text!r} is not in the time zone {time_zone!r}")
    return text


def recurrent(
    *,
    pattern: str = "fixed",
    minute: int | str | None = None,
    hour: int | str | None = None,
    day: int | str | None = None,
    month: int | str | None = None,
    day_of_week: int | str | None = None,
    cron: str | None = None,
    time_zone: str = "UTC",
    recurrence_limit: int = 0,
) -> Schedule:
    """Runs again and again, ``recurrence_limit`` of them, 0 for ever, by the clock of ``time_zone``.

    ``fixed``: at the fields given, where smaller ones are their least and larger ones any: ``hour=4, day=6`` is at
    04:00 on the sixth of each month. ``interval``: every so many of one of minute, hour and day, counted from the start
    of the larger one. ``expression``: the five fields of ``cron``, which are checked here and sent as they are.

    >>> recurrent(pattern="interval", hour=4)["cron"], recurrent(day_of_week=1, hour=6)["cron"]
    ('0 */4 * * *', '0 6 * * 1')

    ``day`` is a day of the month; ``day_of_week`` counts from 0, which is Sunday. Raises ``ConfigError`` for what
    cannot be, or would never come: the thirtieth of February.
    """
    given = {"minute": minute, "hour": hour, "day": day, "month": month, "day_of_week": day_of_week}
    numbers = {name: _number(name, value) for name, value in given.items() if value is not None}
    kind = pattern.strip().lower()
    if kind != "expression" and kind not in _MAKERS:
        raise ConfigError(f"the pattern of a schedule is fixed, interval or expression, not {pattern!r}")
    if (kind == "expression") != (cron is not None) or (cron is not None and numbers):
        raise ConfigError("a cron expression, and nothing beside it, goes with pattern='expression'")
    made = " ".join(cron.split()) if cron is not None else _MAKERS[kind](numbers)
    _check(made)
    if isinstance(recurrence_limit, bool) or recurrence_limit < 0:
        raise ConfigError(f"recurrence_limit is a number of runs, 0 for ever, not {recurrence_limit!r}")
    try:
        zone_named(time_zone)
    except ValueError as error:
        raise ConfigError(f"time_zone: {error}") from error
    return {
        "type": "recurrent",
        "cronPatternType": kind,
        "cron": made,
        "timeZone": time_zone,
        "recurrenceLimit": recurrence_limit,
    }


def same(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether two schedules mean the same, however their times are written."""
    return _meaning(one) == _meaning(other)


def _meaning(schedule: Mapping[str, Any] | None) -> object:
    if not schedule:
        return None
    if (when := schedule.get("delayedTime")) is not None:
        try:
            return TASK.read(str(when), schedule.get("timeZone"))
        except ValueError:
            return when
    return schedule.get("cron"), schedule.get("timeZone") or "UTC", schedule.get("recurrenceLimit") or 0


def _number(name: str, value: int | str) -> int:
    least, most = _FIELDS[name]
    if isinstance(value, str) and _DIGITS(value.strip()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{name} is a whole number from {least} to {most}, not {value!r}")
    return value


def _fixed(numbers: Mapping[str, int]) -> str:
    if not numbers:
        raise ConfigError(f"a recurrent task needs at least one of {', '.join(_FIELDS)}")
    smallest = min(_SIZE[name] for name in numbers)
    least = {name: first for name, (first, _) in _FIELDS.items() if _SIZE[name] < smallest}
    least.pop("day_of_week", None)  # the first of a month is whichever day it is
    return " ".join(str({**least, **numbers}.get(name, "*")) for name in _FIELDS)


def _interval(numbers: Mapping[str, int]) -> str:
    if len(numbers) != 1 or not numbers.keys() <= _EVERY.keys():
        raise ConfigError(f"an interval is of exactly one of {', '.join(_EVERY)}")
    [(name, every)] = numbers.items()
    if every == 0:
        raise ConfigError(f"an interval of 0 {name}s never ends")
    return _EVERY[name].format(every)


_MAKERS = {"fixed": _fixed, "interval": _interval}


def _check(cron: str) -> None:
    """Refuse what is no cron expression of five fields, or never comes."""
    cronsim = extra("cronsim", "tcup")
    if len(cron.split()) != 5:  # the library would take a sixth, for seconds
        raise ConfigError(f"a cron expression has five fields, not as in {cron!r}")
    try:
        next(cronsim.CronSim(cron, datetime(2000, 1, 1)))  # noqa: DTZ001 - which zone changes nothing about whether it comes
    except cronsim.CronSimError as error:
        raise ConfigError(f"{cron!r} is no cron expression: {error}") from error
    except StopIteration:
        raise ConfigError(f"{cron!r} never comes") from None
