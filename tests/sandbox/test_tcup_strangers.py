"""Clients that others wrote, at TCUP's MQTT broker and WebSockets: aiomqtt, paho and websockets."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING, Any

import aiomqtt
import paho.mqtt.publish
import pytest
import websockets
from certificates import Authority
from websockets.asyncio.client import connect

from asyncconn.sandbox import Sandbox, StreamFault, TcupWorld

from .streams_scene import WS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def world() -> AsyncIterator[TcupWorld]:
    async with Sandbox(TcupWorld(), seed=1) as sandbox:
        sandbox.tcup.mr.broker.create("ex1")
        yield sandbox.tcup


def client(world: TcupWorld, name: str = "c1", **options: Any) -> aiomqtt.Client:
    login = {"username": world.tenant.mqtt_username, "password": world.tenant.mqtt_password}
    return aiomqtt.Client(world.mqtt.host, world.mqtt.port, identifier=name, **{**login, **options})


async def test_aiomqtt_publishes_and_subscribes_at_both_qualities(world: TcupWorld) -> None:
    async with client(world) as subscriber, client(world, "c2") as publisher:
        [granted] = await subscriber.subscribe("rooms/+", qos=2)
        assert getattr(granted, "value", granted) == 1
        await publisher.publish("rooms/hot", json.dumps({"a": 1}), qos=1, retain=True)
        await publisher.publish("rooms/hot", b"x" * 100_000, qos=0)
        messages = [await anext(subscriber.messages) for _ in range(2)]
        assert [(m.topic.value, m.payload, m.qos, m.retain) for m in messages] == [
            ("rooms/hot", b'{"a": 1}', 1, False),
            ("rooms/hot", b"x" * 100_000, 0, False),
        ]
        await publisher.unsubscribe("rooms/+")
        async with client(world, "c3") as late:
            await late.subscribe("#", qos=1)
            assert (await anext(late.messages)).retain


@pytest.mark.parametrize(
    ("options", "code"), [({"password": "wrong"}, 134), ({"username": "no@tcup:no"}, 134), ({"username": "no"}, 135)]
)
async def test_aiomqtt_hears_why_it_was_refused(world: TcupWorld, options: dict[str, str], code: int) -> None:
    with pytest.raises(aiomqtt.MqttCodeError) as caught:
        async with client(world, **options):
            pass
    assert getattr(caught.value.rc, "value", None) == code


async def test_aiomqtt_with_tls_and_a_will(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    file = authority.signed("broker")
    async with Sandbox(TcupWorld(mqtt_tls=(file, file))) as sandbox:
        context = ssl.create_default_context(cafile=authority.ca)
        async with client(sandbox.tcup, "watcher", tls_context=context) as watcher:
            await watcher.subscribe("gone", qos=1)
            will = aiomqtt.Will("gone", b"c1 is gone", qos=1)
            async with client(sandbox.tcup, "c1", tls_context=context, will=will) as lost:
                await lost.subscribe("a")
                sandbox.tcup.streams.kill("c1")
                with pytest.raises(aiomqtt.MqttError):
                    await anext(lost.messages)
            assert (await anext(watcher.messages)).payload == b"c1 is gone"


async def test_nothing_acknowledged_is_lost_while_the_broker_goes_and_comes(world: TcupWorld) -> None:
    acknowledged: set[int] = set()
    got: list[int] = []

    async def publish() -> None:
        number = 0
        while number < 300:
            try:
                async with client(world, "publisher", timeout=0.3) as publisher:
                    while number < 300:
                        await publisher.publish("a", str(number), qos=1)
                        acknowledged.add(number)
                        number += 1
            except aiomqtt.MqttError:
                await asyncio.sleep(0.01)

    async def hear() -> None:
        while len(set(got)) < 300:
            try:
                async with client(world, "subscriber", clean_session=False) as subscriber:
                    await subscriber.subscribe("a", qos=1)
                    async for message in subscriber.messages:
                        assert isinstance(message.payload, bytes)
                        got.append(int(message.payload))
                        if len(set(got)) == 300:
                            return
            except aiomqtt.MqttError:
                await asyncio.sleep(0.01)

    async with client(world, "subscriber", clean_session=False) as first:
        await first.subscribe("a", qos=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(publish())
        group.create_task(hear())
        for part in (50, 150, 250):
            while len(acknowledged) < part:
                await asyncio.sleep(0.001)
            await world.mqtt.stop()
            await world.mqtt.start()
    assert acknowledged == set(range(300)) == set(got)
    assert len(got) - 300 <= 3 * (10 + 1)


async def test_paho_alone_publishes_too(world: TcupWorld) -> None:
    login: Any = {"username": world.tenant.mqtt_username, "password": world.tenant.mqtt_password}
    await asyncio.to_thread(
        paho.mqtt.publish.single, "amq.topic", '{"a": 1}', 1, hostname="127.0.0.1", port=world.mqtt.port, auth=login
    )
    assert world.routed("amq.topic") == [{"a": 1}]


# -- WebSockets --------------------------------------------------------------------------------------------------------


def url(world: TcupWorld, end: str, query: str) -> str:
    return f"{world.url.replace('http', 'ws')}{WS}{end}?{query}"


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_websockets_publishes_and_subscribes(world: TcupWorld, compression: str | None) -> None:
    options: Any = {"additional_headers": {"x-api-key": world.api_key}, "compression": compression, "proxy": None}
    async with (
        connect(url(world, "/subscribe", "type=topic&exchange=ex1"), **options) as subscriber,
        connect(url(world, "/publish", "type=topic&exchange=ex1&topic=a"), **options) as publisher,
    ):
        for number in range(100):
            await publisher.send(json.dumps(number))
        acks = [json.loads(await publisher.recv()) for _ in range(100)]
        assert [(ack["seq"], ack["code"]) for ack in acks] == [(number, 200) for number in range(1, 101)]
        assert [json.loads(await subscriber.recv()) for _ in range(100)] == list(range(100))
        await (await subscriber.ping())


async def test_websockets_hears_why_it_was_closed(world: TcupWorld) -> None:
    options: Any = {"additional_headers": {"x-api-key": world.api_key}, "proxy": None}
    world.streams.faults.add(StreamFault("close", code=4429), StreamFault("kill"))
    for code in (4429, 1006):
        async with connect(url(world, "/subscribe", "type=queue&queue=q1"), **options) as subscriber:
            with pytest.raises(websockets.ConnectionClosedError):
                await subscriber.recv()
            assert subscriber.close_code == code
    world.revoke()
    with pytest.raises(websockets.InvalidStatus, match="403"):
        await connect(url(world, "/subscribe", "type=queue&queue=q1"), **options)
