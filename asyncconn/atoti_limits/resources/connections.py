"""The sessions that Limits knows. Contract: limits section 10.4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.models import Connection
from asyncconn.atoti_limits.resources.base import Resource

if TYPE_CHECKING:
    from asyncconn.core.paging import Pager

__all__ = ["Connections"]


class Connections(Resource):
    """``limits.connections``."""

    def list(self, **options: Any) -> Pager[Connection]:
        """All of them. ``options`` are the request's: ``timeout`` in seconds, ``retry``."""
        return self._pages(Connection, "connections.list", **options)
