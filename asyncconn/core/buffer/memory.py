"""The batching buffer: takes records one by one, sends them in batches by size or age, and accounts for every one."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.core.buffer.accounts import Accounts
from asyncconn.core.buffer.batch import Batch, BatchPolicy
from asyncconn.core.buffer.holding import Hold
from asyncconn.core.buffer.line import Line
from asyncconn.core.buffer.ordering import BatchQueue
from asyncconn.core.buffer.outcomes import Books
from asyncconn.core.buffer.receipts import BatchStats, Delivery, FlushReport, Receipt
from asyncconn.core.buffer.returning import Returning
from asyncconn.core.buffer.unheard import watch
from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.durations import seconds
from asyncconn.core.events import Events
from asyncconn.core.tasks import Ending, TaskScope
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.core.watching import Watching
from asyncconn.errors import BufferClosed, BufferFull, RecordTooLarge, WrongLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

    from asyncconn.core.retrying import RetryPolicy

__all__ = ["Batch", "BatchBuffer", "BatchPolicy", "BatchStats", "Delivery", "FlushReport", "Receipt"]

logger = logging.getLogger("asyncconn.delivery")

T = TypeVar("T")

_SENDER_GRACE = 2.0  # seconds that cancelled senders have to end, once the time to close is over
_HANDLER_GRACE = 1.0  # seconds that asynchronous handlers have to end, after the last batch's fate is known
_GRACE = 5.0  # seconds a close may take beyond its deadline in all
_FEW = 16  # items that are taken one by one where a batch ends
_AHEAD = 2  # batches that may wait for each sender, before who puts has to

# None in a forked child, too, which has its parent's buffers and none of its loops.
_running_loop = asyncio._get_running_loop


class BatchBuffer(Unpicklable, Generic[T]):
    """Collects items and sends them in batches.

    ``send`` delivers one batch and does its own retries, by the policy ``retry``: when it raises, the batch has failed,
    unless the server asked for a pause longer than that (:class:`~asyncconn.core.buffer.holding.Hold`). ``size`` gives
    an item's bytes, ``overhead`` is added for each. ``reveal`` turns an item back into what the user knows, for failure
    reports, and ``describe`` says what those are; with ``spooled`` the items are kept elsewhere, where a failed batch
    goes back to.

    Items with the same ``key``, compared within a ``space``, are sent in the order in which they were put: a batch that
    holds a key waits until no earlier one that holds it too is under way or waits; others overtake it. Where ``send``
    may give back single items (:meth:`Batch.again`, at most ``tries`` times it is sent), ``key_of`` gives an item's
    space and key, and a batch holds one item of each key only: a later one of it could not be called back.

    Who is ``watching`` follows each batch on its way. Events: ``send`` (the :class:`Batch`, or what ``shown`` makes of
    it, just before it leaves), ``flush`` (its :class:`Delivery`), ``error`` (the ``DeliveryFailed`` with the records).

        >>> async def send(batch: Batch[bytes]) -> None: ...
        >>> buffer = BatchBuffer(send, size=len, policy=BatchPolicy(max_age=0.5))
        >>> receipt = await buffer.put(b"one")
        >>> report = await buffer.aclose()
    """

    def __init__(
        self,
        send: Callable[[Batch[T]], Awaitable[Any]],
        *,
        size: Callable[[T], int],
        overhead: int = 0,
        policy: BatchPolicy | None = None,
        reveal: Callable[[T], Any] | None = None,
        describe: Callable[[Sequence[Any]], str] | None = None,
        clock: Clock | None = None,
        name: str = "batches",
        retry: RetryPolicy | None = None,
        spooled: bool = False,
        key_of: Callable[[T], tuple[str, Hashable]] | None = None,
        tries: int = 8,
        shown: Callable[[Batch[T]], object] = lambda batch: batch,
        watching: Watching | None = None,
    ) -> None:
        self.policy = policy or BatchPolicy()
        self.name = name
        self._scope = TaskScope(name)
        self.events = Events("send", "flush", "error", scope=self._scope)
        self._clock = clock or SystemClock()
        self._watching = watching or Watching()
        #: Over a spool it holds back what goes to the server, not what keeps the spool's books.
        self.hold = Hold(name, self._clock, retry=retry, longest=self.policy.max_hold)
        self._send = send if spooled else self.hold.around(send)
        self._size, self._overhead = size, overhead
        self.accounts: Accounts[T] = Accounts(name, reveal=reveal, describe=describe, spooled=spooled)
        self._books: Books[T] = Books(self.accounts, self.events, self._measure, self._clock)
        self._key_of, self._tries, self._shown = key_of, tries, shown
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = self._flushing = 0  # the process that first put something in; flushes under way
        # Left a little early, so that a late timer does not break the promise of max_age.
        self._linger = self.policy.max_age - min(0.05, self.policy.max_age * 0.05)

        self._open: Batch[T] | None = None
        self._ready: BatchQueue[T] = BatchQueue()
        self._in_flight: dict[asyncio.Task[Any], Batch[T]] = {}
        self._returning: Returning[T] = Returning(
            self._ready, self.policy, self._clock, self._linger, self._measure, key_of, begin=self._pump
        )
        self._timer: asyncio.TimerHandle | None = None
        self._line = Line(self._clock, self.policy.max_age, admits=self._admits, make_way=self._make_way)
        self._closing = self._too_late = self._yield_due = False
        self._ending: Ending[FlushReport] = Ending(f"{name}:close", grace=_GRACE)
        # The open batch, while there is nothing to do but append to it: not while someone waits, or a turn is due.
        self._lane: Batch[T] | None = None
        watch(self)

    async def prepare(self) -> bool:
        """There is nothing to open."""
        return True

    async def open(self) -> None:
        """As :meth:`prepare`."""

    async def abandon(self) -> None:
        """As :meth:`prepare`."""

    def when_settled(self, call: Callable[[], object]) -> None:
        """Have ``call`` called each time the fate of some items is known, before the events are."""
        self._books.on_settled = call

    # -- taking records in ---------------------------------------------------------------------------------------------

    def offer(self, item: T, key: Hashable = None, space: str = "") -> Receipt | None:
        """Take ``item`` if that needs no waiting; None if it does, and then :meth:`put` is the way. For hot paths."""
        batch = self._lane
        if batch is None or _running_loop() is not self._loop:
            return None
        items, size_of = batch.items, self._size  # a call of an attribute costs twice that of a name
        size = batch.size + size_of(item) + self._overhead
        if size > batch.most_bytes or len(items) >= batch.most_items:
            return None
        items.append(item)
        batch.size = size
        if key is not None:
            try:  # Batch.hold(), without a call for each record
                batch.keys[space].append(key)
            except KeyError:
                batch.keys[space] = [key]
        return batch.receipt

    def offer_many(self, items: Sequence[T], keys: Sequence[Hashable] | None = None, space: str = "") -> Receipt | None:
        """:meth:`offer` for several, with as many keys: takes all of them into one batch, or none."""
        batch = self._lane
        if batch is None or _running_loop() is not self._loop:
            return None
        size = batch.size + sum(map(self._size, items)) + self._overhead * len(items)
        if size > batch.most_bytes or len(batch.items) + len(items) > batch.most_items:
            return None
        batch.items.extend(items)
        batch.size = size
        if keys is not None:
            batch.keys.setdefault(space, []).extend(keys)
        return batch.receipt

    def put_nowait(self, item: T, key: Hashable = None, space: str = "") -> Receipt:
        """Take ``item`` now. Raises ``BufferFull`` where :meth:`put` would wait, and what :meth:`put` raises."""
        size = self._checked_size(item)
        if self._line or not self.has_room(1, size):
            raise self._full()
        return self._add(item, size, key, space)

    def check(self, item: T) -> None:
        """Raise what :meth:`put` would raise for ``item`` now, and take nothing."""
        size = self._checked_size(item)
        if self.policy.overflow == "raise" and (self._line or not self.has_room(1, size)):
            raise self._full()

    async def put(self, item: T, key: Hashable = None, space: str = "", *, patient: bool = False) -> Receipt:
        """Take ``item``, waiting for room if need be. Cancelled means: not taken.

        Raises ``RecordTooLarge``, ``BufferClosed``, ``WrongLoop``, and ``BufferFull`` if the policy says so;
        ``patient`` waits all the same.
        """
        size = self._checked_size(item)
        if self._yield_due:
            # A tight loop of puts would never let the senders start: one turn of the loop for each batch that was cut.
            self._yield_due = False
            await asyncio.sleep(0)
            self._check_open()
        wait = self.policy.overflow == "wait" or patient
        if self._line or not self._admits(size, (space, key), patient=wait):
            if not wait:
                raise self._full()
            self._lane = None
            try:
                await self._line.wait(size, (space, key))
            finally:
                self._review()
        receipt = self._add(item, size, key, space)
        self._line.serve()
        return receipt

    async def put_many(
        self, items: Sequence[T], keys: Sequence[Hashable] | None = None, space: str = ""
    ) -> list[Receipt]:
        """Take several, in order, as cheaply as can be; the receipts of the batches they went into.

        An item that cannot be taken raises as in :meth:`put`; those before it stay accepted.
        """
        if (receipt := self.offer_many(items, keys, space)) is not None:
            return [receipt]
        receipts: dict[Receipt, None] = {}
        for start in range(0, len(items), _FEW):  # most of them fit, or fit into the next batch
            few = items[start : start + _FEW]
            known = keys[start : start + _FEW] if keys is not None else None
            if (receipt := self.offer_many(few, known, space)) is not None:
                receipts[receipt] = None
                continue
            for index, (item, key) in enumerate(zip(few, known or repeat(None), strict=False), start):
                try:
                    receipt = self.offer(item, key, space) or await self.put(item, key, space)
                except RecordTooLarge as error:
                    error.index = index
                    raise
                receipts[receipt] = None
        return list(receipts)

    def _checked_size(self, item: T) -> int:
        self._check_open()
        size = self._size(item) + self._overhead
        if size > self.policy.max_bytes:
            limit = self.policy.max_bytes
            raise RecordTooLarge(f"{size} bytes never fit into a batch of {limit}", size=size, limit=limit)
        return size

    def _check_open(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self._pid = loop, os.getpid()
            self._review()
        elif loop is not self._loop:
            raise WrongLoop(f"{self.name} belongs to another event loop")
        if self._closing:
            raise BufferClosed(f"{self.name} is closed")

    def _review(self) -> None:
        """Open the fast lane, with as much room in it as is left, or close it."""
        batch, policy = self._open, self.policy
        if batch is None or self._closing or self._yield_due or self._line or self._key_of is not None:
            self._lane = None
            return
        # The last place of a batch is left to the slow way, which then cuts it.
        batch.most_items = min(policy.max_items - 1, policy.max_pending_items - self._books.pending)
        batch.most_bytes = min(policy.max_bytes, policy.max_pending_bytes - self._books.pending_bytes)
        self._lane = batch

    def _held(self) -> tuple[int, int]:
        """Records and bytes that wait or travel."""
        batch = self._open
        if batch is None:
            return self._books.pending, self._books.pending_bytes
        return self._books.pending + len(batch.items), self._books.pending_bytes + batch.size

    def has_room(self, count: int, size: int) -> bool:
        """Whether ``count`` more items of ``size`` bytes in all are within what may be pending."""
        records, held = self._held()
        return records + count <= self.policy.max_pending_items and held + size <= self.policy.max_pending_bytes

    @property
    def full(self) -> bool:
        """Whether the next item, of the size of those that are here, has to wait for room or is refused."""
        records, held = self._held()
        return not self.has_room(1, held // records if records else 0)

    def _full(self) -> BufferFull:
        records, held = self._held()
        return BufferFull(f"{self.name} holds {records} records, {held} bytes: no room for another")

    def _add(self, item: T, size: int, key: Hashable, space: str) -> Receipt:
        batch = self._open
        if batch is None or not self._fits(size, (space, key)):
            self._cut()
            now = self._clock.now()
            batch = self._open = Batch(now)
            self._timer = self._clock.call_at(now + self._linger, self._on_age)
        batch.items.append(item)
        batch.size += size
        if key is not None:
            batch.hold(key, space)
            if self._key_of is not None:
                batch.once.add((space, key))
        if len(batch.items) >= self.policy.max_items:
            self._cut()
        self._review()
        return batch.receipt

    def _admits(self, size: int, key: tuple[str, Hashable], *, patient: bool) -> bool:
        return self.has_room(1, size) and not (patient and self._is_ahead(size, key))

    def _is_ahead(self, size: int, key: tuple[str, Hashable]) -> bool:
        """Whether an item would begin another batch while enough of them wait for a sender that is at work."""
        enough = len(self._ready) >= _AHEAD * self.policy.max_in_flight
        return enough and self.hold.refusal() is None and not self._fits(size, key)

    def _fits(self, size: int, key: tuple[str, Hashable]) -> bool:
        one = self._open
        return one is not None and one.size + size <= self.policy.max_bytes and key not in one.once

    def _make_way(self) -> None:
        """Somebody waits for room, which perhaps only the open batch can make."""
        if not self._in_flight:
            if not self._ready:
                self._cut()
            self._returning.hurry()

    # -- sending -------------------------------------------------------------------------------------------------------

    def _cut(self) -> None:
        """The open batch takes no more."""
        if self._open is not None:
            self._ready.append(self._taken(self._open))
            self._yield_due = True
            self._pump()

    def _taken(self, batch: Batch[T]) -> Batch[T]:
        """The open batch, now closed: from here on it is in the totals."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._open = self._lane = None
        self._books.enter(batch)
        return batch

    def _on_age(self) -> None:
        """The oldest record is due. While it cannot leave the batch stays open: it may as well leave fuller."""
        self._timer = None
        if self._open is not None:
            self._open.due = True
            self._pump()

    def _pump(self) -> None:
        while len(self._in_flight) < self.policy.max_in_flight:
            batch = self._ready.take()
            if batch is None:
                if self._open is None or not self._open.due or not self._ready.start(self._open):
                    return
                batch = self._taken(self._open)
            task = self._scope.spawn(self._deliver(batch), name="send")
            self._in_flight[task] = batch
            # A task that is cancelled before its first step runs no code of its own: settle the outcome from outside.
            task.add_done_callback(partial(self._ended, self._clock.now()))

    async def _deliver(self, batch: Batch[T]) -> tuple[Any, Exception | None]:
        batch.age = self._clock.now() - batch.born
        self._books.max_age_at_send = max(self._books.max_age_at_send, batch.age)
        try:
            if self.events.wanted("send"):
                self.events.emit("send", self._shown(batch))
            with self._watching.follow("batch", self.name, batch):
                return await self._send(batch), None
        except Exception as error:  # noqa: BLE001 - whatever the sender raises, the records must be accounted for
            return None, error

    def _ended(self, started: float, task: asyncio.Task[tuple[Any, Exception | None]]) -> None:
        batch = self._in_flight.pop(task, None)
        if batch is None:
            return  # given up by a close, and reported
        batch.marks.over = True
        again, others = self._books.settle_marked(batch, self._tries, too_late=self._too_late)
        result, error = (None, None) if task.cancelled() else task.result()
        if error is not None or task.cancelled():
            why = partial(self.accounts.failure, cause=error, sent=True, closing=self._closing)
            self._books.failed(batch, why, others)
            if error is not None and others == []:
                what = type(error).__name__
                logger.warning("%s: %s: %s, after every item of the batch was marked", self.name, what, error)
        else:
            self._books.delivered(batch, self._clock.now() - started, result, others)
        if batch.kept:
            batch.items = []
        elif again:
            self._returning.take_over(batch, again)
        else:
            self._ready.over(batch)
        self._pump()
        self._line.serve()
        if self._flushing and not self._in_flight:
            self._returning.hurry()

    def _measure(self, items: Sequence[T]) -> int:
        return sum(map(self._size, items)) + self._overhead * len(items)

    # -- flushing and closing ------------------------------------------------------------------------------------------

    async def flush(self, timeout: float | None = None) -> FlushReport:
        """Send what was accepted so far at once, and wait for the outcome, ``timeout`` seconds at most; 0: do not wait.

        Never raises for failed batches: the report says what became of all records since the start.
        """
        if self._loop is not None and asyncio.get_running_loop() is not self._loop:
            raise WrongLoop(f"{self.name} belongs to another event loop")
        limit = self.policy.drain_timeout if timeout is None else seconds("timeout", timeout)
        started = self._clock.now()
        self._cut()
        waiting = {receipt.settled(): receipt for receipt in self._receipts()}
        if waiting:
            self._flushing += 1
            try:
                if not self._in_flight:
                    self._returning.hurry()
                await asyncio.wait(waiting, timeout=limit)
            finally:
                self._flushing -= 1
                for future, receipt in waiting.items():
                    receipt.leave(future)
        return self.accounts.report(self.stats, self._clock.now() - started)

    def _receipts(self) -> set[Receipt]:
        """Those of all that is pending, but for the open batch."""
        batches = chain(self._in_flight.values(), self._ready, self._returning)
        return {receipt for batch in batches for receipt in batch.receipts()}

    async def aclose(self, timeout: float | None = None) -> FlushReport:
        """Take no more, deliver what was accepted within ``timeout`` seconds, and report what did not arrive.

        Goes through although the caller is cancelled meanwhile. Idempotent: a second call waits for the first and gets
        the same report, whatever its own ``timeout``.
        """
        limit = self.policy.drain_timeout if timeout is None else seconds("timeout", timeout)
        if not self._ending.begun:
            if self._loop is not None and asyncio.get_running_loop() is not self._loop:
                raise WrongLoop(f"{self.name} belongs to another event loop")
            self._closing, self._lane = True, None
            self._line.close(lambda: BufferClosed(f"{self.name} was closed while a record waited for room"))
        return await self._ending.reached(self._drain, limit)

    async def _drain(self, timeout: float) -> FlushReport:
        started = self._clock.now()
        self._cut()
        receipts = self._receipts()
        await self.flush(timeout)
        self._too_late = True
        for batch in (*self._ready.clear(), *self._returning.clear()):  # no attempt was made for these, or none counted
            self._books.failed(batch, partial(self.accounts.failure, cause=self.hold.refusal(), sent=False))
        senders = list(self._in_flight)
        for task in senders:
            task.cancel()
        if senders:
            await asyncio.wait(senders, timeout=_SENDER_GRACE)
        for task in senders:
            if not task.done():  # it holds on to life; its records are accounted for now
                batch = self._in_flight.pop(task)
                self._books.failed(batch, partial(self.accounts.failure, cause=None, sent=True))
        # The other tasks have ended; each receipt is settled by a callback in the loop's next turn.
        await asyncio.gather(*[receipt.settled() for receipt in receipts])
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * _HANDLER_GRACE):
                await self._scope.aclose(grace=_HANDLER_GRACE)  # asynchronous handlers hear of the last batch too
        return self.accounts.report(self.stats, self._clock.now() - started)

    @property
    def stats(self) -> BatchStats:
        """The totals at this moment."""
        held = self._in_flight.values() if self.hold.refusal() is not None else ()  # they wait for the server's pause
        late = (*held, *self._returning, self._ready.oldest or self._open)
        born = [one.born for one in late if one is not None]
        age = self._clock.now() - min(born) if born else 0.0
        records, size = (0, 0) if self._open is None else (len(self._open.items), self._open.size)
        return self._books.stats(records, size, in_flight=len(self._in_flight), oldest_age=age)

    def forsaken(self) -> None:
        """Warn of the records that this buffer holds: it is let go, or the program ends, and nobody has closed it."""
        if self._pid == os.getpid():  # in a forked child they are the parent's
            self.accounts.dropped(self._held()[0])

    def __del__(self) -> None:
        if hasattr(self, "_lane"):
            self.forsaken()
