"""Whatever writers, platform and closers do: every record is in exactly one place, at every moment."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
from helpers import balanced, turns, virtual
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncconn.core.buffer.memory import Batch, BatchBuffer, BatchPolicy
from asyncconn.errors import BufferClosed, BufferFull, RecordTooLarge

from .batching_scene import Platform, everything_is_in_one_place

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from asyncconn.core.buffer.receipts import FlushReport
    from asyncconn.core.clock import VirtualClock
    from asyncconn.errors import DeliveryFailed

MAX_BYTES = 64
FATES = st.sampled_from(["ok", "ok", "ok", "slow", "fail", "slow fail", "hang"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(4, MAX_BYTES + 4)),
        st.tuples(st.just("put_nowait"), st.integers(4, 30)),
        st.tuples(st.just("put_many"), st.integers(1, 20)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("flush"), st.sampled_from([0, 1, 30])),
        st.tuples(st.just("turn"), st.integers(1, 3)),
        st.tuples(st.just("sleep"), st.sampled_from([1, 5, 10, 19, 20, 25, 40])),  # tenths of a second
    ),
    max_size=40,
)
CLOSES = st.sampled_from(["plain", "twice", "cancelled", "asyncio timeout", "anyio scope", "no time"])
POLICIES = st.fixed_dictionaries(
    {
        "max_items": st.integers(1, 8),
        "max_pending_items": st.integers(1, 20),
        "max_pending_bytes": st.integers(MAX_BYTES, 3 * MAX_BYTES),
        "max_in_flight": st.integers(1, 3),
        "overflow": st.sampled_from(["wait", "wait", "raise"]),
    }
)


class Moody(Platform):
    """Each batch meets the next fate of the list."""

    def __init__(self, fates: list[str]) -> None:
        super().__init__()
        self.fates = itertools.cycle(fates)

    async def send(self, batch: Batch[bytes]) -> int:
        fate = next(self.fates)
        self.seconds = 2.5 if "slow" in fate else 0.0
        self.error = OSError(fate) if "fail" in fate else None
        self.hang = fate == "hang"
        return await super().send(batch)


class Story:
    """Plays one script and keeps its own list of what the buffer said it had taken."""

    def __init__(self, clock: VirtualClock, fates: list[str], policy: dict[str, Any]) -> None:
        self.platform = Moody(fates)
        self.policy = BatchPolicy(max_bytes=MAX_BYTES, drain_timeout=20.0, **policy)
        self.buffer: BatchBuffer[bytes] = BatchBuffer(self.platform.send, size=len, policy=self.policy, clock=clock)
        self.failures: list[DeliveryFailed] = []
        self.wrong: list[AssertionError] = []
        self.buffer.events.on("error", self.failures.append)
        self.buffer.events.on("*", self.check)
        self.buffer.events.on("*", self.break_down)
        self.numbers = itertools.count()
        self.taken: Counter[bytes] = Counter()
        self.perhaps: Counter[bytes] = Counter()  # of a put_many that was cut short, which does not say how far it got
        self.tasks: list[asyncio.Task[Any]] = []

    def check(self, *_: object) -> None:
        try:
            stats = balanced(self.buffer)
            assert stats.pending <= self.policy.max_pending_items
            assert stats.pending_bytes <= self.policy.max_pending_bytes
            assert stats.in_flight <= self.policy.max_in_flight
        except AssertionError as error:  # raised inside a handler it would be swallowed
            self.wrong.append(error)

    def break_down(self, name: str, _: object) -> None:
        raise ValueError(f"a handler of {name} broke down")

    def record(self, size: int) -> bytes:
        return b"%04d" % next(self.numbers) + b"." * (size - 4)

    async def put(self, record: bytes) -> None:
        with contextlib.suppress(BufferClosed, BufferFull, RecordTooLarge):
            await self.buffer.put(record)
            self.taken[record] += 1

    async def put_many(self, records: list[bytes]) -> None:
        self.perhaps.update(records)
        with contextlib.suppress(BufferClosed, BufferFull):
            await self.buffer.put_many(records)
            self.perhaps.subtract(records)
            self.taken.update(records)

    def put_nowait(self, record: bytes) -> None:
        with contextlib.suppress(BufferFull):
            self.buffer.put_nowait(record)
            self.taken[record] += 1

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        self.tasks.append(asyncio.create_task(work))

    async def step(self, what: str, number: int) -> None:
        if what == "put":
            self.start(self.put(self.record(number)))
        elif what == "put_nowait":
            self.put_nowait(self.record(number))
        elif what == "put_many":
            self.start(self.put_many([self.record(8) for _ in range(number)]))
        elif what == "cancel" and self.tasks:
            self.tasks[number % len(self.tasks)].cancel()
        elif what == "flush":
            self.start(self.buffer.flush(float(number)))
        elif what == "turn":
            await turns(number)
        elif what == "sleep":
            await asyncio.sleep(number / 10)
        self.check()

    async def close(self, how: str) -> FlushReport:
        aclose = self.buffer.aclose
        if how == "twice":
            first, second = await asyncio.gather(aclose(), aclose(timeout=0.5))
            assert first is second
        elif how == "cancelled":
            task = asyncio.create_task(aclose())
            await turns(1)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0.1)
            await asyncio.wait({task})
        elif how == "asyncio timeout":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await aclose()
        elif how == "anyio scope":
            with anyio.move_on_after(0.1):
                await aclose()
        elif how == "no time":
            return await aclose(timeout=0.0)
        return await aclose()


@settings(max_examples=250)
@given(steps=STEPS, fates=st.lists(FATES, min_size=1, max_size=6), policy=POLICIES, close=CLOSES)
@virtual
async def test_every_record_is_in_exactly_one_place_at_every_moment(
    clock: VirtualClock, steps: list[tuple[str, int]], fates: list[str], policy: dict[str, Any], close: str
) -> None:
    story = Story(clock, fates, policy)
    for what, number in steps:
        await story.step(what, number)
    started = clock.now()
    report = await story.close(close)
    if story.tasks:
        await asyncio.wait(story.tasks, timeout=1.0)
    story.check()

    assert not story.wrong
    assert all(task.done() for task in story.tasks)
    assert clock.now() - started <= 20.0 + 5.0
    assert report.pending == 0
    assert max(story.platform.sizes, default=0) <= MAX_BYTES
    assert max(map(len, story.platform.batches), default=0) <= policy["max_items"]
    found = Counter(story.platform.records)
    for failure in story.failures:
        found.update(failure.records)
    extra = found - story.taken
    assert not extra - story.perhaps
    everything_is_in_one_place((story.taken + extra).elements(), story.platform, story.failures, story.buffer)
    assert balanced(story.buffer).accepted == report.accepted == found.total()
    assert Counter(report.undelivered) == found - Counter(story.platform.records)
    assert report.complete == (report.delivered == report.accepted)


@settings(max_examples=100)
@given(
    waits=st.lists(st.sampled_from([0.0, 0.01, 0.5, 1.9, 1.95, 1.97, 2.0, 2.5]), min_size=1, max_size=30),
    trip=st.sampled_from([0.0, 0.1, 0.9]),
    max_items=st.integers(1, 50),
)
@virtual
async def test_no_record_leaves_later_than_its_max_age_while_a_sender_is_free(
    clock: VirtualClock, waits: list[float], trip: float, max_items: int
) -> None:
    platform = Platform(seconds=trip)
    policy = BatchPolicy(max_age=2.0, max_items=max_items, max_in_flight=100)
    buffer: BatchBuffer[bytes] = BatchBuffer(platform.send, size=len, policy=policy, clock=clock)
    for number, wait in enumerate(waits):
        await buffer.put(b"%04d" % number)
        await asyncio.sleep(wait)
    await buffer.aclose()

    assert buffer.stats.max_age_at_send <= 2.0
    assert len(platform.records) == len(waits)
