"""``record``: what a hub's connectors say and hear, kept in a file without their secrets."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from asyncconn.core.files import replace_file
from asyncconn.core.secret import Secret
from asyncconn.http.compressed import Inflater
from asyncconn.http.redact import Redactor, UnshownText
from asyncconn.testing.tape import Played, without_named, written

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterator

    import aiohttp

    from asyncconn.http.transport import Transport
    from asyncconn.hub import Hub

__all__ = ["body_of", "record"]


@asynccontextmanager
async def record(hub: Hub, path: str | os.PathLike[str]) -> AsyncIterator[None]:
    """Keep what the connectors of ``hub`` send and are answered inside the block, in the file ``path``.

        >>> async with Hub() as hub, record(hub, "plan.jsonl"):
        ...     await Acme(base_url=url, auth=TokenAuth(token), hub=hub).plan()

    A line of JSON for each call that was answered, in the order in which they were sent: method, URL, headers, body,
    and the answer, unpacked, as far as it was read. The file is written when the block ends, replacing the one before.
    Credentials do not get into it: headers that show who asks, what a connector's ``Auth`` calls its secrets, wherever
    they stand, and what JSON and forms call a token, a password, a key or a secret. What answers tell of people is in
    it: look before you publish it. A hub that is not open yet is opened.

    Raises ``OSError`` when the file cannot be written.
    """
    before = (await hub.open()).session
    recorder = _Recorder(hub, before)
    # The hub asks for its session anew for each call.
    hub._session = cast("aiohttp.ClientSession", recorder)
    try:
        yield
    finally:
        if hub._session is not None:
            hub._session = before
        await asyncio.to_thread(replace_file, Path(path), recorder.written())


class _Recorder:
    """Stands where the hub's session stands, and hands all on to it."""

    def __init__(self, hub: Hub, inner: aiohttp.ClientSession) -> None:
        self._hub = hub
        self._inner = inner
        self._calls: list[_Call] = []
        self._roads: dict[int, Transport] = {}
        self._shown: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def request(self, method: str, url: Any, *, data: Any, headers: dict[str, str], **options: Any) -> Any:
        """As the session's."""
        for member in self._hub._members:
            if (road := getattr(member, "http", None)) is not None:
                self._roads[id(road)] = road
        for value in headers.values():
            if isinstance(value, UnshownText):
                self._shown |= {str.__str__(value), *value.split()[1:]}
        call = _Call(method, str(url), list(headers.items()), body_of(data))
        self._calls.append(call)
        answer = await self._inner.request(method, url, data=data, headers=headers, **options)
        call.answered(answer)
        return answer

    def written(self) -> bytes:
        """All that was answered, without the secrets that are known by now."""
        calls = [played for one in self._calls if (played := one.played()) is not None]
        for one in calls:  # what an answer gave as a token may stand anywhere later
            for body in (one.body, one.answer):
                without_named((body or b"").decode("utf-8", "replace"), self._shown.add)
        shown = Redactor(Secret(value) for value in self._shown)
        known = [road.redactor for road in self._roads.values()]

        def scrub(text: str) -> str:
            for redactor in [shown, *known]:
                text = redactor.scrub(text)
            return without_named(text)

        return written(calls, scrub)


class _Call:
    """A call under way; what is read of its answer is kept while it is read."""

    def __init__(self, method: str, url: str, headers: list[tuple[str, str]], body: bytes | None) -> None:
        self._sent = (method, url, [(name, str.__str__(value)) for name, value in headers], body)
        self._answer: aiohttp.ClientResponse | None = None
        self._read: _Tee | None = None

    def answered(self, answer: aiohttp.ClientResponse) -> None:
        """Status and headers are there."""
        self._answer = answer
        self._read = _Tee(answer.content)
        answer.content = cast("aiohttp.StreamReader", self._read)

    def played(self) -> Played | None:
        """None if it was not answered, or its answer broke off."""
        answer, read = self._answer, self._read
        if answer is None or read is None or read.broken:
            return None
        body, headers = b"".join(read.kept), list(answer.headers.items())
        encoding = answer.headers.get("Content-Encoding", "").strip().lower()
        if encoding in ("gzip", "x-gzip", "deflate") and body:
            body = b"".join(Inflater(encoding).feed(body))
        left_out = ("content-encoding", "content-length", "transfer-encoding")  # they are of the answer as it came
        return Played(*self._sent, answer.status, [pair for pair in headers if pair[0].lower() not in left_out], body)


class _Tee:
    """An answer's content, of which a copy is kept as it is read."""

    def __init__(self, inner: aiohttp.StreamReader) -> None:
        self._inner = inner
        self.kept: list[bytes] = []
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def read(self, n: int = -1) -> bytes:
        """As the reader's."""
        with self._watched():
            piece = await self._inner.read(n)
        self.kept.append(piece)
        return piece

    async def iter_any(self) -> AsyncIterator[bytes]:
        """As the reader's."""
        while True:
            with self._watched():
                piece = await self._inner.readany()
            if not piece:
                return
            self.kept.append(piece)
            yield piece

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self.broken = True
            raise


def body_of(data: Any) -> bytes | None:
    """A request's body, where it is at hand; None for forms of several parts and for what is streamed."""
    if data is None:
        return b""
    return bytes(data) if isinstance(data, bytes | bytearray | memoryview) else None
