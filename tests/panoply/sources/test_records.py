"""Groups of rows, and resources for the platform's lists."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from asyncconn.core.clock import VirtualClock
from asyncconn.errors import AsyncConnError, InvalidRecord
from asyncconn.panoply import Field, Resource, convert_to_ui_format, to_record
from asyncconn.panoply.errors import RecordTypeError, RecordValueError


def test_rows_become_a_group_with_their_resource_and_the_time_to_the_millisecond_in_utc() -> None:
    clock = VirtualClock(datetime(2030, 5, 6, 7, 8, 9, 123_999, tzinfo=UTC))

    assert to_record("customers", [{"id": 1}, {"id": 2}], clock=clock) == {
        "data": [{"id": 1}, {"id": 2}],
        "metadata": {"resource_id": "customers", "timestamp": "2030-05-06T07:08:09.123Z"},
    }


def test_without_a_clock_the_time_is_now() -> None:
    before = datetime.now(UTC)
    stamp = to_record("r", [])["metadata"]["timestamp"]

    assert stamp.endswith("Z")
    assert -0.001 <= (datetime.fromisoformat(stamp) - before).total_seconds() < 20


@pytest.mark.parametrize(
    ("data", "rows"),
    [({"id": 1}, [{"id": 1}]), (MappingProxyType({"id": 1}), [{"id": 1}]), ([], []), ({}, [{}])],
    ids=["a dict", "a mapping", "none", "an empty dict"],
)
def test_one_row_is_a_list_of_one_and_there_may_be_none(data: Any, rows: list[Any]) -> None:
    assert to_record("r", data)["data"] == rows


@pytest.mark.parametrize(
    ("resource", "data", "path"),
    [
        (None, [], "resource"),
        (b"r", [], "resource"),
        ("r", "text", "data"),
        ("r", None, "data"),
        ("r", ({"id": 1},), "data"),
        ("r", [7], "data[0]"),
        ("r", [{}, {}, "third"], "data[2]"),
        ("r", [{}, [("id", 1)]], "data[1]"),
    ],
)
def test_the_wrong_type_is_a_type_error_that_says_where(resource: Any, data: Any, path: str) -> None:
    with pytest.raises(TypeError) as caught:
        to_record(resource, data)

    error = caught.value
    assert isinstance(error, RecordTypeError)
    assert isinstance(error, InvalidRecord)
    assert error.path == path
    assert str(error).startswith(f"record {path[5]}: " if "[" in path else "the ")


@pytest.mark.parametrize("resource", ["", "  ", "\n"])
def test_a_blank_resource_is_a_value_error(resource: str) -> None:
    with pytest.raises(ValueError, match="blank") as caught:
        to_record(resource, [])

    assert isinstance(caught.value, RecordValueError)
    assert isinstance(caught.value, AsyncConnError)
    assert not isinstance(caught.value, TypeError)


def _resources(items: list[Resource]) -> Any:
    return convert_to_ui_format(
        items,
        lambda item: item["title"],
        lambda item: item["id"],
        lambda item: item.get("available") is False,
        lambda item: item.get("requires") or [],
    )


def test_resources_are_disabled_where_they_are_not_available_and_what_they_require_is_passed_on() -> None:
    assert _resources(
        [
            {"id": "customer", "title": "Customer", "available": False},
            {"id": "account", "title": "Account", "requires": ["billing"]},
        ]
    ) == [
        {"name": "Customer", "value": "customer", "disabled": True, "requires": []},
        {"name": "Account", "value": "account", "disabled": False, "requires": ["billing"]},
    ]


def test_fields_may_show_their_type_and_are_enabled_and_require_nothing_by_default() -> None:
    fields: list[Field] = [{"name": "id", "type": "int"}, {"name": "name"}]

    assert convert_to_ui_format(
        fields,
        lambda field: f"{field['name']} [{field['type']}]" if field.get("type") else field["name"],
        lambda field: field["name"],
    ) == [
        {"name": "id [int]", "value": "id", "disabled": False, "requires": []},
        {"name": "name", "value": "name", "disabled": False, "requires": []},
    ]


def test_items_share_no_list_of_requirements() -> None:
    choices = convert_to_ui_format(["a", "b"], str, str) or []

    assert choices[0]["requires"] is not choices[1]["requires"]


@pytest.mark.parametrize("items", [[], (), None])
def test_no_items_are_none(items: Any) -> None:
    assert _resources(items) is None


def test_items_may_come_one_by_one() -> None:
    assert convert_to_ui_format(iter([]), str, str) is None
    assert len(convert_to_ui_format(iter("ab"), str, str) or []) == 2
