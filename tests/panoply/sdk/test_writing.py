"""The synchronous SDK, against the sandbox on a loop of its own: what it takes, what it tells, what it is made of."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn import BatchPolicy, Hub, UndeliveredWarning
from asyncconn.core.retrying import ONCE, RetryPolicy
from asyncconn.errors import (
    BufferClosed,
    BufferFull,
    ConfigError,
    DeliveryFailed,
    InvalidRecord,
    LifecycleError,
    RecordTooLarge,
)
from asyncconn.panoply.sdk import SDK
from asyncconn.sandbox import Fault

from .scene import Target, balanced, wait_until

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


# -- writing -----------------------------------------------------------------------------------------------------------


def test_what_is_written_arrives_when_the_block_is_left(target: Target, way: str) -> None:
    with target.sdk() as sdk:
        for i in range(50):
            assert sdk.write("t", {"id": i}) is None  # type: ignore[func-returns-value] # as the original
        assert target.ids() == []
        stats = balanced(sdk)
        assert (stats.accepted, stats.pending) == (50, 50)
    assert target.ids() == list(range(50))
    assert balanced(sdk).delivered == 50


def test_with_a_spool_a_record_is_on_disk_when_write_returns_and_sent_by_the_next_sdk(
    target: Target, tmp_path: Path
) -> None:
    away = RetryPolicy(attempts=1, maybe_sent="always")
    target.sandbox.faults.add(Fault("status", status=503, times=None))
    with target.sdk(spool=tmp_path / "sdk.spool", retry=away) as sdk:
        for i in range(5):
            sdk.write("t", {"id": i})
        spool = sdk._panoply.spool
        assert spool is not None
        assert spool.stats.records == 5
    assert target.ids() == []
    target.sandbox.faults.clear()
    with target.sdk(spool=tmp_path / "sdk.spool") as sdk:
        assert sdk.flush().complete
    assert target.ids() == list(range(5))


def test_a_record_leaves_by_itself_when_it_is_old_enough(target: Target) -> None:
    with target.sdk(policy=BatchPolicy(max_age=0.05)) as sdk:
        sdk.write("t", {"id": 1})
        wait_until(lambda: target.ids() == [1])


def test_records_keep_their_order_and_may_be_changed_afterwards(target: Target, way: str) -> None:
    record = {"id": 0}
    with target.sdk() as sdk:
        for i in range(5000):
            record["id"] = i
            sdk.write("t", record)
    seen = [
        json.loads(line)["id"]
        for message in target.sandbox.panoply.messages
        for line in message.body.splitlines()
        if line
    ]
    assert seen == list(range(5000))


def test_many_threads_lose_and_double_nothing(target: Target, way: str) -> None:
    policy = BatchPolicy(max_age=60.0, max_items=40, max_pending_items=100, max_in_flight=3)

    def write(number: int, sdk: SDK) -> None:
        for i in range(200):
            sdk.write("t", {"id": f"{number}-{i:03}"})
            if i % 67 == number:
                sdk.flush()

    with target.sdk(policy=policy) as sdk:
        threads = [threading.Thread(target=write, args=(number, sdk)) for number in range(6)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert balanced(sdk).pending <= 100
        for thread in threads:
            thread.join()
    assert target.ids() == [f"{number}-{i:03}" for number in range(6) for i in range(200)]
    assert balanced(sdk).delivered == 1200


@pytest.mark.parametrize("bad", [["a"], None, {"a": object()}, {(1, 2): 3}])
def test_a_bad_record_is_refused_by_write_itself(target: Target, way: str, bad: Any) -> None:
    with target.sdk() as sdk:
        with pytest.raises(InvalidRecord):
            sdk.write("t", bad)
        with pytest.raises(InvalidRecord, match="table name"):
            sdk.write("", {"id": 1})
        with pytest.raises(RecordTooLarge) as caught:
            sdk.write("t", {"s": "x" * 300_000})
        assert caught.value.size > caught.value.limit
        sdk.write("t", {"id": 2})
        assert sdk.stats.accepted == 1
    assert target.ids() == [2]


def test_a_record_that_just_fits_is_taken_and_one_byte_more_is_not(target: Target, way: str) -> None:
    with target.sdk(policy=BatchPolicy(max_age=60.0, max_bytes=1000, max_pending_bytes=1000)) as sdk:
        empty = len('{"id":1,"s":"","__table":"t"}') + 2
        with pytest.raises(RecordTooLarge):
            sdk.write("t", {"id": 1, "s": "x" * (1001 - empty)})
        for i in range(3):  # each fills the buffer, so each waits for the one before
            sdk.write("t", {"id": i, "s": "x" * (1000 - empty)})
    assert target.ids() == [0, 1, 2]


# -- room --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{"max_pending_items": 10}, {"max_pending_bytes": 400, "max_bytes": 400}])
def test_a_write_waits_while_the_buffer_is_full(target: Target, way: str, limits: dict[str, Any]) -> None:
    target.sandbox.faults.add(Fault("delay", seconds=0.2, times=1))
    most = most_bytes = 0
    with target.sdk(policy=BatchPolicy(max_age=60.0, max_in_flight=1, **limits)) as sdk:
        for i in range(60):
            sdk.write("t", {"id": i})
            most = max(most, sdk.stats.pending)
            most_bytes = max(most_bytes, sdk.stats.pending_bytes)
    assert most <= limits.get("max_pending_items", 60)
    assert most_bytes <= limits.get("max_pending_bytes", 10_000)
    assert target.ids() == list(range(60))


def test_where_the_policy_says_so_a_full_buffer_is_an_error(target: Target, way: str) -> None:
    with target.sdk(policy=BatchPolicy(max_age=60.0, max_pending_items=3, overflow="raise")) as sdk:
        for i in range(3):
            sdk.write("t", {"id": i})
        with pytest.raises(BufferFull):
            sdk.write("t", {"id": 3})
        assert sdk.flush().delivered == 3
        sdk.write("t", {"id": 4})
    assert target.ids() == [0, 1, 2, 4]


def test_a_write_that_waits_when_the_sdk_is_closed_is_not_taken(target: Target, way: str) -> None:
    target.sandbox.faults.add(Fault("delay", seconds=2.0, times=None))
    sdk = target.sdk(policy=BatchPolicy(max_age=60.0, max_pending_items=2, max_in_flight=1))
    reports: list[Any] = []
    taken: list[int] = []
    raised: list[BaseException] = []

    def write() -> None:
        try:
            for i in range(10):
                sdk.write("t", {"id": i})
                taken.append(i)
        except BaseException as error:  # noqa: BLE001 - collected
            raised.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: len(taken) >= 2 and sdk.stats.in_flight)
    closer = threading.Thread(target=lambda: reports.append(sdk.close()))
    closer.start()
    writer.join(10)
    assert sdk.stats.delivered == 0, "it heard of the close only when there was room"
    closer.join(10)
    assert [type(error) for error in raised] == [BufferClosed]
    assert reports[0].complete
    assert balanced(sdk).accepted == len(taken)
    assert target.ids() == taken


# -- events ------------------------------------------------------------------------------------------------------------


def test_handlers_hear_what_the_writers_do_on_the_sdks_own_thread(target: Target) -> None:
    seen: list[tuple[str, Any, str]] = []

    def heard(name: str, data: Any) -> None:
        seen.append((name, data, threading.current_thread().name))

    sdk = target.sdk()
    assert sdk.on("*", heard).on("flush", lambda delivery: heard("own", delivery)) is sdk
    unwanted = list[Any]()
    assert sdk.on("send", unwanted.append).off("send", unwanted.append) is sdk
    sdk.write("t", {"id": 1})
    sdk.close()
    assert [name for name, *_ in seen] == ["send", "flush", "own"]
    assert {thread for *_, thread in seen} == {"asyncconn-sdk"}
    assert unwanted == []
    assert len(seen[0][1].items) == 1
    assert seen[1][1].records == 1
    with pytest.raises(ConfigError, match="no event 'sent'"):
        sdk.on("sent", print)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize("heard", [True, False])
def test_a_batch_that_fails_is_counted_and_handed_out_or_logged(
    target: Target, way: str, heard: bool, caplog: pytest.LogCaptureFixture
) -> None:
    target.sandbox.faults.add(Fault("status", status=500))
    failed: list[DeliveryFailed] = []
    warning: AbstractContextManager[Any] = nullcontext() if heard else pytest.warns(UndeliveredWarning)
    with warning, target.sdk(retry=ONCE) as sdk:
        if heard:
            sdk.on("error", failed.append)
        sdk.write("t", {"id": 1})
        report = sdk.flush()
        assert (report.unknown, report.complete) == (1, False)
        stats = balanced(sdk)
        assert (stats.unknown, stats.pending) == (1, 0)
    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    if heard:
        assert ([failure.records for failure in failed], logged) == ([[{"id": 1, "__table": "t"}]], [])
    else:
        [line] = logged
        assert "1 records of table 't' were not delivered: ServerError" in line
    assert target.sandbox.panoply.api_secret not in caplog.text


def test_a_handler_may_write_the_failed_records_again(target: Target) -> None:
    target.sandbox.faults.add(Fault("status", status=500))
    with target.sdk(retry=ONCE) as sdk:

        def again(failure: DeliveryFailed) -> None:
            for record in failure.records:
                sdk.write("t", record)

        sdk.on("error", again)
        sdk.write("t", {"id": 1})
        assert sdk.flush().unknown == 1
    assert target.ids() == [1]
    assert balanced(sdk).accepted == 2


def test_a_handler_that_would_wait_for_itself_is_told(target: Target) -> None:
    told: list[BaseException] = []

    def impatient(_: Any) -> None:
        def fill() -> None:
            for i in range(2, 10):
                sdk.write("t", {"id": i})

        for call in (sdk.flush, sdk.close, fill):
            try:
                call()
            except LifecycleError as error:
                told.append(error)
        assert sdk.stats.pending >= 1

    sdk = target.sdk(policy=BatchPolicy(max_age=60.0, max_pending_items=4))
    sdk.on("send", impatient)
    sdk.write("t", {"id": 1})
    wait_until(lambda: sdk.flush(5).delivered and len(told) >= 3)
    sdk.close()
    assert len(told) >= 3
    assert "a handler cannot wait until there is room" in str(told[2])
    assert balanced(sdk).delivered == sdk.stats.accepted


# -- what it is made of ------------------------------------------------------------------------------------------------


def test_the_originals_attributes_are_there_and_the_secret_is_not(target: Target) -> None:
    account = target.sandbox.panoply
    with target.sdk() as sdk:
        assert sdk.apikey == account.api_key
        assert sdk.qurl.startswith(f"{target.sandbox.url}/")
        assert sdk.qurl.rpartition("/")[2].startswith("sdk-")
        assert account.api_secret not in repr(sdk) + str(vars(sdk))
        assert sdk.qurl.rpartition("/")[2] not in repr(sdk)
        with pytest.raises(AttributeError, match=r"make it with SDK\(key, secret, endpoint_url="):
            sdk.qurl = "http://127.0.0.1:1/queue"


def test_what_cannot_work_is_said_before_a_thread_is_started(target: Target) -> None:
    before = threading.active_count()
    with pytest.raises(ConfigError):
        SDK("acme/key", "not base64 !")
    with pytest.raises(ConfigError, match="a hub of its own"):
        target.sdk(hub=Hub())
    with pytest.raises(TypeError, match="unheard_of"):
        target.sdk(unheard_of=1)
    assert threading.active_count() == before


# -- inside a loop -----------------------------------------------------------------------------------------------------


async def test_the_sdk_is_not_made_for_an_event_loop_but_does_not_break_in_one(target: Target) -> None:
    sdk = await asyncio.to_thread(target.sdk)
    sdk.write("t", {"id": 1})  # with room there is nothing to wait for
    await asyncio.to_thread(sdk.close)
    assert target.ids() == [1]
