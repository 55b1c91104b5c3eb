"""The client keeps the promises that ``check`` looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncconn import Window
from asyncconn.sandbox import Sandbox
from asyncconn.sandbox.tcup import TcupWorld
from asyncconn.tcup import Tcup
from asyncconn.testing import check

if TYPE_CHECKING:
    from asyncconn import Hub
    from asyncconn.sandbox import Faults


class Store:
    """The sandbox, with the observations that it holds for books."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.url = sandbox.url
        self.faults: Faults = sandbox.faults
        self._tcup = sandbox.tcup

    @property
    def taken(self) -> int:
        return len(self._tcup.sos.rows())


async def count(tcup: Tcup) -> object:
    return await tcup.observations.count()


async def query(tcup: Tcup) -> object:
    return await tcup.observations.query(sensor="ts1").collect()


async def insert(tcup: Tcup) -> object:
    return await tcup.observations.insert("ts1", {"obs1": 1}, "tf1")


@pytest.mark.slow(60)
async def test_tcup() -> None:
    made = 0

    async def many(tcup: Tcup) -> int:
        nonlocal made
        writer = tcup.observations.writer()
        for _ in range(50):
            made += 1
            await writer.write(f"ts{made}", {"obs1": made}, "tf1")
        return 50

    async with Sandbox(TcupWorld(auto_register=True), seed=1) as sandbox:
        report = await check(
            lambda url, hub: Tcup(url, sandbox.tcup.api_key, hub=hub, rates=Window(10, 1.0)),
            Store(sandbox),
            reads=[count, query],
            writes=[insert],
            deliveries=[many],
        )

    assert len(report.passed) == 5, report


@pytest.mark.slow(60)
async def test_with_tokens_too() -> None:
    async with Sandbox(TcupWorld(auto_register=True, auth_mode="jwt"), seed=1) as sandbox:
        world = sandbox.tcup

        def make(url: str, hub: Hub) -> Tcup:
            key = world.tenant.symmetric_key
            return Tcup(url, world.api_key, hub=hub, auth_mode="jwt", symmetric_key=key)

        report = await check(make, sandbox, reads=[count, query], writes=[insert])

    assert set(report.passed) == {"secret", "repeated_write", "endless_wait"}, report
