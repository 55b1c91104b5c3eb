"""Evaluations on demand. Contract: limits sections 10.3, 10.4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.errors import LimitsProtocolError
from asyncconn.atoti_limits.models import iso
from asyncconn.atoti_limits.offline import csv_formats
from asyncconn.atoti_limits.resources.base import Resource, ids
from asyncconn.core.tables import items_html
from asyncconn.core.words import count

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evaluate", "Evaluation"]

_SECONDS = 300.0  # for the server to evaluate

#: Contract: limits section 10.3, row 9b.
_DATE_ROLL = {"operation": "LOAD", "topics": ["AsOfDate"], "scope": {"_recursive": "true"}}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found: CSV ``lines``, the first of them the header."""

    lines: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<Evaluation of {count(max(0, len(self.lines) - 1), 'row')}>"

    def _repr_html_(self) -> str:
        return items_html(self.rows(), title=repr(self).strip("<>"), noun="row")

    def columns(self) -> list[str]:
        """Of the rows, also if there is none."""
        return csv_formats.evaluation_columns(self.lines)

    def rows(self) -> list[dict[str, Any]]:
        """A mapping a line, by column."""
        return csv_formats.evaluation_rows(list(self.lines))

    def frame(self) -> pd.DataFrame:
        """The rows as a pandas frame. Raises ``ConfigError`` without pandas."""
        made: pd.DataFrame = csv_formats.frame(self.rows(), self.columns())
        return made


class Evaluate(Resource):
    """``limits.evaluate``: now, for a day (without one, for the day in the server's ``as_of_date.csv``).

    Each evaluation fills the incident store, so it is never repeated when the outcome is unknown. ``timeout`` is in
    seconds.

        >>> found = await limits.evaluate.all("2026-01-31")
        >>> for row in found.rows():
        ...     print(row["Limit ID"], row["Incident Type"])
    """

    async def limits(
        self, limit_ids: str | Sequence[str], as_of_date: date | str | None = None, *, timeout: float = _SECONDS
    ) -> Evaluation:
        """These limits."""
        return await self._run("evaluate.limits", as_of_date, timeout, ids(limit_ids, "limit_ids"))

    async def structures(
        self, structure_ids: str | Sequence[str], as_of_date: date | str | None = None, *, timeout: float = _SECONDS
    ) -> Evaluation:
        """All limits of these structures."""
        return await self._run("evaluate.structures", as_of_date, timeout, ids(structure_ids, "structure_ids"))

    async def all(self, as_of_date: date | str | None = None, *, timeout: float = _SECONDS) -> Evaluation:
        """Everything."""
        return await self._run("evaluate.all", as_of_date, timeout, None)

    async def roll_date(self) -> None:
        """Have the server read its ``as_of_date.csv`` anew: the day of every evaluation that names none (date roll).

        The file is the server's own: ``offline.csv_formats.write_as_of_date`` makes its text.
        Call and body are documented for 2.0, the answer is not, and is not looked at. Not repeated when the outcome is
        unknown.
        """
        await self._caller.request("evaluate.roll_date", json=_DATE_ROLL)

    async def _run(self, name: str, as_of_date: date | str | None, timeout: float, body: Any) -> Evaluation:
        params = {"asOfDate": iso(as_of_date)}
        lines = await self._json(name, params=params, json=body, timeout=timeout)
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise LimitsProtocolError(f"{name}: the answer must be a list of CSV lines")
        return Evaluation(tuple(map(str, lines)))
