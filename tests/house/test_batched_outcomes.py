"""An outcome for each item of a batch: again, reject, fail; who hears of it, and in which order items arrive."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn import Connector, Hub, Platform
from asyncconn.batches import batched
from asyncconn.core.buffer.batch import Batch
from asyncconn.core.buffer.receipts import Rejected
from asyncconn.errors import (
    Answer,
    AsyncConnError,
    BadRequest,
    ConfigError,
    ConnectFailed,
    DeliveryFailed,
    InvalidRecord,
    ReadTimeout,
)

from .batched_scene import Acme, Point, items

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock


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
        assert (report.delivered, report.failed, report.unknown, report.undelivered) == (2, 1, 0, [{"id": 1}])

    assert sum({"id": 1} in call for call in acme.calls) == tries
    assert f"were not taken, {tries} times" in str(report.failures[0])


@virtual
async def test_it_is_sent_again_no_earlier_than_it_was_asked_for(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.answers = {1: ["later 7.5"], 2: ["later 3"]}
        report = await acme.points.deliver(items(3))

    assert acme.at == pytest.approx([0.0, 3.0, 7.5], abs=0.01)
    assert report.complete


@virtual
async def test_an_item_that_waits_to_be_sent_again_is_as_old_as_it_is(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.answers = {1: ["later 30", "later 30"]}
        sent = asyncio.create_task(acme.points.deliver(items(3)))
        ages = []
        for _ in range(4):
            await clock.sleep(14.0)
            ages.append(acme.points.stats.oldest_age)
        await sent
        assert ages == pytest.approx([14.0, 28.0, 42.0, 56.0], abs=0.1)
        assert acme.points.stats.oldest_age == 0.0


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
        assert [refused.record for refused in report.rejections] == [{"id": 1}]
        assert report.failures[0].__cause__ is error


@virtual
async def test_an_error_after_every_item_was_marked_is_logged(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.answers = {0: ["busy"]}
        acme.errors = [KeyError("results")]
        report = await acme.points.deliver(items(1))

    assert report.complete
    [line] = [record.getMessage() for record in caplog.records]
    assert line == "acme.points: KeyError: 'results', after every item of the batch was marked"


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


@virtual
async def test_a_failure_that_two_hear_of_hides_no_other(clock: VirtualClock) -> None:
    async with Hub(clock=clock, on_undelivered="log") as hub:
        acme = Acme(hub)
        acme.answers = {number: ["bad"] for number in range(4)}
        receipt = await acme.points.put({"id": 0})
        reports = await asyncio.gather(*[acme.points.deliver([{"id": number}]) for number in (1, 2)])
        assert [one.record["id"] for report in reports for one in report.rejections] == [1, 2]
        told = (await acme.points.flush()).told
        with pytest.raises(DeliveryFailed):
            await receipt
        await acme.points.put({"id": 3})

    assert acme.calls[0] == items(2)  # one batch, and one error for both
    assert told == 2
    assert hub.report is not None
    assert (hub.report.reports["acme"].told, hub.report.untold) == (3, 1)


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
    assert [number for number in acme.arrived if number in (1, 3, 5, 7)] == [1, 3, 5, 7]
    assert all(len({item.get("key") for item in call}) == len(call) for call in acme.calls)


@virtual
async def test_batches_that_share_no_key_with_one_that_waits_do_not_wait(clock: VirtualClock) -> None:
    async with Hub(clock=clock) as hub:
        acme = Acme(hub)
        acme.answers = {"a1": ["later 20"]}
        for name in ("a1", "b1", "c1", "a2", "b2", "c2"):
            await acme.ordered.put({"id": name, "key": name[0]})
        await acme.ordered.put({"id": "d1", "key": "d"})
        await asyncio.sleep(5.0)
        early = list(acme.arrived)

    assert early == ["b1", "c1", "d1"]  # b2 and c2 travel with a2
    assert acme.arrived.index("a1") < acme.arrived.index("a2")
    assert Counter(acme.arrived) == Counter(["a1", "a2", "b1", "b2", "c1", "c2", "d1"])


@pytest.mark.parametrize("key", [lambda point: point["none"], lambda point: [1]])
@virtual
async def test_an_item_without_a_key_that_can_be_compared_is_refused(clock: VirtualClock, key: Any) -> None:
    class Keyed(Acme):
        @batched(max_items=3, max_bytes=1000, key=key)
        async def points(self, batch: Batch[Point]) -> None: ...

    async with Hub(clock=clock) as hub:
        with pytest.raises(InvalidRecord, match="it has no key"):
            await Keyed(hub).points.put({"id": 1})
