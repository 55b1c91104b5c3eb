"""Version numbers as the platform writes them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from asyncconn.atoti_limits.versions import Version
from asyncconn.errors import ConfigError

V = Version.parse


def test_versions_come_in_their_order() -> None:
    ordered = [
        "1.8.0_392",
        "3.2.0-alpha",
        "3.2.0-beta",
        "3.2.0-beta.2",
        "3.2.0-rc1",
        "3.2",
        "3.2.1",
        "3.10",
        "v4",
        "21.0.4+7",
    ]

    for lower, higher in pairwise(ordered):
        assert V(lower) < V(higher)
        assert V(higher) >= V(lower)
        assert not V(higher) < V(lower)


@pytest.mark.parametrize(
    ("version", "pattern", "within"),
    [
        ("6.1.16", "6.1.x", True),
        ("6.1", "6.1.x", True),
        ("6.1.x", "6.1.x", True),
        ("v6.1.16", "6.1.X", True),
        ("6.2.0-beta", "6.2.x", True),
        ("6.10.1", "6.1.x", False),
        ("6", "6.1.x", False),
        ("6.x", "6.1.x", False),
        ("6.0.4-sb3", "6.0.x-sb3", True),
        ("6.0.4", "6.0.x-sb3", False),
        ("6.0.4-sb3", "6.0.x", False),
        ("4.2.1", "4.2.1", True),
        ("4.2.1.0", "4.2.1", True),
        ("4.2", "4.2.0", True),
        ("4.2", "4.2.1", False),
        ("4.2.x", "4.2.1", False),
        ("4.2.1-rc1", "4.2.1", False),
        ("4.2.1-sb3", "4.2.1", False),
    ],
)
def test_a_version_is_within_its_line_and_within_itself(version: str, pattern: str, within: bool) -> None:
    assert V(version).within(pattern) is within


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("0.7", "0.7.0", True), ("0.7.4", "v0.7.4", True), ("0.7.4", "0.7.4-rc1", False), ("6.0.4", "6.0.4-sb3", False)],
)
def test_the_same_version_may_be_written_in_several_ways(one: str, other: str, same: bool) -> None:
    assert V(one).same(V(other)) is same


def test_a_version_is_printed_as_it_was_written() -> None:
    assert str(V(" v4.2.1 ")) == "v4.2.1"
    assert (V("4").minor, V("4.2.1").minor) == ("4.0", "4.2")


@pytest.mark.parametrize("text", ["", "x", "latest", "4..2", "4.2.", "-1", "4.2 1", "4,2", "\u0664.2", None, 4.2])
def test_what_is_no_version_is_refused_by_the_name_it_was_given_as(text: Any) -> None:
    with pytest.raises(ConfigError, match=r"limits: .* is not a version"):
        V(text, "limits")
