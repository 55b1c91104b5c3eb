"""Workspaces. Contract: datorama section 2.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asyncconn.core.paging import Page, Pager
from asyncconn.datorama.models import Model, Workspace
from asyncconn.datorama.paths import number
from asyncconn.datorama.resources.base import Collection

if TYPE_CHECKING:
    import builtins

    from asyncconn.datorama.calling import Calling
    from asyncconn.datorama.resources.streams import Streams

__all__ = ["Workspaces"]


class Workspaces(Collection[Workspace]):
    """``datorama.workspaces``: W1 to W7."""

    def __init__(self, calling: Calling, streams: Streams) -> None:
        super().__init__(calling, Workspace, "workspaces")
        self._streams = streams

    def where(self, id: int) -> int | None:
        """Itself."""
        return number(id)

    async def create(self, fields: Mapping[str, Any]) -> Workspace:
        """Make one (W3). Not repeated when the outcome is unknown."""
        made = await super().create(fields)
        self._caller.pool.forget()
        return made

    def list(self, account_id: int | None = None) -> Pager[Workspace]:
        """All that the tokens may see, each once; or those of an account."""
        if account_id is not None:
            return self._pages(Workspace, "workspaces.list_of_account", ids={"account_id": account_id})

        async def fetch(_: Any) -> Page[Workspace]:
            found: dict[int, Workspace] = {}
            for transport in self._caller.pool.transports:
                for one in self.decoded(await self._caller.pool.workspaces(transport)):
                    found.setdefault(one.id, one)
            return Page(list(found.values()))

        return Pager(fetch)

    def decoded(self, found: Any) -> builtins.list[Workspace]:
        """Workspaces of an answer, or of a file."""
        made: builtins.list[Workspace] = self._all(Workspace, found)
        return made

    def _note(self, made: Model, workspace_id: int | None) -> None:
        if isinstance(made, Workspace):
            made._streams = self._streams
