"""Reference lists: time zones, currencies and the like. Contract: datorama section 2.10."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncconn.core.paging import Page, Pager
from asyncconn.datorama.errors import DatoramaProtocolError
from asyncconn.datorama.resources.base import Resource

if TYPE_CHECKING:
    from asyncconn.core.decoding import Json

__all__ = ["Reference"]


class Reference(Resource):
    """``datorama.reference``: each list as raw JSON. Raises ``DatoramaProtocolError`` for what is none."""

    def time_zones(self) -> Pager[Json]:
        """Time zones."""
        return self.get("time-zones")

    def currencies(self) -> Pager[Json]:
        """Currencies."""
        return self.get("currencies")

    def cultures(self) -> Pager[Json]:
        """Cultures: how numbers and dates are written."""
        return self.get("cultures")

    def verticals(self) -> Pager[Json]:
        """Lines of business."""
        return self.get("verticals")

    def data_sources(self) -> Pager[Json]:
        """What data can be fetched from."""
        return self.get("data-sources")

    def languages(self) -> Pager[Json]:
        """Languages."""
        return self.get("languages")

    def get(self, name: str) -> Pager[Json]:
        """A list by its name in the path, for those that are not named here."""

        async def fetch(_cursor: Any) -> Page[Json]:
            found = await self._json("reference.get", ids={"name": name})
            if not isinstance(found, list):
                raise DatoramaProtocolError(f"a reference list must be an array, not {type(found).__name__}")
            return Page(found)

        return Pager(fetch)
