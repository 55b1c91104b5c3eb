"""A multipart body, part by part, as it arrives; no part is ever held as a whole.

Contract: tcup sections 2.7, 6.4, 7.3 and 13.10.
"""

from __future__ import annotations

from email.parser import HeaderParser
from typing import TYPE_CHECKING
from urllib.parse import unquote

from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn.sandbox.exchange import Call

__all__ = ["Part", "parts"]

_LONGEST_HEAD = 16 * 1024


class Part:
    """``name`` and ``filename`` of its head, and its bytes, which are there until the next part is asked for."""

    def __init__(self, name: str, filename: str | None, content_type: str, body: AsyncIterator[bytes]) -> None:
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body

    async def read(self, limit: int) -> bytes:
        """All of it. Raises 413 above ``limit`` bytes; the rest is not read then."""
        found = bytearray()
        async for piece in self:
            found += piece
            if len(found) > limit:
                raise Refused(413, f"part {self.name} is larger than {limit:,} bytes")
        return bytes(found)

    async def text(self, limit: int = 1 << 20) -> str:
        """All of it as UTF-8. Raises 400, and 413 above ``limit`` bytes."""
        try:
            return (await self.read(limit)).decode()
        except UnicodeDecodeError:
            raise Refused(400, f"part {self.name} is not UTF-8") from None


async def parts(call: Call) -> AsyncIterator[Part]:
    """The parts of the body. What is left of one is passed over when the next is asked for. Raises 400."""
    head = HeaderParser().parsestr(f"Content-Type: {call.headers.get('Content-Type', '')}\n\n")
    boundary = head.get_param("boundary")
    if head.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise Refused(400, "the body is not multipart/form-data")
    reader = _Reader(call, b"\r\n--" + boundary.encode())
    async for _ in reader.until_boundary():  # what stands before the first one has no meaning
        pass
    while await reader.another():
        part = _part(await reader.head(), reader.until_boundary())
        yield part
        async for _ in part:
            pass


class _Reader:
    def __init__(self, call: Call, boundary: bytes) -> None:
        self._pieces = _once(call.body) if call.pieces is None else call.pieces
        self._boundary = boundary
        self._kept = bytearray(b"\r\n")  # the first boundary has no line before it

    async def until_boundary(self) -> AsyncIterator[bytes]:
        """The bytes before the next boundary, which is taken away, too."""
        while (at := self._kept.find(self._boundary)) < 0:
            safe = len(self._kept) - len(self._boundary)
            if safe > 0:
                piece = bytes(self._kept[:safe])
                del self._kept[:safe]
                yield piece
            await self._more()
        piece = bytes(self._kept[:at])
        del self._kept[: at + len(self._boundary)]
        if piece:
            yield piece

    async def another(self) -> bool:
        """Whether a part follows the boundary; after the last one, the body is read to its end."""
        while len(self._kept) < 2:
            await self._more()
        if self._kept.startswith(b"--"):
            async for _ in self._pieces:
                pass
            return False
        return True

    async def head(self) -> str:
        """The header lines of a part."""
        while (at := self._kept.find(b"\r\n\r\n")) < 0:
            if len(self._kept) > _LONGEST_HEAD:
                raise Refused(400, "the head of a part is too long")
            await self._more()
        head = bytes(self._kept[:at])
        del self._kept[: at + 4]
        return head.decode("utf-8", "replace")

    async def _more(self) -> None:
        try:
            self._kept += await anext(self._pieces)
        except StopAsyncIteration:
            raise Refused(400, "the multipart body is not complete") from None


def _part(head: str, body: AsyncIterator[bytes]) -> Part:
    message = HeaderParser().parsestr(head.lstrip("\r\n"))
    name = message.get_param("name", header="Content-Disposition")
    filename = message.get_param("filename", header="Content-Disposition")
    if not isinstance(name, str) or not name:
        raise Refused(400, "a part has no name")
    # Names cannot hold a percent sign, so one decoding does no harm to those that came raw.
    file = unquote(filename) if isinstance(filename, str) else None
    return Part(name, file, message.get_content_type(), body)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
