"""Drives a data source into a writer: reads, retries, delivers, and keeps no more state than has arrived.

Contract: panoply section 6, "Semantics the platform gives these".
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from asyncconn.core.clock import SystemClock
from asyncconn.core.durations import positive
from asyncconn.core.notes import with_notes
from asyncconn.core.progress import telling
from asyncconn.core.retrying import RetryPolicy
from asyncconn.core.tasks import drain_guard, reap
from asyncconn.errors import AsyncConnError, ConfigError, DeliveryFailed, InvalidRecord
from asyncconn.panoply.errors import ReadFailed, ReadTimedOut, RowRefused, RowsUndelivered, SourceError, StateRefused
from asyncconn.panoply.report import RunReport, SourceProgress
from asyncconn.panoply.sources.destination import Destination
from asyncconn.panoply.sources.driver import SourceDriver
from asyncconn.panoply.sources.params import copied
from asyncconn.panoply.sources.returned import rows_of
from asyncconn.panoply.sources.shaping import RowShape, refuse_truncation
from asyncconn.panoply.sources.source import DataSource
from asyncconn.panoply.sources.states import Saved, StateFile, StateStore, StateTracker, digest, held, state_text

if TYPE_CHECKING:
    from datetime import datetime

    from asyncconn.core.buffer.receipts import FlushReport, Receipt
    from asyncconn.panoply.writer import WriteReport

__all__ = ["READ_RETRY", "RowWriter", "run_source"]

logger = logging.getLogger("asyncconn.panoply.sources.runner")

#: Three retries of a read, as the platform makes them; however long the read itself took.
READ_RETRY = RetryPolicy(attempts=4, initial=1.0, maximum=30.0, deadline=30 * 86_400.0)

_STATE = "__state"
_DELIVERY = 300.0  # seconds for the last rows of a run to arrive; the writer's own deadlines are shorter
_ABANDONED = 30.0  # the same for a run that was cancelled or failed


class RowWriter(Protocol):
    """Where rows go: a :class:`Panoply`, or anything of the same shape."""

    async def write_many(self, table: str, records: Iterable[Mapping[Any, Any]]) -> WriteReport:
        """Accept rows; the receipts tell when they have arrived."""
        ...

    async def flush(self, timeout: float | None = None) -> FlushReport:
        """Send what was accepted so far."""
        ...


async def run_source(
    source: DataSource | Callable[..., DataSource],
    params: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    into: RowWriter,
    state: StateStore | str | os.PathLike[str] | None = None,
    destination: str | None = None,
    batch_size: int = 1000,
    retry: RetryPolicy = READ_RETRY,
    read_timeout: float = 1800.0,
    close_timeout: float = 30.0,
    keep_state: Literal["failure", "always"] = "failure",
    keep_state_ids: bool = False,
    on_progress: Callable[[SourceProgress], object] | None = None,
) -> RunReport:
    """Read ``source`` to its end into ``into``, and wait until every row has arrived.

        >>> report = await run_source(Stream, {"type": "typeform"}, into=panoply, state="typeform.json")

    ``source`` is a :class:`DataSource`, or the class of one. A class is made with ``params`` and ``options`` where it
    is going to live: on the loop if its ``read`` is a coroutine function, else in a thread of its own. It gets a deep
    copy of ``params``, and ``options`` as a dict, empty where none are given.

    ``state``, a file or a store, makes the run one that can go on where one that failed has ended, which needs the
    class: what was saved is in its ``params["state"]``. A state is saved when every row that it covers has arrived,
    never before, so that rows come again after a crash rather than not at all. A run that has brought everything
    forgets it, and the next one begins anew, unless ``keep_state="always"``. It leaves ``lastTimeSucceed`` (when it
    began, ISO 8601 UTC) to the next one, and where there is an ``inckey``, the greatest value of that column as
    ``incval``. Parameters that the source changes (``source-change``) are saved at once. Each of these is given to the
    next run, unless that is started with another value for it.

    Rows go to the table ``destination``, or ``source["destination"]``, or ``source["type"]``; ``{field}`` in it is
    filled from each row. ``source["idpattern"]``, ``["excludes"]`` and ``["stringFields"]`` change the rows as
    :class:`RowShape` says. ``__state`` is taken off unless ``keep_state_ids``. ``batch_size`` is the hint that ``read``
    gets.

    A ``read`` that raises is repeated by ``retry`` (three times) unless the error's ``retryable`` is False. One that
    shows no sign of life (progress, state, log, any event) for ``read_timeout`` seconds is given up. ``close`` is
    always called, and given ``close_timeout`` seconds. ``on_progress`` gets a :class:`SourceProgress` on the loop.

    Raises ``ReadFailed``, ``ReadTimedOut``, ``RowRefused``, ``StateRefused``, ``RowsUndelivered``, each a
    ``SourceError`` with the ``report``, after what was read before has been delivered; before anything is read,
    ``ConfigError``, ``TruncateRefused`` for ``truncateTable``, ``StateInUse`` for a state file that another run has.
    What the constructor of a class raises comes through as it is.
    """
    if batch_size < 1:
        raise ConfigError("batch_size must be more than 0")
    positive("read_timeout", read_timeout)
    positive("close_timeout", close_timeout)
    if keep_state not in ("failure", "always"):
        raise ConfigError(f"keep_state is 'failure' or 'always', not {keep_state!r}")
    for name, given in (("params", params), ("options", options)):
        if given is not None and not isinstance(given, Mapping):
            raise ConfigError(f"the {name} of a source are a dict, not {type(given).__name__}")
    store = StateFile(state) if isinstance(state, str | os.PathLike) else state
    hub = getattr(into, "hub", None)
    async with held(store):
        began = (SystemClock() if hub is None else hub.clock).utcnow()
        saved = await store.load() if store is not None else Saved()
        if isinstance(source, DataSource):
            if store is not None or params is not None or options is not None:
                raise ConfigError("params, options and state are for a source that is still to be made: give its class")
            driver = SourceDriver(source, hub=hub)
        else:
            if not callable(source):
                raise ConfigError(f"a source is a DataSource or its class, not {type(source).__name__}")
            refuse_truncation(params or {})
            driver = await SourceDriver.make(
                source, copied(saved.over(params or {})), {} if options is None else dict(options), hub=hub
            )
        run = _Run(
            driver,
            into,
            store,
            saved,
            copied(params or {}),
            batch_size,
            retry,
            read_timeout,
            close_timeout,
            keep_state_ids,
            on_progress,
        )
        report = await run.run(destination)
        await run.succeeded(began, keep_state=keep_state == "always")
        return report


class _Run:
    def __init__(
        self,
        driver: SourceDriver[DataSource],
        into: RowWriter,
        store: StateStore | None,
        saved: Saved,
        params: dict[str, Any],
        batch_size: int,
        retry: RetryPolicy,
        read_timeout: float,
        close_timeout: float,
        keep_state_ids: bool,
        on_progress: Callable[[SourceProgress], object] | None,
    ) -> None:
        self._driver = driver
        self._source = driver.source
        self._into = into
        self._store = store
        self._batch_size = batch_size
        self._retry = retry
        self._read_timeout = read_timeout
        self._close_timeout = close_timeout
        self._keep_state_ids = keep_state_ids
        self._on_progress = telling(on_progress, "source")
        self._progress = SourceProgress(0, None, "", msg="")
        self._loop = driver.runtime.loop
        self._clock = driver.runtime.clock
        self._saved = saved
        self._params = params
        self._tracker = StateTracker(saved.state)
        self._shape = RowShape({})
        self.report = RunReport(state=dict(saved.state))
        # Filled where the source runs, which may be a thread; emptied on the loop. Appending is atomic.
        self._states: deque[tuple[Any, str]] = deque()
        self._changes: deque[dict[str, Any]] = deque()
        self._refused: Exception | None = None
        # Reads whose rows are on their way: (read, its rows, the receipts of their batches), in order.
        self._sent: deque[tuple[int, int, list[Receipt]]] = deque()
        self._wake = asyncio.Event()
        self._arrived = 0  # everything up to this read has been delivered
        self._no_more = False
        self._undelivered: DeliveryFailed | None = None
        self._unsaved: Exception | None = None

    # -- the run -------------------------------------------------------------------------------------------------------

    async def run(self, destination: str | None) -> RunReport:
        started = self._clock.now()
        saver = asyncio.create_task(self._save_what_arrives(), name="asyncconn:source:saver")
        handlers = {"source-state": self._on_state, "source-change": self._on_change, "progress": self._on_advance}
        for name, handler in handlers.items():
            self._source.on(name, handler)
        try:
            try:
                self._shape = RowShape(self._source.source)
                await self._read_all(self._destination(destination))
            finally:
                # Whatever ended it, a cancellation too: what was read is delivered, and its state saved.
                seconds = _DELIVERY if self.report.finished else _ABANDONED
                limit = 2 * self._close_timeout + 2 * seconds
                await drain_guard(self._finish(saver, seconds), timeout=limit, name="asyncconn:source:finish")
        except SourceError as error:
            error.report = self.report
            if isinstance(error, RowsUndelivered):
                self._failures()
            raise
        finally:
            await reap({saver})
            for name, handler in handlers.items():
                self._source.off(name, handler)
            self.report.seconds = self._clock.now() - started
        self._check()
        if not self.report.complete:
            left = self.report.rows - self.report.delivered
            raise RowsUndelivered(f"{left} rows were not delivered within {_DELIVERY:g} s", report=self.report)
        return self.report

    async def succeeded(self, began: datetime, *, keep_state: bool) -> None:
        """Keep what the next run needs to know of one that has brought everything, and forget its state if need be."""
        if self._store is None:
            return
        saved = self._saved.after_success(began, self._shape.key, self._shape.incval, self._params)
        try:
            await self._keep(saved if keep_state else replace(saved, state={}))
        except Exception as error:  # noqa: BLE001 - as while it ran: a store may be a stranger's
            self._unsaved = error
            self._check()

    def _destination(self, destination: str | None) -> Destination:
        found = destination or self._source.source.get("destination") or self._source.source.get("type")
        if not found:
            raise ConfigError("no destination: give one, or set source['destination'] or source['type']")
        return Destination(found)

    async def _read_all(self, destination: Destination) -> None:
        while True:
            self._check()
            rows = await self._read()
            if rows is None:
                break
            self.report.reads += 1
            read = self.report.reads
            self._take_states(read)
            rows = rows_of(rows, read, str(self._source.source.get("type") or type(self._source).__name__))
            placed, ids, count = self._placed(rows, destination)
            self._tracker.end_read(read, ids, count)
            await self._write(placed, read)
        self._take_states(self.report.reads)
        self._tracker.end(self.report.reads)
        self.report.finished = True

    async def _finish(self, saver: asyncio.Task[None], seconds: float) -> None:
        try:
            await self._close()
        finally:
            await self._into.flush(seconds)
            self._no_more = True
            self._wake.set()
            await asyncio.wait({saver}, timeout=seconds)

    async def _close(self) -> None:
        """The source's close. An error of it is no reason to call a finished run a failure: it is logged."""
        try:
            async with asyncio.timeout(self._close_timeout):
                await self._driver.close()
        except TimeoutError:
            logger.warning("closing the source took longer than %g s and was given up", self._close_timeout)
        except Exception as error:  # noqa: BLE001 - a stranger's code, at a moment when the rows matter more
            logger.warning("closing the source failed: %s: %s", type(error).__name__, with_notes(error))
        finally:
            self._driver.release()

    def _check(self) -> None:
        """Raise what has gone wrong beside the reading."""
        if self._refused is not None:
            raise StateRefused(str(self._refused.args[0]), report=self.report) from self._refused
        if self._unsaved is not None:
            why = self._unsaved.args[0] if isinstance(self._unsaved, AsyncConnError) else repr(self._unsaved)
            refused = StateRefused(f"the state could not be saved: {why}", report=self.report)
            refused.advice = SourceError.advice
            raise refused from self._unsaved
        if (failed := self._undelivered) is not None:
            lost = sum(len(one.records) for one in self._failures())
            raise RowsUndelivered(f"{lost} rows or more were not delivered", report=self.report) from failed

    def _failures(self) -> list[DeliveryFailed]:
        """Of all batches with rows of this run. Who asks tells of them: the run's own error does."""
        receipts = dict.fromkeys(receipt for _, _, some in self._sent for receipt in some)
        return [receipt.error for receipt in receipts if receipt.error is not None]

    # -- reading -------------------------------------------------------------------------------------------------------

    async def _read(self) -> Any:
        attempts = 0

        async def attempt() -> Any:
            nonlocal attempts
            attempts += 1
            self._states.clear()  # of an attempt that failed: the rows they cover never came
            return await self._read_once()

        def again(error: BaseException) -> bool:
            return not isinstance(error, ReadTimedOut) and bool(getattr(error, "retryable", True))

        def told(error: Exception, wait: float) -> None:
            self.report.retries += 1
            logger.info("read failed, again in %.1f s: %s: %s", wait, type(error).__name__, with_notes(error))

        try:
            return await self._retry.repeat(attempt, when=again, clock=self._clock, on_retry=told)
        except ReadTimedOut:
            raise
        except Exception as error:
            retryable = bool(getattr(error, "retryable", True))
            why = "" if retryable else ", which it says is not to be repeated"
            tries = "once" if attempts == 1 else f"{attempts} times"
            failure = f"read failed {tries}{why}: {type(error).__name__}: {with_notes(error)}"
            raise ReadFailed(failure, attempts=attempts, retryable=retryable) from error

    async def _read_once(self) -> Any:
        reading = asyncio.ensure_future(self._driver.read(self._batch_size))
        try:
            while not reading.done():
                left = self._driver.runtime.seen + self._read_timeout - self._clock.now()
                if left <= 0:
                    raise ReadTimedOut(f"read gave no sign of life for {self._read_timeout:g} s")
                await asyncio.wait({reading}, timeout=left)
            return reading.result()
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.wait({reading}, timeout=self._close_timeout)

    # -- writing -------------------------------------------------------------------------------------------------------

    def _placed(
        self, rows: Iterable[tuple[Any, Mapping[str, Any] | None]], destination: Destination
    ) -> tuple[dict[str, list[tuple[int, Any]]], set[str], int]:
        """Rows by their table, each with its place among the rows read; the state ids they carry; how many there are.

        A row that cannot be placed stays in, as the error to raise when its turn comes.
        """
        placed: dict[str, list[tuple[int, Any]]] = {}
        spelt: dict[str, str] = {}  # the platform's tables have no case: rows of one keep their order
        ids: set[str] = set()
        index = -1
        for index, (row, more) in enumerate(rows):
            try:
                if not isinstance(row, Mapping):
                    raise InvalidRecord(f"a row must be a mapping, not {type(row).__name__}")
                table = destination.table_of(row, more)
                shaped = row if self._shape.idle else self._shape.of(row, more)
            except InvalidRecord as error:
                placed.setdefault("", []).append((index, error))
                break
            state_id = row.get(_STATE)
            if state_id is None and more is not None:
                state_id = more.get(_STATE)
            if state_id is not None:
                ids.add(str(state_id))
                if not self._keep_state_ids and _STATE in shaped:
                    shaped = {name: value for name, value in shaped.items() if name != _STATE}
            placed.setdefault(spelt.setdefault(table.lower(), table), []).append((index, shaped))
        return placed, ids, index + 1

    async def _write(self, placed: dict[str, list[tuple[int, Any]]], read: int) -> None:
        """Give the rows to the writer, all up to the first that it refuses."""
        bad: tuple[int, InvalidRecord] | None = None
        for place, refused in placed.pop("", ()):
            bad = place, refused
        receipts: dict[Receipt, None] = {}
        rows = 0
        for table, members in placed.items():
            some = members if bad is None else [one for one in members if one[0] < bad[0]]
            try:
                report = await self._into.write_many(table, [row for _, row in some])
            except InvalidRecord as error:
                accepted = error.index or 0
                bad = some[accepted][0], error
            else:
                accepted = report.records
                receipts.update(dict.fromkeys(report.receipts))
            rows += accepted
            self.report.rows += accepted
            self.report.tables[table] += accepted
        if bad is not None:
            index, cause = bad
            cause.index = None
            raise RowRefused(f"read {read}, row {index}: {cause.message}", read=read, row=index) from cause
        self._follow(read, rows, list(receipts))

    def _follow(self, read: int, rows: int, receipts: list[Receipt]) -> None:
        if self._sent and self._sent[-1][2] == receipts:  # small reads that travel in one batch
            rows += self._sent.pop()[1]
        self._sent.append((read, rows, receipts))
        if len(self._sent) == 1:
            self._wake.set()

    # -- saving --------------------------------------------------------------------------------------------------------

    async def _save_what_arrives(self) -> None:
        """Follow the receipts in the order of the reads; save changes at once, states when their rows are there."""
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            while True:
                await self._save(self._settled())
                if self._undelivered is not None or (self._no_more and not self._sent and not self._changes):
                    return
                if woken.done():
                    self._wake.clear()
                    woken = asyncio.ensure_future(self._wake.wait())
                    continue
                due: set[asyncio.Future[Any]] = {woken}
                if self._sent:
                    late = [one for one in self._sent[0][2] if not one.done]
                    if not late:  # they arrived while the state was being saved
                        continue
                    due.add(late[0].settled())
                await asyncio.wait(due, return_when=asyncio.FIRST_COMPLETED)
        except Exception as error:  # noqa: BLE001 - a store may be a stranger's, and the reading has to hear of it
            self._unsaved = error
        finally:
            await reap({woken})

    def _settled(self) -> dict[str, Any] | None:
        """The merged state, if reads have arrived since and it has grown."""
        before = self._arrived
        while self._sent and all(one.done for one in self._sent[0][2]):
            read, rows, receipts = self._sent[0]
            for receipt in receipts:
                if receipt.error is not None:
                    self._undelivered = receipt.error
            if self._undelivered is not None:
                break
            self._sent.popleft()
            self.report.delivered += rows
            self._arrived = read
        # At the end of the data, states without rows are due as well.
        return self._tracker.settle(self._arrived) if self._no_more or self._arrived > before else None

    async def _save(self, state: dict[str, Any] | None) -> None:
        changes = dict(self._saved.changes)
        changed = False
        while self._changes:
            changes.update(self._changes.popleft())
            changed = True
        if state is None and not changed:
            return
        given = {name: digest(self._params.get(name)) for name in changes}
        await self._keep(Saved(self._saved.state if state is None else state, changes, given, self._saved.last))
        self.report.state = dict(self._saved.state)
        self.report.changes = tuple(sorted(self._saved.changes))

    async def _keep(self, saved: Saved) -> None:
        if self._store is not None:
            await self._store.save(saved)
        self._saved = saved

    # -- what the source says, in whatever thread it runs --------------------------------------------------------------

    def _on_state(self, data: Mapping[str, Any]) -> None:
        try:
            self._states.append((data["stateId"], state_text(data["state"])))
        except Exception as error:  # noqa: BLE001 - events swallow errors, and this one ends the run
            self._refused = error

    def _take_states(self, read: int) -> None:
        while self._states:
            state_id, text = self._states.popleft()
            self._tracker.report(read, state_id, text)

    def _on_change(self, data: Any) -> None:
        if not isinstance(data, Mapping):
            self._refused = ConfigError(f"source-change takes a dict of parameters, not {type(data).__name__}")
            return
        self._changes.append(dict(data))
        self._loop.call_soon_threadsafe(self._wake.set)

    def _on_advance(self, data: Mapping[str, Any]) -> None:
        if self._on_progress is not None:
            self._progress = SourceProgress.after(self._progress, data)
            self._loop.call_soon_threadsafe(self._on_progress, self._progress)
