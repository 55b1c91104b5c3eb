"""Worlds of one's own: what the sandbox offers to each of them."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox import (
    Answer,
    BrokenOff,
    Call,
    DatoramaWorld,
    Fault,
    LimitsWorld,
    PanoplyWorld,
    Place,
    Sandbox,
    Server,
    World,
)

from .test_lifecycle import open_sockets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from aiohttp import web


class Echo(World):
    """Says back what it was told."""

    name = "echo"

    def __init__(self, name: str = "echo") -> None:
        self.name = name
        self.heard: list[bytes] = []

    async def answer(self, call: Call) -> Answer:
        self.heard.append(call.body)
        return Answer(200, call.body)

    def env(self) -> dict[str, str]:
        return {"ECHO_URL": self.url}


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


class Apart(World):
    """A second server on a port of its own, which another world answers."""

    name = "apart"

    def __init__(self) -> None:
        self.inner = Echo("inner")

    async def open(self, url: str) -> None:
        await super().open(url)
        self.server = Server([self.inner], self.place)
        await self.inner.open(await self.server.start())

    async def close(self) -> None:
        await super().close()
        await self.server.stop()

    def claims(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        return path == "/apart"

    async def answer(self, call: Call) -> Answer:
        return Answer(200, self.inner.url.encode())


class Numbers(World):
    """Pieces of a known length, and of any number."""

    name = "numbers"

    async def answer(self, call: Call) -> Answer:
        return Answer(200, pieces=self._pieces(), length=1000 if call.path == "/known" else None)

    def _pieces(self) -> Iterator[bytes]:
        for _ in range(10):
            yield b"x" * 100


@asynccontextmanager
async def standing(*worlds: World, **options: Any) -> AsyncIterator[tuple[Sandbox, aiohttp.ClientSession]]:
    timeout = aiohttp.ClientTimeout(5)
    async with Sandbox(*worlds, **options) as sandbox, aiohttp.ClientSession(sandbox.url, timeout=timeout) as http:
        yield sandbox, http
    await asyncio.sleep(0)


# -- which worlds there are --------------------------------------------------------------------------------------------


async def test_a_world_is_the_one_that_was_given() -> None:
    panoply, datorama = PanoplyWorld(), DatoramaWorld(tokens=2)
    async with Sandbox(panoply, datorama) as sandbox:
        assert sandbox.panoply is panoply
        assert sandbox.datorama is datorama
        assert panoply.url == datorama.url == sandbox.url
        assert panoply.env() | datorama.env() | sandbox.env == sandbox.env


async def test_a_sandbox_of_nothing_named_has_all() -> None:
    async with Sandbox() as sandbox:
        assert sandbox.worlds == (sandbox.datorama, sandbox.tcup, sandbox.panoply, sandbox.atoti_limits)
        assert sandbox.atoti_limits.url == sandbox.env["ATOTI_BASE_URL"] != sandbox.url


@pytest.mark.parametrize("name", ["panoply", "datorama", "atoti_limits"])
def test_a_world_that_is_not_there_says_how_to_get_it(name: str) -> None:
    made = Sandbox(Echo())
    kind = {"panoply": "PanoplyWorld", "datorama": "DatoramaWorld", "atoti_limits": "LimitsWorld"}[name]
    with pytest.raises(ConfigError, match=rf"make it with Sandbox\({kind}\(\)"):
        getattr(made, name)


@pytest.mark.parametrize("names", [("echo", "echo"), ("",)])
def test_worlds_have_names_of_their_own(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="name of its own"):
        Sandbox(*map(Echo, names))


@pytest.mark.parametrize("world", [PanoplyWorld, DatoramaWorld, LimitsWorld, Echo])
def test_a_world_stands_in_one_sandbox(world: type[World]) -> None:
    made = world()
    assert repr(made).startswith(f"<{world.__name__} not open")
    with pytest.raises(LifecycleError, match="put it into one with Sandbox"):
        _ = made.place
    Sandbox(made)
    with pytest.raises(LifecycleError, match="make one for each sandbox"):
        Sandbox(made)


def test_credentials_are_unknown_before_a_world_is_in_a_sandbox() -> None:
    for ask in (lambda: PanoplyWorld().api_key, lambda: DatoramaWorld().token, lambda: LimitsWorld().session):
        with pytest.raises(LifecycleError, match="in no sandbox yet"):
            ask()


async def test_a_request_goes_to_the_first_world_that_claims_it() -> None:
    panoply, echo = PanoplyWorld(), Echo()
    async with standing(panoply, echo) as (sandbox, http):
        assert (await http.post("/any/path", data=b"hello")).status == 200
        assert (await http.get("/")).status == 405  # Panoply's
        assert echo.heard == [b"hello"]
        assert sandbox.requests == {"echo": 1, "panoply": 1}
        assert sandbox.env["ECHO_URL"] == sandbox.url


async def test_a_world_that_cannot_open_closes_the_others() -> None:
    class Broken(Echo):
        async def open(self, url: str) -> None:
            raise OSError("no")

    gc.collect()
    sockets = open_sockets()
    for worlds in ((PanoplyWorld(), LimitsWorld(), Broken()), (Broken(), PanoplyWorld(), LimitsWorld())):
        with pytest.raises(OSError, match="no"):
            await Sandbox(*worlds).__aenter__()
    await asyncio.sleep(0)
    assert open_sockets() == sockets


async def test_a_world_that_cannot_close_does_not_keep_the_others_open() -> None:
    class Broken(Echo):
        async def close(self) -> None:
            raise OSError("no")

    class Slow(Echo):
        closed = False

        async def close(self) -> None:
            await asyncio.sleep(0.01)
            self.closed = True

    slow = Slow("slow")
    with pytest.raises(OSError, match="no"):
        async with Sandbox(Broken(), slow):
            pass
    assert slow.closed


# -- one server --------------------------------------------------------------------------------------------------------


async def test_a_server_stands_alone_and_again_on_its_port() -> None:
    echo = Echo()
    echo.settle(Place())
    server = Server([echo], echo.place)
    url = await server.start()
    echo.place.faults.add(Fault("status", status=503))
    async with aiohttp.ClientSession() as http:
        assert [(await http.get(url)).status for _ in range(2)] == [503, 200]
    await server.stop()
    assert await server.start(int(url.rpartition(":")[2])) == url
    async with aiohttp.ClientSession() as http:
        assert (await http.get(url)).status == 200
    await server.stop()
    assert (server.requests, len(server.arrivals)) == ({"echo": 3}, 3)


async def test_a_port_of_its_own_has_the_sandboxs_faults_and_ends_with_it() -> None:
    apart = Apart()
    async with standing(apart, faults="status:501 match=inner") as (sandbox, http):
        url = await (await http.get("/apart")).text()
        assert url == apart.inner.url != sandbox.url
        assert [(await http.post(url, data=b"x")).status for _ in range(2)] == [501, 200]
        assert (await http.get("/elsewhere")).status == 404
        assert (apart.inner.heard, apart.server.requests) == ([b"x"], {"inner": 2})
    async with aiohttp.ClientSession() as outside:
        with pytest.raises(aiohttp.ClientConnectorError):
            await outside.get(url)


# -- bodies in pieces --------------------------------------------------------------------------------------------------


async def test_a_body_is_read_while_it_arrives() -> None:
    world, go_on = Uploads(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"second"

    async with standing(world) as (_, http):
        sending = asyncio.create_task(_text(http.post("/x", data=body())))
        while not world.pieces:
            await asyncio.sleep(0.005)
        assert world.pieces == [b"first"]
        go_on.set()
        assert await sending == "11"
        assert await _text(http.put("/x", data=b"whole")) == "whole"


async def test_a_body_that_breaks_off_is_told_to_the_world_and_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    world = Uploads()
    async with standing(world) as (sandbox, _):
        writer = await _half_an_upload(sandbox)
        while not world.pieces:
            await asyncio.sleep(0.005)
        writer.close()
        await writer.wait_closed()
        while not world.broken_off:
            await asyncio.sleep(0.005)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_leaving_ends_a_body_that_does_not_come() -> None:
    world, loop = Uploads(), asyncio.get_running_loop()
    async with standing(world) as (sandbox, _):
        writer = await _half_an_upload(sandbox)
        while not world.pieces:
            await asyncio.sleep(0.005)
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
        while not world.closed:
            await asyncio.sleep(0.005)
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
