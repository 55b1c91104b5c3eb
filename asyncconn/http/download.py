"""Downloads to disk: never whole in memory, never half a file under the name that was asked for, gone on with."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from asyncconn.core.digits import whole
from asyncconn.core.files import KeptFile, PartialFile
from asyncconn.core.paths import file_path
from asyncconn.core.progress import OnProgress, Progress, telling
from asyncconn.core.retrying import ONCE
from asyncconn.core.threads import in_thread
from asyncconn.errors import ApiError, ConfigError, ConnectionLost, MaybeSent, ProtocolError
from asyncconn.http.outgoing import build
from asyncconn.http.response import http_date

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from pathlib import Path

    from asyncconn.core.retrying import RetryPolicy
    from asyncconn.http.requesting import Requests, StreamOptions
    from asyncconn.http.stream import Stream

__all__ = ["download", "save"]

_PIECE = 1024 * 1024  # bytes collected before a thread writes them
_NO_MORE = 416  # of an answer: there is nothing at that place of the file
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)").fullmatch  # no file has more bytes


async def save(chunks: AsyncIterator[bytes], path: Path, *, replace: bool = True) -> int:
    """Write ``chunks`` to ``path``; the bytes there were. The file appears when it is complete.

    A new file is readable by its owner alone; one that is replaced keeps its mode, and a symbolic link is followed.
    With ``replace=False`` a file that is there already stays. It is written in a thread. Raises ``ConfigError`` when it
    cannot be written, and what ``chunks`` raises; either way, and when it is cancelled, nothing is left behind.
    """
    partial = PartialFile(file_path(path, "the download"), replace=replace)
    try:
        await in_thread(partial.open)
        size = await _write(chunks, partial)
        await in_thread(partial.finish)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already: remove it, or name the file to write") from error
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        await in_thread(partial.discard)
    return size


async def _write(chunks: AsyncIterator[bytes], partial: PartialFile) -> int:
    """Write what comes, also of what breaks off in the middle."""
    size = held = 0
    pieces: list[bytes] = []
    try:
        async for chunk in chunks:
            pieces.append(chunk)
            held += len(chunk)
            if held >= _PIECE:
                full, pieces, size, held = pieces, [], size + held, 0
                await in_thread(partial.write, full)
    finally:
        await in_thread(partial.write, pieces)
    return size + held


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{path} cannot be written: {error.strerror}")


# -- gone on with ------------------------------------------------------------------------------------------------------


async def download(
    road: Requests,
    path: str,
    to: str | os.PathLike[str],
    *,
    on_progress: OnProgress | None,
    resume: bool,
    options: StreamOptions,
) -> Path:
    """See ``Transport.download``."""
    target = file_path(to, "the download")
    policy = options.get("retry") or road.retry
    if await in_thread(target.is_dir):
        raise ConfigError(f"{target} cannot be written: it is a folder")
    told = telling(on_progress, f"download {target.name}")
    strange = await in_thread(target.exists) and not await in_thread(target.is_file)
    if resume and not strange:
        await _kept(_Download(road, path, KeptFile(target), told, options), policy)
        return target

    async def once() -> None:
        async with _opened(road, path, options, {}) as stream:
            counted = _counted(stream, 0, _length(stream.headers), told)
            async with aclosing(counted):
                await save(counted, target)

    # What is no file, such as a pipe, cannot take back what was written to it.
    await road.repeat(once, idempotent=True, retry=ONCE if strange else policy)
    return target


async def _kept(this: _Download, policy: RetryPolicy) -> None:
    """Attempts until it is there: as many as the policy allows in vain, and any number that bring it on."""
    part = this.part
    try:
        await in_thread(part.open)
        longest = part.size
        while True:
            try:
                await this.road.repeat(this.attempt, idempotent=True, retry=policy)
                break
            except MaybeSent as error:
                if part.size <= longest or policy.attempts == 1 or not policy.allows(error, idempotent=True):
                    raise
                longest = part.size
        await in_thread(part.finish)
    except BlockingIOError as error:
        raise ConfigError(f"{part.path} is being downloaded by somebody else") from error
    except OSError as error:
        raise _unwritable(part.path, error) from error
    finally:
        await in_thread(part.discard)


class _Known(NamedTuple):
    """How the rest of a file is known again, and how large all of it is."""

    validator: str
    total: int | None


class _Download:
    """A file on its way. What is there of it stays in ``part``, whose note says how to know the rest of it again."""

    def __init__(
        self,
        road: Requests,
        path: str,
        part: KeptFile,
        on_progress: OnProgress | None,
        options: StreamOptions,
    ) -> None:
        self.road = road
        self.part = part
        self._path = path
        self._on_progress = on_progress
        self._options = options
        url = build(road.base_url, "GET", path, params=options.get("params"), anywhere=True).url
        if options.get("auth", "own") is None:
            url = url.with_query(None)  # the signature of a presigned address is another one each time
        self._of = hashlib.sha256(str(url).encode()).hexdigest()

    async def attempt(self) -> None:
        """Get the rest of it, or all of it if the server does not have the same any more."""
        known = await in_thread(self._known)
        if known is None or not await self._rest(known):
            async with _opened(self.road, self._path, self._options, {}) as stream:
                if stream.status == 206:
                    raise ProtocolError(f"{self._what}: a part of the file came, and nobody had asked for one")
                total = _length(stream.headers)
                await in_thread(self.part.begin, self._note(stream.headers, total))
                await self._take(stream, total)

    def _known(self) -> _Known | None:
        """What there is to go on with; None where nothing is, or nobody could say whether it still fits."""
        try:
            note = json.loads(self.part.note)
            of, validator, total = note["of"], note["validator"], note["total"]
        except (ValueError, TypeError, LookupError):
            return None
        if of != self._of or not isinstance(total, int | None):
            return None
        if not isinstance(validator, str) or not validator or not _can_be_sent(validator):
            return None
        known = _Known(validator, total)
        if known.total is not None and self.part.size >= known.total > 0:
            self.part.cut(known.total - 1)  # all is there: one byte of it tells whether it still is what the server has
        return known if self.part.size > 0 else None

    def _note(self, headers: Mapping[str, str], total: int | None) -> bytes:
        validator = _validator(headers)
        return json.dumps({"of": self._of, "validator": validator, "total": total}).encode() if validator else b""

    async def _rest(self, known: _Known) -> bool:
        """Get the rest; whether there was one to be had."""
        start = self.part.size
        asking = {"Range": f"bytes={start}-", "If-Range": known.validator}
        try:
            async with _opened(self.road, self._path, self._options, asking) as stream:
                if stream.status != 206:  # it has changed, or the server gives no parts
                    total = _length(stream.headers)
                    await in_thread(self.part.begin, self._note(stream.headers, total))
                    await self._take(stream, total)
                    return True
                tag = stream.headers.get("ETag")
                if tag and known.validator.startswith('"') and tag != known.validator:
                    return False  # a server that does not know If-Range
                total = await self._fitting(stream.headers, start, known.total)
                await self._take(stream, total)
                return True
        except ApiError as error:
            if error.status != _NO_MORE:
                raise
            return False

    async def _fitting(self, headers: Mapping[str, str], start: int, total: int | None) -> int | None:
        """The size of the whole file, if the part is the one that was asked for."""
        found = _RANGE(headers.get("Content-Range", "").strip())
        said = int(found[3]) if found and found[3] != "*" else None
        end = int(found[2]) if found else -1
        if (
            found
            and int(found[1]) == start <= end
            and (said is None or said > end)
            and (said is None or total is None or said == total)
            and not _encoded(headers)
        ):
            return said if said is not None else total
        await in_thread(self.part.begin, b"")  # the next time begins anew
        raise ProtocolError(f"{self._what}: another part of the file came than the one from byte {start:,} on")

    async def _take(self, stream: Stream, total: int | None) -> None:
        counted = _counted(stream, self.part.size, total, self._on_progress)
        async with aclosing(counted):
            await _write(counted, self.part)
        size = self.part.size
        if total is not None and size < total:
            raise ConnectionLost(f"{self._what}: the answer broke off after {size:,} of {total:,} bytes")
        if total is not None and size > total:
            await in_thread(self.part.begin, b"")
            raise ProtocolError(f"{self._what}: {size:,} bytes came, and {total:,} were announced")

    @property
    def _what(self) -> str:
        return f"{self.road.service}: GET {self._path.partition('?')[0]}"


def _opened(road: Requests, path: str, options: StreamOptions, asking: Mapping[str, str]) -> Stream:
    """One attempt; a compressed answer could not be gone on with in the middle."""
    headers = {"Accept-Encoding": "identity", **(options.get("headers") or {}), **asking}
    return road.stream("GET", path, **{**options, "headers": headers, "retry": ONCE})


async def _counted(
    stream: Stream, done: int, total: int | None, on_progress: OnProgress | None
) -> AsyncGenerator[bytes, None]:
    if on_progress is None:
        async for chunk in stream:
            yield chunk
        return
    on_progress(Progress(done, total, "bytes"))
    async for chunk in stream:
        yield chunk
        done += len(chunk)
        on_progress(Progress(done, total, "bytes"))


def _encoded(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Encoding", "").strip().lower() not in ("", "identity")


def _length(headers: Mapping[str, str]) -> int | None:
    """The bytes of the file, where that is known: those that come of a compressed answer are others."""
    return None if _encoded(headers) else whole(headers.get("Content-Length"))


def _validator(headers: Mapping[str, str]) -> str | None:
    """What shows, byte for byte, that a file is still the same (RFC 9110, 8.8); None if nothing does."""
    if _encoded(headers):
        return None
    tag = headers.get("ETag", "").strip()
    if tag.startswith('"') and _can_be_sent(tag):
        return tag
    text = headers.get("Last-Modified", "")
    changed, now = http_date(text), http_date(headers.get("Date", "")) or datetime.now(UTC)
    # Within its second it may change once more.
    old = changed is not None and now - changed >= timedelta(seconds=1)
    return text if old and _can_be_sent(text) else None


def _can_be_sent(validator: str) -> bool:
    """Whether it can go back as a header: servers send other characters, too."""
    return validator.isascii() and validator.isprintable()
