"""Archives as they should be, and as nobody should make them."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from captures import ATOTI_LIMITS as CAPTURES

from asyncconn.atoti_limits.errors import UiExtensionError
from asyncconn.atoti_limits.offline.ui_extension import extract_ui_extension_sync

MANIFEST = json.dumps(CAPTURES["ui_manifest"]["body"])
SCRIPT = 'fetch("_LIMITS_SERVER_URL/limits");'
FLAT = {name: MANIFEST if name == "manifest.json" else SCRIPT for name in CAPTURES["ui_manifest"]["layouts"]["flat"]}
SPLIT = {
    name: MANIFEST if name.endswith("manifest.json") else SCRIPT for name in CAPTURES["ui_manifest"]["layouts"]["split"]
}
JAVA = {"META-INF/MANIFEST.MF": "Manifest-Version: 1.0", "META-INF/LICENSE": "x", "META-INF/license/x": "y"}

#: Where the fields of a header are: in the directory, in front of the file, and how long they are.
_FIELDS = {"flags": (8, 6, "<H"), "method": (10, 8, "<H"), "crc": (16, 14, "<L"), "compressed": (20, 18, "<L"),
           "size": (24, 22, "<L"), "attributes": (38, None, "<L"), "offset": (42, None, "<L")}  # fmt: skip


def under(root: str, files: Mapping[str, str]) -> dict[str, str]:
    return {root + name: text for name, text in files.items()}


def archive(files: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive of the files; a name that ends in a slash is a directory."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        for name, text in files.items():
            out.writestr(name, text)
    return made.getvalue()


def renamed(data: bytes, old: str, new: str) -> bytes:
    """The archive with an entry of another name of the same length, in the directory and in front of the file."""
    assert len(old.encode()) == len(new.encode())
    assert data.count(old.encode()) == 2
    return data.replace(old.encode(), new.encode())


def patched(data: bytes, name: str, **fields: int) -> bytes:
    """The archive with other values in an entry's two headers."""
    out = bytearray(data)
    directory = data.index(b"PK\x01\x02" + data[data.rindex(name.encode()) - 42 : data.rindex(name.encode())])
    (local,) = struct.unpack_from("<L", data, directory + 42)
    for field, value in fields.items():
        at, in_front, form = _FIELDS[field]
        struct.pack_into(form, out, directory + at, value)
        if in_front is not None:
            struct.pack_into(form, out, local + in_front, value)
    return bytes(out)


def crc(data: bytes) -> int:
    return zlib.crc32(data)


def jar(place: Path, data: bytes | dict[str, str]) -> Path:
    path = place.parent / "limits.jar"
    path.write_bytes(data if isinstance(data, bytes) else archive(data))
    return path


def tree(directory: Path) -> dict[str, str]:
    return {str(p.relative_to(directory)): p.read_text("utf-8") for p in directory.rglob("*") if p.is_file()}


def refused(place: Path, data: bytes | dict[str, str], says: str, **more: Any) -> None:
    """Refused, and nothing left, neither beside the target nor among temporary directories."""
    path = jar(place, data)
    for target in (place / "ui", None):
        with pytest.raises(UiExtensionError, match=says):
            extract_ui_extension_sync(path, target, **more)
        assert list(place.iterdir()) == []
        assert list(Path(tempfile.gettempdir()).iterdir()) == []
