"""Limit structures. Contract: limits sections 10.3, 10.4, 11.2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.models import Structure
from asyncconn.atoti_limits.resources.base import Resource

if TYPE_CHECKING:
    import builtins

    from asyncconn.core.paging import Pager

__all__ = ["Structures"]

Given = Structure | Mapping[str, Any]


class Structures(Resource):
    """``limits.structures``. What is written is a :class:`Structure`, or a mapping with the server's own names.

    Writes are all or nothing, and never repeated when the outcome is unknown.

        >>> await limits.structures.save(Structure(reference_id="id_1", name="Price", server_name="atoti", ...))

    Raises ``LimitsValidationError`` with ``details`` for what cannot be, ``LimitsPermissionError`` without the role.
    """

    def list(
        self, *, server_name: str | None = None, cube_name: str | None = None, group: str | None = None
    ) -> Pager[Structure]:
        """All of them, or those of a server, a cube, a group."""
        params = {"serverName": server_name, "cubeName": cube_name, "group": group}
        return self._pages(Structure, "structures.list", params=params)

    async def get(self, structure_id: str) -> Structure:
        """One of them. Raises ``NotFound``."""
        return await self._one(Structure, "structures.get", ids={"structureId": structure_id})

    async def save(self, structures: Given | Sequence[Given]) -> builtins.list[Structure]:
        """Make those that are new, change the others; as they are stored."""
        return await self._write(Structure, "structures.save", structures)

    async def create(self, structures: Given | Sequence[Given]) -> builtins.list[Structure]:
        """Make them. Raises ``LimitsConflict`` if one exists."""
        return await self._write(Structure, "structures.create", structures)

    async def update(self, structures: Given | Sequence[Given]) -> builtins.list[Structure]:
        """Change them. Raises ``NotFound`` if one does not exist."""
        return await self._write(Structure, "structures.update", structures)

    async def delete(self, structure_id: str) -> None:
        """Delete one. Raises ``LimitsConflict`` while it has live limits."""
        await self._caller.request("structures.delete", ids={"structureId": structure_id})
