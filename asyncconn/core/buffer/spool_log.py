"""What a spool's write-ahead log holds behind a place that cannot be read: SQLite's recovery ends there in silence.

Pure. The format is that of https://www.sqlite.org/fileformat2.html, section 4.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass

__all__ = ["lost_commit"]

_HEADER = 32  # bytes
_FRAME = 24  # bytes before each page
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}  # the order of bytes in which the checksums were made
_VERSION = 3_007_000
_MASK = 0xFFFF_FFFF

Sums = tuple[int, int]


def lost_commit(log: bytes) -> bool:
    """Whether a commit lies behind a frame that is not as it was written: records that recovery would leave out.

    What a killed process leaves is no loss: a last frame that is not whole, frames without a commit, and those of the
    time before SQLite began the log anew. A damaged header loses all there is behind it.
    """
    if len(log) <= _HEADER:
        return False
    found = _Log.of(log)
    return found is None or found.loses(found.first_bad())


@dataclass(frozen=True, slots=True)
class _Log:
    data: bytes
    order: str
    size: int  # of a frame with its page
    salts: bytes
    sums: Sums  # of the header, where the chain of checksums begins

    @classmethod
    def of(cls, data: bytes) -> _Log | None:
        magic, version, page = struct.unpack_from(">III", data)
        order = _MAGIC.get(magic)
        if order is None or version != _VERSION or not 512 <= page <= 65536 or page & (page - 1):
            return None
        sums = _summed(data[:24], order, (0, 0))
        if sums != struct.unpack_from(">II", data, 24):
            return None
        return cls(data, order, _FRAME + page, data[16:24], sums)

    def first_bad(self) -> int:
        """Where the first frame begins that does not fit to those before it, or the end."""
        at, sums = _HEADER, self.sums
        while self.is_ours(at) and (sums := self.summed(at, sums)) == self.told(at):
            at += self.size
        return at

    def loses(self, bad: int) -> bool:
        """Whether there is a commit behind this frame that once belonged to what lies before it.

        A frame behind it may also be left over from a transaction that was given up: those stand in their places, and
        the checksum of a commit that was not written to its end does not fit to the frame before.
        """
        at = self.data.find(self.salts, bad + 9) - 8  # it may stand anywhere, where bytes are missing
        while at > bad:
            if self.is_ours(at) and self.commits(at) and self.belongs(at, bad):
                return True
            at = self.data.find(self.salts, at + 9) - 8
        return False

    def belongs(self, at: int, bad: int) -> bool:
        """Whether this frame was written behind those before it, of which the first ``bad`` one is no guide."""
        before = at - self.size
        if (at - bad) % self.size or not self.is_ours(before) or self.summed(at, self.told(before)) == self.told(at):
            return True
        if before > bad:
            return False
        mended = self.summed(bad, self.told(bad - self.size) if bad > _HEADER else self.sums)
        return self.summed(at, mended) == self.told(at)  # the bad one's checksum is what is bad

    def is_ours(self, at: int) -> bool:
        """Whether a whole frame begins there that was written since the log began anew."""
        return at >= _HEADER and at + self.size <= len(self.data) and self.data[at + 8 : at + 16] == self.salts

    def commits(self, at: int) -> bool:
        """Whether a frame ends a transaction."""
        return self.data[at + 4 : at + 8] != b"\0\0\0\0"

    def told(self, at: int) -> Sums:
        """The checksum that a frame says it has."""
        first, second = struct.unpack_from(">II", self.data, at + 16)
        return first, second

    def summed(self, at: int, before: Sums) -> Sums:
        """The checksum that a frame has behind one with the checksum ``before``."""
        sums = _summed(self.data[at : at + 8], self.order, before)
        return _summed(self.data[at + _FRAME : at + self.size], self.order, sums)


def _summed(data: bytes, order: str, sums: Sums) -> Sums:
    words = array("I", struct.unpack(f"{order}{len(data) // 4}I", data))
    first, second = sums
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second
