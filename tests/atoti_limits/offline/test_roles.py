"""Which role is missing for what."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from captures import ATOTI_LIMITS as CAPTURES

from asyncconn.atoti_limits.offline.roles import GUIDE_USERS, NEEDS, ROLES, ROLES_BEFORE_4, Action, missing_roles
from asyncconn.errors import ConfigError

USERS = CAPTURES["users"]


@pytest.mark.parametrize(
    ("ours", "theirs"), [("admin", "admin"), ("user1", "user1"), ("manager1", "manager1"), ("technical", "admin_gen3")]
)
def test_the_users_of_the_guides_have_the_roles_of_the_guides(ours: str, theirs: str) -> None:
    assert GUIDE_USERS[ours] == set(USERS[theirs])


@pytest.mark.parametrize("since", NEEDS)
def test_every_action_is_known_in_every_version_and_needs_roles_that_are_explained(since: str) -> None:
    assert set(NEEDS[since]) == set(get_args(Action))
    named = {role for needs in NEEDS[since].values() for need in needs for role in need.any_of}
    assert named <= set(ROLES_BEFORE_4 if since == "1.0" else ROLES)


@pytest.mark.parametrize(
    ("roles", "action", "version", "missing"),
    [
        (USERS["admin"], "connect", "2.0.0", set()),
        (USERS["user1"], "connect", "2.0.0", {"ROLE_ACTIVITI_ADMIN"}),
        (USERS["user1"], "see_kpis", "1.1.0", set()),
        (USERS["admin"], "see_kpis", "1.1.0", {"ROLE_USER"}),
        (USERS["user1"], "approve", "3.3", {"ROLE_MANAGERS"}),
        (USERS["manager1"], "approve", "3.3", set()),
        (USERS["manager1"], "evaluate", "3.3", {"ROLE_ADMIN"}),
        (USERS["manager1"], "start_workflow", "3.3", {"ROLE_USERS"}),
        (USERS["readonly"], "read", "4.2.1", set()),
        (USERS["readonly"], "approve", "4.2.1", {"ROLE_APPROVE_REJECT_LIMIT"}),
        (USERS["readonly"], "reject", "6.1.20", {"ROLE_APPROVE_REJECT_LIMIT"}),
        (USERS["readonly"], "auto_approve", "4.2.1", {"ROLE_AUTO_APPROVE_LIMIT"}),
        (USERS["readonly"], "evaluate", "4.2.1", {"ROLE_EVALUATE_STRUCTURE"}),
        (USERS["readonly"], "process_incident", "4.2.1", {"ROLE_PROCESS_INCIDENT"}),
        (USERS["readonly"], "edit", "4.2.1", {"ROLE_LIMITS"}),
        (["ROLE_USER"], "read", "4.0.0-beta", {"ROLE_READ_ONLY"}),
        (["ROLE_EVALUATE_STRUCTURE"], "evaluate", "4.1", {"ROLE_USER"}),
        (["ROLE_EVALUATE_STRUCTURE"], "evaluate", "6.1", set()),
        ([], "read", "4.0", {"ROLE_USER", "ROLE_READ_ONLY"}),
        ([], "read", "6.0", set()),
        ([], "see_kpis", "6.0", set()),
        ([], "see_kpis", "4.2", {"ROLE_USER"}),
        ([], "evaluate", "3.9", {"ROLE_ADMIN"}),
        ([], "connect", "6.2", {"ROLE_ACTIVITI_USER", "ROLE_ACTIVITI_ADMIN", "ROLE_USER"}),
        (["ROLE_OF_THEIR_OWN"], "approve", "6.2", {"ROLE_APPROVE_REJECT_LIMIT"}),
        ([], "evaluate", "0.9", {"ROLE_ADMIN"}),
    ],
)
def test_the_roles_that_a_user_lacks_are_named(
    roles: list[str], action: Action, version: str, missing: set[str]
) -> None:
    assert missing_roles(roles, action, version=version) == missing


@pytest.mark.parametrize("version", ["4.0", "4.2.1", "6.1", "6.2"])
@pytest.mark.parametrize("action", sorted(set(get_args(Action)) - {"connect"}))
def test_the_role_for_everything_is_enough_for_every_action(action: Action, version: str) -> None:
    assert missing_roles(["ROLE_LIMITS"], action, version=version) == set()


@pytest.mark.parametrize("action", get_args(Action))
def test_the_technical_user_may_do_everything(action: Action) -> None:
    assert missing_roles(GUIDE_USERS["technical"], action) == set()
    assert missing_roles(GUIDE_USERS["technical"], action, version="1.0") == set()


def test_the_latest_version_is_assumed() -> None:
    assert missing_roles([], "evaluate") == {"ROLE_EVALUATE_STRUCTURE"}


@pytest.mark.parametrize(
    ("roles", "action", "says"),
    [([], "fly", "no action 'fly'; known are connect, "), ("ROLE_USER", "read", "one text")],
)
def test_what_is_no_action_or_no_roles_is_refused(roles: Any, action: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        missing_roles(roles, action)
