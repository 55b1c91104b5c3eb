"""Blocking code in a thread of its own, and a loop for blocking code."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asyncconn.core import threads
from asyncconn.core.threads import LoopThread, OwnThread, in_thread
from asyncconn.errors import LifecycleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# -- in_thread ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def let_go(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What a thread waits for, as for the reader of a pipe; a file may take no time at all."""
    monkeypatch.setattr(threads, "_DISK", 0.001)
    event = threading.Event()
    yield event
    event.set()


async def test_a_file_may_take_any_time_while_somebody_waits_for_it(let_go: threading.Event) -> None:
    waiting = asyncio.create_task(in_thread(let_go.wait, 10))
    await asyncio.wait({waiting}, timeout=0.02)
    let_go.set()
    assert await waiting


async def test_a_file_that_hangs_holds_a_cancelled_caller_for_its_limit_only(let_go: threading.Event) -> None:
    waiting = asyncio.create_task(in_thread(let_go.wait, 10))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=5)
    assert waiting.cancelled()
    assert not let_go.is_set()


async def test_a_file_is_written_to_its_end_although_the_caller_is_cancelled_again_and_again() -> None:
    let_go, done = threading.Event(), list[bool]()
    waiting = asyncio.create_task(in_thread(lambda: done.append(let_go.wait(10))))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == [True]


async def test_a_file_survives_an_anyio_scope_that_is_cancelled() -> None:
    let_go, done = threading.Event(), list[bool]()
    with anyio.CancelScope() as scope:
        scope.cancel()
        asyncio.get_running_loop().call_later(0.01, let_go.set)
        await in_thread(lambda: done.append(let_go.wait(10)))
    assert done == [True]


async def test_what_a_file_raises_reaches_who_waits_and_the_log_where_nobody_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 1, 0)
    assert not caplog.records
    waiting = asyncio.create_task(in_thread(divmod, 1, 0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [record.getMessage() for record in caplog.records] == [
        "asyncconn:file failed while its caller was being cancelled: integer division or modulo by zero"
    ]


# -- OwnThread ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def own() -> Iterator[OwnThread]:
    thread = OwnThread("own")
    yield thread
    thread.close()
    assert thread.join(5)


async def test_jobs_run_in_order_in_one_thread_that_is_not_the_callers(own: OwnThread) -> None:
    seen: list[tuple[int, str]] = []
    await asyncio.gather(*[own.run(lambda i=i: seen.append((i, threading.current_thread().name))) for i in range(20)])
    assert seen == [(i, "own") for i in range(20)]


async def test_what_a_job_raises_comes_out_and_the_next_one_runs(own: OwnThread) -> None:
    with pytest.raises(ZeroDivisionError):
        await own.run(divmod, 1, 0)
    with pytest.raises(SystemExit):
        await own.run(sys.exit, 1)
    assert await own.run(divmod, 7, 2) == (3, 1)


async def test_a_cancelled_job_that_has_begun_goes_on_and_one_that_has_not_never_does(own: OwnThread) -> None:
    begun, let_go = threading.Event(), threading.Event()
    done: list[str] = []

    def hang() -> None:
        begun.set()
        let_go.wait(10)
        done.append("begun")

    first = asyncio.ensure_future(own.run(hang))
    second = asyncio.ensure_future(own.run(done.append, "not begun"))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    first.cancel()
    second.cancel()
    await asyncio.wait({first, second})
    let_go.set()
    assert await own.run(lambda: list(done)) == ["begun"]


def test_a_thread_that_waits_holds_on_to_nothing_of_its_last_job(own: OwnThread) -> None:
    class Big:
        def use(self) -> None: ...

    big = Big()
    gone = weakref.ref(big)
    own.submit(big.use).result(5)
    own.submit(big.use)
    del big
    for _ in range(100):
        if gone() is None:
            break
        threading.Event().wait(0.01)
    gc.collect()
    assert gone() is None


def test_closing_runs_what_was_handed_in_before_and_refuses_the_rest() -> None:
    thread = OwnThread("own")
    let_go = threading.Event()
    thread.submit(let_go.wait, 10)
    job = thread.submit(int, "5")
    thread.close()
    thread.close()
    with pytest.raises(LifecycleError, match="the thread own is closed"):
        thread.submit(int)
    assert not thread.join(0.01)
    let_go.set()
    assert thread.join(5)
    assert job.result(0) == 5


def test_a_thread_that_was_never_used_can_be_closed() -> None:
    thread = OwnThread("own")
    thread.close()
    assert thread.join(0)


# -- LoopThread --------------------------------------------------------------------------------------------------------


@pytest.fixture
def looping() -> Iterator[LoopThread]:
    thread = LoopThread("looping")
    yield thread
    thread.close()


def test_work_runs_on_the_loop_and_its_outcome_comes_out(looping: LoopThread) -> None:
    async def where() -> tuple[str, bool]:
        return threading.current_thread().name, asyncio.get_running_loop() is looping.loop and looping.here

    async def fail() -> None:
        raise ZeroDivisionError

    assert looping.run(where()) == ("looping", True)
    assert not looping.here
    with pytest.raises(ZeroDivisionError):
        looping.run(fail())


def test_work_that_takes_too_long_is_cancelled(looping: LoopThread) -> None:
    ended: Future[str] = Future()

    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.set_result("cancelled")
            raise

    with pytest.raises(TimeoutError):
        looping.run(hang(), 0.01)
    assert ended.result(5) == "cancelled"


def test_the_loop_cannot_wait_for_itself(looping: LoopThread) -> None:
    async def inside() -> list[str]:
        said = []
        waiting: list[Callable[[], object]] = [lambda: looping.run(asyncio.sleep(0)), looping.close]
        for call in waiting:
            with pytest.raises(LifecycleError) as caught:
                call()
            said.append(caught.value.message)
        return said

    assert looping.run(inside(), 5) == ["looping cannot wait for itself on its own thread"] * 2
    assert looping.run(asyncio.sleep(0, "still there")) == "still there"


def test_closing_cancels_what_runs_and_whoever_waits_for_it_is_told() -> None:
    thread = LoopThread("looping")
    begun = threading.Event()
    ended: list[str] = []
    told: list[BaseException] = []

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    def wait() -> None:
        try:
            thread.run(hang())
        except BaseException as error:  # noqa: BLE001 - collected
            told.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert begun.wait(5)
    thread.close()
    waiter.join(5)
    thread.close()
    assert ended == ["cancelled"]
    assert [type(error) for error in told] == [LifecycleError]
    assert "closed before the work was done" in str(told[0])
    assert thread.loop.is_closed()
    assert [one.name for one in threading.enumerate() if one.name.startswith("looping")] == []
    with pytest.raises(LifecycleError, match="has ended"):
        thread.run(asyncio.sleep(0))


def test_handing_in_work_while_another_thread_closes_never_hangs() -> None:
    for _ in range(20):
        thread = LoopThread("looping")
        outcomes: list[Any] = []

        def work(thread: LoopThread = thread, outcomes: list[Any] = outcomes) -> None:
            try:
                while True:
                    thread.run(asyncio.sleep(0), 5)
            except LifecycleError as error:
                outcomes.append(error)

        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        thread.close()
        for worker in workers:
            worker.join(5)
        assert len(outcomes) == 3


def test_a_lookup_that_hangs_does_not_hold_up_the_close() -> None:
    thread = LoopThread("looping")
    let_go = threading.Event()
    begun = threading.Event()

    def hang() -> None:
        begun.set()
        let_go.wait(15)

    thread.submit(asyncio.to_thread(hang))
    assert begun.wait(5)
    thread.close()
    assert thread.loop.is_closed()
    let_go.set()


AT_EXIT = """
import asyncio, atexit, threading
from asyncconn.core.threads import LoopThread

async def look_up():
    return await asyncio.get_running_loop().getaddrinfo("localhost", 80)

thread = LoopThread("looping")

def end():
    print("found" if thread.run(look_up(), 5) else "nothing", flush=True)
    thread.close()

atexit.register(end)
"""


def test_at_the_programs_end_names_can_still_be_looked_up() -> None:
    done = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, timeout=15, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("found\n", "", 0)


FORKS = """
import asyncio, os
from asyncconn.core.threads import LoopThread
from asyncconn.errors import LifecycleError

thread = LoopThread("looping")
if not (child := os.fork()):
    try:
        thread.run(asyncio.sleep(0), 5)
    except LifecycleError:
        thread.close()
        os._exit(0)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert thread.run(asyncio.sleep(0, "still there"), 5) == "still there"
thread.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_told_that_the_loop_has_ended_and_the_parents_goes_on() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKS]  # from 3.12 on, Python warns of forks beside threads
    done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
