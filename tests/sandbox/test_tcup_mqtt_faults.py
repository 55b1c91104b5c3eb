"""TCUP's MQTT broker going wrong on purpose, starting and stopping, and TLS."""

from __future__ import annotations

import asyncio
import gc
import ssl
from typing import TYPE_CHECKING

import pytest
from certificates import Authority
from helpers import open_sockets, until

from asyncconn.errors import ConfigError
from asyncconn.sandbox import Sandbox, StreamFault, TcupWorld

from .mqtt_scene import PUBACK, Raw, broker, connect, packet, puback, publish

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5])
async def test_the_nth_connect_is_refused_with_a_code(code: int) -> None:
    async with broker() as stage:
        stage.world.streams.faults.add(StreamFault("refuse", code=code, after=1, match="c1"))
        codes = [(await (await stage.raw()).connect(name))[1] for name in ("c1", "c2", "c1", "c1")]
        assert codes == [0, 0, code, 0]
        assert stage.world.streams.faults.hits == {"refuse": 1}


async def test_a_connect_can_stay_without_an_answer_until_it_is_killed() -> None:
    async with broker() as stage:
        stage.world.streams.faults.add(StreamFault("silent"))
        tenant = stage.world.tenant
        silent = await stage.raw()
        silent.send(connect("c1", username=tenant.mqtt_username, password=tenant.mqtt_password))
        await until(lambda: stage.world.streams.faults.hits["silent"])
        assert (await stage.client("c2")) is not None
        silent.send(packet(0xC0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await silent.reader.readexactly(1)
        stage.world.streams.kill("c1")
        assert await silent.ended() == b""


async def test_a_connection_is_killed_after_so_many_messages_either_way() -> None:
    async with broker() as stage:
        stage.world.streams.faults.add(StreamFault("kill", match="c1", after=3))
        client = await stage.client("c1", ("a", 1), clean=False)
        other = await stage.client("c2")
        for number in range(1, 5):
            await other.publish("a", b"%d" % number, number=number)
        assert [(await client.got()).payload for _ in range(3)] == [b"1", b"2", b"3"]
        assert await client.ended() == b""
        session = stage.world.sessions["c1"]
        assert ([kept.payload for kept in session.kept], session.delivered) == ([b"1", b"2", b"3", b"4"], 3)
        again = await stage.client("c1", clean=False)
        assert [(await again.got()).payload for _ in range(4)] == [b"1", b"2", b"3", b"4"]


async def test_a_publisher_killed_after_so_many_has_heard_of_these_and_no_more_is_taken() -> None:
    async with broker() as stage:
        stage.world.streams.faults.add(StreamFault("kill", match="c1", after=2))
        client = await stage.client()
        client.send(b"".join(publish("a", b"%d" % number, 1, number) for number in range(1, 5)))
        assert await client.ended() == packet(PUBACK, b"\0\1") + packet(PUBACK, b"\0\2")
        assert stage.world.mr.broker.routed("amq.topic") == [1, 2]


async def test_a_connection_can_be_killed_as_soon_as_it_is_open() -> None:
    async with broker() as stage:
        client = await stage.client("c1", ("a", 1), clean=False)
        await (await stage.client("c2")).publish("a")
        stage.world.streams.faults.add(StreamFault("kill", match="c1"))
        stage.world.streams.kill("c1")
        await client.ended()
        raw = await stage.raw()
        tenant = stage.world.tenant
        raw.send(connect(clean=False, username=tenant.mqtt_username, password=tenant.mqtt_password))
        assert await raw.ended() in (b"", packet(0x20, b"\1\0"))
        assert stage.world.sessions["c1"].delivered == 1


async def test_an_acknowledgement_is_swallowed_and_the_message_taken() -> None:
    async with broker() as stage:
        stage.world.streams.faults.add(StreamFault("swallow_ack", after=1, times=2))
        client = await stage.client()
        for number in range(1, 5):
            client.send(publish("a", b"%d" % number, 1, number))
        assert [await client.packet() for _ in range(2)] == [(PUBACK, b"\0\1"), (PUBACK, b"\0\4")]
        assert stage.world.mr.broker.routed("amq.topic") == [1, 2, 3, 4]
        books = stage.world.streams.books["mqtt"]
        assert (books.published, books.answered) == (4, 2)


async def test_an_acknowledgement_is_delayed_and_those_behind_it_too() -> None:
    loop = asyncio.get_running_loop()
    async with broker() as stage:
        stage.world.streams.faults.add(StreamFault("delay_ack", seconds=0.05))
        client = await stage.client()
        began = loop.time()
        for number in (1, 2):
            client.send(publish("a", b"x", 1, number))
        assert [await client.packet() for _ in range(2)] == [(PUBACK, b"\0\1"), (PUBACK, b"\0\2")]
        assert loop.time() - began >= 0.05


@pytest.mark.parametrize("how", ["seconds", "flow", "killed"])
async def test_a_stalled_connection_neither_reads_nor_writes(how: str) -> None:
    async with broker() as stage:
        stage.world.streams.faults.add(
            StreamFault("stall", match="c1", after=1, seconds=0.05 if how == "seconds" else None)
        )
        client = await stage.client("c1", ("a", 0))
        other = await stage.client("c2")
        for number in range(3):
            await other.publish("a", b"%d" % number)
        client.send(packet(0xC0))
        assert (await client.got()).payload == b"0"
        if how != "seconds":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.reader.readexactly(1)
        [link] = stage.world.streams.pick("c1")
        if how == "killed":
            link.kill()
            assert await client.ended() == b""
            return
        if how == "flow":
            link.flow()
        assert [(await client.got()).payload for _ in range(2)] == [b"1", b"2"]
        assert await client.packet() == (0xD0, b"")


async def test_a_client_that_does_not_read_holds_nobody_up() -> None:
    async with broker() as stage:
        lazy = await stage.client("lazy", ("a", 0))
        client = await stage.client("c1", ("a", 0))
        other = await stage.client("c2")
        lazy.writer.transport.pause_reading()  # type: ignore[attr-defined] # of a socket's transport
        for number in range(1, 101):
            await other.publish("a", b"x" * 50_000, number=number)
            await client.got()


# -- starting and stopping ---------------------------------------------------------------------------------------------


async def test_a_stopped_broker_keeps_what_it_had_and_comes_back_on_its_port() -> None:
    async with broker() as stage:
        port = stage.world.mqtt.port
        client = await stage.client("c1", ("a", 1), clean=False, will=("gone", b"x"))
        other = await stage.client("c2")
        await other.publish("a", b"1", retain=True)
        await client.got()
        await stage.world.mqtt.stop()
        await stage.world.mqtt.stop()
        assert await client.ended() == b""
        assert not [name for name in stage.sandbox.env if "MQTT" in name]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await stage.world.mqtt.start()
        assert stage.world.mqtt.port == port
        again = await stage.raw()
        assert await again.connect(clean=False) == b"\x01\0"
        assert (await again.got()).payload == b"1"
        again.send(puback(1))
        assert stage.world.mr.broker.routed("amq.topic", "gone") == []


async def test_nothing_is_left_behind_whatever_the_clients_do() -> None:
    gc.collect()
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    async with Sandbox(TcupWorld()) as sandbox:
        world = sandbox.tcup
        world.streams.faults.add(StreamFault("silent", match="silent"), StreamFault("stall", match="stalled"))
        raws = []
        for name in ("", "silent", "stalled", "lazy", "half"):
            raw = Raw(world, *await asyncio.open_connection(world.mqtt.host, world.mqtt.port))
            raws.append(raw)
            if name == "silent":
                tenant = world.tenant
                raw.send(connect(name, username=tenant.mqtt_username, password=tenant.mqtt_password))
            elif name:
                await raw.connect(name)
        await raws[3].subscribe(("a", 0))
        raws[3].writer.transport.pause_reading()  # type: ignore[attr-defined] # of a socket's transport
        for _ in range(100):
            world.mr.broker.to_topic("amq.topic", "a", "x" * 100_000)
        raws[4].send(publish("a", b"x" * 100)[:50])
        await until(lambda: world.streams.faults.hits.total() == 2)
        loop = asyncio.get_running_loop()
        began = loop.time()
    assert loop.time() - began < 1.5
    assert asyncio.all_tasks() == tasks
    for raw in raws:
        raw.writer.transport.abort()
    await asyncio.sleep(0.01)
    assert open_sockets() == sockets


# -- TLS ---------------------------------------------------------------------------------------------------------------


async def test_tls_is_spoken_with_a_certificate_that_is_given(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    file = authority.signed("broker")
    async with Sandbox(TcupWorld(mqtt_tls=(file, file))) as sandbox:
        world = sandbox.tcup
        assert sandbox.env["ASYNCCONN_TCUP_MQTT_TLS"] == "true"
        trusting = ssl.create_default_context(cafile=authority.ca)
        streams = await asyncio.open_connection("127.0.0.1", world.mqtt.port, ssl=trusting)
        async with Raw(world, *streams) as client:
            await client.connect(will=("gone", b"x"))
            assert await client.subscribe(("a", 1)) == b"\1"
            world.mr.broker.to_topic("amq.topic", "a", 5)
            assert (await client.got()).payload == b"5"
            client.send(packet(0xE0))
            assert await client.ended() == b""
        assert world.mr.broker.routed("amq.topic", "gone") == []
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", world.mqtt.port, ssl=ssl.create_default_context())
        plain = Raw(world, *await asyncio.open_connection("127.0.0.1", world.mqtt.port))
        async with plain:
            plain.send(connect())
            await plain.ended()


# -- the script --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "named"),
    [
        ("explode", {}, "kind"),
        ("kill", {"after": -1}, "after"),
        ("kill", {"times": 0}, "times"),
        ("kill", {"code": 3}, "code"),
        ("kill", {"seconds": 3}, "seconds"),
        ("refuse", {}, "code"),
        ("refuse", {"code": 0}, "code"),
        ("close", {"code": 999}, "code"),
        ("delay_ack", {}, "seconds"),
        ("stall", {"seconds": -1}, "seconds"),
    ],
)
def test_a_fault_that_cannot_be_is_named(kind: str, options: dict[str, int], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        StreamFault(kind, **options)  # type: ignore[arg-type] # wrong on purpose
