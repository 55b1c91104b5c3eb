"""Whatever a sending method, its server and its users do: every item has one outcome, and the server agrees."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import turns, virtual
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncconn import Connector, Hub, Platform
from asyncconn.batches import Batches, batched
from asyncconn.core.buffer.batch import Batch
from asyncconn.core.buffer.spool import Spool
from asyncconn.errors import Answer, AsyncConnError, BadRequest, ConnectFailed, RateLimited, ReadTimeout

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from asyncconn.core.buffer.receipts import BatchStats, FlushReport
    from asyncconn.core.clock import VirtualClock
    from asyncconn.errors import DeliveryFailed

Point = dict[str, Any]

KEYS = st.one_of(st.integers(0, 2), st.none())
SOME = st.lists(KEYS, min_size=1, max_size=8)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), SOME),
        st.tuples(st.just("put"), SOME),
        st.tuples(st.just("write"), st.integers(1, 12)),
        st.tuples(st.just("deliver"), st.integers(1, 12)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("flush"), st.sampled_from([0.0, 1.0, 90.0])),
        st.tuples(st.just("turn"), st.integers(1, 3)),
        st.tuples(st.just("sleep"), st.sampled_from([0.1, 1.0, 2.0, 5.0, 70.0])),
        st.tuples(st.just("restart"), st.sampled_from([0.0, 1.0, 60.0])),
        st.tuples(st.just("restart, cancelled"), st.sampled_from([0.0, 1.0, 60.0])),
    ),
    max_size=20,
)
FATES = st.lists(
    st.sampled_from(["ok", "ok", "ok", "slow", "lost answer", "away", "refused", "held", "hangs", "bug"]),
    min_size=1,
    max_size=8,
)
MARKS = st.lists(st.sampled_from(["ok", "ok", "ok", "again", "later", "reject"]), min_size=1, max_size=8)


class Server:
    """Its books: what it has stored, in which order, what it has refused, and where nobody could know."""

    def __init__(self, fates: list[str], marks: list[str]) -> None:
        self._fates, self._marks = itertools.cycle(fates), itertools.cycle(marks)
        self.kind = False
        self.run = 0
        self.stored: Counter[int] = Counter()
        self.in_order: dict[tuple[Any, int], list[int]] = defaultdict(list)  # by key and run
        self.refused: set[int] = set()
        self.doubtful: set[int] = set()

    async def receive(self, batch: Batch[Point]) -> None:
        fate = "ok" if self.kind else next(self._fates)
        self.refused.difference_update(item["id"] for item in batch.items)  # void where a 429 followed
        if fate == "away":
            raise ConnectFailed("nobody there")
        taken = [item for item in batch.items if not self._marked(batch, item)]
        if fate == "held":
            raise RateLimited("slower", Answer("acme", 429, retry_after=90.0))
        if fate == "hangs":
            await asyncio.sleep(3600)
        if fate == "refused":
            raise BadRequest("no", Answer("acme", 400))
        for item in taken:
            self.stored[item["id"]] += 1
            self.in_order[item["key"], self.run].append(item["id"])
        try:
            if fate == "slow":
                await asyncio.sleep(1.5)
            if fate == "lost answer":
                raise ReadTimeout("no answer")
            if fate == "bug":
                raise KeyError("results")
        except BaseException:
            self.doubtful.update(item["id"] for item in taken)
            raise

    def _marked(self, batch: Batch[Point], item: Point) -> bool:
        mark = "ok" if self.kind else next(self._marks)
        if mark == "reject":
            batch.reject(item, "no such series")
            self.refused.add(item["id"])
        elif mark != "ok":
            batch.again(item, after=3.0 if mark == "later" else 0.0)
        return mark != "ok"


class Acme(Connector):
    platform = Platform("acme", base_url="http://127.0.0.1:1")

    def __init__(self, hub: Hub, server: Server, path: Path) -> None:
        super().__init__(hub=hub)
        self.server = server
        self.path = path

    @batched(max_items=4, max_bytes=200, key=lambda point: point["key"], max_pending_items=12, max_in_flight=2, tries=3)
    async def points(self, batch: Batch[Point]) -> None:
        await self.server.receive(batch)

    @batched(
        max_items=4,
        max_bytes=200,
        key=lambda point: point["key"],
        spool=lambda self: Spool(self.path, fsync=False),
        max_pending_items=12,
        max_in_flight=2,
        tries=3,
    )
    async def kept(self, batch: Batch[Point]) -> None:
        await self.server.receive(batch)


class Story:
    """Plays one script on one connector after another, and keeps its own books of what was accepted."""

    def __init__(self, clock: VirtualClock, server: Server, path: Path | None) -> None:
        self.clock = clock
        self.server = server
        self.path = path
        self.numbers = itertools.count()
        self.taken: list[int] = []
        self.outcomes: dict[str, set[int]] = {"rejected": set(), "failed": set(), "unknown": set()}
        self.settled: Counter[str] = Counter()  # in all runs
        self.wrong: list[AssertionError] = []
        self.tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        self.hub = await Hub(clock=self.clock).open()
        acme = Acme(self.hub, self.server, self.path or Path())
        self.points: Batches[Point] = acme.points if self.path is None else acme.kept
        self.acme = acme
        self.before = len(self.taken)
        self.points.on("error", self.hears)
        self.points.on("*", self.looks)
        if self.path is not None:
            await self.points.open()
        self.left_over = self.points.stats.accepted

    def hears(self, failure: DeliveryFailed) -> None:
        if not failure.spooled:
            kind = "rejected" if failure.reasons else "unknown" if failure.maybe_delivered else "failed"
            self.outcomes[kind].update(record["id"] for record in failure.records)

    def looks(self, *_: object) -> BatchStats:
        stats = self.points.stats
        try:
            assert stats.accepted == stats.delivered + stats.rejected + stats.failed + stats.unknown + stats.pending
            assert min(stats.pending, stats.in_flight) >= 0
        except AssertionError as error:  # raised inside a handler it would be swallowed
            self.wrong.append(error)
        return stats

    def item(self, key: Any) -> Point:
        return {"id": next(self.numbers), "key": key}

    async def put(self, item: Point) -> None:
        with suppress(AsyncConnError):
            await self.points.put(item)
            self.taken.append(item["id"])

    async def write(self, count: int) -> None:
        first = self.item(None)
        for _ in range(count):  # these keys are its own: what others put meanwhile has no order with them
            await self.put(self.item(f"{first['id']}"))

    async def deliver(self, count: int) -> None:
        mine: list[int] = []

        def rows() -> Iterator[Point]:
            first = self.item(None)
            for number in range(count):
                item = self.item(f"{first['id']}-{number % 2}")
                yield item
                mine.append(item["id"])
                self.taken.append(item["id"])

        try:
            report = await self.points.deliver(rows(), timeout=30.0)
        except AsyncConnError:
            return
        self.compare(report, mine)

    def compare(self, report: FlushReport, mine: list[int]) -> None:
        """What a deliver says of its own items."""
        try:
            assert report.accepted == len(mine)
            assert {one.record["id"] for one in report.rejections} <= self.server.refused & {*mine}
            lost = {record["id"] for record in report.undelivered}
            assert lost <= {*mine}
            assert len(lost) == report.failed + report.unknown
            sure = {*mine} - lost - {one.record["id"] for one in report.rejections}
            assert sum(self.server.stored[one] > 0 for one in sure) >= report.delivered
            assert report.complete == (report.delivered == len(mine))
        except AssertionError as error:
            self.wrong.append(error)

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        self.tasks.append(asyncio.create_task(work))

    async def step(self, what: str, given: Any) -> None:
        if what == "put":
            for key in given:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.put(self.item(key)), 5.0)
        elif what == "write":
            self.begin(self.write(given))
        elif what == "deliver":
            self.begin(self.deliver(given))
        elif what == "cancel" and self.tasks:
            self.tasks[given % len(self.tasks)].cancel()
        elif what == "flush":
            await self.points.flush(given)
        elif what == "turn":
            await turns(given)
        elif what == "sleep":
            await asyncio.sleep(given)
        elif what.startswith("restart"):
            await self.end(given, cancelled="cancelled" in what)
            await self.start()
        self.looks()

    async def end(self, timeout: float, *, cancelled: bool = False) -> None:
        if cancelled:
            closing = asyncio.create_task(self.acme.aclose(timeout))
            await turns(2)
            for _ in range(3):
                closing.cancel()
                await asyncio.sleep(0.1)
            await asyncio.wait({closing})
        report = await self.hub.aclose(timeout)
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=10.0)
        assert all(task.done() for task in self.tasks)
        stats = self.looks()
        assert stats.accepted == self.left_over + len(self.taken) - self.before
        assert not report.errors
        found = report.reports["acme"]
        counts = (stats.delivered, stats.rejected, stats.failed, stats.unknown, stats.pending)
        assert (found.delivered, found.rejected, found.failed, found.unknown, found.pending) == counts
        assert found.pending == found.spooled
        assert report.untold == 0
        for what in ("delivered", "rejected", "failed", "unknown"):
            self.settled[what] += getattr(stats, what)
        if self.path is None:
            assert stats.pending == 0
        self.server.run += 1


@pytest.mark.slow(60)
@settings(max_examples=150, deadline=None)
@given(steps=STEPS, fates=FATES, marks=MARKS, spooled=st.booleans())
@virtual
async def test_every_item_has_one_outcome_and_the_server_agrees(
    clock: VirtualClock, steps: list[tuple[str, Any]], fates: list[str], marks: list[str], spooled: bool
) -> None:
    server = Server(fates, marks)
    with tempfile.TemporaryDirectory() as folder:
        story = Story(clock, server, Path(folder) / "spool" if spooled else None)
        await story.start()
        for what, number in steps:
            await story.step(what, number)
        await story.end(5.0)
        if spooled:  # a last run, in which nothing goes wrong
            server.kind = True
            await story.start()
            await story.end(60.0)

    assert not story.wrong
    taken, outcomes = set(story.taken), story.outcomes
    assert len(taken) == len(story.taken)
    # No item has two outcomes, and together they are all that was accepted.
    assert story.settled["rejected"] == len(outcomes["rejected"])
    delivered = taken - outcomes["rejected"] - outcomes["failed"] - outcomes["unknown"]
    given_up = 0 if not spooled else story.settled["failed"]  # refused, and undone by a later one of their key
    assert story.settled["delivered"] == len(delivered) - given_up
    assert story.settled["unknown"] == len(outcomes["unknown"])
    assert sum(story.settled.values()) == len(taken)
    # The server's books.
    assert taken >= set(server.stored)
    assert outcomes["rejected"] == server.refused & taken
    assert sum(server.stored[one] > 0 for one in delivered) >= story.settled["delivered"]
    for one in taken - server.doubtful:
        assert server.stored[one] <= 1
        if one in outcomes["rejected"] | outcomes["failed"] | outcomes["unknown"]:
            assert not server.stored[one]
        elif not given_up:
            assert server.stored[one] == 1
    for (key, _), arrived in server.in_order.items():
        if key is not None:
            assert arrived == sorted(arrived), f"{key} arrived as {arrived}"
