"""Live data by WebSocket: heard, kept up over breaks, and ended where it cannot get better."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from helpers import fail_on_leaked_tasks, open_sockets, until, virtual
from loopback import Loopback, Reply, Server

from asyncconn import Hub
from asyncconn.core.buffer.receipts import FlushReport
from asyncconn.errors import (
    AsyncConnError,
    ConfigError,
    ConnectFailed,
    Forbidden,
    LifecycleError,
    NotFound,
    ProtocolError,
    StreamLost,
    SubscriptionRefused,
)
from asyncconn.sandbox import Fault, StreamFault
from asyncconn.tcup import Tcup

from .scene import client
from .stream_scene import SOON, TOPIC, Steady, publish, stage, taken
from .websocket_scene import WS, books, break_off, serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn import VirtualClock
    from asyncconn.core.supervise import Change


# -- hearing -----------------------------------------------------------------------------------------------------------


async def test_a_topic_is_heard_from_the_moment_of_subscribing() -> None:
    async with stage() as made:
        publish(made, {"n": 0})
        async with made.client.stream.subscribe(**TOPIC) as messages:
            publish(made, {"n": 1}, {"n": 2})
            publish(made, {"n": 3}, topic="other")
            publish(made, {"n": 4})
            found = await taken(messages, 3)
        assert found == [{"n": 1}, {"n": 2}, {"n": 4}]
        assert messages.gaps == ()


async def test_all_topics_of_an_exchange_and_a_queue_are_heard() -> None:
    async with stage() as made:
        stream = made.client.stream
        async with stream.subscribe(exchange="ex1") as everything, stream.subscribe(queue="q1") as queue:
            publish(made, 1)
            publish(made, 2, topic="other")
            await made.client.routing.send_queue({"n": 3}, queue="q1")
            assert await taken(everything, 2) == [1, 2]
            assert await taken(queue, 1) == [{"n": 3}]


async def test_what_is_no_json_comes_as_bytes() -> None:
    async with stage() as made:
        async with made.client.stream.subscribe(**TOPIC) as messages:
            made.world.mr.broker.to_topic("ex1", "test", None, raw=b"plain")
            message = await anext(messages)
        assert (message.json, message.payload, message.topic) == (None, b"plain", "test")


async def test_a_break_is_told_with_its_gap_and_the_hearing_goes_on() -> None:
    async with stage() as made:
        seen: list[str] = []

        def noting(name: str) -> Callable[[object], None]:
            return lambda _: seen.append(name)

        async with made.client.stream.subscribe(**TOPIC, reconnect=SOON) as messages:
            for name in ("lost", "live", "gap"):
                messages.on(name, noting(name))
            publish(made, 1)
            assert await taken(messages, 1) == [1]
            break_off(made)
            await until(lambda: len(seen) == 3)
            publish(made, 2)
            assert await taken(messages, 1) == [2]
            assert messages.state == "live"
        assert (seen[0], sorted(seen[1:])) == ("lost", ["gap", "live"])
        assert [gap.connection for gap in messages.gaps] == [2]


async def test_what_had_come_before_a_break_is_handed_out() -> None:
    async with stage() as made, made.client.stream.subscribe(**TOPIC, reconnect=SOON, max_pending=2) as messages:
        publish(made, *range(10))
        await until(lambda: books(made).delivered == 10)
        break_off(made)
        assert await taken(messages, 10) == list(range(10))


@virtual
async def test_a_hand_over_of_three_ping_periods_loses_nothing(clock: VirtualClock) -> None:
    """Neither by our own pings, whose answers lie behind what nobody reads, nor by the server's, which do, too."""
    async with stage(clock=clock) as made:
        async with made.client.stream.subscribe(**TOPIC, max_pending=10) as messages:
            publish(made, *({"n": n, "ballast": "x" * 20_000} for n in range(900)))
            first = await taken(messages, 1)
            await asyncio.sleep(3 * 20.0 + 5.0)
            assert len(messages.inbox) == 10
            assert books(made).delivered < 900  # the server still has some
            found = first + await taken(messages, 899)
        assert [one["n"] for one in found] == list(range(900))
        assert books(made).connects == 1
        assert messages.gaps == ()


async def test_a_server_that_says_nothing_after_a_ping_is_dead() -> None:
    async with stage() as made:
        lost: list[Change] = []
        async with made.client.stream.subscribe(**TOPIC, ping=0.1, reconnect=SOON) as messages:
            messages.on("lost", lost.append)
            made.world.streams.stall("websocket")
            await until(lambda: books(made).connects == 2)
        assert isinstance(lost[0].error, StreamLost)
        assert "after a ping" in str(lost[0].error)


async def test_a_server_that_sends_is_alive_whether_it_answers_pings_or_not() -> None:
    async def deaf(socket: web.WebSocketResponse) -> None:
        for number in range(40):
            await socket.send_str(str(number))
            await asyncio.sleep(0.01)
        await socket.close(code=1000)

    async with serving(deaf, autoping=False) as stream, stream.subscribe(**TOPIC, ping=0.05) as messages:
        assert [message.json async for message in messages] == list(range(40))
        assert messages.gaps == ()


async def test_what_came_before_the_end_is_handed_over_in_spite_of_it() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        for number in range(40):
            await socket.send_str(str(number))
        await socket.close(code=1000)

    async with serving(talk) as stream, stream.subscribe(**TOPIC, max_pending=5, ping=0.02) as messages:
        first = await taken(messages, 1)
        await asyncio.sleep(0.2)  # pings on a connection that is over by now
        assert first + [message.json async for message in messages] == list(range(40))


async def test_messages_of_one_packet_come_in_order_in_pieces_or_whole() -> None:
    whole, begun, going_on, ended = b"\x81\x01%d", b"\x01\x01%d", b"\x00\x01%d", b"\x80\x01%d"
    packet = (whole + begun + going_on + ended + whole + begun + ended + whole) % (1, 2, 3, 4, 5, 6, 7, 8)

    async def talk(socket: web.WebSocketResponse) -> None:
        request = socket._req  # what it sends itself is never in pieces
        transport = None if request is None else request.transport
        assert transport is not None
        transport.write(packet)
        await socket.close(code=1000)

    async with serving(talk) as stream, stream.subscribe(**TOPIC) as messages:
        assert [message.json async for message in messages] == [1, 234, 5, 67, 8]


async def test_a_server_that_overflows_is_connected_again_and_the_gap_is_told() -> None:
    async with stage(buffer=5) as made, made.client.stream.subscribe(**TOPIC, reconnect=SOON) as messages:
        publish(made, *range(20))  # before the server has a turn to send
        await until(lambda: messages.gaps)
        publish(made, 99)
        async with asyncio.timeout(5):
            while (await anext(messages)).json != 99:
                pass


@pytest.mark.parametrize("code", [1001, 1011, 4429, 3000])
@virtual
async def test_a_server_that_accepts_and_closes_for_ten_seconds_is_not_hammered(clock: VirtualClock, code: int) -> None:
    random.seed(code)
    async with stage(clock=clock) as made:
        made.world.streams.faults.add(StreamFault("close", match="websocket", code=code, times=None))
        async with made.client.stream.subscribe(**TOPIC):
            await asyncio.sleep(10.0)
        assert 2 <= books(made).connects <= 8


@pytest.mark.parametrize("code", [1008, 4404])
async def test_what_cannot_get_better_ends_it_after_one_connection(code: int) -> None:
    async with stage() as made:
        made.world.streams.faults.add(StreamFault("close", match="websocket", after=1, code=code, times=None))
        async with made.client.stream.subscribe(**TOPIC, reconnect=SOON) as messages:
            publish(made, 1)
            assert await taken(messages, 1) == [1]
            with pytest.raises(SubscriptionRefused, match=str(code)):
                await taken(messages, 1)
            assert messages.state == "closed"
        assert books(made).connects == 1


async def test_a_revoked_key_and_a_deleted_exchange_end_it() -> None:
    async with stage() as made:
        made.world.mr.broker.create("ex2")
        async with made.client.stream.subscribe(exchange="ex2") as messages:
            await made.client.routing.exchanges.delete("ex2")
            with pytest.raises(SubscriptionRefused, match="4404"):
                await taken(messages, 1)
        async with made.client.stream.subscribe(**TOPIC) as messages:
            made.world.revoke()
            with pytest.raises(SubscriptionRefused, match="1008"):
                await taken(messages, 1)


async def test_a_server_that_closes_in_order_ends_the_iteration() -> None:
    async with stage() as made, made.client.stream.subscribe(**TOPIC) as messages:
        publish(made, 1)
        await until(lambda: books(made).delivered)
        made.world.streams.leave(1000, "websocket")
        assert [message.json async for message in messages] == [1]


async def test_a_message_beyond_the_bound_is_a_clear_end() -> None:
    async def verbose(socket: web.WebSocketResponse) -> None:
        await socket.send_str("1")
        await socket.send_str("x" * (1024 * 1024 + 1))
        await socket.receive()

    async with serving(verbose) as stream, stream.subscribe(**TOPIC, reconnect=SOON) as messages:
        assert await taken(messages, 1) == [1]
        with pytest.raises(ProtocolError, match="1,048,576 bytes"):
            await taken(messages, 1)


# -- refusals ----------------------------------------------------------------------------------------------------------


async def test_a_refused_upgrade_is_the_error_that_it_means() -> None:
    async with stage() as made:
        with pytest.raises(NotFound, match="no topic exchange"):
            async with made.client.stream.subscribe(exchange="ex9"):
                pass
        with pytest.raises(NotFound, match="no topic exchange"):
            async with made.client.stream.publisher(exchange="ex9", topic="test"):
                pass
        stranger = Tcup(made.sandbox.url, "wrong" * 8, hub=made.hub)
        with pytest.raises(Forbidden):
            async with stranger.stream.subscribe(**TOPIC):
                pass


@virtual
async def test_too_many_requests_are_waited_for_as_long_as_the_server_says(clock: VirtualClock) -> None:
    async with stage(clock=clock) as made:
        made.fail(Fault("status", match=WS, status=429, retry_after=20))
        began = clock.now()
        async with made.client.stream.subscribe(**TOPIC, reconnect=SOON):
            assert 20.0 <= clock.now() - began <= 21.0


@pytest.mark.parametrize("fault", [Fault("status", status=503, times=2), Fault("drop_before", times=2)])
async def test_what_passes_is_tried_again(fault: Fault) -> None:
    async with stage() as made:
        made.fail(fault)
        async with made.client.stream.subscribe(**TOPIC, reconnect=SOON) as messages:
            publish(made, 1)
            assert await taken(messages, 1) == [1]
        assert messages.gaps == ()  # nothing was missed before the first


async def test_a_page_is_no_websocket_but_may_stand_in_for_one_for_a_while() -> None:
    async with stage() as made:
        async with made.client.stream.subscribe(**TOPIC, reconnect=SOON) as messages:
            made.fail(Fault("html_200", match=WS))
            break_off(made)
            await until(lambda: books(made).connects == 2)
            publish(made, 1)
            assert await taken(messages, 1) == [1]
        made.fail(Fault("html_200", match=WS))
        with pytest.raises(ProtocolError):
            async with made.client.stream.subscribe(**TOPIC, reconnect=SOON):
                pass


async def test_the_credential_follows_no_redirect() -> None:
    async with (
        Loopback() as elsewhere,
        Loopback(otherwise=Reply(status=307, headers={"Location": f"{elsewhere.url}/x"})) as server,
        Hub() as hub,
    ):
        tcup = Tcup(server.url, "k" * 64, hub=hub)
        with pytest.raises(ProtocolError, match="redirected"):
            async with tcup.stream.subscribe(**TOPIC):
                pass
        assert (len(server.seen), len(elsewhere.seen)) == (1, 0)
        assert server.seen[0].headers["x-api-key"] == "k" * 64


async def test_a_token_goes_along_and_is_made_anew_once() -> None:
    async with stage(auth_mode="jwt") as made:
        tcup = client(made.sandbox, made.hub, auth_mode="jwt", symmetric_key=made.world.tenant.symmetric_key)
        made.fail(Fault("status", match=WS, status=401))
        async with tcup.stream.subscribe(**TOPIC) as messages:
            publish(made, 1)
            assert await taken(messages, 1) == [1]


@pytest.mark.parametrize(
    "where", [{}, {"topic": "test"}, {"exchange": "ex1", "topic": "test", "queue": "q1"}, {"exchange": ""}]
)
async def test_what_names_no_source_is_refused_before(where: dict[str, Any]) -> None:
    async with Hub() as hub:
        stream = Tcup("http://127.0.0.1:1", "k" * 64, hub=hub).stream
        with pytest.raises(ConfigError):
            stream.subscribe(**where)
        with pytest.raises(ConfigError):
            stream.publisher(**{"routing_key": "k", "topic": "t", **where})


# -- ends --------------------------------------------------------------------------------------------------------------


async def test_fifty_reconnects_leave_nothing_behind() -> None:
    async with stage() as made:
        before = open_sockets()
        made.world.streams.faults.add(StreamFault("kill", match="websocket", times=50))
        async with made.client.stream.subscribe(**TOPIC, reconnect=Steady(initial=0.001, maximum=0.002)):
            await until(lambda: books(made).connects == 51)
        await until(lambda: open_sockets() == before)


@pytest.mark.parametrize("turns", [*range(12), 20, 40, 80])
async def test_a_cancellation_anywhere_leaves_nothing_behind(turns: int) -> None:
    async with stage() as made:
        before = open_sockets()

        async def work() -> None:
            stream = made.client.stream
            async with stream.subscribe(**TOPIC) as messages, stream.publisher(**TOPIC) as publisher:
                await publisher.send(1)
                await anext(messages)
                await anext(messages)

        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await until(lambda: open_sockets() == before)


async def test_leaving_while_a_silent_server_is_asked_leaves_nothing_behind() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with Server(silent) as server, Hub() as hub:
        before = open_sockets()
        tcup = Tcup(server.url, "k" * 64, hub=hub)
        task = asyncio.create_task(tcup.stream.subscribe(**TOPIC).__aenter__())
        await until(lambda: open_sockets() > before)
        task.cancel()
        await asyncio.wait({task})
        await until(lambda: open_sockets() == before)
    await fail_on_leaked_tasks()


@virtual
async def test_a_full_inbox_is_left_at_once(clock: VirtualClock) -> None:
    async with stage(clock=clock) as made:
        async with made.client.stream.subscribe(**TOPIC, max_pending=1) as messages:
            publish(made, *({"ballast": "x" * 10_000} for _ in range(900)))
            await taken(messages, 1)
            leaving = clock.now()
        assert clock.now() - leaving < 1.0  # the library's patience is two seconds


async def test_leaving_says_goodbye_and_waits_no_longer_than_for_a_connection() -> None:
    codes: list[int | None] = []

    async def listening(socket: web.WebSocketResponse) -> None:
        await socket.receive()
        codes.append(socket.close_code)

    async with serving(listening) as stream:
        async with stream.subscribe(**TOPIC):
            pass
        await until(lambda: codes)
    assert codes == [1000]

    async with stage() as made:
        before = open_sockets()
        async with made.client.stream.subscribe(**TOPIC, reconnect=Steady(timeout=0.3)):
            made.world.streams.stall("websocket")
        async with asyncio.timeout(1.0):
            await until(lambda: open_sockets() <= before + 1)  # the sandbox keeps its end


async def test_a_subscription_is_delivered_into_a_sink() -> None:
    async with stage() as made:
        kept: list[Any] = []

        class Sink:
            async def deliver(self, rows: Any) -> FlushReport:
                kept.extend(rows)
                return FlushReport(delivered=len(rows))

        async with Hub() as hub:
            tcup = client(made.sandbox, hub)
            delivering = asyncio.create_task(tcup.stream.deliver(**TOPIC, into=Sink()))
            await until(lambda: books(made).connects)
            publish(made, {"n": 1}, {"n": 2}, 3)
            await until(lambda: len(kept) == 2)
        report = await delivering
        assert kept == [{"n": 1}, {"n": 2}]
        assert (report.delivered, report.rejected) == (2, 1)


async def test_closing_while_it_reconnects_ends_at_once() -> None:
    async with stage() as made:
        async with made.client.stream.subscribe(**TOPIC, reconnect=Steady(initial=60.0, maximum=60.0)) as messages:
            break_off(made)
            await until(lambda: messages.state == "lost")
        assert messages.state == "closed"


async def test_a_refused_connection_is_one_that_may_come() -> None:
    async with Hub() as hub:
        tcup = Tcup("http://127.0.0.1:9", "k" * 64, hub=hub)
        messages = tcup.stream.subscribe(**TOPIC, reconnect=Steady(initial=0.01, maximum=0.01, attempts=3))
        with pytest.raises(ConnectFailed, match="refused"):
            async with messages:
                pass
        with pytest.raises(LifecycleError, match="before"):
            await messages.__aenter__()
        with pytest.raises(LifecycleError, match="not open"):
            await tcup.stream.publisher().send(1)


async def test_no_log_shows_a_credential_or_a_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with stage() as made:
        async with made.client.stream.subscribe(**TOPIC) as messages, made.client.stream.publisher(**TOPIC) as out:
            await out.send({"private": "matter"})
            await taken(messages, 1)
        with pytest.raises(AsyncConnError) as caught:
            async with made.client.stream.subscribe(exchange="ex9"):
                pass
        assert made.world.api_key not in caplog.text
        assert made.world.api_key not in str(caught.value)
        ours = [record for record in caplog.records if not record.name.startswith("aiohttp")]
        assert not any("matter" in record.getMessage() for record in ours)
