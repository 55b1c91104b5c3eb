"""Worlds that take bodies and give answers in pieces, or talk over a WebSocket."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from helpers import until

from asyncconn.sandbox import Answer, BrokenOff, Call, Fault, Sandbox, World

from .scene import standing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from aiohttp import web


class Uploads(World):
    """Counts what arrives, piece by piece."""

    name = "uploads"

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.broken_off = 0

    def takes_pieces(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        return method == "POST"

    async def answer(self, call: Call) -> Answer:
        if call.pieces is None:
            return Answer(200, b"whole")
        try:
            async for piece in call.pieces:
                self.pieces.append(piece)
        except BrokenOff:
            self.broken_off += 1
            raise
        return Answer(200, str(sum(map(len, self.pieces))).encode())


class Ticker(World):
    """An answer without end: a tick at once, the next ones when somebody says so."""

    name = "ticker"

    def __init__(self) -> None:
        self.tick = asyncio.Event()
        self.closed = 0

    async def answer(self, call: Call) -> Answer:
        return Answer(200, pieces=self._ticks(), content_type="text/event-stream")

    async def _ticks(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: tick\n\n"
                await self.tick.wait()
        finally:
            self.closed += 1


class Parrot(World):
    """A WebSocket that repeats what it hears, until it hears "bye"."""

    name = "parrot"

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def answer(self, call: Call) -> Answer:
        return Answer(101, upgrade=self._talk, protocols=("parrot.v1",), headers={"X-Parrot": "yes"})

    async def _talk(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            self.heard.append(message.data)
            if message.data == "bye":
                return
            await socket.send_str(message.data)


class Numbers(World):
    """Pieces of a known length, and of any number."""

    name = "numbers"

    async def answer(self, call: Call) -> Answer:
        return Answer(200, pieces=self._pieces(), length=1000 if call.path == "/known" else None)

    def _pieces(self) -> Iterator[bytes]:
        for _ in range(10):
            yield b"x" * 100


# -- bodies in pieces --------------------------------------------------------------------------------------------------


async def test_a_body_is_read_while_it_arrives() -> None:
    world, go_on = Uploads(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"second"

    async with standing(world) as (_, http):
        sending = asyncio.create_task(_text(http.post("/x", data=body())))
        await until(lambda: world.pieces)
        assert world.pieces == [b"first"]
        go_on.set()
        assert await sending == "11"
        assert await _text(http.put("/x", data=b"whole")) == "whole"


async def test_a_body_that_breaks_off_is_told_to_the_world_and_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    world = Uploads()
    async with standing(world) as (sandbox, _):
        writer = await _half_an_upload(sandbox)
        await until(lambda: world.pieces)
        writer.close()
        await writer.wait_closed()
        await until(lambda: world.broken_off)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_leaving_ends_a_body_that_does_not_come() -> None:
    world, loop = Uploads(), asyncio.get_running_loop()
    async with standing(world) as (sandbox, _):
        writer = await _half_an_upload(sandbox)
        await until(lambda: world.pieces)
        started = loop.time()
    assert loop.time() - started < 0.9
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("fault", "pieces", "outcome"),
    [
        (Fault("status", status=503), 0, 503),
        (Fault("drop_before"), 0, None),
        (Fault("drop_after"), 4, None),
        (Fault("stall", seconds=0.05), 0, None),
        (Fault("stall_after", seconds=0.05), 4, None),
        (Fault("delay", seconds=0.05), 4, 200),
        (Fault("half_body"), 4, None),
        (Fault("close"), 4, 200),
        (Fault("malformed"), 4, 200),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
async def test_faults_strike_a_body_in_pieces(fault: Fault, pieces: int, outcome: int | None) -> None:
    world = Uploads()
    async with standing(world, faults=[fault]) as (sandbox, http):
        try:
            async with http.post("/x", data=b"four") as answer:
                await answer.read()
                assert answer.status == outcome
        except aiohttp.ClientError:
            assert outcome is None
        assert sum(map(len, world.pieces)) == pieces
        assert sandbox.faults.hits == {fault.kind: 1}


# -- answers in pieces -------------------------------------------------------------------------------------------------


async def test_an_answer_without_end_comes_piece_by_piece_and_ends_with_the_sandbox() -> None:
    world, loop = Ticker(), asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http:
        async with Sandbox(world) as sandbox:
            answer = await http.get(sandbox.url)
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            assert await answer.content.readuntil(b"\n\n") == b"data: tick\n\n"
            world.tick.set()
            assert await answer.content.readuntil(b"\n\n") == b"data: tick\n\n"
            world.tick.clear()
            started = loop.time()
        assert loop.time() - started < 0.9
        assert world.closed == 1
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_an_answer_without_end_ends_with_its_client(caplog: pytest.LogCaptureFixture) -> None:
    world = Ticker()
    async with standing(world) as (_, http):
        answer = await http.get("/")
        await answer.content.readuntil(b"\n\n")
        answer.close()
        world.tick.set()
        await until(lambda: world.closed)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("path", ["/known", "/unknown"])
async def test_pieces_come_whole_and_none_to_a_head(path: str) -> None:
    async with standing(Numbers()) as (_, http):
        async with http.get(path) as answer:
            assert await answer.read() == b"x" * 1000
            assert ("Content-Length" in answer.headers) is (path == "/known")
        async with http.head(path) as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        assert (await http.get(path)).status == 200


@pytest.mark.parametrize(("path", "got"), [("/known", 500), ("/unknown", 50)])
async def test_half_a_body_in_pieces(path: str, got: int) -> None:
    async with standing(Numbers(), faults="half_body") as (_, http), http.get(path) as answer:
        assert await answer.content.readexactly(got) == b"x" * got
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_half_of_an_answer_without_end_closes_its_generator() -> None:
    world = Ticker()
    async with standing(world, faults="half_body") as (_, http), http.get("/") as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
        assert world.closed == 1


@pytest.mark.parametrize("fault", ["drop_before*all", "drop_after*all", "stall:0.05*all", "stall_after:0.05*all"])
async def test_faults_keep_an_answer_without_end_back(fault: str) -> None:
    world = Ticker()
    async with standing(world, faults=fault) as (sandbox, http):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await http.get("/")  # twice on the wire: aiohttp sends a GET again by itself
        sandbox.faults.clear()
        async with http.get("/") as answer:
            assert await answer.content.readuntil(b"\n\n")


async def test_faults_change_an_answer_without_end() -> None:
    async with standing(Ticker(), faults="status:503, malformed, delay:0.05") as (_, http):
        async with http.get("/") as answer:
            assert (answer.status, await answer.text()) == (503, "The fault script of the sandbox asked for this.")
        async with http.get("/") as answer:
            assert b"neither XML nor JSON" in await answer.read()
        async with http.get("/") as answer:
            assert await answer.content.readuntil(b"\n\n")


# -- WebSockets --------------------------------------------------------------------------------------------------------


async def test_a_connection_becomes_a_websocket() -> None:
    world = Parrot()
    async with standing(world) as (sandbox, http):
        async with http.ws_connect("/", protocols=("other", "parrot.v1")) as socket:
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
            assert socket.protocol == "parrot.v1"
            await socket.send_str("bye")
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1000
        assert (world.heard, sandbox.requests) == (["hello", "bye"], {"parrot": 1})


async def test_who_does_not_ask_for_a_websocket_gets_none() -> None:
    async with standing(Parrot()) as (_, http), http.get("/") as answer:
        assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")


async def test_leaving_says_farewell_to_a_websocket() -> None:
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http:
        async with Sandbox(Parrot()) as sandbox:
            socket = await http.ws_connect(sandbox.url)
            hearing = asyncio.create_task(socket.receive())
            await asyncio.sleep(0)
            started = loop.time()
        assert loop.time() - started < 0.9
        assert (await hearing).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1001


async def test_leaving_does_not_wait_for_a_websocket_that_hears_nothing() -> None:
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http:
        async with Sandbox(Parrot()) as sandbox:
            socket = await http.ws_connect(sandbox.url)
            started = loop.time()
        assert loop.time() - started < 0.9
        await socket.close()


@pytest.mark.parametrize("fault", ["drop_before*all", "drop_after*all", "stall:0.05*all", "stall_after:0.05*all"])
async def test_faults_keep_a_websocket_from_opening(fault: str) -> None:
    async with standing(Parrot(), faults=fault) as (sandbox, http):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await http.ws_connect("/")
        sandbox.faults.clear()
        async with http.ws_connect("/") as socket:
            await socket.send_str("bye")


@pytest.mark.parametrize(("fault", "status"), [("status:503", 503), ("malformed", 200)])
async def test_faults_answer_in_place_of_a_websocket(fault: str, status: int) -> None:
    async with standing(Parrot(), faults=fault) as (_, http):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect("/")
        assert refused.value.status == status


async def test_a_websocket_breaks_off_in_the_middle_of_a_message() -> None:
    async with standing(Parrot(), faults="half_body") as (sandbox, _):
        host, port = sandbox.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        asked = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        writer.write(f"GET / HTTP/1.1\r\nHost: x\r\n{asked}MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        opcode, announced, *message = await reader.read()
        assert (opcode, announced) == (0x81, 16)  # a text of 16 bytes
        assert len(message) == 2
        writer.close()
        await writer.wait_closed()


async def test_a_websocket_closes_unannounced() -> None:
    world = Parrot()
    async with standing(world, faults="close") as (_, http), http.ws_connect("/") as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
        await socket.send_str("bye")
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert socket.close_code == 1006


async def test_a_websocket_opens_late() -> None:
    loop = asyncio.get_running_loop()
    async with standing(Parrot(), faults="delay:0.1") as (_, http):
        started = loop.time()
        async with http.ws_connect("/") as socket:
            assert loop.time() - started >= 0.1
            await socket.send_str("bye")


async def _text(asked: Any) -> str:
    async with asked as answer:
        text: str = await answer.text()
        return text


async def _half_an_upload(sandbox: Sandbox) -> asyncio.StreamWriter:
    host, port = sandbox.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    return writer
