from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from asyncconn.panoply import sdk as sdk_module
from asyncconn.sandbox import PanoplyWorld, Sandbox

from .scene import Target

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def target() -> Iterator[Target]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    target = Target(Sandbox(PanoplyWorld(keep_messages=5000), seed=1), loop)
    target.run(target.sandbox.__aenter__())
    yield target
    target.run(target.sandbox.__aexit__(None, None, None))
    target.run(loop.shutdown_default_executor())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


@pytest.fixture(params=["handed over", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Records reach the memory buffer in bulk; another kind of buffer gets each by itself."""
    if request.param == "one by one":
        monkeypatch.setattr(sdk_module, "_takes_at_once", lambda panoply: False)
    return str(request.param)
