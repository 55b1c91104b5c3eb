"""What is packed for a task, and what is refused: nothing leads out of the folder it is unpacked in."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from asyncconn.errors import ConfigError
from asyncconn.tcup.archives import packed


def folder(at: Path) -> Path:
    at.mkdir()
    (at / "sub" / "deep").mkdir(parents=True)
    (at / "sub" / "b.csv").write_bytes(b"b" * 3_000_000)
    (at / "ä b.txt").write_text("a")
    (at / "empty").mkdir()
    (at / "run.sh").write_text("#!/bin/sh\n")
    (at / "run.sh").chmod(0o700)
    return at


async def bytes_of(source: Path) -> bytes:
    async with packed(source, "the inputs") as archive:
        return archive.read_bytes()


async def test_a_directory_is_packed_whole(tmp_path: Path) -> None:
    source = folder(tmp_path / "in")

    async with packed(source, "the inputs") as archive:
        with zipfile.ZipFile(archive) as file:
            assert file.testzip() is None
            assert file.namelist() == ["empty/", "run.sh", "sub/b.csv", "sub/deep/", "ä b.txt"]
            assert file.read("sub/b.csv") == b"b" * 3_000_000
            assert file.getinfo("run.sh").external_attr >> 16 == stat.S_IFREG | 0o755

    assert not archive.parent.exists()


async def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other")
    os.utime(other / "ä b.txt", (1_000_000_000, 1_000_000_000))

    assert await bytes_of(one) == await bytes_of(other)

    (other / "ä b.txt").write_text("c")
    assert await bytes_of(one) != await bytes_of(other)


@pytest.mark.parametrize("name", ["9.30\u202fUhr.csv", "👩\u200d🔬.txt", "a, b;c='.csv", "-rf", ".hid", "$(x)"])
async def test_a_strange_name_is_carried_as_the_plain_text_that_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")

    async with packed(tmp_path, "the inputs") as archive:
        assert zipfile.ZipFile(archive).namelist() == [name]


async def test_an_empty_directory_is_an_empty_archive(tmp_path: Path) -> None:
    async with packed(tmp_path, "the inputs") as archive:
        assert zipfile.ZipFile(archive).namelist() == []


async def test_a_zip_file_goes_as_it_is(tmp_path: Path) -> None:
    given = tmp_path / "data1.zip"
    given.write_bytes(await bytes_of(folder(tmp_path / "in")))

    async with packed(given, "the inputs") as archive:
        assert archive == given

    assert given.exists()


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/passwd", "C:/x", "c:x", "a\\..\\x", "a//b", "./x", "", "a\0.txt", "a\n", "\x1b[2J"],
)
async def test_a_member_whose_name_is_a_trick_is_refused(tmp_path: Path, name: str) -> None:
    given = tmp_path / "data1.zip"
    with zipfile.ZipFile(given, "w") as file:
        member = zipfile.ZipInfo("x")
        member.filename = name
        file.writestr(member, b"x")

    with pytest.raises(ConfigError, match="the inputs"):
        await bytes_of(given)


async def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "data1.zip"
    with zipfile.ZipFile(given, "w") as file:
        member = zipfile.ZipInfo("passwd")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(member, b"/etc/passwd")

    with pytest.raises(ConfigError, match="passwd in data1"):
        await bytes_of(given)


async def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "data1.zip"
    with zipfile.ZipFile(given, "w") as file:
        file.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("a", b"2")

    with pytest.raises(ConfigError, match="a is twice"):
        await bytes_of(given)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04" + b"\0" * 100])
async def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    given = tmp_path / "data1.zip"
    given.write_bytes(content)

    with pytest.raises(ConfigError, match="neither a directory nor a zip file"):
        await bytes_of(given)


@pytest.mark.skipif(sys.platform == "win32", reason="such names and links are of POSIX systems")
@pytest.mark.parametrize("trick", ["link", "pipe", "backslash", "bytes"])
async def test_a_directory_with_something_else_than_plain_files_is_refused(tmp_path: Path, trick: str) -> None:
    source = folder(tmp_path / "in")
    if trick == "link":
        (source / "sub" / "passwd").symlink_to("/etc/passwd")
    elif trick == "pipe":
        os.mkfifo(source / "sub" / "pipe")
    elif trick == "backslash":
        (source / "..\\x").write_text("x")
    else:
        Path(os.fsdecode(os.fsencode(source) + b"/\xff")).write_text("x")

    with pytest.raises(ConfigError, match="the inputs"):
        await bytes_of(source)


async def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing cannot be read"):
        await bytes_of(tmp_path / "nothing")


async def test_an_error_of_who_uses_it_passes_as_it_is_and_nothing_is_left(tmp_path: Path) -> None:
    places = []

    async def use() -> None:
        async with packed(folder(tmp_path / "in"), "the inputs") as archive:
            places.append(archive.parent)
            raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await use()
    assert [place.exists() for place in places] == [False]
