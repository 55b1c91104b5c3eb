"""A file that stays when it is not finished, and what lies beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncconn.core.files import KeptFile

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_written_is_gone_on_with_and_takes_its_place(tmp_path: Path) -> None:
    target = tmp_path / "file.csv"
    target.write_bytes(b"old")
    first = KeptFile(target)
    first.open()
    first.begin(b"note")
    first.write([b"ab", b"c"])
    first.discard()

    assert target.read_bytes() == b"old"
    second = KeptFile(target)
    second.open()
    assert (second.size, second.note) == (3, b"note")
    second.cut(2)
    second.write([b"d"])
    second.finish()
    second.discard()

    assert target.read_bytes() == b"abd"
    assert [path.name for path in tmp_path.iterdir()] == ["file.csv"]


def test_nothing_stays_of_what_nothing_was_written_to(tmp_path: Path) -> None:
    part = KeptFile(tmp_path / "file")
    part.open()
    part.begin(b"note")
    part.discard()
    part.discard()

    assert list(tmp_path.iterdir()) == []


def test_two_do_not_write_the_same_file(tmp_path: Path) -> None:
    first, second = KeptFile(tmp_path / "file"), KeptFile(tmp_path / "file")
    first.open()
    first.write([b"a"])
    with pytest.raises(BlockingIOError):
        second.open()
    second.discard()
    first.finish()
    first.discard()

    assert (tmp_path / "file").read_bytes() == b"a"
    second.open()
    assert second.size == 0
    second.discard()


def test_a_link_stays_one_and_a_mode_is_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "folder" / "real", tmp_path / "link"
    real.parent.mkdir()
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    part = KeptFile(link)
    part.open()
    part.write([b"new"])
    part.finish()
    part.discard()

    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o640
