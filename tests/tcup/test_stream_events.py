"""Live data by server-sent events: viewed, gone on with after a break, ended where the server says so."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

import pytest
from helpers import fail_on_leaked_tasks, until, virtual
from loopback import Loopback, Reply, Server

from asyncconn import Hub
from asyncconn.errors import (
    Forbidden,
    NotFound,
    ProtocolError,
    StreamLost,
)
from asyncconn.sandbox import Fault, StreamFault
from asyncconn.sandbox.tcup.streams import events as sandbox_events
from asyncconn.tcup import Tcup
from asyncconn.tcup.streams import events as events_module

from .scene import Scene, client
from .stream_scene import SOON, TOPIC, Steady, publish, stage, taken

if TYPE_CHECKING:
    from asyncconn import VirtualClock
    from asyncconn.core.supervise import Change

SSE = "/SSE"
STREAM = {"Content-Type": "text/event-stream", "Content-Length": "10000000"}


def books(made: Scene) -> Any:
    return made.world.streams.books["sse"]


def told(*events: bytes, **headers: str) -> Reply:
    """A stream that begins so and breaks off."""
    return Reply(body=b"".join(events), headers={**STREAM, **headers}, close=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox asks for three seconds before each reconnect."""
    monkeypatch.setattr(sandbox_events, "_RETRY", b"retry: 10\n\n")


# -- viewing -----------------------------------------------------------------------------------------------------------


async def test_a_topic_and_a_queue_are_viewed() -> None:
    async with stage() as made:
        stream = made.client.stream
        async with stream.events(**TOPIC) as topic, stream.events(queue="q1") as queue:
            publish(made, {"n": 1}, {"n": "ä\nb"})
            await made.client.routing.send_queue({"n": 3}, queue="q1")
            first = await anext(topic)
            assert (first.json, first.event, first.topic) == ({"n": 1}, "message", "test")
            assert await taken(topic, 1) == [{"n": "ä\nb"}]
            assert await taken(queue, 1) == [{"n": 3}]


async def test_the_feed_of_observations_is_viewed() -> None:
    async with stage(auto_register=True) as made:
        async with made.client.stream.feed() as messages:
            await made.client.observations.insert("ts1", {"obs2": 31}, "tf1")
            message = await anext(messages)
        assert "ts1" in message.payload.decode()


async def test_after_a_break_it_goes_on_after_the_last_that_was_handed_over() -> None:
    async with stage() as made, made.client.stream.events(**TOPIC, reconnect=SOON) as messages:
        publish(made, *range(10))
        assert await taken(messages, 4) == [0, 1, 2, 3]
        await until(lambda: len(messages.inbox) == 6)
        made.world.streams.kill("sse")
        await until(lambda: books(made).connects == 2)
        publish(made, 10, 11)
        assert await taken(messages, 8) == list(range(4, 12))
        assert messages.gaps == ()
        publish(made, 12)
        assert await taken(messages, 1) == [12]


async def test_last_event_id_is_that_of_the_last_that_was_handed_over() -> None:
    first = told(b"id: 1\ndata: 1\n\nid: 2\ndata: 2\n\nid: 3\ndata: 3\n\n")
    second = told(b"id: 2\ndata: 2\n\nid: 3\ndata: 3\n\nid: 4\ndata: 4\n\n")
    async with Loopback(first, second, otherwise=Reply(status=204, body=b"")) as server, Hub() as hub:
        stream = Tcup(server.url, "k" * 64, hub=hub).stream
        async with stream.events(**TOPIC, reconnect=Steady(initial=0.3, maximum=0.3)) as messages:
            assert await taken(messages, 1) == [1]
            await until(lambda: len(server.seen) == 2)
            assert [message.json async for message in messages] == [2, 3, 4]
    assert [seen.headers.get("last-event-id") for seen in server.seen] == [None, "1", "4"]
    assert server.seen[0].headers["accept"] == "text/event-stream"


async def test_an_earlier_run_is_gone_on_with() -> None:
    async with stage() as made:
        publish(made, *range(5))
        async with made.client.stream.events(**TOPIC, last_id="2") as messages:
            assert await taken(messages, 3) == [2, 3, 4]


async def test_what_is_not_repeated_is_a_gap() -> None:
    async with stage() as made:
        async with made.client.stream.events(queue="q1", reconnect=SOON) as queue:
            made.world.streams.kill("sse")
            await until(lambda: queue.gaps)
        async with made.client.stream.events(**TOPIC, reconnect=SOON) as nothing_yet:
            made.world.streams.kill("sse")
            await until(lambda: nothing_yet.gaps)


async def test_a_slow_hand_over_stops_the_reading_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "_SILENCE", 0.2)
    async with stage() as made:
        async with made.client.stream.events(**TOPIC, max_pending=10, reconnect=SOON) as messages:
            publish(made, *({"n": n, "ballast": "x" * 20_000} for n in range(500)))
            first = await taken(messages, 1)
            await asyncio.sleep(0.6)  # three times the silence that would be its end
            assert len(messages.inbox) == 10
            found = first + await taken(messages, 499)
        assert [one["n"] for one in found] == list(range(500))
        assert books(made).connects == 1


async def test_silence_is_the_end_of_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "_SILENCE", 0.2)
    async with stage() as made:
        lost: list[Change] = []
        async with made.client.stream.events(**TOPIC, reconnect=SOON) as messages:
            messages.on("lost", lost.append)
            await until(lambda: books(made).connects == 2)
        assert isinstance(lost[0].error, StreamLost)


async def test_comments_keep_it_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "_SILENCE", 0.3)
    async with stage(keep_alive=0.1) as made:
        async with made.client.stream.events(**TOPIC, reconnect=SOON):
            await asyncio.sleep(0.9)  # three times the silence that would be its end
        assert books(made).connects == 1


# -- ends --------------------------------------------------------------------------------------------------------------


async def test_the_pause_that_the_server_asks_for_is_kept() -> None:
    async with (
        Loopback(told(b"retry: 300\n\ndata: 1\n\n"), otherwise=Reply(status=204, body=b"")) as server,
        Hub() as hub,
    ):
        stream = Tcup(server.url, "k" * 64, hub=hub).stream
        async with stream.events(**TOPIC, reconnect=SOON) as messages:
            assert [message.json async for message in messages] == [1]
    assert server.seen[1].at - server.seen[0].at >= 0.3


async def test_204_is_the_end_and_no_error() -> None:
    async with stage() as made, made.client.stream.events(**TOPIC, reconnect=SOON) as messages:
        publish(made, 1)
        await until(lambda: len(messages.inbox))
        made.fail(Fault("status", match=SSE, status=204))
        made.world.streams.kill("sse")
        assert [message.json async for message in messages] == [1]
        assert messages.state == "closed"


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_what_passes_is_tried_again(status: int) -> None:
    async with stage() as made:
        made.fail(Fault("status", match=SSE, status=status, retry_after=0.01, times=2))
        async with made.client.stream.events(**TOPIC, reconnect=SOON) as messages:
            publish(made, 1)
            assert await taken(messages, 1) == [1]


async def test_other_refusals_are_final() -> None:
    async with stage() as made:
        with pytest.raises(NotFound, match="no topic exchange"):
            async with made.client.stream.events(exchange="ex9"):
                pass
        async with made.client.stream.events(**TOPIC, reconnect=SOON) as messages:
            made.fail(Fault("status", match=SSE, status=403))
            made.world.streams.kill("sse")
            with pytest.raises(Forbidden):
                await taken(messages, 1)
        assert books(made).connects == 1


async def test_an_event_beyond_the_bound_is_a_clear_end() -> None:
    big = b"data: " + b"x" * 1_100_000 + b"\n\n"
    async with Loopback(otherwise=told(b"id: 1\ndata: 1\n\n", big)) as server, Hub() as hub:
        stream = Tcup(server.url, "k" * 64, hub=hub).stream
        async with stream.events(**TOPIC, reconnect=SOON) as messages:
            assert await taken(messages, 1) == [1]
            with pytest.raises(ProtocolError, match="takes more than"):
                await taken(messages, 1)
    assert len(server.seen) == 1


async def test_a_document_as_large_as_a_frame_fits() -> None:
    async with stage() as made, made.client.stream.events(**TOPIC) as messages:
        publish(made, {"x": "x" * (1024 * 1024 - 8)})
        assert len((await anext(messages)).payload) == 1024 * 1024


async def test_what_is_no_stream_of_events_is_a_clear_error() -> None:
    async with Loopback(otherwise=Reply(body=b"[]")) as server, Hub() as hub:
        with pytest.raises(ProtocolError, match="text/event-stream"):
            async with Tcup(server.url, "k" * 64, hub=hub).stream.events(**TOPIC):
                pass
    assert len(server.seen) == 1


async def test_a_page_may_stand_in_for_a_stream_for_a_while() -> None:
    async with stage() as made, made.client.stream.events(**TOPIC, reconnect=SOON) as messages:
        made.fail(Fault("html_200", match=SSE))
        made.world.streams.kill("sse")
        await until(lambda: books(made).connects == 2)
        publish(made, 1)
        assert await taken(messages, 1) == [1]


async def test_a_token_goes_along() -> None:
    async with stage(auth_mode="jwt") as made:
        tcup = client(made.sandbox, made.hub, auth_mode="jwt", symmetric_key=made.world.tenant.symmetric_key)
        async with tcup.stream.events(**TOPIC) as messages:
            publish(made, 1)
            assert await taken(messages, 1) == [1]


@virtual
async def test_a_server_that_accepts_and_closes_for_ten_seconds_is_not_hammered(clock: VirtualClock) -> None:
    random.seed(1)
    async with stage(clock=clock) as made:
        made.world.streams.faults.add(StreamFault("kill", match="sse", times=None))
        async with made.client.stream.events(**TOPIC):
            await asyncio.sleep(10.0)
        assert 2 <= books(made).connects <= 8


async def test_a_hub_that_closes_ends_what_is_left_open() -> None:
    async with stage() as made:
        async with Hub() as hub:
            messages = await client(made.sandbox, hub).stream.events(**TOPIC).__aenter__()
            publish(made, 1)
            await until(lambda: len(messages.inbox))
        assert [message.json async for message in messages] == [1]
        assert messages.state == "closed"


async def test_fifty_reconnects_leave_nothing_behind() -> None:
    async with stage() as made:
        made.world.streams.faults.add(StreamFault("kill", match="sse", times=50))
        async with made.client.stream.events(**TOPIC, reconnect=Steady(initial=0.001, maximum=0.002)):
            await until(lambda: books(made).connects == 51)
        assert not any("tcup:events" in task.get_name() for task in asyncio.all_tasks())


@pytest.mark.parametrize("turns", [*range(12), 20, 40])
async def test_a_cancellation_anywhere_leaves_nothing_behind(turns: int) -> None:
    async with stage() as made:

        async def work() -> None:
            async with made.client.stream.events(**TOPIC) as messages:
                await anext(messages)

        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        assert not any("tcup:events" in one.get_name() for one in asyncio.all_tasks())


async def test_leaving_while_a_silent_server_is_asked_leaves_nothing_behind() -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    async with Server(silent) as server, Hub() as hub:
        task = asyncio.create_task(Tcup(server.url, "k" * 64, hub=hub).stream.events(**TOPIC).__aenter__())
        await asked.wait()
        task.cancel()
        await asyncio.wait({task})
    await fail_on_leaked_tasks()


async def test_no_log_shows_a_credential_or_a_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with stage() as made:
        async with made.client.stream.events(**TOPIC, reconnect=SOON) as messages:
            publish(made, {"private": "matter"})
            await taken(messages, 1)
            made.world.streams.kill("sse")
            await until(lambda: books(made).connects == 2)
        assert made.world.api_key not in caplog.text
        assert "matter" not in caplog.text
