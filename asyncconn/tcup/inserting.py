"""Many observations in one call: cut into chunks, sent, accounted for one by one. Contract: tcup sections 2.4, 11."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterable, Generator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from asyncconn.core.buffer.accounts import Newest
from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.core.closing import each
from asyncconn.core.progress import OnProgress, Progress, telling
from asyncconn.core.tasks import together
from asyncconn.errors import AsyncConnError, ConfigError, DeliveryFailed, outcome_unknown
from asyncconn.tcup.sending import MOST_RECORDS, outcome_of
from asyncconn.tcup.times import SOS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from asyncconn.core.clock import Clock
    from asyncconn.tcup.sending import Fate, Sender

__all__ = ["InsertReport", "Inserting", "Seen", "natural_keys"]


@dataclass(frozen=True, slots=True, repr=False)
class InsertReport(FlushReport):
    """What became of the rows of one call. ``duplicates`` were seen before and left out: they are none of the others.

    The ``record`` of each of ``rejections`` is the row as it was given, the ``reason`` an ``ItemResult`` or an error.
    """

    duplicates: int = 0


def natural_keys(observation: Any) -> list[tuple[Any, Any, Any, str]]:
    """What makes each output of an observation the same as another: sensor, feature, time and name."""
    sensor, feature = observation.get("sensor"), observation.get("feature")
    return [
        (sensor, feature, _moment(record.get("starttime")), output.get("name", ""))
        for record in observation["record"]
        for output in record.get("output") or ()
    ]


def _moment(text: Any) -> Any:
    """However it is written, it is one time."""
    try:
        return SOS.read(text)
    except (AttributeError, TypeError, ValueError):
        return text


class Seen:
    """The natural keys of the last outputs that were sent: ``window`` of them, 0 for none."""

    def __init__(self, window: int = 0) -> None:
        if type(window) is not int or window < 0:
            raise ConfigError(f"dedupe_window is a number of observed values, 0 or more, not {window!r}")
        self.window = window
        self._keys: OrderedDict[tuple[Any, Any, Any, str], None] = OrderedDict()
        self.duplicates = 0

    def is_new(self, observation: Any) -> bool:
        """Whether something of it has not been sent; then all of it counts as sent from now on."""
        if not self.window:
            return True
        keys = natural_keys(observation)
        if keys and all(key in self._keys for key in keys):
            self.duplicates += 1
            return False
        for key in keys:
            self._keys[key] = None
            self._keys.move_to_end(key)
        while len(self._keys) > self.window:
            self._keys.popitem(last=False)
        return True

    def forget(self, observation: Any) -> None:
        """It was not stored: the same once more is no duplicate."""
        if self.window:
            for key in natural_keys(observation):
                self._keys.pop(key, None)


class Inserting:
    """One call's rows. ``make`` turns a row into an observation; where it cannot, the row is rejected, with its error.

    Chunks are cut from the rows as these come and sent ``at_once``: with one, an earlier row is never overtaken.
    """

    def __init__(
        self,
        sender: Sender,
        make: Callable[[Any], dict[str, Any]],
        seen: Seen,
        clock: Clock,
        *,
        at_once: int = 1,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._sender = sender
        self._make = make
        self._seen = seen
        self._clock = clock
        self._at_once = at_once
        self._tell = telling(on_progress, "tcup insert")
        self._counts: dict[str, Any] = {"delivered": 0, "rejected": 0, "failed": 0, "unknown": 0}
        self._losses, self._refusals = Newest(), Newest()

    async def run(self, rows: Iterable[Any] | AsyncIterable[Any]) -> InsertReport:
        """Take all of ``rows``, and report what became of them. Raises what they raise, and ``LifecycleError``."""
        started = self._clock.now()
        async with aclosing(self._cut(rows)) as chunks:
            if self._at_once == 1:
                async for given, observations in chunks:
                    await self._send(given, observations)
            else:
                await self._side_by_side(chunks)
        return InsertReport(
            **self._counts,
            seconds=self._clock.now() - started,
            failures=(*self._losses, *self._refusals),
            duplicates=self._seen.duplicates,
        )

    async def _side_by_side(self, chunks: AsyncGenerator[tuple[list[Any], list[dict[str, Any]]], None]) -> None:
        taking = asyncio.Lock()

        async def worker() -> None:
            while True:
                async with taking:
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return
                await self._send(*chunk)

        await together([worker() for _ in range(self._at_once)], name="tcup.insert")

    async def _cut(
        self, rows: Iterable[Any] | AsyncIterable[Any]
    ) -> AsyncGenerator[tuple[list[Any], list[dict[str, Any]]], None]:
        async with aclosing(_pieces(rows)) as pieces:
            async for piece in pieces:
                if not self._seen.window and _ready(piece):
                    yield piece, piece
                    continue
                for chunk in self._chunks(piece):
                    yield chunk

    def _chunks(self, piece: list[Any]) -> Iterator[tuple[list[Any], list[dict[str, Any]]]]:
        given: list[Any] = []
        observations: list[dict[str, Any]] = []
        records = 0
        for row in piece:
            try:
                made = self._make(row)
            except ConfigError as error:
                self._settle([row], [error])
                continue
            if not self._seen.is_new(made):
                continue
            more = len(made["record"])
            if records and records + more > MOST_RECORDS:
                yield given, observations
                given, observations, records = [], [], 0
            given.append(row)
            observations.append(made)
            records += more
        if given:
            yield given, observations

    async def _send(self, given: list[Any], observations: list[dict[str, Any]]) -> None:
        await self._sent(given, observations)
        if self._tell is not None:
            self._tell(Progress(sum(self._counts.values()) + self._seen.duplicates, None, "rows"))

    async def _sent(self, given: list[Any], observations: list[dict[str, Any]]) -> None:
        fates = await self._sender.send(observations)
        if not fates:
            self._counts["delivered"] += len(given)
            return
        for fate, observation in zip(fates, observations, strict=True):
            if fate is not None and outcome_of(fate) != "unknown":
                self._seen.forget(observation)
        self._settle(given, fates)

    def _settle(self, given: Sequence[Any], fates: Sequence[Fate]) -> None:
        rejected = [(row, fate) for row, fate in zip(given, fates, strict=True) if outcome_of(fate) == "rejected"]
        lost: dict[int, tuple[AsyncConnError, list[Any]]] = {}
        for row, fate in zip(given, fates, strict=True):
            self._counts[outcome_of(fate)] += 1
            if isinstance(fate, AsyncConnError) and outcome_of(fate) != "rejected":
                lost.setdefault(id(fate), (fate, []))[1].append(row)
        if rejected:
            records, reasons = zip(*rejected, strict=True)
            said = f"tcup: {len(records)} observations were rejected: {reasons[0]}"
            self._refusals.append(
                DeliveryFailed(said, records=list(records), maybe_delivered=False, reasons=list(reasons))
            )
        for cause, some in lost.values():
            said = f"tcup: {len(some)} observations were not delivered: {type(cause).__name__}: {cause}"
            failure = DeliveryFailed(said, records=some, maybe_delivered=outcome_unknown(cause))
            failure.__cause__ = cause
            self._losses.append(failure)


def _pieces(rows: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[list[Any], None]:
    """As many rows at a time as a chunk has. What came before an error of their source is handed on before that."""
    if isinstance(rows, AsyncIterable):
        return _pieces_awaited(rows)
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise ConfigError(f"rows: a list is wanted, or what can be gone through, not {type(rows).__name__}")
    return _pieces_at_hand(rows)


async def _pieces_at_hand(rows: Iterable[Any]) -> AsyncGenerator[list[Any], None]:
    try:
        iterator = iter(rows)
        while True:
            piece: list[Any] = []
            problem: Exception | None = None
            try:
                piece.extend(islice(iterator, MOST_RECORDS))
            except Exception as error:  # noqa: BLE001 - raised below
                problem = error
            if piece:
                yield piece
            if problem is not None:
                raise problem
            if len(piece) < MOST_RECORDS:
                return
    finally:
        if isinstance(rows, Generator):
            rows.close()


async def _pieces_awaited(rows: AsyncIterable[Any]) -> AsyncGenerator[list[Any], None]:
    piece: list[Any] = []
    async with aclosing(each(rows)) as found:
        try:
            async for row in found:
                piece.append(row)
                if len(piece) == MOST_RECORDS:
                    yield piece
                    piece = []
        except Exception:
            if piece:
                yield piece
            raise
    if piece:
        yield piece


def _ready(piece: list[Any]) -> bool:
    """Whether all are observations as SOS has them, of one record each: the usual of what comes from elsewhere."""
    try:
        for one in piece:
            if type(one) is not dict or len(one["record"]) != 1 or not one["sensor"]:
                return False
    except (KeyError, TypeError):
        return False
    return True
