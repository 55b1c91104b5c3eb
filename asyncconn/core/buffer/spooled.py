"""A batching buffer over a spool: what it has accepted is on disk, and sent again after a crash."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncconn.core.buffer.memory import Batch, BatchPolicy, BatchStats, FlushReport, Receipt
from asyncconn.core.buffer.redelivery import KeepingBuffer, Notes, Redelivery, Refused, StuckKeys, may_pass
from asyncconn.core.clock import Clock, SystemClock
from asyncconn.core.durations import seconds
from asyncconn.core.tasks import Ending, reap
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import (
    AsyncConnError,
    BufferClosed,
    DeliveryFailed,
    LifecycleError,
    NotSent,
    RecordTooLarge,
    SpoolError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

    from asyncconn.core.buffer.accounts import Accounts
    from asyncconn.core.buffer.spool import Spool
    from asyncconn.core.events import Events
    from asyncconn.core.retrying import RetryPolicy
    from asyncconn.core.watching import Watching

__all__ = ["SpooledBuffer"]

logger = logging.getLogger("asyncconn.spool")

_GRACE = 60.0  # seconds a close may take beyond its deadline: a slow disk must not lose what it is given


class SpooledBuffer(Unpicklable):
    """A :class:`BatchBuffer` of bytes whose records are in ``spool`` from before ``put`` returns until they arrived.

    What an earlier run left there is sent first, in order; new puts wait until all of it is in the buffer. Records of a
    failed batch stay in the spool, and pending. If the cause may pass, they are sent again after the next success or
    after ``redeliver_after`` seconds; otherwise at the next start.

    ``key`` gives a stored record's space and key, for records that are put with them: they keep their order across
    failures and runs. Those that share a key with a failed batch wait until it was sent again, which is then tried
    after a second, two, four, up to ``redeliver_after``. What was refused for good is given up once a later record of
    its key has arrived.

    A batch is over when its records are off the disk too: a crash makes at most ``max_in_flight`` batches arrive twice.

        >>> buffer = SpooledBuffer(send, Spool("outbox.spool"), size=len)
        >>> report = await buffer.aclose()

    ``owner`` marks the file, see :meth:`Spool.open`. A spool that was open before is not closed. The other arguments
    are those of the buffer.
    """

    def __init__(
        self,
        send: Callable[[Batch[bytes]], Awaitable[Any]],
        spool: Spool,
        *,
        owner: str = "",
        size: Callable[[bytes], int] = len,
        overhead: int = 0,
        policy: BatchPolicy | None = None,
        reveal: Callable[[bytes], Any] | None = None,
        describe: Callable[[Sequence[Any]], str] | None = None,
        clock: Clock | None = None,
        name: str = "batches",
        retry: RetryPolicy | None = None,
        redeliver_after: float = 60.0,
        key: Callable[[bytes], tuple[str, Hashable]] = lambda item: ("", None),
        key_of: Callable[[bytes], tuple[str, Hashable]] | None = None,
        tries: int = 8,
        shown: Callable[[Batch[bytes]], object] = lambda batch: batch,
        watching: Watching | None = None,
    ) -> None:
        self.spool = spool
        self._clock = clock or SystemClock()
        self._buffer: KeepingBuffer[bytes] = KeepingBuffer(
            self._send,
            size=size,
            overhead=overhead,
            policy=policy,
            reveal=reveal,
            describe=describe,
            clock=self._clock,
            name=name,
            retry=retry,
            spooled=True,
            key_of=key_of,
            tries=tries,
            shown=shown,
            watching=watching,
        )
        self._deliver = self._buffer.hold.around(send)
        self._size = size
        self._owner = owner
        self._key, self._tries = key_of or key, tries
        self._opening = asyncio.Lock()
        self._opened = self._owns = self._refused = False
        self._gate = asyncio.Event()  # open when all that was left over is in the buffer
        self._broken: SpoolError | None = None  # what stopped the feeding

        self._notes: dict[Receipt, Notes] = {}
        self._left_over: range = range(0)  # numbers of an earlier run's records that are not in the buffer yet
        self._replayed = 0.0  # when that began: since then at least they are late
        self._rejected = Refused()
        self._stuck = StuckKeys()
        self._redelivery = Redelivery(
            self._buffer,
            spool,
            clock=self._clock,
            after=redeliver_after,
            begin=self._begin_again,
            watch=self._notes.__setitem__,
        )
        self._feeder: asyncio.Task[None] | None = None
        self._trouble_logged = False

        self._active, self._quiet = 0, asyncio.Event()  # puts under way, and whether there are none
        self._accepted = 0  # records, those that were left in the spool among them
        self._given_up = 0  # of them, refused for good, and undone by a later one of their key
        self._closing = False
        self._ending: Ending[FlushReport] = Ending(f"{name}:spool:close", grace=_GRACE)

    @property
    def policy(self) -> BatchPolicy:
        """The buffer's."""
        return self._buffer.policy

    @property
    def events(self) -> Events:
        """The buffer's."""
        return self._buffer.events

    @property
    def accounts(self) -> Accounts[bytes]:
        """The buffer's."""
        return self._buffer.accounts

    @property
    def stats(self) -> BatchStats:
        """The buffer's totals, where what is in the spool only is pending too."""
        stats = self._buffer.stats
        pending = self._accepted - stats.delivered - stats.rejected - self._given_up
        left_over = self._clock.now() - self._replayed if self._left_over else 0.0
        age = max(stats.oldest_age, self._redelivery.oldest_age, left_over)
        return replace(stats, accepted=self._accepted, failed=self._given_up, pending=pending, oldest_age=age)

    @property
    def full(self) -> bool:
        """As :attr:`BatchBuffer.full`, or there is no room in the spool."""
        return self._buffer.full or self.spool.full

    def when_settled(self, call: Callable[[], object]) -> None:
        """As :meth:`BatchBuffer.when_settled`."""
        self._buffer.when_settled(call)

    # -- opening -------------------------------------------------------------------------------------------------------

    async def prepare(self, *, create: bool = True) -> bool:
        """Open the spool, and send nothing yet; whether it is open. Raises what :meth:`Spool.open` raises."""
        async with self._opening:
            if self._opened or (self._closing and create):
                return self._opened
            try:
                self.spool.claim(self)
                self._owns = not self.spool.is_open
                self._opened = await self.spool.open(self._owner, create=create)
            except BaseException:
                self._refused = True
                raise
            finally:
                if not self._opened:
                    self.spool.release(self)
            self._refused = False
            return self._opened

    async def abandon(self) -> None:
        """The opposite of :meth:`prepare`, if nothing has been sent or put since."""
        if self._opened and not self._active and self._feeder is None:
            self._opened = False
            await self._let_go()

    async def open(self) -> None:
        """Open the spool and begin to send what was left in it. Twice changes nothing."""
        if await self.prepare():
            self._replay()

    def _replay(self) -> None:
        """Feed what is in the spool, once."""
        if self._gate.is_set() or self._feeder is not None:
            return
        if self.spool.stats.records:
            self._accepted += self.spool.stats.records
            self._left_over, self._replayed = range(1, self.spool.last + 1), self._clock.now()
            self._feed()
        else:
            self._gate.set()

    async def _let_go(self) -> None:
        try:
            if self._owns:
                await self.spool.aclose()
        finally:
            self.spool.release(self)

    # -- taking records in ---------------------------------------------------------------------------------------------

    def offer(self, item: bytes, key: Hashable = None, space: str = "") -> Receipt | None:
        """None: nothing can be on disk without waiting."""
        return None

    def offer_many(
        self, items: Sequence[bytes], keys: Sequence[Hashable] | None = None, space: str = ""
    ) -> Receipt | None:
        """None, as :meth:`offer`."""
        return None

    def put_nowait(self, item: bytes, key: Hashable = None, space: str = "") -> Receipt:
        """Raises ``LifecycleError``: nothing can be on disk without waiting."""
        raise LifecycleError(
            f"{self._buffer.name} has a spool, and a record cannot be on disk without waiting: await write() instead"
        )

    async def put(self, item: bytes, key: Hashable = None, space: str = "") -> Receipt:
        """Store ``item`` and take it, waiting for room if need be. Cancelled means: not taken.

        Raises what :meth:`BatchBuffer.put` raises, and ``SpoolError``; nothing of the item is kept then.
        """
        [receipt] = await self._put((item,), (key,), space)
        return receipt

    async def put_many(
        self, items: Sequence[bytes], keys: Sequence[Hashable] | None = None, space: str = ""
    ) -> list[Receipt]:
        """Store several at once and take them, in order; the receipts of the batches they went into.

        An item that cannot be taken raises as in :meth:`put`; those before it stay accepted.
        """
        if not items:
            return []
        try:
            self._check(max(items, key=self._size))
        except RecordTooLarge:
            return await self._put_until(items, keys, space)
        return await self._put(items, keys, space)

    async def _put_until(self, items: Sequence[bytes], keys: Sequence[Hashable] | None, space: str) -> list[Receipt]:
        """One of them is too large: the ones before it, and then its error."""
        for index, item in enumerate(items):
            try:
                self._check(item)
            except RecordTooLarge as error:
                error.index = index
                if index:
                    await self._put(items[:index], keys and keys[:index], space)
                raise
        raise RuntimeError("a size changes")

    def _check(self, item: bytes) -> None:
        if self._closing:
            raise BufferClosed(f"{self._buffer.name} is closed")
        self._buffer.check(item)

    async def _put(self, items: Sequence[bytes], keys: Sequence[Hashable] | None, space: str) -> list[Receipt]:
        self._check(items[0])
        self._active += 1
        try:
            if not self._gate.is_set():
                await self.open()
                await self._gate.wait()
                self._check(items[0])
            if self._broken is not None:
                raise type(self._broken)(self._broken.message) from self._broken
            return await self._take(items, await self.spool.append(items), keys, space)
        finally:
            self._active -= 1
            if not self._active:
                self._quiet.set()

    async def _take(
        self, items: Sequence[bytes], numbers: range, keys: Sequence[Hashable] | None, space: str
    ) -> list[Receipt]:
        if len(items) > 1 and (receipt := self._buffer.offer_many(items, keys, space)) is not None:
            self._note(receipt, numbers[0], numbers[-1])
            self._accepted += len(items)
            return [receipt]
        receipts: dict[Receipt, None] = {}
        taken = 0
        try:
            for number, item, key in zip(numbers, items, keys or [None] * len(items), strict=True):
                receipt = self._buffer.offer(item, key, space) or await self._buffer.put(item, key, space)
                self._note(receipt, number, number)
                self._accepted += 1
                receipts[receipt] = None
                taken += 1
        except BaseException:
            self.spool.forget([numbers[taken:]])
            raise
        return list(receipts)

    def _note(self, receipt: Receipt, first: int, last: int) -> None:
        notes = self._notes.get(receipt)
        if notes is None:
            notes = self._notes[receipt] = Notes()
        notes.add(first, last)

    # -- sending -------------------------------------------------------------------------------------------------------

    async def _send(self, batch: Batch[bytes]) -> Any:
        await asyncio.sleep(0)  # where tasks start eagerly, the put that filled the batch has not returned yet
        notes = self._notes.pop(batch.receipt, None) or Notes.of(one.number for one in batch.returned or ())
        try:
            if self._stuck.touch(batch):
                raise NotSent(
                    "earlier records of the same keys have not arrived, and these stay in the spool with them"
                )
            result = await self._deliver(batch)
        except BaseException as error:
            if may_pass(error):
                batch.marks.again.clear()  # they go out again with the others
            places, rest = self._unmarked(batch, notes)
            if isinstance(error, Exception) and places:
                self._keep(batch, places, rest, error)
            raise
        await self._trim(batch, self._unmarked(batch, notes)[1])
        if not self._closing:
            self._redelivery.succeeded()
        return result

    def _unmarked(self, batch: Batch[bytes], notes: Notes) -> tuple[Sequence[int], Notes]:
        """The places and numbers of the items that are not marked.

        Those that were rejected are taken out of the spool; of those to be sent again the numbers are remembered.
        """
        marks = batch.marks
        places: Sequence[int] = range(len(batch.items))
        if not marks:
            return places, notes
        numbers = [*notes.numbers()]
        self.spool.forget([range(numbers[place], numbers[place] + 1) for place in marks.rejected])
        marks.numbers = {place: numbers[place] for place in marks.again}
        spent = [place for place in marks.again if batch.tries(place) + 1 >= self._tries]
        self._rejected.add([numbers[place] for place in spent], [batch.items[place] for place in spent], self._key)
        places = [place for place in places if place not in marks.again and place not in marks.rejected]
        return places, Notes.of(numbers[place] for place in places)

    async def _trim(self, batch: Batch[bytes], notes: Notes) -> None:
        undone = self._rejected.undone_by(batch)
        if undone:
            logger.warning("%d refused records are given up: later records of their keys have arrived", len(undone))
            self._given_up += len(undone)
            self._buffer.accounts.told += len(undone)
        try:
            await self.spool.trim(
                [*(range(first, last + 1) for first, last in notes.spans), *(range(one, one + 1) for one in undone)]
            )
        except asyncio.CancelledError:
            return  # by a close: they have arrived all the same, and the trim goes with the last commit
        except SpoolError as error:
            if not self._trouble_logged:
                self._trouble_logged = True
                logger.warning("records have arrived, and will be sent again after a crash: %s", error)
        else:
            self._trouble_logged = False

    def _keep(self, batch: Batch[bytes], places: Sequence[int], notes: Notes, error: Exception) -> None:
        """A batch has failed: what is at ``places`` is in the spool, and goes out again if the cause may pass."""
        if not may_pass(error):
            self._rejected.add(notes.numbers(), [batch.items[place] for place in places], self._key)
            return
        if self._closing or self._broken is not None:
            self._stuck.add(batch)
            return
        self._redelivery.add(batch, notes)

    def _stay(self, batch: Batch[bytes]) -> None:
        """A batch that was to be sent again stays in the spool, and what shares a key with it does too."""
        self._stuck.add(batch)
        self._buffer.release(batch)

    # -- from the spool into the buffer --------------------------------------------------------------------------------

    def _begin_again(self) -> None:
        if not self._closing:
            self._buffer.accounts.forget(_goes_again)
        self._feed()

    def _feed(self) -> None:
        if self._feeder is None or self._feeder.done():
            self._feeder = asyncio.get_running_loop().create_task(self._fed(), name=f"{self._buffer.name}:spool")

    async def _fed(self) -> None:
        try:
            await self._feed_left_over()
            self._gate.set()
            while self._redelivery.due:
                await self._redelivery.send_next()
        except BufferClosed:
            return
        except SpoolError as error:
            logger.error("what was left in the spool is not sent: %s", error)
            self._broken = error
            self._left_over = range(0)
            for batch in self._redelivery.drop():
                self._stay(batch)
            self._gate.set()

    async def _feed_left_over(self) -> None:
        while self._left_over:
            found = await self.spool.read(self._left_over[0] - 1, last=self._left_over[-1])
            for number, item in found:
                await self._feed_one(number, item)
                self._left_over = range(number + 1, self._left_over.stop)
            if not found:
                self._left_over = range(0)

    async def _feed_one(self, number: int, item: bytes) -> None:
        space, key = self._key(item)
        try:
            receipt = await self._buffer.put(item, key, space, patient=True)
        except RecordTooLarge as error:
            logger.error("record %d of %s stays there: %s", number, self.spool.path, error.message)
            self._rejected.add((number,), (item,), self._key)
            return
        self._note(receipt, number, number)

    # -- flushing and closing ------------------------------------------------------------------------------------------

    async def flush(self, timeout: float | None = None) -> FlushReport:
        """As :meth:`BatchBuffer.flush`; what was left in the spool is sent first, within the same ``timeout``."""
        self.spool.check()
        limit = self.policy.drain_timeout if timeout is None else seconds("timeout", timeout)
        return await self._wait(limit, self._buffer.flush)

    async def _wait(self, limit: float, then: Callable[[float], Awaitable[FlushReport]]) -> FlushReport:
        """Let the feeder come to its end, then do the buffer's flush or close: ``limit`` seconds for both."""
        started = self._clock.now()
        if self._feeder is not None and not self._feeder.done():
            await asyncio.wait({self._feeder}, timeout=max(0.0, limit))
            if self._closing:
                await reap([self._feeder])
        await then(max(0.0, limit - (self._clock.now() - started)))
        return self._report(self._clock.now() - started)

    def _report(self, seconds: float) -> FlushReport:
        stats = self.stats
        return self._buffer.accounts.report(stats, seconds, spooled=stats.pending - self._buffer.stats.pending)

    async def aclose(self, timeout: float | None = None) -> FlushReport:
        """As :meth:`BatchBuffer.aclose`. What is not delivered stays in the spool, which is closed if we opened it.

        One that was never opened is opened, if the file exists, and what is in it is sent.
        """
        self.spool.check()
        limit = self.policy.drain_timeout if timeout is None else seconds("timeout", timeout)
        return await self._ending.reached(self._close, limit)

    async def _close(self, timeout: float) -> FlushReport:
        self._closing = True
        problem: AsyncConnError | None = None
        try:
            if not self._opened and not self._refused and await self.prepare(create=False):
                self._replay()
        except AsyncConnError as error:
            problem = error
        for batch in self._redelivery.stop():
            self._stay(batch)
        if not self._gate.is_set() and self._active:
            self._gate.set()  # for those who wait: they find it closing
        try:
            report = await self._wait(timeout, self._buffer.aclose)
            while self._active:
                self._quiet.clear()
                await self._quiet.wait()
        finally:
            if self._opened:
                await self._let_go()
        if problem is not None:
            raise problem
        report = self._report(report.seconds)  # anew: a put that was under way has ended since
        if report.pending:
            logger.warning("%d records stay in %s and are sent at the next start", report.pending, self.spool.path)
        return report


def _goes_again(failure: DeliveryFailed) -> bool:
    return may_pass(failure.__cause__)
