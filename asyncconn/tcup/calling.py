"""One service of TCUP, as its nouns call it: by names of the table, over the transport that shows its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn import resource
from asyncconn.errors import NotFound
from asyncconn.resource import Calling
from asyncconn.tcup.listing import Listing
from asyncconn.tcup.models import Model

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from asyncconn.core.clock import Clock
    from asyncconn.core.progress import OnProgress
    from asyncconn.http.events import EventStream
    from asyncconn.http.response import Response
    from asyncconn.http.routes import Routes
    from asyncconn.http.stream import Stream
    from asyncconn.http.transport import Transport
    from asyncconn.http.upload import Source

__all__ = ["Noun", "Service"]

M = TypeVar("M", bound=Model)


class Service(Calling):
    """A service: ``http`` sends, ``routes`` is its table, ``clock`` the hub's. Each verb takes ``ids`` for the path.

    >>> await service.request("features.get", ids={"name": "tf1"})
    """

    _elsewhere = "make a client there, and ask it: what it knows came with its own calls"

    def __init__(self, http: Transport, routes: Routes, clock: Clock) -> None:
        super().__init__(http, routes)
        self.http = http
        self.clock = clock

    def stream(self, name: str, *, ids: Mapping[str, Any] | None = None, **options: Any) -> Stream:
        """An answer that is not held in memory; ``options`` are those of ``Transport.stream``."""
        method, path = self.routes.resolve(name, **(ids or {}))
        return self.http.stream(method, path, **{**self.routes.options(name), **options})

    def server_events(self, name: str, **options: Any) -> EventStream:
        """Server-sent events; ``options`` are those of ``Transport.server_events``."""
        return self.http.server_events(self.routes.path(name), **{**self.routes.options(name), **options})

    async def download(
        self,
        name: str,
        to: str | os.PathLike[str],
        *,
        ids: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        **options: Any,
    ) -> Path:
        """A file, saved when it is complete; ``options`` are those of ``Transport.download``."""
        path = self.routes.path(name, **(ids or {}))
        return await self.http.download(path, to, on_progress=on_progress, **{**self.routes.options(name), **options})

    async def upload(
        self,
        name: str,
        source: Source,
        *,
        ids: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
        **options: Any,
    ) -> Response:
        """A body that is not held in memory; ``options`` are those of ``Transport.upload``."""
        method, path = self.routes.resolve(name, **(ids or {}))
        return await self.http.upload(
            path, source, method=method, on_progress=on_progress, **{**self.routes.options(name), **options}
        )


class Noun(resource.Resource):
    """A noun of the client: ``_caller`` is its service."""

    _caller: Service

    def __init__(self, service: Service) -> None:
        super().__init__(service)

    def _listing(self, kind: type[M], name: str, **options: Any) -> Listing[M]:
        """A list that comes in one answer, and is a table."""
        return Listing(self._pages(kind, name, **options), kind)

    async def _gone(self, name: str, **options: Any) -> None:
        """Delete. Not found after an attempt whose answer was lost means that this attempt did it (13.9)."""
        try:
            await self._caller.request(name, **options)
        except NotFound as error:
            if not error.maybe_sent:
                raise
