"""What a client calls with: its tokens and its table, and what was seen that later calls have to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.core.unpicklable import Unpicklable
from asyncconn.datorama.models import DataStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from asyncconn.core.clock import Clock
    from asyncconn.core.watching import Watching
    from asyncconn.datorama.pool import TokenPool
    from asyncconn.http.response import Response
    from asyncconn.http.transport import Stream

__all__ = ["AT_ONCE", "Calling", "whose"]

#: Calls of one bulk call that are under way together. Contract: datorama section 11.7.
AT_ONCE = 10


class Calling(Unpicklable):
    """What every noun of one client, and its bulk work, stand on: ``pool`` sends, the others are the hub's."""

    _elsewhere = "make a client there, and ask it: what it knows came with its own calls"

    def __init__(self, pool: TokenPool, clock: Clock, watching: Watching) -> None:
        self.pool = pool
        self.clock = clock
        self.watching = watching
        self._workspace_of: dict[int, int] = {}
        self._streams: dict[int, DataStream] = {}

    async def request(
        self, name: str, *, ids: Mapping[str, Any] | None = None, workspace_id: int | None = None, **options: Any
    ) -> Response:
        """One call by its name. ``workspace_id`` is whose it is, where that is known and not in the path."""
        method, path = self.pool.paths.resolve(name, **(ids or {}))
        options = {**self.pool.paths.options(name), **options}
        return await self.pool.request(method, path, workspace_id=whose(ids, workspace_id), **options)

    def download(
        self, name: str, *, ids: Mapping[str, Any], workspace_id: int | None = None
    ) -> AbstractAsyncContextManager[Stream]:
        """A file by the name of its call."""
        paths = self.pool.paths
        return self.pool.stream(
            paths.path(name, **ids), route=paths.template(name), workspace_id=whose(ids, workspace_id)
        )

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


def whose(ids: Mapping[str, Any] | None, workspace_id: int | None) -> int | None:
    """The workspace that a call is for, as far as it says so."""
    return workspace_id if workspace_id is not None else (ids or {}).get("workspace_id")
