"""Observations: what sensors saw, in and out. Contract: tcup sections 2.2 to 2.8, 13.3, 13.14, 13.15."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.core.rates.limiter import RateLimiter
from asyncconn.core.rates.windows import Part, TokenBucket, Window
from asyncconn.errors import ConfigError, ProtocolError
from asyncconn.tcup.csv_files import CsvReport, Lines, save_csv
from asyncconn.tcup.documents import payload
from asyncconn.tcup.inserting import Inserting, InsertReport, Seen
from asyncconn.tcup.names import one_or_several
from asyncconn.tcup.patterns import Names, only
from asyncconn.tcup.resources.base import SosNoun
from asyncconn.tcup.resources.query import Rows
from asyncconn.tcup.rows import Row, observation_of
from asyncconn.tcup.sending import Sender
from asyncconn.tcup.tables import Counts
from asyncconn.tcup.times import SOS, read_time
from asyncconn.tcup.writer import Writer

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterable, Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from asyncconn.core.buffer.spool import Spool
    from asyncconn.core.progress import OnProgress
    from asyncconn.http.response import Response
    from asyncconn.tcup.calling import Service
    from asyncconn.tcup.envelope import ItemResult
    from asyncconn.tcup.values import Encoding

__all__ = ["Observations"]

Routing = Literal["db", "mq", "both"]


class Observations(SosNoun):
    """Insert and query observations.

    >>> await tcup.observations.insert("ts1", {"obs1": 1}, "tf1")
    >>> async for row in tcup.observations.query(sensor="ts1"): ...
    """

    def __init__(self, service: Service, connector: Any) -> None:
        super().__init__(service)
        self.connector = connector

    @property
    def _zone(self) -> str | None:
        zone: str | None = self.connector.default_timezone
        return zone

    async def insert(
        self,
        sensor: str,
        values: Mapping[str, Any],
        feature: str | None = None,
        *,
        time: datetime | str | None = None,
        endtime: datetime | str | None = None,
        routing: Routing | None = None,
        value_encoding: Encoding = "string",
    ) -> ItemResult:
        """Store one observation, and return its result.

        ``routing`` says where it goes: ``"db"`` (the store), ``"mq"`` (message routing) or ``"both"``; else the server
        decides. Other arguments are those of :func:`asyncconn.tcup.payload`. Raises what a refusal means, also one that
        SOS hides in a 200: ``NotFound`` for a sensor that is not registered, ``BadRequest`` for an output it has not;
        ``MaybeSent`` when the answer was lost. Contract: sections 2.3, 2.4.
        """
        document = payload(
            sensor,
            values,
            feature,
            time=self._caller.clock.utcnow() if time is None else time,
            endtime=endtime,
            value_encoding=value_encoding,
            default_timezone=self._zone,
        )
        return await self._write("observations.insert", json=document, headers=routed(routing))

    async def insert_many(
        self,
        rows: Iterable[Any] | AsyncIterable[Any],
        *,
        routing: Routing | None = None,
        value_encoding: Encoding = "string",
        dedupe_window: int = 0,
        on_progress: OnProgress | None = None,
    ) -> InsertReport:
        """Store all of ``rows``, in chunks of 500 records or 1 MiB, one after the other; an outcome for each.

            >>> report = await tcup.observations.insert_many([("ts1", {"obs1": 1}, "tf1"), ("tsX", {"obs1": 2}, "tf1")])
            >>> report.delivered, [(one.record, one.reason.code) for one in report.rejections]
            (1, [(('tsX', {'obs1': 2}, 'tf1'), 404)])

        A row is ``(sensor, {output: value}, feature, time)``, of which the last two may be left out; an observation as
        SOS has it; or a row of :meth:`query`. ``rows`` may be endless, and is closed. One that is no observation is
        rejected, and the others go on. A chunk whose answer was lost is unknown, and not sent again.

        With ``dedupe_window`` a row is left out when all of its outputs (sensor, feature, start time and name) are
        among that many that went before. ``on_progress`` hears of rows that have an outcome.

        Contract: sections 2.3, 2.4, 13.14.
        """
        sender = Sender(self._caller, routed(routing))
        return await self._insert(sender, rows, value_encoding, dedupe_window, on_progress)

    async def backfill(
        self,
        rows: Iterable[Any] | AsyncIterable[Any],
        *,
        share: float = 0.5,
        value_encoding: Encoding = "string",
        dedupe_window: int = 0,
        on_progress: OnProgress | None = None,
    ) -> InsertReport:
        """:meth:`insert_many` for the past: takes no more than ``share`` of the account's rate, and of its places.

        The rest is left to what is live, whatever waits here. Chunks travel side by side, so that a later row of the
        same sensor, feature and time may be stored before an earlier one.
        """
        given: Any = share
        if not isinstance(given, int | float) or not 0 < share <= 1:
            raise ConfigError(f"share is more than 0 and at most 1, not {share!r}")
        sender = Sender(self._caller, {}, self._pace(share))
        return await self._insert(
            sender,
            rows,
            value_encoding,
            dedupe_window,
            on_progress,
            at_once=max(1, int(self.connector.places * share)),
        )

    async def _insert(
        self,
        sender: Sender,
        rows: Iterable[Any] | AsyncIterable[Any],
        value_encoding: Encoding,
        dedupe_window: int,
        on_progress: OnProgress | None,
        at_once: int = 1,
    ) -> InsertReport:
        zone, clock = self._zone, self._caller.clock

        def make(row: Any) -> dict[str, Any]:
            return observation_of(row, value_encoding, zone)

        inserting = Inserting(sender, make, Seen(dedupe_window), clock, at_once=at_once, on_progress=on_progress)
        return await inserting.run(rows)

    def _pace(self, share: float) -> RateLimiter | None:
        """A limiter with a share of what the account's default one allows."""
        limiter = self._caller.http.limiters.get("default")
        made: list[Part] = []
        for part in () if limiter is None else limiter.parts:
            some = max(1, int(part.limit * share))
            if isinstance(part, TokenBucket):
                made.append(TokenBucket(part.rate * share, some, name=part.name))
            elif isfinite(part.period):
                made.append(Window(some, part.period, name=part.name))
        return RateLimiter(*made, name="tcup.backfill", clock=self._caller.clock) if made else None

    def writer(
        self,
        *,
        spool: str | os.PathLike[str] | Spool | None = None,
        routing: Routing | None = None,
        value_encoding: Encoding = "string",
        dedupe_window: int = 0,
    ) -> Writer:
        """Where a stream of observations is written one by one: sent in chunks, two seconds after it at the latest.

            >>> async with tcup.observations.writer(spool="telemetry.spool") as writer:
            ...     await writer.write("ts1", {"obs1": 21.5}, "tf1")

        ``spool`` is a file that keeps what was written until it has arrived. Other arguments as in :meth:`insert_many`.
        """
        sender = Sender(self._caller, routed(routing))
        return Writer(self.connector, sender, spool, value_encoding, Seen(dedupe_window))

    def query(
        self,
        *,
        sensor: Names = None,
        feature: Names = None,
        properties: Names = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        where: Names = None,
        order: Literal["asc", "desc"] = "asc",
        page_size: int = 1000,
    ) -> Rows:
        """The rows of what was seen: a pager, and with :meth:`Rows.frame` a table.

            >>> frame = await tcup.observations.query(sensor="ts1", start=yesterday).frame()

        ``sensor`` and ``feature`` are names, of which at least one is needed; a :class:`Pattern` may hold ``*``.
        ``properties`` are the outputs to keep. ``start`` (inclusive) and ``end`` (exclusive) bound the start time.
        ``where`` are conditions on values, all of which hold: ``"obs2>10"``, with ``=``, ``!=``, ``>``, ``<``, ``>=``,
        ``<=``. ``page_size`` is 1 to 10,000 records. Contract: sections 2.6, 13.3, 13.15, 13.36.
        """
        if type(page_size) is not int or not 1 <= page_size <= 10_000:
            raise ConfigError(f"page_size is 1 to 10,000 records, not {page_size!r}")
        params = self._conditions(sensor, feature, properties, start, end, where)
        params.update(order=order, limit=page_size)
        return self._rows(
            "observations.query", params, one_or_several(sensor, "sensor"), one_or_several(feature, "feature")
        )

    async def latest(self, *, sensor: Names = None, feature: Names = None, properties: Names = None) -> list[Row]:
        """The newest record of each sensor and feature, as rows. Arguments as in :meth:`query`."""
        params = self._conditions(sensor, feature, properties, None, None, None)
        return await self._rows(
            "observations.latest", params, one_or_several(sensor, "sensor"), one_or_several(feature, "feature")
        ).collect()

    async def upload_csv(
        self,
        source: str | os.PathLike[str] | bytes,
        *,
        on_unknown: Literal["error", "ignore"] = "error",
        on_progress: OnProgress | None = None,
    ) -> CsvReport:
        """Store the lines of a CSV file, read and sent in chunks; one that is bad is reported, and the others go on.

            >>> report = await tcup.observations.upload_csv("series.csv")
            >>> report.bad_lines
            (BadLine(number=7, message='it names no sensor'),)

        ``source`` is a path, or the bytes of a file, in UTF-8. Its header has ``sensor``, ``starttime``, ``name`` and
        ``value``, and may have ``feature``, ``endtime``, ``type`` and ``unit``: a line for each output. Without
        ``name`` and ``value`` every other column is an output. A time is ISO 8601, or as SOS writes it.
        ``on_unknown="ignore"`` leaves out columns that nobody knows. ``on_progress`` hears of lines that have an
        outcome, as rows. Raises ``ConfigError`` for a file or a header that cannot be. Contract: sections 2.7, 13.22.
        """
        lines = Lines(source, on_unknown, self._zone)
        sender = Sender(self._caller, {})
        inserting = Inserting(sender, lines.observation, Seen(), self._caller.clock, on_progress=on_progress)
        return CsvReport.of(await inserting.run(aiter(lines)))

    async def download_csv(
        self,
        to: str | os.PathLike[str],
        *,
        sensor: Names = None,
        feature: Names = None,
        properties: Names = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        where: Names = None,
        on_progress: OnProgress | None = None,
    ) -> Path | None:
        """Save what a query finds as a CSV file, which appears when it is complete, and can be uploaded again.

        None, and no file, where nothing was found. Arguments as in :meth:`query`; the server reads ``*`` in a name as
        any text. ``on_progress`` hears of bytes. Contract: sections 2.2, 13.21.
        """
        params = self._conditions(sensor, feature, properties, start, end, where)
        async with self._caller.stream("observations.download", params=params) as stream:
            return await save_csv(stream, to, on_progress)

    async def count(self) -> Counts:
        """How many sensors and features there are; with :meth:`Counts.table` as a table.

        >>> await tcup.observations.count()
        {'sensors': 2, 'features': 1}
        """
        found = await self._json("sos.capabilities")
        counts = found.get("count") if isinstance(found, dict) else None
        if not isinstance(counts, dict):
            raise ProtocolError("TCUP's capabilities have no counts")
        return Counts({name: _whole(counts.get(name), name) for name in ("sensors", "features")})

    def _conditions(
        self,
        sensor: Names,
        feature: Names,
        properties: Names,
        start: datetime | str | None,
        end: datetime | str | None,
        where: Names,
    ) -> dict[str, Any]:
        if not one_or_several(sensor, "sensor") and not one_or_several(feature, "feature"):
            raise ConfigError("a query names a sensor or a feature: SOS refuses any other")
        return {
            "sensor": [str(name) for name in one_or_several(sensor, "sensor")],
            "feature": [str(name) for name in one_or_several(feature, "feature")],
            "observedProperty": one_or_several(properties, "properties"),
            "starttime": self._time("start", start),
            "endtime": self._time("end", end),
            "value": one_or_several(where, "where"),
        }

    def _time(self, what: str, given: datetime | str | None) -> str | None:
        try:
            if given is None:
                return None
            return SOS.write(read_time(given) if isinstance(given, str) else given, default_zone=self._zone)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{what}: {error}") from error

    def _rows(self, name: str, params: dict[str, Any], sensors: list[str], features: list[str]) -> Rows:
        wanted = [
            (member, keep)
            for member, names in (("sensor", sensors), ("feature", features))
            if (keep := only(names)) is not None
        ]

        async def ask(cursor: Any) -> Response:
            # A cursor belongs to the query that it came from, which is repeated with it (13.3).
            return await self._caller.request(name, params=params if cursor is None else {**params, "cursor": cursor})

        return Rows(ask, wanted)


def routed(routing: Routing | None) -> dict[str, str]:
    """The header that says where an observation goes."""
    if routing is None:
        return {}
    if routing not in ("db", "mq", "both"):
        raise ConfigError(f"routing is 'db', 'mq' or 'both', not {routing!r}")
    return {"x-routing": routing}


def _whole(value: Any, name: str) -> int:
    if type(value) is not int:
        raise ProtocolError(f"TCUP's capabilities count {name} with {type(value).__name__}")
    return value
