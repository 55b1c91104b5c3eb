from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from asyncconn import Hub
from asyncconn.core.buffer.memory import BatchPolicy
from asyncconn.http import token_endpoint
from panoply.scene import SandboxTarget

from .original import load, ported
from .token_scene import Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from types import ModuleType

    from asyncconn import Panoply
    from asyncconn.sandbox import Sandbox


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(token_endpoint, "RETRY", replace(token_endpoint.RETRY, initial=0.01, maximum=0.02))
    return Scene()


@pytest.fixture
async def panoply(sandbox: Sandbox) -> AsyncIterator[Panoply]:
    """A writer into the sandbox whose batches leave soon."""
    async with Hub() as hub:
        yield SandboxTarget(sandbox, hub, "form").panoply(policy=BatchPolicy(max_age=0.05))


@pytest.fixture
def original(tmp_path: Path) -> Callable[[str], ModuleType]:
    """Load one of the originals, its import line replaced."""
    return lambda name: load(ported(name, tmp_path))
