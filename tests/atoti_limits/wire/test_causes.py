"""Why it may not have connected: what is left of the list after what was seen."""

from __future__ import annotations

from typing import Any

import pytest

from asyncconn.atoti_limits import causes
from asyncconn.atoti_limits.reports import CubeCheck, PreflightReport, Verdict


def cube(status: Verdict) -> CubeCheck:
    return CubeCheck("atoti", "Cars", status, (), "")


def left(report: PreflightReport | None, **options: Any) -> set[str]:
    given: dict[str, Any] = {
        "generation": 3,
        "session_url": "http://localhost:7070",
        "limits_url": "http://localhost:3090",
        "timeout": 60.0,
    }
    return {one.name for one in causes.not_excluded(report=report, **{**given, **options})}


ALL = {"limits_url", "jwt_keys", "roles", "slicing_hierarchy", "server_name", "cube"}
ALWAYS = {"jwt_keys", "roles", "server_name"}


def test_without_a_preflight_nothing_is_excluded() -> None:
    assert left(None) == ALL
    assert left(PreflightReport()) == ALL


def test_what_the_preflight_saw_is_excluded() -> None:
    assert left(PreflightReport(cubes=(cube("ok"),), limits=True)) == ALWAYS


@pytest.mark.parametrize("status", ["ambiguous", "unverified", "missing"])
def test_a_doubtful_hierarchy_stays_a_possible_cause(status: Verdict) -> None:
    assert left(PreflightReport(cubes=(cube(status),), limits=True)) == ALWAYS | {"slicing_hierarchy"}
    assert left(PreflightReport(cubes=(cube(status), cube("ok")), limits=True)) == ALWAYS


@pytest.mark.parametrize(
    ("generation", "session", "limits", "possible"),
    [
        (3, "http://localhost:7070", "http://localhost:3091", False),
        (3, "http://atoti.example", "http://limits.example:3090", False),
        (3, "http://atoti.example", "http://localhost:3090", True),
        (3, "http://127.0.0.1:7070/foo/bar", "http://[::1]:3090", False),
        (2, "http://localhost:7070", "http://localhost:3090", False),
        (2, "http://localhost:7070", "http://127.0.0.1:3090", False),
        (2, "http://localhost:7070", "http://localhost:3091", True),
        (2, "http://localhost:7070", "http://limits.example:3090", True),
        (1, "http://localhost:6060", "http://localhost:3090", True),
    ],
)
def test_the_address_is_excluded_only_where_the_session_means_the_same_by_it(
    generation: int, session: str, limits: str, possible: bool
) -> None:
    report = PreflightReport(cubes=(cube("ok"),), limits=True)
    found = left(report, generation=generation, session_url=session, limits_url=limits)

    assert ("limits_url" in found) == possible


def test_generation_1_has_passwords_where_the_others_have_keys() -> None:
    assert left(None, generation=1) == ALL - {"jwt_keys"} | {"credentials"}


@pytest.mark.parametrize(("timeout", "short"), [(1.0, True), (14.9, True), (15.0, False)])
def test_a_deadline_before_the_second_attempt_is_a_cause_of_its_own(timeout: float, short: bool) -> None:
    assert ("deadline" in left(None, timeout=timeout)) == short


def test_a_cause_says_what_to_do() -> None:
    assert str(causes.KEYS) == "session and Limits have different JWT key pairs: give both the same RSA pair"
