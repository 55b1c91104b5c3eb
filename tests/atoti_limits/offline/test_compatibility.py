"""Which versions work together."""

from __future__ import annotations

from typing import Any

import pytest

from asyncconn.atoti_limits.offline.compatibility import (
    JAVA_AUTOCONFIG_ARTIFACTS,
    KNOWN,
    SERVERS_BY_LIMITS,
    Known,
    check_compatibility,
    rest_version,
)
from asyncconn.errors import ConfigError


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known.limits} and {known.atoti_python}")
def test_what_is_documented_is_compatible(known: Known) -> None:
    report = check_compatibility(known.limits, known.plugin, known.atoti_python, strict=True)

    assert (report.verdict, report.warnings, report.errors) == ("compatible", (), ())
    assert (report.generation, report.rest_version) == (known.generation, known.rest)


@pytest.mark.parametrize("limits", SERVERS_BY_LIMITS)
def test_the_servers_of_a_line_are_compatible_and_others_unknown(limits: str) -> None:
    for server in {*JAVA_AUTOCONFIG_ARTIFACTS, "6.1.x"}:
        told = [w for w in check_compatibility(f"{limits}.3", atoti_server=server).warnings if "servers" in w]
        assert bool(told) is (server not in SERVERS_BY_LIMITS[limits]), server


@pytest.mark.parametrize(
    ("given", "generation", "rest"),
    [
        ({"limits": "1.0.0"}, 1, "v1"),
        ({"limits": "3.9"}, 1, "v2"),
        ({"limits": "4.0.0"}, None, "v2"),
        ({"limits": "4.2.2"}, 2, "v2"),
        ({"limits": "6.1.20"}, 2, "v2"),
        ({"limits": "6.2.0"}, 3, "v2"),
        ({"plugin": "0.6.4"}, 1, "v1"),
        ({"plugin": "0.6.9"}, 1, None),
        ({"plugin": "0.7.5"}, 1, "v2"),
        ({"plugin": "6.2.2"}, 3, "v2"),
        ({"atoti_python": "0.8.14"}, 1, "v2"),
        ({"atoti_python": "0.9.0"}, 2, "v2"),
        ({"atoti_python": "6.2.2"}, 3, "v2"),
        ({"limits": "4.2.1", "atoti_python": "6.2.2"}, 2, "v2"),
        ({"limits": "4.1.0", "atoti_python": "6.2.2"}, 3, "v2"),
        ({"limits": "6.2.0", "plugin": "0.8.14"}, 1, "v2"),
        ({"generation": 3}, 3, "v2"),
        ({"generation": 1}, 1, None),
        ({"generation": 1, "limits": "6.2.0"}, 1, "v2"),
        ({}, None, None),
    ],
)
def test_the_versions_tell_the_way_of_connecting_and_the_paths(
    given: dict[str, Any], generation: int | None, rest: str | None
) -> None:
    report = check_compatibility(**given)

    assert (report.generation, report.rest_version) == (generation, rest)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"limits": "4.2.2", "atoti_python": "0.9.12"}, "of generation 2 has Limits 4.2.2 and Atoti Python 0.9.12"),
        ({"limits": "3.3.0", "plugin": "0.8.14"}, "of generation 1 has Limits 3.3.0 and plugin 0.8.14"),
        ({"limits": "4.1.0"}, "no documented combination has Limits 4.1.0"),
        ({"limits": "6.2.2", "generation": 2}, "of generation 2 has Limits 6.2.2"),
        ({"limits": "1.1.0", "plugin": "0.6.4", "atoti_server": "5.9.1"}, "the Atoti server 5.11.x, not 5.9.1"),
        ({"limits": "4.0.0", "atoti_server": "6.2.0"}, "Limits 4.0.0 is documented with the Atoti servers 6.0.x, "),
        ({"atoti_python": "0.9.12", "atoti_server": "6.1.17"}, "has the Atoti server 6.1.16 inside, not 6.1.17"),
        ({"limits": "4.0.1", "java": "17"}, "built for Java 21, not 17"),
    ],
)
def test_what_nobody_has_documented_is_a_warning_and_strictly_an_error(given: dict[str, Any], says: str) -> None:
    report = check_compatibility(**given)
    strict = check_compatibility(**given, strict=True)

    assert (report.verdict, report.errors) == ("unknown", ())
    assert any(says in warning for warning in report.warnings), report.warnings
    assert (strict.verdict, strict.warnings, strict.errors) == ("incompatible", (), report.warnings)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"plugin": "0.7.4", "atoti_python": "0.7.5"}, "plugin 0.7.4 needs Atoti Python 0.7.4, not 0.7.5"),
        ({"plugin": "0.7.x", "atoti_python": "0.8.14"}, "plugin 0.7.x needs"),
        ({"plugin": "0.8.14", "atoti_python": "0.8.14-rc1"}, "plugin 0.8.14 needs"),
        ({"generation": 1, "atoti_python": "0.9.12"}, "there is no plugin for Atoti Python 0.9.12"),
        ({"atoti_python": "0.9.12", "java": "17.0.9"}, "generation 2 needs Java 21 or later, not 17.0.9"),
        ({"atoti_python": "0.9.12", "java": "1.8.0_392"}, "needs Java 21 or later"),
        ({"atoti_python": "0.9.12", "java": "25"}, "Atoti Python 0.9.12 starts with Java 21 only, not 25"),
        ({"limits": "4.2.1", "python": "3.9.18"}, "generation 2 needs Python 3.10 or later, not 3.9.18"),
        ({"limits": "6.2.1", "python": "3.12.0rc1"}, "generation 3 needs Python 3.12 or later"),
    ],
)
def test_what_is_known_not_to_work_is_an_error(given: dict[str, Any], says: str) -> None:
    report = check_compatibility(**given)

    assert report.verdict == "incompatible"
    assert any(says in error for error in report.errors), report.errors


@pytest.mark.parametrize(
    "given",
    [
        {"plugin": "0.7.4", "atoti_python": "0.7.x"},
        {"atoti_python": "0.9.12", "java": "21.0.4+7"},
        {"limits": "4.2.1", "atoti_python": "0.9.12", "python": "3.10.0", "java": "21"},
        {"atoti_python": "6.2.2", "java": "25", "python": "3.12"},
        {"python": "3.8", "java": "8"},
        {"plugin": "0.8.14", "python": "3.7", "java": "11"},
    ],
)
def test_what_fits_or_is_not_asked_for_is_no_error(given: dict[str, Any]) -> None:
    assert check_compatibility(**given).errors == ()


@pytest.mark.parametrize(
    ("limits", "rest"), [("1.1.0", "v1"), ("1.9", "v1"), ("2.0.0-beta", "v2"), ("2.0.0", "v2"), ("6.2.x", "v2")]
)
def test_the_paths_changed_with_the_second_version(limits: str, rest: str) -> None:
    assert rest_version(limits) == rest


@pytest.mark.parametrize("name", ["limits", "plugin", "atoti_python", "atoti_server", "java", "python"])
def test_what_is_no_version_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: 'new' is not a version"):
        check_compatibility(**{name: "new"})  # type: ignore[arg-type] # the names are those of versions


def test_what_is_called_a_plugin_later_carries_another_number() -> None:
    for limits, python in (("4.2.1", "0.9.12"), ("6.2.1", "6.2.2")):
        assert check_compatibility(limits, "4.2.1", python).verdict == "compatible"


def test_a_generation_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="1, 2 or 3, not 4"):
        check_compatibility(generation=4)
