"""``--output``: through links, with the mode that was there, and to what is no file."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from asyncconn.cli.options import Form, Output
from asyncconn.cli.sheets import Sheet

SHEET = Sheet("row", ["id"], [[1], [2]])


def test_a_file_behind_a_link_is_written_and_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    real, link = tmp_path / "volume" / "rows.csv", tmp_path / "rows.csv"
    real.write_text("old")
    real.chmod(0o644)
    link.symlink_to(real)
    Output(link).put(SHEET)
    assert (link.is_symlink(), real.read_text(), stat.S_IMODE(real.stat().st_mode)) == (True, "id\n1\n2\n", 0o644)


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    Output(tmp_path / "rows.json").put(SHEET)
    assert stat.S_IMODE((tmp_path / "rows.json").stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no /dev/null")
def test_a_device_stays_one() -> None:
    Output(Path("/dev/null"), Form.CSV).put(SHEET)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
