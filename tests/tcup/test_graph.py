"""The links of a workflow: those implied, and those that cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.errors import ConfigError
from asyncconn.tcup.graph import as_set, links, wire


def test_the_start_and_the_end_are_implied() -> None:
    assert links([("T123", "T124")]) == [("start", "T123"), ("T123", "T124"), ("T124", "end")]
    assert links([("a", "c"), ("b", "c"), ("c", "d"), ("c", "e")]) == [
        ("start", "a"), ("start", "b"), ("a", "c"), ("b", "c"), ("c", "d"), ("c", "e"), ("d", "end"), ("e", "end"),
    ]  # fmt: skip


def test_the_start_and_the_end_may_be_given() -> None:
    assert links([("start", "a")]) == [("start", "a"), ("a", "end")]
    assert links([("a", "b"), ("b", "end"), ("start", "b")]) == [
        ("start", "a"), ("a", "b"), ("b", "end"), ("start", "b"),
    ]  # fmt: skip


def test_a_pair_that_comes_twice_is_one_link() -> None:
    assert links([("a", "b"), ("a", "b")]) == links([("a", "b")])


@pytest.mark.parametrize(
    ("pairs", "circle"),
    [([("a", "a")], "a -> a"), ([("x", "a"), ("a", "b"), ("b", "c"), ("c", "a")], "[abc] -> [abc] -> [abc] -> [abc]")],
)
def test_a_circle_is_refused_by_name(pairs: list[tuple[str, str]], circle: str) -> None:
    with pytest.raises(ConfigError, match=f"wait for each other: {circle}"):
        links(pairs)


@pytest.mark.parametrize("pair", [("end", "a"), ("a", "start"), ("start", "end")])
def test_what_leads_nowhere_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=" -> ".join(pair)):
        links([("a", "b"), pair])


def test_a_workflow_without_a_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        links([])


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), min_size=1, max_size=40))
def test_every_task_has_a_way_in_and_a_way_out(steps: list[tuple[int, int]]) -> None:
    pairs = [(f"T{one}", f"T{one + more}") for one, more in steps]  # always upwards: never in a circle

    made = links(pairs)

    tasks = {task for pair in pairs for task in pair}
    assert {destination for _, destination in made} == tasks | {"end"}
    assert {source for source, _ in made} == tasks | {"start"}
    assert set(pairs) <= set(made)
    assert len(set(made)) == len(made)
    assert as_set(wire(made)) == set(made)
