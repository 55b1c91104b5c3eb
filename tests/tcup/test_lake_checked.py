"""Data lake and message routing keep the promises that ``check`` looks at."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from asyncconn.sandbox import Sandbox, TcupWorld
from asyncconn.tcup import Tcup, payload
from asyncconn.testing import check

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.tcup.lake_models import Outcomes


async def test_the_data_lake(tmp_path: Path) -> None:
    numbers = count()

    async def search(tcup: Tcup) -> object:
        return [file async for file in tcup.datalake.search(metadata="colour & rows", filename="there")]

    async def download(tcup: Tcup) -> object:
        return await tcup.datalake.download("user1/dlsadmin/there", tmp_path / f"f{next(numbers)}")

    async def upload(tcup: Tcup) -> str:
        return await tcup.datalake.upload(b"x" * 100_000, filename=f"f{next(numbers)}")

    async def link(tcup: Tcup) -> Outcomes:
        return await tcup.datalake.link([("user1/dlsadmin/there", "derivedFrom", "user1/dlsadmin/there")])

    async with Sandbox(TcupWorld()) as sandbox:
        world = sandbox.tcup
        async with Tcup(world.url, world.api_key) as tcup:
            await tcup.datalake.create_relations(["derivedFrom"])
            await tcup.datalake.upload(b"y" * 100_000, filename="there", metadata={"colour": "red", "rows": 1})
        report = await check(
            lambda _, hub: Tcup(world.url, world.api_key, hub=hub),
            sandbox,
            reads=[search, download],
            writes=[upload, link],
        )
    assert set(report.passed) == {"secret", "repeated_write", "endless_wait"}, report


async def test_message_routing() -> None:
    async def rules(tcup: Tcup) -> object:
        return await tcup.routing.rules.list().collect()

    async def send(tcup: Tcup) -> None:
        await tcup.routing.send(payload("ts1", {"obs1": "test_1", "obs2": 1}, "tf1"))

    async with Sandbox(TcupWorld()) as sandbox:
        world = sandbox.tcup
        report = await check(
            lambda _, hub: Tcup(world.url, world.api_key, hub=hub), sandbox, reads=[rules], writes=[send]
        )
    assert set(report.passed) == {"secret", "repeated_write", "endless_wait"}, report
