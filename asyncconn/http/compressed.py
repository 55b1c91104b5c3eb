"""Compressed answers, decoded here and not underneath: the library takes one that was cut off for complete."""

from __future__ import annotations

import zlib
from contextlib import aclosing
from typing import TYPE_CHECKING

from asyncconn.errors import ConnectionLost, ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    import aiohttp

__all__ = ["ACCEPTED", "Inflater", "decoded", "read_whole"]

#: What a request accepts, as ``Accept-Encoding``.
ACCEPTED = "gzip, deflate"

_GZIP = frozenset({"gzip", "x-gzip"})
_PLAIN = frozenset({"", "identity"})
_PIECE = 256 * 1024  # bytes that one step may decode to: a bomb is noticed while it is small


class Inflater:
    """Decodes ``gzip`` (one member or several) or ``deflate`` (with its header or, as some servers send it, without).

    Raises ``ValueError`` for what is neither.
    """

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding in _GZIP
        self._decoder = None if not self._gzip else _gzip_decoder()
        self._began = False
        self._over = False  # a member has come to its end, and no other has begun

    @property
    def complete(self) -> bool:
        """Whether what was fed came to its end; nothing at all has none."""
        return self._over

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` decodes to, some at a time."""
        full = False  # a step that gave as much as it may has perhaps more to give
        while data or full:
            if self._over:
                if not self._gzip or not data.strip(b"\0"):  # what pads the end is no member
                    return
                self._decoder, self._over = _gzip_decoder(), False
            if self._decoder is None:
                # RFC 1950: the low half of the first byte is 8, and with it deflate has its header.
                self._decoder = zlib.decompressobj(zlib.MAX_WBITS if data[0] & 15 == 8 else -zlib.MAX_WBITS)
            try:
                piece = self._decoder.decompress(data, _PIECE)
            except zlib.error as error:
                raise ValueError(str(error)) from None
            self._over = self._decoder.eof
            data = self._decoder.unused_data if self._over else self._decoder.unconsumed_tail
            full = len(piece) == _PIECE and not self._over
            if piece:
                yield piece


def _gzip_decoder() -> zlib._Decompress:
    return zlib.decompressobj(16 + zlib.MAX_WBITS)


async def decoded(answer: aiohttp.ClientResponse, what: str) -> AsyncGenerator[bytes, None]:
    """The body of an answer that is still being read, as it was before it was compressed; ``what`` names the call.

    Raises ``ConnectionLost`` when it breaks off or is not what its ``Content-Encoding`` says, ``ProtocolError`` for an
    encoding that is not :data:`ACCEPTED`, except of an error: nothing of that is read.
    """
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding in _PLAIN:
        async for chunk in answer.content.iter_any():
            yield chunk
        return
    inflater: Inflater | None = None
    async for chunk in answer.content.iter_any():
        if not chunk:
            continue
        if inflater is None:  # an answer without a body may name any encoding
            if encoding not in _GZIP and encoding != "deflate":
                if answer.status >= 400:
                    return  # a proxy's page, say: its status is what it means
                raise ProtocolError(f"{what}: the answer is encoded as {encoding[:40]!r}: only {ACCEPTED} can be read")
            inflater = Inflater(encoding)
        try:
            for piece in inflater.feed(chunk):
                yield piece
        except ValueError as error:
            raise ConnectionLost(f"{what}: the answer broke off, or is not {encoding}: {error}") from error
    whole = inflater.complete if inflater is not None else _has_no_body(answer)
    if not whole:
        raise ConnectionLost(f"{what}: the answer broke off: its {encoding} ends in the middle")


def _has_no_body(answer: aiohttp.ClientResponse) -> bool:
    """Whether nothing was all there was to come: not where only the connection's end says so."""
    framed = answer.content_length is not None or "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
    return framed or answer.method == "HEAD" or answer.status in (204, 304)


async def read_whole(answer: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
    """All of an answer's body, decoded. Raises ``ProtocolError`` beyond ``limit`` bytes."""
    length = answer.content_length
    if length is not None and length <= limit and "Content-Encoding" not in answer.headers:
        return await answer.read()
    pieces: list[bytes] = []
    size = 0
    async with aclosing(decoded(answer, what)) as found:
        async for piece in found:
            size += len(piece)
            if size > limit:
                raise ProtocolError(f"{what}: the answer is larger than max_answer_bytes ({limit})")
            pieces.append(piece)
    return b"".join(pieces)
