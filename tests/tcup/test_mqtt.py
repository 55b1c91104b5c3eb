"""Publish and subscribe over MQTT, with nothing going wrong but the handler."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers import until

from asyncconn.errors import (
    BufferFull,
    ConfigError,
    ConnectTimeout,
    Forbidden,
    InvalidRecord,
    RecordTooLarge,
    Unauthorized,
)
from asyncconn.sandbox.tcup import StreamFault

from .mqtt_scene import client, numbers, scene, world


async def test_what_is_published_arrives_decoded_and_the_rest_as_bytes() -> None:
    async with scene() as (tcup, _), tcup.mqtt.subscribe("t/+") as messages:
        for document in ({"any": "json"}, b"\xff no json", "7"):
            await tcup.mqtt.publish("t/1", document)
        got = [await anext(messages) for _ in range(3)]
    assert [(one.json, one.payload) for one in got] == [
        ({"any": "json"}, b'{"any":"json"}'),
        (None, b"\xff no json"),
        (7, b"7"),
    ]
    assert {one.topic for one in got} == {"t/1"}


async def test_many_are_published_in_order_and_reported() -> None:
    async with scene() as (tcup, _), tcup.mqtt.subscribe(client_id="c1", session="persistent") as messages:
        report = await tcup.mqtt.publish_many(None, range(1000), window=100)
        assert await numbers(messages, 1000) == list(range(1000))
    assert (report.delivered, report.unknown, report.complete) == (1000, 0, True)


async def test_a_retained_message_meets_who_comes_later() -> None:
    async with scene() as (tcup, _):
        await tcup.mqtt.publish("t", 1, retain=True)
        async with tcup.mqtt.subscribe("t") as messages:
            assert (await anext(messages)).json == 1


async def test_the_will_is_published_when_the_publisher_disappears() -> None:
    will = {"topic": "gone", "payload": {"who": "me"}}
    async with scene({"will": will}) as (tcup, place), tcup.mqtt.subscribe("gone", client_id="c1") as messages:
        await tcup.mqtt.publish("t", 1)
        place.streams.kill(lambda one: one.name != "c1")
        assert (await anext(messages)).json == {"who": "me"}


async def test_a_message_is_acknowledged_when_the_next_is_asked_for_and_the_last_when_the_block_is_left() -> None:
    async with scene() as (tcup, place):
        async with tcup.mqtt.subscribe(client_id="c1", session="persistent") as messages:
            await tcup.mqtt.publish_many(None, range(3))
            await anext(messages)
            await until(lambda: len(messages.inbox) == 2)
            assert place.sessions["c1"].acknowledged == 0
            await anext(messages)
            await until(lambda: place.sessions["c1"].acknowledged == 1)
        await until(lambda: place.sessions["c1"].acknowledged == 2)
        async with tcup.mqtt.subscribe(client_id="c1", session="persistent") as messages:
            assert (await anext(messages)).json == 2


async def test_who_raises_gets_the_message_again() -> None:
    async with scene() as (tcup, place):

        async def handle() -> None:
            async with tcup.mqtt.subscribe(client_id="c1", session="persistent") as messages:
                async for message in messages:
                    if message.json == 1:
                        raise KeyError("handler")

        async with tcup.mqtt.subscribe(client_id="c1", session="persistent"):
            pass
        await tcup.mqtt.publish_many(None, range(20))
        with pytest.raises(KeyError, match="handler"):
            await handle()
        async with tcup.mqtt.subscribe(client_id="c1", session="persistent") as messages:
            assert await numbers(messages, 19) == list(range(1, 20))
        assert place.sessions["c1"].acknowledged == 20


async def test_manual_acknowledgements_go_in_any_order() -> None:
    async with scene() as (tcup, place):
        async with tcup.mqtt.subscribe(client_id="c1", session="persistent", ack="manual") as messages:
            await tcup.mqtt.publish_many(None, range(3))
            got = [await anext(messages) for _ in range(3)]
            await got[2].ack()
            await got[0].ack()
            await got[0].ack()
        await until(lambda: place.sessions["c1"].acknowledged == 2)
        assert [one.payload for one in place.sessions["c1"].kept] == [b"1"]


async def test_before_acknowledges_on_arrival() -> None:
    async with scene() as (tcup, place), tcup.mqtt.subscribe(client_id="c1", session="persistent", ack="before"):
        await tcup.mqtt.publish_many(None, range(30))
        await until(lambda: place.sessions["c1"].acknowledged == 30)


async def test_a_callback_is_called_with_one_after_the_other() -> None:
    seen: list[Any] = []

    async def handler(message: Any) -> None:
        seen.append(message.json)
        if len(seen) == 3:
            raise EOFError

    async with scene() as (tcup, _), tcup.mqtt.subscribe() as messages:
        await tcup.mqtt.publish_many(None, range(3))
        with pytest.raises(EOFError):
            await messages.each(handler)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("qos", [0, 1])
async def test_who_is_slow_holds_the_broker_back_and_drops_nothing(qos: int) -> None:
    async with scene(mqtt_window=1000) as (tcup, _):
        async with tcup.mqtt.subscribe(qos=qos, client_id="c1", session="persistent", max_pending=200) as messages:
            publishing = asyncio.create_task(tcup.mqtt.publish_many(None, ["7" * 1024] * 4000, qos=qos))
            await until(lambda: len(messages.inbox) >= 200)
            assert (await publishing).delivered == 4000  # it has all of them, and would hand them out
            for _ in range(4000):
                await anext(messages)
        assert messages.inbox.most <= 220
        assert messages.dropped == 0
        assert messages.gaps == ()


async def test_a_pause_of_three_keepalives_loses_no_connection() -> None:
    async with scene({"keepalive": 1}) as (tcup, place):
        async with tcup.mqtt.subscribe(qos=0, client_id="c1", session="persistent", max_pending=10) as messages:
            await tcup.mqtt.publish_many(None, range(100), qos=0)
            await until(lambda: len(messages.inbox) == 10)
            await asyncio.sleep(3.2)  # keepalives are the broker's and the wall clock's
            assert await numbers(messages, 100) == list(range(100))
        assert messages.inbox.most <= 10
        assert place.streams.books["mqtt"].connects == 2


async def test_drop_oldest_counts_what_it_dropped() -> None:
    async with scene() as (tcup, _), tcup.mqtt.subscribe(qos=0, max_pending=5, overflow="drop_oldest") as messages:
        await tcup.mqtt.publish_many(None, range(20), qos=0)
        await until(lambda: messages.dropped == 15)
        assert await numbers(messages, 5) == [15, 16, 17, 18, 19]


@pytest.mark.parametrize("topic", ["", "a\0b", "a+/b", "a/#/b", "a#", "x" * 65_536, "\ud800"])
async def test_a_filter_that_cannot_be_is_refused_before_anything_is_sent(topic: str) -> None:
    async with scene() as (tcup, place):
        with pytest.raises(ConfigError, match="mqtt"):
            tcup.mqtt.subscribe(topic)
        with pytest.raises(ConfigError, match="mqtt"):
            await tcup.mqtt.publish(topic, 1)
        assert place.streams.books["mqtt"].connects == 0


async def test_documents_that_cannot_be_sent_are_refused() -> None:
    async with scene({"max_payload": 10}) as (tcup, _):
        with pytest.raises(RecordTooLarge) as large:
            await tcup.mqtt.publish(None, "x" * 11)
        assert (large.value.size, large.value.limit) == (11, 10)
        with pytest.raises(InvalidRecord) as wrong:
            await tcup.mqtt.publish_many(None, [1, object()])
        assert wrong.value.index == 1


async def test_a_client_id_is_used_once() -> None:
    async with scene() as (tcup, _):
        async with tcup.mqtt.subscribe(client_id="c1"):
            with pytest.raises(ConfigError, match="in use"):
                tcup.mqtt.subscribe(client_id="c1")
        tcup.mqtt.subscribe(client_id="c1")
        with pytest.raises(ConfigError, match="client_id"):
            tcup.mqtt.subscribe(session="persistent")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"password": "s3cret-no"}, Unauthorized), ({"username": "elsewhere:user1"}, (Unauthorized, Forbidden))],
)
async def test_wrong_credentials_are_final_and_never_shown(
    wrong: dict[str, Any], error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with scene(wrong) as (tcup, place):
        with pytest.raises(error) as refused:
            async with tcup.mqtt.subscribe():
                pass
        assert "virtual host" in str(refused.value)
        with pytest.raises(error):
            await tcup.mqtt.publish(None, 1)
        assert place.streams.books["mqtt"].refused == 2
        told = f"{refused.value}{caplog.text}"
        assert "s3cret-no" not in told
        assert place.tenant.mqtt_password not in told


async def test_a_publish_without_a_broker_ends_in_time_and_says_that_nothing_was_sent() -> None:
    async with world(mqtt_port=None) as place, client({**at_nothing(), "max_pending": 1, "overflow": "raise"}) as tcup:
        assert place.mqtt.is_open is False
        with pytest.raises(ConnectTimeout):
            await tcup.mqtt.publish(None, 1, timeout=0.1)
        waiting = asyncio.create_task(tcup.mqtt.publish(None, 2, timeout=0.3))
        await asyncio.sleep(0)
        with pytest.raises(BufferFull):
            await tcup.mqtt.publish(None, 3)
        report = await tcup.mqtt.publish_many(None, [], timeout=0.1)
        assert report.delivered == 0
        with pytest.raises(ConnectTimeout):
            await waiting


def at_nothing() -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": 1, "tls": False}


async def test_what_is_published_while_the_broker_is_not_available_leaves_when_it_is() -> None:
    async with scene() as (tcup, place):
        place.streams.faults.add(StreamFault("refuse", code=3, times=3))
        report = await tcup.mqtt.publish_many(None, range(50))
        assert report.delivered == 50
        assert place.streams.books["mqtt"].refused == 3
        assert place.streams.books["mqtt"].published == 50


async def test_a_clean_session_is_acknowledged_too() -> None:
    """Or the broker would hand out no more than its ten."""
    async with scene() as (tcup, _), tcup.mqtt.subscribe("t") as messages:
        await tcup.mqtt.publish_many("t", range(25))
        assert await numbers(messages, 25) == list(range(25))
