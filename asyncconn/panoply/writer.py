"""The streaming writer: records in one by one, out in batches within two seconds, every one accounted for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import (
    AsyncIterable,
    Callable,
    Generator,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack

from asyncconn.connector import Connector, Platform
from asyncconn.core.buffer.delivering import delivered
from asyncconn.core.buffer.figures import BufferFigures
from asyncconn.core.buffer.memory import Batch, BatchBuffer, BatchPolicy, BatchStats, FlushReport, Receipt
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.buffer.spooled import SpooledBuffer
from asyncconn.core.buffer.watching import Watched
from asyncconn.core.closing import closing_iterator
from asyncconn.core.extras import needed
from asyncconn.core.retrying import RetryPolicy
from asyncconn.core.secret import Concealed, Secret, secret
from asyncconn.core.shown import Shown
from asyncconn.core.words import count
from asyncconn.errors import ConfigError, InvalidRecord
from asyncconn.http.auth import Auth
from asyncconn.http.transport import Timeouts
from asyncconn.panoply import wire
from asyncconn.panoply.encoding import decode_record, encode_records, record_encoder
from asyncconn.panoply.frames import frame_records
from asyncconn.panoply.keys import record_key, record_keys, stored_key
from asyncconn.panoply.senders import FormSender, Sender, SqsSender
from asyncconn.panoply.settings import PanoplySettings
from asyncconn.rows import read_rows
from asyncconn.settings import load

if TYPE_CHECKING:
    import os

    from asyncconn.core.buffer.protocol import Buffer
    from asyncconn.core.events import Events
    from asyncconn.core.row_files import RowOptions
    from asyncconn.hub import Hub

__all__ = ["Panoply", "Table", "WriteReport"]

_KNOWN = 1_000  # tables whose encoders are kept at hand
_CHUNK = 256  # records encoded at a time by write_many
_TABLES = 5  # tables that the message of a failed batch names
_SPOOLED = 128 * 1024  # bytes of records that write_many gathers for one commit of the spool

T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class WriteReport(Shown):
    """What a ``write_many`` accepted: how many ``records``, and the ``receipts`` of the batches they went into."""

    records: int
    receipts: tuple[Receipt, ...]


class Panoply(Watched, Connector):
    """Streams records into Panoply.

        >>> async with Panoply(api_key, api_secret) as panoply:
        ...     await panoply.write("events", {"id": 1, "name": "start"})

    ``write`` returns as soon as the record is accepted; it leaves within ``policy.max_age`` (2 seconds), and
    leaving the block delivers the rest. A batch is one SQS message of at most ``max_message_bytes``. One that fails
    is repeated by ``retry``; when that ends, its records come with the ``error`` event, its receipt fails, and
    ``stats`` count them.

    Delivery is at least once: an answer that got lost makes a batch go out again. Give records an ``id``, by which the
    platform recognises them. Those of one table and ``id`` take effect in the order in which they were written: a batch
    waits while an earlier one that shares an id with it is waiting, under way, or to be tried again.

    ``endpoint_url`` replaces the address that the secret leads to (sandbox, proxy, another SQS); ``sender`` is
    ``"form"``, the original's own request on the shared session, or ``"sqs"``, AWS's client on the shared
    connector, unsigned or with ``aws_credentials`` (access key and secret key, or ``"default"`` for AWS's own
    chain).

    ``spool`` is a path, or a :class:`~asyncconn.core.buffer.Spool`: a record is then in that file before its ``write``
    returns and until it has arrived, and what a killed program left there is sent first by the next one. A crash makes
    at most the batches under way (``policy.max_in_flight``) arrive twice. A ``Spool`` that is open already is not
    closed here.

    Raises ``ConfigError`` for a key or secret that does not decode. Contract: panoply sections 1 to 5, 13.
    """

    platform = Platform(
        "panoply",
        # A lost batch is worse than one that arrives twice.
        retry=RetryPolicy(attempts=6, maybe_sent="always", deadline=60.0),
        timeouts=Timeouts(connect=10.0, total=20.0),
        rules=wire.SqsRules(),
        max_concurrency=100,  # each writer bounds its own batches under way
    )

    def __init__(
        self,
        api_key: str | Concealed,
        api_secret: str | Concealed,
        *,
        hub: Hub | None = None,
        endpoint_url: str | None = None,
        sender: Literal["form", "sqs"] = "form",
        policy: BatchPolicy | None = None,
        max_message_bytes: int = wire.DEFAULT_MAX_MESSAGE_BYTES,
        client_name: str = wire.DEFAULT_CLIENT_NAME,
        aws_credentials: tuple[str, str] | Literal["default"] | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        spool: str | os.PathLike[str] | Spool | None = None,
    ) -> None:
        api_key, api_secret = secret(api_key), secret(api_secret)  # masked wherever this frame is shown
        credentials = wire.parse_credentials(api_key, api_secret)
        attributes = wire.message_attributes(credentials, client_name)
        room = max_message_bytes - wire.attributes_size(attributes)
        if room < 1:
            raise ConfigError(f"max_message_bytes of {max_message_bytes} leaves no room beside the attributes")
        policy = policy or BatchPolicy(max_bytes=room)
        if sender not in ("form", "sqs"):
            raise ConfigError(f"sender must be 'form' or 'sqs', not {sender!r}")
        if sender == "sqs":
            needed("aiobotocore", "sqs")
        super().__init__(
            hub=hub,
            base_url=endpoint_url or credentials.endpoint_url,
            retry=retry,
            timeouts=timeouts,
            auth=_KeyInBody(credentials.api_key, credentials.api_secret),
            redactor=credentials.redactor,
        )
        #: Bytes that a message has for its records; each takes its JSON and a few more.
        self.room: int = min(policy.max_bytes, room)
        self._sender: Sender
        if sender == "form":
            self._sender = FormSender(self.http, credentials.queue_path, attributes)
        else:
            self._sender = SqsSender(
                self.hub,
                self.http,
                credentials.queue_path,
                attributes,
                region=credentials.region,
                credentials=aws_credentials,
            )
        self.spool = spool if spool is None or isinstance(spool, Spool) else Spool(spool)
        options: dict[str, Any] = {
            "size": len,
            "overhead": wire.RECORD_OVERHEAD,
            "policy": replace(policy, max_bytes=self.room),
            "reveal": decode_record,
            "describe": _described,
            "clock": self.hub.clock,
            "watching": self.hub.watching,
            "name": self.platform.name,
            "retry": self._retry,
        }
        self._buffer: Buffer[bytes]
        if self.spool is None:
            self._buffer = BatchBuffer(self._send, **options)
        else:
            owner = hashlib.sha256(credentials.account.encode()).hexdigest()[:16]
            self._buffer = SpooledBuffer(self._send, self.spool, owner=owner, key=stored_key, **options)
        self._offer = self._buffer.offer
        self._known: dict[str, tuple[Callable[[Mapping[Any, Any]], bytes], str]] = {}

    @classmethod
    def from_env(cls, *, hub: Hub | None = None, **options: Any) -> Self:
        """From ``ASYNCCONN_PANOPLY_API_KEY``, ``..._API_SECRET``, ``..._ENDPOINT_URL``, ``..._SENDER``, ``..._SPOOL``
        or ``.env``.

        ``options`` are the constructor's. Raises ``ConfigError`` naming what is missing.
        """
        settings = load(PanoplySettings)
        given = {
            "endpoint_url": settings.endpoint_url,
            "sender": settings.sender,
            "spool": settings.spool or None,
            **options,
        }
        return cls(settings.api_key, settings.api_secret, hub=hub, **given)

    def figures(self) -> Iterable[BufferFigures]:
        """Those of its buffer."""
        spool = None if self.spool is None else self.spool.stats
        return [BufferFigures(self.platform.name, self._buffer.stats, spool, self._buffer.full)]

    def __repr__(self) -> str:
        return f"<Panoply at {self.http.base_url}, {count(self._buffer.stats.pending, 'record')} pending>"

    async def open(self) -> Self:
        """Open a private hub, and the spool: what an earlier program left in it begins to leave.

        Raises ``SpoolError`` and its kinds, ``ConfigError`` for another account's spool, and ``HubNotOpen``.
        """
        buffer = self._buffer
        if self.spool is not None and not self._owns_hub:
            self.hub.check()
        await buffer.prepare()  # before the hub: a spool that is refused leaves nothing open
        try:
            await super().open()
        except BaseException:
            await buffer.abandon()
            raise
        await buffer.open()
        return self

    async def _send(self, batch: Batch[bytes]) -> wire.SentMessage:
        return await self._sender.send(batch.items)

    # -- writing -------------------------------------------------------------------------------------------------------

    async def write(self, table: str, record: Mapping[Any, Any]) -> Receipt:
        """Accept one record for ``table``; it leaves within two seconds while one of the senders is free, unless an
        earlier record of its id is still under way.

        Waits only when the buffer is full, and for the disk where there is a spool.

        The record is encoded here, so it may be changed afterwards. Await the receipt to know that it has arrived.

        Raises ``InvalidRecord`` (with the path of the value), ``RecordTooLarge``, ``BufferClosed``, ``BufferFull``
        if the policy says so, ``SpoolError`` (with a spool), ``HubNotOpen``, ``HubClosed``, ``WrongLoop``. In each
        case nothing of this record is sent.
        """
        try:
            encode, space = self._known[table]
        except (KeyError, TypeError):
            encode, space = self._learn(table)
        item = encode(record)
        key = record.get("id")
        if type(key) is not int:
            key = record_key(record, item)
        offer = self._offer  # a call of an attribute costs twice that of a name
        return offer(item, key, space) or await self._put(item, key, space)

    def _learn(self, table: str) -> tuple[Callable[[Mapping[Any, Any]], bytes], str]:
        """A table's encoder and space, kept for the next of its records. Raises ``InvalidRecord``."""
        known = record_encoder(table), table.lower()
        if len(self._known) < _KNOWN:
            self._known[table] = known
        return known

    def write_nowait(self, table: str, record: Mapping[Any, Any]) -> Receipt:
        """:meth:`write` from code that cannot await: raises ``BufferFull`` instead of waiting.

        On the loop's own thread. ``LifecycleError`` with a spool: a record cannot be on disk without waiting.
        """
        item = record_encoder(table)(record)
        key, space = record_key(record, item), table.lower()
        receipt = self._buffer.offer(item, key, space)
        if receipt is None:
            self.hub.check()
            receipt = self._buffer.put_nowait(item, key, space)
        return receipt

    async def write_many(
        self, table: str, records: Iterable[Mapping[Any, Any]] | AsyncIterable[Mapping[Any, Any]]
    ) -> WriteReport:
        """Accept many records, in order, at less cost for each; waits whenever the buffer is full.

        When it stops early, a generator is closed before this returns, so that its cursor or file is closed too.
        An error carries the ``index`` of the record that caused it; those before it are accepted and will arrive.
        """
        receipts: dict[Receipt, None] = {}
        taken = 0
        try:
            if isinstance(records, AsyncIterable):
                async with closing_iterator(aiter(records)) as found:
                    async for record in found:
                        receipts[await self.write(table, record)] = None
                        taken += 1
            else:
                space = str(table).lower()
                for items, keys, failure in self._encoded(table, records):
                    for receipt in await self._put_many(items, keys, space):
                        receipts[receipt] = None
                    taken += len(items)
                    if failure is not None:
                        raise failure
        except InvalidRecord as error:
            if error.index is None or not isinstance(records, AsyncIterable):  # a file knows the number of its row
                error.index = taken + (error.index or 0)
            raise
        finally:
            if isinstance(records, Generator):
                records.close()
        return WriteReport(taken, tuple(receipts))

    def _encoded(
        self, table: str, records: Iterable[Mapping[Any, Any]]
    ) -> Iterator[tuple[list[bytes], list[Hashable] | None, Exception | None]]:
        """Encoded records some at a time, with their keys: a few for the buffer, more for a spool.

        An error comes with those before.
        """
        items: list[bytes] = []
        keys: list[Hashable] = []
        size = 0
        try:
            for some in _chunks(records):
                more, failure = encode_records(table, some)
                known = record_keys(some, more)
                if self.spool is None:
                    yield more, known, failure
                    continue
                items += more
                keys += known or [None] * len(more)
                size += sum(map(len, more))
                if failure is not None or size >= _SPOOLED:
                    yield items, keys, failure
                    items, keys, size = [], [], 0
        except Exception as error:  # noqa: BLE001 - the iterable's own, raised by whoever takes this
            yield items, keys, error
            return
        if items:
            yield items, keys, None

    async def _put_many(self, items: Sequence[bytes], keys: Sequence[Hashable] | None, space: str) -> list[Receipt]:
        if (receipt := self._buffer.offer_many(items, keys, space)) is not None:
            return [receipt]
        self.hub.check()
        return await self._buffer.put_many(items, keys, space)

    def table(self, name: str) -> Table:
        """A table as a sink, for what delivers rows somewhere. Raises ``InvalidRecord`` for what is not a name."""
        return Table(self, name)

    async def write_file(self, path: str | os.PathLike[str], table: str, **how: Unpack[RowOptions]) -> WriteReport:
        """Accept every row of a file: CSV, JSON lines, JSON or Parquet, as :func:`~asyncconn.read_rows` reads it.

            >>> report = await panoply.write_file("day.jsonl.gz", "events")
            >>> report = await panoply.write_file("day.csv", "events", types=True, delimiter=";")

        The values of CSV are texts without ``types``. Raises what ``read_rows`` and :meth:`write_many` raise, with the
        ``index`` of the row; those before it are accepted. :func:`asyncconn.panoply.check_file` looks at all of it
        before anything is sent.
        """
        async with aclosing(read_rows(path, **how)) as rows:
            return await self.write_many(table, rows)

    async def write_frame(self, table: str, frame: Any, *, index: bool = False) -> WriteReport:
        """Accept every row of a pandas ``DataFrame``, columns by name; with ``index=True`` its index too.

        NaN becomes null.
        """
        return await self.write_many(table, frame_records(frame, index=index))

    async def _put(self, item: bytes, key: Hashable, space: str) -> Receipt:
        self.hub.check()
        return await self._buffer.put(item, key, space)

    # -- watching and ending -------------------------------------------------------------------------------------------

    @property
    def _events(self) -> Events:
        return self._buffer.events

    @property
    def stats(self) -> BatchStats:
        """Totals, in which every record is in one place at every moment; ``spool.stats`` tells of the file."""
        return self._buffer.stats

    async def flush(self, timeout: float | None = None) -> FlushReport:
        """Send what was accepted so far at once, and wait for the outcome, ``timeout`` seconds at most."""
        return await self._buffer.flush(timeout)

    async def drain(self, timeout: float) -> FlushReport:
        """Take no more, and deliver what was accepted. The hub calls this when it closes."""
        try:
            return await self._buffer.aclose(timeout)
        finally:
            await self._sender.aclose()


class _KeyInBody(Auth):
    """Shows nothing of its own, as key and secret are a part of each message, and knows whose account it is."""

    def __init__(self, *secrets: Secret) -> None:
        self._secrets = secrets

    def secrets(self) -> Sequence[Secret]:
        """Key and secret."""
        return self._secrets


class Table:
    """A table of the platform as a sink: ``panoply.table("series")``."""

    def __init__(self, panoply: Panoply, name: str) -> None:
        record_encoder(name)  # raises for what is no name
        self._panoply = panoply
        self.name = name

    def __repr__(self) -> str:
        return f"<Table {self.name!r} of {self._panoply!r}>"

    async def deliver(
        self,
        rows: Iterable[Mapping[Any, Any]] | AsyncIterable[Mapping[Any, Any]],
        *,
        timeout: float | None = None,
    ) -> FlushReport:
        """Write all ``rows``, flush, and report what became of these and no others.

        ``timeout`` bounds, in seconds, the wait after the last was accepted; the default is ``policy.drain_timeout``.
        What has no outcome by then is pending. Raises as :meth:`Panoply.write_many`.

            >>> report = await panoply.table("series").deliver(read_rows("series.jsonl"))
        """
        panoply = self._panoply
        return await delivered(rows, partial(panoply.write, self.name), panoply._buffer, panoply.hub.clock, timeout)


def _described(records: Sequence[Mapping[str, Any]]) -> str:
    """What a failed batch held: by table, the one with the most records first."""
    tables = Counter(str(record["__table"]) for record in records).most_common()
    if len(tables) == 1:
        return f"records of table {tables[0][0]!r}"
    shown = ", ".join(f"{name!r} ({number})" for name, number in tables[:_TABLES])
    return f"records of tables {shown}{' and others' if len(tables) > _TABLES else ''}"


def _chunks(records: Iterable[Mapping[Any, Any]]) -> Iterator[list[Mapping[Any, Any]]]:
    """The records some at a time. What came before an error of the iterable comes before the error."""
    if type(records) is list:
        start = 0
        while chunk := records[start : start + _CHUNK]:
            yield chunk
            start += _CHUNK
        return
    iterator = iter(records)
    while True:
        some: list[Mapping[Any, Any]] = []
        try:
            for record in islice(iterator, _CHUNK):
                some.append(record)  # noqa: PERF402 - list() would lose what came before an error
        except Exception:
            yield some
            raise
        if not some:
            return
        yield some
