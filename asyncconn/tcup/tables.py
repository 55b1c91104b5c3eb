"""Tables of plain text, for those who print. Contract: tcup section 1.8."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from asyncconn.tcup.times import SOS

__all__ = ["text_table"]


def text_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows below the names of their columns, in a frame of ASCII. What is missing is empty; a tab or a line is a space.

    >>> print(text_table(["sensors", "features"], [[2, 1]]))
    +---------+----------+
    | sensors | features |
    +---------+----------+
    | 2       | 1        |
    +---------+----------+
    """
    lines = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    rule = f"+{'+'.join('-' * (width + 2) for width in widths)}+"
    made = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines]
    return "\n".join([rule, made[0], rule, *made[1:], *([rule] if len(made) > 1 else [])])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = SOS.write(value) if isinstance(value, datetime) else str(value)
    return "".join(mark if mark.isprintable() else " " for mark in text)
