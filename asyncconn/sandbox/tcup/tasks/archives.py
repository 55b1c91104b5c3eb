"""Zip files that strangers made: looked at before anything of them is written.

Contract: tcup section 7.3.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from asyncconn.sandbox.tcup.voice import Refused

__all__ = ["check_zip", "is_plain", "unpack"]

_MOST_MEMBERS = 10_000
_MOST_BYTES = 1024**3
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


def is_plain(name: str) -> bool:
    """Whether a relative name stays below where it is put."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and not {"\\", ":", "\0"} & set(name)


def check_zip(data: bytes) -> None:
    """Raises 400 for one that is broken, too large, or reaches out of its folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS or sum(member.file_size for member in members) > _MOST_BYTES:
                raise Refused(400, "the zip holds too much")
            for member in members:
                if not is_plain(member.filename) or stat.S_ISLNK(member.external_attr >> 16):
                    raise Refused(400, f"the zip holds a name that it must not: {member.filename!r}")
            if (bad := archive.testzip()) is not None:
                raise Refused(400, f"the zip is damaged at {bad!r}")
    except _BROKEN:
        raise Refused(400, "the zip cannot be read") from None


def unpack(data: bytes, folder: Path) -> None:
    """Write what :func:`check_zip` let pass."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)
