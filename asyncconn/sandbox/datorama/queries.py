"""The query API: rows at once, errors inside a 200 or as 422.

Contract: datorama sections 2.9 and 3.10. ``groupOthers``, ``topPerDimension`` and ``totalDimensions`` are taken and
have no effect.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.datorama.answers import ApiError, json_answer
from asyncconn.sandbox.datorama.data import find_field
from asyncconn.sandbox.datorama.ranges import named_range
from asyncconn.sandbox.datorama.selecting import GROUP_TESTS, NUMBER_TESTS, TEXT_TESTS, ordered, select
from asyncconn.sandbox.datorama.streams import read_range

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from asyncconn.sandbox.datorama.data import Cell, Field, Row
    from asyncconn.sandbox.datorama.live import Live
    from asyncconn.sandbox.datorama.routes import Ask, Route
    from asyncconn.sandbox.exchange import Answer

__all__ = ["QUERY_PATHS", "Queries"]

#: Calls of these paths count as queries.
QUERY_PATHS = frozenset({"/v1/query", "/v1/query-batch"})

Object = dict[str, Any]


class Queries:
    """One query or several."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def routes(self) -> list[Route]:
        """Both paths."""
        return [("POST", "/v1/query", self._query), ("POST", "/v1/query-batch", self._batch)]

    def _query(self, ask: Ask) -> Answer:
        return json_answer(self._run(ask, ask.body(dict)))

    def _batch(self, ask: Ask) -> Answer:
        return json_answer([self._run(ask, _object(query)) for query in ask.body(list)])

    def _run(self, ask: Ask, query: Object) -> Object:
        workspace = self._live.check_workspace(ask.token, query.get("workspaceId"))
        first, last = self._days(query)
        dimensions = [_field(name, is_measurement=False) for name in _list(query, "dimensions")]
        measurements = [_field(_object(each).get("name"), is_measurement=True) for each in _list(query, "measurements")]
        if not dimensions and not measurements:
            raise _unclear("neither dimensions nor measurements")
        keep = _row_filter(query)
        found = select(filter(keep, self._live.rows(workspace, first, last)), dimensions, measurements)
        chosen = [*dimensions, *measurements]
        for test in _result_filters(query, chosen):
            found = [row for row in found if test(row)]
        found = _sorted_and_cut(found, query, chosen)
        if len(found) > self._live.options.max_query_rows:
            return {"queryResponseData": None, "errors": [f"more than {self._live.options.max_query_rows} rows"]}
        system = ask.query("useSystemNames") == "true"
        headers = [field.system if system else field.display for field in chosen]
        return {"queryResponseData": {"headers": headers, "rows": found}, "errors": []}

    def _days(self, query: Object) -> tuple[date, date]:
        today, word = self._live.clock.today(), query.get("dateRange")
        if word == "CUSTOM":
            return read_range(query)
        if word == "CUSTOM_ON_GOING":
            return read_range({**query, "endDate": today.isoformat()})
        found = named_range(word, today) if isinstance(word, str) else None
        if found is None:
            raise _unclear(f"unknown dateRange {word!r}")
        return found


def _row_filter(query: Object) -> Callable[[Row], bool]:
    """All group filters; of the text filters all or any, as the query says."""
    groups = [_test(_object(each), GROUP_TESTS, "vals", []) for each in _list(query, "groupDimensionFilters")]
    texts = [_test(_object(each), TEXT_TESTS, "val", "") for each in _list(query, "stringDimensionFilters")]
    joined = any if query.get("stringDimensionFiltersOperator") == "OR" else all

    def keep(row: Row) -> bool:
        return all(test(row) for test in groups) and (not texts or joined(test(row) for test in texts))

    return keep


def _test(
    given: Object, tests: Mapping[str, Callable[[Any, Any], bool]], name: str, default: Any
) -> Callable[[Row], bool]:
    field = _field(given.get("dimension"), is_measurement=False)
    test, value = _operator(given, tests), given.get(name, default)
    if type(value) is not type(default):
        raise _unclear(f"a filter of {field.display} needs {name}")
    return lambda row: test(row[field.system], value)


def _result_filters(query: Object, chosen: Sequence[Field]) -> list[Callable[[list[Cell]], bool]]:
    found: list[Callable[[list[Cell]], bool]] = []
    for each in map(_object, _list(query, "numberMeasurementFilter")):
        index = _position(each.get("fieldName"), chosen)
        found.append(_on_column(index, _operator(each, NUMBER_TESTS), _number(each.get("val", 0))))
    if found and query.get("numberDimensionFiltersOperator") == "OR":
        return [lambda row: any(test(row) for test in found)]
    return found


def _on_column(index: int, test: Callable[[Cell, Any], bool], value: float) -> Callable[[list[Cell]], bool]:
    return lambda row: test(row[index], value)


def _sorted_and_cut(found: list[list[Cell]], query: Object, chosen: Sequence[Field]) -> list[list[Cell]]:
    if query.get("sortBy"):
        found = ordered(found, _position(query["sortBy"], chosen), descending=query.get("sortOrder") == "DESC")
    top = query.get("topResults")
    return found if top in (None, "") else found[: max(0, int(_number(top)))]


def _field(name: object, *, is_measurement: bool) -> Field:
    field = find_field(name)
    if field is None or field.is_measurement is not is_measurement:
        raise _unclear(f"unknown {'measurement' if is_measurement else 'dimension'} {name!r}")
    return field


def _position(name: object, chosen: Sequence[Field]) -> int:
    field = find_field(name)
    if field is None or field not in chosen:
        raise _unclear(f"{name!r} is not in the query")
    return chosen.index(field)


def _operator(given: Object, tests: Mapping[str, Callable[[Any, Any], bool]]) -> Callable[[Any, Any], bool]:
    word = given.get("operator")
    if not isinstance(word, str) or word not in tests:
        raise _unclear(f"unknown operator {word!r}")
    return tests[word]


def _number(value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type] # whatever is no number raises, and is refused
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise _unclear(f"{value!r} is not a number")
    return number


def _list(query: Object, name: str) -> list[Any]:
    value = query.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _unclear(f"{name} is not a list")
    return value


def _object(value: object) -> Object:
    if not isinstance(value, dict):
        raise _unclear(f"{value!r} is not an object")
    return value


def _unclear(message: str) -> ApiError:
    return ApiError(422, message, "errors")
