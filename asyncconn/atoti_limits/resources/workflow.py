"""Workflows of limits, and what they have recorded. Contract: limits sections 10.4, 11.7."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncconn.atoti_limits.models import AuditEntry, Limit
from asyncconn.atoti_limits.resources.base import Resource
from asyncconn.atoti_limits.wire import boolean

if TYPE_CHECKING:
    from asyncconn.core.paging import Pager

__all__ = ["Workflow"]


class Workflow(Resource):
    """``limits.workflow``.

    >>> if await limits.workflow.can_start("SixEyes"):
    ...     await limits.workflow.approve("lim_1", comment="fine")

    Raises ``LimitsPermissionError`` without the role, ``LimitsConflict`` when the limit's status does not allow it.
    """

    async def can_start(self, key: str) -> bool:
        """Whether the user may start this workflow. Raises ``LimitsProtocolError`` for anything but true or false."""
        return boolean(await self._caller.request("workflow.can_start", params={"key": key}))

    async def act(self, limit_id: str, action: str, *, comment: str = "") -> Limit:
        """``approve``, ``reject`` or ``expire`` a limit, or what a workflow of one's own calls its action."""
        return await self._one(
            Limit, "workflow.act", ids={"limitId": limit_id, "action": action}, json={"comment": comment}
        )

    async def approve(self, limit_id: str, *, comment: str = "") -> Limit:
        """Approve what was changed; with several approvers, the next of them."""
        return await self.act(limit_id, "approve", comment=comment)

    async def reject(self, limit_id: str, *, comment: str = "") -> Limit:
        """Reject what was changed."""
        return await self.act(limit_id, "reject", comment=comment)

    async def expire(self, limit_id: str, *, comment: str = "") -> Limit:
        """End a limit."""
        return await self.act(limit_id, "expire", comment=comment)

    def audit(self, process_instance_id: str) -> Pager[AuditEntry]:
        """What happened in a process instance."""
        return self._pages(AuditEntry, "workflow.audit", ids={"processInstanceId": process_instance_id})
