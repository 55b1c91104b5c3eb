"""The document of observations: values, names, times, and the way back."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.errors import ConfigError
from asyncconn.tcup import payload
from asyncconn.tcup.rows import COLUMNS, observation_of, rows_of
from asyncconn.tcup.values import cast, encoded

from .captures import CAPTURES

WHEN = datetime(2026, 1, 5, tzinfo=UTC)


def test_a_payload_is_exactly_the_contracts() -> None:
    made = payload("ts1", {"obs1": "test_1", "obs2": 1}, "tf1", time=WHEN)

    assert made == CAPTURES["pyconnector.data_helper.output"]["body"]
    assert list(made["observations"][0]) == ["sensor", "feature", "record"]


@pytest.mark.parametrize(
    ("value", "kind", "sent", "native"),
    [
        (True, "boolean", "true", True),
        (0, "count", "0", 0),
        (10**30, "count", str(10**30), 10**30),
        (2.5, "quantity", "2.5", 2.5),
        (1e300, "quantity", "1e+300", 1e300),
        (Decimal("2.50"), "quantity", "2.50", 2.5),
        ("=cmd|' /C calc'!A0", "text", "=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
        (WHEN, "time", "05-JAN-2026 00:00:00.000 UTC", "05-JAN-2026 00:00:00.000 UTC"),
    ],
)
def test_values_are_written_by_their_type(value: Any, kind: str, sent: str, native: Any) -> None:
    assert encoded(value) == (kind, sent)
    assert encoded(value, "native") == (kind, native)
    assert type(encoded(value, "native")[1]) is type(native)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"a": float("nan")}, "nan"), ({"a": float("inf")}, "inf"), ({"a": Decimal("NaN")}, "NaN"),
        ({"a": object()}, "object"), ({"a": [1]}, "list"), ({"a": None}, "at least one value"), ({}, "at least one"),
        ({"": 1}, "name of a output"), ({"a\n": 1}, "control"), ([("a", 1)], "mapping"),
    ],
)  # fmt: skip
def test_what_cannot_be_observed_is_refused(values: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        payload("ts1", values)


@pytest.mark.parametrize("sensor", ["", None, 7, "a\x00b", "a\nb"])
def test_a_sensor_has_a_name(sensor: Any) -> None:
    with pytest.raises(ConfigError, match="sensor"):
        payload(sensor, {"a": 1})


def test_none_is_left_out_and_so_is_the_feature() -> None:
    (made,) = payload("ts1", {"a": None, "b": 1}, time=WHEN)["observations"]

    assert "feature" not in made
    assert [output["name"] for output in made["record"][0]["output"]] == ["b"]


@pytest.mark.parametrize("time", ["yesterday", datetime(2026, 1, 1), 7])  # noqa: DTZ001 - that is the point
def test_a_time_can_be_read(time: Any) -> None:
    with pytest.raises(ConfigError, match="time"):
        payload("ts1", {"a": 1}, time=time)


def test_a_time_given_as_text_goes_as_it_is() -> None:
    (made,) = payload("ts1", {"a": 1}, time="1-JAN-2014 10:00:00 IST")["observations"]

    assert made["record"][0]["starttime"] == "1-JAN-2014 10:00:00 IST"


_values = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
)


@given(_values)
def test_a_value_survives_the_round_trip(value: Any) -> None:
    kind, sent = encoded(value)

    assert cast(sent, kind) == (value, True)
    assert type(cast(sent, kind)[0]) is type(value)


@pytest.mark.parametrize(
    ("value", "kind", "read", "valid"),
    [
        ("31.5", "decimal", 31.5, True),
        ("7", "quantity", 7.0, True),
        (229.4, None, 229.4, True),
        (7, "count", 7, True),
        (7.0, "COUNT", 7, True),
        ("warm", "count", "warm", False),
        ("1_0", "count", "1_0", False),
        ("nan", "quantity", "nan", False),
        ("maybe", "boolean", "maybe", False),
        ("then", "time", "then", False),
        ("x", "unheard of", "x", True),
        (None, "count", None, True),
    ],
)
def test_a_value_that_does_not_fit_its_type_stays_what_it_is(value: Any, kind: Any, read: Any, valid: bool) -> None:
    assert cast(value, kind) == (read, valid)


def test_real_documents_become_rows() -> None:
    real = CAPTURES["sos.observations.insert.request.multi_sensor_native_values"]["body"]["observations"]
    found = list(rows_of(real))

    assert [(row["sensor"], row["feature"], row["name"], row["value"]) for row in found] == [
        ("node7_Voltage", "node7", "Voltage", 229.4),
        ("node7_Current", None, "Current", 3.25),
        ("node7_location", "node7", "Longitude", 77.1),
        ("node7_location", "node7", "Latitude", 12.3),
    ]
    assert set(found[0]) == {*COLUMNS, "valid"}
    assert found[0]["starttime"] == datetime(2021, 2, 4, 10, 20, 30, 125_000, tzinfo=UTC)


def test_a_row_becomes_the_observation_it_came_from() -> None:
    (row,) = rows_of(payload("ts1", {"obs2": 1}, "tf1", time=WHEN)["observations"])

    assert observation_of(row) == payload("ts1", {"obs2": 1}, "tf1", time=WHEN)["observations"][0]


@pytest.mark.parametrize("row", [("ts1",), ("ts1", {"a": 1}, "f", WHEN, 5), "ts1", 7, {}, {"sensor": "ts1"}])
def test_what_is_no_observation_is_refused(row: Any) -> None:
    with pytest.raises(ConfigError):
        observation_of(row)
