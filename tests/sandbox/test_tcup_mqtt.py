"""TCUP's MQTT broker, byte by byte: connecting, topics, both qualities, what is kept, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from helpers import until

from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox import Sandbox, TcupWorld
from asyncconn.sandbox.tcup.streams.mqtt.topics import is_filter, levels_of, matches

from .mqtt_scene import (
    PINGRESP,
    PUBACK,
    UNSUBACK,
    broker,
    connect,
    packet,
    puback,
    publish,
    subscribe,
    text,
)

# -- connecting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, 0),
        ({"level": 5}, 1),
        ({"name": "MQIsdp", "level": 3}, 1),
        ({"client_id": "", "clean": False}, 2),
        ({"client_id": ""}, 0),
        ({"password": "wrong"}, 4),
        ({"password": None}, 4),
        ({"username": "user2@tcup:user1"}, 4),
        ({"username": "user1@tcup:user2"}, 4),
        ({"username": "user1"}, 5),
        ({"username": None, "password": None}, 5),
    ],
)
async def test_a_connect_is_answered_with_a_code_and_refused_with_it(changed: dict[str, Any], code: int) -> None:
    async with broker() as stage:
        raw = await stage.raw()
        assert await raw.connect(**changed) == bytes([0, code])
        if code:
            assert await raw.ended() == b""
        books = stage.world.streams.books["mqtt"]
        assert (books.connects, books.refused) == ((0, 1) if code else (1, 0))


async def test_tenants_hear_nothing_of_each_other() -> None:
    async with broker() as stage:
        other = stage.world.add_tenant("user2")
        mine = await stage.client("c1", ("#", 1))
        theirs = await stage.client("c1", username=other.mqtt_username, password=other.mqtt_password)
        await theirs.publish("a")
        assert await mine.silent()


async def test_a_second_client_of_the_same_id_takes_the_place_of_the_first() -> None:
    async with broker() as stage:
        first = await stage.client("c1", ("a", 1))
        second = await stage.client("c1", ("a", 1))
        assert await first.ended() == b""
        assert len(stage.world.streams.pick("c1")) == 1
        await (await stage.client("c2")).publish("a", b"1")
        assert (await second.got()).payload == b"1"


async def test_the_port_is_none_where_none_is_wanted() -> None:
    async with Sandbox(TcupWorld(mqtt_port=None)) as sandbox:
        assert not [name for name in sandbox.env if "MQTT" in name]
        with pytest.raises(LifecycleError, match="MQTT"):
            _ = sandbox.tcup.mqtt.port


@pytest.mark.parametrize(
    "options",
    [{"mqtt_qos2": "maybe"}, {"ping": 0}, {"keep_alive": float("inf")}, {"buffer": -1}, {"mqtt_window": 0}],
)
def test_a_wrong_option_is_named(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        TcupWorld(**options)  # type: ignore[arg-type] # wrong on purpose


async def test_a_port_or_a_certificate_that_cannot_be_had_is_named() -> None:
    async with broker() as stage:
        with pytest.raises(ConfigError, match="mqtt_port"):
            async with Sandbox(TcupWorld(mqtt_port=stage.world.mqtt.port)):
                pass
        with pytest.raises(ConfigError, match="No such file"):
            async with Sandbox(TcupWorld(mqtt_tls=("nowhere.pem", "nowhere.pem"))):
                pass


# -- topics ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter_", "topic", "fits"),
    [
        ("a", "a", True),
        ("a", "a/b", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("+", "a", True),
        ("+/+", "/a", True),
        ("/+", "/a", True),
        ("+", "/a", False),
        ("#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "b", False),
        ("a/+/#", "a", False),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("amq.topic", "amq/topic", True),
        ("a/*", "a/b", True),
    ],
)
def test_a_filter_picks_topics(filter_: str, topic: str, fits: bool) -> None:
    assert matches(levels_of(filter_), topic) is fits


@pytest.mark.parametrize(
    ("filter_", "good"), [("a/+/#", True), ("#/a", False), ("a#", False), ("+a", False), ("", False)]
)
async def test_a_filter_that_is_none_is_not_granted(filter_: str, good: bool) -> None:
    assert is_filter(filter_) is good
    async with broker() as stage:
        client = await stage.client()
        assert await client.subscribe((filter_, 1), ("ok", 0)) == bytes([1 if good else 0x80, 0])


async def test_dots_and_slashes_are_one_and_come_out_as_slashes() -> None:
    async with broker() as stage:
        client = await stage.client("c1", ("amq.topic", 1))
        other = await stage.client("c2")
        await other.publish("amq.topic")
        assert (await client.got()).topic == "amq/topic"
        await other.publish("amq/topic")
        assert (await client.got()).topic == "amq/topic"


async def test_filters_of_one_client_that_overlap_bring_a_message_once_at_the_higher_quality() -> None:
    async with broker() as stage:
        client = await stage.client("c1", ("a/#", 0), ("a/b", 1))
        await (await stage.client("c2")).publish("a/b")
        assert (await client.got()).qos == 1
        client.send(puback(1))
        assert await client.silent()


async def test_unsubscribing_ends_it() -> None:
    async with broker() as stage:
        client = await stage.client("c1", ("a", 0))
        client.send(packet(0xA2, b"\0\x05" + text("a") + text("never")))
        assert await client.packet() == (UNSUBACK, b"\0\x05")
        await (await stage.client("c2")).publish("a")
        assert await client.silent()


# -- qualities ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "asked", "given"), [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 1), (2, 1, 1), (1, 2, 1)])
async def test_the_lower_quality_of_the_two_holds_and_two_is_one(sent: int, asked: int, given: int) -> None:
    async with broker() as stage:
        client = await stage.client()
        assert await client.subscribe(("a", asked)) == bytes([min(asked, 1)])
        other = await stage.client("c2")
        other.send(publish("a", b"x", sent, number=9))
        if sent:
            assert await other.packet() == (PUBACK, b"\0\x09")
        assert (await client.got()).qos == given


async def test_quality_two_can_be_refused() -> None:
    async with broker(mqtt_qos2="refused") as stage:
        client = await stage.client()
        assert await client.subscribe(("a", 2), ("b", 1)) == b"\x80\x01"
        client.send(publish("a", b"x", 2))
        assert await client.ended() == b""


async def test_so_many_are_in_flight_and_one_more_with_each_acknowledgement() -> None:
    async with broker(mqtt_window=3) as stage:
        client = await stage.client("c1", ("a", 1))
        other = await stage.client("c2")
        for number in range(1, 6):
            await other.publish("a", b"%d" % number, number=number)
        first = [await client.got() for _ in range(3)]
        assert [(got.payload, got.number) for got in first] == [(b"1", 1), (b"2", 2), (b"3", 3)]
        assert await client.silent()
        session = stage.world.sessions["c1"]
        assert (len(session.in_flight), len(session.waiting)) == (3, 2)
        client.send(puback(2))
        assert (await client.got()).payload == b"4"
        client.send(puback(2) + puback(99))  # not on their way
        assert await client.silent()
        assert (session.delivered, session.acknowledged, len(session.kept)) == (4, 1, 4)
        books = stage.world.streams.books["mqtt"]
        assert (books.published, books.answered, books.delivered, books.acknowledged) == (5, 5, 4, 1)


# -- what is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("renumber", [True, False])
async def test_a_persistent_session_delivers_again_what_was_not_acknowledged(renumber: bool) -> None:
    async with broker(mqtt_window=3, mqtt_renumber=renumber) as stage:
        client = await stage.client("c1", ("a", 1), clean=False)
        other = await stage.client("c2")
        for number in range(1, 5):
            await other.publish("a", b"%d" % number, number=number)
        for _ in range(3):
            await client.got()
        client.send(puback(1))
        assert (await client.got()).payload == b"4"
        stage.world.streams.kill("c1")
        await client.ended()
        await other.publish("a", b"5", number=5)
        other.send(publish("a", b"not kept"))
        assert await other.silent()
        assert [kept.payload for kept in stage.world.sessions["c1"].kept] == [b"2", b"3", b"4", b"5"]

        again = await stage.raw()
        assert await again.connect(clean=False) == b"\x01\0"
        got = [await again.got() for _ in range(3)]
        assert [(one.payload, one.dup) for one in got] == [(b"2", True), (b"3", True), (b"4", True)]
        assert [one.number for one in got] == ([1, 2, 3] if renumber else [2, 3, 4])
        again.send(puback(got[0].number))
        last = await again.got()
        assert (last.payload, last.dup) == (b"5", False)


async def test_a_stale_acknowledgement_hits_another_message_where_numbers_begin_anew() -> None:
    async with broker(mqtt_window=2) as stage:
        client = await stage.client("c1", ("a", 1), clean=False)
        other = await stage.client("c2")
        for number in range(1, 5):
            await other.publish("a", b"%d" % number, number=number)
        held = [await client.got() for _ in range(2)]
        client.send(puback(held[0].number) + puback(held[1].number))
        held = [await client.got() for _ in range(2)]
        assert [one.number for one in held] == [3, 4]
        stage.world.streams.kill("c1")
        for number in range(5, 7):
            await other.publish("a", b"%d" % number, number=number)
        again = await stage.client("c1", clean=False)
        first = [await again.got() for _ in range(2)]
        assert [(one.payload, one.number) for one in first] == [(b"3", 1), (b"4", 2)]
        again.send(puback(1) + puback(2))
        assert [(await again.got()).number for _ in range(2)] == [3, 4]
        for stale in held:
            again.send(puback(stale.number))
        assert await again.silent()
        assert stage.world.sessions["c1"].kept == []  # 5 and 6 were never handled


async def test_a_clean_session_forgets() -> None:
    async with broker() as stage:
        client = await stage.client("c1", ("a", 1), clean=False)
        stage.world.streams.kill("c1")
        await client.ended()
        client = await stage.raw()
        assert await client.connect(clean=True) == b"\0\0"
        assert stage.world.sessions["c1"].filters == {}
        client.send(packet(0xE0))
        assert await client.ended() == b""
        await until(lambda: "c1" not in stage.world.sessions)
        client = await stage.raw()
        assert await client.connect(clean=False) == b"\0\0"


async def test_a_clean_session_that_is_taken_over_is_no_beginning_for_a_persistent_one() -> None:
    async with broker() as stage:
        await stage.client("c1", ("a", 1), clean=True)
        again = await stage.raw()
        assert await again.connect(clean=False) == b"\0\0"
        assert stage.world.sessions["c1"].filters == {}


async def test_a_retained_message_comes_with_each_subscription_until_it_is_taken_back() -> None:
    async with broker() as stage:
        client, other = await stage.client("c1", ("a/b", 1)), await stage.client("c2")
        await other.publish("a/b", b"old", retain=True)
        await other.publish("a/b", b"new", retain=True)
        assert [(await client.got()).retain for _ in range(2)] == [False, False]
        for filter_, fits in (("a/+", True), ("b", False)):
            late = await stage.client(f"late {filter_}", (filter_, 1))
            if fits:
                got = await late.got()
                assert (got.payload, got.retain, got.qos) == (b"new", True, 1)
            assert await late.silent()
        await other.publish("a/b", b"", retain=True)
        assert await (await stage.client("later", ("a/#", 1))).silent()


@pytest.mark.parametrize("how", ["killed", "left", "malformed", "orderly"])
async def test_a_will_is_published_for_who_does_not_say_goodbye(how: str) -> None:
    async with broker() as stage:
        watcher = await stage.client("c2", ("gone", 1))
        client = await stage.client("c1", will=("gone", b"c1 is gone"))
        if how == "killed":
            stage.world.streams.kill("c1")
        elif how == "left":
            client.writer.close()
        else:
            client.send(packet(0xE0 if how == "orderly" else 0xF0))
        if how == "orderly":
            assert await client.ended() == b""
            assert await watcher.silent()
        else:
            got = await watcher.got()
            assert (got.payload, got.qos) == (b"c1 is gone", 1)


async def test_who_is_silent_for_one_and_a_half_keepalives_is_dropped_and_its_will_published() -> None:
    async with broker() as stage:
        watcher = await stage.client("c2", ("gone", 1))
        client = await stage.client("c1", will=("gone", b"x"), keepalive=1)
        client.send(packet(0xC0))
        assert await client.packet() == (PINGRESP, b"")
        assert await client.ended() == b""
        assert (await watcher.got()).topic == "gone"


# -- joined to the rest ------------------------------------------------------------------------------------------------


async def test_what_is_published_is_a_message_of_the_tenants_exchange() -> None:
    document = {"version": "1.0.1", "observations": []}
    async with broker() as stage:
        client = await stage.client()
        await client.publish("amq.topic", json.dumps(document).encode())
        await client.publish("a/b", b"\xff no JSON")
        assert stage.world.routed("amq.topic", "amq.topic") == [document]
        assert stage.world.mr.broker.routed("amq.topic", "a.b") == [b"\xff no JSON"]
        assert stage.world.mr.broker.created == []


async def test_what_comes_to_that_exchange_another_way_is_heard() -> None:
    async with broker() as stage:
        client = await stage.client("c1", ("rooms/+", 1))
        stage.world.mr.broker.to_topic("amq.topic", "rooms.hot", {"a": [1, "ä"]})
        got = await client.got()
        assert (got.topic, got.payload, got.qos) == ("rooms/hot", '{"a":[1,"ä"]}'.encode(), 1)


# -- what the protocol forbids -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(packet(0xC0), id="no connect first"),
        pytest.param(connect(name="HTTP"), id="another protocol"),
        pytest.param(connect(reserved=1), id="reserved flag"),
        pytest.param(connect(will=("t", b""), will_flags=0x1C), id="will at QoS 3"),
        pytest.param(connect(reserved=0x20), id="will flags without a will"),
        pytest.param(connect(will=("t/#", b"")), id="will to a filter"),
        pytest.param(connect(password="x"), id="password without a user"),
        pytest.param(connect("a\0b"), id="null in a text"),
        pytest.param(packet(0x10, text("MQTT") + b"\x04\x02\0"), id="cut off"),
        pytest.param(packet(0x10, connect()[2:] + b"x"), id="more than a connect"),
        pytest.param(b"\x10\xff\xff\xff\xff\x01", id="length of five bytes"),
        pytest.param(b"\x10\xff\xff\xff\x7f", id="too large"),
        pytest.param(b"\x11" + connect()[1:], id="flags of a connect"),
    ],
)
async def test_a_wrong_beginning_is_hung_up_on(data: bytes) -> None:
    async with broker() as stage:
        raw = await stage.raw()
        raw.send(data)
        assert await raw.ended() == b""


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(connect(), id="a second connect"),
        pytest.param(packet(0x00), id="no packet"),
        pytest.param(packet(0x20, b"\0\0"), id="a packet of the broker"),
        pytest.param(publish("a", b"x", 3), id="QoS 3"),
        pytest.param(publish("a", b"x", 0, dup=True), id="dup at QoS 0"),
        pytest.param(publish("a", b"x", 1, number=0), id="number 0"),
        pytest.param(publish("", b"x"), id="no topic"),
        pytest.param(publish("a/+", b"x"), id="a wildcard"),
        pytest.param(publish("a\0", b"x"), id="null in a topic"),
        pytest.param(publish(b"\xff", b"x"), id="not UTF-8"),
        pytest.param(packet(0x30, b"\0\x05a"), id="a topic cut off"),
        pytest.param(subscribe(), id="a subscribe to nothing"),
        pytest.param(subscribe(("a", 3)), id="subscribe at QoS 3"),
        pytest.param(subscribe(("a", 1), number=0), id="subscribe with number 0"),
        pytest.param(packet(0x80, subscribe(("a", 1))[2:]), id="flags of a subscribe"),
        pytest.param(packet(0xA2, b"\0\x01"), id="an unsubscribe from nothing"),
        pytest.param(packet(PUBACK, b"\0\x01\0"), id="a long acknowledgement"),
        pytest.param(packet(0xC0, b"x"), id="a long ping"),
        pytest.param(packet(0x60, b"\0\x01"), id="a packet of QoS 2"),
    ],
)
async def test_what_is_malformed_is_hung_up_on(data: bytes) -> None:
    async with broker() as stage:
        client = await stage.client()
        client.send(data)
        assert await client.ended() == b""
        assert stage.world.mr.broker.routed("amq.topic") == []


async def test_packets_in_any_pieces_are_read() -> None:
    async with broker() as stage:
        client = await stage.client("c1", ("a", 0))
        for byte in publish("a", b"y" * 300):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.got()).payload == b"y" * 300
