"""What several tests of commands need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cli.commands import DATA

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 40 records of each file."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("seattle-weather.csv", "seattle-temps.csv"):
        lines = (DATA / name).read_text().splitlines(keepends=True)[:41]
        (folder / name).write_text("".join(lines))
    return folder
