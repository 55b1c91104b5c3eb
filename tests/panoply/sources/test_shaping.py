"""What the platform did to the rows of a source by its parameters: ids, columns left out, texts of JSON."""

from __future__ import annotations

import json
import logging
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from asyncconn.errors import ConfigError, InvalidRecord
from asyncconn.panoply.encoding import encode_record
from asyncconn.panoply.errors import TruncateRefused
from asyncconn.panoply.sources.shaping import RowShape


def test_without_any_of_these_parameters_nothing_is_looked_at() -> None:
    assert RowShape({"type": "t", "excludes": [], "stringFields": None, "idpattern": "", "inckey": ""}).idle


# -- idpattern ---------------------------------------------------------------------------------------------------------


def ids(pattern: str, *rows: dict[str, Any]) -> list[str]:
    shape = RowShape({"idpattern": pattern})
    return [shape.of(row)["id"] for row in rows]


def test_rows_with_the_same_fields_have_the_same_id_in_every_run() -> None:
    first = ids("{week}-{asin}", {"week": 1, "asin": "a", "n": 1}, {"week": 1, "asin": "b"})
    again = ids("{week}-{asin}", {"n": 2, "asin": "a", "week": 1}, {"week": "1", "asin": "b"})
    assert first == again
    assert len(set(first)) == 2
    assert all(len(one) == 32 for one in first)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "1-2", "b": "3"}, {"a": "1", "b": "2-3"}),
        ({"a": "", "b": "x"}, {"a": "x", "b": ""}),
        ({"a": None, "b": 1}, {"a": "", "b": 1}),
        ({"a": date(2026, 1, 2), "b": 1}, {"a": date(2026, 1, 3), "b": 1}),
        ({"a": 1, "b": 2**64}, {"a": 1, "b": 2**64 + 1}),
    ],
)
def test_different_rows_never_share_an_id(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert len(set(ids("{a}-{b}", one, other))) == 2


def test_it_comes_in_place_of_an_id_that_the_row_has_and_may_use_it() -> None:
    [made] = ids("{id}", {"id": 7})
    assert made not in (7, "7")


def test_a_row_is_not_changed_itself() -> None:
    row = {"a": 1, "secret": "s", "more": "[1]"}
    RowShape({"idpattern": "{a}", "excludes": ["secret"], "stringFields": ["more"]}).of(row)
    assert row == {"a": 1, "secret": "s", "more": "[1]"}


def test_fields_may_stand_in_the_metadata_of_a_group() -> None:
    shape = RowShape({"idpattern": "{resource_id}-{n}"})
    one, other = (shape.of({"n": 1}, {"resource_id": name})["id"] for name in ("customers", "orders"))
    assert one != other


@pytest.mark.parametrize(
    ("row", "says"),
    [({"a": 1}, "'b', which is not in the row"), ({"a": 1, "b": {"c": 1}}, "is a dict"), ({"a": 1, "b": [1]}, "list")],
)
def test_a_row_without_a_field_of_the_pattern_is_refused_with_its_name(row: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRecord, match=says) as caught:
        RowShape({"idpattern": "{a}-{b}"}).of(row)
    assert caught.value.path == "b"


@pytest.mark.parametrize("pattern", ["asin", "{a", "{}", "{a}-{", 7, ["a"]])
def test_a_pattern_that_gives_no_ids_is_refused(pattern: Any) -> None:
    with pytest.raises(ConfigError, match="idpattern"):
        RowShape({"idpattern": pattern})


# -- excludes, stringFields --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [["a", "b"], ("a", "b"), {"a", "b"}, "a, b", [{"name": "A", "value": "a"}, {"name": "B", "value": "b"}]],
)
def test_excluded_columns_are_left_out_however_they_are_given(given: Any) -> None:
    assert RowShape({"excludes": given}).of({"a": 1, "b": 2, "c": 3}) == {"c": 3}


def test_an_excluded_column_still_makes_ids_and_moves_the_incremental_key() -> None:
    shape = RowShape({"idpattern": "{email}", "excludes": ["email", "at"], "inckey": "at"})
    made = shape.of({"email": "ada@example.org", "at": 3})
    assert (list(made), shape.newest) == (["id"], 3)


@pytest.mark.parametrize("key", ["excludes", "stringFields"])
@pytest.mark.parametrize("given", [7, [7], [None], {"a": 1}, [["a"]]])
def test_what_names_no_columns_is_refused(key: str, given: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        RowShape({key: given})


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ('{"a": [1, null]}', b'{"x":{"a":[1,null]}'),
        ("12345678901234567890.5", b'{"x":12345678901234567890.5'),
        ("[1.10]", b'{"x":[1.10]'),
        ("not JSON", b'{"x":"not JSON"'),
        ("NaN", b'{"x":"NaN"'),
        ("", b'{"x":""'),
        ("[" * 100_000, b'{"x":"[[[['),
        (["already"], b'{"x":["already"]'),
        (None, b'{"x":null'),
    ],
)
def test_a_text_of_json_is_sent_as_what_it_says_and_any_other_as_it_is(text: Any, sent: bytes) -> None:
    made = RowShape({"stringFields": ["x", "not there"]}).of({"x": text})
    assert encode_record("t", made).startswith(sent)


# -- inckey ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "newest"),
    [
        ([1, 3, 2], 3),
        (["2026-01-02", "2026-01-10", "2026-01-09"], "2026-01-10"),
        ([datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)], "2026-01-03T00:00:00+00:00"),
        ([Decimal("1.5"), 1], "1.5"),
        ([None, 1, float("nan"), float("inf"), True, {"a": 1}], 1),
        ([], None),
    ],
)
def test_the_newest_value_of_the_incremental_key_is_kept(values: list[Any], newest: Any) -> None:
    shape = RowShape({"inckey": "n"})
    for value in values:
        shape.of({"n": value})
    assert shape.incval == newest


def test_numbers_of_numpy_count_for_the_incremental_key_and_can_be_kept() -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    shape = RowShape({"inckey": "n"})
    for value in (numpy.int64(3), numpy.int32(7), numpy.float32(0.5), numpy.float64("nan")):
        shape.of({"n": value})
    assert json.dumps(shape.incval) == "7"


def test_values_that_cannot_be_compared_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    shape = RowShape({"inckey": "{n}"})
    with caplog.at_level(logging.WARNING):
        for value in (1, "2", 3, "4"):
            shape.of({"n": value})
    assert shape.incval == 3
    assert [record.getMessage() for record in caplog.records] == [
        "the incremental key 'n' holds both int and str; only the first kind counts"
    ]


def test_several_incremental_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match="inckey must be the name of one column"):
        RowShape({"inckey": ["a", "b"]})


# -- truncateTable -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [True, "true", "yes", "1", 1, "on"])
def test_truncating_is_refused_with_what_to_do(given: Any) -> None:
    with pytest.raises(TruncateRefused, match="empty the table in Panoply"):
        RowShape({"truncateTable": given})


@pytest.mark.parametrize("given", [None, False, "", "false", "No", "0", 0])
def test_truncating_that_is_off_is_nothing(given: Any) -> None:
    assert RowShape({"truncateTable": given}).idle
