"""``replay``: a session that answers from a file, without a network."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from multidict import CIMultiDict, CIMultiDictProxy

from asyncconn.core.paths import file_path
from asyncconn.errors import ConfigError
from asyncconn.testing.recording import body_of
from asyncconn.testing.tape import Played, read_tape, without_named

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator

    import aiohttp

__all__ = ["replay"]


def replay(path: str | os.PathLike[str]) -> aiohttp.ClientSession:
    """A session for ``Hub(session=...)`` that answers as the file of a :func:`record` says, and asks nobody.

        >>> async with Hub(session=replay("plan.jsonl")) as hub:
        ...     print(await Acme(base_url=url, auth=TokenAuth("any"), hub=hub).plan())

    A call gets the first answer not yet used to the same method, URL and body; what was masked in these may be
    anything, and a body that is streamed is not compared. One that is not there raises ``ConfigError``, which is not
    repeated, as does a file that cannot be read. Rate limits are not used up.
    """
    return cast("aiohttp.ClientSession", _Replay(Path(file_path(path, "the recording"))))


class _Replay:
    """What our transport uses of a session."""

    closed = False
    connector = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left: list[Played] | None = None
        self._reading = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<replay of {self._path}>"

    async def request(self, method: str, url: Any, *, data: Any, **options: Any) -> _Answer:
        """The recorded answer."""
        async with self._reading:
            if self._left is None:
                self._left = await asyncio.to_thread(read_tape, self._path)
        body = body_of(data)
        found = next((one for one in self._left if one.fits(method, str(url), body)), None)
        if found is None:
            raise ConfigError(self._missing(method, url, body))
        self._left.remove(found)
        return _Answer(found)

    def _missing(self, method: str, url: Any, body: bytes | None) -> str:
        others = [one for one in self._left or () if one.method == method and one.url.partition("?")[0] == _bare(url)]
        if others:
            why = f"{len(others)} are left for it with another query or body"
        else:
            left = dict.fromkeys(f"{one.method} {one.url.partition('?')[0]}" for one in self._left or ())
            why = f"left are {', '.join(list(left)[:5]) or 'none'}"
        return f"{self._path} holds no answer to {method} {without_named(_bare(url))} with this body: {why}"

    async def close(self) -> None:
        """Nothing to close."""


def _bare(url: Any) -> str:
    return str(url).partition("?")[0]


class _Answer:
    """What our transport uses of an answer."""

    def __init__(self, played: Played) -> None:
        self.method = played.method
        self.status = played.status
        self.headers = CIMultiDictProxy(CIMultiDict(played.answer_headers))
        self.content = self
        self.content_length = self.total_bytes = len(played.answer)
        self._body = played.answer

    @property
    def content_type(self) -> str:
        """The media type without parameters."""
        return self.headers.get("Content-Type", "application/octet-stream").partition(";")[0].strip()

    async def read(self) -> bytes:
        """The body."""
        return self._body

    async def iter_any(self) -> AsyncIterator[bytes]:
        """The body, in one piece."""
        if self._body:
            yield self._body

    def close(self) -> None:
        """Nothing to close."""

    release = close
