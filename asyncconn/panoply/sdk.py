"""The original's synchronous ``SDK``, for programs and threads that cannot await.

Contract: panoply sections 1, 4 (batching, exit) and 5 (events).
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, Self

from asyncconn.core.buffer.memory import BatchStats, FlushReport
from asyncconn.core.durations import seconds
from asyncconn.core.secret import Concealed, secret
from asyncconn.core.threads import LoopThread
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import BufferClosed, BufferFull, ConfigError, LifecycleError, RecordTooLarge
from asyncconn.panoply import wire
from asyncconn.panoply.encoding import encode_record
from asyncconn.panoply.keys import record_key
from asyncconn.panoply.writer import Panoply

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Hashable, Mapping
    from concurrent.futures import Future
    from types import TracebackType

    from asyncconn.hub import Hub


__all__ = ["SDK"]

_TURN = 2000  # records taken over before the loop may do something else


class SDK(Unpicklable):
    """Streams records into Panoply from code that cannot await; :class:`Panoply` is the one for code that can.

        >>> with SDK(api_key, api_secret) as sdk:
        ...     sdk.write("events", {"id": 1})

    ``options`` are :class:`Panoply`'s, except ``hub``: the writer works on a hub and an event loop of its own, in a
    daemon thread. Every method may be called from any thread; those that wait would stop an event loop they are called
    on.

    Leaving the block or :meth:`close` delivers what was written. So does the end of the program, for up to
    ``ASYNCCONN_SHUTDOWN_TIMEOUT`` seconds, after its other threads have ended; not its death by a signal that nobody
    handles, nor ``os._exit``. A batch that fails is counted in :attr:`stats`, and handed to the ``error`` event with
    its records, or logged.

    A forked child cannot use its parent's SDK (``LifecycleError``): make one after the fork. Its end is the end of a
    program, with ``multiprocessing`` too, unless its parent terminates it, as leaving ``with Pool()`` does.

    Raises ``ConfigError`` for a key or secret that does not decode, and for options that do not fit.
    Contract: panoply sections 1, 4 and 5.
    """

    def __init__(self, apikey: str | Concealed, apisecret: str | Concealed, **options: Any) -> None:
        if options.get("hub") is not None:
            raise ConfigError("an SDK has a hub of its own: to share one, use Panoply on the hub's loop")
        apikey, apisecret = secret(apikey), secret(apisecret)  # masked wherever this frame is shown
        credentials = wire.parse_credentials(apikey, apisecret)
        self.apikey = credentials.api_key.get_secret_value()
        self._queue_path = credentials.queue_path
        self._panoply = Panoply(apikey, apisecret, **options)
        self._buffer = self._panoply._buffer
        self._hands_over = _takes_at_once(self._panoply)
        self._pid = os.getpid()

        # Records on their way from the writers' threads to the loop, which alone takes them out.
        self._inbox: deque[tuple[bytes, Hashable, str]] = deque()
        self._awake = False  # whether the loop has been told
        # Guards what the writers change. Reentrant: the handler of a signal may write while its thread is in write.
        self._room = threading.Condition()
        self._waiting = 0
        self._closed = False
        # Running totals of records and bytes: given by writers, taken over by the loop, settled by the buffer.
        self._given = self._given_bytes = 0
        self._taken = self._taken_bytes = 0
        self._settled = self._settled_bytes = 0

        self._cutting: asyncio.Task[FlushReport] | None = None  # referenced here: a loop's own references are weak
        self._ending: Future[FlushReport] | None = None
        self._last_stats: BatchStats | None = None
        if self._hands_over:
            self._buffer.when_settled(self._on_settled)
        self._thread = LoopThread("asyncconn-sdk")
        try:
            self._thread.run(self._panoply.open())
        except BaseException:
            self._thread.close()
            raise
        self._forget_end = _at_end(self._at_exit)

    def __repr__(self) -> str:
        return f"<SDK at {self._panoply.http.base_url}{', closed' if self._closed else ''}>"

    @property
    def qurl(self) -> str:
        """The queue's address. It holds a part of the secret: keep it out of logs."""
        return self._panoply.http.base_url + self._queue_path

    @qurl.setter
    def qurl(self, _: str) -> None:
        raise AttributeError("qurl cannot be set: make it with SDK(key, secret, endpoint_url=...)")

    @property
    def hub(self) -> Hub:
        """Its own, to be watched: ``HubCollector(sdk.hub)`` for Prometheus. All else is its thread's."""
        return self._panoply.hub

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(self, table: str, data: Mapping[Any, Any]) -> None:
        """Accept one record for ``table``; it leaves within two seconds, unless an earlier one of its id is still under
        way. Waits only when the buffer is full.

        The record is encoded here, so it may be changed afterwards. Handlers may write too, while there is room.

        Raises ``InvalidRecord`` (with the path of the value), ``RecordTooLarge``, ``BufferClosed``, ``BufferFull`` if
        the policy says so, ``LifecycleError`` in a forked child, or in a handler when there is no room. In each case
        nothing of this record is sent.
        """
        item = encode_record(table, data)
        key, space = record_key(data, item), table.lower()
        self._check_process()
        if not self._hands_over:
            self._check_open()
            self._thread.run(self._panoply._put(item, key, space))
            return
        size = len(item) + wire.RECORD_OVERHEAD
        limit = self._buffer.policy.max_bytes
        if size > limit:
            raise RecordTooLarge(f"{size} bytes never fit into a batch of {limit}", size=size, limit=limit)
        with self._room:
            self._check_open()
            while not self._has_room(size):
                self._wait_for_room()
                self._check_open()
            self._inbox.append((item, key, space))
            self._given += 1
            self._given_bytes += size
            if not self._awake:
                self._awake = True
                self._thread.loop.call_soon_threadsafe(self._take_over)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise LifecycleError("this SDK belongs to the process that made it: make one after the fork")

    def _check_open(self) -> None:
        if self._closed:
            raise BufferClosed("this SDK is closed")

    def _has_room(self, size: int) -> bool:
        policy = self._buffer.policy
        return (
            self._given - self._settled < policy.max_pending_items
            and self._given_bytes - self._settled_bytes + size <= policy.max_pending_bytes
        )

    def _wait_for_room(self) -> None:
        pending = self._given - self._settled
        if self._buffer.policy.overflow == "raise":
            raise BufferFull(f"{pending} records are pending: no room for another")
        if self._thread.here:
            raise LifecycleError(f"{pending} records are pending, and a handler cannot wait until there is room")
        self._waiting += 1
        try:
            self._thread.loop.call_soon_threadsafe(self._make_room)
            self._room.wait()
        finally:
            self._waiting -= 1

    # -- on the loop ---------------------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        self._awake = False  # before it looks: what is given from now on wakes it again
        for _ in range(min(len(self._inbox), _TURN)):
            self._take_one()
        if self._inbox and not self._awake:
            self._awake = True
            self._thread.loop.call_soon(self._take_over)

    def _take_all(self) -> None:
        for _ in range(len(self._inbox)):
            self._take_one()

    def _take_one(self) -> None:
        item, key, space = self._inbox.popleft()
        # There is room, by the writers' own count, which is never below the buffer's.
        if self._buffer.offer(item, key, space) is None:
            self._buffer.put_nowait(item, key, space)
        self._taken += 1
        self._taken_bytes += len(item) + wire.RECORD_OVERHEAD

    def _on_settled(self) -> None:
        stats = self._buffer.stats
        with self._room:
            self._settled = self._taken - stats.pending
            self._settled_bytes = self._taken_bytes - stats.pending_bytes
            if self._waiting:
                self._room.notify_all()
                self._thread.loop.call_soon(self._make_room)

    def _make_room(self) -> None:
        """Someone waits. With nothing under way, only the open batch can make room, and its time may be far off."""
        self._take_all()
        if self._waiting and not self._closed and not self._buffer.stats.in_flight:
            self._cutting = self._thread.loop.create_task(self._panoply.flush(0.0), name="asyncconn:sdk:cut")

    # -- watching and ending -------------------------------------------------------------------------------------------

    def on(self, name: Literal["send", "flush", "error", "*"], handler: Callable[..., object]) -> Self:
        """Watch ``send``, ``flush``, ``error`` or ``*``, with the data that :meth:`Panoply.on` describes; chainable.

        Handlers run on the SDK's own thread: there they may ``write``, but not wait (``LifecycleError``). One that
        raises is counted and logged, and stops nothing. Raises ``ConfigError`` for an event that does not exist.
        """
        with self._room:
            self._panoply.on(name, handler)
        return self

    def off(self, name: str, handler: Callable[..., object]) -> Self:
        """Stop watching; chainable."""
        with self._room:
            self._panoply.off(name, handler)
        return self

    @property
    def stats(self) -> BatchStats:
        """Totals: ``accepted == delivered + failed + unknown + pending`` at every moment."""
        self._check_process()
        if self._thread.here:
            return self._counted()
        try:
            return self._thread.run(self._count())
        except LifecycleError:
            if self._last_stats is None:
                raise
            return self._last_stats

    async def _count(self) -> BatchStats:
        return self._counted()

    def _counted(self) -> BatchStats:
        self._take_all()
        return self._buffer.stats

    def flush(self, timeout: float | None = None) -> FlushReport:
        """Send what was written so far at once, and wait for the outcome, ``timeout`` seconds at most.

        Raises ``LifecycleError`` in a handler, in a forked child, and after :meth:`close`.
        """
        self._check_process()
        return self._thread.run(self._flush(timeout))

    async def _flush(self, timeout: float | None) -> FlushReport:
        self._take_all()
        return await self._panoply.flush(timeout)

    def close(self, timeout: float | None = None) -> FlushReport:
        """Take no more, deliver what was written within ``timeout`` seconds, and end the thread.

        The report tells what did not arrive. Idempotent: a second call gets the same one. Interrupted, it goes on in
        the background, and another call waits for it. Raises ``LifecycleError`` in a handler and in a forked child.
        """
        self._check_process()
        if self._thread.here:
            raise LifecycleError("a handler cannot close the SDK: it would wait for itself")
        if timeout is not None:
            seconds("timeout", timeout)
        with self._room:
            self._closed = True
            self._room.notify_all()
            if self._ending is None:
                self._ending = self._thread.submit(self._end(timeout))
        try:
            return self._ending.result()
        finally:
            if self._ending.done():
                self._thread.close()
                self._forget_end()

    async def _end(self, timeout: float | None) -> FlushReport:
        try:
            self._take_all()
            return await self._panoply.aclose(timeout) or FlushReport()
        finally:
            self._last_stats = self._buffer.stats

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            self.close()


def _takes_at_once(panoply: Panoply) -> bool:
    """Whether a record is accepted without waiting: for a file, a hand-over cannot wait."""
    return panoply.spool is None


def _at_end(call: Callable[[], None]) -> Callable[[], object]:
    """Call it when the program ends, after its other threads; what is returned takes that back."""
    processes = sys.modules.get("multiprocessing.process")
    if sys.version_info >= (3, 13) or processes is None or processes.parent_process() is None:
        atexit.register(call)
        return lambda: atexit.unregister(call)

    # Before 3.13 a child of multiprocessing ends without atexit when it was forked, and with both when it was spawned.
    from multiprocessing.util import Finalize

    def after_threads() -> None:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        call()

    return Finalize(None, after_threads, exitpriority=0).cancel
