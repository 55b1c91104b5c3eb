"""Limits. Contract: limits sections 10.3, 10.4, 11.1, 11.3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.models import LegacyLimit, Limit, LimitState, LimitStatus, body_of
from asyncconn.atoti_limits.resources.base import Numbered, Resource, ids

if TYPE_CHECKING:
    import builtins

    from asyncconn.core.paging import Pager

__all__ = ["Limits"]

Given = Limit | Mapping[str, Any]


class Limits(Resource):
    """``limits.limits``. What is written is a :class:`Limit`, or a mapping with the server's own names.

    Writes are all or nothing, and never repeated when the outcome is unknown.

        >>> async for limit in limits.limits.list(structure_id="id_1", alive=True):
        ...     print(limit.limit_name, limit.limit_value)

    Raises ``LimitsConflict`` for dates that overlap, ``LimitsValidationError`` with ``details`` for what cannot be.
    """

    def list(
        self,
        *,
        structure_id: str | None = None,
        status: LimitStatus | str | None = None,
        alive: bool | None = None,
        page_size: int = 100,
    ) -> Pager[Limit]:
        """All of them, or those of a structure, in a status, alive or not; ``page_size`` is 1,000 at most."""
        params = {"structureId": structure_id, "status": status, "alive": alive}
        return self._pages(Limit, "limits.list", items="content", next=Numbered(page_size), params=params)

    async def save(self, limits: Given | Sequence[Given]) -> builtins.list[Limit]:
        """Make those that are new, change the others; as they are stored."""
        return await self._write(Limit, "limits.save", limits)

    async def create(self, limit: LegacyLimit | Mapping[str, Any]) -> None:
        """Make a limit of Limits 1.x (``Paths("v1")``), which is its own structure. The answer is not documented."""
        await self._caller.request("limits.create", json=body_of(limit))

    async def delete(self, limit_id: str) -> None:
        """Delete one. Raises ``NotFound``."""
        await self._caller.request("limits.delete", ids={"limitId": limit_id})

    async def status(self, limit_ids: str | Sequence[str]) -> builtins.list[LimitState]:
        """How they stand on the day they were last evaluated for."""
        return await self._many(LimitState, "limits.status", json=ids(limit_ids, "limit_ids"))
