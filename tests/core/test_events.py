"""Handlers can watch, but can never break what they watch."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING

import pytest
from helpers import virtual

from asyncconn.core.events import Events
from asyncconn.core.tasks import TaskScope
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock


class Watcher:
    def __init__(self) -> None:
        self.seen: list[object] = []

    def see(self, data: object) -> None:
        self.seen.append(data)


def test_handlers_are_called_in_the_order_they_were_added() -> None:
    events, order = Events("send"), list[str]()
    for name in ("first", "second", "third"):
        events.on("send", lambda _, name=name: order.append(name))
    events.emit("send")

    assert order == ["first", "second", "third"]


def test_a_handler_added_twice_is_called_once() -> None:
    events, watcher = Events("send"), Watcher()
    events.on("send", watcher.see)
    events.on("send", watcher.see)  # another bound method object, and equal
    events.emit("send", 1)

    assert watcher.seen == [1]


def test_a_bound_method_can_be_taken_off() -> None:
    events, watcher = Events("send"), Watcher()
    events.on("send", watcher.see)
    events.off("send", watcher.see)
    events.off("send", watcher.see)
    events.emit("send", 1)

    assert watcher.seen == []


def test_a_decorated_handler_stays_the_function_it_was() -> None:
    events, seen = Events("send"), list[int]()

    @events.on("send")
    def see(data: int) -> None:
        seen.append(data)

    see(1)
    events.emit("send", 2)

    assert seen == [1, 2]


def test_a_star_hears_every_event_by_name_before_the_others() -> None:
    events, seen = Events("send", "error"), list[object]()
    events.on("send", seen.append)
    events.on("*", lambda name, data: seen.append((name, data)))
    events.emit("send", 1)
    events.emit("error", 2)

    assert seen == [("send", 1), 1, ("error", 2)]


def test_a_name_that_is_never_emitted_is_a_config_error_that_lists_the_others() -> None:
    with pytest.raises(ConfigError, match=r"'sned'.*\*, error, send"):
        Events("send", "error").on("sned", print)


def test_there_is_one_vocabulary() -> None:
    with pytest.raises(ConfigError, match="is called sent: use attempt, error, flush, gap, live, lost, retry,"):
        Events("send", "sent")


def test_what_cannot_be_called_is_no_handler() -> None:
    with pytest.raises(ConfigError, match="not callable: int"):
        Events("send").on("send", 3)  # type: ignore[call-overload] # wrong on purpose


def test_a_handler_added_while_emitting_hears_only_the_next_event() -> None:
    events, seen = Events("send"), list[object]()

    @events.on("send")
    def add(data: object) -> None:
        events.on("send", seen.append)

    events.emit("send", 1)
    events.emit("send", 2)

    assert seen == [2]


def test_a_handler_that_takes_itself_off_does_not_hide_the_next_one() -> None:
    events, seen = Events("send"), list[object]()

    @events.on("send")
    def once(data: object) -> None:
        events.off("send", once)

    events.on("send", seen.append)
    events.emit("send", 1)

    assert seen == [1]


def test_a_handler_that_raises_is_counted_each_time_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    events, seen = Events("send"), list[object]()

    @events.on("send")
    def bad(data: object) -> None:
        raise LookupError("gone")

    events.on("send", seen.append)
    for number in range(3):
        events.emit("send", number)

    assert (events.failures, seen) == (3, [0, 1, 2])
    assert len(caplog.records) == 1
    assert "bad of event 'send' raised LookupError: gone" in caplog.text


def test_each_of_many_handlers_that_raise_is_logged_and_none_that_is_off_is_held(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events, gone = Events("send"), list[weakref.ref[object]]()
    for number in range(5):

        def bad(data: object, number: int = number) -> None:
            raise LookupError(f"number {number}")

        events.on("send", bad)
        events.emit("send")
        events.emit("send")
        events.off("send", bad)
        gone.append(weakref.ref(bad))
        del bad  # what comes next may well stand where it stood
    gc.collect()

    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [f"number {n}" for n in range(5)]
    assert [one() for one in gone] == [None] * 5


def test_a_coroutine_function_without_a_scope_is_counted_as_a_failure() -> None:
    events = Events("send")

    @events.on("send")
    async def later(data: object) -> None:
        raise AssertionError("never runs")

    events.emit("send")

    assert events.failures == 1


@virtual
async def test_a_coroutine_function_runs_as_a_task_of_the_scope(clock: VirtualClock) -> None:
    scope, seen = TaskScope("test"), list[object]()
    events = Events("send", scope=scope)

    @events.on("send")
    async def later(data: object) -> None:
        await asyncio.sleep(1.0)
        seen.append(data)

    events.emit("send", 1)
    before = list(seen)
    await asyncio.sleep(2.0)

    assert (before, seen) == ([], [1])


@virtual
async def test_a_coroutine_that_raises_is_counted_and_not_logged_as_a_failed_task(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    events = Events("send", scope=TaskScope("test"))

    @events.on("send")
    async def bad(data: object) -> None:
        raise LookupError("gone")

    events.emit("send")
    await asyncio.sleep(1.0)

    assert events.failures == 1
    assert [record.name for record in caplog.records] == ["asyncconn.events"]


@pytest.mark.parametrize(("name", "wanted"), [("send", True), ("*", True), ("error", False)])
def test_an_emitter_can_ask_whether_anybody_listens(name: str, wanted: bool) -> None:
    events = Events("send", "error")
    events.on(name, print)

    assert events.wanted("send") is wanted
