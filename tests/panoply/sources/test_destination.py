"""Which table a row goes to."""

from __future__ import annotations

from typing import Any

import pytest

from asyncconn.errors import ConfigError, InvalidRecord
from asyncconn.panoply.sources.destination import Destination


@pytest.mark.parametrize(
    ("pattern", "row", "table"),
    [
        ("typeform", {"__table": "x"}, "typeform"),
        ("typeform_{__table}", {"__table": "answers"}, "typeform_answers"),
        ("{a}{b}", {"a": "x", "b": 7}, "x7"),
        ("{a}_{a}", {"a": "x"}, "x_x"),
        ("p_{two words}", {"two words": "y"}, "p_y"),
        ("p_{x.y}", {"x.y": "no attribute", "x": object()}, "p_no attribute"),
        ("Größe_{n}", {"n": 0}, "Größe_0"),
    ],
)
def test_a_pattern_is_filled_from_the_row(pattern: str, row: dict[str, Any], table: str) -> None:
    assert Destination(pattern).table_of(row) == table


def test_fields_beside_the_row_are_used_when_the_row_lacks_them() -> None:
    destination = Destination("{resource_id}_{kind}")
    assert destination.table_of({"kind": "a"}, {"resource_id": "forms", "kind": "b"}) == "forms_a"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({}, "'kind', which is not in the row"),
        ({"kind": None}, "not in the row"),
        ({"kind": ""}, "'' there: neither text nor a number"),
        ({"kind": ["a"]}, "neither text nor a number"),
        ({"kind": True}, "neither text nor a number"),
    ],
)
def test_a_field_that_is_missing_or_no_name_is_named(row: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRecord, match=says) as caught:
        Destination("p_{kind}").table_of(row)
    assert caught.value.path == "kind"


@pytest.mark.parametrize("pattern", ["", "  ", None, 7, "a{", "a}", "{}", "{a{b}}", "{{a}}"])
def test_what_is_no_pattern_is_refused(pattern: Any) -> None:
    with pytest.raises(ConfigError, match="destination"):
        Destination(pattern)
