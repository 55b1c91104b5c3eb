"""Queries: synchronous, with a limit of their own. Contract: datorama sections 2.9, 3.10."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncconn.core.frames import exact_frame
from asyncconn.core.tables import MOST_ROWS, html_table
from asyncconn.core.words import count
from asyncconn.datorama.dates import DateRange, DayLike
from asyncconn.datorama.errors import DatoramaProtocolError, DatoramaQueryError
from asyncconn.datorama.paths import number
from asyncconn.datorama.resources.base import Resource
from asyncconn.errors import Answer, ConfigError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Queries", "QueryResult", "query_body"]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """``headers`` and ``rows`` of cells (text, numbers, None), as they came."""

    headers: tuple[str, ...]
    rows: list[list[Any]]

    def __repr__(self) -> str:
        return f"<QueryResult of {count(len(self.rows), 'row')}: {', '.join(self.headers)}>"

    def _repr_html_(self) -> str:
        return html_table(self.headers, self.rows[:MOST_ROWS], title=count(len(self.rows), "row"), total=len(self.rows))

    def records(self) -> list[dict[str, Any]]:
        """Each row by header. Raises ``DatoramaProtocolError`` where two are the same: a value would be lost."""
        if len(set(self.headers)) < len(self.headers):
            twice = next(name for name in self.headers if self.headers.count(name) > 1)
            raise DatoramaProtocolError(
                f"two columns are called {twice!r}: take headers and rows, or system_names=True"
            )
        return [dict(zip(self.headers, row, strict=False)) for row in self.rows]

    def frame(self) -> pd.DataFrame:
        """A pandas ``DataFrame``. Raises ``ConfigError`` without pandas."""
        made: pd.DataFrame = exact_frame(list(self.headers), self.rows)
        return made


def query_body(
    workspace_id: int | None,
    start: DayLike | None = None,
    end: DayLike | None = None,
    *,
    date_range: str | None = None,
    measurements: Sequence[str] = (),
    dimensions: Sequence[str] = (),
) -> dict[str, Any]:
    """A query as the platform spells it: from ``start`` to ``end``, both included, or a ``date_range`` of its words.

        >>> query_body(41001, date_range="LAST_MONTH", measurements=["Clicks"])["measurements"]
        [{'name': 'Clicks'}]

    Raises ``ConfigError`` for what makes no query, ``BadDate`` for days that cannot be.
    """
    if date_range is not None and (start or end):
        raise ConfigError("give a range, or start and end: not both")
    if date_range is None and (start is None or end is None):
        raise ConfigError("which days? Give start and end, or a range")
    days = {"dateRange": "CUSTOM", **DateRange.of(start, end).body} if start and end else {"dateRange": date_range}
    if workspace_id is None:
        raise ConfigError("whose data? Give a workspace")
    named = [{"name": name} for name in measurements]
    return {"workspaceId": workspace_id, **days, "measurements": named, "dimensions": list(dimensions)}


class Queries(Resource):
    """``datorama.query(...)`` and ``datorama.queries``: Q1, Q2."""

    async def run(self, query: Mapping[str, Any], *, system_names: bool = False) -> QueryResult:
        """Run one query, given as the platform spells it.

            >>> result = await datorama.query({
            ...     "workspaceId": 41001, "dateRange": "CUSTOM", "startDate": "2026-01-01", "endDate": "2026-01-31",
            ...     "measurements": [{"name": "Clicks"}], "dimensions": ["Day"]})

        Raises ``DatoramaQueryError`` when it cannot be read, or fails while it runs although the status is 200: after
        60 seconds, or with more than about 600,000 rows, for which reports are the way.
        """
        body = _checked(query)
        params = {"useSystemNames": True} if system_names else None
        found = await self._json("queries.run", json=body, params=params, workspace_id=_workspace(body))
        return _result(found, self._caller.pool.scrub)

    async def batch(self, queries: Sequence[Mapping[str, Any]]) -> list[QueryResult | DatoramaQueryError]:
        """Run several in one call; each one's result, or its error, in the order given."""
        bodies = [_checked(query) for query in queries]
        if not bodies:
            return []
        workspaces = {_workspace(body) for body in bodies}
        where = workspaces.pop() if len(workspaces) == 1 else None
        found = await self._json("queries.batch", json=bodies, workspace_id=where)
        if not isinstance(found, list) or len(found) != len(bodies):
            raise DatoramaProtocolError(f"{len(bodies)} queries, and not as many results in the answer")
        return [_either(one, self._caller.pool.scrub) for one in found]


def _checked(query: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(query, Mapping):
        raise ConfigError(f"a query is a mapping, not {type(query).__name__}")
    body = dict(query)
    missing = [name for name in ("workspaceId", "dateRange") if not body.get(name)]
    if missing:
        raise ConfigError(f"the query lacks {', '.join(missing)}")
    if not body.get("measurements") and not body.get("dimensions"):
        raise ConfigError("the query asks for neither measurements nor dimensions")
    return body


def _workspace(body: Mapping[str, Any]) -> int:
    return number(body["workspaceId"], "workspaceId")


def _either(found: Any, scrub: Callable[[str], str]) -> QueryResult | DatoramaQueryError:
    try:
        return _result(found, scrub)
    except DatoramaQueryError as error:
        return error


def _result(found: Any, scrub: Callable[[str], str]) -> QueryResult:
    if not isinstance(found, dict):
        raise DatoramaProtocolError(f"a query's result must be an object, not {type(found).__name__}")
    if errors := found.get("errors"):
        said = (
            errors
            if isinstance(errors, str)
            else "; ".join(map(_said, errors if isinstance(errors, list) else [errors]))
        )
        raise DatoramaQueryError(scrub(said)[:300], Answer("datorama", 200))
    data = found.get("queryResponseData")
    headers, rows = (data.get("headers"), data.get("rows")) if isinstance(data, dict) else (None, None)
    if not isinstance(headers, list) or not isinstance(rows, list):
        raise DatoramaProtocolError("a query's result has neither errors nor headers and rows")
    if not all(isinstance(name, str) for name in headers):
        raise DatoramaProtocolError("at $.queryResponseData.headers: a header is a text")
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(headers):
            raise DatoramaProtocolError(
                f"at $.queryResponseData.rows[{index}]: a row has a cell for each of the {len(headers)} headers"
            )
    return QueryResult(tuple(headers), rows)


def _said(error: Any) -> str:
    if isinstance(error, dict):
        return str(next((error[key] for key in ("message", "msg", "info", "error") if error.get(key)), error))
    return str(error)
