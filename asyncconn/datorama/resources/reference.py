"""Reference lists: time zones, currencies and the like. Contract: datorama section 2.10."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.datorama.resources.base import Resource

if TYPE_CHECKING:
    from asyncconn.core.decoding import Json

__all__ = ["Reference"]


class Reference(Resource):
    """``datorama.reference``: each list as raw JSON. Raises ``DatoramaProtocolError`` for what is none."""

    async def time_zones(self) -> list[Json]:
        """Time zones."""
        return await self.get("time-zones")

    async def currencies(self) -> list[Json]:
        """Currencies."""
        return await self.get("currencies")

    async def cultures(self) -> list[Json]:
        """Cultures: how numbers and dates are written."""
        return await self.get("cultures")

    async def verticals(self) -> list[Json]:
        """Lines of business."""
        return await self.get("verticals")

    async def data_sources(self) -> list[Json]:
        """What data can be fetched from."""
        return await self.get("data-sources")

    async def languages(self) -> list[Json]:
        """Languages."""
        return await self.get("languages")

    async def get(self, name: str) -> list[Json]:
        """A list by its name in the path, for those that are not named here."""
        found = await self._json("reference.get", ids={"name": name})
        if not isinstance(found, list):
            raise DatoramaProtocolError(f"a reference list must be an array, not {type(found).__name__}")
        return found
