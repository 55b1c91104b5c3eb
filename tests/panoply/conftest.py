from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from panoply_sandbox import let_settings_be_read

from asyncconn.panoply import token_endpoint

from .token_scene import Scene

if TYPE_CHECKING:
    from blockbuster import BlockBuster


@pytest.fixture(scope="session", autouse=True)
def _settings(blocking: BlockBuster) -> None:
    let_settings_be_read(blocking)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(token_endpoint, "RETRY", replace(token_endpoint.RETRY, initial=0.01, maximum=0.02))
    return Scene()
