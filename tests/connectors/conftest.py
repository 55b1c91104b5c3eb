from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from panoply_sandbox import SandboxTarget, let_settings_be_read

from asyncconn import Hub
from asyncconn.sandbox import PanoplyWorld, Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from blockbuster import BlockBuster


@pytest.fixture(scope="session", autouse=True)
def _settings(blocking: BlockBuster) -> None:
    let_settings_be_read(blocking)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(PanoplyWorld(keep_messages=5000), seed=1) as running:
        yield running
        assert running.panoply.counters.invalid_documents == 0


@pytest.fixture(params=["form", "sqs"])
def sender(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def target(sandbox: Sandbox, sender: str) -> AsyncIterator[SandboxTarget]:
    async with Hub(on_undelivered="log") as hub:  # the tests look themselves
        yield SandboxTarget(sandbox, hub, sender)
