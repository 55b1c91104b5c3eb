"""Fixtures for pytest: ``pytest_plugins = ["asyncconn.testing.plugin"]`` in a ``conftest.py``.

They are for synchronous tests and for those of pytest-asyncio and anyio alike: the sandbox runs on a loop of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from asyncconn.core.clock import VirtualClock
from asyncconn.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["sandbox", "sandbox_env", "virtual_clock"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A running ``Sandbox`` with its platforms, in a thread of its own; each test gets a new one."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Sandbox()) as running:
        yield running


@pytest.fixture
def sandbox_env(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The same, with an environment that leads clients there: ``Panoply.from_env()``."""
    for name, value in sandbox.env.items():
        monkeypatch.setenv(name, value)
    return sandbox


@pytest.fixture
def virtual_clock() -> VirtualClock:
    """A clock at its start: ``virtual_clock.run(main())`` passes a day in a second."""
    return VirtualClock()
