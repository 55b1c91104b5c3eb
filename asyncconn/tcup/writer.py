"""A stream of observations: written one by one, sent in chunks, in a spool if wanted. Contract: tcup section 2.4."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self

from asyncconn.batches import batched
from asyncconn.core.buffer.watching import Watched
from asyncconn.core.closing import each
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import AsyncConnError, ConfigError, InvalidRecord
from asyncconn.http.outgoing import json_body
from asyncconn.tcup.documents import document, observation
from asyncconn.tcup.envelope import ItemResult
from asyncconn.tcup.inserting import Seen
from asyncconn.tcup.rows import observation_of
from asyncconn.tcup.sending import MOST_BYTES, MOST_RECORDS, outcome_of

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
    from datetime import datetime
    from types import TracebackType

    from asyncconn.core.buffer.batch import Batch
    from asyncconn.core.buffer.receipts import BatchStats, FlushReport, Receipt
    from asyncconn.core.buffer.spool import Spool
    from asyncconn.core.events import Events
    from asyncconn.tcup.sending import Sender
    from asyncconn.tcup.values import Encoding

__all__ = ["Writer"]

_ENVELOPE = len(json_body(document([])))
_OF_A_RECORD = MOST_BYTES // MOST_RECORDS


def _weight(encoded: bytes) -> int:
    """Bytes of an observation, or its records' share of a chunk, where it has several."""
    records = encoded.count(b'"starttime":')
    return len(encoded) if records < 2 else max(len(encoded), records * _OF_A_RECORD)


class Writer(Watched, Unpicklable):
    """Takes observations and sends them in chunks, none later than two seconds after it was written.

        >>> async with tcup.observations.writer(spool="telemetry.spool") as writer:
        ...     await writer.write("ts1", {"obs1": 21.5}, "tf1")

    Leaving the block delivers what was accepted. With a ``spool``, a file's path, what :meth:`write` returned for is
    sent although the program is killed or the platform is away: by the next writer with that spool. Made by
    ``tcup.observations.writer``; several writers need a spool each.

    Chunks go one after the other. One whose outcome is unknown is sent again with a spool only: a value that SOS gets
    twice it overwrites with the same.
    """

    _elsewhere = "make a client there, and a writer of it"

    def __init__(
        self,
        connector: Any,
        sender: Sender,
        spool: str | os.PathLike[str] | Spool | None,
        value_encoding: Encoding,
        seen: Seen,
    ) -> None:
        self.connector = connector
        self._sender = sender
        self._spool = spool
        self._encoding: Encoding = value_encoding
        self._seen = seen

    @batched(
        max_items=MOST_RECORDS,
        max_bytes=MOST_BYTES,
        envelope=_ENVELOPE,
        size=_weight,
        spool=lambda writer: writer._spool,
        max_in_flight=1,  # what is written twice is overwritten by the later, in this order
    )
    async def observations(self, batch: Batch[dict[str, Any]]) -> None:
        """The buffer of observations, as SOS has them."""
        fates = await self._sender.send(batch.items)
        first = next((fate for fate in fates if isinstance(fate, AsyncConnError)), None)
        if first is not None and all(fate is first for fate in fates) and outcome_of(first) != "rejected":
            raise first
        for item, fate in zip(batch.items, fates, strict=bool(fates)):
            if fate is None:
                continue
            self._seen.forget(item)
            if outcome_of(fate) == "failed" or (isinstance(fate, ItemResult) and fate.code == 429):
                batch.again(item, after=1.0)
            else:
                batch.reject(item, fate)

    async def write(
        self,
        sensor: str,
        values: Mapping[str, Any],
        feature: str | None = None,
        *,
        time: datetime | str | None = None,
        endtime: datetime | str | None = None,
    ) -> Receipt | None:
        """Accept one observation, of now if no ``time`` is given, waiting for room if need be.

        Await the receipt to know that it has arrived; there is none for a duplicate, which is left out. Raises
        ``ConfigError`` for what cannot be sent, and what :meth:`asyncconn.Batches.put` raises.
        """
        return await self._take(
            observation(
                sensor,
                values,
                feature,
                time=self.connector.hub.clock.utcnow() if time is None else time,
                endtime=endtime,
                value_encoding=self._encoding,
                default_timezone=self.connector.default_timezone,
            )
        )

    async def deliver(self, rows: Iterable[Any] | AsyncIterable[Any], *, timeout: float | None = None) -> FlushReport:
        """Accept all of ``rows``, in each form that ``insert_many`` takes; flush, and report of these and no others.

        Raises ``InvalidRecord`` for one that is no observation, with its ``index``; those before it are on their way.
        """
        return await self.observations.deliver(self._made(rows), timeout=timeout)

    async def _made(self, rows: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[dict[str, Any], None]:
        index = 0
        async with aclosing(each(rows)) as found:
            async for row in found:
                try:
                    made = observation_of(row, self._encoding, self.connector.default_timezone)
                except ConfigError as error:
                    raise InvalidRecord(f"tcup: {error.message}", index=index) from error
                index += 1
                if self._seen.is_new(made):
                    yield made

    async def flush(self, timeout: float | None = None) -> FlushReport:
        """Send what was accepted so far at once, and wait for the outcome. The report is of all since the start."""
        return await self.observations.flush(timeout)

    async def aclose(self, timeout: float | None = None) -> FlushReport:
        """Take no more, and deliver what was accepted within ``timeout`` seconds. The hub does it where nobody has."""
        return await self.observations.aclose(timeout)

    @property
    def stats(self) -> BatchStats:
        """Totals, in which every observation is in one place at every moment."""
        return self.observations.stats

    @property
    def duplicates(self) -> int:
        """How many were left out, as all of their natural keys were among the last that were written."""
        return self._seen.duplicates

    @property
    def _events(self) -> Events:
        return self.observations._events

    async def __aenter__(self) -> Self:
        await self.observations.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _take(self, item: dict[str, Any]) -> Receipt | None:
        return await self.observations.put(item) if self._seen.is_new(item) else None
