"""What several tests of commands need."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.commands import DATA

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of commands start programs, each of which imports all that it uses."""
    for item in items:
        if item.path.parent == _HERE and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.slow(60))


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 40 records of each file."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("seattle-weather.csv", "seattle-temps.csv"):
        lines = (DATA / name).read_text().splitlines(keepends=True)[:41]
        (folder / name).write_text("".join(lines))
    return folder
