"""Which columns the Limits server's files have, by its version.

Contract: limits section 11.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from asyncconn.atoti_limits.versions import Version
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BETA_NAMES", "FORMER_NAMES", "Column", "Kind", "Values", "columns"]

Kind = Literal["structures", "limits", "incidents", "legacy_limits", "as_of_date"]
Values = Literal["text", "number", "numbers", "integer", "boolean", "date"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column by the name in the header row. In ``required`` ones every row has a value."""

    name: str
    required: bool = False
    values: Values = "text"


def _columns(*given: str) -> tuple[Column, ...]:
    """``"Name*:number"``: with a star required, after a colon what the values are."""
    made = []
    for text in given:
        name, _, values = text.partition(":")
        made.append(Column(name.removesuffix("*"), name.endswith("*"), values or "text"))  # type: ignore[arg-type] # as below
    return tuple(made)


_STRUCTURES = _columns(
    "Group", "Structure ID*", "Name*", "Comment", "Polling Frequency*", "KPI Type*",
    "Absolute Value Indicator*:boolean", "Warning Threshold:number", "Measure Name*", "Scope Keys*",
    "Limit Changes Workflow", "Limit Changes Workflow Parameters", "Exception Workflow", "Utilization Dashboard ID",
    "Cube Name*", "Server Name*",
)  # fmt: skip
_STRUCTURES_4_2 = _columns("Limit Workflow Variables", "Incident Workflow Variables")

_LIMITS_2_0 = _columns(
    "Structure Group*", "Structure Name*", "Structure Reference ID*", "Cube Name*", "Server Name*", "Measure Name*",
    "Limit ID*", "Limit Name*", "Start Date*:date", "End Date:date", "Limit Type", "Limit Values*:numbers", "Scope*",
    "Limit Status*", "parentLimitKey",
)  # fmt: skip
_PRECEDENCE = _columns("Precedence*:integer")
_LIMITS_4_2 = _columns("Limit Changes Workflow Variables")

_INCIDENTS = _columns(
    "Limit ID*", "Incident Type*", "Measure Value*:number", "Location*", "MDX*", "As Of Date*:date",
    "BreachCount*:integer", "EvaluationTimestamp*", "SessionID", "Status*", "Workflow", "Workflow parameters",
    "Comment",
)  # fmt: skip
_INCIDENTS_4_2 = _columns("Limit Type")

#: Where the documented list of columns ends here, the file may go on.
_LEGACY_LIMITS = _columns(
    "Group", "ID", "Name*", "Comment", "Start Date*:date", "End Date:date", "Frequency Type", "Polling Frequency*",
    "Kpi Type*", "Limit Values*:numbers", "Absolute Value Indicator*:boolean", "Warning Threshold:number",
    "Measure Name*", "Scope*", "Precedence*:integer", "Limit Status*", "Limit Changes Workflow",
    "Limit Changes Workflow Parameters",
)  # fmt: skip

_AS_OF_DATE = _columns("AsOfDate*:date")

#: What a column of incidents is called in the beta of 4.0, and nowhere else; either is read as the other.
BETA_NAMES = {"Limit ID": "limitKey"}

#: What a column was called in earlier versions.
FORMER_NAMES = {
    "Structure ID": "Structure Reference ID",
    "Source Limit ID": "parentLimitKey",
    "Limit Value": "Limit Values",
}


def columns(kind: Kind, version: str | Version) -> tuple[Column, ...]:
    """The columns of a file in their order, for a Limits server of ``version``.

        >>> [column.name for column in columns("limits", "4.2.1")][11]
        'Limit Value'

    Raises ``ConfigError`` for a file that this version does not have: ``limits_approve.csv`` and
    ``limit_structures.csv`` begin with 2.0, ``legacy_limits.csv`` ends with 3.x.
    """
    limits = Version.parse(version, "version")
    if kind == "as_of_date":
        return _AS_OF_DATE
    if kind == "legacy_limits":
        if limits.release >= (4,):
            raise ConfigError(f"Limits {limits} has no legacy_limits.csv any more: use limits_approve.csv")
        return _LEGACY_LIMITS
    if limits.release < (2,):
        raise ConfigError(f"Limits {limits} has no such file yet: {kind} begin with 2.0, use legacy_limits.csv")
    if kind == "structures":
        return _structures(limits)
    if kind == "limits":
        return _limits(limits)
    if kind == "incidents":
        return _incidents(limits)
    raise ConfigError(f"there is no file of {kind!r}")


def _structures(limits: Version) -> tuple[Column, ...]:
    # The page of 6.1 is the only one that could be read; the identifier changed its name in the other files with 3.3.
    found = _STRUCTURES if limits.release >= (3, 3) else _renamed(_STRUCTURES, "Structure Reference ID", "Structure ID")
    return found + _STRUCTURES_4_2 if limits.release >= (4, 2) else found


def _limits(limits: Version) -> tuple[Column, ...]:
    found = _LIMITS_2_0
    if limits.release >= (3, 1):
        found += _PRECEDENCE
    if limits.release >= (3, 3):
        found = _renamed(found, "Structure ID", "Structure Reference ID")
        found = _renamed(found, "Source Limit ID", "parentLimitKey")
        found = _renamed(found, "Limit Values", "Limit Values", values="number")
    if limits.release >= (4, 2):
        found = _renamed(found, "Limit Value", "Limit Values") + _LIMITS_4_2
    return found


def _incidents(limits: Version) -> tuple[Column, ...]:
    before = limits.release[0] == 4 and limits < Version.parse("4.0.0")
    found = _renamed(_INCIDENTS, "limitKey", "Limit ID") if before else _INCIDENTS
    return found + _INCIDENTS_4_2 if limits.release >= (4, 2) else found


def _renamed(found: Sequence[Column], name: str, former: str, values: Values | None = None) -> tuple[Column, ...]:
    return tuple(
        Column(name, column.required, values or column.values) if column.name == former else column for column in found
    )
