"""An upload that goes on where it was: 8 MiB at a time, each appended to the file. Contract: tcup sections 6.8, 13.6.

Whether a chunk whose answer was lost has arrived, the catalogue's size tells; whether a file that is there already is
the beginning of this one, its bytes do. So nothing has to be kept here, and another process can go on, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from asyncconn.core.paths import file_path
from asyncconn.core.progress import OnProgress, Progress, telling
from asyncconn.core.retrying import ONCE
from asyncconn.core.threads import in_thread
from asyncconn.errors import Answer, AsyncConnError, ConfigError, Conflict, NotFound, ProtocolError
from asyncconn.http.multipart import Multipart
from asyncconn.http.upload import chunks_of
from asyncconn.tcup.lake_models import LakeFile, answered_uri

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Mapping
    from pathlib import Path

    from asyncconn.http.upload import Source
    from asyncconn.tcup.calling import Service

__all__ = ["CHUNK", "Chunked", "Target"]

CHUNK = 8 * 1024 * 1024  # bytes: an append takes 10 MiB
_UNFINISHED = "..resume"  # of another way to upload: what is so called is replaced
_LONGEST = 3600.0  # seconds in which a chunk may be sent again: over a slow line each time takes long


@dataclass(frozen=True, slots=True)
class Target:
    """Where an upload goes, and what is said of it."""

    filename: str
    mode: str
    place: Mapping[str, Any]  # savepoint, directory
    content_type: str = "application/octet-stream"
    fields: Mapping[str, str] = field(default_factory=dict)  # metadata, comment

    @property
    def params(self) -> dict[str, Any]:
        """The query of the call."""
        return {"filename": self.filename, **self.place, "mode": self.mode}

    @property
    def form(self) -> Multipart:
        """The form around the file."""
        return Multipart("file", self.filename, content_type=self.content_type, fields=self.fields)


class Feed:
    """A source that is read in pieces of a wanted size."""

    def __init__(self, make: Callable[[], AsyncIterable[bytes]]) -> None:
        self._make = make
        self._chunks: Any = None
        self._held = b""

    async def take(self, size: int) -> bytes:
        """The next so many bytes; fewer only at the end."""
        if self._chunks is None:
            self._chunks = aiter(self._make())
        pieces, there = [self._held], len(self._held)
        while there < size and (more := await anext(self._chunks, None)) is not None:
            if not isinstance(more, bytes | bytearray | memoryview):
                raise ConfigError(f"the chunks of an upload are bytes, not {type(more).__name__}")
            pieces.append(bytes(more))
            there += len(more)
        whole = b"".join(pieces)
        self._held = whole[size:]
        return whole[:size]

    async def restart(self) -> None:
        """From the beginning."""
        await self.aclose()
        self._chunks, self._held = None, b""

    async def aclose(self) -> None:
        """Let go of the source."""
        if (close := getattr(self._chunks, "aclose", None)) is not None:
            await close()


class Chunked:
    """One upload: what its file is read from, where it goes, and how far it is.

    ``once`` is a source that cannot be begun again; ``entry`` looks a file up in the catalogue.
    """

    def __init__(
        self,
        service: Service,
        entry: Callable[[str], Any],
        target: Target,
        source: Source,
        *,
        once: bool,
        on_progress: OnProgress | None,
    ) -> None:
        self._service = service
        self._entry = entry
        self._target = target
        self._source = source
        self._once = once
        self._report = telling(on_progress, "upload in chunks")
        self._file: Path | None = None
        self._stamp: tuple[int, int] | None = None
        self._total: int | None = None
        self._uri = ""
        self._before = 0  # bytes that an appended file had

    async def run(self) -> str:
        """Send all of it; the file's URI."""
        make, self._total = await chunks_of(self._source)
        if not callable(self._source) and not isinstance(self._source, bytes):
            self._file = file_path(self._source, "the upload")
            self._stamp = await in_thread(_stamp, self._file)
        feed = Feed(make)
        try:
            done = await self._begin(feed)
            while chunk := await feed.take(CHUNK):
                await self._append(chunk, done)
                done += len(chunk)
                del chunk  # or it would be there beside the next one
        finally:
            await feed.aclose()
        if self._total is not None and done != self._total:
            raise ConfigError("the file changed its size while it was uploaded")
        if (size := await self._size()) != self._before + done:
            raise self._disturbed(size, self._before + done)
        return self._uri

    async def _begin(self, feed: Feed) -> int:
        """Send the first chunk, or find what is there; the bytes that are done."""
        if self._target.mode == "APPEND" and (there := await self._there()):
            self._uri = there
            self._before = await self._size()
            return 0
        first = await feed.take(CHUNK)
        lost = False

        async def attempt() -> int:
            nonlocal lost
            if lost and (there := await self._there()) and await self._is(there, first):
                self._uri = there
                return len(first)
            try:
                self._uri = await self._send(first, 0, self._target)
            except Conflict:
                if self._target.mode != "RESTRICT" or self._once or (going := await self._going_on(feed)) is None:
                    raise
                return going
            except AsyncConnError as error:
                lost = lost or error.maybe_sent
                raise
            return len(first)

        done: int = await self._repeated(attempt)
        return done

    async def _append(self, chunk: bytes, done: int) -> None:
        """Send one more. What the catalogue says of the size decides whether it has arrived already."""
        # What is not said again of a file stays as it is.
        target = replace(self._target, mode="APPEND", fields=self._target.fields if self._first(done) else {})
        start = self._before + done
        lost = False

        async def attempt() -> None:
            nonlocal lost
            if lost and (size := await self._size()) != start:
                if size == start + len(chunk):
                    return
                raise self._disturbed(size, start)
            try:
                await self._send(chunk, done, target)
            except AsyncConnError as error:
                lost = lost or error.maybe_sent
                raise

        await self._repeated(attempt)

    def _first(self, done: int) -> bool:
        return done == 0 and self._target.mode == "APPEND"

    async def _send(self, chunk: bytes, done: int, target: Target) -> str:
        """One attempt; what the answer says."""
        if self._file is not None and await in_thread(_stamp, self._file) != self._stamp:
            raise ConfigError(f"{self._file} changed while it was uploaded")
        report = self._report

        def tell(now: Progress) -> None:
            if report is not None:
                report(Progress(done + now.done, self._total, "bytes"))

        answer = await self._service.upload(
            "files.upload", chunk, params=target.params, form=target.form, on_progress=tell, retry=ONCE
        )
        return answered_uri(answer)

    async def _repeated(self, attempt: Callable[[], Any]) -> Any:
        policy = self._service.http.retry
        patient = replace(policy, deadline=max(policy.deadline, _LONGEST))
        return await self._service.http.repeat(attempt, idempotent=True, retry=patient)

    # -- what is there -------------------------------------------------------------------------------------------------

    async def _there(self) -> str | None:
        """The URI of a file of that name in that place."""
        try:
            answer = await self._service.request(
                "files.status",
                ids={"filename": self._target.filename},
                params=self._target.place,
                headers={"Accept": "text/plain"},
            )
        except NotFound:
            return None
        told = answer.text.strip()
        return None if not told or told.endswith(_UNFINISHED) else answered_uri(answer)

    async def _size(self) -> int:
        found: LakeFile = await self._entry(self._uri)
        if not isinstance(found.size_bytes, int):
            raise ProtocolError(f"tcup: the catalogue tells no size of {self._uri}")
        return found.size_bytes

    async def _is(self, uri: str, data: bytes) -> bool:
        """Whether that is all that the file is."""
        at = 0
        async with self._service.stream("files.download", params={"file-uri": uri}) as stream:
            async for piece in stream:
                if data[at : at + len(piece)] != piece:
                    return False
                at += len(piece)
        return at == len(data)

    async def _going_on(self, feed: Feed) -> int | None:
        """The size of what is there, if it is the beginning of this source, which is then read as far; else None."""
        there = await self._there()
        if there is None:
            return None
        await feed.restart()
        at = 0
        async with self._service.stream("files.download", params={"file-uri": there}) as stream:
            async for piece in stream:
                if await feed.take(len(piece)) != piece:
                    return None
                at += len(piece)
        self._uri = there
        return at

    def _disturbed(self, size: int, expected: int) -> Conflict:
        said = f"{self._uri} has {size:,} bytes and not {expected:,}: somebody else is changing it"
        return Conflict(said, Answer("tcup", 409))


def _stamp(file: Path) -> tuple[int, int]:
    try:
        there = file.stat()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    return there.st_size, there.st_mtime_ns
