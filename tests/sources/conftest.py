from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from panoply_sandbox import SandboxTarget, let_settings_be_read

from asyncconn import Hub
from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from types import ModuleType

    from blockbuster import BlockBuster

    from asyncconn import Panoply

from sources.original import load, ported


@pytest.fixture(scope="session", autouse=True)
def _settings(blocking: BlockBuster) -> None:
    let_settings_be_read(blocking)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=1) as running:
        yield running
        assert running.panoply.counters.invalid_documents == 0


@pytest.fixture
async def panoply(sandbox: Sandbox) -> AsyncIterator[Panoply]:
    """A writer into the sandbox whose batches leave soon."""
    async with Hub() as hub:
        yield SandboxTarget(sandbox, hub, "form").panoply(policy=BatchPolicy(max_age=0.05))


@pytest.fixture
def original(tmp_path: Path) -> Callable[[str], ModuleType]:
    """Load one of the originals, its import line replaced."""
    return lambda name: load(ported(name, tmp_path))
