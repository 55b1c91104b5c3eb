"""Which roles users of Atoti Limits need, and for what.

Roles are free words: a server may have more than are written down here. Contract: limits section 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from asyncconn.atoti_limits.versions import LATEST, Version
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["GUIDE_USERS", "NEEDS", "ROLES", "ROLES_BEFORE_4", "Action", "Need", "missing_roles"]

Action = Literal[
    "connect", "see_kpis", "read", "edit", "start_workflow", "approve", "reject", "auto_approve", "evaluate",
    "process_incident",
]  # fmt: skip

#: What the roles mean for Limits before 4.0.
ROLES_BEFORE_4: Mapping[str, str] = MappingProxyType(
    {
        "ROLE_LIMITS": "owner and reader of the KPIs that Limits writes into the cube",
        "ROLE_USER": "also owner and reader of the KPIs",
        "ROLE_USERS": "group of users in workflows; may start straight-through and four-eyes",
        "ROLE_MANAGERS": "group of managers in workflows",
        "ROLE_ADMIN": "may call the REST endpoints and trigger evaluations",
        "ROLE_ACTIVITI_USER": "without it Limits cannot send requests to the session",
        "ROLE_ACTIVITI_ADMIN": "without it Limits cannot send requests to the session",
    }
)

#: What the roles allow from Limits 4.0 on, as far as it could be read.
ROLES: Mapping[str, str] = MappingProxyType(
    {
        "ROLE_USER": "general: users",
        "ROLE_USERS": "general: group of users in workflows",
        "ROLE_MANAGERS": "general: group of managers in workflows",
        "ROLE_ADMIN": "general: administrators",
        "ROLE_ACTIVITI_USER": "general: requests between the servers",
        "ROLE_ACTIVITI_ADMIN": "general: requests between the servers",
        "ROLE_LIMITS": "everything",
        "ROLE_APPROVE_REJECT_LIMIT": "approve or reject changes of limits",
        "ROLE_AUTO_APPROVE_LIMIT": "have changes of limits approved without a second person",
        "ROLE_EVALUATE_STRUCTURE": "trigger evaluations",
        "ROLE_PROCESS_INCIDENT": "handle breaches and warnings",
        "ROLE_READ_ONLY": "the least: look",
    }
)

#: The users of the guides, with their roles; ``technical`` is whom the third generation connects as.
GUIDE_USERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "admin": frozenset({"ROLE_ACTIVITI_USER", "ROLE_ACTIVITI_ADMIN", "ROLE_MANAGERS", "ROLE_LIMITS"}),
        "user1": frozenset({"ROLE_ACTIVITI_USER", "ROLE_LIMITS", "ROLE_USER"}),
        "manager1": frozenset({"ROLE_ACTIVITI_USER", "ROLE_LIMITS", "ROLE_USER", "ROLE_MANAGERS"}),
        "technical": frozenset(
            {
                "ROLE_ACTIVITI_ADMIN", "ROLE_ACTIVITI_USER", "ROLE_ADMIN", "ROLE_AUTO_APPROVE_LIMIT", "ROLE_LIMITS",
                "ROLE_MANAGERS", "ROLE_USER", "ROLE_USERS",
            }
        ),
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Need:
    """One of these roles; the first is the one to ask for, because it allows no more than is needed."""

    any_of: tuple[str, ...]


def _needs(*given: str) -> tuple[Need, ...]:
    return tuple(Need(tuple(text.split("|"))) for text in given)


_CONNECT = _needs("ROLE_ACTIVITI_USER", "ROLE_ACTIVITI_ADMIN")
_OLD = _needs("ROLE_USER", "ROLE_LIMITS")
_GENERAL = _needs("ROLE_USER|ROLE_USERS|ROLE_MANAGERS|ROLE_ADMIN|ROLE_LIMITS")
_LOOK = _needs(
    "ROLE_READ_ONLY|ROLE_APPROVE_REJECT_LIMIT|ROLE_AUTO_APPROVE_LIMIT|ROLE_EVALUATE_STRUCTURE|ROLE_PROCESS_INCIDENT"
    "|ROLE_LIMITS"
)
_PERMISSIONS: Mapping[Action, tuple[Need, ...]] = {
    "connect": _CONNECT + _needs("ROLE_USER"),
    "read": (),
    "edit": _needs("ROLE_LIMITS"),
    "start_workflow": _needs("ROLE_LIMITS"),
    "approve": _needs("ROLE_APPROVE_REJECT_LIMIT|ROLE_LIMITS"),
    "reject": _needs("ROLE_APPROVE_REJECT_LIMIT|ROLE_LIMITS"),
    "auto_approve": _needs("ROLE_AUTO_APPROVE_LIMIT|ROLE_LIMITS"),
    "evaluate": _needs("ROLE_EVALUATE_STRUCTURE|ROLE_LIMITS"),
    "process_incident": _needs("ROLE_PROCESS_INCIDENT|ROLE_LIMITS"),
}

#: What each action needs, by the first version of Limits that it holds for. All of the needs have to be met.
NEEDS: Mapping[str, Mapping[Action, tuple[Need, ...]]] = MappingProxyType(
    {
        "1.0": {
            "connect": _CONNECT,
            "see_kpis": _OLD,
            "read": _needs("ROLE_ADMIN"),
            "edit": _needs("ROLE_ADMIN"),
            "start_workflow": _OLD + _needs("ROLE_USERS"),
            "approve": _OLD + _needs("ROLE_MANAGERS"),
            "reject": _OLD + _needs("ROLE_MANAGERS"),
            "auto_approve": _OLD + _needs("ROLE_USERS"),
            "evaluate": _needs("ROLE_ADMIN"),
            "process_incident": _OLD + _needs("ROLE_USERS"),
        },
        # From 4.0 on everybody needs a general role and one permission; from 6.0 on nothing is needed by everybody.
        "4.0": {
            **{action: _GENERAL + needs for action, needs in _PERMISSIONS.items()},
            "read": _GENERAL + _LOOK,
            "see_kpis": _needs("ROLE_USER|ROLE_LIMITS"),
        },
        "6.0": {**_PERMISSIONS, "see_kpis": ()},
    }
)


def missing_roles(user_roles: Iterable[str], action: Action, *, version: str | Version = LATEST) -> set[str]:
    """The roles that a user has to be given before the Limits server allows the action; empty if none.

    Where one of several is enough, the one that allows least is named. ``ROLE_LIMITS`` allows everything from 4.0 on.
    Which actions need which roles is documented in part only: ``edit`` and ``start_workflow`` may be allowed by further
    roles whose names are not published, and who sees KPIs is configured from 6.0 on.

        >>> missing_roles({"ROLE_USER", "ROLE_READ_ONLY"}, "approve")
        {'ROLE_APPROVE_REJECT_LIMIT'}

    Raises ``ConfigError`` for an unknown action and for what is no version. Contract: limits section 9.
    """
    if isinstance(user_roles, str):
        raise ConfigError(f"roles are a collection of words, not one text: {user_roles!r}")
    limits = Version.parse(version, "version")
    since = max((key for key in NEEDS if limits.release >= Version.parse(key).release), default="1.0")
    needs = NEEDS[since].get(action)
    if needs is None:
        raise ConfigError(f"there is no action {action!r}; known are {', '.join(NEEDS[since])}")
    have = set(user_roles)
    return {need.any_of[0] for need in needs if have.isdisjoint(need.any_of)}
