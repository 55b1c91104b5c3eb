"""Worlds of one's own: what the sandbox offers to each of them."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import aiohttp
import pytest
from helpers import open_sockets

from asyncconn.errors import ConfigError, LifecycleError
from asyncconn.sandbox import (
    Answer,
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

from .scene import standing

if TYPE_CHECKING:
    from collections.abc import Mapping


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
