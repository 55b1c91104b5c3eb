"""An open stream of server-sent events: asked for over the one road, and read by the standard's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from asyncconn.errors import LifecycleError, ProtocolError
from asyncconn.http.sse import EventParser, ServerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from asyncconn.http.requesting import Requests, StreamOptions
    from asyncconn.http.stream import Stream

__all__ = ["EventStream"]

_KIND = "text/event-stream"


class EventStream:
    """One connection's events, by ``async for``. See ``Transport.server_events``.

    ``retry`` is the pause in seconds that the server asks for before the next connection, None if it does not; ``over``
    is whether it wants none (status 204).
    """

    def __init__(
        self, road: Requests, path: str, *, last_id: str, max_event_bytes: int, options: StreamOptions
    ) -> None:
        headers = {**(options.get("headers") or {}), "Accept": _KIND, "Cache-Control": "no-store"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        self._opening: AbstractAsyncContextManager[Stream] = road.stream("GET", path, **{**options, "headers": headers})
        self._what = f"{road.service}: GET {path.partition('?')[0]}"
        self._parser = EventParser(max_bytes=max_event_bytes)
        self._stream: Stream | None = None

    @property
    def retry(self) -> float | None:
        """Seconds."""
        return self._parser.retry

    @property
    def over(self) -> bool:
        """Whether the server has nothing more to say, now and later."""
        return self._stream is not None and self._stream.status == 204

    async def __aenter__(self) -> Self:
        stream = await self._opening.__aenter__()
        kind = stream.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != _KIND and stream.status != 204:
            await self._opening.__aexit__(None, None, None)
            raise ProtocolError(f"{self._what} answered with {kind or 'no content type'} instead of {_KIND}")
        self._stream = stream
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._opening.__aexit__(None, None, None)

    async def __aiter__(self) -> AsyncGenerator[ServerEvent, None]:
        if self._stream is None:
            raise LifecycleError("a stream of events is open only inside its 'async with'")
        async for chunk in self._stream:
            for event in self._parser.feed(chunk):
                yield event
