"""Zip files for a task: a directory packed, or a file looked through, with nothing in it that leads out of its folder.

A directory gives the same bytes wherever and whenever it is packed. Contract: tcup section 7.3.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import zipfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from asyncconn.core.paths import file_path
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError
from asyncconn.tcup.names import is_plain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

__all__ = ["packed"]

_WHEN = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip file knows: when it was packed is nobody's business
_UNIX = 3
_PIECE = 1024 * 1024  # bytes
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # nor a wait for the writer of a pipe


@asynccontextmanager
async def packed(source: str | os.PathLike[str], what: str) -> AsyncGenerator[Path, None]:
    """The zip file to send: ``source`` itself, or a temporary one of the directory that it is.

        >>> async with packed("inputs", "the inputs") as archive:
        ...     print(archive.stat().st_size)

    Raises ``ConfigError``, naming ``what`` it is: for a source that is neither or cannot be read, a link or a device
    within a directory, and a member whose name leads elsewhere or is no plain name.
    """
    path = file_path(source, what)
    with _readable(path, what):
        whole = not await in_thread(path.is_dir)
        if whole:
            await in_thread(_look_through, path, what)
    if whole:
        yield path
        return
    place = Path(await in_thread(tempfile.gettempdir)) / f"asyncconn-{uuid4().hex}"
    try:
        with _readable(path, what):
            await in_thread(place.mkdir, 0o700)
            await _pack(path, place / "packed.zip", what)
        yield place / "packed.zip"
    finally:
        await in_thread(shutil.rmtree, place, True)


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{what}: {error.filename or path} cannot be read: {error.strerror}") from error


async def _pack(folder: Path, archive: Path, what: str) -> None:
    members = await in_thread(lambda: list(_members(folder, "", what)))
    file = await in_thread(zipfile.ZipFile, archive, "w", zipfile.ZIP_DEFLATED)
    try:
        for member in members:  # each in a turn of its own: together they may take longer than one turn has
            await in_thread(_add, file, *member)
    finally:
        await in_thread(file.close)


def _members(folder: Path, below: str, what: str) -> Iterator[tuple[str, Path]]:
    """Every file of a directory by its name in the archive, and every directory that has none; in order."""
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        name = f"{below}{entry.name}"
        _plain(name, what)
        if entry.is_symlink():
            raise ConfigError(f"{what}: {name} is a link: put there what it leads to")
        if entry.is_dir():
            inside = list(_members(Path(entry.path), f"{name}/", what))
            yield from inside or [(f"{name}/", Path(entry.path))]
        elif entry.is_file():
            yield name, Path(entry.path)
        else:
            raise ConfigError(f"{what}: {name} is neither a file nor a directory")


def _add(file: zipfile.ZipFile, name: str, path: Path) -> None:
    member = zipfile.ZipInfo(name, _WHEN)
    member.create_system = _UNIX
    if name.endswith("/"):
        member.external_attr = (stat.S_IFDIR | 0o755) << 16
        file.writestr(member, b"")
        return
    with os.fdopen(os.open(path, os.O_RDONLY | _NO_LINK), "rb") as source:
        there = os.fstat(source.fileno())
        if not stat.S_ISREG(there.st_mode):
            raise ConfigError(f"{path} was a file a moment ago")
        member.external_attr = (stat.S_IFREG | (0o755 if there.st_mode & stat.S_IXUSR else 0o644)) << 16
        member.compress_type = zipfile.ZIP_DEFLATED
        member.file_size = there.st_size  # by which the format of a large member is chosen
        with file.open(member, "w") as target:
            shutil.copyfileobj(source, target, _PIECE)


def _look_through(path: Path, what: str) -> None:
    """Refuse what is no zip file, and one with a member that is not what it seems."""
    try:
        with zipfile.ZipFile(path) as file:
            members = file.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise ConfigError(f"{what}: {path} is neither a directory nor a zip file: {error}") from error
    seen: set[str] = set()
    for member in members:
        name = member.orig_filename  # the other one is cut at what is no character of a name
        _plain(name.removesuffix("/"), what)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ConfigError(f"{what}: {name} in {path.name} is a link or a device")
        if member.flag_bits & 1:
            raise ConfigError(f"{what}: {name} in {path.name} is encrypted")
        if name in seen:
            raise ConfigError(f"{what}: {name} is twice in {path.name}")
        seen.add(name)


def _plain(name: str, what: str) -> None:
    """Refuse a name that means another place than one below the folder it is unpacked in, on any system."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name or ":" in parts[0]:
        raise ConfigError(f"{what}: {name!r} leads out of its folder")
    if not is_plain(name):
        raise ConfigError(f"{what}: {name!r} holds what no name should")
