"""What became of records: counted since the start, kept in bounds, and told to somebody or logged."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from helpers import balanced, turns, virtual

from asyncconn.core.buffer.memory import BatchBuffer, BatchPolicy
from asyncconn.core.buffer.receipts import FlushReport, Receipt
from asyncconn.core.buffer.spool import Spool
from asyncconn.core.buffer.spooled import SpooledBuffer
from asyncconn.core.buffer.unheard import UndeliveredWarning
from asyncconn.core.clock import VirtualClock
from asyncconn.errors import Answer, BadRequest, ConnectFailed, DeliveryFailed

from .batching_scene import Platform, records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType


def refusing() -> Platform:
    platform = Platform()
    platform.error = BadRequest("no such point", Answer("acme", 400))
    return platform


def make(platform: Platform, clock: VirtualClock, **options: Any) -> BatchBuffer[bytes]:
    """A buffer that nobody watches."""
    policy = BatchPolicy(**options.pop("policy", {}))
    return BatchBuffer(platform.send, size=len, policy=policy, clock=clock, name="acme", **options)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


# -- reports -----------------------------------------------------------------------------------------------------------


@virtual
async def test_what_failed_before_a_flush_began_is_in_its_report_and_in_that_of_the_close(clock: VirtualClock) -> None:
    platform = refusing()
    buffer = make(platform, clock, policy={"max_items": 2})
    await buffer.put_many([b"lost", b"too"])
    await turns()
    platform.error = None
    await buffer.put(b"arrives")
    flushed = await buffer.flush()
    closed = await buffer.aclose()

    for report in (flushed, closed):
        assert (report.delivered, report.failed, report.pending, report.accepted) == (1, 2, 0, 3)
        assert (report.undelivered, report.complete, report.truncated) == ([b"lost", b"too"], False, False)


@virtual
async def test_a_report_is_complete_only_when_every_accepted_record_has_arrived(clock: VirtualClock) -> None:
    platform = Platform(seconds=5.0)
    buffer = make(platform, clock, policy={"max_items": 1, "max_in_flight": 1})
    await buffer.put_many(records(3))
    early = await buffer.flush(timeout=7.0)
    accepted = balanced(buffer).accepted
    late = await buffer.aclose()

    assert (early.delivered, early.pending, early.accepted, early.complete) == (1, 2, accepted, False)
    assert (late.delivered, late.pending, late.complete) == (3, 0, True)


@virtual
async def test_a_report_holds_the_newest_ten_thousand_records_and_says_that_there_were_more(
    clock: VirtualClock,
) -> None:
    buffer = make(refusing(), clock, policy={"max_items": 3000})
    buffer.events.on("error", lambda _: None)
    everything = [b"%06d" % number for number in range(27_000)]
    for start in range(0, len(everything), 3000):
        await buffer.put_many(everything[start : start + 3000])
        await buffer.flush()
    report = await buffer.aclose()

    assert (report.failed, report.told, report.truncated) == (27_000, 27_000, True)
    assert report.undelivered == everything[-10_000:]
    assert len(report.failures) == 4  # what the ten thousand need, and no more


@virtual
async def test_a_list_of_exactly_the_bound_is_not_truncated(clock: VirtualClock) -> None:
    buffer = make(refusing(), clock, policy={"max_items": 5000})
    buffer.events.on("error", lambda _: None)
    for _ in range(2):
        await buffer.put_many([b"x"] * 5000)
        await buffer.flush()
    report = await buffer.aclose()

    assert (len(report.undelivered), report.truncated) == (10_000, False)


def test_reports_of_several_buffers_make_one() -> None:
    first = DeliveryFailed("x", records=[1, 2], maybe_delivered=False)
    second = DeliveryFailed("y", records=list(range(10_000)), maybe_delivered=False)
    reports = [
        FlushReport(delivered=1, failed=2, failures=(first,), told=2, seconds=0.5),
        FlushReport(delivered=2, failed=10_000, pending=3, spooled=3, failures=(second,), seconds=0.1),
    ]
    joined = FlushReport.joined(reports)

    assert (joined.delivered, joined.failed, joined.pending, joined.spooled) == (3, 10_002, 3, 3)
    assert (joined.told, joined.untold, joined.seconds) == (2, 10_000, 0.5)
    assert (joined.failures, joined.truncated) == ((second,), True)
    assert FlushReport.joined([]) == FlushReport()


# -- who is told -------------------------------------------------------------------------------------------------------


@virtual
async def test_a_failure_that_nobody_hears_of_is_logged_once_with_what_how_many_and_why(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def described(found: Sequence[bytes]) -> str:
        return f"points of {found[0].decode()}"

    buffer = make(refusing(), clock, describe=described)
    await buffer.put_many([b"here", b"there"])
    await buffer.flush()
    report = await buffer.aclose()

    [line] = lines(caplog)
    assert line.startswith(
        "ERROR acme: 2 points of here were not delivered: BadRequest: acme answered 400 no such point"
    )
    assert (report.told, report.untold) == (0, 2)


@virtual
async def test_a_description_that_fails_costs_no_more_than_itself(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def described(_: Sequence[bytes]) -> str:
        raise KeyError("__table")

    buffer = make(refusing(), clock, describe=described)
    await buffer.put(b"one")
    await buffer.aclose()

    assert "1 records were not delivered" in lines(caplog)[0]


async def hear_later(_: object) -> None:
    await asyncio.sleep(0.1)


HANDLERS: list[tuple[str, Callable[..., Any]]] = [
    ("error", lambda _: None),
    ("*", lambda name, _: None),
    ("error", hear_later),
]


@pytest.mark.parametrize(("event", "handler"), HANDLERS, ids=["function", "any event", "coroutine function"])
@virtual
async def test_what_a_handler_has_seen_is_not_logged(
    clock: VirtualClock, event: str, handler: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    buffer = make(refusing(), clock)
    buffer.events.on(event, handler)
    await buffer.put(b"one")
    report = await buffer.aclose()

    assert (lines(caplog), report.told, report.untold) == ([], 1, 0)


@virtual
async def test_a_handler_that_breaks_down_has_told_nobody(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise ValueError("a stranger's bug")

    buffer = make(refusing(), clock)
    buffer.events.on("error", broken)
    await buffer.put(b"one")
    report = await buffer.aclose()

    assert [line.partition(" ")[0] for line in lines(caplog)] == ["WARNING", "ERROR"]
    assert report.untold == 1


@virtual
async def test_what_an_awaited_receipt_raises_is_not_logged(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = make(refusing(), clock)
    receipt = await buffer.put(b"one")
    awaiting = asyncio.create_task(receipt.wait())
    await turns()
    report = await buffer.aclose()
    with pytest.raises(DeliveryFailed):
        await awaiting

    assert (lines(caplog), report.told) == ([], 1)


@pytest.mark.parametrize("when", ["before", "in that very turn"])
@virtual
async def test_who_was_cancelled_while_he_awaited_a_receipt_has_not_been_told(
    clock: VirtualClock, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = make(refusing(), clock)
    receipt = await buffer.put(b"one")
    awaiting = asyncio.create_task(receipt.wait())
    await turns()
    if when == "before":
        awaiting.cancel()
    else:
        settle = Receipt.settle

        def and_cancel(self: Receipt, *args: Any) -> None:
            settle(self, *args)
            awaiting.cancel()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Receipt, "settle", and_cancel)
            await buffer.flush()
    await asyncio.wait({awaiting})
    report = await buffer.aclose()

    assert awaiting.cancelled()
    assert (len(lines(caplog)), report.untold) == (1, 1)


@pytest.mark.parametrize("how", ["awaits", "asks"])
@virtual
async def test_who_looks_at_a_receipt_later_has_been_told_and_it_is_not_logged_again(
    clock: VirtualClock, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = make(refusing(), clock)
    receipt = await buffer.put(b"one")
    before = await buffer.flush()
    for _ in range(3):
        if how == "awaits":
            with pytest.raises(DeliveryFailed):
                await receipt
        else:
            assert receipt.error is not None
    after = await buffer.aclose()

    assert (before.told, after.untold, after.told) == (0, 0, 1)
    assert len(lines(caplog)) == 1


@virtual
async def test_a_failed_receipt_costs_each_of_its_waiters_the_same(clock: VirtualClock) -> None:
    def frames(traceback: TracebackType | None) -> int:
        return 0 if traceback is None else 1 + frames(traceback.tb_next)

    platform = refusing()
    buffer = make(platform, clock)
    receipt = await buffer.put(b"one")
    await buffer.flush()
    seen: list[DeliveryFailed] = []
    for _ in range(300):
        try:
            await receipt
        except DeliveryFailed as error:
            seen.append(error)
    await buffer.aclose()

    assert {frames(error.__traceback__) for error in seen} == {frames(seen[0].__traceback__)}
    assert {id(error.records) for error in seen} == {id(seen[0].records)}
    assert all(error.__cause__ is platform.error and error.told for error in seen)
    assert receipt.error is not None
    assert receipt.error.__traceback__ is None


async def test_what_a_spool_still_holds_is_told_at_warning_pending_and_not_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    platform = Platform()
    platform.error = ConnectFailed("nobody there")
    buffer = SpooledBuffer(platform.send, Spool(tmp_path / "spool", fsync=False), name="acme")
    await buffer.put_many([b"one", b"two"])
    report = await buffer.flush()
    stats = buffer.stats
    closed = await buffer.aclose()

    assert (report.accepted, report.failed, report.pending, report.spooled) == (2, 0, 2, 2)
    assert (stats.accepted, stats.failed, stats.pending) == (2, 0, 2)
    assert (closed.pending, closed.complete, closed.untold, closed.undelivered) == (2, False, 0, [])
    assert closed.failures[0].spooled
    assert lines(caplog)[0].startswith("WARNING acme: 2 records were not delivered: ConnectFailed: nobody there")
    assert [line for line in lines(caplog) if line.startswith("ERROR")] == []


# -- never closed ------------------------------------------------------------------------------------------------------


def test_a_buffer_that_is_let_go_warns_each_time_and_names_the_place_that_made_it() -> None:
    async def main(clock: VirtualClock) -> None:
        buffer = make(Platform(), clock)
        await buffer.put_many(records(3))

    def forget() -> None:
        for _ in range(2):
            clock = VirtualClock()
            clock.run(main(clock))
            gc.collect()

    with pytest.warns(UndeliveredWarning) as warned:
        forget()

    assert [str(one.message) for one in warned] == [
        "acme was never closed: 3 records that it had accepted were not delivered"
    ] * 2
    assert {one.filename for one in warned} == {__file__}


PROGRAM = """
import asyncio, os, sys
from asyncconn.core.buffer.memory import BatchBuffer

async def send(batch): ...

kept = []

async def main():
    kept.append(BatchBuffer(send, size=len, name="acme"))
    await kept[0].put_many([b"one", b"two"])
    if {fork} and not os.fork():
        sys.exit(0)
    if {fork}:
        os.wait()
        await kept[0].aclose()

asyncio.run(main())
"""


@pytest.mark.parametrize("fork", [False, True])
def test_a_program_that_ends_with_an_open_buffer_warns_and_a_forked_child_does_not(fork: bool) -> None:
    code = PROGRAM.format(fork=fork)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False, env=env
    )

    said = "UndeliveredWarning: acme was never closed: 2 records that it had accepted were not delivered"
    assert (done.returncode, done.stderr.count(said)) == (0, 0 if fork else 1)


def test_a_program_without_logging_sees_what_was_lost() -> None:
    code = """
import asyncio
from asyncconn.core.buffer.memory import BatchBuffer

async def send(batch):
    raise OSError("no route")

async def main():
    buffer = BatchBuffer(send, size=len, name="acme")
    await buffer.put(b"one")
    await buffer.aclose()

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)

    how = "an error handler, on('error', ...), is given them"
    assert done.stderr == f"acme: 1 records were not delivered: OSError: no route; {how}\n"


def test_nothing_is_logged_where_all_arrives(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()

    async def main() -> None:
        buffer = make(Platform(), clock)
        await buffer.put(b"one")
        await buffer.aclose()

    with caplog.at_level(logging.DEBUG, "asyncconn"):
        clock.run(main())

    assert lines(caplog) == []
