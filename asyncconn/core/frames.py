"""Tables of rows as pandas frames in which an integer stays what it is, also beside a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.core.extras import extra

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["exact_frame"]

_INT64 = (-(2**63), 2**63 - 1)
_NUMBERS = {int, float, type(None)}
_FLOAT = 2**53  # above, a float has not every integer


def exact_frame(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """A pandas ``DataFrame`` of ``rows`` below ``columns``, short rows filled with gaps.

    Integers with gaps are pandas' ``Int64``, what no number type holds is ``object``: pandas itself would make floats
    of them, 123456.0, with other digits above 2**53. Raises ``ConfigError`` without pandas.
    """
    pandas = extra("pandas")
    width = len(columns)
    if set(map(len, rows)) != {width}:
        rows = [row if len(row) >= width else [*row, *[None] * (width - len(row))] for row in rows]
    if not rows or not width:
        return pandas.DataFrame(rows, columns=list(columns))
    # By columns: rows of lists cost pandas a table of objects first, and each type a look at every value of it.
    values = {at: [row[at] for row in rows] for at in range(width)}
    made = pandas.DataFrame({at: pandas.Series(some, dtype=_dtype(some)) for at, some in values.items()})
    made.columns = pandas.Index(columns)
    return made


def _dtype(values: list[Any]) -> str | None:
    """The type to name for a column; None where pandas' own choice is right."""
    kinds = set(map(type, values))
    if int not in kinds or not kinds <= _NUMBERS:
        return None
    integers = values if kinds == {int} else [value for value in values if type(value) is int]
    least, most = min(integers), max(integers)
    if float in kinds:
        return "object" if max(-least, most) > _FLOAT else None
    if least < _INT64[0] or most > _INT64[1]:
        return "object"
    return "Int64" if type(None) in kinds else None
