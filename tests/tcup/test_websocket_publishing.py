"""Live data by WebSocket, published: in order, acknowledged, over breaks, and told of what could not arrive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from helpers import until

from asyncconn import Hub
from asyncconn.errors import (
    BadRequest,
    BufferClosed,
    BufferFull,
    ConfigError,
    ConnectionLost,
    DeliveryFailed,
    ProtocolError,
    RecordTooLarge,
    SubscriptionRefused,
)
from asyncconn.sandbox import Fault, StreamFault

from .scene import client
from .stream_scene import SOON, TOPIC, firsts, published, stage, taken
from .websocket_scene import WS, books, break_off, serving

if TYPE_CHECKING:
    from aiohttp import web


async def test_documents_are_published_in_order_and_acknowledged() -> None:
    async with stage() as made:
        async with made.client.stream.publisher(**TOPIC) as publisher:
            last = [await publisher.send({"n": n}) for n in range(300)][-1]
            await last.done
        assert published(made) == [{"n": n} for n in range(300)]
        assert (publisher.stats.delivered, publisher.stats.pending) == (300, 0)


async def test_direct_exchanges_and_queues_are_published_to() -> None:
    async with stage() as made:
        stream = made.client.stream
        async with stream.subscribe(queue="q1") as queue:
            async with stream.publisher(queue="q1") as publisher:
                await publisher.send({"n": 1})
            async with stream.publisher() as direct, stream.publisher(routing_key="key") as other:
                await direct.send({"n": 2})
                await other.send({"n": 3})
            assert await taken(queue, 1) == [{"n": 1}]
        assert (direct.stats.delivered, other.stats.delivered) == (1, 1)


@pytest.mark.parametrize("cut", [1, 7, 40])
async def test_what_a_break_left_unacknowledged_goes_out_again_in_order(cut: int) -> None:
    async with stage() as made:
        faults = made.world.streams.faults
        faults.add(StreamFault("swallow_ack", match="websocket", after=cut // 2, times=cut))
        faults.add(StreamFault("kill", match="websocket", after=cut))
        async with made.client.stream.publisher(**TOPIC, max_unacked=20, reconnect=SOON) as publisher:
            sent = [await publisher.send(n) for n in range(100)]
            made.world.streams.faults.clear()
            if cut > 20:  # the window is full of what nobody acknowledges: it does not come so far
                break_off(made)
            await asyncio.gather(*(one.done for one in sent))
        assert firsts(published(made)) == list(range(100))
        assert publisher.stats.delivered == 100
        assert len(published(made)) <= 100 + 20 * (books(made).connects - 1)


async def test_without_resend_what_is_unacknowledged_is_unknown() -> None:
    async with stage() as made:
        made.world.streams.faults.add(StreamFault("swallow_ack", match="websocket", times=None))
        failures: list[DeliveryFailed] = []
        async with made.client.stream.publisher(**TOPIC, resend=False, reconnect=SOON) as publisher:
            publisher.on("error", failures.append)
            await publisher.send({"n": 1})
            await until(lambda: published(made))
            break_off(made)
            await until(lambda: failures)
        assert published(made) == [{"n": 1}]
        assert (publisher.stats.unknown, failures[0].maybe_delivered, failures[0].records) == (1, True, [{"n": 1}])


async def test_at_most_so_many_frames_are_unacknowledged() -> None:
    async with stage() as made:
        made.world.streams.faults.add(StreamFault("delay_ack", match="websocket", seconds=0.2))
        async with made.client.stream.publisher(**TOPIC, max_unacked=5, max_pending=8, overflow="raise") as publisher:
            for n in range(8):
                await publisher.send(n)
            with pytest.raises(BufferFull):
                await publisher.send(8)
            await until(lambda: len(published(made)) == 1)
        assert published(made) == list(range(8))


async def test_a_refused_document_is_told_and_the_others_arrive() -> None:
    async def picky(socket: web.WebSocketResponse) -> None:
        number = 0
        async for frame in socket:
            number += 1
            code, said = (400, "wrong") if "bad" in frame.data else (200, "Published")
            await socket.send_json({"seq": number, "code": code, "message": said})

    async with serving(picky) as stream:
        publisher = await stream.publisher(**TOPIC).__aenter__()
        await publisher.send({"n": 1})
        refused = await publisher.send({"bad": 2})
        await publisher.send({"n": 3})
        with pytest.raises(BadRequest, match="wrong"):
            await refused.done
        with pytest.raises(DeliveryFailed, match="rejected") as caught:
            await publisher.__aexit__(None, None, None)
        assert caught.value.records == [{"bad": 2}]
        assert (publisher.stats.delivered, publisher.stats.rejected) == (2, 1)


@pytest.mark.parametrize("said", ["nonsense", '{"seq": 7, "code": 200}', '{"seq": 1}', "[1]"])
async def test_an_acknowledgement_of_nothing_ends_it(said: str) -> None:
    async def confused(socket: web.WebSocketResponse) -> None:
        await socket.receive()
        await socket.send_str(said)
        await socket.receive()

    async with serving(confused) as stream:
        with pytest.raises(DeliveryFailed) as caught:
            async with stream.publisher(**TOPIC, reconnect=SOON) as publisher:
                await publisher.send({"n": 1})
        assert (publisher.stats.unknown, caught.value.maybe_delivered) == (1, True)
        assert isinstance(caught.value.__cause__, ConnectionLost)
        assert isinstance(caught.value.__cause__.__cause__, ProtocolError)


async def test_a_frame_that_is_too_large_never_leaves() -> None:
    async with stage() as made:
        async with made.client.stream.publisher(**TOPIC) as publisher:
            with pytest.raises(RecordTooLarge, match="1,048,576"):
                await publisher.send({"x": "x" * 1024 * 1024})
            with pytest.raises(ConfigError):
                await publisher.send(float("nan"))
            await publisher.send({"x": "x" * (1024 * 1024 - 8)})
        assert books(made).connects == 1
        assert len(published(made)) == 1


async def test_a_publisher_delivers_rows_and_reports_of_these() -> None:
    async with stage() as made:
        async with made.client.stream.publisher(**TOPIC) as publisher:
            await publisher.send({"n": 0})
            report = await publisher.deliver([1, {"x": "x" * 2_000_000}, 2])
        assert (report.delivered, report.rejected, report.accepted) == (2, 1, 3)
        assert isinstance(report.rejections[0].reason, RecordTooLarge)
        assert published(made) == [{"n": 0}, 1, 2]


async def test_documents_are_taken_while_the_server_is_away() -> None:
    async with stage() as made:
        made.fail(Fault("drop_before", match=WS, times=3))
        async with made.client.stream.publisher(**TOPIC, reconnect=SOON) as publisher:
            assert publisher.state != "live"
            for n in range(5):
                await publisher.send(n)
        assert published(made) == list(range(5))


async def test_what_is_accepted_when_it_ends_for_good_is_reported() -> None:
    async with stage() as made:
        publisher = await made.client.stream.publisher(**TOPIC, reconnect=SOON).__aenter__()
        made.world.streams.stall("websocket")
        await publisher.send(1)
        made.world.streams.leave(1008, "websocket")
        await until(lambda: publisher.stats.unknown == 1)
        with pytest.raises(BufferClosed) as closed:
            await publisher.send(2)
        assert isinstance(closed.value.__cause__, SubscriptionRefused)
        with pytest.raises(DeliveryFailed) as caught:
            await publisher.__aexit__(None, None, None)
        assert caught.value.records == [1]
        assert caught.value.maybe_delivered


async def test_a_hub_that_closes_delivers_and_ends_what_is_left_open() -> None:
    async with stage() as made:
        async with Hub() as hub:
            tcup = client(made.sandbox, hub)
            publisher = await tcup.stream.publisher(**TOPIC).__aenter__()
            messages = await tcup.stream.subscribe(**TOPIC).__aenter__()
            await publisher.send(1)
            await until(lambda: len(messages.inbox))
        assert hub.report is not None
        assert hub.report.reports["tcup"].delivered == 1
        assert [message.json async for message in messages] == [1]
        assert (publisher.state, messages.state) == ("closed", "closed")
