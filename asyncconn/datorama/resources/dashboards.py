"""Dashboards and their pages. Contract: datorama section 2.7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
        return self._pages(Entity, "pages.list", ids={"dashboard_id": dashboard_id}, workspace_id=where)

    async def create(self, fields: Mapping[str, Any], *, template_id: int | None = None) -> Entity:
        """Make one, from a template if that is given."""
        body, params = fields_of(fields), {"templateId": template_id}
        where = body.get("workspaceId") or self._dashboards.where(body.get("dashboardId", 0))
        return await self._one(Entity, "pages.create", json=body, params=params, workspace_id=where)

    async def replace_widgets(self, id: int, widgets: Sequence[Mapping[str, Any]]) -> Json:
        """Write all widgets of a page."""
        name, where = "pages.replace_widgets", self.where(id)
        return await self._json(name, ids={"id": id}, json=[*widgets], workspace_id=where)

    async def content(self, id: int) -> Json:
        """What a page shows, as raw JSON."""
        return await self._json("pages.content", ids={"id": id}, workspace_id=self.where(id))


class Dashboards(Collection[Entity]):
    """``datorama.dashboards``, and ``datorama.dashboards.pages``."""

    def __init__(self, calling: Calling) -> None:
        super().__init__(calling, Entity, "dashboards")
        self.pages = Pages(calling, self)

    def list(self, *, workspace_id: int | None = None, account_id: int | None = None) -> Pager[Entity]:
        """All that the token may see, or those of a workspace or an account."""
        if workspace_id is not None:
            return self._pages(Entity, "dashboards.list_of_workspace", ids={"workspace_id": workspace_id})
        if account_id is not None:
            return self._pages(Entity, "dashboards.list_of_account", ids={"account_id": account_id})
        return self._pages(Entity, "dashboards.list")

    async def hierarchy(self, workspace_id: int) -> dict[str, Any]:
        """Dashboards, pages and widgets of a workspace, as raw JSON. Raises ``DatoramaProtocolError``."""
        found = await self._json("dashboards.hierarchy", ids={"workspace_id": workspace_id})
        if not isinstance(found, dict):
            raise DatoramaProtocolError(f"a hierarchy must be an object, not {type(found).__name__}")
        return found
