"""What every noun needs: calls that decode, lists that are pagers, and the five verbs of a plain collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn.core.paging import Page, Pager
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.datorama import paths
from asyncconn.datorama.models import Entity, Model, decode, decode_list
from asyncconn.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from asyncconn.core.decoding import Json
    from asyncconn.datorama.calling import Calling

__all__ = ["Collection", "Resource"]

M = TypeVar("M", bound=Model)
E = TypeVar("E", bound=Entity)


class Resource(Unpicklable):
    """A noun of the client."""

    _elsewhere = "make a client there, and ask it; of its objects hand over the id, or what is in raw"

    def __init__(self, calling: Calling) -> None:
        self._calling = calling

    def _pager(self, kind: type[M], path: str, *, workspace_id: int | None = None, **params: Any) -> Pager[M]:
        """A list that the platform gives whole."""

        async def fetch(_: Any) -> Page[M]:
            found = await self._calling.call("GET", path, workspace_id=workspace_id, params=params)
            return Page(self._several(kind, found, workspace_id))

        return Pager(fetch)

    async def _one(
        self,
        kind: type[M],
        method: str,
        path: str,
        *,
        body: Any = None,
        workspace_id: int | None = None,
        **options: Any,
    ) -> M:
        found = await self._calling.call(method, path, json=body, workspace_id=workspace_id, **options)
        made = decode(kind, found)
        self._note(made, workspace_id)
        return made

    async def _json(self, method: str, path: str, **options: Any) -> Json:
        """An answer of which nobody says in which shape it is."""
        found: Json = await self._calling.call(method, path, **options)
        return found

    def _several(self, kind: type[M], found: Any, workspace_id: int | None = None) -> list[M]:
        """Those of a list."""
        made = decode_list(kind, found)
        for one in made:
            self._note(one, workspace_id)
        return made

    def _note(self, made: Model, workspace_id: int | None) -> None:
        """For those who bind what they have made to its verbs, or remember it."""

    async def _gone(self, path: str, workspace_id: int | None) -> None:
        """Delete. Not found after an attempt whose answer was lost means that this attempt did it."""
        try:
            await self._calling.call("DELETE", path, workspace_id=workspace_id)
        except NotFound as error:
            if not error.maybe_sent:
                raise


class Collection(Resource, Generic[E]):
    """Things with an id below ``/v1/{collection}``: get, create, patch, replace, delete."""

    def __init__(self, calling: Calling, kind: type[E], collection: str) -> None:
        super().__init__(calling)
        self._kind = kind
        self._collection = collection
        self._workspaces: dict[int, int] = {}

    def where(self, id: int) -> int | None:
        """The workspace of one that has been seen: a pool of tokens has to know."""
        return self._workspaces.get(id)

    def _note(self, made: Model, workspace_id: int | None) -> None:
        named = made.raw.get("workspaceId", workspace_id)
        if isinstance(made, self._kind) and isinstance(named, int):
            self._workspaces[made.id] = named

    async def get(self, id: int) -> E:
        """One of them. Raises ``NotFound``."""
        return await self._entity("GET", id)

    async def create(self, fields: Mapping[str, Any]) -> E:
        """Make one, from fields as the platform calls them. Not repeated when the outcome is unknown."""
        body = fields_of(fields)
        where = None if body.get("workspaceId") is None else paths.number(body["workspaceId"], "workspaceId")
        return await self._one(self._kind, "POST", f"{paths.V1}/{self._collection}", body=body, workspace_id=where)

    async def patch(self, id: int, changes: Mapping[str, Any]) -> E:
        """Change the fields that are given; the way to change things."""
        return await self._entity("PATCH", id, changes, idempotent=True)

    async def replace(self, id: int, whole: Mapping[str, Any]) -> E:
        """Write the whole object. Fields that are left out are cleared by the platform: prefer :meth:`patch`."""
        return await self._entity("PUT", id, whole)

    async def delete(self, id: int) -> None:
        """Delete it."""
        await self._gone(paths.entity(self._collection, id), self.where(id))

    async def _entity(self, method: str, id: int, body: Any = None, **options: Any) -> E:
        fields = None if body is None else fields_of(body)
        path = paths.entity(self._collection, id)
        return await self._one(self._kind, method, path, body=fields, workspace_id=self.where(id), **options)


def fields_of(value: Any) -> dict[str, Any]:
    """What is to be written: a mapping as it is, a model as the platform spells it. Raises ``ConfigError``."""
    if isinstance(value, Model):
        own = value.model_dump(mode="json", by_alias=True, include=value.model_fields_set, warnings=False)
        return {**value.raw, **own}
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(f"the fields to write are a mapping with at least one of them, not {value!r}")
    return dict(value)
