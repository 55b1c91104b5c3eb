"""A sending method as a buffer: what it sees, what it takes, and what it costs."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual
from loopback import Loopback, Reply, Seen

from asyncconn import Connector, Hub, Platform, TokenAuth, UndeliveredWarning
from asyncconn.batches import Batches, batched
from asyncconn.core.buffer.batch import Batch
from asyncconn.core.buffer.receipts import Rejected
from asyncconn.errors import (
    DeliveryFailed,
    InvalidRecord,
    RecordTooLarge,
)

from .batched_scene import Acme, Point, items

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncconn.core.clock import VirtualClock
    from asyncconn.core.sinks import Sink


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
    sizes: list[int] = []

    class Tight(Connector):
        platform = Platform("tight", base_url="http://127.0.0.1:1")

        @batched(max_items=1000, max_bytes=100, envelope=20, size=lambda encoded: 2 * len(encoded))
        async def words(self, batch: Batch[str]) -> None:
            sizes.append(20 + sum(2 * len(json.dumps(item)) + 1 for item in batch.items))

    async with Hub(clock=clock) as hub:
        tight = Tight(hub=hub)
        with pytest.raises(RecordTooLarge):
            await tight.words.put("x" * 38)
        await tight.words.put("x" * 37)  # 39 with quotes: 79 of 80
        await tight.words.deliver("x" * length for length in [*range(20), *range(20, 0, -1)])

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
        assert report.rejections == (Rejected(1, "odd"),)

    assert seen == [[1, 1]]


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
        stray = await acme.points.put({"id": 200})
        first, second = await asyncio.gather(
            acme.points.deliver(items(12)), acme.points.deliver({"id": 100 + number} for number in range(12))
        )
        whole = await acme.points.flush()

        assert (first.delivered, first.rejections) == (11, (Rejected({"id": 0}, "bad a"),))
        assert (second.delivered, second.rejections) == (11, (Rejected({"id": 100}, "bad b"),))
        assert (whole.delivered, whole.rejected) == (22, 3)
        with pytest.raises(DeliveryFailed, match="bad c"):
            await stray


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


@virtual
async def test_a_call_that_ends_early_leaves_all_its_failures_to_the_log(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Hub(clock=clock, on_undelivered="log") as hub:
        acme = Acme(hub)
        acme.answers = {0: ["bad"]}
        with pytest.raises(InvalidRecord):  # long after the first batch
            await acme.points.deliver([*items(900), object()])  # type: ignore[list-item] # what is tested
        await acme.points.flush()
        lines = [record.getMessage() for record in caplog.records]

    assert [line.partition(";")[0] for line in lines] == ["acme.points: 1 records were rejected: bad"]


async def test_it_is_a_sink() -> None:
    async def copied(sink: Sink[Point]) -> bool:
        return (await sink.deliver(items(2))).complete

    async with Hub() as hub:
        assert await copied(Acme(hub).points)


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

    async with Loopback(otherwise=answer) as server:
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
