"""A stream of observations: in time, in order, accounted for, and safe on disk where that is wanted."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual
from loopback import DROP, Loopback, Reply, saying

from asyncconn import Hub, RetryPolicy
from asyncconn.errors import BufferClosed, ConfigError, InvalidRecord, RecordTooLarge, SpoolInUse
from asyncconn.sandbox import Fault, Sandbox
from asyncconn.sandbox.tcup import TcupWorld
from asyncconn.tcup import Tcup, payload

from .scene import OBSERVATIONS, QUICK, client, scene

if TYPE_CHECKING:
    from loopback import Seen

    from asyncconn import VirtualClock

PROGRAM = Path(__file__).with_name("writing.py")
WHEN = datetime(2026, 1, 5, tzinfo=UTC)


def numbers(seen: Seen) -> list[int]:
    return [int(one["record"][0]["output"][0]["value"]) for one in json.loads(seen.body)["observations"]]


@virtual
async def test_an_observation_leaves_after_two_seconds_at_the_latest(clock: VirtualClock) -> None:
    async with Sandbox(TcupWorld(auto_register=True), seed=1, clock=clock) as sandbox, Hub(clock=clock) as hub:
        async with client(sandbox, hub).observations.writer() as writer:
            began = clock.now()
            receipt = await writer.write("ts1", {"obs2": 1}, "tf1")
            assert receipt is not None
            await receipt
            waited = clock.now() - began
        (row,) = sandbox.tcup.sos.rows()

    assert 1.9 < waited <= 2.1
    assert row["value"] == "1"


async def test_leaving_the_block_delivers_in_chunks_and_in_order() -> None:
    async with Loopback(otherwise=saying({"code": 201})) as server, Hub() as hub:
        async with Tcup(server.url, "key", hub=hub).observations.writer() as writer:
            for number in range(1234):
                await writer.write("ts1", {"obs2": number}, "tf1")

        assert [number for seen in server.seen for number in numbers(seen)] == list(range(1234))
        assert max(len(numbers(seen)) for seen in server.seen) == 500
        with pytest.raises(BufferClosed):
            await writer.write("ts1", {"obs2": 1})


async def test_closing_the_client_delivers_too() -> None:
    async with scene() as s:
        tcup = client(s.sandbox, s.hub)
        await tcup.observations.writer().write("ts1", {"obs2": 7})
        report = await tcup.aclose()

        assert report is not None
        assert report.delivered == 1
        assert s.values() == ["7"]


async def test_refused_observations_are_rejected_one_by_one() -> None:
    async with scene() as s:
        refused: list[Any] = []
        writer = s.client.observations.writer()
        writer.on("error", lambda failure: refused.extend(failure.reasons))
        for number in range(5):
            await writer.write("ts1", {"obs2": number})
            await writer.write("tsX", {"obs2": number})
        report = await writer.aclose()

        assert (report.delivered, report.rejected, report.failed) == (5, 5, 0)
        assert {one.code for one in refused} == {404}
        assert {one.record["sensor"] for one in report.rejections} == {"tsX"}


async def test_a_chunk_whose_answer_is_lost_is_unknown() -> None:
    async with scene() as s:
        s.fail(Fault("drop_after", match=OBSERVATIONS))
        writer = s.client.observations.writer()
        writer.on("error", lambda _: None)
        await writer.write("ts1", {"obs2": 1})
        report = await writer.aclose()

        assert (report.unknown, report.delivered) == (1, 0)
        assert s.inserts() == 1


async def test_rows_can_be_delivered_and_a_bad_one_says_which_it_is() -> None:
    async with scene() as s, s.client.observations.writer() as writer:
        report = await writer.deliver([("ts1", {"obs2": i}, "tf1", WHEN + timedelta(seconds=i)) for i in range(10)])
        assert (report.delivered, report.complete) == (10, True)
        with pytest.raises(InvalidRecord) as raised:
            await writer.deliver([("ts1", {"obs2": 1}), ("ts1", {}), ("ts1", {"obs2": 2})])
        assert raised.value.index == 1
        with pytest.raises(ConfigError):
            await writer.write("ts1", {"obs2": object()})


async def test_an_observation_that_no_chunk_can_hold_is_refused_when_it_is_written() -> None:
    many = payload("ts1", {"a": 1})["observations"][0]
    many["record"] *= 600
    async with scene() as s, s.client.observations.writer() as writer:
        with pytest.raises(RecordTooLarge):
            await writer.write("ts1", {"obs1": "x" * 1_100_000})
        with pytest.raises(RecordTooLarge):
            await writer.deliver([many])


async def test_observations_of_many_records_do_not_fill_a_chunk_beyond_what_sos_takes() -> None:
    many = payload("ts1", {"a": 1})["observations"][0]
    many["record"] *= 100
    async with Loopback(otherwise=saying({"code": 201})) as server, Hub() as hub:
        async with Tcup(server.url, "key", hub=hub).observations.writer() as writer:
            await writer.deliver([many] * 12)
        sizes = [sum(len(one["record"]) for one in json.loads(seen.body)["observations"]) for seen in server.seen]

    assert max(sizes) <= 500
    assert sum(sizes) == 1200


async def test_a_window_leaves_out_what_went_before() -> None:
    async with scene() as s, s.client.observations.writer(dedupe_window=100) as writer:
        first = await writer.write("ts1", {"obs2": 1}, "tf1", time=WHEN)
        second = await writer.write("ts1", {"obs2": 1}, "tf1", time="5-jan-2026 05:30:00 IST")
        report = await writer.flush()

        assert (first is None, second is None, writer.duplicates) == (False, True, 1)
        assert (report.delivered, writer.stats.accepted) == (1, 1)


# -- with a spool ------------------------------------------------------------------------------------------------------


async def test_an_outage_of_the_platform_is_survived(tmp_path: Path) -> None:
    async with Loopback(otherwise=DROP) as server, Hub() as hub:
        tcup = Tcup(server.url, "key", hub=hub, retry=RetryPolicy(attempts=1))
        writer = tcup.observations.writer(spool=tmp_path / "s.spool")
        for number in range(30):
            await writer.write("ts1", {"obs2": number})
        report = await writer.aclose(timeout=2.0)
        assert (report.delivered, report.pending) == (0, 30)

    async with Loopback(otherwise=saying({"code": 201})) as server, Hub() as hub:
        async with Tcup(server.url, "key", hub=hub).observations.writer(spool=tmp_path / "s.spool") as writer:
            await writer.write("ts1", {"obs2": 30})
        assert [number for seen in server.seen for number in numbers(seen)] == list(range(31))


async def test_a_spool_is_one_writers(tmp_path: Path) -> None:
    async with scene() as s:
        writer = s.client.observations.writer(spool=tmp_path / "s.spool")
        await writer.write("ts1", {"obs2": 1})
        with pytest.raises(SpoolInUse):
            await s.client.observations.writer(spool=tmp_path / "s.spool").write("ts1", {"obs2": 2})
        await writer.aclose()


@pytest.mark.slow(60)
async def test_killed_at_random_it_loses_nothing_that_write_returned_for(tmp_path: Path) -> None:
    chance = random.Random(5)
    told: set[int] = set()
    busy = 0.2  # of the answers

    async def answer(_: Seen) -> Reply:
        await asyncio.sleep(0.01)
        return saying({"code": 503}, 503) if chance.random() < busy else saying({"code": 201})

    async with Loopback(otherwise=answer) as server:
        spool = str(tmp_path / "killed.spool")
        for start in range(0, 300_000, 100_000):
            child = await asyncio.create_subprocess_exec(
                sys.executable, str(PROGRAM), server.url, spool, str(start), "100000", stdout=asyncio.subprocess.PIPE
            )
            assert child.stdout is not None
            told.add(int(await child.stdout.readline()))
            reading = asyncio.ensure_future(child.stdout.read())
            await asyncio.sleep(chance.uniform(0.0, 0.5))
            child.kill()
            told.update(map(int, (await reading).rpartition(b"\n")[0].split()))
            await child.wait()
        busy = 0.0
        async with Hub() as hub:
            writer = Tcup(server.url, "key", hub=hub, retry=QUICK).observations.writer(spool=spool)
            await writer.observations.open()
            assert (await writer.aclose()).complete
        arrived = {number for seen in server.seen for number in numbers(seen)}

    assert len(told) > 10
    assert told <= arrived
