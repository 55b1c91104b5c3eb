"""Code that blocks, kept off the event loop; and an event loop for code that blocks.

Both threads are daemons: a call that never comes back must not keep the program from ending. They work until the very
end of the program, after ``concurrent.futures`` has ended its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.notes import with_notes
from asyncconn.core.tasks import drain_guard, reap
from asyncconn.errors import LifecycleError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["LoopThread", "OwnThread", "in_thread"]

logger = logging.getLogger("asyncconn.tasks")

T = TypeVar("T")

_DISK = 60.0  # seconds that a file may take when nobody waits for it any more
_FILE = "asyncconn:file"

_Job = tuple["Future[Any]", "Callable[[], Any]"]


async def in_thread(work: Callable[..., T], *args: Any) -> T:
    """Run what blocks on a file in a thread, to its end: also when the caller is cancelled, who hears of that then.

    A thread cannot be cancelled: not waited for, it would go on with a file that has been given up. Who is cancelled
    waits 60 s at most. Who is not waits as long as it takes, as a pipe may be read slowly: to bound that, use
    ``asyncio.timeout``.
    """
    task = asyncio.create_task(asyncio.to_thread(work, *args), name=_FILE)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        try:
            await drain_guard(_outcome(task), timeout=_DISK, name=_FILE)
        except Exception as error:  # noqa: BLE001 - whatever it is, there is only the log to tell
            logger.error("%s failed while its caller was being cancelled: %s", _FILE, with_notes(error))
        raise
    return task.result()


async def _outcome(task: asyncio.Task[T]) -> T:
    return await task


class OwnThread:
    """One thread that runs what it is given, in order: for objects that must stay in the thread they began in.

        >>> async def main() -> int:
        ...     thread = OwnThread("reader")
        ...     try:
        ...         return await thread.run(sum, [1, 2])
        ...     finally:
        ...         thread.close()
        >>> asyncio.run(main())
        3

    It starts with the first job and ends with :meth:`close`, after the jobs handed in before.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, job: Callable[..., T], *args: Any) -> Future[T]:
        """Hand in a job; its future may be waited for from any thread. ``LifecycleError`` after :meth:`close`."""
        future: Future[T] = Future()
        context = contextvars.copy_context()
        with self._lock:
            if self._closed:
                raise LifecycleError(f"the thread {self.name} is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
                self._thread.start()
            self._jobs.put((future, lambda: context.run(job, *args)))
        return future

    async def run(self, job: Callable[..., T], *args: Any) -> T:
        """Run a job and wait for it. A cancellation ends the waiting; a job that has begun goes on."""
        return await asyncio.wrap_future(self.submit(job, *args))

    def close(self) -> None:
        """Take no more jobs; the thread ends after those it has. Does not wait. Idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)

    def join(self, timeout: float) -> bool:
        """Wait for the end, ``timeout`` seconds at most; whether it came."""
        if self._thread is not None:
            self._thread.join(timeout)
        return self._thread is None or not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            _do(*job)
            del job  # while it waits for the next one, it holds on to nothing of the last


def _do(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except StopIteration as error:  # no future can hold one
        wrapped = RuntimeError("StopIteration was raised")
        wrapped.__cause__ = error
        future.set_exception(wrapped)
    except BaseException as error:  # noqa: BLE001 - whoever waits for the job gets it
        future.set_exception(error)
    else:
        future.set_result(result)


class _LateExecutor(ThreadPoolExecutor):
    """A loop's executor in one thread of our own.

    The ordinary one refuses work as soon as the main thread has ended, "cannot schedule new futures after interpreter
    shutdown", and then nothing could be delivered that needs a name looked up. Its thread is there from the start: a
    program that ends may not start threads from Python 3.12 on.
    """

    def __init__(self, name: str) -> None:
        super().__init__(max_workers=1)
        self._own = OwnThread(name)
        self._own.submit(int)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run it after those before it."""
        return self._own.submit(partial(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more. Never waits: a lookup may hang for minutes, and its thread is a daemon."""
        self._own.close()

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, ``timeout`` seconds at most."""
        self._own.join(timeout)


class LoopThread:
    """An event loop in a thread of its own, for programs and threads that cannot await.

    >>> thread = LoopThread("sdk")
    >>> thread.run(asyncio.sleep(0, "done"))
    'done'
    >>> thread.close()
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._aside = _LateExecutor(f"{name}-aside")
        self._loop.set_default_executor(self._aside)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(reap(asyncio.all_tasks(self._loop)))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop itself."""
        return self._loop

    @property
    def here(self) -> bool:
        """Whether the caller is on the loop's own thread."""
        return threading.current_thread() is self._thread

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start ``work`` on the loop. ``LifecycleError`` after :meth:`close`, and in a forked child."""
        if not self._thread.is_alive():  # asked before the lock, which a forked child may have inherited locked
            work.close()
            raise LifecycleError(f"the event loop of {self.name} has ended")
        with self._lock:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise LifecycleError(f"the event loop of {self.name} is closed")

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run ``work`` on the loop and wait for its result, ``timeout`` seconds at most.

        Raises ``TimeoutError`` and cancels ``work`` when the time is over; ``LifecycleError`` when called on the loop's
        own thread, where it would wait for itself, and when the loop is closed meanwhile.
        """
        if self.here:
            work.close()
            raise LifecycleError(f"{self.name} cannot wait for itself on its own thread")
        future = self.submit(work)
        try:
            return future.result(timeout)
        except CancelledError:
            if self._closed:
                raise LifecycleError(f"the event loop of {self.name} was closed before the work was done") from None
            raise
        except BaseException:
            future.cancel()
            raise

    def close(self, timeout: float = 5.0) -> None:
        """Cancel what runs, end the loop, and wait for its thread, ``timeout`` seconds at most. Idempotent.

        ``LifecycleError`` on the loop's own thread.
        """
        if self.here:
            raise LifecycleError(f"{self.name} cannot wait for itself on its own thread")
        if not self._thread.is_alive():
            return
        with self._lock:
            if not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout)
        self._aside.join(min(timeout, 1.0))  # a lookup may hang for longer, and may do so alone
