"""What several tests of commands need."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from warm import starter

from cli.commands import DATA, WARNING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of commands start programs, each of which imports all that it uses."""
    for item in items:
        if item.path.parent == _HERE and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.slow(60))


@pytest.fixture(scope="session", autouse=True)
def _warm() -> Iterator[None]:
    with starter(*WARNING):
        yield


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 40 records of each file."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("seattle-weather.csv", "seattle-temps.csv"):
        lines = (DATA / name).read_text().splitlines(keepends=True)[:41]
        (folder / name).write_text("".join(lines))
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder and a clean environment for a command in this process, which may import what it likes."""
    for name in [name for name in os.environ if name.startswith("ASYNCCONN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    modules, path = set(sys.modules), list(sys.path)
    yield tmp_path
    for name in {"echo", "counting", "mine"} & (set(sys.modules) - modules):
        del sys.modules[name]
    sys.path[:] = path
