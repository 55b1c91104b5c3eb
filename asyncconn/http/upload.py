"""Uploads from disk or from a stream: never whole in memory, and made anew for each attempt."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from asyncconn.core.durations import positive
from asyncconn.core.paths import file_path
from asyncconn.core.progress import OnProgress, Progress, telling
from asyncconn.core.retrying import ONCE
from asyncconn.core.threads import in_thread
from asyncconn.errors import AsyncConnError, ConfigError, ReadTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from asyncconn.http.multipart import Multipart
    from asyncconn.http.requesting import RequestOptions, Requests
    from asyncconn.http.response import Response

__all__ = ["Source", "chunks_of", "upload"]

#: What can be uploaded: a file's path, bytes, or a function that makes the chunks anew for each attempt.
Source = str | os.PathLike[str] | bytes | Callable[[], AsyncIterable[bytes]]

_PIECE = 256 * 1024  # bytes that are read at a time
_LONGEST = 7 * 86_400.0  # seconds of an attempt: what ends one are those in which nothing moves
_ENDING = 1.0  # seconds that a source may take to end once its attempt has failed
_IDEMPOTENT = frozenset({"PUT", "DELETE"})


async def upload(
    road: Requests,
    method: str,
    path: str,
    source: Source,
    *,
    on_progress: OnProgress | None,
    idle_timeout: float,
    form: Multipart | None,
    options: RequestOptions,
) -> Response:
    """See ``Transport.upload``."""
    positive("idle_timeout", idle_timeout)
    given: Any = source
    report = telling(on_progress, "upload") or _nobody
    if form is not None:
        options = {**options, "headers": {**(options.get("headers") or {}), "Content-Type": form.header}}
    if isinstance(given, bytes) and form is None:  # in one piece, which credentials that sign a body can see
        report(Progress(0, len(given), "bytes"))
        response = await road.request(method, path, data=given, **options)
        report(Progress(len(given), len(given), "bytes"))
        return response
    retry = options.get("retry")
    idempotent = options.get("idempotent")
    what = f"{road.service}: {method} {path.partition('?')[0]}"

    async def once() -> Response:
        make, size = await chunks_of(source)
        body = _Body(make, size, report, idle_timeout, form)
        around = 0 if form is None else len(form.head) + len(form.tail)
        length = {} if size is None else {"Content-Length": str(size + around)}
        headers = {**(options.get("headers") or {}), **length}
        every = {"timeout": _LONGEST, **options, "headers": headers, "retry": ONCE}
        try:
            async with asyncio.timeout(None) as body.patience:
                return await road.request(method, path, data=body.begin, **every)
        except TimeoutError as error:
            raise ReadTimeout(f"{what}: nothing moved for {idle_timeout:g} s") from error
        except AsyncConnError:
            if body.fault is None:
                raise
        finally:
            await body.aclose()
        raise body.fault

    harmless = method.upper() in _IDEMPOTENT if idempotent is None else idempotent
    answered: Response = await road.repeat(once, idempotent=harmless, retry=retry)
    return answered


async def chunks_of(source: Source) -> tuple[Callable[[], AsyncIterable[bytes]], int | None]:
    """What makes the chunks of a source, and how many bytes they are, where that is known. Raises ``ConfigError``."""
    given: Any = source
    if callable(given):
        return given, None
    if isinstance(given, bytes):
        return partial(_slices, given), len(given)
    file = file_path(given, "the upload")
    return partial(_pieces, file), await in_thread(_size, file)


class _Body:
    """What one attempt sends: counted, watched, and closed when the attempt is over."""

    def __init__(
        self,
        make: Callable[[], AsyncIterable[bytes]],
        size: int | None,
        report: OnProgress,
        idle: float,
        form: Multipart | None,
    ) -> None:
        self._make = make
        self._form = form
        self._around: list[bytes] = []  # what is still to come of the form: its head, its tail
        self._size = size
        self._report = report
        self._idle = idle
        self._chunks: Any = None
        self._reading = asyncio.Lock()
        self._sent = 0
        self.patience = asyncio.timeout(None)
        self.fault: Exception | None = None

    def begin(self) -> Self:
        """From its beginning: with a newer token, the same attempt may send it twice."""
        if self.fault is not None:
            raise self.fault
        self._chunks = aiter(self._make())
        self._around = [] if self._form is None else [self._form.tail, self._form.head]
        self._sent = 0
        self._moved()
        return self

    def _moved(self) -> None:
        self._report(Progress(self._sent, self._size, "bytes"))
        self.patience.reschedule(asyncio.get_running_loop().time() + self._idle)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        async with self._reading:
            try:
                return await self._next()
            except StopAsyncIteration:
                raise
            except Exception as error:
                self.fault = error  # the library underneath takes it for a broken connection
                raise

    async def _next(self) -> bytes:
        if len(self._around) == 2:
            return self._around.pop()
        try:
            chunk: Any = await anext(self._chunks)
        except StopAsyncIteration:
            if self._size is not None and self._sent < self._size:
                raise self._changed() from None
            self._moved()
            if self._around:
                return self._around.pop()
            raise
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise ConfigError(f"the chunks of an upload are bytes, not {type(chunk).__name__}")
        self._sent += len(chunk)
        if self._size is not None and self._sent > self._size:
            raise self._changed()
        self._moved()
        return chunk if isinstance(chunk, bytes) else bytes(chunk)

    def _changed(self) -> ConfigError:
        return ConfigError("the file changed its size while it was uploaded")

    async def aclose(self) -> None:
        """Let the source end: after whoever is reading it, who has been cancelled by now. Nothing of it is kept."""
        close = getattr(self._chunks, "aclose", None)
        self._make = _nothing  # the library underneath holds on to a request, and so to this, for a while
        if close is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_ENDING), self._reading:
                    await close()


def _nobody(progress: Progress) -> None:
    pass


def _nothing() -> AsyncIterable[bytes]:
    return _slices(b"")


def _size(file: Path) -> int:
    try:
        there = file.stat()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(there.st_mode):
        raise ConfigError(f"{file} is no file: what is none can be uploaded by a function that makes its chunks")
    return there.st_size


async def _slices(data: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]


async def _pieces(file: Path) -> AsyncGenerator[bytes, None]:
    opened: list[BinaryIO] = []  # whoever is cancelled while it is opened has it open, and must close it
    try:
        try:
            await in_thread(lambda: opened.append(file.open("rb")))
            while piece := await in_thread(opened[0].read, _PIECE):
                yield piece
        finally:
            for stream in opened:
                await in_thread(stream.close)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
