"""The answer of an evaluation: lines that become rows, by whatever name a column has."""

from __future__ import annotations

import csv
from datetime import date
from typing import Any

import pytest
from captures import ATOTI_LIMITS as CAPTURES

from asyncconn.atoti_limits.errors import LimitsProtocolError
from asyncconn.atoti_limits.offline import csv_formats as files
from asyncconn.atoti_limits.versions import warning_threshold_is_distance

LINES = CAPTURES["evaluate"]["body"]


def test_the_answer_of_an_evaluation_becomes_rows() -> None:
    (row,) = files.evaluation_rows(LINES)

    assert row == {
        "Limit ID": "lim_0001", "Incident Type": "BREACH", "Measure Value": 120000.5,
        "Location": "CarName@CarName@Cars", "MDX": "SELECT {[Measures].[Price.SUM]} ON COLUMNS FROM [Cars_Cube]",
        "As Of Date": date(2026, 1, 31), "BreachCount": 1, "EvaluationTimestamp": "13:43:23.478",
        "SessionID": "00000000-0000-4000-8000-000000000001", "Status": "Breach", "Workflow": "Exception",
        "Workflow parameters": None, "Comment": None,
    }  # fmt: skip


def test_an_odd_value_of_an_evaluation_stays_text() -> None:
    lines = ["\ufefflimitKey,Measure Value,BreachCount,New,Limit Type\r\n", "1,NaN,,2,OFFICIAL\r\n", ""]

    assert files.evaluation_rows(lines) == [
        {"Limit ID": "1", "Measure Value": "NaN", "BreachCount": "", "New": "2", "Limit Type": "OFFICIAL"}
    ]


@pytest.mark.parametrize(("version", "name"), [("3.3", "Limit ID"), ("4.0.0-beta", "limitKey"), ("4.1", "Limit ID")])
@pytest.mark.parametrize("called", ["Limit ID", "limitKey"])
def test_incidents_are_read_by_either_name_of_their_first_column(version: str, name: str, called: str) -> None:
    text = "\n".join(LINES[:2]).replace("Limit ID", called, 1)
    [row] = csv.DictReader(text.splitlines())
    for source in (text, [row]):
        table = files.read_incidents(source, version)
        assert table.columns[0] == name
        assert [found[name] for found in table] == ["lim_0001"]


def test_an_answer_with_both_names_keeps_both_columns() -> None:
    rows = files.evaluation_rows(["limitKey,Limit ID", "7,lim_0001"])
    assert rows == [{"limitKey": "7", "Limit ID": "lim_0001"}]


@pytest.mark.parametrize(
    ("version", "distance"),
    [
        ("1.1", False), ("3.3.1", False), ("4.0.0", False), ("4.0.1", True), ("4.0.2", True), ("4.0.3", True),
        ("4.0.4", False), ("4.1", True), ("4.1.0", True), ("4.1.0-rc1", False), ("4.1.1", False), ("6.2", False),
    ],
)  # fmt: skip
def test_the_warning_threshold_is_a_distance_in_four_versions_only(version: str, distance: bool) -> None:
    assert warning_threshold_is_distance(version) is distance


@pytest.mark.parametrize("version", ["2.0", "4.1", "6.2"])
def test_the_default_day_is_a_file_of_one_column_and_one_date(version: str) -> None:
    assert files.write_as_of_date(date(2020, 1, 1), version) == "AsOfDate\n2020-01-01\n"
    assert files.read_as_of_date("AsOfDate\n2020-01-01\n", version) == date(2020, 1, 1)


def test_a_quoted_line_end_may_be_inside_a_line_or_between_two() -> None:
    header, expected = "Limit ID,MDX,Comment", [{"Limit ID": "1", "MDX": "a\nb", "Comment": "c"}]

    assert files.evaluation_rows([header, '1,"a\nb",c']) == expected
    assert files.evaluation_rows([header, '1,"a', 'b",c']) == expected


@pytest.mark.parametrize("lines", [[], ["Limit ID,MDX"], iter([])])
def test_an_evaluation_without_incidents_has_no_rows(lines: Any) -> None:
    assert files.evaluation_rows(lines) == []


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        ([7], "$[0]"),
        (["a,b", None], "$[1]"),
        (["a,a"], "$[0]"),
        (["a,b", "1,2", "1"], "$[2]"),
        (["a,b", '"1"2,3'], "$[1]"),
        (["a,b", '"1,2'], "$[1]"),
    ],
)
def test_an_answer_that_is_no_csv_is_an_error_that_names_the_line(lines: list[Any], path: str) -> None:
    with pytest.raises(LimitsProtocolError) as caught:
        files.evaluation_rows(lines)
    assert caught.value.path == path
