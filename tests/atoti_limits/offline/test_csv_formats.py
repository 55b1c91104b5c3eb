"""The Limits server's files: columns by version, everything wrong named at once, and nothing changed on the way."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from captures import ATOTI_LIMITS as CAPTURES
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.atoti_limits.errors import LimitsValidationError
from asyncconn.atoti_limits.offline import csv_formats as files
from asyncconn.atoti_limits.offline.csv_columns import Kind, columns
from asyncconn.errors import ConfigError

SAMPLES = CAPTURES["csv"]


STRUCTURES, LIMITS, OLD_LIMITS = (
    SAMPLES["limit_structures_6.1"], SAMPLES["limits_approve_4.2"], SAMPLES["limits_approve_2.0"],
)  # fmt: skip


LINES = CAPTURES["evaluate"]["body"]


def names(kind: Kind, version: str) -> list[str]:
    return [column.name for column in columns(kind, version)]


def problems(read: Callable[..., Any], *given: Any, **more: Any) -> list[tuple[int | None, str | None, str]]:
    with pytest.raises(LimitsValidationError) as caught:
        read(*given, **more)
    assert caught.value.local
    return [(detail.row, detail.field, detail.message) for detail in caught.value.details]


def without(text: str, column: str) -> str:
    """The file without a column, whatever is in its other cells."""
    rows = [line.split(",") for line in text.splitlines()]
    at = rows[0].index(column)
    return "".join(",".join(row[:at] + row[at + 1 :]) + "\n" for row in rows)


# -- columns -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "version", "text"),
    [
        ("structures", "6.1.20", STRUCTURES),
        ("structures", "4.2", STRUCTURES),
        ("limits", "4.2.1", LIMITS),
        ("limits", "6.2", LIMITS),
        ("limits", "2.0.0", OLD_LIMITS),
        ("limits", "3.0", OLD_LIMITS),
        ("incidents", "4.1", LINES[0]),
        ("incidents", "4.0.0", LINES[0]),
    ],
)
def test_the_columns_of_a_version_are_those_of_the_contract_s_sample(kind: Kind, version: str, text: str) -> None:
    assert names(kind, version) == text.splitlines()[0].split(",")


@pytest.mark.parametrize(
    ("kind", "older", "newer", "gone", "new"),
    [
        ("structures", "3.2", "3.3", {"Structure Reference ID"}, {"Structure ID"}),
        ("structures", "4.1.2", "4.2.0", set(), {"Limit Workflow Variables", "Incident Workflow Variables"}),
        ("limits", "3.0", "3.1.0-rc1", set(), {"Precedence"}),
        ("limits", "3.2", "3.3", {"Structure Reference ID", "parentLimitKey"}, {"Structure ID", "Source Limit ID"}),
        ("limits", "4.1", "4.2", {"Limit Values"}, {"Limit Value", "Limit Changes Workflow Variables"}),
        ("incidents", "3.3", "4.0.0-beta", {"Limit ID"}, {"limitKey"}),
        ("incidents", "4.0.0-beta", "4.0.0", {"limitKey"}, {"Limit ID"}),
        ("incidents", "3.3.1", "4.1", set(), set()),
        ("incidents", "4.1", "4.2", set(), {"Limit Type"}),
        ("legacy_limits", "1.0", "3.3", set(), set()),
        ("as_of_date", "1.0", "6.2", set(), set()),
    ],
)
def test_columns_come_and_go_with_versions(kind: Kind, older: str, newer: str, gone: set[str], new: set[str]) -> None:
    before, after = set(names(kind, older)), set(names(kind, newer))

    assert (before - after, after - before) == (gone, new)


@pytest.mark.parametrize(
    ("kind", "version"), [("limits", "1.1.0"), ("structures", "1.9"), ("incidents", "1.0"), ("legacy_limits", "4.0.0")]
)
def test_a_version_without_the_file_is_refused(kind: Kind, version: str) -> None:
    with pytest.raises(ConfigError, match=f"Limits {version} has no"):
        columns(kind, version)


@pytest.mark.parametrize(
    ("kind", "version", "optional"),
    [
        (
            "structures",
            "4.1",
            {
                "Group", "Comment", "Warning Threshold", "Limit Changes Workflow", "Limit Changes Workflow Parameters",
                "Exception Workflow", "Utilization Dashboard ID",
            },
        ),
        ("limits", "4.2", {"End Date", "Limit Type", "Source Limit ID", "Limit Changes Workflow Variables"}),
        ("incidents", "4.1", {"SessionID", "Workflow", "Workflow parameters", "Comment"}),
        (
            "legacy_limits",
            "1.1",
            {
                "Group", "ID", "Comment", "End Date", "Frequency Type", "Warning Threshold", "Limit Changes Workflow",
                "Limit Changes Workflow Parameters",
            },
        ),
    ],
)  # fmt: skip
def test_every_column_with_a_star_needs_a_value(kind: Kind, version: str, optional: set[str]) -> None:
    assert {column.name for column in columns(kind, version) if not column.required} == optional


# -- reading -----------------------------------------------------------------------------------------------------------


def test_a_file_of_structures_is_read() -> None:
    (row,) = files.read_structures(STRUCTURES)

    assert row == {
        "Group": "Desk limits", "Structure ID": "id_0001", "Name": "Price limit", "Comment": "example",
        "Polling Frequency": "EOD", "KPI Type": "Greater Than", "Absolute Value Indicator": False,
        "Warning Threshold": 90, "Measure Name": "Price.SUM", "Scope Keys": "CarName",
        "Limit Changes Workflow": "FourEyes", "Limit Changes Workflow Parameters": "Approvers=MANAGERS",
        "Exception Workflow": "Exception", "Utilization Dashboard ID": None, "Cube Name": "Cars_Cube",
        "Server Name": "atoti", "Limit Workflow Variables": None, "Incident Workflow Variables": None,
    }  # fmt: skip


def test_values_are_numbers_dates_and_nothing() -> None:
    (row,) = files.read_limits(LIMITS, "4.2.1")

    assert (row["Limit Value"], row["Start Date"], row["End Date"]) == (
        100000.0,
        date(2026, 1, 1),
        date(2026, 12, 31),
    )
    assert (row["Precedence"], row["Source Limit ID"]) == (0, None)
    assert row["Limit Changes Workflow Variables"] == "Comment=|Second Approvers=ROLE_MANAGER"


def test_old_limits_have_lists_of_values() -> None:
    (row,) = files.read_limits(OLD_LIMITS, "2.0.0")
    assert row["Limit Values"] == [100000, 5000]

    single = OLD_LIMITS.replace('"[100000,5000]"', "-7.5")
    assert files.read_limits(single, "2.0.0").rows[0]["Limit Values"] == [-7.5]


def test_the_same_column_holds_one_number_later() -> None:
    later = OLD_LIMITS.replace("Structure Reference ID", "Structure ID").replace("parentLimitKey", "Source Limit ID")
    later = later.replace("Source Limit ID\n", "Source Limit ID,Precedence\n").replace("APPROVED,\n", "APPROVED,,1\n")

    assert problems(files.read_limits, later, "4.1") == [
        (2, "Limit Values", "'[100000,5000]' is not a number such as 100000.5")
    ]


def test_a_byte_order_mark_is_accepted() -> None:
    for source in (LIMITS.encode("utf-8-sig"), "\ufeff" + LIMITS, LIMITS.encode()):
        assert files.read_limits(source).rows == files.read_limits(LIMITS).rows


def test_columns_may_come_in_another_order_and_unknown_ones_are_kept() -> None:
    lines = [line.split(",") for line in LIMITS.splitlines()]
    turned = "\n".join(",".join([*reversed(line), word]) for line, word in zip(lines, ("New", "x"), strict=True))
    table = files.read_limits(turned)

    assert table.rows == [files.read_limits(LIMITS).rows[0] | {"New": "x"}]
    assert table.columns == (*reversed(names("limits", "6.2")), "New")
    assert len(table) == 1


def test_cells_are_quoted_as_in_the_rfc() -> None:
    text = STRUCTURES.replace(",example,", ',"a ""b"", c\r\nd|é",').replace("\n", "\r\n")

    assert files.read_structures(text).rows[0]["Comment"] == 'a "b", c\r\r\nd|é'


def test_legacy_limits_are_read_with_whatever_columns_follow() -> None:
    header = ",".join(names("legacy_limits", "1.1")) + ",Breach Workflow"
    cells = "g,1,n,,2026-01-01,,official,EOD,Less than...,5,TRUE,0.5,Price.SUM,CarName=a,0,APPROVED,,,Single Eye"
    (row,) = files.read_legacy_limits(f"{header}\n{cells}\n")

    assert (row["Limit Values"], row["Absolute Value Indicator"], row["Warning Threshold"]) == ([5], True, 0.5)
    assert row["Breach Workflow"] == "Single Eye"


def test_rows_are_checked_like_a_file() -> None:
    (row,) = files.read_limits(LIMITS)
    typed = row | {
        "Limit ID": 7,
        "Precedence": "2",
        "Start Date": "2026-01-02",
        "End Date": datetime(2026, 2, 1, tzinfo=UTC),
    }
    (read,) = files.read_limits([typed])

    assert read == row | {
        "Limit ID": "7", "Precedence": 2, "Start Date": date(2026, 1, 2), "End Date": date(2026, 2, 1),
    }  # fmt: skip


# -- what is wrong -----------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_named_at_once() -> None:
    bad = LIMITS.splitlines()[1]
    text = "\n".join(
        [
            LIMITS.splitlines()[0],
            bad.replace("lim_0001", "").replace("2026-01-01", "2026-02-30").replace("100000.0", "1e999"),
            bad,
            bad.replace(",0,", ",0.5,").replace("2026-12-31", "20261231") + ",",
            bad.replace("2026-12-31", "20261231").replace("Price limit", " "),
        ]
    )

    assert problems(files.read_limits, text) == [
        (4, None, "18 cells, and the header has 17"),
        (2, "Limit ID", "a value is required"),
        (2, "Start Date", "'2026-02-30' is not a date such as 2026-01-31"),
        (2, "Limit Value", "'1e999' is not a number such as 100000.5"),
        (5, "Structure Name", "a value is required"),
        (5, "End Date", "'20261231' is not a date such as 2026-01-31"),
    ]


@pytest.mark.parametrize("column", names("limits", "6.2"))
def test_a_file_must_have_every_column(column: str) -> None:
    found = problems(files.read_limits, without(LIMITS, column))

    assert [(row, field) for row, field, _ in found] == [(1, column)]
    assert found[0][2].startswith("this column is missing")


def test_a_file_that_is_not_complete_needs_only_what_must_have_a_value() -> None:
    table = files.read_limits(without(LIMITS, "End Date"), complete=False)
    assert "End Date" not in table.columns

    found = problems(files.read_limits, without(LIMITS, "Scope"), complete=False)
    assert found == [(1, "Scope", "this column is missing")]


def test_a_column_by_its_name_of_another_version_is_pointed_out() -> None:
    found = problems(files.read_limits, LIMITS.replace("Limit Value,", "Limit Values,"), "4.2")
    assert found == [(1, "Limit Value", "this column is missing; 'Limit Values' is its name in another version")]

    found = problems(files.read_limits, OLD_LIMITS.replace("Structure Reference ID", "Structure ID"), "2.0")
    assert found == [
        (1, "Structure Reference ID", "this column is missing; 'Structure ID' is its name in another version")
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("", (1, None, "the header is missing")),
        ("\n\n", (1, None, "the header is missing")),
        (LIMITS.encode("utf-16"), (None, None, "not UTF-8 at byte 0")),
        (LIMITS.replace("Alpha price", 'Alpha "x" price,').replace("Desk", '"De"sk'), (2, None, "this is not CSV: ")),
        (LIMITS + '"', (3, None, "this is not CSV: ")),
        (LIMITS.replace("Scope,", "Limit ID,"), (1, "Limit ID", "this column is there twice")),
        (LIMITS + "one cell", (3, None, "1 cells, and the header has 17")),
        ([7], (2, None, "a mapping from column to value is expected, not int")),
        ([{1: 2}], (2, None, "a mapping from column to value is expected, not dict")),
    ],
)
def test_what_is_no_file_at_all_is_said(source: Any, found: tuple[int | None, str | None, str]) -> None:
    row, field, message = problems(files.read_limits, source)[0]

    assert (row, field) == found[:2]
    assert message.startswith(found[2])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Warning Threshold", "1_000"), ("Warning Threshold", "nan"), ("Warning Threshold", "1,5"),
        ("Warning Threshold", " 1"), ("Warning Threshold", True), ("Warning Threshold", float("inf")),
        ("Absolute Value Indicator", "yes"), ("Absolute Value Indicator", 1), ("Name", None), ("Name", ""),
        ("Name", float("nan")), ("Server Name", pd.NA), ("Server Name", pd.NaT),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused(column: str, value: Any) -> None:
    rows = [files.read_structures(STRUCTURES).rows[0] | {column: value}]

    assert [found[:2] for found in problems(files.read_structures, rows)] == [(2, column)]


def test_a_required_column_that_no_row_has_is_missing_in_each() -> None:
    row = {name: value for name, value in files.read_limits(LIMITS).rows[0].items() if name != "Scope"}

    assert problems(files.read_limits, [row, row | {"End Date": "x"}]) == [
        (2, "Scope", "a value is required"),
        (3, "End Date", "'x' is not a date such as 2026-01-31"),
        (3, "Scope", "a value is required"),
    ]


def test_a_long_value_is_quoted_in_part() -> None:
    (found,) = problems(files.read_limits, LIMITS.replace("100000.0", "9" * 5_000))

    assert found[2] == f"'{'9' * 40}...' is not a number such as 100000.5"


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "write", "text", "version"),
    [
        (files.read_structures, files.write_structures, STRUCTURES, "6.1"),
        (files.read_limits, files.write_limits, LIMITS, "4.2"),
        (files.read_limits, files.write_limits, OLD_LIMITS, "2.0"),
        (files.read_incidents, files.write_incidents, "\n".join([*LINES, ""]).replace('"', ""), "4.1"),
    ],
)
def test_what_was_read_is_written_as_it_was(read: Any, write: Any, text: str, version: str) -> None:
    assert write(read(text, version), version) == text


def test_columns_that_need_no_value_may_be_left_out_and_unknown_ones_come_last() -> None:
    row = {name: value for name, value in files.read_limits(LIMITS).rows[0].items() if name != "End Date"}
    header, line = files.write_limits([{"New": 1} | row]).splitlines()

    assert header == LIMITS.splitlines()[0] + ",New"
    assert line == LIMITS.splitlines()[1].replace("2026-12-31", "") + ",1"


def test_nothing_is_written_that_cannot_be_read() -> None:
    rows = [files.read_limits(LIMITS).rows[0] | {"Limit Value": "much"}]

    assert problems(files.write_limits, rows) == [(2, "Limit Value", "'much' is not a number such as 100000.5")]


def test_no_rows_are_a_header() -> None:
    assert files.write_limits([]) == LIMITS.splitlines()[0] + "\n"
    assert list(files.read_limits(files.write_limits([]))) == []


def test_values_of_a_frame_are_written() -> None:
    frame = files.read_limits(LIMITS).frame()
    frame["Limit Value"] = np.float64(0.1)
    frame["Precedence"] = np.int64(3)
    frame["Start Date"] = pd.Timestamp("2026-03-04")
    frame["End Date"] = pd.NaT
    records: list[Any] = frame.to_dict("records")
    (row,) = files.read_limits(files.write_limits(records))

    assert (row["Limit Value"], row["Precedence"], row["Start Date"]) == (0.1, 3, date(2026, 3, 4))
    assert row["End Date"] is None


TEXTS = st.text(alphabet=' ,"\n\r;|=[]aé\ufeff', max_size=12)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "Limit Name": TEXTS.filter(str.strip),
                "Scope": TEXTS.filter(str.strip),
                "Limit Value": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20),
                "Start Date": st.dates(),
                "End Date": st.none() | st.dates(),
                "Limit Type": st.none() | TEXTS.filter(str.strip),
            }
        ),
        max_size=4,
    )
)
def test_every_value_is_read_as_it_was_written(changes: list[dict[str, Any]]) -> None:
    rows = [files.read_limits(LIMITS).rows[0] | change for change in changes]

    assert files.read_limits(files.write_limits(rows)).rows == rows


def test_the_as_of_date_is_read_and_written() -> None:
    assert files.write_as_of_date(date(2026, 1, 31)) == "AsOfDate\n2026-01-31\n"
    assert files.read_as_of_date(b"\xef\xbb\xbfAsOfDate\r\n2026-01-31\r\n") == date(2026, 1, 31)


@pytest.mark.parametrize(
    "text", ["AsOfDate\n", "AsOfDate\n2026-01-31\n2026-02-01\n", "Date\n2026-01-31", "AsOfDate\n31.1.2026\n"]
)
def test_there_is_exactly_one_as_of_date(text: str) -> None:
    assert problems(files.read_as_of_date, text)


# -- frames ------------------------------------------------------------------------------------------------------------


def test_a_table_is_a_frame_with_its_columns_even_without_rows() -> None:
    assert list(files.read_limits(LIMITS).frame()["Limit ID"]) == ["lim_0001"]
    assert list(files.read_limits(files.write_limits([])).frame().columns) == names("limits", "6.2")
    assert files.frame(files.evaluation_rows(LINES)).shape == (1, 13)


def test_without_pandas_a_frame_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'asyncconn[pandas]'")):
        files.frame([])
