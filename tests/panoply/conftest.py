from __future__ import annotations

from dataclasses import replace

import pytest

from asyncconn.http import token_endpoint

from .token_scene import Scene


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(token_endpoint, "RETRY", replace(token_endpoint.RETRY, initial=0.01, maximum=0.02))
    return Scene()
