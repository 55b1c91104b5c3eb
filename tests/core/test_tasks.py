"""Background tasks that are held and reaped, and endings that no cancellation can cut short."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from helpers import turns, virtual

from asyncconn.core.tasks import Ending, Flights, TaskScope, drain_guard, each, reap, together
from asyncconn.errors import AsyncConnError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.core.clock import VirtualClock


class Work:
    """A second of work that tells whether it came to its end."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.ended = False

    async def run(self) -> str:
        await asyncio.sleep(1.0)
        self.ended = True
        if self.error is not None:
            raise self.error
        return "done"


async def fails_when_cancelled() -> None:
    try:
        await asyncio.sleep(100.0)
    finally:
        raise LookupError("late")


@virtual
async def test_a_guard_returns_what_its_work_returns(clock: VirtualClock) -> None:
    assert await drain_guard(Work().run(), timeout=5.0, name="work") == "done"


@virtual
async def test_a_guard_raises_what_its_work_raises(clock: VirtualClock) -> None:
    with pytest.raises(LookupError):
        await drain_guard(Work(LookupError()).run(), timeout=5.0, name="work")


@pytest.mark.parametrize("times", [1, 2, 3])
@virtual
async def test_guarded_work_survives_native_cancellations_and_passes_them_on(clock: VirtualClock, times: int) -> None:
    work = Work()
    task = asyncio.create_task(drain_guard(work.run(), timeout=5.0, name="work"))
    await turns()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.1)
    await asyncio.wait({task})

    assert work.ended
    assert task.cancelled()


@virtual
async def test_guarded_work_survives_a_timeout_and_passes_it_on(clock: VirtualClock) -> None:
    work = Work()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await drain_guard(work.run(), timeout=5.0, name="work")

    assert work.ended


@pytest.mark.parametrize("delay", [0.0, 0.1])
@virtual
async def test_guarded_work_survives_an_anyio_scope_which_then_still_ends(clock: VirtualClock, delay: float) -> None:
    work, after = Work(), False
    with anyio.move_on_after(delay) as scope:
        await drain_guard(work.run(), timeout=5.0, name="work")
        await anyio.sleep(0)
        after = True

    assert work.ended
    assert scope.cancelled_caught
    assert not after


@virtual
async def test_work_that_takes_too_long_is_cancelled_and_says_so(clock: VirtualClock) -> None:
    work = Work()
    with pytest.raises(TimeoutError, match=r"work did not end within 0\.5 s"):
        await drain_guard(work.run(), timeout=0.5, name="work")

    assert not work.ended
    assert clock.now() == pytest.approx(0.5)


async def test_the_time_in_which_the_loop_stood_still_is_not_the_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that was stopped for a while: all deadlines are over when it goes on."""
    loop = asyncio.get_running_loop()
    now, stopped = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: now() + stopped)

    async def work() -> str:
        nonlocal stopped
        stopped = 1_000.0
        await turns(5)
        return "done"

    assert await drain_guard(work(), timeout=5.0, name="work") == "done"


@virtual
async def test_work_that_somebody_else_cancels_is_an_error_and_no_cancellation(clock: VirtualClock) -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(TimeoutError, match="work was cut short"):
        await drain_guard(work(), timeout=5.0, name="work")


@virtual
async def test_work_that_fails_while_its_caller_is_cancelled_is_logged(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    task = asyncio.create_task(drain_guard(Work(LookupError("lost")).run(), timeout=5.0, name="work"))
    await turns()
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert [record.getMessage() for record in caplog.records] == [
        "work failed while its caller was being cancelled: lost"
    ]


@virtual
async def test_reaped_tasks_have_really_ended(clock: VirtualClock) -> None:
    ended: list[int] = []

    async def work(number: int) -> None:
        try:
            await asyncio.sleep(100.0)
        finally:
            await asyncio.sleep(number / 10)
            ended.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(3)]
    await turns()
    await reap(tasks)

    assert ended == [0, 1, 2]


@virtual
async def test_reaping_raises_nothing_of_what_it_reaps(clock: VirtualClock) -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(100.0)
        finally:
            raise LookupError

    task = asyncio.create_task(work())
    await turns()
    await reap([task])

    assert isinstance(task.exception(), LookupError)


@virtual
async def test_what_fails_while_it_is_reaped_is_told_at_debug_and_not_by_the_loop(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asyncconn.tasks")
    task = asyncio.create_task(fails_when_cancelled(), name="stubborn")
    await turns()
    await reap([task])
    del task
    gc.collect()

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.DEBUG, "task stubborn failed while it was being cancelled: LookupError: late")
    ]


@virtual
async def test_reaping_lets_the_callers_own_cancellation_through(clock: VirtualClock) -> None:
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(100.0)
        await asyncio.sleep(1.0)

    task = asyncio.create_task(stubborn())
    await turns()
    reaper = asyncio.create_task(reap([task]))
    await turns()
    reaper.cancel()
    await asyncio.wait({reaper})
    await asyncio.wait({task})

    assert reaper.cancelled()


@virtual
async def test_a_scope_holds_its_tasks_strongly_and_by_name(clock: VirtualClock) -> None:
    scope = TaskScope("reader")
    ended: list[str] = []

    async def work() -> None:
        await asyncio.sleep(1.0)
        task = asyncio.current_task()
        assert task is not None
        ended.append(task.get_name())

    scope.spawn(work(), name="loop")
    gc.collect()
    held = len(scope)
    await asyncio.sleep(2.0)

    assert (held, ended, len(scope)) == (1, ["reader:loop"], 0)


@virtual
async def test_a_task_that_fails_is_logged_once_and_told_and_takes_no_other_down(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[BaseException] = []
    scope = TaskScope("reader", on_error=told.append)
    error = LookupError("gone")
    scope.spawn(Work(error).run(), name="bad")
    good = scope.spawn(Work().run(), name="good")
    await asyncio.wait({good})
    await turns()

    assert (told, good.result()) == ([error], "done")
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "task reader:bad failed: LookupError: gone")
    ]


@virtual
async def test_a_cancelled_task_is_no_failure(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    scope = TaskScope("reader")
    task = scope.spawn(Work().run(), name="work")
    await turns()
    task.cancel()
    await scope.aclose()

    assert caplog.records == []


@virtual
async def test_a_closed_scope_reaps_its_tasks_and_takes_no_more(clock: VirtualClock) -> None:
    scope, work = TaskScope("reader"), Work()
    task = scope.spawn(work.run(), name="work")
    await scope.aclose()
    await scope.aclose()
    with pytest.raises(RuntimeError, match="'reader' is closed"):
        scope.spawn(Work().run(), name="late")

    assert task.cancelled()


@pytest.mark.parametrize(("grace", "ended"), [(0.5, False), (2.0, True)])
@virtual
async def test_a_scope_closed_with_grace_lets_tasks_end_in_that_time(
    clock: VirtualClock, grace: float, ended: bool
) -> None:
    scope, work = TaskScope("reader"), Work()
    scope.spawn(work.run(), name="work")
    await scope.aclose(grace=grace)

    assert work.ended is ended
    assert clock.now() == pytest.approx(min(grace, 1.0))


# -- an end that comes once --------------------------------------------------------------------------------------------


@virtual
async def test_all_who_ask_for_an_end_get_the_first_ones(clock: VirtualClock) -> None:
    limits: list[float] = []
    ending: Ending[str] = Ending("work", grace=1.0)

    async def work(limit: float) -> str:
        limits.append(limit)
        return await Work().run()

    assert not ending.begun
    first = asyncio.create_task(ending.reached(work, 5.0))
    await turns()
    first.cancel()
    assert await ending.reached(work, 0.0) == "done"
    assert await ending.reached(work, 9.0) == "done"
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (limits, ending.begun) == ([5.0], True)


@virtual
async def test_an_end_that_does_not_come_is_cancelled_a_grace_after_its_limit(clock: VirtualClock) -> None:
    ending: Ending[None] = Ending("work", grace=1.0)
    with pytest.raises(TimeoutError):
        await ending.reached(lambda limit: asyncio.sleep(3600.0), 5.0)
    assert clock.now() == pytest.approx(6.0)


@virtual
async def test_who_asks_after_an_end_that_did_not_come_or_meanwhile_is_told_so_too(clock: VirtualClock) -> None:
    ending: Ending[None] = Ending("work", grace=1.0)

    async def ask(after: float) -> BaseException | None:
        await asyncio.sleep(after)
        try:
            await ending.reached(lambda limit: asyncio.sleep(3600.0), 5.0)
        except BaseException as error:  # noqa: BLE001 - a cancellation would be the defect
            return error
        return None

    asked = await asyncio.gather(ask(0.0), ask(1.0), ask(60.0))

    assert [type(error) for error in asked] == [TimeoutError] * 3


# -- side by side ------------------------------------------------------------------------------------------------------


@virtual
async def test_the_first_error_by_time_is_raised_and_cancels_the_others(clock: VirtualClock) -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.sleep({"late": 2.0, "early": 1.0, "never": 100.0}[name])
            raise LookupError(name)
        finally:
            ended.append(name)

    with pytest.raises(LookupError, match="early"):
        await each(["late", "early", "never"], work, name="work", at_once=3)
    assert sorted(ended) == ["early", "late", "never"]
    assert clock.now() == pytest.approx(1.0)


@virtual
async def test_an_error_of_one_that_is_cancelled_does_not_come_before_the_one_that_ended_it(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(LookupError, match="first"):
        await together((fails_when_cancelled(), fails_at_once()), name="work")
    gc.collect()

    assert caplog.records == []


async def fails_at_once() -> None:
    await asyncio.sleep(0)
    raise LookupError("first")


async def is_cancelled_inside() -> None:
    await asyncio.sleep(1.0)
    waited_for = asyncio.create_task(asyncio.sleep(100.0))
    waited_for.cancel()
    await waited_for


async def is_cancelled_from_outside() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(1.0, task.cancel)
    await asyncio.sleep(100.0)


@pytest.mark.parametrize("cancelled", [is_cancelled_inside, is_cancelled_from_outside])
@virtual
async def test_one_that_is_cancelled_though_its_caller_is_not_is_an_error_and_ends_the_others(
    clock: VirtualClock, cancelled: Callable[[], Any]
) -> None:
    other = Work()
    with pytest.raises(AsyncConnError, match="work was cancelled, and who waits for it was not"):
        await together((asyncio.sleep(100.0), cancelled()), name="work")
    with pytest.raises(AsyncConnError):
        await each([cancelled, other.run], lambda work: work(), name="work", at_once=1)

    assert clock.now() == pytest.approx(2.0)
    assert not other.ended


@virtual
async def test_a_cancellation_of_the_caller_ends_all_and_stays_one(clock: VirtualClock) -> None:
    works = [Work(), Work()]
    task = asyncio.create_task(together([work.run() for work in works], name="work"))
    await turns()
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert len(asyncio.all_tasks()) == 1


# -- one at a time for a key -------------------------------------------------------------------------------------------


@virtual
async def test_a_flight_that_fails_when_its_last_passenger_has_left_is_told_at_debug(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asyncconn.tasks")
    passenger = asyncio.create_task(Flights[str]("plans").join("7", fails_when_cancelled))
    await turns()
    passenger.cancel()
    await asyncio.wait({passenger})
    gc.collect()

    assert passenger.cancelled()
    assert [record.getMessage() for record in caplog.records] == [
        "task plans:7 failed while it was being cancelled: LookupError: late"
    ]


@virtual
async def test_a_flight_that_is_cancelled_is_an_error_to_its_passengers(clock: VirtualClock) -> None:
    flights = Flights[str]("plans")
    asked = await asyncio.gather(*(flights.join("7", is_cancelled_inside) for _ in range(2)), return_exceptions=True)

    assert [str(error) for error in asked] == [str(asked[0])] * 2
    assert isinstance(asked[0], AsyncConnError)
    assert "plans:7 was cancelled" in str(asked[0])
