"""A sending method as a buffer: what it sees, what becomes of each item, and where it belongs."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import math
import pickle
import weakref
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from helpers import turns, virtual
from loopback import Loopback, Reply, Seen

from asyncconn import Connector, Hub, Platform, TokenAuth, UndeliveredWarning
from asyncconn.batches import BatchedMethod, Batches, NotAMethod, batched
from asyncconn.core.buffer.batch import Batch
from asyncconn.core.buffer.receipts import Rejected
from asyncconn.core.buffer.spool import Spool
from asyncconn.errors import (
    Answer,
    AsyncConnError,
    BadRequest,
    BufferClosed,
    ConfigError,
    ConnectFailed,
    DeliveryFailed,
    HubClosed,
    HubNotOpen,
    InvalidRecord,
    NotPicklable,
    ReadTimeout,
    RecordTooLarge,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock
    from asyncconn.core.sinks import Sink

Point = dict[str, Any]


class Acme(Connector):
    """Its server is a list: ``answers`` say of an item, by its id, what happens to it the next time."""

    platform = Platform("acme", base_url="http://127.0.0.1:1")

    def __init__(self, hub: Hub | None = None) -> None:
        super().__init__(hub=hub)
        self.calls: list[list[Point]] = []
        self.arrived: list[Any] = []
        self.at: list[float] = []
        self.answers: dict[Any, list[str]] = {}
        self.errors: list[Exception] = []
        self.seconds = 0.0

    async def receive(self, batch: Batch[Point]) -> None:
        self.calls.append(copy.deepcopy(batch.items))
        self.at.append(self.hub.clock.now())
        await asyncio.sleep(self.seconds)
        for item in batch.items:
            answers = self.answers.get(item["id"])
            answer = answers.pop(0) if answers else "ok"
            if answer == "busy":
                batch.again(item)
            elif answer.startswith("later"):
                batch.again(item, after=float(answer[6:]))
            elif answer != "ok":
                batch.reject(item, answer)
            else:
                self.arrived.append(item["id"])
        if self.errors:
            raise self.errors.pop(0)

    @batched(max_items=3, max_bytes=1000)
    async def points(self, batch: Batch[Point]) -> str:
        """Sends points."""
        await self.receive(batch)
        return "thanks"

    @batched(max_items=3, max_bytes=1000, key=lambda point: point.get("key"), tries=3)
    async def ordered(self, batch: Batch[Point]) -> None:
        await self.receive(batch)


def items(count: int, **more: Any) -> list[Point]:
    return [{"id": number, **more} for number in range(count)]


# -- what the method sees ----------------------------------------------------------------------------------------------


@virtual
async def test_what_is_delivered_is_sent_in_batches_and_reported(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        report = await acme.points.deliver(items(7))

    assert [len(call) for call in acme.calls] == [3, 3, 1]
    assert acme.arrived == [*range(7)]
    assert (report.delivered, report.accepted, report.complete) == (7, 7, True)
    assert hub.report is not None
    assert hub.report.reports["acme"].delivered == 7


@virtual
async def test_an_item_is_sent_as_it_was_when_it_was_put(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        point = {"id": 1, "tags": ["a"]}
        await acme.points.put(point)
        point["tags"].append("b")  # type: ignore[attr-defined] # a list
        point["id"] = 2

    assert acme.calls == [[{"id": 1, "tags": ["a"]}]]


@virtual
async def test_an_item_that_is_sent_again_is_as_it_was_put_although_the_method_changed_it(clock: VirtualClock) -> None:
    class Careless(Acme):
        @batched(max_items=3, max_bytes=1000)
        async def points(self, batch: Batch[Point]) -> None:
            await self.receive(batch)
            for item in batch.items:
                item["spoilt"] = True

    async with Hub(clock=clock) as hub:
        acme = Careless(hub)
        acme.answers = {0: ["busy"]}
        await acme.points.deliver(items(1))

    assert acme.calls == [[{"id": 0}], [{"id": 0}]]


@pytest.mark.parametrize("bad", [{"x": object()}, {"x": math.nan}, {"x": {1: 2}}, {"x": {1, 2}}])
@virtual
async def test_what_cannot_be_encoded_is_refused_when_it_is_put(clock: VirtualClock, bad: Point) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        with pytest.raises(InvalidRecord):
            await acme.points.put(bad)
        with pytest.raises(InvalidRecord) as caught:
            await acme.points.deliver([*items(2), bad])
        assert caught.value.index == 2
        assert acme.points.stats.accepted == 2

    assert acme.arrived == [0, 1]


@virtual
async def test_integers_of_any_size_arrive_with_every_digit(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        await acme.points.put({"id": 2**80 + 1})

    assert acme.arrived == [2**80 + 1]


@virtual
async def test_bytes_are_counted_with_separators_and_the_envelope(clock: VirtualClock) -> None:
    class Tight(Acme):
        @batched(max_items=1000, max_bytes=100, envelope=20, size=lambda encoded: 2 * len(encoded))
        async def points(self, batch: Batch[str]) -> None:
            self.calls.append([{"size": 20 + sum(2 * len(json.dumps(item)) + 1 for item in batch.items)}])

    async with Hub(clock=clock) as hub:
        acme = Tight(hub)
        with pytest.raises(RecordTooLarge):
            await acme.points.put("x" * 38)
        await acme.points.put("x" * 37)  # 39 with quotes: 79 of 80
        await acme.points.deliver("x" * length for length in [*range(20), *range(20, 0, -1)])

    sizes = [call[0]["size"] for call in acme.calls]
    assert max(sizes) <= 100
    assert min(sizes[:-1]) > 50


@virtual
async def test_items_may_have_a_form_of_their_own(clock: VirtualClock) -> None:
    seen: list[list[int]] = []

    class Numbers(Connector):
        platform = Platform("numbers", base_url="http://127.0.0.1:1")

        @batched(max_items=2, max_bytes=100, encode=str, decode=int)
        async def send(self, batch: Batch[int]) -> None:
            seen.append(batch.items)
            batch.reject(batch.items[1], "odd")

    async with Hub(clock=clock) as hub:
        numbers = Numbers(hub=hub)
        report = await numbers.send.deliver([1, 1])

    assert seen == [[1, 1]]
    assert report.rejections == (Rejected(1, "odd"),)


# -- an outcome for each -----------------------------------------------------------------------------------------------


@virtual
async def test_each_item_has_its_own_outcome(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.answers = {1: ["busy"], 4: ["no such series"], 5: ["busy", "busy", "too old"]}
        report = await acme.points.deliver(items(7))
        stats = acme.points.stats

    assert sorted(acme.arrived) == [0, 1, 2, 3, 6]
    assert (report.delivered, report.rejected, report.lost, report.pending, report.complete) == (5, 2, 2, 0, False)
    assert report.rejections == (Rejected({"id": 4}, "no such series"), Rejected({"id": 5}, "too old"))
    assert report.undelivered == []
    assert (stats.delivered, stats.rejected, stats.pending) == (5, 2, 0)


@virtual
async def test_items_that_are_sent_again_are_gathered_into_few_batches(clock: VirtualClock) -> None:
    class Many(Acme):
        @batched(max_items=100, max_bytes=10_000)
        async def points(self, batch: Batch[Point]) -> None:
            await self.receive(batch)

    async with Hub(clock=clock) as hub:
        acme = Many(hub)
        acme.seconds = 0.1
        acme.answers = {number: ["busy"] for number in range(0, 2000, 50)}
        report = await acme.points.deliver(items(2000))

    assert report.complete
    assert len(acme.calls) <= 20 + 2


@pytest.mark.parametrize("tries", [1, 3, 8])
@virtual
async def test_an_item_that_is_never_taken_fails_after_its_tries(clock: VirtualClock, tries: int) -> None:
    class Stubborn(Acme):
        @batched(max_items=3, max_bytes=1000, tries=tries)
        async def points(self, batch: Batch[Point]) -> None:
            await self.receive(batch)

    async with Hub(clock=clock) as hub:
        acme = Stubborn(hub)
        acme.answers = {1: ["busy"] * 100}
        report = await acme.points.deliver(items(3))

    assert sum({"id": 1} in call for call in acme.calls) == tries
    assert (report.delivered, report.failed, report.unknown, report.undelivered) == (2, 1, 0, [{"id": 1}])
    assert f"were not taken, {tries} times" in str(report.failures[0])


@virtual
async def test_it_is_sent_again_no_earlier_than_it_was_asked_for(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.answers = {1: ["later 7.5"], 2: ["later 3"]}
        report = await acme.points.deliver(items(3))

    assert acme.at == pytest.approx([0.0, 3.0, 7.5], abs=0.01)
    assert report.complete


@pytest.mark.parametrize(
    ("error", "unknown"),
    [
        (BadRequest("no", Answer("acme", 400)), False),
        (ConnectFailed("nobody there"), False),
        (ReadTimeout("no answer"), True),
        (KeyError("results"), True),
    ],
)
@virtual
async def test_what_is_not_marked_fails_with_the_method_or_is_unknown(
    clock: VirtualClock, error: Exception, unknown: bool
) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.answers = {0: ["busy"], 1: ["too old"]}
        acme.errors = [error]
        report = await acme.points.deliver(items(3))

    assert (report.delivered, report.rejected) == (1, 1)  # the busy one was sent again
    assert (report.failed, report.unknown) == ((0, 1) if unknown else (1, 0))
    assert report.undelivered == [{"id": 2}]
    assert report.failures[0].__cause__ is error


@virtual
async def test_equal_items_are_told_apart_by_how_often_they_are_marked(clock: VirtualClock) -> None:
    class Letters(Connector):
        platform = Platform("letters", base_url="http://127.0.0.1:1")

        @batched(max_items=5, max_bytes=100)
        async def send(self, batch: Batch[Any]) -> None:
            batch.reject(None, "first")
            batch.reject(batch.items[1], "second")
            with pytest.raises(ConfigError):
                batch.again("another")
            with pytest.raises(ConfigError):
                batch.again(True)

    async with Hub(clock=clock) as hub:
        letters = Letters(hub=hub)
        report = await letters.send.deliver([None, None, None])

    assert (report.delivered, [one.reason for one in report.rejections]) == (1, ["first", "second"])


@virtual
async def test_a_mark_that_comes_too_late_is_an_error(clock: VirtualClock) -> None:
    seen: list[Batch[Point]] = []

    class Late(Acme):
        @batched(max_items=1, max_bytes=100)
        async def points(self, batch: Batch[Point]) -> None:
            seen.append(batch)

    async with Hub(clock=clock) as hub:
        await Late(hub).points.deliver(items(1))
        with pytest.raises(AsyncConnError, match="before the sending method returns"):
            seen[0].reject(seen[0].items[0], "too late")


@virtual
async def test_a_receipt_is_done_when_the_last_record_of_its_batch_has_an_outcome(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.answers = {1: ["later 5"], 2: ["later 1", "too old"]}
        receipts = [await acme.points.put(item) for item in items(3)]
        await asyncio.sleep(4.0)
        early = receipts[0].done
        with pytest.raises(DeliveryFailed) as caught:
            await receipts[0]
        fine = await (await acme.points.put({"id": 9}))

    assert len(set(receipts)) == 1
    assert not early
    assert acme.arrived == [0, 1, 9]
    assert (caught.value.records, caught.value.reasons) == ([{"id": 2}], ["too old"])
    assert (fine.records, fine.result) == (1, "thanks")


# -- order -------------------------------------------------------------------------------------------------------------


@virtual
async def test_items_of_one_key_keep_their_order_although_one_is_sent_again(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.seconds = 0.5
        acme.answers = {0: ["busy"], 4: ["later 3"]}
        points = [{"id": number, "key": "ab"[number % 2]} for number in range(8)] + [{"id": 9}]
        report = await acme.ordered.deliver(points)

    assert report.complete
    assert [number for number in acme.arrived if number % 2 == 0] == [0, 2, 4, 6]
    assert [number for number in acme.arrived if number % 2] == [1, 3, 5, 9, 7] or acme.arrived.index(9) >= 0
    assert [number for number in acme.arrived if number in (1, 3, 5, 7)] == [1, 3, 5, 7]
    assert all(len({item.get("key") for item in call}) == len(call) for call in acme.calls)


@virtual
async def test_others_do_not_wait_for_a_key_that_has_to(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.answers = {"a1": ["later 60"]}
        for name in ("a1", "b1", "c1", "a2", "b2", "c2"):
            await acme.ordered.put({"id": name, "key": name[0]})
        await acme.ordered.put({"id": "b3", "key": "b"})
        await asyncio.sleep(5.0)
        early = list(acme.arrived)

    assert early == ["b1", "c1"] or set(early) == {"b1", "c1", "b3"}
    assert acme.arrived.index("a1") < acme.arrived.index("a2")
    assert Counter(acme.arrived) == Counter(["a1", "a2", "b1", "b2", "b3", "c1", "c2"])


@pytest.mark.parametrize("key", [lambda point: point["none"], lambda point: [1]])
@virtual
async def test_an_item_without_a_key_that_can_be_compared_is_refused(clock: VirtualClock, key: Any) -> None:
    class Keyed(Acme):
        @batched(max_items=3, max_bytes=1000, key=key)
        async def points(self, batch: Batch[Point]) -> None: ...

    async with Hub(clock=clock) as hub:
        with pytest.raises(InvalidRecord, match="it has no key"):
            await Keyed(hub).points.put({"id": 1})


# -- deliver -----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_report_is_of_what_its_own_call_took(clock: VirtualClock) -> None:
    class Many(Acme):
        @batched(max_items=10, max_bytes=1000)
        async def points(self, batch: Batch[Point]) -> None:
            await self.receive(batch)

    async with Hub(clock=clock) as hub:
        acme = Many(hub)
        acme.answers = {0: ["bad a"], 100: ["bad b"], 101: ["busy"], 200: ["bad c"]}
        await acme.points.put({"id": 200})
        first, second = await asyncio.gather(
            acme.points.deliver(items(12)), acme.points.deliver({"id": 100 + number} for number in range(12))
        )
        whole = await acme.points.flush()
        acme.points.on("error", lambda failure: None)

    assert (first.delivered, first.rejections) == (11, (Rejected({"id": 0}, "bad a"),))
    assert (second.delivered, second.rejections) == (11, (Rejected({"id": 100}, "bad b"),))
    assert (whole.delivered, whole.rejected) == (22, 3)


@virtual
async def test_an_async_generator_is_closed_when_its_row_is_refused(clock: VirtualClock) -> None:
    closed: list[bool] = []

    async def rows() -> AsyncIterator[Any]:
        try:
            yield {"id": 1}
            yield object()
        finally:
            closed.append(True)

    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        with pytest.raises(InvalidRecord):
            await acme.points.deliver(rows())
        assert closed == [True]

    assert acme.arrived == [1]


@virtual
async def test_what_has_no_outcome_in_time_is_pending(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.answers = {0: ["later 30"]}
        report = await acme.points.deliver(items(3), timeout=5.0)

    assert (report.delivered, report.pending, report.complete) == (2, 1, False)
    assert acme.arrived == [1, 2, 0]


@virtual
async def test_many_batches_are_counted_as_they_end(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.answers = {number: ["bad"] for number in range(0, 900, 100)}
        report = await acme.points.deliver(items(900))

    assert (report.delivered, report.rejected) == (891, 9)
    assert [one.record["id"] for one in report.rejections] == [*range(0, 900, 100)]


@pytest.mark.parametrize("look", [lambda report: report.rejections, lambda report: report.complete, None])
async def test_who_looks_at_the_report_has_been_told(
    look: Callable[[Any], object] | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Hub() as hub:
            acme = Acme(hub)
            acme.answers = {0: ["bad"]}
            report = await acme.points.deliver(items(2))
            if look is not None:
                look(report)

    if look is None:
        with pytest.warns(UndeliveredWarning, match="1 lost records that nobody was told of"):
            await main()
    else:
        await main()
    assert caplog.records == []


async def test_what_is_put_and_rejected_is_heard_of(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Hub() as hub:
            acme = Acme(hub)
            acme.answers = {0: ["bad"]}
            await acme.points.put({"id": 0})

    with pytest.warns(UndeliveredWarning):
        await main()
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("acme.points: 1 records were rejected: bad")


@virtual
async def test_a_call_that_is_cancelled_leaves_its_failures_to_the_log(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Hub(clock=clock, on_undelivered="log") as hub:
        acme = Acme(hub)
        acme.seconds = 1.0
        acme.answers = {0: ["bad"]}
        delivering = asyncio.create_task(acme.points.deliver(items(3)))
        await asyncio.sleep(0.5)
        delivering.cancel()
        await asyncio.wait({delivering})
        await acme.points.flush()
        lines = [record.getMessage() for record in caplog.records]

    assert lines == [lines[0]]
    assert "1 records were rejected" in lines[0]


async def test_it_is_a_sink() -> None:
    async def copied(sink: Sink[Point]) -> bool:
        return (await sink.deliver(items(2))).complete

    async with Hub() as hub:
        assert await copied(Acme(hub).points)


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


class Noun:
    def __init__(self, connector: Acme) -> None:
        self.connector = connector

    @batched(max_items=3, max_bytes=1000)
    async def points(self, batch: Batch[Point]) -> None:
        await self.connector.receive(batch)


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
        await Lonely(hub).rows.put(1)

    assert sent == [1]
    assert hub.report is not None
    assert hub.report.reports["lonely"].delivered == 1


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
    assert report.reports["acme-closed"].delivered == 1


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
    with pytest.raises(BufferClosed):
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
        acme.points = 1  # type: ignore[assignment, misc] # what is tested


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


class Spooling(Acme):
    """Its server may be away."""

    def __init__(self, hub: Hub, path: Path) -> None:
        super().__init__(hub)
        self.path = path

    @batched(
        max_items=4,
        max_bytes=1000,
        key=lambda point: point.get("key"),
        spool=lambda self: Spool(self.path, fsync=False),
        tries=3,
    )
    async def kept(self, batch: Batch[Point]) -> None:
        await self.receive(batch)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    return tmp_path / "acme.spool"  # type: ignore[return-value] # a fixture


async def left_in(path: Path) -> list[Any]:
    spool = Spool(path, fsync=False)
    await spool.open()
    found = [json.loads(item)["id"] for _, item in await spool.read()]
    await spool.aclose()
    return found


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


# -- over the wire -----------------------------------------------------------------------------------------------------


async def test_the_program_of_a_stranger_costs_few_calls() -> None:
    busy = {*range(7, 20_000, 1000)}
    bad = {5, 10_000, 19_999}
    stored: Counter[int] = Counter()

    def answer(request: Seen) -> Reply:
        results: list[dict[str, str]] = []
        for point in json.loads(request.body)["points"]:
            if point["id"] in busy:
                busy.discard(point["id"])
                results.append({"status": "busy"})
            elif point["id"] in bad:
                results.append({"status": "rejected", "error": "no such series"})
            else:
                stored[point["id"]] += 1
                results.append({"status": "stored"})
        return Reply(body=json.dumps({"results": results}).encode(), after=0.02)

    class Shop(Connector):
        platform = Platform("shop", error_at="error", did_nothing={503})

        @batched(max_items=500, max_bytes=256 * 1024, envelope=20)
        async def points(self, batch: Batch[Point]) -> None:
            answer = await self.http.call("POST", "/v1/points", json={"points": batch.items})
            for point, result in zip(batch.items, answer["results"], strict=True):
                if result["status"] == "busy":
                    batch.again(point)
                elif result["status"] == "rejected":
                    batch.reject(point, result["error"])

    async with Loopback(answer) as server:
        async with Shop(base_url=server.url, auth=TokenAuth("t0ken")) as shop:
            report = await shop.points.deliver({"id": number, "value": number / 7} for number in range(20_000))
            rejected = [one.record["id"] for one in report.rejections]

        assert sorted(rejected) == sorted(bad)
        assert set(stored.values()) == {1}
        assert len(stored) == report.delivered == 19_997
        assert len(server.seen) <= 43


def test_a_batches_says_what_it_is() -> None:
    assert isinstance(Acme().points, Batches)
    assert repr(Acme().points) == "<Batches acme.points, 0 pending>"
