"""What reports look like: short at a prompt, a table in a notebook. Never the records, which may hold anything."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Shown", "facts"]

_LONGEST = 40  # characters of a text


class Shown:
    """Base of dataclasses that are counts, seconds and names, beside lists that are too long to be shown.

    >>> @dataclasses.dataclass(repr=False)
    ... class Report(Shown):
    ...     done: int = 0
    ...     failed: int = 0
    ...     rows: tuple[object, ...] = ()
    >>> Report(done=3, rows=(1, 2, 3))
    Report(done=3)
    """

    __slots__ = ()

    def _facts(self) -> Mapping[str, Any]:
        """What is shown, by its name."""
        return facts(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_short(value)}" for name, value in self._facts().items() if value)
        return f"{type(self).__name__}({shown})"

    def _repr_html_(self) -> str:
        from asyncconn.core.tables import html_table

        rows = [(name, round(value, 3) if isinstance(value, float) else value) for name, value in self._facts().items()]
        return html_table(("", ""), rows, title=type(self).__name__)


def facts(report: Any) -> dict[str, Any]:
    """The fields of a dataclass that are one thing each: a number, a text, whether something is so."""
    found = {one.name: getattr(report, one.name) for one in dataclasses.fields(report) if one.repr}
    return {name: value for name, value in found.items() if isinstance(value, int | float | str)}


def _short(value: object) -> str:
    if isinstance(value, float):
        return str(round(value, 3))
    if isinstance(value, str) and len(value) > _LONGEST:
        return repr(f"{value[: _LONGEST - 3]}...")
    return repr(value)
