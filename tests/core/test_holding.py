"""A server that asks for time gets it: all senders wait, and no batch fails for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.core.buffer.memory import Batch, BatchBuffer, BatchPolicy
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.buffer.spooled import SpooledBuffer
from asyncconn.core.retrying import RetryPolicy
from asyncconn.errors import Answer, ApiError, BadRequest, RateLimited, ServerError

from .batching_scene import Platform, records

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock

ALWAYS = RetryPolicy(maybe_sent="always")


class Busy(Platform):
    """Answers ``error`` to the first ``times`` requests."""

    def __init__(self, error: ApiError, times: int = 1, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.refusal = error
        self.times = times

    async def send(self, batch: Batch[bytes]) -> int:
        self.times -= 1
        self.error = self.refusal if self.times >= 0 else None
        return await super().send(batch)


def too_many(retry_after: float | None, *, local: bool = False) -> RateLimited:
    return RateLimited("slow down", Answer("acme", 429, retry_after=retry_after), local=local)


def unavailable(retry_after: float | None) -> ServerError:
    return ServerError("maintenance", Answer("acme", 503, retry_after=retry_after))


def make(platform: Platform, clock: VirtualClock, retry: RetryPolicy = ALWAYS, **policy: Any) -> BatchBuffer[bytes]:
    given = {"max_items": 1, "max_in_flight": 3, **policy}
    return BatchBuffer(platform.send, size=len, policy=BatchPolicy(**given), clock=clock, name="acme", retry=retry)


@pytest.mark.parametrize("error", [too_many(90.0), unavailable(90.0), too_many(5.0, local=True)])
@virtual
async def test_all_senders_wait_as_long_as_the_server_asks_and_then_everything_arrives(
    clock: VirtualClock, error: ApiError
) -> None:
    platform = Busy(error)
    buffer = make(platform, clock)
    await buffer.put(b"first")
    await buffer.flush(timeout=1.0)
    for record in records(10):
        await buffer.put(record)
    during = await buffer.flush(timeout=3.0)
    tried = list(platform.tried)
    report = await buffer.aclose(timeout=100.0)

    assert (tried, during.pending, during.failed) == ([b"first"], 11, 0)
    assert (report.delivered, report.complete) == (11, True)
    assert min(platform.started[1:]) == pytest.approx(error.retry_after, abs=0.01)


@virtual
async def test_a_hold_is_logged_once_with_its_end(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    platform = Busy(too_many(90.0), times=3, seconds=0.1)
    buffer = make(platform, clock)
    await buffer.put_many(records(3))  # all three are under way when the first is refused
    await buffer.aclose(timeout=100.0)

    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(
        "acme: nothing is sent for 90 s, until 2030-01-01T00:01:30+00:00: acme answered 429 slow down"
    )


@virtual
async def test_no_server_holds_the_senders_for_longer_than_the_policy_says(clock: VirtualClock) -> None:
    platform = Busy(too_many(31_536_000.0))
    buffer = make(platform, clock, max_hold=600.0)
    await buffer.put(b"one")
    await buffer.flush(timeout=700.0)
    await buffer.aclose()

    assert platform.started == pytest.approx([0.0, 600.0], abs=0.01)


@virtual
async def test_a_close_gives_up_at_its_deadline_and_says_why_and_what_was_never_sent(clock: VirtualClock) -> None:
    platform = Busy(unavailable(90.0))
    buffer = make(platform, clock)
    await buffer.put_many(records(6))
    report = await buffer.aclose(timeout=10.0)

    assert clock.now() == pytest.approx(10.0, abs=0.01)
    assert (report.failed, report.unknown, report.pending, sorted(report.undelivered)) == (5, 1, 0, records(6))
    assert [failure.records for failure in report.failures if failure.maybe_delivered] == [platform.tried]
    refused = [failure for failure in report.failures if isinstance(failure.__cause__, ApiError)]
    assert {getattr(failure.__cause__, "status", None) for failure in refused} == {503}
    assert len(refused) == 6  # those that had no sender too
    assert sum(failure.maybe_delivered for failure in report.failures) == 1  # the one that the server has seen


@pytest.mark.parametrize(
    "error",
    [
        too_many(None),
        too_many(5.0),
        unavailable(5.0),
        unavailable(None),
        ServerError("broken", Answer("acme", 500, retry_after=90.0)),
        BadRequest("no", Answer("acme", 400, retry_after=90.0)),
    ],
    ids=["429", "429, short", "503, short", "503", "500", "400"],
)
@virtual
async def test_whatever_else_fails_is_a_failure_at_once(clock: VirtualClock, error: ApiError) -> None:
    platform = Busy(error)
    buffer = make(platform, clock)
    await buffer.put(b"one")
    report = await buffer.aclose()

    assert (report.lost, len(platform.started), clock.now()) == (1, 1, 0.0)


@virtual
async def test_a_wait_that_the_retries_had_no_time_left_for_holds_too(clock: VirtualClock) -> None:
    platform = Busy(too_many(40.0), seconds=41.0)  # as after a first Retry-After of 40 s, waited out
    buffer = make(platform, clock)
    await buffer.put(b"one")
    report = await buffer.aclose(timeout=200.0)

    assert (report.delivered, len(platform.started)) == (1, 2)


@virtual
async def test_what_may_have_been_carried_out_and_must_not_be_repeated_fails_alone(clock: VirtualClock) -> None:
    platform = Busy(unavailable(90.0))
    buffer = make(platform, clock, RetryPolicy(maybe_sent="never"))
    await buffer.put_many(records(3))
    report = await buffer.aclose(timeout=100.0)

    assert report.undelivered == [b"0000"]
    assert sorted(platform.records) == records(3)[1:]
    assert platform.started == pytest.approx([0.0, 90.0, 90.0], abs=0.01)


async def test_over_a_spool_the_senders_are_held_too_and_nothing_leaves_it(tmp_path: Path) -> None:
    platform = Busy(too_many(3600.0), times=100)
    policy = BatchPolicy(max_items=1, max_in_flight=3)
    buffer = SpooledBuffer(platform.send, Spool(tmp_path / "spool", fsync=False), policy=policy, retry=ALWAYS)
    await buffer.put(b"first")
    await buffer.flush(0.05)
    await buffer.put_many(records(4))
    during = await buffer.flush(0.05)
    closed = await buffer.aclose(0.05)
    again = SpooledBuffer(Platform().send, Spool(tmp_path / "spool", fsync=False))
    sent = await again.aclose()

    assert (platform.tried, during.pending, during.failures) == ([b"first"], 5, ())
    assert (closed.pending, closed.spooled, closed.failed) == (5, 5, 0)
    assert sent.delivered == 5


@virtual
async def test_senders_that_are_held_keep_writers_waiting_and_take_no_more_than_there_is_room_for(
    clock: VirtualClock,
) -> None:
    platform = Busy(too_many(90.0))
    buffer = make(platform, clock, max_pending_items=5)
    writers = [asyncio.create_task(buffer.put(record)) for record in records(20)]
    await asyncio.sleep(60.0)
    held = buffer.stats.pending
    await asyncio.wait(writers, timeout=60.0)
    report = await buffer.aclose()

    assert held == 5
    assert (report.delivered, sorted(platform.records)) == (20, records(20))
