from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncconn import Hub
from asyncconn.sandbox import PanoplyWorld, Sandbox

from .scene import SandboxTarget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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
