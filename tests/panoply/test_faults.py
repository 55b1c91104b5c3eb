"""What becomes of records when the network and the queue misbehave; with both senders."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import errors
from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.core.retrying import RetryPolicy
from asyncconn.http.transport import Timeouts
from asyncconn.sandbox import Fault

from .writer_tests import SLOW, settled

if TYPE_CHECKING:
    from .scene import SandboxTarget

SHORT = Timeouts(connect=0.2, total=0.2)

# kind, what the script says, messages the queue then holds for one batch
PASSING: list[tuple[str, Fault, int]] = [
    ("delay", Fault("delay", seconds=0.05), 1),
    ("drop before", Fault("drop_before"), 1),
    ("drop after", Fault("drop_after"), 2),
    ("500", Fault("status", status=500), 1),
    ("503", Fault("status", status=503), 1),
    ("503 with a time", Fault("status", status=503, retry_after=0.05), 1),
    ("429", Fault("status", status=429), 1),
    ("429 with a time", Fault("status", status=429, retry_after=0.05), 1),
    ("half body", Fault("half_body"), 2),
    ("stall", Fault("stall"), 1),
    ("stall after", Fault("stall_after"), 2),
    ("late", Fault("delay", seconds=5.0), 2),
    ("close", Fault("close"), 1),
    ("malformed", Fault("malformed"), 2),
    ("wrong digest", Fault("wrong_digest"), 2),
]


@pytest.mark.parametrize(("fault", "messages"), [row[1:] for row in PASSING], ids=[row[0] for row in PASSING])
async def test_a_passing_fault_loses_nothing_and_doubles_only_where_the_answer_was_lost(
    target: SandboxTarget, fault: Fault, messages: int
) -> None:
    panoply = target.panoply(timeouts=SHORT, policy=SLOW)
    await panoply.write("warm", {"id": 0})
    await panoply.flush()  # so that a kept-alive connection is what breaks
    target.sandbox.faults.add(fault)
    async with asyncio.timeout(4):
        await panoply.write_many("t", [{"id": i} for i in range(3)])
        report = await panoply.flush()
    assert target.sandbox.faults.hits[fault.kind] == 1
    assert (report.delivered, report.failed) == (4, 0)
    assert settled(panoply).delivered == 4
    assert target.rows() == {0, 1, 2}
    assert len(target.sandbox.panoply.messages) == 1 + messages
    if fault.kind == "close":
        await panoply.write("t", {"id": 9})
        assert (await panoply.flush()).complete


async def test_a_time_named_by_the_server_is_waited_for(target: SandboxTarget) -> None:
    waits: list[float] = []
    panoply = target.panoply(policy=SLOW)
    target.sandbox.faults.add(Fault("status", status=503, retry_after=0.4))
    panoply.http.events.on("retry", lambda error: waits.append(error.retry_after))
    await panoply.write("t", {"id": 1})
    await panoply.flush()
    first, second = [arrival.at for arrival in target.sandbox.arrivals]
    assert waits == [0.4]
    assert second - first >= 0.4


@pytest.mark.parametrize("status", [429, 503])
async def test_a_time_beyond_what_is_acceptable_holds_all_that_is_to_be_sent(
    target: SandboxTarget, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    panoply = target.panoply(policy=SLOW)
    target.sandbox.faults.add(Fault("status", status=status, retry_after=3600))
    for number in range(5):
        await panoply.write("t", {"id": number})
        report = await panoply.flush(0.1 if number else 1.0)
    assert (report.pending, report.failed, report.failures) == (5, 0, ())
    assert len(target.sandbox.arrivals) == 1
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "nothing is sent for 3600 s, until " in line
    closed = await target.hub.aclose(timeout=0.1)
    failures = closed.reports["panoply"].failures
    [first] = [one for one in failures if one.records == [{"id": 0, "__table": "t"}]]
    assert getattr(first.__cause__, "retry_after", None) == 3600.0
    assert first.maybe_delivered is (status == 503)
    assert [failure.maybe_delivered for failure in failures].count(True) == (status == 503)
    assert len(closed.undelivered) == 5


# kind, script, the reason, perhaps delivered?, requests made
LASTING: list[tuple[str, Fault, type[Exception], bool, int]] = [
    ("403", Fault("status", status=403, times=None), errors.Forbidden, False, 1),
    ("400", Fault("status", status=400, times=None), errors.BadRequest, False, 1),
    ("302", Fault("status", status=302, location="/elsewhere", times=None), errors.ProtocolError, False, 1),
    ("307", Fault("status", status=307, location="/elsewhere", times=None), errors.ProtocolError, False, 1),
    ("500", Fault("status", status=500, times=None), errors.ServerError, True, 4),
    ("503", Fault("status", status=503, times=None), errors.ServerError, True, 4),
    ("429", Fault("status", status=429, times=None), errors.RateLimited, False, 4),
    ("drop before", Fault("drop_before", times=None), errors.ConnectionLost, True, 4),
    ("drop after", Fault("drop_after", times=None), errors.ConnectionLost, True, 4),
    ("half body", Fault("half_body", times=None), errors.ConnectionLost, True, 4),
    ("stall", Fault("stall", times=None), errors.ReadTimeout, True, 4),
    ("stall after", Fault("stall_after", times=None), errors.ReadTimeout, True, 4),
    ("malformed", Fault("malformed", times=None), errors.ProtocolError, True, 4),
    ("wrong digest", Fault("wrong_digest", times=None), errors.ProtocolError, True, 4),
]


@pytest.mark.parametrize(
    ("fault", "reason", "maybe", "requests"), [row[1:] for row in LASTING], ids=[row[0] for row in LASTING]
)
async def test_a_lasting_fault_gives_the_records_back_with_the_reason(
    target: SandboxTarget, fault: Fault, reason: type[Exception], maybe: bool, requests: int
) -> None:
    backlog: list[Any] = []
    panoply = target.panoply(timeouts=SHORT, policy=SLOW)
    panoply.on("error", lambda failure: backlog.extend(failure.records))
    target.sandbox.faults.add(fault)
    receipt = (await panoply.write_many("t", [{"id": i} for i in range(3)])).receipts[0]
    async with asyncio.timeout(6):
        report = await panoply.flush()
        with pytest.raises(errors.DeliveryFailed) as caught:
            await receipt
    failure = caught.value
    assert isinstance(failure.__cause__, reason)
    assert failure.maybe_delivered is maybe
    assert report.undelivered == backlog == failure.records == [{"id": i, "__table": "t"} for i in range(3)]
    stats = settled(panoply)
    assert (stats.failed, stats.unknown) == ((0, 3) if maybe else (3, 0))
    assert (stats.batches_failed, stats.delivered) == (1, 0)
    assert sum(target.sandbox.requests.values()) == requests
    assert target.sandbox.requests["-"] == 0  # a redirect leads nowhere
    # What came back can be written again as it is.
    target.sandbox.faults.clear()
    await panoply.write_many("t", backlog)
    assert (await panoply.flush()).delivered == 3
    assert target.rows() == {0, 1, 2}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(target: SandboxTarget, status: int) -> None:
    other = target.sandbox.panoply.add_account()
    target.sandbox.faults.add(Fault("status", status=status, location=other.queue_url))
    panoply = target.panoply(policy=SLOW)
    await panoply.write("t", {"id": 1})
    [failure] = (await panoply.flush()).failures
    assert isinstance(failure.__cause__, errors.ProtocolError)
    assert "redirected" in str(failure.__cause__)
    assert [arrival.method for arrival in target.sandbox.arrivals] == ["POST"]
    assert not target.sandbox.panoply.messages


async def test_an_address_where_nobody_listens_is_a_failure_that_was_surely_not_sent(target: SandboxTarget) -> None:
    panoply = target.panoply(endpoint_url="http://127.0.0.1:9", policy=SLOW)
    await panoply.write("t", {"id": 1})
    async with asyncio.timeout(5):
        [failure] = (await panoply.flush()).failures
    assert isinstance(failure.__cause__, errors.ConnectFailed)
    assert not failure.maybe_delivered


async def test_a_lost_answer_is_remembered_though_the_last_attempt_was_surely_not_carried_out(
    target: SandboxTarget,
) -> None:
    target.sandbox.faults.add(Fault("drop_after"), Fault("status", status=403))
    panoply = target.panoply(policy=SLOW)
    await panoply.write("t", {"id": 1})
    [failure] = (await panoply.flush()).failures
    assert isinstance(failure.__cause__, errors.Forbidden)
    assert failure.maybe_delivered
    assert target.rows() == {1}


async def test_an_unknown_queue_is_not_tried_again(target: SandboxTarget) -> None:
    key, secret = target.credentials
    rand2, *rest = base64.b64decode(secret).decode().split("/")
    wrong = base64.b64encode("/".join([rand2[::-1], *rest]).encode()).decode()
    panoply = target.panoply(credentials=(key, wrong), policy=SLOW)
    await panoply.write("t", {"id": 1})
    [failure] = (await panoply.flush()).failures
    assert isinstance(failure.__cause__, errors.BadRequest)
    assert "NonExistentQueue" in (failure.__cause__.code or "")
    assert len(target.sandbox.arrivals) == 1


async def test_a_wrong_secret_of_the_right_queue_is_accepted_and_nobody_can_tell(target: SandboxTarget) -> None:
    key, secret = target.credentials
    parts = base64.b64decode(secret).decode().split("/")
    parts[1] = "00000000-0000-4000-8000-000000000000"
    wrong = base64.b64encode("/".join(parts).encode()).decode()
    panoply = target.panoply(credentials=(key, wrong), policy=SLOW)
    await panoply.write("t", {"id": 1})
    assert (await panoply.flush()).delivered == 1
    assert target.sandbox.panoply.counters.rejections == {"wrong secret": 1}


async def test_a_message_over_the_queues_limit_is_refused_and_comes_back(target: SandboxTarget) -> None:
    target.sandbox.panoply.max_message_bytes = 1000  # a queue that takes less than we were told
    panoply = target.panoply(policy=SLOW)
    await panoply.write("t", {"id": 1, "s": "x" * 2000})
    [failure] = (await panoply.flush()).failures
    assert isinstance(failure.__cause__, errors.BadRequest)
    assert len(target.sandbox.arrivals) == 1
    told = target.panoply(policy=SLOW, max_message_bytes=1000)
    await told.write_many("t", [{"id": i, "s": "x" * 300} for i in range(10)])
    assert (await told.flush()).delivered == 10
    assert max(message.size_bytes for message in target.sandbox.panoply.messages) <= 1000


async def test_in_any_weather_every_record_is_in_the_warehouse_or_in_an_error(target: SandboxTarget) -> None:
    target.sandbox.faults.add(
        *[
            Fault(kind, times=None, probability=0.12)
            for kind in ("drop_before", "drop_after", "half_body", "malformed", "wrong_digest", "close", "stall_after")
        ],
        Fault("status", status=503, times=None, probability=0.2),
        Fault("status", status=403, times=None, probability=0.1),
    )
    failures: list[errors.DeliveryFailed] = []
    panoply = target.panoply(
        timeouts=Timeouts(connect=0.15, total=0.15),
        retry=RetryPolicy(attempts=3, initial=0.01, maximum=0.02, deadline=2.0, maybe_sent="always"),
        policy=BatchPolicy(max_age=0.05, max_items=5),
    )
    panoply.on("error", failures.append)
    async with asyncio.timeout(10):
        for i in range(200):
            await panoply.write("t", {"id": i})
            stats = panoply.stats
            assert stats.accepted == stats.delivered + stats.failed + stats.unknown + stats.pending == i + 1
        report = await panoply.aclose()
    assert report is not None
    stats = settled(panoply)
    surely, perhaps = (
        [record["id"] for failure in failures if failure.maybe_delivered is maybe for record in failure.records]
        for maybe in (False, True)
    )
    assert (stats.failed, stats.unknown) == (len(surely), len(perhaps))
    lost = {*surely, *perhaps}
    assert len(lost) == len(surely) + len(perhaps)
    assert target.rows().isdisjoint(surely)
    assert target.rows() | lost == set(range(200))
    assert set(range(200)) - lost <= target.rows()


async def test_a_failing_server_and_a_raising_handler_together_stop_nothing(target: SandboxTarget) -> None:
    def broken(failure: errors.DeliveryFailed) -> None:
        raise RuntimeError("a stranger's bug")

    kept: list[Any] = []
    target.sandbox.faults.add(Fault("status", status=403, times=2))
    panoply = target.panoply(policy=BatchPolicy(max_age=60.0, max_items=1, max_in_flight=1))
    panoply.on("error", broken)
    panoply.on("error", lambda failure: kept.extend(failure.records))
    await panoply.write_many("t", [{"id": i} for i in range(4)])
    await panoply.flush()
    assert [record["id"] for record in kept] == [0, 1]
    assert target.rows() == {2, 3}
    stats = settled(panoply)
    assert (stats.failed, stats.unknown, stats.delivered) == (2, 0, 2)


# -- bounded memory and time -------------------------------------------------------------------------------------------

TIGHT = BatchPolicy(max_age=0.05, max_bytes=2_000, max_pending_bytes=10_000, max_pending_items=10_000)


async def test_a_stalled_server_holds_writers_up_and_no_more_than_the_policy_is_ever_held(
    target: SandboxTarget,
) -> None:
    target.sandbox.faults.add(Fault("stall", times=None))
    panoply = target.panoply(policy=TIGHT, timeouts=Timeouts(connect=30, total=30))
    sent: list[int] = []
    panoply.on("send", lambda batch: sent.append(len(batch.items)))
    offered = 0
    most = 0

    async def writer() -> None:
        nonlocal offered, most
        for _ in range(1000):
            offered += 1
            await panoply.write("t", {"s": "x" * 100})
            most = max(most, panoply.stats.pending_bytes)

    writers = [asyncio.create_task(writer()) for _ in range(20)]
    await asyncio.sleep(0.5)
    stats = panoply.stats
    assert 8_000 < stats.pending_bytes <= most <= TIGHT.max_pending_bytes
    assert stats.accepted == stats.pending < offered
    async with asyncio.timeout(3):
        report = await panoply.aclose(timeout=0.1)
        outcomes = await asyncio.gather(*writers, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {errors.BufferClosed}
    assert report is not None
    assert (report.failed, report.unknown) == (stats.accepted - sum(sent), sum(sent))
    assert (settled(panoply).failed, settled(panoply).unknown) == (report.failed, report.unknown)
    assert len(sent) == TIGHT.max_in_flight
    assert len(report.undelivered) == stats.accepted


async def test_write_nowait_and_an_impatient_policy_say_so_when_there_is_no_room(target: SandboxTarget) -> None:
    target.sandbox.faults.add(Fault("stall", times=None))
    panoply = target.panoply(
        policy=BatchPolicy(max_age=60.0, max_bytes=2_000, max_pending_bytes=4_000, overflow="raise")
    )
    sent: list[int] = []
    panoply.on("send", lambda batch: sent.append(len(batch.items)))
    while panoply.stats.pending_bytes <= 4_000 - 130:
        panoply.write_nowait("t", {"s": "x" * 100})
    taken = panoply.stats.accepted
    with pytest.raises(errors.BufferFull):
        panoply.write_nowait("t", {"s": "x" * 100})
    with pytest.raises(errors.BufferFull):
        await panoply.write("t", {"s": "x" * 100})
    assert panoply.stats.accepted == taken
    report = await panoply.aclose(timeout=0.1)
    assert report is not None
    assert (report.failed, report.unknown) == (0, sum(sent)) == (0, taken)


async def test_a_flush_that_names_a_time_returns_then(target: SandboxTarget) -> None:
    target.sandbox.faults.add(Fault("stall"))
    panoply = target.panoply(policy=SLOW, timeouts=Timeouts(connect=2.0, total=1.0))
    await panoply.write("t", {"id": 1})
    async with asyncio.timeout(0.9):
        report = await panoply.flush(timeout=0.2)
    assert (report.pending, report.delivered) == (1, 0)
    assert (await panoply.flush()).delivered == 1


async def test_closing_while_the_server_is_down_ends_in_time_and_says_what_was_lost(target: SandboxTarget) -> None:
    target.sandbox.faults.add(Fault("status", status=503, times=None))
    panoply = target.panoply(
        policy=SLOW, retry=RetryPolicy(attempts=100, initial=0.05, maximum=0.1, deadline=60.0, maybe_sent="always")
    )
    await panoply.write("t", {"id": 1})
    async with asyncio.timeout(4):
        report = await target.hub.aclose(timeout=0.5)
    assert not report.complete
    assert report.undelivered == [{"id": 1, "__table": "t"}]
    assert report.reports["panoply"].failures[0].maybe_delivered
    assert settled(panoply).unknown == 1
