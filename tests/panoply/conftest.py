from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from panoply_sandbox import let_settings_be_read

from asyncconn.core.retrying import RetryPolicy
from asyncconn.panoply import token_endpoint

from .token_scene import Scene

if TYPE_CHECKING:
    from blockbuster import BlockBuster


@pytest.fixture(scope="session", autouse=True)
def _settings(blocking: BlockBuster) -> None:
    let_settings_be_read(blocking)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    quick = RetryPolicy(attempts=3, initial=0.01, maximum=0.02, deadline=30.0, maybe_sent="always")
    monkeypatch.setattr(token_endpoint, "RETRY", quick)
    return Scene()
