"""What a download passes on its way to the disk, and who is told how far it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Self

from asyncconn.core.digits import whole
from asyncconn.core.progress import OnProgress, Progress, telling

if TYPE_CHECKING:
    from asyncconn.http.transport import Stream

__all__ = ["Through", "chunks_of"]

#: What the chunks of a download pass on their way to the disk.
Through = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]


def chunks_of(answer: Stream, through: Through | None, on_progress: OnProgress | None) -> AsyncIterator[bytes]:
    """The chunks of an open download, after what they pass."""
    listener = telling(on_progress, "datorama download")
    chunks = answer.__aiter__() if listener is None else _Told(answer, listener)
    return through(chunks) if through else chunks


class _Told:
    """Chunks of which somebody is told. No generator: it may be dropped half-way."""

    def __init__(self, answer: Stream, listener: OnProgress) -> None:
        self._chunks = answer.__aiter__()
        self._total = _size(answer)
        self._done = 0
        self._listener = listener
        self._tell()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self._done += len(chunk)
        self._tell()
        return chunk

    def _tell(self) -> None:
        self._listener(Progress(self._done, self._total, "bytes"))


def _size(answer: Stream) -> int | None:
    """Bytes to come, where that is known: what is compressed on the way has another length."""
    plain = answer.headers.get("Content-Encoding", "identity") == "identity"
    return whole(answer.headers.get("Content-Length")) if plain else None
