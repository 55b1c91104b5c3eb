"""What a file holds: bytes, of a large one their digest alone, or bytes that are made while they are sent."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Content", "Gathering", "Generated", "Stored", "joined", "stored"]

_BLOCK = 64 * 1024


class Content(Protocol):
    """``size`` in bytes, the SHA-256 of all of it, and the bytes themselves."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    @property
    def sha256(self) -> str:
        """As hexadecimal digits."""
        ...

    @property
    def etag(self) -> str:
        """A strong one, in its quotes."""
        ...

    @property
    def kept(self) -> bool:
        """Whether the bytes can be had."""
        ...

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` to before ``stop``, if they were kept."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """What was sent here; ``chunks`` is None where it was too large to keep. Versions of a file share their chunks."""

    size: int
    digest: Any = field(repr=False)  # a hashlib object, to be copied and never updated
    chunks: tuple[bytes, ...] | None = field(repr=False)

    @property
    def sha256(self) -> str:
        """As hexadecimal digits."""
        return str(self.digest.hexdigest())

    @property
    def etag(self) -> str:
        """A strong one, in its quotes."""
        return f'"{self.sha256[:32]}"'

    @property
    def kept(self) -> bool:
        """Whether the bytes can be had."""
        return self.chunks is not None

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` to before ``stop``, if they were kept."""
        at = 0
        for chunk in self.chunks or ():
            lower, upper = max(start - at, 0), min(stop - at, len(chunk))
            for place in range(lower, upper, _BLOCK):
                yield chunk[place : min(place + _BLOCK, upper)]
            at += len(chunk)


def stored(data: bytes) -> Stored:
    """These bytes."""
    return Stored(len(data), hashlib.sha256(data), (data,))


def joined(first: Stored, second: Stored, keep: int) -> Stored:
    """One after the other; bytes are kept up to ``keep`` of them. The second one's must be there."""
    digest = first.digest.copy()
    for chunk in second.chunks or ():
        digest.update(chunk)
    size = first.size + second.size
    chunks = None if first.chunks is None or second.chunks is None else first.chunks + second.chunks
    return Stored(size, digest, chunks if size <= keep else None)


class Gathering:
    """Takes pieces as they come; keeps the bytes of at most ``keep``, and the digest of any number."""

    def __init__(self, keep: int) -> None:
        self.size = 0
        self._keep = keep
        self._digest = hashlib.sha256()
        self._chunks: list[bytes] | None = []

    def add(self, piece: bytes) -> None:
        """The next piece."""
        self.size += len(piece)
        self._digest.update(piece)
        if self.size > self._keep:
            self._chunks = None
        elif self._chunks is not None:
            self._chunks.append(piece)

    def done(self) -> Stored:
        """All of it."""
        return Stored(self.size, self._digest, None if self._chunks is None else tuple(self._chunks))


@dataclass(frozen=True)
class Generated:
    """``size`` bytes that nobody keeps, the same for the same seed; no two blocks of them are alike."""

    size: int
    seed: int | str = 0

    @property
    def kept(self) -> bool:
        """They are made again at any time."""
        return True

    @property
    def sha256(self) -> str:
        """As hexadecimal digits; all bytes are made for it."""
        digest = hashlib.sha256()
        for piece in self.pieces(0, self.size):
            digest.update(piece)
        return digest.hexdigest()

    @property
    def etag(self) -> str:
        """A strong one, in its quotes."""
        return f'"{hashlib.sha256(repr((self.size, self.seed)).encode()).hexdigest()[:32]}"'

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` to before ``stop``."""
        block = random.Random(self.seed).randbytes(_BLOCK)  # noqa: S311 - protects nothing, and must be repeatable
        for number in range(start // _BLOCK, -(-stop // _BLOCK)):
            at = number * _BLOCK
            yield (number.to_bytes(8) + block[8:])[max(0, start - at) : stop - at]
