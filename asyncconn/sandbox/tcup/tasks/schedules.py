"""When a task is to run.

Contract: tcup sections 7.5 and 13.17.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.tcup.tasks.cron import Cron
from asyncconn.sandbox.tcup.times import read_task_time, read_zone
from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

__all__ = ["Schedule", "read_schedule"]

_PATTERN_TYPES = ("fixed", "interval", "expression")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Once at ``due``, or over and over by ``cron`` in ``zone``, ``limit`` times (0: without end).

    ``document`` is what was asked for, word for word.
    """

    document: dict[str, Any]
    due: datetime | None = None
    cron: Cron | None = None
    zone: tzinfo = UTC
    limit: int = 0

    @property
    def job_type(self) -> str:
        """What a task of this schedule is called."""
        return "DELAYED" if self.cron is None else "RECURRENT"

    def next_after(self, moment: datetime) -> datetime:
        """When it is to run next; a time that has passed is now."""
        found = self.due if self.cron is None else self.cron.after(moment, self.zone)
        return moment if found is None else max(found, moment)


def read_schedule(value: object, now: datetime) -> Schedule:
    """A delayed or a recurrent one. Raises 400."""
    if not isinstance(value, dict):
        raise Refused(400, "the schedule is not a JSON object")
    try:
        match value.get("type"):
            case "delayed":
                return _delayed(value, now)
            case "recurrent":
                return _recurrent(value)
    except ValueError as error:
        raise Refused(400, str(error)) from None
    raise Refused(400, "type of a schedule must be delayed or recurrent")


def _delayed(value: dict[str, Any], now: datetime) -> Schedule:
    text, named = value.get("delayedTime"), value.get("timeZone")
    if not isinstance(text, str):
        raise Refused(400, "delayedTime is missing")
    zone = read_zone(named) if isinstance(named, str) and named else None
    has_zone = len(text.split()) > 2
    due = read_task_time(text if has_zone or zone is None else f"{text} {named}")
    if has_zone and zone is not None and read_task_time(f"{' '.join(text.split()[:2])} {named}") != due:
        raise Refused(400, "the zone of delayedTime is not that of timeZone")
    if due <= now:
        raise Refused(400, "delayedTime is in the past")
    return Schedule(value, due=due)


def _recurrent(value: dict[str, Any]) -> Schedule:
    pattern_type, cron, named = value.get("cronPatternType"), value.get("cron"), value.get("timeZone") or "UTC"
    if not isinstance(pattern_type, str) or pattern_type.lower() not in _PATTERN_TYPES:
        raise Refused(400, f"cronPatternType must be one of {', '.join(_PATTERN_TYPES)}")
    if not isinstance(cron, str) or not isinstance(named, str):
        raise Refused(400, "cron or timeZone is not a text")
    limit = value.get("recurrenceLimit", 0)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise Refused(400, "recurrenceLimit must be a whole number, 0 or more")
    return Schedule(value, cron=Cron(cron), zone=read_zone(named), limit=limit)
