"""A file on its way out: whole, or the range that was asked for.

Contract: tcup sections 6.4 and 13.31.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from asyncconn.sandbox.exchange import Answer

if TYPE_CHECKING:
    from asyncconn.sandbox.exchange import Call
    from asyncconn.sandbox.tcup.contents import Content

__all__ = ["file_answer"]

_BYTES = "application/octet-stream"
_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)")  # several ranges are no range: all is sent


def file_answer(call: Call, content: Content, name: str, content_type: str = "application/octet-stream") -> Answer:
    """The answer to a GET of bytes that were kept."""
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": content.etag,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
    }
    asked = _asked(call, content)
    if asked is None:
        start, stop, status = 0, content.size, 200
    else:
        start, stop = asked
        if start >= stop:
            refused = {**headers, "Content-Range": f"bytes */{content.size}"}
            return Answer(416, b"the range is not in the file", headers=refused)
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    return Answer(status, b"", content_type, headers, pieces=content.pieces(start, stop), length=stop - start)


def _asked(call: Call, content: Content) -> tuple[int, int] | None:
    match = _RANGE.fullmatch(call.headers.get("Range", "").strip())
    if match is None or not any(match.groups()):
        return None
    if call.headers.get("If-Range", content.etag) != content.etag:
        return None
    first, last = match.groups()
    if not first:
        return max(0, content.size - int(last)), content.size if int(last) else 0
    start, stop = int(first), min(int(last) + 1, content.size) if last else content.size
    return None if last and int(last) < start else (start, stop)
