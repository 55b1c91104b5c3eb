"""What went over the road, by route: calls, answers, repetitions, waits, how long answers took, and bytes."""

from __future__ import annotations

import math
import re
import threading
from collections import Counter, deque
from types import MappingProxyType
from typing import TYPE_CHECKING

from asyncconn.core.unpicklable import Unpicklable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from asyncconn.http.request import Call
    from asyncconn.http.route_traffic import RouteTraffic

__all__ = ["OTHER", "Counting", "Traffic"]

#: The route of all calls beyond the first 500 routes of a hub.
OTHER = "{other}"

_MOST = 500  # routes
_PATHS = 1_000  # of a platform, whose routes are known
_FRESH = 256  # attempts of a route that are added up together
_LATEST = 500  # attempts of a route that p50 and p95 are of
_adding = threading.Lock()  # the newest attempts of a route are added up by its loop, and by who reads elsewhere
# A word, camelCase and abbreviations included: a random id of mixed case has shorter runs of small letters.
_SHORT = r"By|Id|In|Of|On|To|(?<![A-Z])[A-Z]{2,6}s?(?![a-z]|[A-Z]{2})"
_PIECE = rf"(?:[A-Z]?[a-z]{{1,20}}|[A-Z]{{1,20}}s?)(?:[A-Z][a-z]{{2,19}}|{_SHORT})*"
_WORD = re.compile(rf"(?=[A-Za-z_.~-]{{1,32}}\Z){_PIECE}(?:[_.~-]+{_PIECE})*[_.~-]*|v\d{{1,3}}|\{{\w+\}}").fullmatch


class Traffic(Unpicklable):
    """The calls of a hub by route, from its beginning: ``hub.traffic``. Iterate for the rows; print it for a table.

    It can be read in any thread.

    >>> for row in hub.traffic:
    ...     print(row.platform, row.method, row.route, row.calls, row.statuses)
    """

    _elsewhere = "hand over its rows: list(hub.traffic)"

    def __init__(self) -> None:
        self._platforms: dict[str, Counting] = {}

    def __len__(self) -> int:
        return sum(len(counting.rows) for counting in self._platforms.copy().values())

    def __iter__(self) -> Iterator[RouteTraffic]:
        """The rows as they are now, by platform, route and method."""
        rows = [  # of copies: to copy is one step, and the hub's loop may add some meanwhile
            row.shown(platform, method, route)
            for platform, counting in self._platforms.copy().items()
            for (method, route), row in counting.rows.copy().items()
        ]
        return iter(sorted(rows, key=lambda row: (row.platform, row.route, row.method)))

    def __repr__(self) -> str:
        return f"<Traffic of {sum(row.calls for row in self)} calls over {len(self)} routes>"

    def __str__(self) -> str:
        """A table of 80 columns."""
        from asyncconn.http.route_traffic import text

        return text(list(self))

    def _repr_html_(self) -> str:
        from asyncconn.http.route_traffic import html

        return html(list(self))

    def frame(self) -> pd.DataFrame:
        """The rows as a pandas frame. Raises ``ConfigError`` without pandas."""
        from asyncconn.http.route_traffic import frame

        return frame(list(self))

    def of(self, platform: str) -> Counting:
        """What a road counts with."""
        return self._platforms.get(platform) or self._platforms.setdefault(platform, Counting(self))


class Counting:
    """The routes of one platform, being counted. Of what every request does it is to be a hundredth part at most."""

    __slots__ = ("_known", "_traffic", "rows")

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self.rows: dict[tuple[str, str], _Row] = {}  # by method and route
        self._known: dict[tuple[str, str], _Row] = {}  # and by paths that were seen, to be quick

    def count(self, call: Call, ended: int | str, seconds: float, received: int) -> None:
        """An attempt of ``call`` has ended: with a status, or in an error of that name."""
        try:
            row = self._known[call.method, call.route or call.path]
        except KeyError:
            row = self._row(call)
        fresh = row.fresh
        fresh.append((ended, seconds, received))
        if call.body is not None:
            row.sent += call.body_size
        if call.tries:
            row.retries += 1
        if len(fresh) >= _FRESH:
            row.fold()

    def wait(self, call: Call, seconds: float) -> None:
        """A call has waited for its rate."""
        self._row(call).waited += seconds

    def receive(self, call: Call, size: int) -> None:
        """A stream that was counted when it opened has brought so many bytes."""
        self._row(call).streamed += size

    def _row(self, call: Call) -> _Row:
        key = call.method, call.route or route_of(call.path)
        row = self.rows.get(key)
        if row is None:
            if len(self._traffic) >= _MOST:
                key = call.method, OTHER
            row = self.rows.setdefault(key, _Row())
        if len(self._known) >= _PATHS:
            self._known.clear()
        self._known[call.method, call.route or call.path] = row
        return row


class _Row:
    """One route. The newest attempts are kept as they came: to add up many at once costs a third."""

    __slots__ = (
        "attempts",
        "fresh",
        "received",
        "retries",
        "seconds",
        "sent",
        "statuses",
        "streamed",
        "took",
        "waited",
    )

    def __init__(self) -> None:
        self.attempts = self.retries = self.sent = self.received = self.streamed = 0
        self.seconds = self.waited = 0.0
        self.statuses: Counter[int | str] = Counter()
        self.took: deque[float] = deque(maxlen=_LATEST)
        self.fresh: list[tuple[int | str, float, int]] = []

    def fold(self) -> None:
        """Add up the newest attempts."""
        with _adding:
            self._fold()

    def _fold(self) -> None:
        number = len(self.fresh)  # others may come at the end meanwhile
        if number:
            ended, seconds, received = zip(*self.fresh[:number], strict=True)
            del self.fresh[:number]
            self.attempts += number
            self.statuses.update(ended)
            self.seconds += sum(seconds)
            self.took.extend(seconds)
            self.received += sum(received)

    def shown(self, platform: str, method: str, route: str) -> RouteTraffic:
        retries = self.retries  # before the attempts, or a repetition might be there without its own
        with _adding:
            self._fold()
            attempts, statuses, seconds, received = self.attempts, self.statuses.copy(), self.seconds, self.received
            took = sorted(self.took)
        from asyncconn.http.route_traffic import RouteTraffic

        return RouteTraffic(
            platform,
            method,
            route,
            calls=attempts - retries,
            retries=retries,
            statuses=MappingProxyType(dict(sorted(statuses.items(), key=lambda item: str(item[0])))),
            waited=self.waited,
            seconds=seconds,
            p50=_quantile(took, 0.5),
            p95=_quantile(took, 0.95),
            sent_bytes=self.sent,
            received_bytes=received + self.streamed,
        )


def _quantile(took: list[float], share: float) -> float:
    """What ``share`` of the values in order do not exceed; 0 of none."""
    return took[math.ceil(share * len(took)) - 1] if took else 0.0


def route_of(path: str) -> str:
    """A path with holes in place of what looks like an id: all that is no word, and no version.

    A word is of letters, at most 20 in a row, in camelCase or not: an id like that cannot be told from one, and stays.

    >>> route_of("/v1/orders/7f3a/items/12"), route_of("/v1/shares/aBcDeFgHiJkL"), route_of("/users/alice/findById")
    ('/v1/orders/{}/items/{}', '/v1/shares/{}', '/users/alice/findById')
    """
    return "/".join([part if not part or _WORD(part) else "{}" for part in path.split("/")])
