"""MQTT with mosquitto and RabbitMQ, which both run on: what handlers, our own process and the line do wrong."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from certificates import Authority
from helpers import until

from asyncconn.core.supervise import Reconnect
from asyncconn.errors import ConnectFailed, Forbidden, SubscriptionRefused, Unauthorized

from .brokers import running, served
from .mqtt_scene import Relay, client, new_id, numbers

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn import Tcup
    from asyncconn.tcup.streams.messages import Message, Messages

    from .brokers import Broker

_SUBSCRIBER = """
import asyncio, json, sys
from asyncconn import Hub, Tcup

async def main():
    async with Hub() as hub:
        tcup = Tcup("http://localhost:9", "0" * 64, hub=hub, mqtt=json.loads(sys.argv[1]))
        async with tcup.mqtt.subscribe(client_id=sys.argv[2], session="persistent", max_pending=100) as messages:
            async for message in messages:
                print(message.json, flush=True)
                await asyncio.sleep(0.001)

asyncio.run(main())
"""


def persistent(tcup: Tcup, client_id: str, **options: Any) -> Messages[Message]:
    return tcup.mqtt.subscribe(client_id=client_id, session="persistent", **options)


async def waiting(tcup: Tcup, count: int) -> str:
    """The client id for which the broker keeps so many numbers."""
    name = new_id()
    async with persistent(tcup, name):
        pass
    assert (await tcup.mqtt.publish_many(None, range(count))).delivered == count
    return name


async def up_to(messages: Messages[Message], last: int) -> list[int]:
    """What comes, to the last of the numbers."""
    found: list[int] = []
    while not found or found[-1] != last:
        found += await numbers(messages, 1)
    return found


async def test_what_is_published_arrives_in_order_and_what_is_no_json_as_bytes(mqtt: dict[str, Any]) -> None:
    async with client(mqtt) as tcup, tcup.mqtt.subscribe(f"{mqtt['topic']}/+") as messages:
        report = await tcup.mqtt.publish_many(f"{mqtt['topic']}/a", [*range(1000), b"\xff"], window=100)
        got = [await anext(messages) for _ in range(1001)]
    assert report.delivered == 1001
    assert [one.json for one in got] == [*range(1000), None]
    assert got[-1].payload == b"\xff"
    assert {one.topic for one in got} == {f"{mqtt['topic']}/a"}


async def test_a_retained_message_meets_who_comes_later_and_the_will_who_is_there(
    mqtt: dict[str, Any], broker: Broker
) -> None:
    topic = mqtt["topic"]
    async with Relay(broker.port) as relay, client(mqtt) as tcup:
        await tcup.mqtt.publish(topic, 1, retain=True)
        async with tcup.mqtt.subscribe(topic) as messages:
            assert (await anext(messages)).json == 1
            will = {"topic": topic, "payload": "gone"}
            slow = Reconnect(initial=60.0, maximum=60.0)
            async with client({**mqtt, "port": relay.port, "will": will, "reconnect": slow}) as other:
                await other.mqtt.publish(f"{topic}/else", 1)
                relay.cut()
                assert (await anext(messages)).payload == b"gone"


async def test_a_subscriber_killed_in_the_middle_loses_nothing(mqtt: dict[str, Any], broker: Broker) -> None:
    async with client(mqtt) as tcup:
        name = await waiting(tcup, 2000)
        own = {option: value for option, value in mqtt.items() if option != "reconnect"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _SUBSCRIBER, json.dumps(own), name, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        first = [int(await process.stdout.readline()) for _ in range(300)]
        process.send_signal(signal.SIGKILL)
        first += [int(line) for line in (await process.stdout.read()).splitlines()]
        await process.wait()
        async with persistent(tcup, name) as messages:
            rest = await up_to(messages, 1999)
    assert {*first, *rest} == set(range(2000))
    assert len(first) + len(rest) - 2000 <= broker.window


async def test_a_handler_that_raises_gets_its_message_again_and_loses_nothing(mqtt: dict[str, Any]) -> None:
    seen: list[int] = []

    def handle(message: Message) -> None:
        seen.append(message.json)
        if len(seen) % 400 == 0:
            raise KeyError(message.json)

    async with client(mqtt) as tcup:
        name = await waiting(tcup, 2000)
        for _ in range(5):
            with pytest.raises(KeyError):
                async with persistent(tcup, name) as messages:
                    await messages.each(handle)
        async with persistent(tcup, name) as messages:
            seen += await up_to(messages, 1999)
    assert Counter(seen) == Counter(range(2000)) + Counter(seen[399:2000:400])


async def test_a_full_queue_and_a_slow_handler_lose_nothing(mqtt: dict[str, Any]) -> None:
    async with client(mqtt) as tcup:
        name = await waiting(tcup, 2000)
        seen: list[int] = []
        async with persistent(tcup, name, max_pending=100) as messages:
            async for message in messages:
                seen.append(message.json)
                if len(seen) == 2000:
                    break
                if len(seen) % 10 == 0:
                    await asyncio.sleep(0.001)
    assert seen == list(range(2000))
    assert messages.inbox.most <= 120
    assert messages.dropped == 0


@pytest.mark.slow(60)
@pytest.mark.parametrize("qos", [0, 1])
async def test_who_is_slow_holds_the_broker_back_through_three_keepalives(mqtt: dict[str, Any], qos: int) -> None:
    """RabbitMQ hears no ping while it waits for room in the socket: at QoS 0 it may hang up, and that is told."""
    seen = 0
    async with (
        client({**mqtt, "keepalive": 1}) as tcup,
        persistent(tcup, new_id(), qos=qos, max_pending=200) as messages,
    ):
        publishing = asyncio.create_task(tcup.mqtt.publish_many(None, ["7" * 1024] * 4000, qos=qos))
        await until(lambda: len(messages.inbox) >= (10 if qos else 200))
        await asyncio.sleep(3.2)  # keepalives are the broker's and the wall clock's
        assert (await publishing).delivered == 4000
        saying = asyncio.create_task(_say(tcup, "the end"))
        async for message in messages:
            if message.payload == b"the end":
                break
            seen += 1
            await asyncio.sleep(0.0005)
        saying.cancel()
    assert messages.inbox.most <= 220
    assert messages.dropped == 0
    assert messages.gaps if seen < 4000 else not messages.gaps


async def _say(tcup: Tcup, what: str) -> None:
    """Again and again: who has just lost its connection would miss it."""
    while True:
        await tcup.mqtt.publish(None, what)
        await asyncio.sleep(0.2)


async def test_an_acknowledgement_goes_out_on_no_later_connection_than_its_messages(
    mqtt: dict[str, Any], broker: Broker
) -> None:
    async with Relay(broker.port) as relay, client(mqtt) as publisher, client({**mqtt, "port": relay.port}) as tcup:
        name = await waiting(publisher, count := 4 * broker.window)
        async with persistent(tcup, name, ack="manual") as messages:
            held = [await anext(messages) for _ in range(6)]
            for message in held[:4]:
                await message.ack()
            await until(lambda: len(messages.inbox) >= broker.window - 2)  # one more for each of the four
            connections: list[int] = []
            messages.on("live", lambda change: connections.append(change.connection))
            relay.cut()
            await until(lambda: connections and len(messages.inbox) >= broker.window // 2)
            for message in held[4:]:
                await message.ack()  # renumbered, these would be the acknowledgements of two others
        async with persistent(publisher, name) as messages:
            rest = await up_to(messages, count - 1)
    assert set(range(4, count)) <= set(rest)


async def test_a_second_client_of_the_same_id_is_named_as_a_reason(mqtt: dict[str, Any]) -> None:
    slow = {**mqtt, "reconnect": Reconnect(initial=60.0, maximum=60.0)}
    name = new_id()
    async with client(slow) as one, client(slow) as two, one.mqtt.subscribe(client_id=name) as messages:
        told: list[str] = []
        messages.on("lost", lambda change: told.append(str(change.error)))
        async with two.mqtt.subscribe(client_id=name):
            await until(lambda: told)
        assert f"a second client with the id '{name}'" in told[0]


@pytest.mark.parametrize(
    "wrong", [{"password": "s3cret-no"}, {"username": "nowhere@tcup:user1"}, {"username": "user1"}]
)
async def test_who_is_not_let_in_is_told_what_to_look_at(mqtt: dict[str, Any], wrong: dict[str, Any]) -> None:
    async with client({**mqtt, **wrong}) as tcup:
        with pytest.raises((Unauthorized, Forbidden), match=r"virtual host.* password is .*wrong") as refused:
            async with tcup.mqtt.subscribe():
                pass
        with pytest.raises(type(refused.value)):
            await tcup.mqtt.publish(None, 1)
    assert "s3cret-no" not in str(refused.value)


@served("rabbitmq")
async def test_who_may_not_read_is_told_at_once(rabbitmq: Broker) -> None:
    async with client(rabbitmq.tenant("writer", reads=False)) as tcup:
        await tcup.mqtt.publish("t", 1)
        for session in ("clean", "persistent"):
            with pytest.raises(SubscriptionRefused):
                async with tcup.mqtt.subscribe("t", client_id=new_id(), session=session):
                    pass


@served("rabbitmq")
async def test_a_virtual_host_of_others_is_final(rabbitmq: Broker) -> None:
    others, ours = rabbitmq.tenant("others"), rabbitmq.tenant("ours")
    async with client({**ours, "username": others["username"].replace(":others", ":ours")}) as tcup:
        with pytest.raises(Forbidden, match="virtual host"):
            await tcup.mqtt.publish("t", 1)


async def test_tls_trusts_the_authority_of_the_file_and_no_other(
    mqtt: dict[str, Any], broker: Broker, authority: Authority, tmp_path: Path
) -> None:
    secure = {**mqtt, "tls": True, "port": broker.tls_port}
    async with client({**secure, "ca_file": authority.ca}) as tcup, tcup.mqtt.subscribe() as messages:
        await tcup.mqtt.publish_many(None, ["7" * 20_000] * 50)
        assert len([await anext(messages) for _ in range(50)]) == 50
    for ca_file in (Authority(tmp_path).ca, None):
        async with client({**secure, "ca_file": ca_file}) as tcup:
            with pytest.raises(ConnectFailed, match="not trusted"):
                async with tcup.mqtt.subscribe():
                    pass


@served("mosquitto")
async def test_a_certificate_that_is_out_of_date_is_final(authority: Authority, tmp_path: Path) -> None:
    with running("mosquitto", tmp_path / "broker", authority.signed("old", days=-1)) as broker:
        at = {**broker.tenant("user1"), "tls": True, "port": broker.tls_port, "ca_file": authority.ca}
        async with client(at) as tcup:
            with pytest.raises(ConnectFailed, match="expired"):
                await tcup.mqtt.publish("t", 1)
