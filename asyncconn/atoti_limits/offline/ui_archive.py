"""A ZIP archive from a stranger: looked over as a whole before any of it is used, and inflated with a measure in hand.

Contract: limits section 8.2, step 2.
"""

from __future__ import annotations

import copy
import re
import stat
import sys
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncconn.atoti_limits.errors import UiExtensionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["Archive", "Bounds"]

_CHUNK = 256 * 1024
_DRIVE = re.compile(r"[A-Za-z]:")
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # traditional, strong, and a masked directory
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCAL_HEADER = 30  # bytes in front of each entry, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much an archive may hold: entries, bytes of one file and of all when inflated.

    A file of more than ``ratio_from_bytes`` may be at most ``max_ratio`` times as large as it is compressed.
    """

    max_entries: int = 20_000
    max_file_bytes: int = 64 * 1024 * 1024
    max_total_bytes: int = 256 * 1024 * 1024
    max_ratio: int = 200
    ratio_from_bytes: int = 1024 * 1024


class Archive:
    """An archive whose entries have all been looked over: names, kinds, claimed sizes.

    Raises ``UiExtensionError`` for what it refuses, here and while inflating.
    """

    def __init__(self, path: Path, bounds: Bounds) -> None:
        self.bounds = bounds
        if not path.is_file():
            raise UiExtensionError(f"{path} is not a file")
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
            raise UiExtensionError(f"{path} cannot be read as an archive: {error}") from error
        try:
            #: Every file in it, by name.
            self.files = self._look_over()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._zip.close()

    def _look_over(self) -> dict[str, zipfile.ZipInfo]:
        entries = self._zip.infolist()
        if len(entries) > self.bounds.max_entries:
            raise UiExtensionError(
                f"{len(entries)} entries in the archive, and at most {self.bounds.max_entries} allowed"
            )
        files: dict[str, zipfile.ZipInfo] = {}
        seen: set[str] = set()
        for entry in entries:
            name = entry.orig_filename  # filename is cut at a NUL
            _check_name(name)
            _check_kind(entry, name)
            if name in seen:
                raise UiExtensionError(f"{name!r} is in the archive twice")
            seen.add(name)
            self._check_size(name, entry.file_size, entry.compress_size)
            if not name.endswith("/"):
                files[name] = entry
        self._check_total(sum(entry.file_size for entry in entries))
        self._check_overlap(entries)
        return files

    def _check_size(self, name: str, size: int, compressed: int) -> None:
        bounds = self.bounds
        if size > bounds.max_file_bytes:
            raise UiExtensionError(f"{name!r} is larger than {bounds.max_file_bytes} bytes")
        if size > bounds.ratio_from_bytes and size > bounds.max_ratio * compressed:
            raise UiExtensionError(f"{name!r} is more than {bounds.max_ratio} times as large as it is compressed")

    def _check_total(self, total: int) -> None:
        if total > self.bounds.max_total_bytes:
            raise UiExtensionError(f"the archive holds more than {self.bounds.max_total_bytes} bytes")

    def _check_overlap(self, entries: list[zipfile.ZipInfo]) -> None:
        """No two entries share bytes: a claimed compressed size is then a real one."""
        ordered = sorted(entries, key=lambda entry: entry.header_offset)
        starts = [*(entry.header_offset for entry in ordered), self._zip.start_dir]
        for entry, end in zip(ordered, starts[1:], strict=True):
            if entry.header_offset + _LOCAL_HEADER + entry.compress_size > end:
                raise UiExtensionError(f"{entry.orig_filename!r} overlaps what comes after it in the archive")

    def under(self, root: str) -> dict[str, zipfile.ZipInfo]:
        """The files below ``root`` (empty, or with a slash at its end) by their names from there.

        Refuses names that a file system may take for the same, and files that are also directories.
        """
        below = {name.removeprefix(root): entry for name, entry in self.files.items() if name.startswith(root)}
        taken: dict[str, str] = {}
        for name in self.files:
            folded = _folded(name)
            if not folded.startswith(_folded(root)):
                continue  # not extracted, so that names in the rest of a JAR may differ in case alone
            if folded in taken:
                raise UiExtensionError(f"{name!r} and {taken[folded]!r} may be the same file")
            taken[folded] = name
        for folded, name in taken.items():
            parents = folded.split("/")[:-1]
            for depth in range(1, len(parents) + 1):
                if (parent := taken.get("/".join(parents[:depth]))) is not None:
                    raise UiExtensionError(f"{parent!r} is a file, and {name!r} is inside it")
        return below

    def inflate(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        """The file's bytes in pieces. Counts what really comes out, and checks size and CRC against the directory."""
        name = entry.orig_filename
        honest = copy.copy(entry)
        honest.file_size = sys.maxsize  # or zipfile would stop at the size that is claimed, and say nothing
        count = 0
        try:
            with self._zip.open(honest) as file:
                while piece := file.read(_CHUNK):
                    count += len(piece)
                    self._check_size(name, count, entry.compress_size)
                    if count > entry.file_size:
                        break
                    yield piece
        except UiExtensionError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
            raise UiExtensionError(f"{name!r} is damaged: {error}") from error
        if count != entry.file_size:
            raise UiExtensionError(f"{name!r} does not have the size that the archive claims: {entry.file_size} bytes")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _check_name(name: str) -> None:
    parts = name.removesuffix("/").split("/")
    if name.startswith("/"):
        wrong = "an absolute name"
    elif _DRIVE.match(name):
        wrong = "a drive letter"
    elif "\\" in name:
        wrong = "a backslash"
    elif "\0" in name:
        wrong = "a NUL"
    elif ".." in parts:
        wrong = "a way out of its directory"
    elif "" in parts or "." in parts:
        wrong = "an empty part"
    else:
        return
    raise UiExtensionError(f"an entry of the archive has {wrong} in its name: {name[:200]!r}")


def _check_kind(entry: zipfile.ZipInfo, name: str) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if name.endswith("/") else stat.S_IFREG):
        raise UiExtensionError(f"{name!r} is a link or another special file")
    if entry.flag_bits & _ENCRYPTED:
        raise UiExtensionError(f"{name!r} is encrypted")
    if entry.compress_type not in _METHODS:
        raise UiExtensionError(f"{name!r} is compressed in a way that is not supported")
