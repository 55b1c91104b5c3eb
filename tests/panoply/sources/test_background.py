"""Signs of life from methods that take long."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from typing import Any

import pytest
from helpers import virtual

from asyncconn.core.clock import SystemClock, VirtualClock
from asyncconn.panoply import DataSource, PanoplyException, background_progress
from asyncconn.panoply.errors import IncorrectParamError
from asyncconn.panoply.sources.driver import Runtime


class Source(DataSource):
    """Works as long as it is told to, and remembers what it said."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        super().__init__({"type": "demo"}, {"logger": self.said.append})
        self.on("progress", self.said.append)
        self.ended = threading.Event()

    async def read(self, n: int | None = None) -> Any: ...


def _driven(clock: VirtualClock) -> Source:
    source = Source()
    source._runtime = Runtime(asyncio.get_running_loop(), None, clock, clock.now())
    return source


SIGN = [("busy",), {"loaded": None, "total": None, "msg": "busy"}]


async def _work(source: Source, seconds: float, *, error: Exception | None = None) -> str:
    """Work."""
    try:
        await asyncio.sleep(seconds)
    finally:
        source.ended.set()
    if error is not None:
        raise error
    return "done"


def _toil(source: Source, wait: threading.Event, error: Exception | None = None) -> str:
    """Toil."""
    wait.wait(15.0)
    source.ended.set()
    if error is not None:
        raise error
    return threading.current_thread().name


# -- asynchronous methods ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "signs"), [(0.0, 1), (599.0, 1), (601.0, 2), (1900.0, 4)])
@virtual
async def test_there_is_a_sign_at_once_and_every_ten_minutes_until_the_work_is_done(
    clock: VirtualClock, seconds: float, signs: int
) -> None:
    source = _driven(clock)

    assert await background_progress("busy")(_work)(source, seconds) == "done"
    assert source.said == SIGN * signs
    assert clock.now() == seconds


@virtual
async def test_the_work_s_error_comes_through_as_it_is(clock: VirtualClock) -> None:
    failure = TimeoutError("theirs")
    with pytest.raises(TimeoutError) as caught:
        await background_progress("busy")(_work)(_driven(clock), 5.0, error=failure)

    assert caught.value is failure


@virtual
async def test_at_the_timeout_between_two_signs_the_work_is_cancelled_and_waited_for(clock: VirtualClock) -> None:
    source = _driven(clock)
    with pytest.raises(PanoplyException, match=r"^Max waiting time exceeded$"):
        await background_progress("busy", waiting_interval=20.0, timeout=50.0)(_work)(source, 1000.0)

    assert clock.now() == 50.0
    assert source.ended.is_set()
    assert source.said == SIGN * 3


@virtual
async def test_a_clock_that_is_a_little_behind_brings_no_further_sign(clock: VirtualClock) -> None:
    class Behind(SystemClock):
        def now(self) -> float:
            return clock.now() * 0.999

    source = _driven(clock)
    assert source._runtime is not None
    source._runtime.clock = Behind()
    with pytest.raises(PanoplyException):
        await background_progress("busy", waiting_interval=20.0, timeout=50.0)(_work)(source, 1000.0)

    assert source.said == SIGN * 3


@virtual
async def test_an_error_while_the_work_is_cancelled_is_the_cause(clock: VirtualClock) -> None:
    failure = KeyError("while cleaning up")

    async def stubborn(source: Source) -> None:
        try:
            await asyncio.sleep(1000.0)
        except asyncio.CancelledError:
            raise failure from None

    with pytest.raises(PanoplyException) as caught:
        await background_progress("busy", timeout=1.0)(stubborn)(_driven(clock))

    assert caught.value.__cause__ is failure


@virtual
async def test_who_cancels_the_caller_cancels_the_work(clock: VirtualClock) -> None:
    source = _driven(clock)
    task = asyncio.create_task(background_progress("busy")(_work)(source, 1000.0))
    await asyncio.sleep(1.0)
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert source.ended.is_set()


@virtual
async def test_a_logger_that_raises_leaves_no_work_behind(clock: VirtualClock) -> None:
    source = _driven(clock)

    def fail(msgs: Any) -> None:
        raise OSError("disk full")

    source.options = {"logger": fail}
    with pytest.raises(OSError, match="disk full"):
        await background_progress("busy")(_work)(source, 1000.0)


# -- plain methods -----------------------------------------------------------------------------------------------------


def test_a_plain_method_works_in_another_thread_and_the_signs_come_from_the_caller_s() -> None:
    source, gate = Source(), threading.Event()
    threads: list[threading.Thread] = []

    def third(data: Any) -> None:
        threads.append(threading.current_thread())
        if len(threads) == 3:
            gate.set()

    source.on("progress", third)
    worker = background_progress("busy", waiting_interval=0.02)(_toil)(source, gate)

    assert worker == "asyncconn-background-_toil"
    assert set(threads) == {threading.current_thread()}
    assert source.said[:6] == SIGN * 3


def test_the_error_of_a_plain_method_comes_through_as_it_is() -> None:
    failure, gate = TimeoutError("theirs"), threading.Event()
    gate.set()
    with pytest.raises(TimeoutError) as caught:
        background_progress("busy")(_toil)(Source(), gate, error=failure)

    assert caught.value is failure


def test_a_plain_method_that_takes_too_long_is_let_go_and_its_late_error_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source, gate = Source(), threading.Event()
    with pytest.raises(PanoplyException, match=r"^Max waiting time exceeded$"):
        background_progress("busy", waiting_interval=60.0, timeout=0.05)(_toil)(source, gate, KeyError("secret"))
    left = [thread for thread in threading.enumerate() if thread.name == "asyncconn-background-_toil"]

    assert [thread.daemon for thread in left] == [True]
    assert source.said == SIGN
    gate.set()
    left[0].join(5.0)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "asyncconn-background-_toil, given up before, ended with KeyError")
    ]


# -- decoration --------------------------------------------------------------------------------------------------------


def test_a_method_keeps_its_name_its_documentation_and_its_kind() -> None:
    work, toil = background_progress("busy")(_work), background_progress("busy")(_toil)

    assert (work.__name__, work.__doc__, toil.__name__, toil.__doc__) == ("_work", "Work.", "_toil", "Toil.")
    assert inspect.iscoroutinefunction(work)
    assert not inspect.iscoroutinefunction(toil)


@pytest.mark.parametrize("given", [{"waiting_interval": 0}, {"timeout": -1.0}, {"timeout": float("nan")}])
def test_durations_must_be_more_than_nothing(given: dict[str, float]) -> None:
    with pytest.raises(IncorrectParamError, match="more than 0"):
        background_progress("busy", **given)
