"""How a change of a limit is approved, and the history that it leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.atoti_limits.problems import Problem
from asyncconn.sandbox.atoti_limits.rules import WORKFLOWS

if TYPE_CHECKING:
    from asyncconn.sandbox.atoti_limits.users import User

__all__ = ["KEYS", "LEGAL", "PENDING", "Process", "act", "begin"]

PENDING = ("PENDING_FIRST_APPROVAL", "PENDING_SECOND_APPROVAL")
#: Which statuses an action takes a limit out of.
LEGAL: dict[str, tuple[str, ...]] = {"approve": PENDING, "reject": PENDING, "expire": ("APPROVED",)}
#: What a workflow may be asked for by, in ``can-start``.
KEYS = frozenset(
    {
        *WORKFLOWS,
        "limit-process-direct",
        "limit-process-six-eyes",
        "limit-process-instance.four-eyes",
        "incident-review-process",
        "Limit Changes",
        "Incidents",
    }
)
# Names of groups in workflow parameters, and the roles that belong to them.
_GROUPS = {
    "MANAGER": {"ROLE_MANAGERS"},
    "MANAGERS": {"ROLE_MANAGERS"},
    "USER": {"ROLE_USER", "ROLE_USERS"},
    "USERS": {"ROLE_USER", "ROLE_USERS"},
    "USER_ROLES": {"ROLE_USER", "ROLE_USERS"},
}


@dataclass(slots=True)
class Process:
    """One change on its way: who began it, who has approved, and all that happened."""

    process_id: str
    creator: str
    approvals: list[str] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)

    def note(self, at: str, user: str, action: str, status: str, comment: str = "") -> None:
        """Add to the history."""
        entry = {"timestamp": at, "user": user, "action": action, "status": status, "comment": comment}
        self.history.append(entry)


def begin(workflow: str) -> str:
    """The status of a limit whose change has begun."""
    return "PENDING_FIRST_APPROVAL" if WORKFLOWS[workflow] else "APPROVED"


def act(
    process: Process,
    action: str,
    status: str,
    structure: dict[str, Any],
    user: User,
    *,
    creator_may_approve: bool,
) -> str:
    """The status after ``action``. Raises 403 for the wrong person, 409 for one that comes too late or too early."""
    if status not in LEGAL[action]:
        raise Problem(409, f"A limit in status {status} cannot be changed by {action}")
    if action == "expire":
        return "EXPIRED"
    _check_group(structure, status, user)
    if action == "reject":
        return "REJECTED"
    alone = "ROLE_AUTO_APPROVE_LIMIT" in user.roles
    if user.name == process.creator and not (alone or creator_may_approve):
        raise Problem(403, "The creator of a change may not approve it")
    if user.name in process.approvals and not alone:
        raise Problem(403, "The second approval must come from another user than the first")
    process.approvals.append(user.name)
    needed = WORKFLOWS[structure["limitChangesWorkflow"]]
    return "APPROVED" if len(process.approvals) >= needed else "PENDING_SECOND_APPROVAL"


def _check_group(structure: dict[str, Any], status: str, user: User) -> None:
    """Whether ``user`` is among the approvers that the structure's parameters name, if they name any."""
    turn = "First" if status == "PENDING_FIRST_APPROVAL" else "Second"
    parameters = structure["limitChangesWorkflowParameters"]
    named = parameters.get(f"{turn} Approvers") or parameters.get("Approvers") or ""
    groups = [group.strip().removeprefix("ROLE_") for group in str(named).split(",") if group.strip()]
    allowed = {role for group in groups for role in _GROUPS.get(group, {f"ROLE_{group}"})}
    if allowed and not user.roles & allowed:
        raise Problem(403, f"User {user.name} is not among the approvers: {', '.join(sorted(allowed))}")
