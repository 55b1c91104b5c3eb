"""A multipart body, read as it arrives: no part is held whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Malformed", "Part", "read_parts"]

_MOST_HEADER_BYTES = 16 * 1024


class Malformed(Exception):
    """The body is no multipart body, or does not come to its end."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part; its ``pieces`` are there until the next part is asked for."""

    name: str
    filename: str | None
    content_type: str | None
    pieces: AsyncIterator[bytes] = field(repr=False)

    async def text(self, most: int) -> str:
        """It as text. Raises :class:`Malformed` above ``most`` bytes, or when it is not UTF-8."""
        held = bytearray()
        async for piece in self.pieces:
            held += piece
            if len(held) > most:
                raise Malformed(f"the part {self.name} has more than {most} bytes")
        try:
            return held.decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"the part {self.name} is not UTF-8") from error


async def read_parts(content_type: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[Part]:
    """The parts, one after the other; what is left of one is skipped. Raises :class:`Malformed`."""
    boundary = _message("Content-Type", content_type).get_boundary()
    if not content_type.lower().startswith("multipart/") or not boundary:
        raise Malformed("the body is not multipart")
    reader = _Reader(pieces)
    mark = b"--" + boundary.encode()
    await reader.skip(mark)
    while not await reader.begins(b"--"):
        headers = (await reader.until(b"\r\n\r\n")).decode(errors="replace")
        part = _part(headers, reader.upto(b"\r\n" + mark))
        yield part
        async for _ in part.pieces:
            pass
    await reader.drain()


def _part(headers: str, pieces: AsyncIterator[bytes]) -> Part:
    found = {}
    for line in headers.split("\r\n"):
        name, _, value = line.partition(":")
        found[name.strip().lower()] = value.strip()
    disposition = _message("Content-Disposition", found.get("content-disposition", ""))
    name = disposition.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        raise Malformed("a part has no name")
    filename = disposition.get_filename()
    # Percent-encoded or raw, as the client likes: no name may hold a percent sign.
    return Part(name, None if filename is None else unquote(filename), found.get("content-type"), pieces)


def _message(name: str, value: str) -> Message:
    message = Message()
    message[name] = value.replace("\r", " ").replace("\n", " ")
    return message


class _Reader:
    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._held = bytearray()

    async def _more(self) -> None:
        try:
            self._held += await anext(self._pieces)
        except StopAsyncIteration:
            raise Malformed("the multipart body ends too early") from None

    async def begins(self, mark: bytes) -> bool:
        while len(self._held) < len(mark):
            await self._more()
        return self._held.startswith(mark)

    async def until(self, mark: bytes) -> bytes:
        while (at := self._held.find(mark)) < 0:
            if len(self._held) > _MOST_HEADER_BYTES:
                raise Malformed("the headers of a part have no end")
            await self._more()
        found = bytes(self._held[:at])
        del self._held[: at + len(mark)]
        return found

    async def skip(self, mark: bytes) -> None:
        async for _ in self.upto(mark):
            pass

    async def upto(self, mark: bytes) -> AsyncIterator[bytes]:
        while (at := self._held.find(mark)) < 0:
            sure = len(self._held) - len(mark) + 1
            if sure > 0:
                yield bytes(self._held[:sure])
                del self._held[:sure]
            await self._more()
        if at:
            yield bytes(self._held[:at])
        del self._held[: at + len(mark)]

    async def drain(self) -> None:
        async for _ in self._pieces:
            pass
