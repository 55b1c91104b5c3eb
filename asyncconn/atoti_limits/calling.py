"""Calls by their name in the path table, to the server that they belong to, and what is remembered between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.errors import ExtensionNotLoaded, LimitsError, LimitsProtocolError, unreachable
from asyncconn.atoti_limits.wire import document
from asyncconn.errors import NotFound, ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncconn.atoti_limits.paths import Paths
    from asyncconn.core.retrying import RetryPolicy
    from asyncconn.http.response import Response
    from asyncconn.http.transport import Transport

__all__ = ["Calling"]


class Calling:
    """The roads to the ``session`` and to the Limits ``server``, and the ``paths`` of both."""

    def __init__(self, session: Transport, server: Transport, paths: Paths) -> None:
        self.session = session
        self.server = server
        self.paths = paths

    async def learn_paths(self) -> Paths:
        """See ``AtotiLimits.learn_paths``."""
        self.paths = self.paths.from_openapi(document(await self.request("server.openapi")))
        return self.paths

    async def request(
        self,
        name: str,
        *,
        ids: Mapping[str, Any] | None = None,
        pivot: str = "",
        retry: RetryPolicy | None = None,
        **options: Any,
    ) -> Response:
        """See ``AtotiLimits.call``."""
        method, path = self.paths.resolve(name, pivot=pivot, **(ids or {}))
        at_session = name.startswith(("session.", "autoconfig."))
        transport = self.session if at_session else self.server
        options = {**self.paths.options(name), **options}
        try:
            return await transport.request(method, path, retry=retry, **options)
        except TransportError as error:
            where = f"{'session' if at_session else 'Limits server'} at {transport.base_url}"
            raise unreachable(f"{where}: {error.message}", error, at_session=at_session) from error
        except NotFound as error:
            entry = f"path table: {name} = {method} {path}"
            if not name.startswith("autoconfig."):
                error.add_note(entry)
                raise
            ours = ExtensionNotLoaded(error.message, error.answer)
            ours.add_note(entry)
            raise ours from error
        except ProtocolError as error:
            if isinstance(error, LimitsError):
                raise
            shapeless = LimitsProtocolError(error.message)
            shapeless.maybe_sent = error.maybe_sent
            raise shapeless from error
