"""Dashboards and their pages. Contract: datorama section 2.7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asyncconn.datorama import paths
from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.datorama.models import Entity
from asyncconn.datorama.resources.base import Collection, fields_of

if TYPE_CHECKING:
    from asyncconn.core.decoding import Json
    from asyncconn.core.paging import Pager
    from asyncconn.datorama.calling import Calling

__all__ = ["Dashboards", "Pages"]


class Pages(Collection[Entity]):
    """``datorama.dashboards.pages``."""

    def __init__(self, calling: Calling, dashboards: Dashboards) -> None:
        super().__init__(calling, Entity, "pages")
        self._dashboards = dashboards

    def list(self, dashboard_id: int) -> Pager[Entity]:
        """All of a dashboard."""
        where = self._dashboards.where(dashboard_id)
        return self._pager(Entity, paths.entity("dashboards", dashboard_id, "pages"), workspace_id=where)

    async def create(self, fields: Mapping[str, Any], *, template_id: int | None = None) -> Entity:
        """Make one, from a template if that is given."""
        body, params = fields_of(fields), {"templateId": template_id}
        where = body.get("workspaceId") or self._dashboards.where(body.get("dashboardId", 0))
        return await self._one(Entity, "POST", paths.PAGES, body=body, params=params, workspace_id=where)

    async def replace_widgets(self, id: int, widgets: Sequence[Mapping[str, Any]]) -> Json:
        """Write all widgets of a page."""
        path = paths.entity("pages", id, "widgets", "bulk")
        return await self._json("PUT", path, json=[*widgets], workspace_id=self.where(id))

    async def content(self, id: int) -> Json:
        """What a page shows, as raw JSON."""
        return await self._json("GET", paths.entity("pages", id, "content"), workspace_id=self.where(id))


class Dashboards(Collection[Entity]):
    """``datorama.dashboards``, and ``datorama.dashboards.pages``."""

    def __init__(self, calling: Calling) -> None:
        super().__init__(calling, Entity, "dashboards")
        self.pages = Pages(calling, self)

    def list(self, *, workspace_id: int | None = None, account_id: int | None = None) -> Pager[Entity]:
        """All that the token may see, or those of a workspace or an account."""
        if workspace_id is not None:
            return self._pager(Entity, paths.in_workspace(workspace_id, "dashboards"), workspace_id=workspace_id)
        return self._pager(
            Entity, paths.DASHBOARDS if account_id is None else paths.in_account(account_id, "dashboards")
        )

    async def hierarchy(self, workspace_id: int) -> dict[str, Any]:
        """Dashboards, pages and widgets of a workspace, as raw JSON. Raises ``DatoramaProtocolError``."""
        path = paths.in_workspace(workspace_id, "dashboards", "hierarchy")
        found = await self._calling.call("GET", path, workspace_id=workspace_id)
        if not isinstance(found, dict):
            raise DatoramaProtocolError(f"a hierarchy must be an object, not {type(found).__name__}")
        return found
