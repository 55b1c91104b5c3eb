"""Dimensions, measurements, patterns and what is calculated from them. Contract: datorama sections 2.4, 3.8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.datorama.models import Entity, Measurement
from asyncconn.datorama.resources.base import Collection, Resource, fields_of

if TYPE_CHECKING:
    from asyncconn.core.decoding import Json
    from asyncconn.core.paging import Pager
    from asyncconn.datorama.calling import Calling

__all__ = ["Calculated", "Dimensions", "HarmonizedDimensions", "Measurements", "Patterns"]


class _Names(Resource):
    """What a workspace names: an array, or an object by system name; both are known to have been answered."""

    noun: ClassVar[str]

    def list(self, workspace_id: int, *, type: str | None = None) -> Pager[Measurement]:
        """All of a workspace, each with its ``system_name``."""
        ids = {"workspace_id": workspace_id}
        return self._pages(Measurement, f"{self.noun}.list", ids=ids, params={"type": type})

    def _all(self, kind: Any, found: Any, **options: Any) -> Any:
        if isinstance(found, dict):
            if not all(isinstance(value, dict) for value in found.values()):
                raise DatoramaProtocolError(f"{self.noun}: an object by system name was expected")
            found = [{**value, "systemName": value.get("systemName") or name} for name, value in found.items()]
        elif isinstance(found, list):
            found = [
                {**one, "systemName": one["name"]}
                if isinstance(one, dict) and not one.get("systemName") and one.get("name")
                else one
                for one in found
            ]
        return super()._all(kind, found, **options)

    async def replace(self, workspace_id: int, system_name: str, whole: Mapping[str, Any]) -> Measurement:
        """Write one whole; what is left out is cleared by the platform."""
        ids = {"workspace_id": workspace_id, "system_name": system_name}
        found = await self._json(f"{self.noun}.replace", ids=ids, json=fields_of(whole))
        if found is not None and not isinstance(found, dict):
            raise DatoramaProtocolError(f"{self.noun}: an object was expected, not {type(found).__name__}")
        made: Measurement = self._made(Measurement, {"systemName": system_name, **(found or {})})
        return made


class Dimensions(_Names):
    """``datorama.dimensions``: M1 to M3."""

    noun = "dimensions"

    async def values(self, workspace_id: int, system_name: str, paging: Mapping[str, Any]) -> Json:
        """Values of a dimension, as raw JSON. What ``paging`` holds is not documented (M3)."""
        ids = {"workspace_id": workspace_id, "system_name": system_name}
        return await self._json("dimensions.values", ids=ids, json=dict(paging))


class Measurements(_Names):
    """``datorama.measurements``: M4, M5."""

    noun = "measurements"


class Calculated(Collection[Entity]):
    """``datorama.calculated_measurements``, ``filtered_measurements``, ``calculated_dimensions``: M6 to M9."""

    def __init__(self, calling: Calling, noun: str) -> None:
        super().__init__(calling, Entity, noun)

    def list(self, workspace_id: int) -> Pager[Entity]:
        """All of a workspace."""
        return self._pages(Entity, f"{self._noun}.list", ids={"workspace_id": workspace_id})


class Patterns(Resource):
    """``datorama.patterns``: M12, M13."""

    def list(self, workspace_id: int) -> Pager[Entity]:
        """All harmonization patterns of a workspace."""
        return self._pages(Entity, "patterns.list", ids={"workspace_id": workspace_id})

    async def create(self, fields: Mapping[str, Any]) -> Entity:
        """Make one. What ``fields`` must hold is not documented."""
        body = fields_of(fields)
        return await self._one(Entity, "patterns.create", json=body, workspace_id=body.get("workspaceId"))


class HarmonizedDimensions(Resource):
    """``datorama.harmonized_dimensions``: M11."""

    def list(self, workspace_id: int) -> Pager[Entity]:
        """All of a workspace."""
        return self._pages(Entity, "harmonized_dimensions.list", ids={"workspace_id": workspace_id})
