"""Publishing while there is no connection, by MQTT and by WebSocket: what was accepted arrives, or is reported."""

from __future__ import annotations

import asyncio
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import cancel_at_every_await, until

from asyncconn import Hub
from asyncconn.core.buffer.spool import Spool
from asyncconn.errors import BufferFull, ConfigError, DeliveryFailed, SpoolFull, SpoolInUse, WrongLoop
from asyncconn.tcup import Tcup

from .mqtt_scene import at
from .offline_scene import ROADS, OverMqtt, program, road, told
from .stream_scene import firsts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from asyncconn.tcup.streams.publishing import Publisher

both = pytest.mark.parametrize("name", ROADS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.spool"


async def _send_all(publisher: Publisher[Any], documents: Iterable[Any]) -> None:
    for document in documents:
        await publisher.send(document)


@both
async def test_documents_are_accepted_without_a_connection_and_leave_in_order_with_one(name: str) -> None:
    async with road(name) as made, Hub() as hub:
        made.refuse()
        async with made.publisher(made.client(hub)) as publisher:
            sent = [await publisher.send(number) for number in range(50)]
            assert publisher.state != "live"
            assert (publisher.stats.accepted, publisher.stats.pending) == (50, 50)
            made.mend()
            await asyncio.gather(*(one.done for one in sent))
        assert made.arrived() == list(range(50))


@both
async def test_a_connection_that_is_lost_in_between_is_no_loss(name: str) -> None:
    async with road(name) as made, Hub() as hub:
        async with made.publisher(made.client(hub)) as publisher:
            for number in range(100):
                if number % 20 == 5:
                    made.cut()
                if number % 20 == 15:
                    made.mend()
                    await until(lambda: publisher.state == "live")
                await publisher.send(number)
        assert firsts(made.arrived()) == list(range(100))
        assert publisher.stats.delivered == 100


@both
async def test_without_a_connection_so_many_are_accepted_and_then_it_waits_or_raises(name: str) -> None:
    async with road(name) as made, Hub() as hub:
        made.refuse()
        tcup = made.client(hub)
        bound = {"max_unacked": 3, "max_pending": 3}
        async with (
            made.publisher(tcup, **bound) as patient,
            made.publisher(tcup, **bound, overflow="raise") as hasty,
        ):
            for number in range(3):
                await patient.send(number)
                await hasty.send(number)
            fourth = asyncio.ensure_future(patient.send(3))
            with pytest.raises(BufferFull):
                await hasty.send(3)
            assert not fourth.done()
            made.mend()
            await fourth
        assert sorted(made.arrived()) == [0, 0, 1, 1, 2, 2, 3]


@both
async def test_what_could_not_leave_is_reported_when_it_ends(name: str) -> None:
    async with road(name) as made, Hub() as hub:
        made.refuse()
        publisher = made.publisher(made.client(hub))
        await publisher.__aenter__()
        for number in range(3):
            await publisher.send({"n": number})
        report = await publisher.aclose(timeout=0.05)
        assert (report.failed, report.unknown, report.pending) == (3, 0, 0)
        with pytest.raises(DeliveryFailed) as failure:
            await publisher.__aexit__(None, None, None)
        assert failure.value.records == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert not failure.value.maybe_delivered


@both
async def test_with_a_spool_it_is_on_disk_and_the_next_publisher_sends_it(name: str, path: Path) -> None:
    async with road(name) as made:
        made.refuse()
        hub = Hub()  # which would warn of what is lost
        async with hub, made.publisher(made.client(hub), spool=path, max_unacked=2, max_pending=5) as publisher:
            await _send_all(publisher, range(20))
            report = await publisher.flush(0.05)
            assert (report.pending, report.spooled) == (20, 15)
        assert hub.report is not None
        assert hub.report.reports["tcup"].spooled == 20
        assert hub.report.untold == 0
        assert made.arrived() == []
        made.mend()
        async with Hub() as hub, made.publisher(made.client(hub), spool=path) as publisher:
            await publisher.send(20)
            assert publisher.stats.accepted == 21
        assert made.arrived() == list(range(21))
        assert (publisher.stats.delivered, publisher.stats.pending) == (21, 0)


@both
async def test_a_close_without_a_connection_does_not_wait_for_what_is_on_disk(name: str, path: Path) -> None:
    async with road(name) as made, Hub() as hub:
        made.refuse()
        publisher = made.publisher(made.client(hub), spool=path)
        await publisher.__aenter__()
        await publisher.send(1)
        async with asyncio.timeout(5.0):
            report = await publisher.aclose(timeout=60.0)
        assert (report.pending, report.spooled, report.complete) == (1, 1, False)


@both
async def test_a_spool_that_is_full_waits_or_raises(name: str, path: Path) -> None:
    async with road(name) as made, Hub() as hub:
        tcup = made.client(hub)
        made.refuse()
        small = Spool(path, fsync=False, max_bytes=100)
        async with made.publisher(tcup, spool=small, overflow="raise") as publisher:
            with pytest.raises(SpoolFull):
                await _send_all(publisher, range(200))
            accepted = publisher.stats.accepted
        small = Spool(path, fsync=False, max_bytes=100)
        async with made.publisher(tcup, spool=small) as publisher:
            waiting = asyncio.ensure_future(publisher.send(-1))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            made.mend()
            await waiting
        assert made.arrived() == [*range(accepted), -1]


@both
async def test_a_delivery_counts_its_own_documents_and_what_is_pending(name: str, path: Path) -> None:
    async with road(name) as made, Hub() as hub:
        made.refuse()
        tcup = made.client(hub)
        async with made.publisher(tcup, spool=path, max_unacked=2, max_pending=5) as publisher:
            await publisher.send(-1)
            report = await publisher.deliver(range(20), timeout=0.05)
            assert (report.pending, report.accepted) == (20, 20)
            made.mend()
            report = await publisher.deliver(range(20, 40))
            assert (report.delivered, report.accepted, report.complete) == (20, 20, True)
        assert made.arrived() == [-1, *range(40)]


@both
async def test_a_delivery_that_waits_ends_with_its_publisher(name: str, path: Path) -> None:
    async with road(name) as made, Hub() as hub:
        made.refuse()
        publisher = await made.publisher(made.client(hub), spool=path).__aenter__()
        delivering = asyncio.ensure_future(publisher.deliver(range(5)))
        await until(lambda: publisher.stats.accepted == 5)
        await publisher.aclose()
        async with asyncio.timeout(5.0):
            report = await delivering
        assert (report.pending, report.accepted) == (5, 5)


@both
async def test_a_delivery_into_a_spool_commits_many_at_once_and_loses_none_where_a_row_raises(
    name: str, path: Path
) -> None:
    async with road(name) as made, Hub() as hub:
        spool = Spool(path, fsync=False)
        async with made.publisher(made.client(hub), spool=spool) as publisher:
            made.cut()
            before = spool.stats.commits
            assert (await publisher.deliver(range(1000), timeout=0.01)).pending == 1000
            assert spool.stats.commits - before <= 20
            with pytest.raises(KeyError):
                await publisher.deliver(_broken_off(1000, 1050))
            assert publisher.stats.accepted == 1050
            made.mend()
            assert (await publisher.flush()).delivered == 1050
        assert firsts(made.arrived())[-50:] == list(range(1000, 1050))


def _broken_off(start: int, stop: int) -> Iterator[int]:
    yield from range(start, stop)
    raise KeyError("the source")


@both
async def test_a_loss_that_a_delivery_reports_is_told_once_somebody_looks(name: str) -> None:
    async with road(name) as made, Hub() as hub:
        made.swallow()
        publisher = made.publisher(made.client(hub))
        await publisher.__aenter__()
        delivering = asyncio.ensure_future(publisher.deliver([1, 2]))
        await until(lambda: len(made.arrived()) == 2)
        assert (await publisher.aclose(timeout=0.05)).untold == 2
        report = await delivering
        assert (report.unknown, report.undelivered) == (2, [1, 2])
        assert (await publisher.flush()).untold == 0


@both
async def test_a_spool_is_for_one_publisher_at_a_time_and_for_one_place(name: str, path: Path) -> None:
    async with road(name) as made, Hub() as hub:
        tcup = made.client(hub)
        async with made.publisher(tcup, spool=path):
            with pytest.raises(SpoolInUse):
                async with made.publisher(tcup, spool=path):
                    pass
        elsewhere = tcup.stream.publisher(queue="q1", spool=path)
        with pytest.raises(ConfigError, match="another"):
            await elsewhere.__aenter__()
        async with made.publisher(tcup, spool=path) as publisher:
            await publisher.send(1)
        assert made.arrived() == [1]


@both
async def test_a_refusal_that_cannot_get_better_leaves_the_spool_as_it_is(name: str, path: Path) -> None:
    async with road(name) as made:
        made.refuse()
        async with Hub() as hub, made.publisher(made.client(hub), spool=path) as publisher:
            await publisher.send(1)
        made.mend()
        async with Hub() as hub:
            stranger = Tcup(made.sandbox.url, "0" * 64, hub=hub, mqtt=at(made.world, password="wrong"))
            with pytest.raises(Exception, match=r"40[13]|password"):
                await made.publisher(stranger, spool=path).__aenter__()
        async with Hub() as hub, made.publisher(made.client(hub), spool=path):
            pass
        assert made.arrived() == [1]


async def test_mqtt_keeps_topics_and_what_is_retained_in_the_spool(path: Path) -> None:
    async with road("mqtt") as made:
        assert isinstance(made, OverMqtt)
        made.refuse()
        async with Hub() as hub, made.client(hub).mqtt.publisher("sensors/1", spool=path) as publisher:
            await publisher.send({"n": 1})
            await publisher.send({"n": 2}, topic="sensors/2", retain=True)
            with pytest.raises(ConfigError, match="wildcard"):
                await publisher.send(3, topic="sensors/#")
        made.mend()
        async with Hub() as hub:
            tcup = made.client(hub)
            async with tcup.mqtt.publisher(spool=path) as publisher:
                await publisher.send({"n": 3})
            async with tcup.mqtt.subscribe("sensors/#") as messages:
                assert (await anext(messages)).json == {"n": 2}
        broker = made.world.mr.broker
        found = [broker.routed("amq.topic", topic) for topic in ("sensors.1", "sensors.2", "amq.topic")]
        assert found == [[{"n": 1}], [{"n": 2}], [{"n": 3}]]


async def test_mqtt_refuses_a_window_that_cannot_be() -> None:
    async with road("mqtt") as made, Hub() as hub:
        mqtt = made.client(hub).mqtt
        wrong: list[dict[str, Any]] = [{"max_unacked": 1001}, {"max_unacked": 0}, {"max_unacked": 2.5}]
        for options in (*wrong, {"overflow": "drop"}, {"max_pending": 1}):
            with pytest.raises(ConfigError):
                mqtt.publisher("test", **options)
        for window in (0, 1001, 2.5, math.nan, "7", True, None):
            documents = iter([1])
            with pytest.raises(ConfigError, match="window"):
                await mqtt.publish_many("test", documents, window=window)  # type: ignore[arg-type] # what is tested
            assert [*documents] == [1]


@both
@pytest.mark.parametrize("timeout", [-1.0, math.nan, math.inf])
async def test_a_wait_that_would_not_end_is_refused_before_anything_is_accepted(name: str, timeout: float) -> None:
    async with road(name) as made, Hub() as hub:
        publisher = await made.publisher(made.client(hub)).__aenter__()
        documents = iter([1])
        with pytest.raises(ConfigError, match="timeout"):
            await publisher.deliver(documents, timeout=timeout)
        for ending in (publisher.flush, publisher.aclose):
            with pytest.raises(ConfigError, match="timeout"):
                await ending(timeout)
        assert (await publisher.deliver(documents)).delivered == 1
        assert (await publisher.aclose()).complete


@pytest.mark.parametrize("timeout", [-1.0, math.nan, math.inf])
async def test_mqtt_refuses_a_wait_that_would_not_end_before_anything_is_sent(timeout: float) -> None:
    async with road("mqtt") as made, Hub() as hub:
        mqtt = made.client(hub).mqtt
        documents = iter([1])
        with pytest.raises(ConfigError, match="timeout"):
            await mqtt.publish_many("test", documents, timeout=timeout)
        assert [*documents] == [1]
        assert made.world.streams.books["mqtt"].connects == 0


# -- where it does not belong ------------------------------------------------------------------------------------------


async def _refused_elsewhere(work: Callable[[], Awaitable[object]]) -> None:
    """On another loop, in another thread, it says at once where it belongs."""

    async def there() -> None:
        async with asyncio.timeout(5.0):
            with pytest.raises(WrongLoop):
                await work()

    await asyncio.to_thread(asyncio.run, there())


@both
async def test_a_publisher_says_on_another_loop_that_it_belongs_to_its_own(name: str) -> None:
    async with road(name) as made, Hub() as hub:
        tcup = made.client(hub)
        await _refused_elsewhere(made.publisher(tcup).open)
        async with made.publisher(tcup) as publisher:
            documents = iter([1])
            await _refused_elsewhere(lambda: publisher.send(7))
            await _refused_elsewhere(lambda: publisher.deliver(documents))
            await _refused_elsewhere(publisher.flush)
            await _refused_elsewhere(publisher.aclose)
            assert publisher.stats.accepted == 0
            assert (await publisher.deliver(documents)).delivered == 1
        report = await publisher.aclose()
        assert await asyncio.to_thread(asyncio.run, publisher.aclose()) == report
        assert made.arrived() == [1]


@pytest.mark.parametrize("used", [False, True], ids=["first", "later"])
async def test_publishing_on_another_loop_says_so_and_harms_nothing(used: bool) -> None:
    async with road("mqtt") as made, Hub() as hub:
        mqtt = made.client(hub).mqtt
        if used:
            await mqtt.publish("test", 0)
        documents = iter([1])
        await _refused_elsewhere(lambda: mqtt.publish("test", 7))
        await _refused_elsewhere(lambda: mqtt.publish_many("test", documents))
        await _refused_elsewhere(mqtt.subscribe("test").__aenter__)
        assert (await mqtt.publish_many("test", documents)).delivered == 1
        assert made.arrived()[-1] == 1
        assert 7 not in made.arrived()


def test_a_forked_child_is_told_that_the_publisher_is_its_parents() -> None:
    code = """
import asyncio, os, threading
from asyncconn import Hub, Tcup
from asyncconn.errors import WrongLoop

async def child(tcup, publisher):
    refused = 0
    for call in (tcup.mqtt.publish("t", 1), publisher.send(1), publisher.flush(), publisher.aclose()):
        try:
            async with asyncio.timeout(5.0):
                await call
        except WrongLoop:
            refused += 1
    return 0 if refused == 4 else 1

async def main():
    async with Hub() as hub:
        tcup = Tcup("http://127.0.0.1:9", "k", hub=hub, mqtt={"host": "127.0.0.1", "port": 1, "tls": False})
        publisher = tcup.mqtt.publisher("t")
        await publisher.open()
        if not (pid := os.fork()):
            asyncio._set_running_loop(None)
            os._exit(asyncio.run(child(tcup, publisher)))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return status or (await publisher.aclose(0.0)).accepted

raise SystemExit(asyncio.run(main()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@both
async def test_cancelled_at_every_await_it_lets_go_of_the_spool_and_loses_nothing(name: str, path: Path) -> None:
    accepted: list[int] = []
    async with road(name) as made:

        async def work() -> None:
            spool = Spool(path, fsync=False)
            async with Hub() as hub, made.publisher(made.client(hub), spool=spool) as publisher:
                await publisher.send(len(accepted))
                accepted.append(len(accepted))
                await publisher.deliver([-1, -2])

        async def make() -> Callable[[], Awaitable[object]]:
            return work

        async def check(_: BaseException | None) -> None:
            """The next one opens the spool again."""

        assert await cancel_at_every_await(make, check, most=200) > 5
        async with Hub() as hub, made.publisher(made.client(hub), spool=path) as publisher:
            await publisher.flush()
        assert set(accepted) <= set(made.arrived())


@pytest.mark.slow(150)
@both
async def test_killed_at_random_it_loses_nothing_that_was_accepted(name: str, path: Path) -> None:
    chance = random.Random(7)
    accepted = 0
    kills = 4
    async with road(name) as made:
        for number in range(kills):
            if number % 2:
                made.cut()
            async with program(made, path, accepted) as process:
                accepted = await told(process, chance.randint(20, 120))
                made.mend()
                process.kill()
                accepted = await told(process) or accepted
        async with Hub() as hub, made.publisher(made.client(hub), spool=path):
            pass
        arrived = made.arrived()
        assert firsts(arrived) == [*range(len(firsts(arrived)))]
        assert len(firsts(arrived)) in (accepted, accepted + 1)  # one more than was told may be on disk
        assert len(arrived) - len(firsts(arrived)) <= kills * 2 * 20  # what was in flight, or just acknowledged


_FORGOTTEN = """
import asyncio, sys
from asyncconn import Hub, Tcup

async def main():
    hub = await Hub().open()
    tcup = Tcup("http://127.0.0.1:9", "0" * 64, hub=hub, mqtt={"host": "127.0.0.1", "port": 9, "tls": False})
    publisher = await tcup.mqtt.publisher("test").__aenter__()
    await publisher.send(1)

asyncio.run(main())
"""


@pytest.mark.slow(90)
def test_a_program_that_closes_nothing_is_told_what_it_lost() -> None:
    done = subprocess.run([sys.executable, "-c", _FORGOTTEN], capture_output=True, text=True, check=False, timeout=80)
    assert "1 records that it had accepted were not delivered" in done.stderr
    assert "<string>:8: UndeliveredWarning" in done.stderr  # where the publisher was made
