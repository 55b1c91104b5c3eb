"""Names of partitions and of work: the same in every process, and of no other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.collecting.batching import Size
from asyncconn.collecting.naming import name_of, name_of_key, name_of_work
from asyncconn.collecting.report import Outcome
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("partition", "name"),
    [(7, "7"), (-7, "-7"), ("sensor_7", "sensor_7"), ("2026-11-29", "2026-11-29"), ("a.b", "a.b")],
)
def test_what_fits_a_file_is_its_own_name(partition: Any, name: str) -> None:
    assert name_of(partition) == name


@dataclass
class Window:
    sensor: str
    hour: int


@pytest.mark.parametrize(
    "partition",
    [
        "7",
        "-7",
        "",
        ".hidden",
        "a.",
        "../../etc",
        "CON",
        "Oslo",
        "ä",
        "x" * 300,
        True,
        None,
        1.5,
        ("Oslo", 7),
        Window("a", 1),
    ],
)
def test_of_others_it_has_a_digest_that_fits_any_file_system(partition: Any) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_]{0,40}-[0-9a-f]{20}", name_of(partition))


@pytest.mark.parametrize("key", ["7", "-7", "007", "sensor_7", "2026-11-29", "a.b"])
def test_a_key_that_fits_a_file_is_the_name(key: str) -> None:
    assert name_of_key(key) == key


@pytest.mark.parametrize(
    "key",
    ["", ".hidden", "../../escaped", "a/b", "nul\0", "CON", "Oslo", "ä", "x" * 300, "7" * 300, "7\n"],
)
def test_another_key_has_a_digest(key: str) -> None:
    assert name_of_key(key) == name_of(key)
    assert re.fullmatch(r"[A-Za-z0-9_]{0,40}-[0-9a-f]{20}", name_of_key(key))


@pytest.mark.parametrize("key", [None, 7, b"a", ("a",), Path("a")])
def test_a_key_that_is_no_text_is_refused(key: Any) -> None:
    with pytest.raises(ConfigError, match="key= gives a text for each partition, not"):
        name_of_key(key)


def test_what_can_have_no_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="give key="):
        name_of(object())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=30) | st.from_regex("[a-z0-9.-]{1,9}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(_JSON, _JSON)
def test_two_partitions_have_two_names_and_small_and_capital_letters_are_no_difference(one: Any, other: Any) -> None:
    same = one == other and type(one) is type(other)
    if not same and repr(one) != repr(other):
        assert name_of(one).lower() != name_of(other).lower()


def _bound(value: Any) -> Callable[..., Any]:
    def work(hub: Any, partition: Any) -> Any:
        return value

    return work


async def _work(hub: Any, partition: Any, since: str = "") -> Any:
    return [since]


class _Object:
    def __init__(self, since: str) -> None:
        self.since = since

    def __repr__(self) -> str:
        return f"_Object({self.since!r})"

    def work(self, hub: Any, partition: Any) -> Any:
        return self.since


def test_other_code_and_other_arguments_are_other_work() -> None:
    works: list[Callable[..., Any]] = [
        _work, partial(_work, since="1"), partial(_work, since="2"), _bound(1), _bound(2), _bound("1"), _bound(_work),
        _Object("1").work, _Object("2").work, lambda hub, partition: 1, lambda hub, partition: 2,
        lambda hub, partition: hub.a, lambda hub, partition: hub.b, lambda hub, partition: [x for x in hub],  # noqa: C416 - code
        lambda hub, partition: [x + 1 for x in hub],
    ]  # fmt: skip

    assert len({name_of_work(work) for work in works}) == len(works)
    assert name_of_work(_bound(1)) == name_of_work(_bound(1))
    assert name_of_work(_bound(object())) == name_of_work(_bound(object()))


def test_a_name_is_the_same_in_every_process() -> None:
    code = """
from functools import partial
from asyncconn.collecting.naming import name_of, name_of_work
def work(hub, partition, *, since, names={"a", "b", "c"}):
    return partition in {"x", "y", "z"}, [since for _ in names]
print(name_of_work(partial(work, since={"b": 1, "a": 2})), name_of({"b": {1}, "a": None}))
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=15,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(said) == 1


# -- how large a batch is ----------------------------------------------------------------------------------------------


def _learnt(size: Size, seconds_each: float, rows_each: int = 1, batches: int = 12) -> int:
    for _ in range(batches):
        count = size.next(None)
        size.learn(count, Outcome(done=count, rows=count * rows_each, seconds=count * seconds_each))
    return size.next(None)


@pytest.mark.parametrize(
    ("seconds", "rows", "size"), [(0.01, 1, 1000), (1.0, 1, 10), (30.0, 1, 1), (1e-9, 1, 5000), (0.001, 1000, 50)]
)
def test_a_batch_is_as_large_as_some_seconds_of_work_or_some_rows(seconds: float, rows: int, size: int) -> None:
    assert _learnt(Size("auto", 16, 8), seconds, rows) == pytest.approx(size, abs=1)


def test_it_grows_by_and_by_and_is_small_where_few_are_left() -> None:
    size = Size("auto", 16, 8)
    size.learn(16, Outcome(done=16, seconds=0.001))

    assert size.next(None) == 64
    assert size.next(100) == 13
    assert size.next(0) == 1
    assert Size(7, 16, 8).next(3) == 7
