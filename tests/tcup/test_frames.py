"""Typed frames of observations, by msgspec and without it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.tcup import frames
from asyncconn.tcup.frames import Columns, page_of
from asyncconn.tcup.rows import COLUMNS, rows_of


def observations(*outputs: dict[str, Any], start: Any = "03-JUL-2015 07:40:00.000 UTC") -> list[dict[str, Any]]:
    return [{"sensor": "ts1", "feature": "tf1", "record": [{"starttime": start, "output": list(outputs)}]}]


def long(found: list[dict[str, Any]]) -> Any:
    columns = Columns()
    columns.add(found)
    return columns.long()


def test_columns_of_one_type_have_it() -> None:
    made = [long(observations({"name": "a", "value": value, "type": kind}))["value"] for value, kind in
            (("1", "count"), ("1.5", "quantity"), ("1.5", "decimal"), ("true", "boolean"), ("x", "text"))]  # fmt: skip

    assert [str(column.dtype) for column in made] == ["int64", "float64", "float64", "bool", "str"]


@pytest.mark.parametrize(
    ("value", "kind"), [("1_0", "count"), ("nan", "quantity"), ("1e999", "quantity"), ("x", "count"), ("", "count")]
)
def test_a_value_that_does_not_fit_is_flagged_and_kept(value: str, kind: str) -> None:
    made = long(observations({"name": "a", "value": "7", "type": kind}, {"name": "b", "value": value, "type": kind}))

    assert made.attrs["invalid"] == [1]
    assert made["value"][1] == value
    assert made["value"][0] == 7


@pytest.mark.parametrize("start", [None, "soon", "03-JUL-2015 99:99:99.000 UTC", 7])
def test_a_time_that_is_none_is_missing(start: Any) -> None:
    made = long([*observations({"name": "a", "value": "1"}), *observations({"name": "a", "value": "1"}, start=start)])

    assert made["starttime"][0] == datetime(2015, 7, 3, 7, 40, tzinfo=UTC)
    assert str(made["starttime"][1]) == "NaT"


def test_an_integer_keeps_its_digits() -> None:
    great = 2**70

    assert long(observations({"name": "a", "value": str(great), "type": "count"}))["value"][0] == great


def test_a_gap_in_the_wide_form_leaves_integers_integers() -> None:
    columns = Columns()
    columns.add(observations({"name": "a", "value": str(2**53 + 1), "type": "count"}))
    columns.add(observations({"name": "b", "value": "x"}, start="03-JUL-2015 07:40:01.000 UTC"))
    made = columns.wide()

    assert str(made["a"].dtype) == "Int64"
    assert made["a"][0] == 2**53 + 1


def test_of_two_values_of_one_output_the_later_row_counts() -> None:
    columns = Columns()
    columns.add(
        observations({"name": "a", "value": "1", "type": "count"}, {"name": "a", "value": "2", "type": "count"})
    )

    assert list(columns.wide()["a"]) == [2]


_text = st.text(max_size=5)
_outputs = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "sensor"]),
        "value": st.one_of(_text, st.integers(-9, 9), st.booleans(), st.floats(0, 1)),
    },
    optional={"type": st.sampled_from(["count", "quantity", "boolean", "text", "time"]), "unit": _text},
)
_times = st.sampled_from(
    ["03-JUL-2015 07:40:00.000 UTC", "3-jul-2015 13:10:00 IST", "04-FEB-2021 10:20:30", "31-FEB-2021 10:20:30.000 UTC"]
)
_records = st.fixed_dictionaries({"starttime": _times, "output": st.lists(_outputs)})
_observations = st.lists(
    st.fixed_dictionaries({"sensor": _text, "record": st.lists(_records)}, optional={"feature": st.none() | _text})
)


@given(_observations)
def test_a_frame_says_what_the_rows_say_by_msgspec_and_without(found: list[dict[str, Any]]) -> None:
    body = json.dumps({"observations": found, "next": "c1"}).encode()
    decoded = page_of(body)
    assert decoded is not None
    slow, fast = Columns(), Columns()
    slow.add(orjson.loads(body)["observations"])
    fast.add_decoded(decoded[0])
    rows = list(rows_of(found))
    made = slow.long()

    assert decoded[1] == "c1"
    assert slow._columns == fast._columns
    assert len(made) == len(rows)
    assert made.attrs["invalid"] == [place for place, row in enumerate(rows) if not row["valid"]]
    for column in COLUMNS:
        if column not in ("starttime", "endtime"):
            kept = [None if value != value else value for value in made[column].tolist()]
            assert kept == [row[column] for row in rows], column


def test_what_msgspec_cannot_read_is_read_the_tolerant_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert page_of(b'{"observations": [{"sensor": 7}]}') is None
    assert page_of(b"[]") is None
    frames._decoder.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert page_of(b'{"observations": []}') is None
    frames._decoder.cache_clear()
