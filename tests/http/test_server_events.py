"""Server-sent events of any connector, one connection of them."""

from __future__ import annotations

import pytest
from loopback import Loopback, Reply, road

from asyncconn.errors import ConnectionLost, LifecycleError, NotFound, ProtocolError, ReadTimeout
from asyncconn.http.events import EventStream
from asyncconn.http.sse import ServerEvent

KIND = {"Content-Type": "text/event-stream; charset=utf-8"}


def stream(body: bytes, **headers: str) -> Reply:
    return Reply(body=body, headers={**KIND, **headers})


async def test_events_come_with_what_the_server_says_of_them() -> None:
    body = b'retry: 1500\n\nid: 1\ndata: {"a": 1}\n\nevent: warm\ndata: x\ndata: y\n\ndata: unfinished'
    async with (
        Loopback(stream(body)) as server,
        road(server) as http,
        http.server_events("/feed", params={"q": 1}, last_id="0") as events,
    ):
        found = [event async for event in events]
        assert events.retry == 1.5
        assert not events.over
    assert found == [ServerEvent('{"a": 1}', id="1"), ServerEvent("x\ny", "warm", "1")]
    assert found[0].json() == {"a": 1}
    request = server.seen[0]
    assert (request.target, request.headers["accept"]) == ("/feed?q=1", "text/event-stream")
    assert request.headers["last-event-id"] == "0"


async def test_204_is_over() -> None:
    over = Reply(status=204, body=b"")
    async with Loopback(over) as server, road(server) as http, http.server_events("/feed") as events:
        assert [event async for event in events] == []
        assert events.over


async def test_what_is_no_stream_of_events_is_refused() -> None:
    async with Loopback(Reply(body=b"[]"), Reply(status=404)) as server, road(server) as http:
        with pytest.raises(ProtocolError, match="text/event-stream"):
            await http.server_events("/feed").__aenter__()
        with pytest.raises(NotFound):
            await http.server_events("/feed").__aenter__()


async def test_a_break_silence_and_an_event_too_large_are_errors() -> None:
    broken = Reply(body=b"data: 1\n\n", headers={**KIND, "Content-Length": "99"}, close=True)
    silent = Reply(body=b"data: 1\n\n", headers={**KIND, "Content-Length": "99"})
    for reply, kind in ((broken, ConnectionLost), (silent, ReadTimeout), (stream(b"data: 12345\n\n"), ProtocolError)):
        async with (
            Loopback(reply) as server,
            road(server) as http,
            http.server_events("/feed", idle_timeout=0.1, max_event_bytes=8) as events,
        ):
            with pytest.raises(kind):
                await all_of(events)


async def all_of(events: EventStream) -> list[ServerEvent]:
    return [event async for event in events]


async def test_it_is_open_only_in_its_block() -> None:
    async with Loopback() as server, road(server) as http:
        with pytest.raises(LifecycleError):
            await anext(aiter(http.server_events("/feed")))
