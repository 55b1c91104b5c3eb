"""Accounts, users, permission sets, authentications. Contract: datorama sections 2.5, 2.6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asyncconn.datorama.models import Entity
from asyncconn.datorama.paths import number
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
        return self._pages(Entity, "accounts.list")

    async def get(self, id: int) -> Entity:
        """One account."""
        return await self._one(Entity, "accounts.get", ids={"id": id})

    async def connect(self, account_id: int, connector_uuid: str) -> Json:
        """Give an account a connector; the id of the data source, as raw JSON (A5)."""
        ids = {"account_id": account_id, "connector_uuid": connector_uuid}
        return await self._json("accounts.connect", ids=ids)


class Users(Collection[Entity]):
    """``datorama.users``: A2, A3."""

    def __init__(self, calling: Calling) -> None:
        super().__init__(calling, Entity, "users")

    def list(self, account_id: int) -> Pager[Entity]:
        """All of an account."""
        return self._pages(Entity, "users.list", ids={"account_id": account_id})


class PermissionSets(Collection[Entity]):
    """``datorama.permission_sets``: A4. There is no partial update."""

    def __init__(self, calling: Calling) -> None:
        super().__init__(calling, Entity, "permission_sets")

    def list(self, account_id: int) -> Pager[Entity]:
        """All of an account."""
        return self._pages(Entity, "permission_sets.list", ids={"account_id": account_id})

    async def patch(self, id: int, changes: Mapping[str, Any]) -> Entity:
        """Not offered by the platform: raises ``ConfigError``; use :meth:`replace`."""
        raise ConfigError("the platform knows no partial update of a permission set: use replace")


class Authentications(Collection[Entity]):
    """``datorama.authentications``: C1 to C3."""

    def __init__(self, calling: Calling) -> None:
        super().__init__(calling, Entity, "authentications")

    def list(self, workspace_id: int, data_source_id: int) -> Pager[Entity]:
        """Those of a data source in a workspace."""
        params = {"dataSourceId": number(data_source_id, "data_source_id")}
        return self._pages(Entity, "authentications.list", ids={"workspace_id": workspace_id}, params=params)

    async def create_in(self, workspace_id: int, fields: Mapping[str, Any]) -> Entity:
        """Make one with user and password."""
        ids = {"workspace_id": workspace_id}
        return await self._one(Entity, "authentications.create", ids=ids, json=fields_of(fields))

    async def create(self, fields: Mapping[str, Any]) -> Entity:
        """:meth:`create_in` the workspace named by ``workspaceId`` among the fields."""
        return await self.create_in(number(fields_of(fields).get("workspaceId"), "workspaceId"), fields)

    async def profiles(self, id: int) -> Json:
        """What an authentication gives access to, as raw JSON."""
        return await self._json("authentications.profiles", ids={"id": id}, workspace_id=self.where(id))

    async def sub_profiles(self, id: int, profiles: Sequence[Any]) -> Json:
        """What lies below profiles, as raw JSON."""
        name, where = "authentications.sub_profiles", self.where(id)
        return await self._json(name, ids={"id": id}, json=[*profiles], workspace_id=where)
