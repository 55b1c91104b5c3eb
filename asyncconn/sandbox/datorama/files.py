"""Files to download: a CSV of any size and a zip around it, made piece by piece while they are sent.

Contract: datorama sections 3.6 and 3.9.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from asyncconn.sandbox.exchange import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["bytes_of_csv", "csv_pieces", "file_answer", "zip_pieces", "zipped"]

_HEADER = b"Day,Campaign Key,Clicks\n"
_ROW = b"%s,campaign-%05d,%05d\n"  # 32 bytes: a date, a campaign, a number
_ROW_BYTES = 32
_ROWS_A_PIECE = 2048


def _rows(size_bytes: int) -> int:
    return max(1, (size_bytes - len(_HEADER)) // _ROW_BYTES)


def bytes_of_csv(size_bytes: int) -> int:
    """The length of :func:`csv_pieces`: whole rows, at least one, in ``size_bytes`` at most if they fit."""
    return len(_HEADER) + _rows(size_bytes) * _ROW_BYTES


def csv_pieces(day: str, size_bytes: int) -> Iterator[bytes]:
    """A header and rows of ``day``."""
    yield _HEADER
    number = _rows(size_bytes)
    some = b"".join(_ROW % (day.encode(), n, n * 7 % 100_000) for n in range(min(number, _ROWS_A_PIECE)))
    for sent in range(0, number, _ROWS_A_PIECE):
        yield some[: (number - sent) * _ROW_BYTES]


class _Sink(io.RawIOBase):
    """Takes what a zip file writes, and gives it on. It cannot seek, so the zip is written front to back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload] # any buffer, as RawIOBase promises
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zip_pieces(name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A zip with one file in it, stored as it is, so that its size is known beforehand."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        with archive.open(zipfile.ZipInfo(name), "w") as file:
            for piece in pieces:
                file.write(piece)
                yield sink.take()
        yield sink.take()
    yield sink.take()


def zipped(name: str, pieces: Iterable[bytes], size_bytes: int) -> Answer:
    """``pieces``, of ``size_bytes`` together, as a zip."""
    overhead = sum(map(len, zip_pieces(name, [b""])))
    return file_answer(zip_pieces(name, pieces), overhead + size_bytes, "application/zip")


def file_answer(pieces: Iterable[bytes], size_bytes: int, content_type: str = "text/csv") -> Answer:
    """A file, sent as it is made."""
    return Answer(200, b"", content_type, pieces=pieces, length=size_bytes)
