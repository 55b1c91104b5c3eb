"""What a client calls with: its tokens, and what was seen that later calls have to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.core.unpicklable import Unpicklable
from asyncconn.datorama import wire
from asyncconn.datorama.models import DataStream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.core.clock import Clock
    from asyncconn.datorama.pool import TokenPool

__all__ = ["Calling"]


class Calling(Unpicklable):
    """What every noun of one client, and its bulk work, stand on: ``pool`` sends, ``clock`` is the hub's."""

    _elsewhere = "make a client there, and ask it: what it knows came with its own calls"

    def __init__(self, pool: TokenPool, clock: Clock) -> None:
        self.pool = pool
        self.clock = clock
        self._workspace_of: dict[int, int] = {}
        self._streams: dict[int, DataStream] = {}

    async def call(self, method: str, path: str, *, workspace_id: int | None = None, **options: Any) -> Any:
        """One call; its JSON, or None for an empty body. ``options`` are those of ``Transport.request``."""
        return wire.json_of(await self.pool.request(method, path, workspace_id=workspace_id, **options))

    def remember(self, streams: Iterable[DataStream]) -> None:
        """Which workspace a stream is in, as a pool of tokens has to know; and the stream, for who has only its id."""
        for stream in streams:
            if isinstance(stream.workspace_id, int):
                self._workspace_of[stream.id] = stream.workspace_id
                self._streams[stream.id] = stream

    def stream_of(self, id: int) -> DataStream | None:  # noqa: A002 - what it is called everywhere
        """A stream that was seen, as it was then."""
        return self._streams.get(id)

    def workspace_of(self, stream: DataStream | int) -> int | None:
        """The workspace of a stream, if that says so or has been seen."""
        if isinstance(stream, DataStream):
            return stream.workspace_id if isinstance(stream.workspace_id, int) else self._workspace_of.get(stream.id)
        return self._workspace_of.get(stream)
