"""Servers of bytes on a loopback socket: what they answer, break off or never say is written down in the test."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from helpers import until

from asyncconn.http.transport import Transport
from asyncconn.hub import Hub
from asyncconn.testing.watching import Quick

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from types import TracebackType


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float
    connection: int

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


@dataclass
class Reply:
    """``raw`` bytes, or an HTTP answer; then the connection is kept, or closed."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    after: float = 0.0  # seconds before the first byte
    close: bool = False
    wait: Callable[[], Awaitable[object]] | None = None  # to be awaited before the first byte
    then: Callable[[], Awaitable[object]] | None = None  # to be awaited after the last byte, before it is closed

    def encoded(self) -> bytes:
        if self.raw is not None:
            return self.raw
        headers = {"Content-Type": "application/json", "Content-Length": str(len(self.body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def saying(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value).encode(), {name.replace("_", "-"): text for name, text in headers.items()})


OK = Reply()
DROP = Reply(raw=b"", close=True)


class Server:
    """Serves each connection as ``serve`` says; whatever is left of them ends with it."""

    def __init__(
        self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]], *, ssl: Any = None
    ) -> None:
        self.port = 0
        self._serve = serve
        self._ssl = ssl
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self._ssl else ''}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._ssl)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            writer.close()
            self._tasks.discard(task)


class Loopback(Server):
    """Answers with ``replies`` in turn, then with ``otherwise`` for ever.

    ``seen`` are the requests, ``most`` is how many of them waited for their answers at once.
    """

    def __init__(
        self, *replies: Reply, otherwise: Reply | Callable[[Seen], Reply | Awaitable[Reply]] = OK, ssl: Any = None
    ) -> None:
        super().__init__(self._talk, ssl=ssl)
        self.replies = deque(replies)
        self.otherwise = otherwise
        self.seen: list[Seen] = []
        self.connections = 0
        self.open = 0
        self.most = self._waiting = 0

    async def arrived(self, count: int = 1) -> None:
        """Wait for so many requests."""
        await until(lambda: len(self.seen) >= count)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while await self._answered(reader, writer, number):
                pass
        finally:
            self.open -= 1

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await _body(reader, headers)
        seen = Seen(method, target, headers, body, asyncio.get_running_loop().time(), connection)
        self.seen.append(seen)
        self._waiting += 1
        self.most = max(self.most, self._waiting)
        try:
            reply = await self._reply_to(seen)
        finally:
            self._waiting -= 1
        writer.write(reply.encoded())
        await writer.drain()
        if reply.then is not None:
            await reply.then()
        return not reply.close

    async def _reply_to(self, seen: Seen) -> Reply:
        """At its time."""
        reply = self.replies.popleft() if self.replies else self.otherwise
        if not isinstance(reply, Reply):
            given = reply(seen)
            reply = given if isinstance(given, Reply) else await given
        if reply.after:
            await asyncio.sleep(reply.after)
        if reply.wait is not None:
            await reply.wait()
        return reply


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


class QuickClock(Quick):
    """The loop's time plus all that was slept: waits are recorded and cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)


@asynccontextmanager
async def road(server: Server | str, **options: Any) -> AsyncIterator[Transport]:
    """A transport to the server over a hub's own session."""
    url = server if isinstance(server, str) else server.url
    async with Hub() as hub:
        yield Transport(lambda: hub.session, service="test", base_url=url, **options)
