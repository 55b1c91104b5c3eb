"""Reference lists: time zones, currencies and the like. Contract: datorama section 2.10."""

from __future__ import annotations

from typing import Any

from asyncconn.datorama import paths
from asyncconn.datorama.resources.base import Resource

__all__ = ["Reference"]


class Reference(Resource):
    """``datorama.reference``: each list as raw JSON."""

    async def time_zones(self) -> Any:
        """Time zones."""
        return await self.get("time-zones")

    async def currencies(self) -> Any:
        """Currencies."""
        return await self.get("currencies")

    async def cultures(self) -> Any:
        """Cultures: how numbers and dates are written."""
        return await self.get("cultures")

    async def verticals(self) -> Any:
        """Lines of business."""
        return await self.get("verticals")

    async def data_sources(self) -> Any:
        """What data can be fetched from."""
        return await self.get("data-sources")

    async def languages(self) -> Any:
        """Languages."""
        return await self.get("languages")

    async def get(self, name: str) -> Any:
        """A list by its name in the path, for those that are not named here."""
        return await self._calling.call("GET", f"{paths.V1}/reference/{paths.named(name, 'name')}")
