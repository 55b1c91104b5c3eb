"""MQTT when connections break, acknowledgements get lost and brokers fall silent."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from certificates import Authority
from helpers import until, virtual
from loopback import Server

from asyncconn.errors import ConfigError, ConnectFailed, ConnectionLost, SubscriptionRefused
from asyncconn.sandbox.tcup import StreamFault, TcupWorld

from .mqtt_scene import at, at_port, client, numbers, scene, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from asyncconn.core.clock import VirtualClock


async def test_five_breaks_while_publishing_and_receiving_lose_nothing() -> None:
    async with scene() as (tcup, place):
        seen: Counter[int] = Counter()

        async def receive() -> None:
            async with tcup.mqtt.subscribe("t", client_id="c1", session="persistent") as messages:
                ready.set()
                async for message in messages:
                    seen[message.json] += 1
                    if len(seen) == 3000:
                        return

        ready = asyncio.Event()
        receiving = asyncio.create_task(receive())
        await ready.wait()
        publishing = asyncio.create_task(tcup.mqtt.publish_many("t", range(3000)))
        for breaks in range(1, 6):
            await until(lambda enough=breaks * 500: len(seen) >= enough)  # type: ignore[misc] # bound as it is now
            place.streams.kill()
        report = await publishing
        await receiving
    assert report.delivered == 3000
    assert sorted(seen) == list(range(3000))
    assert sum(seen.values()) - 3000 <= 5 * (100 + 10)


async def test_an_acknowledgement_goes_out_on_no_later_connection_than_its_messages() -> None:
    async with scene() as (tcup, place):
        async with tcup.mqtt.subscribe("t", client_id="c1", session="persistent", ack="manual") as messages:
            await tcup.mqtt.publish_many("t", range(20))
            held = [await anext(messages) for _ in range(6)]
            for message in held[:4]:
                await message.ack()
            await until(lambda: place.sessions["c1"].acknowledged == 4)
            place.streams.kill("c1")
            await until(lambda: place.streams.books["mqtt"].connects == 3)
            for message in held[4:]:
                await message.ack()  # renumbered, these would be the acknowledgements of two others
            rest = [await anext(messages) for _ in range(10)]
            for message in rest:
                await message.ack()
            rest += [await anext(messages) for _ in range(6)]
            for message in rest[10:]:
                await message.ack()
            await until(lambda: place.sessions["c1"].acknowledged == 20)
        assert [one.json for one in rest] == list(range(4, 20))
        assert rest[0].again is True


async def test_an_acknowledgement_that_never_comes_is_a_message_sent_again() -> None:
    async with scene() as (tcup, place), tcup.mqtt.subscribe("t", client_id="c1") as messages:
        place.streams.faults.add(StreamFault("swallow_ack"))
        publishing = asyncio.create_task(tcup.mqtt.publish("t", 1))
        assert (await anext(messages)).json == 1
        place.streams.kill(lambda one: one.name != "c1")
        await publishing
        assert (await anext(messages)).json == 1


@pytest.mark.parametrize("room", [{}, {"max_pending": 2}], ids=["window", "room"])
async def test_many_are_given_up_where_nothing_is_acknowledged_and_the_rest_is_not_taken(room: dict[str, Any]) -> None:
    async with client({**at_port(1), **room}) as tcup:
        documents = iter(range(10))
        report = await tcup.mqtt.publish_many(None, documents, window=3, timeout=0.02)
        left = [*documents]
        assert (report.accepted, report.failed, report.pending) == (3 - len(room), 3 - len(room), 0)
        assert left == [*range(report.accepted + 1, 10)]  # the one that waited was given out, and not taken
        assert report.undelivered == [*range(report.accepted)]


async def test_many_that_were_sent_and_never_acknowledged_are_unknown_when_given_up() -> None:
    async with scene() as (tcup, place):
        await tcup.mqtt.publish(None, -1)
        place.streams.faults.add(StreamFault("swallow_ack", match="mqtt", times=None))
        report = await tcup.mqtt.publish_many(None, range(10), window=3, timeout=0.2)
        assert (report.accepted, report.unknown, report.undelivered) == (3, 3, [0, 1, 2])


class SlowLink:
    """A connection whose broker takes its time with every acknowledgement."""

    def __init__(self, seconds: float) -> None:
        self.on_published: Callable[[int], object] = print
        self._seconds = seconds
        self._count = 0

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        yield

    async def ended(self) -> None:
        await asyncio.Event().wait()

    def publish(self, *_: object, **__: object) -> int:
        self._count += 1
        asyncio.get_running_loop().call_later(self._seconds, self.on_published, self._count)
        return self._count


@virtual
async def test_many_may_take_any_time_while_acknowledgements_come(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def link(*_: object, **__: object) -> SlowLink:
        return SlowLink(10.0)

    async with client(at_port(1)) as tcup:
        monkeypatch.setattr(tcup.mqtt, "_link", link)
        report = await tcup.mqtt.publish_many(None, range(20), window=1, timeout=15.0)
    assert (report.delivered, clock.now()) == (20, 200.0)


async def test_a_publish_in_flight_when_the_broker_dies_is_sent_again_at_once() -> None:
    async with scene() as (tcup, place):
        await tcup.mqtt.publish("t", 0)
        place.streams.faults.add(StreamFault("swallow_ack"))
        publishing = asyncio.create_task(tcup.mqtt.publish("t", 1))
        await until(lambda: place.streams.books["mqtt"].published == 2)
        place.streams.kill()
        async with asyncio.timeout(5):  # the library underneath takes ten seconds to see it
            await publishing
        assert place.streams.books["mqtt"].published == 3


async def test_a_break_of_a_clean_session_is_a_gap_and_of_a_persistent_one_is_none() -> None:
    told: list[tuple[str, int]] = []
    async with (
        scene() as (tcup, place),
        tcup.mqtt.subscribe("t", client_id="clean") as clean,
        tcup.mqtt.subscribe("t", client_id="kept", session="persistent") as kept,
    ):
        clean.on("lost", lambda change: told.append(("lost", change.connection)))
        clean.on("gap", lambda gap: told.append(("gap", gap.connection)))
        place.streams.kill()
        await until(lambda: clean.gaps and place.streams.books["mqtt"].connects == 4)
        await tcup.mqtt.publish("t", 1)
        assert await numbers(clean, 1) == await numbers(kept, 1) == [1]
    assert told == [("lost", 1), ("gap", 2)]
    assert [gap.connection for gap in clean.gaps] == [2]
    assert kept.gaps == ()
    assert clean.state == "closed"


async def test_what_was_read_of_a_clean_session_is_handed_over_after_a_break() -> None:
    async with scene() as (tcup, place), tcup.mqtt.subscribe("t", client_id="c1") as messages:
        await tcup.mqtt.publish_many("t", range(5))
        await until(lambda: len(messages.inbox) == 5)
        place.streams.kill("c1")
        await until(lambda: messages.gaps)
        assert await numbers(messages, 5) == list(range(5))


async def test_a_broker_that_falls_silent_is_left_and_found_again() -> None:
    async with (
        scene({"keepalive": 1}) as (tcup, place),
        tcup.mqtt.subscribe("t", client_id="c1", session="persistent") as messages,
    ):
        place.streams.stall("c1")
        await until(lambda: place.streams.books["mqtt"].connects == 2)
        await tcup.mqtt.publish("t", 1)
        assert await numbers(messages, 1) == [1]


@pytest.mark.parametrize("tls", [False, True])
async def test_an_attempt_at_a_silent_server_leaves_nothing_behind(tls: bool) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        ended.append(await reader.read())
        writer.close()

    came = asyncio.Event()
    ended: list[bytes] = []
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, client({"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1], "tls": tls}) as tcup:
        before = asyncio.all_tasks()

        async def subscribe() -> None:
            async with tcup.mqtt.subscribe("t"):
                pass

        trying = asyncio.create_task(subscribe())
        await came.wait()
        trying.cancel()
        await asyncio.wait({trying})
        await until(lambda: ended)
        assert {task for task in asyncio.all_tasks() - before if "mqtt" in task.get_name()} == set()


async def test_fifty_reconnects_leave_no_socket_and_no_task() -> None:
    async with (
        scene() as (tcup, place),
        tcup.mqtt.subscribe("t", client_id="c1", session="persistent") as messages,
    ):
        connects = place.streams.books["mqtt"]
        files, tasks = _open_files(), len(asyncio.all_tasks())
        while connects.connects < 51:
            before = connects.connects
            place.streams.kill("c1")
            await until(lambda so_far=before: connects.connects > so_far)  # type: ignore[misc] # bound as it is now
        await until(lambda: messages.state == "live")
        await until(lambda: _open_files() <= files)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_cancelled_at_every_step_it_ends_and_can_be_begun_anew() -> None:
    async with scene() as (tcup, _):

        async def work() -> None:
            async with tcup.mqtt.subscribe("t", client_id="c1", session="persistent") as messages:
                await tcup.mqtt.publish("t", 1)
                await anext(messages)

        for steps in range(40):
            task = asyncio.create_task(work())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
        async with asyncio.timeout(5):
            await work()


@pytest.mark.parametrize("left", [False, True])
async def test_closing_the_hub_ends_an_iteration_and_reports_what_was_not_acknowledged(left: bool) -> None:
    async with world() as place:
        place.streams.faults.add(StreamFault("swallow_ack", times=None))
        if left:  # then there is nobody but the hub who could tell
            with pytest.warns(match="1 lost records"):
                await _closed_in_the_middle(place, left=True)
        else:
            await _closed_in_the_middle(place, left=False)


async def _closed_in_the_middle(place: TcupWorld, *, left: bool) -> None:
    seen: list[Any] = []
    async with client(at(place)) as tcup:

        async def receive() -> None:
            async with tcup.mqtt.subscribe("t", client_id="c1") as messages:
                await messages.each(lambda message: seen.append(message.json))

        receiving = asyncio.create_task(receive())
        await until(lambda: "c1" in place.sessions and place.sessions["c1"].filters)
        publishing = asyncio.create_task(tcup.mqtt.publish("t", 1))
        await until(lambda: seen)
        if left:
            publishing.cancel()
            await asyncio.wait({publishing})
        report = await tcup.aclose(timeout=0.1)
        assert report is not None
        assert report.unknown == 1
        await receiving
        await asyncio.wait({publishing})
        assert left or isinstance(publishing.exception(), ConnectionLost)


async def test_tls_trusts_the_authority_of_the_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path), Authority(tmp_path / "other")
    pem = authority.signed("server")
    async with world(mqtt_tls=(pem, pem)) as place:
        async with client(at(place, tls=True, ca_file=authority.ca)) as tcup, tcup.mqtt.subscribe("t") as messages:
            await tcup.mqtt.publish_many("t", ["7" * 20_000] * 50)
            assert len([await anext(messages) for _ in range(50)]) == 50
        async with client(at(place, tls=True, ca_file=other.ca)) as tcup:
            with pytest.raises(ConnectFailed, match="not trusted"):
                async with tcup.mqtt.subscribe("t"):
                    pass
            with pytest.raises(ConnectFailed, match="not trusted"):
                await tcup.mqtt.publish("t", 1)


async def test_a_certificate_that_is_out_of_date_is_final(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pem = authority.signed("server", days=-1)
    async with world(mqtt_tls=(pem, pem)) as place, client(at(place, tls=True, ca_file=authority.ca)) as tcup:
        with pytest.raises(ConnectFailed, match="expired"):
            await tcup.mqtt.publish("t", 1)


async def test_a_certificate_file_that_is_missing_is_told_before_the_connect(tmp_path: Path) -> None:
    mqtt = {"host": "127.0.0.1", "ca_file": tmp_path / "none.crt"}
    async with client(mqtt) as tcup:
        with pytest.raises(ConfigError, match=r"none\.crt"):
            async with tcup.mqtt.subscribe("t"):
                pass
        with pytest.raises(ConfigError, match=r"none\.crt"):
            await tcup.mqtt.publish("t", 1)


_CONNACK, _SUBACK_REFUSED = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x80"


@pytest.mark.parametrize("answer", [_SUBACK_REFUSED, b""])
async def test_a_subscription_that_the_broker_refuses_is_final(answer: bytes) -> None:
    """By its answer, or as RabbitMQ does: by closing the connection."""
    connects = 0

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connects
        connects += 1
        await reader.read(1000)
        writer.write(_CONNACK)
        await reader.read(1000)
        writer.write(answer)
        await writer.drain()

    async with Server(broker) as server, client(at_port(server.port)) as tcup:
        with pytest.raises(SubscriptionRefused):
            async with tcup.mqtt.subscribe("t", client_id="c1"):
                pass
    assert connects == 1


async def test_a_session_that_broke_before_it_was_subscribed_is_live_only_with_the_answer() -> None:
    fresh, kept, granted = b"\x20\x02\x00\x00", b"\x20\x02\x01\x00", b"\x90\x03\x00\x01\x01"
    greetings, answers = [fresh, fresh, kept], [granted, b"", granted]
    begun, asked, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    states: list[str] = []

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(greetings.pop(0))
        await reader.read(1000)
        if not greetings:
            asked.set()
            await go_on.wait()
        writer.write(answers.pop(0))
        await writer.drain()
        await begun.wait()
        if not answers:
            await reader.read()

    async with (
        Server(broker) as server,
        client(at_port(server.port)) as tcup,
        tcup.mqtt.subscribe("t", client_id="c1", session="persistent") as messages,
    ):
        messages.on("live", lambda _: states.append("live"))
        begun.set()
        await asked.wait()
        before = list(states)
        go_on.set()
        await until(lambda: states)
    assert before == []


async def test_an_acknowledgement_that_is_none_breaks_the_connection_and_the_message_is_sent_again() -> None:
    wrong = [b"\x40\x03\x00\x01\x00", b"\x40\x02\x00\x09\x40\x02\x00\x01"]  # too long; of another one, too

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(_CONNACK)
        await reader.read(1000)
        writer.write(wrong.pop(0))
        await reader.read()

    async with Server(broker) as server, client(at_port(server.port)) as tcup:
        await tcup.mqtt.publish("t", 1)
    assert wrong == []
