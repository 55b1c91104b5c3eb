"""Features of interest: the real things that sensors observe. Contract: tcup sections 2.2, 2.5, 13.4, 13.19."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.tcup.documents import VERSION
from asyncconn.tcup.envelope import ItemResult
from asyncconn.tcup.models import Feature
from asyncconn.tcup.resources.base import SosNoun, fields_of

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Mapping

    from asyncconn.core.paging import Pager

__all__ = ["Features"]


class Features(SosNoun):
    """Create, look at, change and delete features.

    >>> await tcup.features.create({"name": "tf1", "description": "boiler room"})
    """

    async def create(self, feature: Feature | Mapping[str, Any]) -> ItemResult:
        """Make one. Raises ``Conflict`` for a name that there is already, and what else its result means."""
        return await self._write("features.create", json=_document([fields_of(feature, Feature)]))

    async def create_many(self, features: Iterable[Feature | Mapping[str, Any]]) -> builtins.list[ItemResult]:
        """Make several, with a result for each in their order: a bad one does not undo good ones."""
        made = [fields_of(one, Feature) for one in features]
        return await self._write_many("features.create", made, json=_document(made)) if made else []

    def list(self) -> Pager[Feature]:
        """All of them."""
        return self._pages(Feature, "features.list", items="features")

    async def get(self, name: str) -> Feature:
        """One of them. Raises ``NotFound``."""
        return await self._one(Feature, "features.get", ids={"name": name})

    async def update(self, name: str, **changes: Any) -> ItemResult:
        """Set its ``description``, ``parent``, ``position`` or ``metadata``; what is not named stays."""
        body = fields_of({"name": name, **changes}, Feature)
        return await self._write("features.update", ids={"name": name}, json=body)

    async def delete(self, name: str) -> None:
        """Delete it. Raises ``NotFound``, and ``Conflict`` for one that has observations."""
        await self._gone("features.delete", ids={"name": name})


def _document(features: builtins.list[dict[str, Any]]) -> dict[str, Any]:
    return {"version": VERSION, "features": features}
