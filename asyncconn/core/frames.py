"""Tables of rows as pandas frames in which an integer stays what it is, also beside a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.core.extras import extra

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["exact_frame"]

_INT64 = (-(2**63), 2**63 - 1)
_FLOAT = 2**53  # above, a float has not every integer


def exact_frame(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
    """A pandas ``DataFrame`` of ``rows`` below ``columns``, short rows filled with gaps.

    Integers with gaps are pandas' ``Int64``, what no number type holds is ``object``: pandas itself would make floats
    of them, 123456.0, with other digits above 2**53. Raises ``ConfigError`` without pandas.
    """
    pandas = extra("pandas")
    width = len(columns)
    rows = [row if len(row) >= width else [*row, *[None] * (width - len(row))] for row in rows]
    made = pandas.DataFrame(rows, columns=list(columns))
    for at in range(width):
        values = [row[at] for row in rows]
        if (dtype := _dtype(values)) is not None:
            made.isetitem(at, pandas.Series(values, index=made.index, dtype=dtype))
    return made


def _dtype(values: list[Any]) -> str | None:
    """The type to name for a column; None where pandas' own choice is right."""
    integers: list[int] = []
    missing = floats = False
    for value in values:
        if value is None:
            missing = True
        elif type(value) is int:
            integers.append(value)
        elif type(value) is float:
            floats = True
        else:
            return None
    if not integers:
        return None
    least, most = min(integers), max(integers)
    if floats:
        return "object" if max(-least, most) > _FLOAT else None
    if least < _INT64[0] or most > _INT64[1]:
        return "object"
    return "Int64" if missing else None
