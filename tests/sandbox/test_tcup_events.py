"""TCUP's server-sent events: topics, queues and the feed; ids, replay, comments, and what goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from helpers import until

from asyncconn.core.clock import VirtualClock
from asyncconn.sandbox import Fault, StreamFault

from .observing_scene import SOS, observation, token
from .streams_scene import QUEUE, SSE, TOPIC, stage

FEED = f"{SOS}/feed"


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 400),
        ({"type": "direct"}, 400),
        ({"type": "topic"}, 400),
        ({"type": "topic", "exchange": "ex9"}, 404),
        ({"type": "queue"}, 400),
        ({"type": "queue", "queue": "q1", "exchange": "ex9"}, 404),
    ],
)
async def test_a_wrong_source_is_refused(params: dict[str, str], status: int) -> None:
    async with stage() as scene:
        assert (await scene.client("GET", f"{SSE}/subscribe", params=params)).status == status
        assert (await scene.client("GET", f"{SSE}/subscribe", params=TOPIC, headers={"x-api-key": "x"})).status == 403


async def test_a_token_is_asked_for_where_tokens_are() -> None:
    async with stage() as scene:
        world = scene.world
        world.options.auth_mode = "jwt"
        assert (await scene.client("GET", f"{SSE}/subscribe", params=TOPIC)).status == 401
        now = world.clock.seconds()
        claims = {"sub": world.api_key, "iat": now, "exp": now + 300, "aud": SSE}
        headers = {
            "x-api-key": world.api_key,
            "Authorization": f"Bearer {token(world.tenant.symmetric_key.encode(), claims)}",
        }
        async with scene.client.http.get(f"{world.url}{SSE}/subscribe", params=TOPIC, headers=headers) as response:
            assert response.status == 200


async def test_messages_come_as_events_with_rising_numbers() -> None:
    async with stage() as scene:
        reader = await scene.events()
        everything = await scene.events({"type": "topic", "exchange": "ex1"})
        scene.send({"a": "ä"})
        scene.send("other", topic="other")
        scene.broker.to_topic("ex1", "test", 1, raw=b"[1,\r\n2,\r3]")
        first, second = await reader.event(), await reader.event()
        assert (first.data, second.data) == ('{"a":"ä"}', "[1,\n2,\n3]")
        assert first.id < second.id
        assert [(await everything.event()).data for _ in range(3)] == ['{"a":"ä"}', '"other"', "[1,\n2,\n3]"]
        assert scene.world.streams.books["sse"].delivered == 5


async def test_a_topic_is_told_again_from_the_last_event_on() -> None:
    async with stage() as scene:
        reader = await scene.events()
        scene.send(1, 2, 3)
        events = [await reader.event() for _ in range(3)]
        again = await scene.events(last=events[0].id)
        assert [await again.event() for _ in range(2)] == events[1:]
        scene.send(4)
        assert [(await one.event()).data for one in (reader, again)] == ["4", "4"]
        fresh = await scene.events(last="not a number")
        scene.send(5)
        assert (await fresh.event()).data == "5"


async def test_no_more_than_a_thousand_are_told_again() -> None:
    async with stage() as scene:
        scene.send(*range(1500))
        reader = await scene.events(last=0)
        scene.send("new")
        assert [(await reader.event()).data for _ in range(1001)] == [*map(str, range(500, 1500)), '"new"']


async def test_a_queue_tells_nothing_again() -> None:
    async with stage() as scene:
        scene.broker.to_queue("q1", 1)
        reader = await scene.events(QUEUE)
        event = await reader.event()
        assert event.data == "1"
        again = await scene.events(QUEUE, last=event.id - 1)
        scene.world.streams.pick()[0].leave(0)
        with pytest.raises(asyncio.IncompleteReadError):
            await reader.block()
        scene.broker.to_queue("q1", 2)
        assert (await again.event()).data == "2"


async def test_the_feed_tells_what_is_stored() -> None:
    async with stage() as scene:
        await scene.client.sensor()
        reader = await scene.events({}, FEED)
        await scene.client.insert(observation("ts1"), observation("unknown"))
        await scene.client.insert(observation("ts1"), **{"x-routing": "mq"})
        await scene.client.insert(observation("ts1", obs1="2"), **{"x-routing": "db"})
        events = [await reader.event() for _ in range(2)]
        assert ['"value":"1"' in events[0].data, '"value":"2"' in events[1].data] == [True, True]
        assert "unknown" not in events[0].data
        again = await scene.events({}, FEED, last=events[0].id)
        assert await again.event() == events[1]


def test_a_comment_comes_where_nothing_else_does() -> None:
    clock = VirtualClock()

    async def main() -> list[Any]:
        async with stage(clock=clock, mqtt_port=None) as scene:
            reader = await scene.events()
            began = clock.now()
            blocks = [await _patiently(reader), await _patiently(reader)]
            return [*blocks, clock.now() - began]

    async def _patiently(reader: Any) -> str:
        line = await reader.response.content.readline()
        assert await reader.response.content.readline() == b"\n"
        return str(line.decode().strip())

    assert clock.run(main()) == [": keep-alive", ": keep-alive", pytest.approx(30, abs=0.5)]


# -- ends --------------------------------------------------------------------------------------------------------------


async def test_a_stream_ends_in_order_or_breaks_off() -> None:
    async with stage() as scene:
        reader = await scene.events()
        assert scene.world.streams.leave(1001) == 1
        with pytest.raises(asyncio.IncompleteReadError):
            await reader.block()
        reader = await scene.events()
        assert scene.world.streams.kill("sse") == 1
        with pytest.raises(aiohttp.ClientPayloadError):
            await reader.block()
        await until(lambda: not scene.world.streams.live)


@pytest.mark.parametrize("why", ["revoked", "deleted", "behind"])
async def test_a_stream_ends_when_it_cannot_go_on(why: str) -> None:
    async with stage(buffer=3) as scene:
        reader = await scene.events()
        if why == "revoked":
            scene.world.revoke()
        elif why == "deleted":
            scene.broker.drop("ex1")
        else:
            scene.world.streams.stall("sse")
            scene.send(*range(5))
        with pytest.raises(asyncio.IncompleteReadError):
            await reader.block()
        assert not scene.world.streams.live


async def test_a_client_can_be_told_to_come_back_no_more_or_later() -> None:
    faults = [Fault("status", status=204, match=SSE), Fault("status", status=503, retry_after=1, match=SSE)]
    async with stage(faults=faults) as scene:
        replies = [await scene.client("GET", f"{SSE}/subscribe", params=TOPIC) for _ in range(2)]
        assert [(reply.status, reply.headers.get("Retry-After")) for reply in replies] == [(204, None), (503, "1")]
        assert replies[0].body == b""
        await scene.events()


async def test_a_stream_is_killed_after_so_many_events() -> None:
    async with stage() as scene:
        scene.world.streams.faults.add(StreamFault("kill", match="sse", after=2))
        reader = await scene.events()
        scene.send(1, 2, 3)
        assert [(await reader.event()).data for _ in range(2)] == ["1", "2"]
        with pytest.raises(aiohttp.ClientPayloadError):
            await reader.event()


async def test_a_stalled_stream_goes_on_later() -> None:
    async with stage() as scene:
        scene.world.streams.faults.add(StreamFault("stall", after=1, seconds=0.05))
        reader = await scene.events()
        scene.send(1, 2)
        assert [(await reader.event()).data for _ in range(2)] == ["1", "2"]
        assert scene.world.streams.faults.hits == {"stall": 1}
