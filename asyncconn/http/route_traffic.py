"""The rows of a hub's traffic, and how they are shown: a table of text, of HTML, or a frame."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from asyncconn.core.frames import exact_frame
from asyncconn.core.tables import html_table
from asyncconn.core.words import size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

__all__ = ["RouteTraffic", "frame", "html", "text"]

_COLUMNS = 80
_HEAD = ("calls", "again", "waited", "p50", "p95", "sent", "received")


@dataclass(frozen=True, slots=True)
class RouteTraffic:
    """The calls of one route so far.

    ``route`` is the path with holes for what is an id. ``calls`` were made by the program, ``retries`` are the attempts
    beyond the first of each; ``statuses`` says how often an attempt ended how: with a status, or without an answer, in
    an error of that name. ``waited`` are the seconds in which calls waited for the rate; ``seconds`` those of all
    attempts, without that wait; of the latest 500, half took at most ``p50`` and 95 of 100 at most ``p95``.
    ``sent_bytes`` and ``received_bytes`` are those of bodies, as they travelled; of forms none are known.
    """

    platform: str
    method: str
    route: str
    calls: int
    retries: int
    statuses: Mapping[int | str, int]
    waited: float
    seconds: float
    p50: float
    p95: float
    sent_bytes: int
    received_bytes: int

    def joined(self, other: RouteTraffic) -> RouteTraffic:
        """The sums of both, as one route of several hubs; of ``p50`` and ``p95`` the greater: they have no sum."""
        return replace(
            self,
            calls=self.calls + other.calls,
            retries=self.retries + other.retries,
            statuses=MappingProxyType(dict(Counter(self.statuses) + Counter(other.statuses))),
            waited=self.waited + other.waited,
            seconds=self.seconds + other.seconds,
            p50=max(self.p50, other.p50),
            p95=max(self.p95, other.p95),
            sent_bytes=self.sent_bytes + other.sent_bytes,
            received_bytes=self.received_bytes + other.received_bytes,
        )


def text(rows: Sequence[RouteTraffic]) -> str:
    """Two lines a route: what it is and how its attempts ended, and the figures.

    A route too long for the line goes on in the next: nothing is left out.
    """
    if not rows:
        return "no calls"
    figures = [_figures(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(_HEAD, *figures, strict=True)]
    lines = [_line(_HEAD, widths)]
    for row, some in zip(rows, figures, strict=True):
        lines += _wrapped(f"{row.platform} {row.method} {row.route}: {_statuses(row.statuses)}")
        lines.append(_line(some, widths))
    return "\n".join(lines)


def html(rows: Sequence[RouteTraffic]) -> str:
    """The table that a notebook shows."""
    cells = [(row.platform, f"{row.method} {row.route}", *_figures(row), _statuses(row.statuses)) for row in rows]
    return html_table(("platform", "call", *_HEAD, "ended"), cells, noun="route")


def frame(rows: Sequence[RouteTraffic]) -> pd.DataFrame:
    """A pandas frame, a row a route. Raises ``ConfigError`` without pandas."""
    names = [field.name for field in fields(RouteTraffic)]
    made: pd.DataFrame = exact_frame(names, [[_cell(row, name) for name in names] for row in rows])
    return made


def _cell(row: RouteTraffic, name: str) -> Any:
    return _statuses(row.statuses) if name == "statuses" else getattr(row, name)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  " + "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _wrapped(line: str) -> list[str]:
    """A line, and what does not fit into it below, moved in by four."""
    rest = range(_COLUMNS, len(line), _COLUMNS - 4)
    return [line[:_COLUMNS], *["    " + line[start : start + _COLUMNS - 4] for start in rest]]


def _figures(row: RouteTraffic) -> tuple[str, ...]:
    return (
        f"{row.calls:,}",
        f"{row.retries:,}",
        _seconds(row.waited),
        _seconds(row.p50),
        _seconds(row.p95),
        size(row.sent_bytes),
        size(row.received_bytes),
    )


def _statuses(statuses: Mapping[int | str, int]) -> str:
    return ", ".join(f"{ended} x {count:,}" if count > 1 else str(ended) for ended, count in statuses.items())


def _seconds(seconds: float) -> str:
    """At most seven characters.

    >>> _seconds(0.0123), _seconds(4.2), _seconds(0.0)
    ('12.3 ms', '4.20 s', '0 s')
    """
    if seconds == 0:
        return "0 s"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.2f} s" if seconds < 100 else f"{seconds:,.0f} s"
