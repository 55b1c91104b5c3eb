"""TCUP's WebSockets: publishing with acknowledgements, subscribing, liveness, close codes, and what goes wrong."""

from __future__ import annotations

import asyncio
import gc
import json
import socket as sockets

import aiohttp
import pytest
from aiohttp import WSMsgType
from helpers import open_sockets, until

from asyncconn.core.clock import VirtualClock
from asyncconn.sandbox import Fault, Sandbox, StreamFault, TcupWorld

from .mqtt_scene import Raw, publish
from .observing_scene import token
from .streams_scene import QUEUE, TOPIC, WS, closed, said, stage

# -- the door ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "params", "status"),
    [
        ("/publish", {}, 400),
        ("/publish", {"type": "fanout"}, 400),
        ("/publish", {"type": "topic", "exchange": "ex1"}, 400),
        ("/publish", {"type": "topic", "topic": "test"}, 400),
        ("/publish", {"type": "topic", "exchange": "ex9", "topic": "test"}, 404),
        ("/publish", {"type": "direct", "exchange": "ex9"}, 404),
        ("/publish", {"type": "queue"}, 400),
        ("/subscribe", {"type": "direct"}, 400),
        ("/subscribe", {"type": "topic"}, 400),
        ("/subscribe", {"type": "topic", "exchange": "ex9"}, 404),
        ("/subscribe", {"type": "queue"}, 400),
        ("/subscribe", {"type": "queue", "queue": "q1", "exchange": "ex9"}, 404),
        ("/elsewhere", {"type": "topic"}, 404),
    ],
)
async def test_an_upgrade_is_refused_with_a_status(end: str, params: dict[str, str], status: int) -> None:
    async with stage() as scene:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await scene.socket(end, params)
        assert caught.value.status == status
        assert scene.world.streams.books["websocket"].connects == 0


async def test_a_wrong_key_and_a_wrong_token_are_refused() -> None:
    async with stage() as scene:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await scene.socket("/subscribe", TOPIC, headers={"x-api-key": "wrong"})
    async with stage() as scene:
        world = scene.world
        world.options.auth_mode = "jwt"
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await scene.listener()
        now = world.clock.seconds()
        claims = {"sub": world.api_key, "iat": now, "exp": now + 300, "aud": WS}
        signed = token(world.tenant.symmetric_key.encode(), claims)
        socket = await scene.listener(headers={"Authorization": f"Bearer {signed}"})
        scene.send({"a": 1})
        assert await said(socket) == {"a": 1}


async def test_without_an_upgrade_there_is_nothing_here() -> None:
    async with stage() as scene:
        assert (await scene.client("GET", f"{WS}/subscribe", params=TOPIC)).status == 426


# -- publishing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params", [TOPIC, QUEUE, {"type": "direct"}, {"type": "direct", "exchange": "Direct.Exchange", "routingKey": "k"}]
)
async def test_every_frame_is_acknowledged_in_order(params: dict[str, str]) -> None:
    async with stage() as scene:
        key = params.get("routingKey", "")
        await scene.client.rule(
            "r", input={"RoutingKey": key} if params["type"] == "direct" else {"type": "Queue", "MQName": "q1"}
        )
        socket = await scene.publisher(**params)
        document = {"version": "1.0.1", "observations": [{"sensor": "ts1", "record": [{"output": []}]}]}
        for body in (json.dumps(document), "{", '"any"'):
            await socket.send_str(body)
        await socket.send_bytes(b"{}")
        assert [(ack["seq"], ack["code"]) for ack in [await said(socket) for _ in range(4)]] == [
            (1, 200),
            (2, 400),
            (3, 200),
            (4, 400),
        ]
        assert document in scene.world.routed("ex1", "test") + scene.broker.routed("ex1")


async def test_a_frame_over_a_mebibyte_closes_the_connection() -> None:
    async with stage() as scene:
        for size, code in ((1024 * 1024, None), (1024 * 1024 + 1, 1009), (5 * 1024 * 1024, 1009)):
            socket = await scene.publisher(**TOPIC)
            await socket.send_str('"' + "x" * (size - 2) + '"')
            if code is None:
                assert (await said(socket))["code"] == 200
            else:
                assert await closed(socket) == code
        assert len(scene.broker.routed("ex1")) == 1


async def test_a_publisher_whose_exchange_is_gone_hears_so() -> None:
    async with stage() as scene:
        socket = await scene.publisher(**TOPIC)
        await scene.client("DELETE", "/MessageRouting/v2.0/topicExchanges/ex1")
        await socket.send_str("{}")
        assert await closed(socket) == 4404


# -- subscribing -------------------------------------------------------------------------------------------------------


async def test_a_topic_is_heard_from_now_on_and_as_it_was_published() -> None:
    raw = '{ "a" :1.0,\n"ä": "\\u00e4" }'
    async with stage() as scene:
        scene.send("before")
        sockets_ = [await scene.listener(), await scene.listener({"type": "topic", "exchange": "ex1"})]
        publisher = await scene.publisher(**TOPIC)
        await publisher.send_str(raw)
        headers = {"DirectExchangeName": "ex1", "RoutingKey": "test"}
        await scene.client("POST", "/MessageRouting/v2.0/sendRequest?type=topic", data=raw.encode(), headers=headers)
        for socket in sockets_:
            assert [await socket.receive_str(timeout=5) for _ in range(2)] == [raw, raw]
            await socket.send_str("ignored")
        scene.send("other", topic="other")
        assert await said(sockets_[1]) == "other"
        assert scene.world.streams.books["websocket"].delivered == 5


async def test_what_a_rule_passes_is_heard() -> None:
    async with stage() as scene:
        await scene.client.sensor()
        await scene.client.rule()
        socket = await scene.listener()
        await scene.client.insert(
            {
                "sensor": "ts1",
                "feature": None,
                "record": [{"starttime": "03-JUL-2015 13:10:00 UTC", "output": [{"name": "obs1", "value": "1"}]}],
            }
        )
        assert (await said(socket))["observations"][0]["sensor"] == "ts1"


async def test_what_is_no_text_comes_as_bytes() -> None:
    async with stage() as scene:
        socket = await scene.listener()
        scene.broker.to_topic("ex1", "test", b"\xff", raw=b"\xff")
        assert await socket.receive_bytes(timeout=5) == b"\xff"


async def test_subscribers_of_a_queue_compete_and_what_none_has_taken_stays() -> None:
    async with stage(buffer=3) as scene:
        for number in range(10):
            scene.broker.to_queue("q1", number)
        first = await scene.listener(QUEUE)
        assert [await said(first) for _ in range(10)] == list(range(10))
        second = await scene.listener(QUEUE)
        for number in range(6):
            scene.broker.to_queue("q1", number)
        assert sorted([await said(first) for _ in range(3)] + [await said(second) for _ in range(3)]) == list(range(6))
        for socket in (first, second):
            await socket.close()
        await until(lambda: not scene.world.streams.live)
        scene.broker.to_queue("q1", "kept")
        assert await said(await scene.listener(QUEUE)) == "kept"


async def test_what_a_subscriber_of_a_queue_was_not_sent_goes_to_the_next_one() -> None:
    async with stage(buffer=3) as scene:
        first = await scene.listener(QUEUE)
        scene.world.streams.stall("subscribe")
        for number in range(5):
            scene.broker.to_queue("q1", number)
        scene.world.streams.kill()
        assert await closed(first) == 1006
        assert [await said(await scene.listener(QUEUE)) for _ in range(1)] == [0]


async def test_a_queue_can_be_filled_from_an_exchange() -> None:
    async with stage() as scene:
        sockets_ = [await scene.listener({**QUEUE, "exchange": "ex1"}) for _ in range(2)]
        scene.send(1, 2)
        assert sorted([await said(socket) for socket in sockets_]) == [1, 2]


# -- close codes -------------------------------------------------------------------------------------------------------


async def test_a_subscriber_that_is_too_far_behind_is_closed() -> None:
    async with stage(buffer=5) as scene:
        socket = await scene.listener()
        scene.world.streams.stall("subscribe")
        scene.send(*range(7))
        assert await closed(socket) == 4429


async def test_a_subscriber_that_does_not_read_is_closed_and_hears_it_when_it_reads() -> None:
    async with stage(buffer=1000) as scene:
        socket = await scene.listener(max_msg_size=0)
        assert socket._response.connection is not None
        lazy = socket._response.connection.transport
        assert lazy is not None  # nothing public stops reading
        lazy.pause_reading()
        for _ in range(1500):
            scene.send("x" * 20_000)
            await asyncio.sleep(0)
        await until(lambda: not scene.world.streams.live)
        lazy.resume_reading()
        assert await closed(socket) == 4429


@pytest.mark.parametrize("by", ["websocket", "mqtt"])
async def test_a_subscriber_that_reads_keeps_up_with_who_publishes_in_one_go(by: str) -> None:
    async with stage(buffer=20) as scene:
        world = scene.world
        socket = await scene.listener({"type": "topic", "exchange": "amq.topic"})
        if by == "websocket":
            publisher = await scene.publisher(type="topic", exchange="amq.topic", topic="a")
            for number in range(2000):
                await publisher.send_str(str(number))
            assert [(await said(socket)) for _ in range(2000)] == list(range(2000))
        else:
            async with Raw(world, *await asyncio.open_connection(world.mqtt.host, world.mqtt.port)) as raw:
                await raw.connect()
                raw.send(b"".join(publish("a", b"%d" % number) for number in range(2000)))
                assert [(await said(socket)) for _ in range(2000)] == list(range(2000))


@pytest.mark.parametrize("gone", ["exchange", "queue"])
async def test_a_subscriber_whose_source_is_deleted_hears_so(gone: str) -> None:
    async with stage() as scene:
        socket = await scene.listener(TOPIC if gone == "exchange" else QUEUE)
        if gone == "exchange":
            await scene.client("DELETE", "/MessageRouting/v2.0/topicExchanges/ex1")
        else:
            scene.broker.drop_queue("q1")
        assert await closed(socket) == 4404


async def test_a_revoked_key_closes_its_sockets_and_opens_none() -> None:
    async with stage() as scene:
        other = scene.world.add_tenant("user2")
        mine = [await scene.listener(), await scene.publisher(**TOPIC)]
        headers = {"x-api-key": scene.world.api_key}
        theirs = await scene.socket("/subscribe", QUEUE, headers={"x-api-key": other.api_key})
        scene.world.revoke()
        assert [await closed(socket) for socket in mine] == [1008, 1008]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await scene.socket("/subscribe", TOPIC, headers=headers)
        scene.world.services(other).mr.broker.to_queue("q1", 1)
        assert await said(theirs) == 1


async def test_the_end_of_the_sandbox_is_told() -> None:
    async with aiohttp.ClientSession() as http:
        async with Sandbox(TcupWorld()) as sandbox:
            world = sandbox.tcup
            headers = {"x-api-key": world.api_key}
            socket = await http.ws_connect(f"{world.url}{WS}/subscribe", params=QUEUE, headers=headers)
            closing = asyncio.create_task(closed(socket))
        assert await closing == 1001


# -- liveness ----------------------------------------------------------------------------------------------------------


async def test_pings_are_answered_and_sent() -> None:
    async with stage(ping=0.02) as scene:
        socket = await scene.listener(autoping=False)
        await socket.ping(b"mine")
        kinds: set[WSMsgType] = set()
        while kinds != {WSMsgType.PING, WSMsgType.PONG}:
            message = await socket.receive(timeout=5)
            kinds.add(message.type)
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            else:
                assert message.data == b"mine"


def test_who_answers_no_ping_is_dropped_after_twice_its_time() -> None:
    clock = VirtualClock()

    async def main() -> float:
        async with stage(clock=clock, mqtt_port=None) as scene:
            socket = await scene.listener(autoping=False)
            began = clock.now()
            assert (await socket.receive()).type is WSMsgType.PING
            assert clock.now() - began == pytest.approx(20, abs=0.5)
            assert (await socket.receive()).type is WSMsgType.CLOSED
            assert socket.close_code == 1006
            return clock.now() - began

    assert clock.run(main()) == pytest.approx(40, abs=0.5)


def test_who_answers_pings_stays_for_an_hour() -> None:
    clock = VirtualClock()

    async def main() -> str:
        async with stage(clock=clock, mqtt_port=None) as scene:
            socket = await scene.listener()
            hearing = asyncio.create_task(socket.receive_str())
            await asyncio.sleep(3600)
            scene.send("still here")
            return await hearing

    assert clock.run(main()) == '"still here"'


# -- what goes wrong on purpose ----------------------------------------------------------------------------------------


async def test_the_nth_connect_is_refused_with_a_status_and_a_time_to_wait() -> None:
    async with stage(faults=[Fault("status", status=429, retry_after=2, match=WS, after=1)]) as scene:
        await scene.listener()
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await scene.listener()
        assert caught.value.status == 429
        assert caught.value.headers is not None
        assert caught.value.headers["Retry-After"] == "2"
        await scene.listener()
        assert len(scene.world.streams.books["websocket"].connected_at) == 2


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 4404, 4429])
async def test_a_connection_is_accepted_and_closed_with_a_code(code: int) -> None:
    async with stage() as scene:
        scene.world.streams.faults.add(StreamFault("close", code=code, match="websocket", times=2))
        for socket in (await scene.listener(), await scene.publisher(**TOPIC)):
            assert await closed(socket) == code
        await scene.listener()
        scene.world.streams.leave(code)
        await until(lambda: not scene.world.streams.live)


async def test_a_publisher_is_cut_off_after_so_many_frames_with_acknowledgements_lost() -> None:
    async with stage() as scene:
        scene.world.streams.faults.add(
            StreamFault("swallow_ack", match="publish", after=1, times=2), StreamFault("kill", match="publish", after=3)
        )
        socket = await scene.publisher(**TOPIC)
        for number in range(5):
            await socket.send_str(str(number))
        assert (await said(socket))["seq"] == 1
        assert (await socket.receive(timeout=5)).type is WSMsgType.CLOSED
        assert socket.close_code == 1006
        assert scene.broker.routed("ex1") == [0, 1, 2]
        again = await scene.publisher(**TOPIC)
        await again.send_str("3")
        assert (await said(again))["seq"] == 1


async def test_an_acknowledgement_is_delayed_and_those_behind_it_too() -> None:
    async with stage() as scene:
        scene.world.streams.faults.add(StreamFault("delay_ack", seconds=0.05))
        socket = await scene.publisher(**TOPIC)
        began = asyncio.get_running_loop().time()
        for number in range(3):
            await socket.send_str(str(number))
        assert [(await said(socket))["seq"] for _ in range(3)] == [1, 2, 3]
        assert asyncio.get_running_loop().time() - began >= 0.05


async def test_a_subscriber_is_killed_after_so_many_frames() -> None:
    async with stage() as scene:
        scene.world.streams.faults.add(StreamFault("kill", after=2))
        socket = await scene.listener()
        scene.send(*range(5))
        assert [await said(socket) for _ in range(2)] == [0, 1]
        assert await closed(socket) == 1006


async def test_a_stalled_socket_goes_on_later() -> None:
    async with stage() as scene:
        scene.world.streams.faults.add(StreamFault("stall", after=1, seconds=0.05))
        socket = await scene.listener()
        scene.send(1, 2)
        assert [await said(socket) for _ in range(2)] == [1, 2]
        assert scene.world.streams.faults.hits == {"stall": 1}


async def test_nothing_is_left_behind_by_clients_that_do_not_read() -> None:
    gc.collect()
    tasks, open_before = asyncio.all_tasks(), open_sockets()
    raw = sockets.socket()
    loop = asyncio.get_running_loop()
    async with stage() as scene:
        host, _, port = scene.world.url.removeprefix("http://").partition(":")
        raw.setblocking(False)
        await loop.sock_connect(raw, (host, int(port)))
        head = (
            f"GET {WS}/subscribe?type=topic&exchange=ex1 HTTP/1.1\r\nHost: x\r\nx-api-key: {scene.world.api_key}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await loop.sock_sendall(raw, head.encode())
        await until(lambda: scene.world.streams.live)
        for _ in range(300):
            scene.send("x" * 100_000)
        await asyncio.sleep(0.05)
        began = loop.time()
    assert loop.time() - began < 3
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == tasks
    assert open_sockets() == open_before + 1
    raw.close()
