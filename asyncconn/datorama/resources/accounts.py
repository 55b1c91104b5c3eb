"""Accounts, users, permission sets, authentications. Contract: datorama sections 2.5, 2.6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asyncconn.datorama import paths
from asyncconn.datorama.models import Entity
from asyncconn.datorama.resources.base import Collection, Resource, fields_of
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn.core.decoding import Json
    from asyncconn.core.paging import Pager
    from asyncconn.datorama.calling import Calling

__all__ = ["Accounts", "Authentications", "PermissionSets", "Users"]


class Accounts(Resource):
    """``datorama.accounts``: A1, A5."""

    def list(self) -> Pager[Entity]:
        """All that the token may see."""
        return self._pager(Entity, paths.ACCOUNTS)

    async def get(self, id: int) -> Entity:
        """One account."""
        return await self._one(Entity, "GET", paths.entity("accounts", id))

    async def connect(self, account_id: int, connector_uuid: str) -> Json:
        """Give an account a connector; the id of the data source, as raw JSON (A5)."""
        path = paths.in_account(account_id, "connectors", paths.named(connector_uuid, "connector_uuid"))
        return await self._json("POST", path)


class Users(Collection[Entity]):
    """``datorama.users``: A2, A3."""

    def __init__(self, calling: Calling) -> None:
        super().__init__(calling, Entity, "users")

    def list(self, account_id: int) -> Pager[Entity]:
        """All of an account."""
        return self._pager(Entity, paths.in_account(account_id, "users"))


class PermissionSets(Collection[Entity]):
    """``datorama.permission_sets``: A4. There is no partial update."""

    def __init__(self, calling: Calling) -> None:
        super().__init__(calling, Entity, "permission-sets")

    def list(self, account_id: int) -> Pager[Entity]:
        """All of an account."""
        return self._pager(Entity, paths.in_account(account_id, "permission-sets"))

    async def patch(self, id: int, changes: Mapping[str, Any]) -> Entity:
        """Not offered by the platform: raises ``ConfigError``; use :meth:`replace`."""
        raise ConfigError("the platform knows no partial update of a permission set: use replace")


class Authentications(Collection[Entity]):
    """``datorama.authentications``: C1 to C3."""

    def __init__(self, calling: Calling) -> None:
        super().__init__(calling, Entity, "authentications")

    def list(self, workspace_id: int, data_source_id: int) -> Pager[Entity]:
        """Those of a data source in a workspace."""
        path = paths.in_workspace(workspace_id, "authentications")
        source = paths.number(data_source_id, "data_source_id")
        return self._pager(Entity, path, workspace_id=workspace_id, dataSourceId=source)

    async def create_in(self, workspace_id: int, fields: Mapping[str, Any]) -> Entity:
        """Make one with user and password."""
        path = paths.in_workspace(workspace_id, "authentications")
        return await self._one(Entity, "POST", path, body=fields_of(fields), workspace_id=workspace_id)

    async def create(self, fields: Mapping[str, Any]) -> Entity:
        """:meth:`create_in` the workspace named by ``workspaceId`` among the fields."""
        return await self.create_in(paths.number(fields_of(fields).get("workspaceId"), "workspaceId"), fields)

    async def profiles(self, id: int) -> Json:
        """What an authentication gives access to, as raw JSON."""
        path = paths.entity("authentications", id, "profiles")
        return await self._json("GET", path, workspace_id=self.where(id))

    async def sub_profiles(self, id: int, profiles: Sequence[Any]) -> Json:
        """What lies below profiles, as raw JSON."""
        path = paths.entity("authentications", id, "sub-profiles")
        return await self._json("POST", path, json=[*profiles], idempotent=True, workspace_id=self.where(id))
