"""Where a batched method belongs: one buffer an instance, drained with its connector, perhaps with a file."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from helpers import turns, virtual

from asyncconn import Hub
from asyncconn.batches import BatchedMethod, NotAMethod, batched
from asyncconn.core.buffer.batch import Batch
from asyncconn.errors import (
    ConfigError,
    ConnectFailed,
    DeliveryFailed,
    HubClosed,
    HubNotOpen,
    NotPicklable,
)

from .batched_scene import Acme, Noun, Point, Spooling, items, left_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock


# -- where it belongs --------------------------------------------------------------------------------------------------


@virtual
async def test_there_is_one_buffer_a_name_and_instance(clock: VirtualClock) -> None:
    class Child(Acme): ...

    async with Hub(clock=clock) as hub:
        one, other, child = Acme(hub), Acme(hub), Child(hub)
        buffers = {one.points, one.points, other.points, one.ordered, child.points}
        for acme in (one, other, child):
            await acme.points.put({"id": type(acme).__name__})

    assert len(buffers) == 4
    assert (one.arrived, other.arrived, child.arrived) == (["Acme"], ["Acme"], ["Child"])
    assert isinstance(Acme.points, BatchedMethod)
    assert Acme.points.__doc__ == "Sends points."


@virtual
async def test_a_subclass_may_send_in_its_own_way_and_in_its_parents(clock: VirtualClock) -> None:
    class Child(Acme):
        @batched(max_items=2, max_bytes=1000)
        async def points(self, batch: Batch[Point]) -> None:
            await Acme.points.send(self, batch)
            self.arrived.append("child")

    async with Hub(clock=clock) as hub:
        acme = Child(hub)
        await acme.points.deliver(items(2))

    assert acme.arrived == [0, 1, "child"]


@virtual
async def test_the_buffer_of_a_noun_is_drained_with_its_connector(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        await Noun(acme).points.put({"id": 1})  # nobody holds the noun
        gc.collect()
        report = await acme.aclose()
        with pytest.raises(HubClosed):
            Noun(acme).points  # noqa: B018 - what is tested

    assert acme.arrived == [1]
    assert report is not None
    assert report.delivered == 1


@virtual
async def test_a_noun_that_is_let_go_is_gone_and_what_it_did_is_not_forgotten(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        nouns: list[weakref.ref[Noun]] = []
        for number in range(5):
            noun = Noun(acme)
            acme.answers = {3: ["bad"]}
            noun.points.on("error", lambda _: None)
            await noun.points.deliver([{"id": number}])
            nouns.append(weakref.ref(noun))
        del noun
        await turns(5)
        gc.collect()
        left = [ref() for ref in nouns]

    assert left == [None] * 5
    assert hub.report is not None
    assert (hub.report.reports["acme"].delivered, hub.report.reports["acme"].rejected) == (4, 1)


@virtual
async def test_one_that_has_only_a_hub_is_drained_by_it(clock: VirtualClock) -> None:
    sent: list[Any] = []

    class Lonely:
        def __init__(self, hub: Hub) -> None:
            self.hub = hub

        @batched(max_items=3, max_bytes=100)
        async def rows(self, batch: Batch[int]) -> None:
            sent.extend(batch.items)

    async with Hub(clock=clock) as hub:
        for number in range(3):
            await Lonely(hub).rows.deliver([number])
        await turns(5)
        gc.collect()
        let_go = repr(hub)
        await Lonely(hub).rows.put(3)

    assert let_go == "<Hub open, 0 connectors>"
    assert sent == [0, 1, 2, 3]
    assert hub.report is not None
    assert sum(report.delivered for report in hub.report.reports.values()) == 4


@virtual
async def test_buffers_are_drained_after_the_connectors_own_drain_within_the_same_time(clock: VirtualClock) -> None:
    class Slow(Acme):
        async def drain(self, timeout: float) -> None:
            await asyncio.sleep(3.0)
            await self.points.put({"id": "last"})
            self.arrived.append("drained")

    hub = await Hub(clock=clock).open()
    acme = Slow(hub)
    acme.points.on("error", lambda _: None)
    await acme.ordered.put({"id": "early"})
    report = await hub.aclose(timeout=10.0)

    assert acme.arrived == ["early", "drained", "last"]
    assert report.complete
    assert clock.now() == pytest.approx(3.0, abs=0.1)


@virtual
async def test_buffers_are_drained_although_the_connectors_own_drain_fails(clock: VirtualClock) -> None:
    class Broken(Acme):
        async def drain(self, timeout: float) -> None:
            raise OSError("broken")

    hub = await Hub(clock=clock).open()
    acme = Broken(hub)
    await acme.points.put({"id": 1})
    report = await hub.aclose()

    assert acme.arrived == [1]
    assert isinstance(report.errors["acme"], OSError)
    assert report.reports["acme"].delivered == 1


@virtual
async def test_what_does_not_get_away_in_time_is_reported(clock: VirtualClock) -> None:
    hub = await Hub(clock=clock).open()
    acme = Acme(hub)
    acme.seconds = 60.0
    failures: list[DeliveryFailed] = []
    acme.points.on("error", failures.append)
    for item in items(20):
        await acme.points.put(item)
    report = (await hub.aclose(timeout=5.0)).reports["acme"]

    assert clock.now() < 20.0
    assert (report.failed, report.unknown, report.pending) == (8, 12, 0)
    assert sum(len(failure.records) for failure in failures) == 20
    with pytest.raises(HubClosed):
        await acme.points.put({"id": 1})


def test_called_as_a_method_it_says_what_it_is() -> None:
    points: Any = Acme().points
    with pytest.raises(NotAMethod, match=r"acme.points is a buffer: put or deliver") as caught:
        points([1])

    assert isinstance(caught.value, TypeError)


def test_it_can_be_neither_replaced_nor_pickled_nor_copied() -> None:
    acme = Acme()
    for way in (pickle.dumps, copy.copy):
        with pytest.raises(NotPicklable):
            way(acme.points)
    with pytest.raises(AttributeError):
        acme.points = 1


@virtual
async def test_a_copied_noun_has_a_buffer_of_its_own(clock: VirtualClock) -> None:
    @dataclass
    class Plain(Noun):
        connector: Acme

    async with Hub(clock=clock) as hub:
        noun = Plain(Acme(hub))
        first = noun.points
        other: Plain = object.__new__(Plain)
        other.__dict__.update(noun.__dict__)

        assert other.points is not first
        assert noun.points is first


def test_what_belongs_nowhere_is_refused() -> None:
    class Nowhere:
        @batched(max_items=1, max_bytes=10)
        async def points(self, batch: Batch[int]) -> None: ...

    class Slotted:
        __slots__ = ("connector",)

        @batched(max_items=1, max_bytes=10)
        async def points(self, batch: Batch[int]) -> None: ...

    with pytest.raises(ConfigError, match=r"Nowhere.points is batched: it must belong to a Connector"):
        Nowhere().points  # noqa: B018 - what is tested
    with pytest.raises(ConfigError, match="needs instances with a __dict__"):
        Slotted().points  # noqa: B018 - as above


@pytest.mark.parametrize(
    "options",
    [
        {"max_items": 0, "max_bytes": 10},
        {"max_items": 1, "max_bytes": 10, "envelope": 10},
        {"max_items": 1, "max_bytes": 10, "envelope": -1},
        {"max_items": 1, "max_bytes": 10, "tries": 0},
        {"max_items": 1, "max_bytes": 10, "max_age": 0.0},
        {"max_items": 1, "max_bytes": 10, "overflow": "drop"},
    ],
)
def test_what_cannot_work_is_refused_where_it_is_written(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        batched(**options)


async def test_it_can_be_made_before_the_hub_is_open_and_not_be_used() -> None:
    acme = Acme()
    seen: list[object] = []
    acme.points.on("flush", seen.append)
    with pytest.raises(HubNotOpen):
        await acme.points.put({"id": 1})
    async with acme:
        await acme.points.put({"id": 1})

    assert len(seen) == 1


@virtual
async def test_handlers_see_batches_decoded(clock: VirtualClock) -> None:
    seen: list[Any] = []
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)

        @acme.points.on("send")
        def leaves(batch: Batch[Point]) -> None:
            seen.append(batch.items)

        await acme.points.deliver(items(2))
        acme.points.off("send", leaves)
        await acme.points.deliver(items(1))

    assert seen == [[{"id": 0}, {"id": 1}]]


# -- a spool -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    return tmp_path / "acme.spool"  # type: ignore[return-value] # a fixture


async def test_with_a_spool_each_item_has_its_own_outcome_too(path: Path) -> None:
    async with Hub() as hub:
        acme = Spooling(hub, path)
        acme.answers = {1: ["bad"], 2: ["busy"], 5: ["busy", "bad"]}
        report = await acme.kept.deliver(items(8))
        stats = acme.kept.stats

        assert (report.delivered, report.rejected, report.pending) == (6, 2, 0)
        assert len(report.rejections) == 2
        assert (stats.accepted, stats.delivered, stats.rejected, stats.pending) == (8, 6, 2, 0)

    assert sorted(acme.arrived) == [0, 2, 3, 4, 6, 7]
    assert await left_in(path) == []


async def test_what_could_not_be_sent_is_pending_and_sent_by_the_next_one(path: Path) -> None:
    async with Hub() as hub:
        acme = Spooling(hub, path)
        acme.answers = {0: ["bad"], 1: ["busy"]}
        acme.errors = [ConnectFailed("nobody there")]
        report = await acme.kept.deliver(items(3), timeout=0.3)
        assert (report.delivered, report.rejected, report.pending) == (0, 1, 2)
        assert len(report.rejections) == 1
    assert await left_in(path) == [1, 2]

    async with Hub() as hub:
        acme = Spooling(hub, path)
        await acme.kept.open()
        assert (await acme.kept.flush()).delivered == 2

    assert acme.arrived == [1, 2]
    assert await left_in(path) == []


async def test_what_is_never_taken_stays_in_the_spool(path: Path) -> None:
    async with Hub() as hub:
        acme = Spooling(hub, path)
        acme.answers = {1: ["busy"] * 9}
        report = await acme.kept.deliver(items(3))
        assert (report.delivered, report.failed, report.pending, report.spooled) == (2, 0, 1, 1)

    assert await left_in(path) == [1]
