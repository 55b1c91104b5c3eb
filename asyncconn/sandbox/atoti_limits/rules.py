"""What structures and limits must be like: fields, scopes, dates that do not overlap."""

from __future__ import annotations

import math
import re
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from asyncconn.sandbox.atoti_limits.problems import Findings

__all__ = [
    "KPI_TYPES",
    "STATUSES",
    "WORKFLOWS",
    "check_limit",
    "check_structure",
    "check_v1_limit",
    "days",
    "is_active",
    "overlapping",
    "same_scope",
]

Row = dict[str, Any]

STATUSES = ("APPROVED", "PENDING_FIRST_APPROVAL", "PENDING_SECOND_APPROVAL", "REJECTED", "EXPIRED", "DELETED")
#: Both the words of CSV files and those of the user interface.
KPI_TYPES = {"greater than": "Greater Than", "less than": "Less Than"}
#: How many approvals a change needs.
WORKFLOWS = {"StraightThrough": 0, "Direct": 0, "FourEyes": 1, "SixEyes": 2}

_KEY = r"[^=|@\[\]<>]+(?:@[^=|@\[\]<>]+){0,2}"
_SCOPE_KEY = re.compile(_KEY)
_PART = re.compile(rf"({_KEY}?)\s*(=|<>)\s*(\[[^\[\]=<>]*\]|[^=\[\]<>]+)")
_DEFAULTS: Row = {
    "group": "",
    "comment": "",
    "exceptionWorkflow": "Exception",
    "limitChangesWorkflow": "StraightThrough",
    "exceptionWorkflowParameters": {},
    "limitChangesWorkflowParameters": {},
    "absoluteValueIndicator": False,
    "utilizationDashboardId": None,
    "warningThreshold": 0.0,
}


def check_structure(given: Mapping[str, Any], row: int, found: Findings) -> Row:
    """The structure as it is stored; what is wrong goes into ``found``."""
    structure = {**_DEFAULTS, **{name: value for name, value in given.items() if value not in (None, "")}}
    name = "structureId" if given.get("structureId") else "referenceId"
    structure["structureId"] = structure["referenceId"] = structure.get(name)
    for field in (name, "serverName", "cubeName", "measureName", "name", "pollingFrequency", "kpiType"):
        _text(structure, field, row, found)
    keys = structure.get("scopeKeys")
    if not isinstance(keys, list) or not keys or not all(isinstance(k, str) and _SCOPE_KEY.fullmatch(k) for k in keys):
        found.add(row, "scopeKeys", "must be levels such as Book@Books@Booking")
    if not _is_number(structure["warningThreshold"]):
        found.add(row, "warningThreshold", "must be a number")
    if not isinstance(structure["absoluteValueIndicator"], bool):
        found.add(row, "absoluteValueIndicator", "must be true or false")
    if isinstance(structure.get("kpiType"), str) and structure["kpiType"].rstrip(".").strip().lower() not in KPI_TYPES:
        found.add(row, "kpiType", f"must be one of {', '.join(KPI_TYPES.values())}")
    if structure["limitChangesWorkflow"] not in WORKFLOWS:
        found.add(row, "limitChangesWorkflow", f"must be one of {', '.join(WORKFLOWS)}")
    for field in ("limitChangesWorkflowParameters", "exceptionWorkflowParameters"):
        if not isinstance(structure[field], dict):
            found.add(row, field, "must be an object")
    return structure


def check_limit(given: Mapping[str, Any], row: int, found: Findings, structures: Mapping[str, Row]) -> Row:
    """The limit as it is stored; what is wrong goes into ``found``."""
    limit = {"limitType": "OFFICIAL", "precedence": 0, "alive": True}
    limit |= {name: value for name, value in given.items() if value not in (None, "")}
    limit.setdefault("endDate", None)
    limit.setdefault("sourceLimitId", None)
    values = limit.pop("limitValues", None)
    value = limit.get("limitValue", values)
    limit["limitValue"] = value[0] if isinstance(value, list) and value else value
    for field in ("structureId", "limitId", "limitName"):
        _text(limit, field, row, found)
    if isinstance(limit.get("structureId"), str) and limit["structureId"] not in structures:
        found.add(row, "structureId", f"there is no structure {limit['structureId']}")
    _dates(limit, "startDate", "endDate", row, found)
    if limit["limitType"] not in ("OFFICIAL", "TEMPORARY"):
        found.add(row, "limitType", "must be OFFICIAL or TEMPORARY")
    if not _is_number(limit["limitValue"]):
        found.add(row, "limitValue", "must be a number")
    if not isinstance(limit["precedence"], int) or isinstance(limit["precedence"], bool):
        found.add(row, "precedence", "must be a whole number")
    if not isinstance(limit["alive"], bool):
        found.add(row, "alive", "must be true or false")
    if limit.get("limitStatus", "APPROVED") not in STATUSES:
        found.add(row, "limitStatus", f"must be one of {', '.join(STATUSES)}")
    if same_scope(limit.get("scope")) is None:
        found.add(row, "scope", "must be parts such as Desk=Rates|Book=*")
    return limit


def check_v1_limit(given: Mapping[str, Any], row: int, found: Findings) -> Row:
    """A limit of 1.x as it is stored; what is wrong goes into ``found``."""
    limit = dict(given)
    for field in ("name", "measureName", "pollingFrequency", "kpiType"):
        _text(limit, field, row, found)
    _dates(limit, "validFrom", "validTo", row, found)
    values = limit.get("limitValues")
    limit["limitValues"] = values = [values] if _is_number(values) else values
    if not isinstance(values, list) or not values or not all(map(_is_number, values)):
        found.add(row, "limitValues", "must be numbers")
    if not isinstance(limit.get("scope"), dict) and same_scope(limit.get("scope")) is None:
        found.add(row, "scope", "must be levels with their members")
    return limit


# -- scopes and dates --------------------------------------------------------------------------------------------------


def same_scope(scope: object) -> tuple[str, ...] | None:
    """Equal for scopes that say the same in another order or with other blanks; None for what is no scope."""
    if not isinstance(scope, str):
        return None
    parts = []
    # A value may hold a bar of its own (a path of members), so a part without a sign belongs to the one before.
    for part in re.split(r"\|(?=[^|]*(?:=|<>))", scope):
        if (read := _PART.fullmatch(part.strip())) is None:
            return None
        key, sign, value = (text.strip() for text in read.groups())
        if value.startswith("["):
            value = "+".join(sorted(value.strip("[]").replace("+", " ").split()))
        if not key or not value:
            return None
        parts.append(f"{key}{sign}{value}")
    return tuple(sorted(parts))


def days(limit: Row) -> tuple[date, date]:
    """First and last day."""
    end = limit["endDate"]
    return date.fromisoformat(limit["startDate"]), date.max if end is None else date.fromisoformat(end)


def is_active(limit: Row) -> bool:
    """Whether it is neither deleted, nor expired, nor rejected."""
    return bool(limit["alive"]) and limit["limitStatus"] not in ("EXPIRED", "DELETED", "REJECTED")


def overlapping(limit: Row, others: Iterable[Row], structures: Mapping[str, Row]) -> Row | None:
    """The first of ``others`` with equal name, cube, measure and scope whose dates overlap."""
    first, last = days(limit)
    identity = _identity(limit, structures)
    for other in others:
        begins, ends = days(other)
        meet = other["limitId"] != limit["limitId"] and begins <= last and first <= ends
        if meet and _identity(other, structures) == identity:
            return other
    return None


def _identity(limit: Row, structures: Mapping[str, Row]) -> tuple[object, ...]:
    structure = structures[limit["structureId"]]
    return limit["limitName"], structure["cubeName"], structure["measureName"], same_scope(limit["scope"])


def _dates(row_given: Row, start: str, end: str, row: int, found: Findings) -> None:
    first = _date(row_given.get(start))
    last = _date(row_given.get(end)) if row_given.get(end) is not None else date.max
    if first is None:
        found.add(row, start, "must be a date such as 2026-01-31")
    if last is None:
        found.add(row, end, "must be a date such as 2026-01-31, or nothing")
    if first and last and last < first:
        found.add(row, end, "is before the start")


def _date(value: object) -> date | None:
    if not isinstance(value, str) or re.fullmatch(r"\d{4}-\d\d-\d\d", value) is None:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _text(given: Row, field: str, row: int, found: Findings) -> None:
    if not isinstance(given.get(field), str) or not given[field].strip():
        found.add(row, field, "must be a text")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
