"""What tests share: virtual time, services, and a coroutine cancelled at each of its awaits."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import inspect
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import pytest

from asyncconn.core.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from asyncconn.core.buffer.memory import BatchBuffer, BatchStats

P = ParamSpec("P")


# -- virtual time ------------------------------------------------------------------------------------------------------


def virtual(test: Callable[Concatenate[VirtualClock, P], Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run ``async def test(clock, ...)`` on a fresh virtual clock; it may not leave tasks behind.

    Works below ``@pytest.mark.parametrize`` and below ``@given``: both see the arguments after ``clock``.
    """

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        clock = VirtualClock()
        clock.run(_without_leaks(test(clock, *args, **kwargs)))

    signature = inspect.signature(test)
    del run.__wrapped__
    run.__signature__ = signature.replace(  # type: ignore[attr-defined] # replaced for the test
        parameters=list(signature.parameters.values())[1:]
    )
    return run


async def _without_leaks(test: Coroutine[Any, Any, None]) -> None:
    await test
    await fail_on_leaked_tasks()


async def fail_on_leaked_tasks() -> None:
    """Fail the test for each task of this loop that is still there, after a few turns in which it may end."""
    here = asyncio.current_task()
    for _ in range(5):
        await asyncio.sleep(0)
    leaked = [task for task in asyncio.all_tasks() if task is not here]
    for task in leaked:
        task.cancel()
    if leaked:
        await asyncio.wait(leaked, timeout=1.0)
        names = ", ".join(sorted(f"{task.get_name()} ({task.get_coro()!r})" for task in leaked))
        pytest.fail(f"the test left tasks behind: {names}")


async def turns(count: int = 5) -> None:
    """Let whatever is ready run, without moving the clock."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(true: Callable[[], object]) -> None:
    """Let others go on until it is so, on a real clock; the test's own timeout ends a wait in vain."""
    while not true():
        await asyncio.sleep(0.002)


# -- what is open ------------------------------------------------------------------------------------------------------


def open_sockets() -> int:
    """How many of this process's open files are sockets."""
    found = 0
    for number in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own is closed by now
            found += number.is_socket()
    return found


# -- cancellation ------------------------------------------------------------------------------------------------------


async def cancel_at_every_await(
    make: Callable[[], Awaitable[Callable[[], Awaitable[object]]]],
    check: Callable[[BaseException | None], Awaitable[None]],
    *,
    most: int = 60,
) -> int:
    """Run a coroutine again and again, cancelling it at its 1st, 2nd, ... suspension, until it ends uncancelled.

    ``make`` sets up a fresh scene and returns the function whose coroutine is to be run; ``check`` is called after
    each run with the ``CancelledError`` or None. Returns how many suspensions there were to cancel at. A suspension
    at which the cancellation is held back (as a guarded close does) counts like any other.
    """
    for at in range(most):
        start = await make()
        task: asyncio.Task[object] = asyncio.ensure_future(_CancelledAt(start(), at).run())
        try:
            await asyncio.wait({task})
            error: BaseException | None = asyncio.CancelledError() if task.cancelled() else task.exception()
        finally:
            task.cancel()
        if error is not None and not isinstance(error, asyncio.CancelledError):
            raise error
        await check(error)
        if error is None:
            return at
    raise AssertionError(f"still not through after {most} suspensions")


class _CancelledAt:
    """Drives an awaitable, and cancels the task around it once, at the given suspension."""

    def __init__(self, work: Awaitable[object], at: int) -> None:
        self._steps = work.__await__()
        self._at = at

    async def run(self) -> object:
        return await self

    def __await__(self) -> Any:
        task = asyncio.current_task()
        assert task is not None
        result: Any = None
        thrown: BaseException | None = None
        count = 0
        while True:
            try:
                waits_for = self._steps.send(result) if thrown is None else self._throw(thrown)
            except StopIteration as stop:
                return stop.value
            if count == self._at:
                asyncio.get_running_loop().call_soon(task.cancel)
            count += 1
            thrown = None
            try:
                result = yield waits_for
            except BaseException as error:  # noqa: BLE001 - handed to the coroutine under test, as a task would do
                thrown = error

    def _throw(self, error: BaseException) -> Any:
        throw: Callable[[BaseException], Any] = self._steps.throw
        return throw(error)


# -- books -------------------------------------------------------------------------------------------------------------


def balanced(buffer: BatchBuffer[Any]) -> BatchStats:
    """The buffer's stats, after checking that every accepted record is in exactly one place."""
    stats = buffer.stats
    assert stats.accepted == stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.pending, stats
    assert stats.pending >= 0, stats
    assert (stats.pending == 0) == (stats.pending_bytes == 0), stats
    return stats


# -- services ----------------------------------------------------------------------------------------------------------


def _program(*names: str) -> bool:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/lib/rabbitmq/bin"])
    return all(shutil.which(name, path=path) for name in names)


#: name -> (is it here?, how to get it)
SERVICES: dict[str, tuple[Callable[[], bool], str]] = {
    "mosquitto": (lambda: _program("mosquitto"), "apt-get install mosquitto"),
    "rabbitmq": (lambda: _program("rabbitmq-server", "rabbitmqctl"), "apt-get install rabbitmq-server"),
    "moto": (lambda: importlib.util.find_spec("moto") is not None, "pip install 'moto[server]'"),
    "sshd": (lambda: _program("sshd"), "apt-get install openssh-server"),
    "dask": (lambda: importlib.util.find_spec("distributed") is not None, "pip install 'asyncconn[dask]'"),
    "chromium": (lambda: _program("chromium", "chromedriver"), "apt-get install chromium chromium-driver"),
    "redis": (lambda: _program("redis-server"), "apt-get install redis-server"),
}


def require_service(name: str, available: bool, how: str) -> None:
    """Skip the test when the service is missing; fail it instead where every service is required."""
    if available:
        return
    message = f"needs {name}, which is not here: {how}"
    if os.environ.get("ASYNCCONN_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{message} (required by ASYNCCONN_REQUIRE_SERVICES=1)", pytrace=False)
    pytest.skip(message)
