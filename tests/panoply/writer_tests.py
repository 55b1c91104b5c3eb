"""How Panoply's writer behaves in front of any SQS: one set of tests for the sandbox and for a stranger's server."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd
import pytest

from asyncconn.core.buffer.memory import BatchPolicy, Delivery
from asyncconn.errors import ConfigError, InvalidRecord, RecordTooLarge
from asyncconn.panoply import SentMessage, wire
from asyncconn.panoply.encoding import encode_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from asyncconn import Hub, Panoply
    from asyncconn.core.buffer.memory import BatchStats

SLOW = BatchPolicy(max_age=60.0)  # nothing leaves by age: what arrives was flushed, cut by size, or drained


@dataclass(frozen=True)
class Received:
    """A message as the queue holds it."""

    body: str
    attributes: dict[str, str]

    @property
    def size(self) -> int:
        return len(self.body.encode()) + wire.attributes_size(self.attributes)

    @property
    def records(self) -> list[dict[str, Any]]:
        assert self.body.endswith("\n\n")
        return [json.loads(piece) for piece in self.body[:-2].split("\n\n")]


class Target(Protocol):
    """A queue, and what has arrived there."""

    @property
    def hub(self) -> Hub: ...

    @property
    def credentials(self) -> tuple[str, str]: ...

    def panoply(self, **options: Any) -> Panoply:
        """A writer for it."""
        ...

    async def messages(self) -> list[Received]:
        """All that arrived, in order."""
        ...


async def landed(target: Target) -> list[dict[str, Any]]:
    return [record for message in await target.messages() for record in message.records]


def settled(panoply: Panoply) -> BatchStats:
    """Its stats, after checking that every accepted record has its outcome."""
    stats = panoply.stats
    assert stats.accepted == stats.delivered + stats.lost, stats
    assert (stats.pending, stats.pending_bytes, stats.in_flight) == (0, 0, 0), stats
    return stats


class WriterTests:
    """Subclass it where there is a fixture ``target``."""

    async def test_a_record_arrives_with_its_table_and_the_three_attributes(self, target: Target) -> None:
        panoply = target.panoply(policy=SLOW)
        receipt = await panoply.write("Events", {"id": 1, "name": "Zoë"})
        assert not receipt.done
        report = await panoply.flush()
        assert (report.delivered, report.complete) == (1, True)
        [message] = await target.messages()
        assert message.records == [{"id": 1, "name": "Zoë", "__table": "Events"}]
        key, secret = target.credentials
        assert message.attributes == {"key": key, "secret": secret, "sdk": "panoply-python-sdk-3.2.0"}

    async def test_the_client_may_be_named(self, target: Target) -> None:
        panoply = target.panoply(policy=SLOW, client_name="my-app & sons-1.0")
        await panoply.write("t", {})
        assert (await panoply.flush()).complete
        assert [message.attributes["sdk"] for message in await target.messages()] == ["my-app & sons-1.0"]

    async def test_a_receipt_tells_of_the_arrival(self, target: Target) -> None:
        panoply = target.panoply(policy=BatchPolicy(max_age=0.05))
        receipt = await panoply.write("t", {"id": 1})
        assert await panoply.write("t", {"id": 2}) is receipt
        delivery = await receipt
        assert isinstance(delivery.result, SentMessage)
        assert (delivery.records, delivery.result.verified) == (2, True)
        assert delivery.result.message_id
        [message] = await target.messages()
        assert delivery.bytes == len(message.body)

    async def test_write_nowait_takes_records_from_code_that_cannot_await(self, target: Target) -> None:
        panoply = target.panoply(policy=SLOW)
        receipts = {panoply.write_nowait("t", {"id": i}) for i in range(3)}
        assert len(receipts) == 1
        await panoply.flush()
        assert [record["id"] for record in await landed(target)] == [0, 1, 2]

    @pytest.mark.parametrize("kind", ["list", "generator", "async generator"])
    async def test_write_many_takes_whatever_can_be_walked_through(self, target: Target, kind: str) -> None:
        def plain() -> Iterator[dict[str, Any]]:
            for i in range(50):
                yield {"id": i}

        async def slow() -> AsyncIterator[dict[str, Any]]:
            for i in range(50):
                await asyncio.sleep(0)
                yield {"id": i}

        records: Any = {"list": lambda: list(plain()), "generator": plain, "async generator": slow}[kind]()
        panoply = target.panoply(policy=BatchPolicy(max_age=60.0, max_items=20, max_in_flight=1))
        report = await panoply.write_many("t", records)
        assert (report.records, len(report.receipts)) == (50, 3)
        await panoply.flush()
        assert [receipt.delivery.records for receipt in report.receipts if receipt.delivery] == [20, 20, 10]
        assert [record["id"] for record in await landed(target)] == list(range(50))

    async def test_write_many_of_nothing_sends_nothing(self, target: Target) -> None:
        panoply = target.panoply(policy=SLOW)
        report = await panoply.write_many("t", [])
        assert (report.records, report.receipts) == (0, ())
        assert (await panoply.flush()).delivered == 0
        assert await target.messages() == []

    async def test_write_many_names_the_record_it_stumbled_over_and_sends_those_before(self, target: Target) -> None:
        panoply = target.panoply(policy=SLOW)
        with pytest.raises(InvalidRecord, match="record 2: ") as caught:
            await panoply.write_many("t", [{"id": 0}, {"id": 1}, {"a": [object()]}, {"id": 3}])
        assert (caught.value.index, caught.value.path) == (2, "$.a[0]")
        await panoply.flush()
        assert [record["id"] for record in await landed(target)] == [0, 1]

    async def test_a_frame_arrives_row_by_row(self, target: Target) -> None:
        frame = pd.DataFrame(
            {
                "n": [1, 2],
                "x": [0.5, float("nan")],
                "at": [pd.Timestamp("2024-02-29", tz="UTC"), pd.NaT],
                "text": ["a", None],
                "maybe": pd.array([7, None], dtype="Int64"),
            },
            index=pd.Index(["one", "two"], name="label"),
        )
        panoply = target.panoply(policy=SLOW)
        assert (await panoply.write_frame("t", frame)).records == 2
        assert (await panoply.write_frame("t", frame.iloc[:1], index=True)).records == 1
        await panoply.flush()
        first = {"n": 1, "x": 0.5, "at": "2024-02-29T00:00:00+00:00", "text": "a", "maybe": 7, "__table": "t"}
        second = {"n": 2, "x": None, "at": None, "text": None, "maybe": None, "__table": "t"}
        assert await landed(target) == [first, second, {"label": "one", **first}]

    @pytest.mark.parametrize(
        ("frame", "index", "says"),
        [
            (pd.DataFrame([[1, 2]], columns=["a", "a"]), False, "share a name"),
            (pd.DataFrame({"a": [1]}, index=pd.Index([5], name="a")), True, "cannot be a column"),
            ([{"a": 1}], False, "DataFrame is needed, not list"),
            (pd.Series([1]), False, "DataFrame is needed, not Series"),
        ],
    )
    async def test_a_frame_that_would_lose_something_is_refused(
        self, target: Target, frame: Any, index: bool, says: str
    ) -> None:
        panoply = target.panoply(policy=SLOW)
        with pytest.raises(InvalidRecord, match=says):
            await panoply.write_frame("t", frame, index=index)
        assert panoply.stats.accepted == 0

    async def test_all_kinds_of_values_arrive(self, target: Target) -> None:
        record = {
            "form": "a=b&c;d+e f%20\"'<>#?",
            "control": "\x00\t\n\r\x7f\x85\u2028",
            "unicode": "日本 😀 \ufffe\uffff",
            "when": datetime(2024, 2, 29, tzinfo=UTC),
            "exact": Decimal("12345678901234567890.5"),
            "big": 2**80,
        }
        panoply = target.panoply(policy=SLOW)
        await panoply.write("t", record)
        assert (await panoply.flush()).complete
        plain = {"when": "2024-02-29T00:00:00+00:00", "exact": 12345678901234567890.5, "__table": "t"}
        assert await landed(target) == [{**record, **plain}]

    async def test_a_record_may_be_changed_once_it_is_written(self, target: Target) -> None:
        panoply = target.panoply(policy=SLOW)
        record = {"id": 1, "tags": ["a"]}
        await panoply.write("t", record)
        record["tags"].append("b")  # type: ignore[attr-defined] # replaced for the test
        await panoply.flush()
        assert (await landed(target))[0]["tags"] == ["a"]
        assert record == {"id": 1, "tags": ["a", "b"]}

    async def test_events_tell_of_each_batch(self, target: Target) -> None:
        seen: list[tuple[str, Any]] = []
        later: list[Any] = []
        panoply = target.panoply(policy=BatchPolicy(max_age=60.0, max_items=2, max_in_flight=1))
        panoply.on("*", lambda name, data: seen.append((name, data)))

        @panoply.on("flush")
        async def slowly(delivery: Delivery) -> None:
            await asyncio.sleep(0)
            later.append(delivery.records)

        unwanted = panoply.on("send", lambda batch: pytest.fail("it was taken off"))
        panoply.off("send", unwanted)
        await panoply.write_many("t", [{"id": i} for i in range(3)])
        await panoply.flush()
        await panoply.aclose()
        assert [name for name, _ in seen] == ["send", "flush", "send", "flush"]
        assert [len(data.items) for name, data in seen if name == "send"] == [2, 1]
        assert later == [2, 1]
        with pytest.raises(ConfigError, match="no event 'sent'"):
            panoply.on("sent", print)  # type: ignore[call-overload] # wrong on purpose

    async def test_a_handler_that_raises_stops_nothing(self, target: Target) -> None:
        panoply = target.panoply(policy=BatchPolicy(max_age=60.0, max_items=1))

        def broken(*_: Any) -> None:
            raise RuntimeError("a stranger's bug")

        async def broken_later(*_: Any) -> None:
            raise RuntimeError("a stranger's bug")

        for name in ("send", "flush", "error", "*"):
            panoply.on(name, broken)
        panoply.on("flush", broken_later)
        await panoply.write_many("t", [{"id": i} for i in range(3)])
        await panoply.flush()
        await panoply.aclose()
        assert (settled(panoply).delivered, len(await landed(target))) == (3, 3)

    async def test_concurrent_writers_lose_and_double_nothing(self, target: Target) -> None:
        panoply = target.panoply(policy=BatchPolicy(max_age=0.05, max_items=40, max_in_flight=3))

        async def writer(number: int) -> None:
            for i in range(30):
                await panoply.write("t", {"id": f"{number}-{i}"})
                if i % 7 == number:
                    await panoply.flush()
                if i % 11 == 0:
                    await asyncio.sleep(0.01)

        await asyncio.gather(*[writer(number) for number in range(6)])
        await panoply.aclose()
        assert settled(panoply).delivered == 180
        arrived = Counter(record["id"] for record in await landed(target))
        assert arrived == Counter(f"{number}-{i}" for number in range(6) for i in range(30))

    async def test_no_message_is_larger_than_the_queue_takes_and_none_is_half_empty(self, target: Target) -> None:
        panoply = target.panoply(policy=SLOW)
        records = [{"id": i, "s": "x" * (1 + i * 37 % 3000)} for i in range(700)]
        await panoply.write_many("t", records)
        report = await panoply.flush()
        assert (report.delivered, report.failed) == (700, 0)
        messages = await target.messages()
        assert len(messages) > 3
        assert all(message.size <= wire.DEFAULT_MAX_MESSAGE_BYTES for message in messages)
        full = sorted(messages, key=lambda message: message.size)[1:]  # the last one cut is what was left
        assert all(message.size > wire.DEFAULT_MAX_MESSAGE_BYTES - 3100 for message in full)
        assert sorted(record["id"] for record in await landed(target)) == list(range(700))

    async def test_a_record_that_just_fits_arrives_and_one_byte_more_is_refused(self, target: Target) -> None:
        key, secret = target.credentials
        attributes = {"key": key, "secret": secret, "sdk": wire.DEFAULT_CLIENT_NAME}
        room = wire.DEFAULT_MAX_MESSAGE_BYTES - wire.attributes_size(attributes)
        empty = len(encode_record("t", {"s": ""})) + wire.RECORD_OVERHEAD
        panoply = target.panoply(policy=SLOW)
        with pytest.raises(RecordTooLarge) as caught:
            await panoply.write("t", {"s": "x" * (room - empty + 1)})
        assert (caught.value.size, caught.value.limit) == (room + 1, room)
        with pytest.raises(RecordTooLarge, match="record 1: "):
            await panoply.write_many("t", [{"id": 1}, {"s": "é" * (room // 6)}])
        await panoply.write("t", {"s": "x" * (room - empty)})
        report = await panoply.flush()
        assert (report.delivered, report.failed) == (2, 0)
        assert sorted(message.size for message in await target.messages())[-1] == wire.DEFAULT_MAX_MESSAGE_BYTES

    async def test_leaving_the_block_delivers_the_rest(self, target: Target) -> None:
        async with target.panoply(policy=SLOW) as panoply:
            await panoply.write("t", {"id": 1})
        assert len(await landed(target)) == 1
        report = await panoply.aclose()
        assert report is not None
        assert (report.delivered, report.complete) == (1, True)

    async def test_closing_the_hub_delivers_what_every_writer_holds(self, target: Target) -> None:
        first, second = target.panoply(policy=SLOW), target.panoply(policy=SLOW)
        await first.write("t", {"id": 1})
        await second.write("t", {"id": 2})
        report = await target.hub.aclose()
        assert report.complete
        assert sorted(flushed.delivered for flushed in report.reports.values()) == [1, 1]
        assert sorted(record["id"] for record in await landed(target)) == [1, 2]
