"""Queries and named date ranges."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from asyncconn.sandbox.datorama.ranges import named_range

from .datorama_client import WORKSPACE, Api, datorama

BASE: dict[str, Any] = {
    "workspaceId": WORKSPACE,
    "dateRange": "CUSTOM",
    "startDate": "2025-12-01",
    "endDate": "2025-12-03",
    "measurements": [{"name": "Impressions"}],
    "dimensions": ["Day"],
}


async def rows(api: Api, **more: Any) -> list[list[Any]]:
    answer = await api.ok("POST", "/v1/query", {**BASE, **more})
    assert answer["errors"] == []
    found: list[list[Any]] = answer["queryResponseData"]["rows"]
    return found


async def test_measurements_are_added_up_by_dimension() -> None:
    async with datorama() as api:
        days = await rows(api)
        assert [row[0] for row in days] == ["2025-12-01", "2025-12-02", "2025-12-03"]
        fine = await rows(api, dimensions=["Day", "Campaign Key", "Creative Key"])
        assert len(fine) == 3 * 3 * 2
        for day, total in days:
            assert total == sum(row[3] for row in fine if row[0] == day)
        assert await rows(api, dimensions=[]) == [[sum(row[1] for row in days)]]
        assert await rows(api, measurements=[], dimensions=["Campaign Name"]) == [["Winter"], ["Spring"], ["Brand"]]


async def test_the_same_world_gives_the_same_rows_and_other_workspaces_have_others() -> None:
    async with datorama(workspaces=2) as api:
        one, other = await rows(api), await rows(api, workspaceId=str(WORKSPACE + 1))
    async with datorama() as api:
        assert await rows(api, workspaceId=str(WORKSPACE)) == one != other
    async with datorama(seed=2) as api:
        assert await rows(api) != one


async def test_headers_are_display_names_unless_system_names_are_asked_for() -> None:
    query = {**BASE, "dimensions": ["DAY", "Campaign Name"]}
    async with datorama() as api:
        shown = (await api.ok("POST", "/v1/query", query))["queryResponseData"]["headers"]
        system = (await api.ok("POST", "/v1/query?useSystemNames=true", query))["queryResponseData"]["headers"]
    assert shown == ["Day", "Campaign Name", "Impressions"]
    assert system == ["DAY", "CAMPAIGN_NAME", "DELIVERY_IMPRESSIONS"]


@pytest.mark.parametrize(
    ("filters", "campaigns"),
    [
        ({"groupDimensionFilters": [{"dimension": "Campaign Name", "operator": "IN", "vals": ["Winter"]}]}, "W"),
        ({"groupDimensionFilters": [{"dimension": "Campaign Name", "operator": "NOT IN", "vals": ["Winter"]}]}, "SB"),
        ({"stringDimensionFilters": [{"dimension": "Campaign Name", "operator": "STARTS_WITH", "val": "w"}]}, "W"),
        ({"stringDimensionFilters": [{"dimension": "Campaign Name", "operator": "CONTAINS", "val": "RIN"}]}, "S"),
        ({"stringDimensionFilters": [{"dimension": "Campaign Name", "operator": "NOT_CONTAINS", "val": "in"}]}, "B"),
        ({"stringDimensionFilters": [{"dimension": "Campaign Name", "operator": "ENDS_WITH", "val": "d"}]}, "B"),
        ({"stringDimensionFilters": [{"dimension": "Campaign Name", "operator": "EQUALS", "val": "brand"}]}, "B"),
        ({"stringDimensionFilters": [{"dimension": "Campaign Name", "operator": "NOT_EQUALS", "val": "brand"}]}, "WS"),
        (
            {
                "stringDimensionFilters": [
                    {"dimension": "Campaign Name", "operator": "NOT_EQUALS_CASE_SENSITIVE", "val": "brand"}
                ]
            },
            "WSB",
        ),
        ({"stringDimensionFilters": [{"dimension": "Campaign Name", "operator": "IS_EMPTY"}]}, ""),
        ({"stringDimensionFilters": [{"dimension": "Campaign Name", "operator": "IS_NOT_EMPTY"}]}, "WSB"),
    ],
)
async def test_dimensions_are_filtered(filters: dict[str, Any], campaigns: str) -> None:
    async with datorama() as api:
        assert "".join(row[0][0] for row in await rows(api, dimensions=["Campaign Name"], **filters)) == campaigns


@pytest.mark.parametrize(("joined", "campaigns"), [("AND", ""), ("OR", "WB"), (None, "")])
async def test_text_filters_are_joined_as_the_query_says(joined: str | None, campaigns: str) -> None:
    filters = [{"dimension": "Campaign Name", "operator": "EQUALS", "val": name} for name in ("Winter", "Brand")]
    async with datorama() as api:
        found = await rows(
            api,
            dimensions=["Campaign Name"],
            stringDimensionFilters=filters,
            stringDimensionFiltersOperator=joined,
        )
    assert "".join(row[0][0] for row in found) == campaigns


async def test_sums_are_filtered_sorted_and_cut() -> None:
    async with datorama() as api:
        everything = sorted(row[1] for row in await rows(api))
        above = [{"fieldName": "Impressions", "operator": "GREATER", "val": everything[0]}]
        assert len(await rows(api, numberMeasurementFilter=above)) == 2
        equal = [{"fieldName": "Impressions", "operator": "EQUALS", "val": everything[0]}]
        assert [row[1] for row in await rows(api, numberMeasurementFilter=equal)] == everything[:1]
        found = await rows(api, sortBy="Impressions", sortOrder="DESC", topResults="2")
        assert [row[1] for row in found] == everything[::-1][:2]
        found = await rows(api, sortBy="Day", sortOrder="DESC")
        assert [row[0][-1] for row in found] == ["3", "2", "1"]


async def test_some_cells_are_null_and_are_neither_added_nor_compared() -> None:
    async with datorama() as api:
        fine = {"dimensions": ["Day", "Campaign Key", "Creative Key"], "measurements": [{"name": "Clicks"}]}
        span = {"startDate": "2025-10-01", "endDate": "2025-12-31"}
        found = await rows(api, **fine, **span, sortBy="Clicks")
        empty = [row for row in found if row[3] is None]
        assert 0 < len(empty) < len(found) / 10
        assert found[-1][3] is None
        nulls = [{"fieldName": "Clicks", "operator": "IS_NULL"}]
        assert await rows(api, **fine, **span, numberMeasurementFilter=nulls, sortBy="Clicks") == empty
        less = [{"fieldName": "Clicks", "operator": "LESS", "val": 1e9}]
        assert len(await rows(api, **fine, **span, numberMeasurementFilter=less)) == len(found) - len(empty)
        [[total]] = await rows(api, **span, dimensions=[], measurements=[{"name": "Clicks"}])
        assert total == sum(row[3] for row in found if row[3] is not None)


async def test_too_many_rows_are_errors_inside_a_200() -> None:
    async with datorama(max_query_rows=2) as api:
        answer = await api.ok("POST", "/v1/query", BASE)
        assert (answer["queryResponseData"], bool(answer["errors"])) == (None, True)
        assert len(await rows(api, endDate="2025-12-02")) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"dimensions": ["No Such"]},
        {"dimensions": ["Clicks"]},
        {"dimensions": "Day"},
        {"measurements": [{"name": "Day"}]},
        {"measurements": ["Clicks"]},
        {"measurements": [], "dimensions": []},
        {"dateRange": "SOMETIME"},
        {"dateRange": None},
        {"startDate": "2026-01-01", "endDate": "2025-01-01"},
        {"workspaceId": "x"},
        {"sortBy": "Campaign Name"},
        {"topResults": "many"},
        {"groupDimensionFilters": [{"dimension": "Day", "operator": "IS", "vals": []}]},
        {"groupDimensionFilters": [{"dimension": "Day", "operator": "IN", "vals": "x"}]},
        {"stringDimensionFilters": [{"dimension": "No", "operator": "EQUALS", "val": "x"}]},
        {"numberMeasurementFilter": [{"fieldName": "Clicks", "operator": "GREATER", "val": 1}]},
        {"numberMeasurementFilter": [{"fieldName": "Impressions", "operator": "GREATER", "val": "x"}]},
    ],
)
async def test_a_query_that_cannot_be_read_is_422_alone_and_in_a_batch(change: dict[str, Any]) -> None:
    async with datorama() as api:
        assert (await api("POST", "/v1/query", {**BASE, **change})).status == 422
        assert (await api("POST", "/v1/query-batch", [BASE, {**BASE, **change}])).status == 422


async def test_a_batch_answers_each_query_in_its_place() -> None:
    async with datorama(max_query_rows=2) as api:
        small = {**BASE, "endDate": "2025-12-01"}
        failed, good = await api.ok("POST", "/v1/query-batch", [BASE, small])
        assert (bool(failed["errors"]), good["errors"]) == (True, [])
        assert len(good["queryResponseData"]["rows"]) == 1


async def test_data_end_today_and_begin_where_the_world_says() -> None:
    async with datorama(data_days=10) as api:
        found = await rows(api, startDate="2000-01-01", endDate="2100-01-01")
        assert (found[0][0], found[-1][0]) == ("2025-12-22", "2026-01-01")
        api.advance(86_400)
        assert (await rows(api, dateRange="CUSTOM_ON_GOING", startDate="2026-01-01"))[-1][0] == "2026-01-02"
        assert [row[0] for row in await rows(api, dateRange="YESTERDAY")] == ["2026-01-01"]


@pytest.mark.parametrize(
    ("word", "first", "last"),
    [  # on Wednesday 2026-05-13
        ("YESTERDAY", (5, 12), (5, 12)),
        ("PREV_DAY", (5, 12), (5, 12)),
        ("THIS_WEEK", (5, 11), (5, 17)),
        ("PREV_WEEK", (5, 4), (5, 10)),
        ("LAST_WEEK", (5, 4), (5, 10)),
        ("WEEK_TO_DATE", (5, 11), (5, 13)),
        ("THIS_BI_WEEK", (5, 4), (5, 17)),
        ("PREV_BI_WEEK", (4, 20), (5, 3)),
        ("THIS_MONTH", (5, 1), (5, 31)),
        ("PREV_MONTH_CUSTOM", (4, 1), (4, 30)),
        ("MONTH_TO_DATE_CUSTOM", (5, 1), (5, 13)),
        ("LAST_3_MONTHS", (2, 1), (4, 30)),
        ("THIS_QUARTER", (4, 1), (6, 30)),
        ("PREV_QUARTER", (1, 1), (3, 31)),
        ("THIS_YEAR", (1, 1), (12, 31)),
        ("MONTH_OVER_MONTH", (3, 1), (4, 30)),
        ("DAY_OVER_DAY", (5, 11), (5, 12)),
    ],
)
def test_named_ranges(word: str, first: tuple[int, int], last: tuple[int, int]) -> None:
    assert named_range(word, date(2026, 5, 13)) == (date(2026, *first), date(2026, *last))


@pytest.mark.parametrize("word", ["", "LAST_YEAR", "CUSTOM", "THIS_DAY", "YEAR_OVER_YEAR", "this_week"])
def test_a_word_that_is_no_range(word: str) -> None:
    assert named_range(word, date(2026, 5, 13)) is None
