"""Rows of a pandas frame as records, without importing pandas: whoever has a frame has done so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.errors import InvalidRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["frame_records"]

_ROWS = 1_000  # converted at a time, so that a large frame neither doubles in memory nor holds up the loop


def frame_records(frame: Any, *, index: bool = False) -> Iterator[dict[str, Any]]:
    """Each row as a dict from column name to value.

    Raises ``InvalidRecord`` for what is not a frame, and where two columns (or one and the index) share a name.
    """
    if not hasattr(frame, "iloc") or not hasattr(frame, "to_dict") or not hasattr(frame, "columns"):
        raise InvalidRecord(f"a pandas DataFrame is needed, not {type(frame).__name__}")
    if not frame.columns.is_unique:
        raise InvalidRecord("two columns of the frame share a name: one of them would be lost")
    if index:
        try:
            frame.iloc[:0].reset_index()
        except ValueError as error:
            raise InvalidRecord(f"the frame's index cannot be a column: {error}") from error
    return _rows(frame, index)


def _rows(frame: Any, index: bool) -> Iterator[dict[str, Any]]:
    for start in range(0, len(frame), _ROWS):
        piece = frame.iloc[start : start + _ROWS]
        yield from (piece.reset_index() if index else piece).to_dict("records")
