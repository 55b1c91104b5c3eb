"""Reads that fail are repeated, reads that hang are given up, and a run ends whatever its source does."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.panoply import DataSource, PanoplyException, run_source
from asyncconn.panoply.errors import ReadFailed, ReadTimedOut

from .scene import QUICK_READS, AsyncScripted, ManualWriter, MemoryStore, Scripted, both, for_ever, params

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock


# -- retries -----------------------------------------------------------------------------------------------------------


@both
async def test_a_read_that_fails_is_repeated_three_times_each_time_anew(kind: type[Scripted]) -> None:
    fails = [ValueError("1"), OSError("2"), PanoplyException("3")]
    report = await run_source(
        kind, params(*fails, [{"id": 1}], *fails, [{"id": 2}]), into=ManualWriter(), retry=QUICK_READS
    )
    assert (report.rows, report.retries) == (2, 6)


@both
async def test_a_fourth_failure_ends_the_run(kind: type[Scripted]) -> None:
    last = ValueError("4")
    source = kind(params([{"id": 0}], ValueError("1"), ValueError("2"), ValueError("3"), last, [{"id": 1}]))
    with pytest.raises(ReadFailed, match="read failed 4 times: ValueError: 4") as caught:
        await run_source(source, into=ManualWriter(), retry=QUICK_READS)
    assert caught.value.__cause__ is last
    assert (caught.value.attempts, caught.value.retryable, source.closed) == (4, True, 1)
    assert caught.value.report is not None
    assert (caught.value.report.delivered, caught.value.report.retries) == (1, 3)


@both
async def test_an_error_that_is_not_to_be_repeated_is_not(kind: type[Scripted]) -> None:
    class Gone(Exception):  # any class may say so
        retryable = False

    for error in (PanoplyException("no such form", retryable=False), Gone("away")):
        source = kind(params(ValueError("1"), error, [{"id": 1}]))
        with pytest.raises(ReadFailed, match="read failed 2 times, which it says") as caught:
            await run_source(source, into=ManualWriter(), retry=QUICK_READS)
        assert (caught.value.__cause__, caught.value.retryable, len(source.hints)) == (error, False, 2)


@virtual
async def test_the_waits_between_retries_grow_and_a_long_read_is_repeated_too(clock: VirtualClock) -> None:
    async def slow(_: Any) -> Any:
        await asyncio.sleep(1000)
        raise ValueError("after a long time")

    source = AsyncScripted(params(*[lambda s: slow(s)] * 3, [{"id": 1}]))
    report = await run_source(source, into=ManualWriter(clock=clock))
    assert (report.rows, report.retries) == (1, 3)
    assert 3000 <= clock.now() <= 3000 + 1 + 2 + 4


async def test_states_of_a_failed_read_are_forgotten() -> None:
    def half(source: DataSource) -> Any:
        source.state("lost", {"at": 99, "lost": True})
        raise ValueError("the rows never came")

    def whole(source: DataSource) -> Any:
        source.state("s", {"at": 1})
        return [{"id": 1, "__state": "s"}]

    store = MemoryStore()
    await run_source(Scripted, params(half, whole), into=ManualWriter(), state=store, retry=QUICK_READS)
    assert store.states == [{"at": 1}]


async def test_stop_iteration_out_of_a_plain_read_is_an_error_like_any_other() -> None:
    with pytest.raises(ReadFailed, match="StopIteration"):
        await run_source(Scripted, params(*[StopIteration()] * 4), into=ManualWriter(), retry=QUICK_READS)


# -- hanging -----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_read_that_hangs_is_given_up_at_the_deadline_and_not_repeated(clock: VirtualClock) -> None:
    source = AsyncScripted(params(ValueError("1"), [{"id": 0}], PanoplyException("2"), lambda s: for_ever(s)))
    writer = ManualWriter(clock=clock)
    with pytest.raises(ReadTimedOut, match="no sign of life for 1800 s") as caught:
        await run_source(source, into=writer)
    assert len(source.hints) == 4
    assert 1800 <= clock.now() <= 1800 + 2 * 2
    assert (source.closed, len(writer.rows)) == (1, 1)
    assert caught.value.report is not None
    assert caught.value.report.delivered == 1


@virtual
async def test_a_sign_of_life_moves_the_deadline(clock: VirtualClock) -> None:
    async def busy(source: DataSource) -> Any:
        for sign in (
            lambda: source.progress(1, None),
            lambda: source.log("still here"),
            lambda: source.state("s", {}),
            lambda: source.fire("anything"),
        ):
            await asyncio.sleep(50)
            sign()
        await asyncio.sleep(50)
        return [{"id": 1}]

    report = await run_source(AsyncScripted, params(lambda s: busy(s)), into=ManualWriter(clock=clock), read_timeout=60)
    assert report.rows == 1
    assert clock.now() >= 250


async def test_a_plain_read_that_hangs_is_left_behind_and_close_sets_it_free() -> None:
    free = threading.Event()

    class Hanging(Scripted):
        def read(self, n: int | None = None) -> Any:
            self.threads.add(threading.current_thread())
            free.wait(15)

        def close(self) -> None:
            super().close()
            free.set()

    source = Hanging(params())
    with pytest.raises(ReadTimedOut):
        await run_source(source, into=ManualWriter(), read_timeout=0.05)
    assert source.closed == 1
    for thread in source.threads - {threading.current_thread()}:
        await asyncio.to_thread(thread.join, 5)


@virtual
async def test_a_close_that_hangs_or_fails_does_not_spoil_a_finished_run(clock: VirtualClock) -> None:
    class Hanging(AsyncScripted):
        async def close(self) -> None:  # type: ignore[override] # plain or not, both are allowed
            await for_ever()

    class Failing(AsyncScripted):
        def close(self) -> None:
            raise ValueError("a stranger's bug")

    for kind in (Hanging, Failing):
        assert (await run_source(kind, params([{"id": 1}]), into=ManualWriter(clock=clock), close_timeout=5)).complete
    assert clock.now() == 5
