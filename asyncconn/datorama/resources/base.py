"""What Datorama's nouns share: how its answers are read, and the five verbs of a plain collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asyncconn import resource
from asyncconn.datorama import wire
from asyncconn.datorama.calling import whose
from asyncconn.datorama.models import Entity, Model, decode, decode_list
from asyncconn.datorama.paths import number
from asyncconn.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from asyncconn.datorama.calling import Calling
    from asyncconn.http.response import Response

__all__ = ["Collection", "Resource", "fields_of"]

E = TypeVar("E", bound=Entity)


class Resource(resource.Resource):
    """A noun of the client."""

    _caller: Calling

    def __init__(self, calling: Calling) -> None:
        super().__init__(calling)

    def _read(self, answer: Response) -> Any:
        return wire.json_of(answer)

    def _made(self, kind: Any, found: Any, **options: Any) -> Any:
        made = decode(kind, found)
        self._note(made, whose(options.get("ids"), options.get("workspace_id")))
        return made

    def _all(self, kind: Any, found: Any, **options: Any) -> Any:
        made = decode_list(kind, found)
        for one in made:
            self._note(one, whose(options.get("ids"), options.get("workspace_id")))
        return made

    def _note(self, made: Model, workspace_id: int | None) -> None:
        """For those who bind what they have made to its verbs, or remember it."""

    async def _gone(self, name: str, **options: Any) -> None:
        """Delete. Not found after an attempt whose answer was lost means that this attempt did it."""
        try:
            await self._caller.request(name, **options)
        except NotFound as error:
            if not error.maybe_sent:
                raise


class Collection(Resource, Generic[E]):
    """Things with an id: get, create, patch, replace, delete, by the rows of ``noun`` in the table."""

    def __init__(self, calling: Calling, kind: type[E], noun: str) -> None:
        super().__init__(calling)
        self._kind = kind
        self._noun = noun
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
        return await self._entity("get", id)

    async def create(self, fields: Mapping[str, Any]) -> E:
        """Make one, from fields as the platform calls them. Not repeated when the outcome is unknown."""
        body = fields_of(fields)
        where = None if body.get("workspaceId") is None else number(body["workspaceId"], "workspaceId")
        return await self._one(self._kind, f"{self._noun}.create", json=body, workspace_id=where)

    async def patch(self, id: int, changes: Mapping[str, Any]) -> E:
        """Change the fields that are given; the way to change things."""
        return await self._entity("patch", id, json=fields_of(changes))

    async def replace(self, id: int, whole: Mapping[str, Any]) -> E:
        """Write the whole object. Fields that are left out are cleared by the platform: prefer :meth:`patch`."""
        return await self._entity("replace", id, json=fields_of(whole))

    async def delete(self, id: int) -> None:
        """Delete it."""
        one = number(id)
        await self._gone(f"{self._noun}.delete", ids={"id": one}, workspace_id=self.where(one))

    async def _entity(self, verb: str, id: int, **options: Any) -> E:
        one, name = number(id), f"{self._noun}.{verb}"
        return await self._one(self._kind, name, ids={"id": one}, workspace_id=self.where(one), **options)


def fields_of(value: Any) -> dict[str, Any]:
    """What is to be written: a mapping as it is, a model as the platform spells it. Raises ``ConfigError``."""
    if isinstance(value, Model):
        own = value.model_dump(mode="json", by_alias=True, include=value.model_fields_set, warnings=False)
        return {**value.raw, **own}
    if not isinstance(value, Mapping) or not value:
        raise ConfigError(f"the fields to write are a mapping with at least one of them, not {value!r}")
    return dict(value)
