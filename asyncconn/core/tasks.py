"""Background tasks that are named, held and reaped, and endings that no cancellation can cut short."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.core.notes import with_notes
from asyncconn.errors import AsyncConnError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

__all__ = ["Ending", "Flights", "TaskScope", "asked_to_end", "cut_short", "drain_guard", "each", "reap", "together"]

logger = logging.getLogger("asyncconn.tasks")

_LOOK = 1.0  # seconds

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


async def reap(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have really ended. Raises nothing of theirs, only our own cancellation."""
    waiting = {task for task in tasks if not task.done()}
    for task in waiting:
        task.add_done_callback(_heard)
        task.cancel()
    if waiting:
        # asyncio.wait never raises a task's error, so a CancelledError here can only be the caller's own.
        await asyncio.wait(waiting)


def _heard(task: asyncio.Task[Any]) -> None:
    """Nobody may ask for what a cancelled task raises all the same, and the loop would complain of that."""
    if not task.cancelled() and (error := task.exception()) is not None:
        name, kind = task.get_name(), type(error).__name__
        logger.debug("task %s failed while it was being cancelled: %s: %s", name, kind, with_notes(error))


def asked_to_end() -> bool:
    """Whether a cancellation is of this task: a library's own task that was cancelled looks the same to who awaits it.

    It has none of its own while nobody has called its ``cancel``.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def cut_short(name: str) -> AsyncConnError:
    """For one who was not cancelled himself: a ``CancelledError`` would end him without a word."""
    error = AsyncConnError(f"{name} was cancelled, and who waits for it was not")
    error.advice = "see who cancels it, or something that it waits for; then do it again"
    return error


async def each(inputs: Iterable[T], work: Callable[[T], Awaitable[object]], *, name: str, at_once: int) -> None:
    """Run ``work`` for every input, so many at a time, beginning in their order.

    The first error (or a cancellation) cancels the others, waits for their end, and is raised. A ``CancelledError`` is
    the caller's own: one that comes from the work is an ``AsyncConnError``.
    """
    everything = list(inputs)
    waiting = iter(everything)

    async def worker() -> None:
        for one in waiting:
            await work(one)

    await together((worker() for _ in range(min(at_once, len(everything)))), name=name)


async def together(works: Iterable[Coroutine[Any, Any, object]], *, name: str) -> None:
    """Run all of them at once; ends as :func:`each` does."""
    tasks = [asyncio.create_task(work, name=name) for work in works]
    if not tasks:
        return
    left = len(tasks)
    failed: list[asyncio.Task[object]] = []  # the first one comes before all that are cancelled because of it
    over = asyncio.get_running_loop().create_future()

    def ended(task: asyncio.Task[object]) -> None:
        nonlocal left
        left -= 1
        if task.cancelled() or task.exception() is not None:
            failed.append(task)
        if (failed or not left) and not over.done():
            over.set_result(None)

    for task in tasks:
        task.add_done_callback(ended)
    try:
        await over  # asyncio.wait would take a task that was cancelled for one that is well
    finally:
        await reap(tasks)
    if failed:
        if failed[0].cancelled():
            raise cut_short(name)
        failed[0].result()


class Flights(Generic[K]):
    """One piece of work a key at a time: who asks while it is under way gets what it brings, too.

    Who is cancelled leaves the others theirs; when the last has left, the work is cancelled and waited for.

        >>> flights = Flights("acme:plan")
        >>> plan = await flights.join("7", lambda: fetch("7"))
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._passengers: dict[K, tuple[asyncio.Task[Any], list[None]]] = {}

    async def join(self, key: K, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the work of this key brings: it is begun, unless it is under way. Raises what it raises.

        ``AsyncConnError`` if it was cancelled, and the caller was not.
        """
        task, aboard = self._passengers.get(key, (None, []))
        if task is None or task.done():
            task, aboard = asyncio.get_running_loop().create_task(work(), name=f"{self._name}:{key}"), []
            self._passengers[key] = task, aboard
        aboard.append(None)
        try:
            await asyncio.wait({task})
        finally:
            aboard.pop()
            if not aboard:
                if self._passengers.get(key, (None,))[0] is task:
                    del self._passengers[key]
                await reap([task])
        if task.cancelled():
            raise cut_short(task.get_name())
        found: T = task.result()
        return found


async def drain_guard(work: Coroutine[Any, Any, T], *, timeout: float, name: str) -> T:
    """Run ``work`` to its end although the caller is cancelled meanwhile, once or often; then pass the cancellation on.

    ``work`` runs in a task of its own behind a shield, which holds against native cancellation, ``asyncio.timeout`` and
    anyio scopes alike. After ``timeout`` seconds in which the loop ran it is cancelled itself.

    Raises ``TimeoutError`` when ``work`` had to be cancelled, or was by others, else whatever ``work`` raises. The
    caller's own ``CancelledError``, if one arrived, comes before these.
    """
    import anyio  # here, as most of a program's life needs none of it

    loop = asyncio.get_running_loop()
    task = loop.create_task(work, name=name)
    left = timeout
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done() and left > 0:
            began, longest = loop.time(), min(left, _LOOK, timeout / 4)
            try:
                await asyncio.wait({task}, timeout=longest)
            except asyncio.CancelledError as error:
                cancelled = error
            # While the loop stood still, as in a process that was stopped, the work could not end.
            left -= min(loop.time() - began, longest)
        timed_out = not task.done()
        while not task.done():
            task.cancel()
            try:
                await asyncio.wait({task}, timeout=1.0)
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        if not task.cancelled() and (lost := task.exception()) is not None:
            logger.error("%s failed while its caller was being cancelled: %s", name, with_notes(lost))
        raise cancelled
    if task.cancelled():  # a CancelledError would end a caller who was not cancelled, without a word
        raise TimeoutError(f"{name} " + (f"did not end within {timeout:g} s" if timed_out else "was cut short"))
    return task.result()


class Ending(Generic[T]):
    """An end that comes once: the first who asks begins it, the others wait for the same one and get what he gets.

    It goes through although they are cancelled meanwhile, and is cancelled itself ``grace`` seconds after its limit.

        >>> ending = Ending("acme:close", grace=5.0)
        >>> report = await ending.reached(drain, 60.0)
    """

    def __init__(self, name: str, *, grace: float) -> None:
        self._name = name
        self._grace = grace
        self._limit = 0.0
        self._task: asyncio.Task[T] | None = None

    @property
    def begun(self) -> bool:
        """Whether somebody has asked for it."""
        return self._task is not None

    async def reached(self, work: Callable[[float], Coroutine[Any, Any, T]], limit: float) -> T:
        """Do ``work(limit)``, or wait for the one that was begun, whatever its limit. Raises as :func:`drain_guard`.

        Whoever asks after an end that had to be cancelled gets a ``TimeoutError``, too.
        """
        if self._task is None:
            self._limit = limit + self._grace
            self._task = asyncio.get_running_loop().create_task(work(limit), name=self._name)
        if self._task.done() and not self._task.cancelled():
            return self._task.result()
        return await drain_guard(asyncio.wait_for(self._task, None), timeout=self._limit, name=self._name)


class TaskScope:
    """Holds background tasks strongly, under readable names, until they end or the scope is closed.

    A task that fails is logged once and handed to ``on_error``; it never takes others down.

        >>> async def main() -> None:
        ...     scope = TaskScope("reader")
        ...     scope.spawn(asyncio.sleep(3600), name="idle")
        ...     await scope.aclose()
        >>> asyncio.run(main())
    """

    def __init__(self, name: str, *, on_error: Callable[[BaseException], object] | None = None) -> None:
        self._name = name
        self._on_error = on_error
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start ``work`` as the task ``<scope>:<name>``. ``RuntimeError`` once the scope is closed."""
        if self._closed:
            work.close()
            raise RuntimeError(f"task scope {self._name!r} is closed")
        task = asyncio.get_running_loop().create_task(work, name=f"{self._name}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        logger.error("task %s failed: %s: %s", task.get_name(), type(error).__name__, with_notes(error))
        if self._on_error is not None:
            self._on_error(error)

    async def aclose(self, grace: float = 0.0) -> None:
        """Give what still runs ``grace`` seconds to end by itself, then cancel it and wait for its end. Idempotent."""
        self._closed = True
        if grace > 0 and self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace)
        await reap(self._tasks)
