"""What a routing rule asks of an observation, and what it makes of it.

Contract: tcup sections 3.1, 3.3 and 13.25.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.tcup.observations import millis
from asyncconn.sandbox.tcup.queries import number, wildcard
from asyncconn.sandbox.tcup.times import read_time
from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Conditions"]

Item = dict[str, Any]
Term = tuple[str, "Callable[[object], bool]"]

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "": operator.eq,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_TYPES = ("text", "quantity", "count", "decimal")
_BAND = re.compile(r"(!?)\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*\)")
_TERM = re.compile(r"\s*([^=!<>&|]+?)\s*(==|!=|>=|<=|=|>|<)\s*(.+?)\s*")
_RETURN = re.compile(r"\s*return\s+(?:\"([^\"]*)\"|'([^']*)'|([\w.+-]+))\s*;?\s*")
# Lists of name, value, type and operator; each is looked for among a record's own list of that name.
_NAMED = {"ObservedProperties": "output", "meta-data": "meta-data", "parameter": "parameter", "quality": "quality"}


class Conditions:
    """The ``params`` of a rule. Raises 404 for what is no condition, as the platform does for any invalid payload."""

    def __init__(self, params: object) -> None:
        self._of_observation: list[Callable[[Item], bool]] = []
        self._of_record: list[Callable[[Item], bool]] = []
        self._fence: _Fence | None = None
        self._label: _Label | None = None
        if not isinstance(params, list) or not all(isinstance(each, dict) for each in params):
            raise _invalid("params")
        for each in params:
            self._add(each.get("name"), each)

    def judge(self, observation: object) -> Item | None:
        """What passes of it: the records that fit. None when there are none."""
        if not isinstance(observation, dict) or not all(test(observation) for test in self._of_observation):
            return None
        records = observation.get("record")
        sensor = str(observation.get("sensor"))
        passed = [
            record
            for record in (records if isinstance(records, list) else [])
            if isinstance(record, dict)
            and all(test(record) for test in self._of_record)
            and (self._fence is None or self._fence.lets_pass(sensor, record))
        ]
        if not passed:
            return None
        judged = {**observation, "record": passed}
        if self._label is not None and (text := self._label.text(passed)) is not None:
            judged["expression"] = text
        return judged

    def _add(self, name: object, param: Item) -> None:
        value = param.get("value")
        if name in ("feature", "sensorID"):
            if value:
                self._of_observation.append(_name_test("sensor" if name == "sensorID" else "feature", value))
        elif name == "time":
            self._of_record.extend(_time_tests(_object(value, "time")))
        elif name == "expression":
            self._label = _Label.read(_object(value, "expression"))
        elif name == "position":
            self._fence = _Fence.read(param)
        elif name in _NAMED:
            if not isinstance(value, list):
                raise _invalid(str(name))
            said = [one for one in value if _object(one, str(name)).get("name") and one.get("value") not in ("", None)]
            self._of_record.extend(_value_test(_NAMED[name], one) for one in said)
        else:
            raise _invalid(f"params has {name!r}, which")


def _invalid(what: str) -> Refused:
    return Refused(404, f"{what} is not valid")


def _object(value: object, what: str) -> Item:
    if not isinstance(value, dict):
        raise _invalid(what)
    return value


def _name_test(member: str, value: object) -> Callable[[Item], bool]:
    if not isinstance(value, str):
        raise _invalid(member)
    try:
        pattern = re.compile(value) if value.startswith("^") else wildcard([value])
    except re.error:
        raise _invalid(member) from None
    fits = pattern.search if value.startswith("^") else pattern.fullmatch
    return lambda observation: isinstance(name := observation.get(member), str) and fits(name) is not None


def _time_tests(window: Item) -> list[Callable[[Item], bool]]:
    tests: list[Callable[[Item], bool]] = []
    for member, compare in (("starttime", operator.ge), ("endtime", operator.lt)):
        if text := window.get(member):
            limit = _time(text)
            if limit is None:
                raise _invalid(member)
            tests.append(_within(compare, limit))
    return tests


def _within(compare: Callable[[Any, Any], bool], limit: int) -> Callable[[Item], bool]:
    return lambda record: (at := _time(record.get("starttime"))) is not None and compare(at, limit)


def _time(text: object) -> int | None:
    try:
        return millis(read_time(text)) if isinstance(text, str) else None
    except ValueError:
        return None


# -- values ------------------------------------------------------------------------------------------------------------


def _value_test(member: str, given: Item) -> Callable[[Item], bool]:
    name, kind, sign = given["name"], str(given.get("type") or "text").lower(), given.get("operator") or ""
    against = given.get("value")
    if kind not in _TYPES or sign not in _OPERATORS or not isinstance(against, str | int | float):
        raise _invalid(f"the condition on {name}")
    compare = _comparison(str(against).strip(), sign, is_text=kind == "text")
    if compare is None:
        raise _invalid(f"the value of the condition on {name}")
    return lambda record: any(compare(value) for value in _values(record, member, name))


def _values(record: Item, member: str, name: object) -> list[object]:
    listed = record.get(member)
    entries = listed if isinstance(listed, list) else []
    return [each.get("value") for each in entries if isinstance(each, dict) and each.get("name") == name]


def _comparison(against: str, sign: str, *, is_text: bool) -> Callable[[object], bool] | None:
    """None where a number is asked for and there is none."""
    compare = _OPERATORS[sign]
    if (band := _BAND.fullmatch(against)) is not None:
        low, high = number(band[2]), number(band[3])
        if sign or low is None or high is None:
            return None
        return _band(low, high, inverted=bool(band[1]))
    if is_text:
        return lambda value: compare(str(value), against)
    limit = number(against)
    return None if limit is None else lambda value: (mine := number(value)) is not None and compare(mine, limit)


def _band(low: float, high: float, *, inverted: bool) -> Callable[[object], bool]:
    return lambda value: (mine := number(value)) is not None and (low <= mine <= high) != inverted


# -- expressions -------------------------------------------------------------------------------------------------------


class _Label:
    """``if temp>80`` ``then return "high ";`` ``else return "low ";``: a text about what passes."""

    def __init__(self, any_of: list[list[Term]], then: str | None, other: str | None) -> None:
        self._any_of = any_of
        self._then = then
        self._other = other

    @classmethod
    def read(cls, value: Item) -> _Label | None:
        """None without a condition. Raises 404 for what goes beyond comparisons joined by ``&&`` and ``||``."""
        condition = value.get("if") or ""
        if not isinstance(condition, str):
            raise _invalid("if")
        if not condition.strip():
            return None
        terms = [[_term(text) for text in part.split("&&")] for part in condition.split("||")]
        return cls(terms, _returned(value, "then"), _returned(value, "else"))

    def text(self, records: list[Item]) -> str | None:
        """``then`` where one of the records fits, ``else`` where none does."""
        return self._then if any(map(self._holds, records)) else self._other

    def _holds(self, record: Item) -> bool:
        return any(
            all(any(map(test, _values(record, "output", name))) for name, test in all_of) for all_of in self._any_of
        )


def _term(text: str) -> Term:
    found = _TERM.fullmatch(text)
    if found is None:
        raise _invalid(f"the expression {text!r}")
    name, sign, literal = found.groups()
    quoted = literal[:1] == literal[-1:] and literal[:1] in ("'", '"') and len(literal) > 1
    test = _comparison(literal[1:-1] if quoted else literal, sign, is_text=quoted or number(literal) is None)
    if test is None:
        raise _invalid(f"the expression {text!r}")
    return name, test


def _returned(value: Item, member: str) -> str | None:
    statement = value.get(member) or ""
    if not isinstance(statement, str):
        raise _invalid(member)
    if not statement.strip():
        return None
    if (found := _RETURN.fullmatch(statement)) is None:
        raise _invalid(f"the statement {statement!r}")
    return next(text for text in found.groups() if text is not None)


# -- places ------------------------------------------------------------------------------------------------------------

Point = tuple[float, float]


class _Fence:
    """An area that records must lie in, or with ``geoFencing`` must have just entered or left."""

    def __init__(self, corners: list[Point], *, is_rectangle: bool, fencing: bool) -> None:
        self._corners = corners
        self._is_rectangle = is_rectangle
        self._fencing = fencing
        self._inside: dict[str, bool] = {}

    @classmethod
    def read(cls, param: Item) -> _Fence | None:
        """None where all points are blank. Raises 404; how circles are written is not known, so they are refused."""
        kind, fencing = param.get("type", "rectangle"), param.get("geoFencing", "NO")
        points = _object(param.get("value") or {"points": []}, "position").get("points")
        if kind not in ("rectangle", "polygon") or fencing not in ("YES", "NO") or not isinstance(points, list):
            raise _invalid("position")
        if all(_object(each, "position").get(axis) in ("", None) for each in points for axis in "xy"):
            return None
        corners = [_point(each) for each in points]
        if None in corners or (len(points) != 2 if kind == "rectangle" else len(points) < 3):
            raise _invalid("position")
        return cls([each for each in corners if each], is_rectangle=kind == "rectangle", fencing=fencing == "YES")

    def lets_pass(self, sensor: str, record: Item) -> bool:
        """A record without a position never passes."""
        if (point := _point(record.get("position"))) is None:
            return False
        inside = self._holds(point)
        if not self._fencing:
            return inside
        before = self._inside.get(sensor, False)
        self._inside[sensor] = inside
        return inside != before

    def _holds(self, point: Point) -> bool:
        x, y = point
        if self._is_rectangle:
            (left, low), (right, high) = self._corners
            return min(left, right) <= x <= max(left, right) and min(low, high) <= y <= max(low, high)
        inside = False
        for (x1, y1), (x2, y2) in zip(self._corners, [*self._corners[1:], self._corners[0]], strict=True):
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                inside = not inside
        return inside


def _point(value: object) -> Point | None:
    if not isinstance(value, dict):
        return None
    x, y = number(value.get("x")), number(value.get("y"))
    return None if x is None or y is None else (x, y)
