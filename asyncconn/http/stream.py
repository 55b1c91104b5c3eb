"""An open download: its chunks as they come, how slow and how large it may be, and its end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from asyncconn.errors import LifecycleError, ProtocolError, ReadTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
    from types import TracebackType

    import aiohttp

    from asyncconn.http.exchange import Exchange

__all__ = ["Pace", "Stream"]


class Stream:
    """An open download: ``status``, ``headers``, and its chunks of bytes by ``async for``."""

    def __init__(self, opened: Callable[[], Awaitable[tuple[Exchange, aiohttp.ClientResponse]]], pace: Pace) -> None:
        self._opened = opened
        self._pace = pace
        self._exchange: Exchange | None = None
        self._chunks: AsyncGenerator[bytes, None] | None = None
        self._reading = self._broken = False
        self.status = 0
        self.headers: Mapping[str, str] = {}

    async def __aenter__(self) -> Self:
        self._exchange, answer = await self._opened()
        self._chunks = self._read(self._exchange)
        self.status, self.headers = answer.status, answer.headers
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._exchange is not None:
            # Not read to its end, the rest of the answer is still on the connection: do not use that again.
            exchange, self._exchange = self._exchange, None
            exchange.close(broken=True)
        chunks, self._chunks = self._chunks, None
        if chunks is not None and not self._reading:  # by another task: the exchange is closed, which ends that
            await chunks.aclose()

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The chunks, each once: who leaves the loop and begins another goes on where it stopped."""
        if self._chunks is None:
            raise LifecycleError("a stream is open only inside its 'async with'")
        if self._broken:
            raise LifecycleError("this stream broke off: what is left of it can only be had by opening another")
        return self._chunks

    async def _read(self, exchange: Exchange) -> AsyncGenerator[bytes, None]:
        async with aclosing(exchange.whole()) as chunks, aclosing(self._pace.kept(chunks)) as kept:
            self._reading = True
            try:
                async for chunk in kept:
                    self._reading = False
                    yield chunk
                    self._reading = True
            except BaseException:
                self._broken = True
                raise
            finally:
                self._reading = False


@dataclass(slots=True, repr=False, eq=False)
class Pace:
    """How slow and how large a download may be; only the time in which nothing came is counted."""

    what: str
    window: float  # seconds
    least: float  # bytes a second
    most: int | None

    async def kept(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The chunks, as long as they keep to it. Raises ``ReadTimeout`` and ``ProtocolError``."""
        now = asyncio.get_running_loop().time
        size = since = 0
        waited = 0.0
        started = now()
        async for chunk in chunks:
            size, since, waited = size + len(chunk), since + len(chunk), waited + now() - started
            if self.most is not None and size > self.most:
                raise ProtocolError(f"{self.what}: the download is larger than max_bytes ({self.most:,})")
            if waited >= self.window:
                if since < self.least * waited:
                    raise ReadTimeout(f"{self.what}: {since / waited:.3g} bytes a second, less than {self.least:g}")
                since, waited = 0, 0.0
            yield chunk
            started = now()
