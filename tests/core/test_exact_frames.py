"""Integers stay what they are in a table."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

from asyncconn.atoti_limits.offline.csv_formats import frame
from asyncconn.core.frames import exact_frame

ODD = 2**53 + 1


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], "int64"),
        ([ODD, None], "Int64"),
        ([-(2**63), None, 2**63 - 1], "Int64"),
        ([2**63, None], "object"),
        ([2**70, 1], "object"),
        ([-1, 2**63], "object"),
        ([ODD, 0.5], "object"),
        ([1, 0.5, None], "float64"),
        ([0.5, None], "float64"),
        ([True, None], "object"),
        ([1, "a", None], "object"),
        ([None, None], "object"),
        ([[1], None], "object"),
        ([date(2026, 1, 31), None], "object"),
        ([], "object"),
    ],
)
def test_a_column_keeps_its_values(values: list[Any], dtype: str) -> None:
    made = exact_frame(["a", "b"], [[value, 1] for value in values])
    assert str(made["a"].dtype) == dtype
    found = [None if isinstance(value, float | type(pd.NA)) and pd.isna(value) else value for value in made["a"]]
    assert found == values
    assert len(made.columns) == 2


def test_columns_of_one_name_and_short_rows_stand() -> None:
    made = exact_frame(["a", "a"], [[ODD, 1], [None], [3, None]])
    assert [str(dtype) for dtype in made.dtypes] == ["Int64", "Int64"]


def test_rows_of_limits_keep_integers_beside_gaps() -> None:
    assert frame([{"id": ODD}, {"id": None}, {}])["id"].tolist() == [ODD, pd.NA, pd.NA]
    assert list(frame([], ["id", "name"]).columns) == ["id", "name"]
