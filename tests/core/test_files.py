"""Saving: whole or not at all, through links, with the mode that was there; and locks, and names of strangers."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import asyncconn
from asyncconn.core.files import FileLock, PartialFile, file_name, replace_file

HOME = str(Path(asyncconn.__file__).parents[1])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    (tmp_path / "app").mkdir()
    return tmp_path


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "to nothing yet"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_symbolic_link_stays_one_and_what_it_leads_to_is_written(folder: Path, there: bool, relative: bool) -> None:
    real, link = folder / "volume" / "state.json", folder / "app" / "state.json"
    if there:
        real.write_text("old")
    link.symlink_to(Path("../volume/state.json") if relative else real)
    replace_file(link, b"new")
    assert (link.is_symlink(), real.read_text()) == (True, "new")
    assert (names(folder / "volume"), names(folder / "app")) == (["state.json"], ["state.json"])


def test_links_to_links_are_followed_to_the_end(folder: Path) -> None:
    real, first, second = folder / "volume" / "f", folder / "app" / "one", folder / "app" / "two"
    first.symlink_to(second)
    second.symlink_to(real)
    replace_file(first, b"new")
    assert (first.is_symlink(), second.is_symlink(), real.read_text()) == (True, True, "new")


def test_links_in_a_circle_are_an_error_and_stay(folder: Path) -> None:
    first, second = folder / "app" / "one", folder / "app" / "two"
    first.symlink_to(second)
    second.symlink_to(first)
    with pytest.raises(OSError, match="symbolic links"):
        replace_file(first, b"new")
    assert names(folder / "app") == ["one", "two"]


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o644, 0o666, 0o660])
def test_a_file_keeps_its_mode(folder: Path, kept: int) -> None:
    path = folder / "report.csv"
    path.write_text("old")
    path.chmod(kept)
    replace_file(path, b"new")
    assert (mode(path), path.read_text()) == (kept, "new")


def test_a_new_file_is_its_owners_alone_whatever_the_mask_says(folder: Path) -> None:
    before = os.umask(0)
    try:
        replace_file(folder / "new.json", b"{}")
    finally:
        os.umask(before)
    assert mode(folder / "new.json") == 0o600


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to give a file away")
def test_a_file_that_root_replaces_keeps_its_owner(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text("old")
    os.chown(path, 12345, 23456)
    replace_file(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_what_is_no_file_is_written_to_and_stays(folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    replace_file(pipe, b"through")
    reader.join(10)
    assert found == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_is_not_replaced(folder: Path) -> None:
    with pytest.raises(IsADirectoryError):
        replace_file(folder / "app", b"new")
    assert names(folder) == ["app", "volume"]


def test_one_that_was_not_finished_leaves_the_old_file_and_nothing_else(folder: Path) -> None:
    path = folder / "f.csv"
    path.write_text("old")
    partial = PartialFile(path)
    partial.open()
    partial.write([b"ne", b"w"])
    partial.discard()
    partial.discard()
    assert (path.read_text(), names(folder)) == ("old", ["app", "f.csv", "volume"])


def test_without_leave_nothing_is_replaced_also_when_it_appears_late(folder: Path) -> None:
    path = folder / "f.csv"
    late = PartialFile(path, replace=False)
    late.open()
    late.write([b"mine"])
    path.write_text("theirs")
    with pytest.raises(FileExistsError):
        late.finish()
    late.discard()
    early = PartialFile(path, replace=False)
    with pytest.raises(FileExistsError):
        early.open()
    early.discard()
    assert (path.read_text(), names(folder)) == ("theirs", ["app", "f.csv", "volume"])


@pytest.mark.parametrize("links", [True, False])
def test_without_leave_a_new_name_is_taken(folder: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:

        def refuse(*_: object) -> None:
            raise PermissionError("this file system has no links")

        monkeypatch.setattr(os, "link", refuse)
    replace_file(folder / "f.csv", b"new", replace=False)
    assert ((folder / "f.csv").read_text(), names(folder)) == ("new", ["app", "f.csv", "volume"])
    with pytest.raises(FileExistsError):
        replace_file(folder / "f.csv", b"newer", replace=False)


@pytest.mark.parametrize("replace", [True, False])
def test_what_is_on_disk_is_there_under_its_name(folder: Path, replace: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    real, link = folder / "volume" / "f", folder / "app" / "f"
    if replace:
        link.symlink_to(real)
    path = link if replace else real
    synced: list[tuple[bool, bool]] = []  # whether it is the folder, and whether the file has its name by then
    sync = os.fsync

    def watched(handle: int) -> None:
        synced.append((os.path.samestat(os.fstat(handle), (folder / "volume").stat()), real.exists()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    replace_file(path, b"new", replace=replace)
    assert synced == [(False, False), (True, True)]


def test_a_file_is_saved_where_the_system_cannot_sync_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def refuse(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not of a folder")
        sync(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    replace_file(folder / "f", b"new")
    assert (folder / "f").read_bytes() == b"new"


# -- locks -------------------------------------------------------------------------------------------------------------


def test_a_lock_is_one_holders_at_a_time_through_links_too(folder: Path) -> None:
    real, link = folder / "volume" / "state.json", folder / "app" / "state.json"
    link.symlink_to(real)
    first, second = FileLock(real), FileLock(link)
    assert (first.take(), second.take()) == (True, False)
    first.release()
    first.release()
    assert second.take()
    second.release()
    assert mode(folder / "volume" / "state.json.lock") == 0o600


def test_a_lock_ends_with_its_process(folder: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from asyncconn.core.files import FileLock
assert FileLock(Path(sys.argv[1])).take()
print("held", flush=True)
sys.stdin.read()
os._exit(1)
"""
    path = folder / "state.json"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": HOME},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        lock = FileLock(path)
        assert not lock.take()
        other.kill()
        other.wait(10)
    assert lock.take()
    lock.release()


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("daily.csv", "daily.csv"),
        ("Jan 5, naïve €.csv", "Jan 5, naïve €.csv"),
        ("../../.ssh/authorized_keys", "authorized_keys"),
        ("..\\..\\evil.bat", "evil.bat"),
        ("C:\\temp\\x.csv", "x.csv"),
        ("C:x.csv", "x.csv"),
        ("/etc/passwd", "passwd"),
        (".bashrc", "bashrc"),
        ("...", "otherwise"),
        (" . .x", "x"),
        ("..", "otherwise"),
        ("a/", "a"),
        ("", "otherwise"),
        ("a\0b\nc\x1b[2J.csv", "a_b_c_[2J.csv"),
        ("at 1:30 *?.csv", "at 1_30 __.csv"),
    ],
)
def test_a_strangers_name_becomes_one_in_our_folder(given: str, name: str) -> None:
    assert file_name(given, "otherwise") == name


@pytest.mark.parametrize("letter", ["x", "ü", "😀"])
def test_a_long_name_is_cut_and_keeps_its_ending(letter: str) -> None:
    name = file_name(letter * 1000 + ".csv", "otherwise")
    assert name.endswith(f"{letter}.csv")
    assert 190 < len(name.encode()) <= 200
