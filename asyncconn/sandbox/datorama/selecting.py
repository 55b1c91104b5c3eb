"""Choosing, grouping and adding up rows: what a query and a report have in common."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncconn.sandbox.datorama.data import Cell, Field, Row

__all__ = ["GROUP_TESTS", "NUMBER_TESTS", "TEXT_TESTS", "ordered", "select"]

#: By operator: value of the row, value of the filter.
TEXT_TESTS: dict[str, Callable[[str, str], bool]] = {
    "EQUALS": lambda there, given: there.lower() == given.lower(),
    "NOT_EQUALS": lambda there, given: there.lower() != given.lower(),
    "NOT_EQUALS_CASE_SENSITIVE": operator.ne,
    "CONTAINS": lambda there, given: given.lower() in there.lower(),
    "NOT_CONTAINS": lambda there, given: given.lower() not in there.lower(),
    "STARTS_WITH": lambda there, given: there.lower().startswith(given.lower()),
    "ENDS_WITH": lambda there, given: there.lower().endswith(given.lower()),
    "IS_EMPTY": lambda there, _: not there,
    "IS_NOT_EMPTY": lambda there, _: bool(there),
}
GROUP_TESTS: dict[str, Callable[[Cell, Sequence[Any]], bool]] = {
    "IN": lambda there, given: there in given,
    "NOT IN": lambda there, given: there not in given,
}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "EQUALS": operator.eq,
    "NOT_EQUALS": operator.ne,
    "GREATER": operator.gt,
    "GREATER_EQUALS": operator.ge,
    "LESS": operator.lt,
    "LESS_EQUALS": operator.le,
}


def _compare(test: Callable[[float, float], bool]) -> Callable[[Cell, Any], bool]:
    return lambda there, given: isinstance(there, int | float) and test(there, given)


#: Null is compared with nothing; there are no numbers here that are not a number.
NUMBER_TESTS: dict[str, Callable[[Cell, Any], bool]] = {
    **{name: _compare(test) for name, test in _COMPARE.items()},
    "IS_NULL": lambda there, _: there is None,
    "IS_NOT_NULL": lambda there, _: there is not None,
    "IS_NAN": lambda _there, _given: False,
    "IS_NOT_NAN": lambda there, _: there is not None,
}


def select(rows: Iterable[Row], dimensions: Sequence[Field], measurements: Sequence[Field]) -> list[list[Cell]]:
    """Rows by their dimensions, measurements added up; the sum of nothing but nulls is null."""
    groups: dict[tuple[Cell, ...], list[Cell]] = {}
    for row in rows:
        key = tuple(row[field.system] for field in dimensions)
        sums = groups.setdefault(key, [None] * len(measurements))
        for index, field in enumerate(measurements):
            sums[index] = _sum(sums[index], row[field.system])
    return [[*key, *sums] for key, sums in groups.items()]


def _sum(so_far: Cell, more: Cell) -> Cell:
    if isinstance(more, int | float):
        return round(more + (so_far if isinstance(so_far, int | float) else 0), 2)
    return so_far


def ordered(found: list[list[Cell]], index: int, *, descending: bool) -> list[list[Cell]]:
    """By one column; nulls come last."""
    there: list[Any] = [row for row in found if row[index] is not None]
    there.sort(key=operator.itemgetter(index), reverse=descending)
    return there + [row for row in found if row[index] is None]
