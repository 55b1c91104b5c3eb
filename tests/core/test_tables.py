"""Tables break no word, fit their room, and show nothing that was not meant for eyes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markup import Markup

from asyncconn.core.secret import Secret
from asyncconn.core.tables import breadth, cell, html_table, items_html, text_table
from asyncconn.core.words import count, plural

COLUMNS = ("id", "name", "begun", "rows")
ROWS = [
    ("c56a4180-65aa-42ec-a945-5fd21dec0538", "a name of some words", "2026-01-31 10:00", 12),
    ("7", "x", "2026-02-01 09:30", 40_000),
]


def test_numbers_stand_to_the_right_and_texts_to_the_left() -> None:
    assert text_table(("what", "calls"), [("GET", 12), ("POST", 3)]).splitlines() == [
        "what  calls",
        "───────────",
        "GET      12",
        "POST      3",
    ]


@pytest.mark.parametrize("room", [80, 76, 72])
def test_a_narrow_table_wraps_at_words_and_keeps_a_day_and_its_time_together(room: int) -> None:
    text = text_table(COLUMNS, ROWS, room=room)
    assert max(map(len, text.splitlines())) <= room
    assert all(word in text for word in ("c56a4180-65aa-42ec-a945-5fd21dec0538", "2026-01-31 10:00", "40000"))
    assert text.splitlines()[0].split() == [*COLUMNS]


def test_where_words_would_break_each_row_is_a_paragraph() -> None:
    assert text_table(COLUMNS, ROWS, room=50).splitlines()[:6] == [
        "id     c56a4180-65aa-42ec-a945-5fd21dec0538",
        "name   a name of some words",
        "begun  2026-01-31 10:00",
        "rows   12",
        "",
        "id     7",
    ]


WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=12)


@given(st.lists(st.lists(st.lists(WORDS, max_size=5).map(" ".join), min_size=3, max_size=3), max_size=5), st.data())
def test_every_word_of_every_cell_is_in_one_piece(rows: list[list[str]], data: st.DataObject) -> None:
    room = data.draw(st.integers(min_value=10, max_value=100))
    found = text_table(("one", "two", "three"), rows, room=room).split()
    for word in " ".join(text for row in rows for text in row).split():
        assert word in found


def test_wide_letters_take_two_columns_and_accents_none() -> None:
    lines = text_table(("a", "b"), [("日本", "x"), ("e\u0301", "y")]).splitlines()
    assert {breadth(line) for line in lines[1:]} == {7}


def test_a_cell_moves_no_cursor_and_a_moment_is_in_utc() -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
    assert [cell(value) for value in (None, True, "a\x1b[2J\nb", at, {"a": [1]}, at.astimezone(UTC).date())] == [
        "", "yes", "a [2J b", "2026-01-31 10:00", '{"a": [1]}', "2026-01-31",
    ]  # fmt: skip


# -- in a notebook -----------------------------------------------------------------------------------------------------


def test_whatever_is_in_a_cell_is_a_text_of_the_page_and_no_part_of_it() -> None:
    evil = "<script>alert('&')</script>"
    read = Markup(html_table((evil, "b"), [(evil, 1)], title=evil))
    assert read.open == []
    assert read.texts == [evil, evil, "b", evil, "1"]
    assert read.tags == {"table", "caption", "thead", "tbody", "tr", "th", "td"}


def test_many_rows_are_counted() -> None:
    read = Markup(html_table(("n",), [(n,) for n in range(1_021)], noun="query"))
    assert read.texts[-2:] == ["19", "and 1,001 queries more"]


def test_what_bears_the_name_of_a_secret_is_masked_wherever_it_stands() -> None:
    shown = html_table(
        ("apiKey", "password", "settings", "key"),
        [("k-1", Secret("p-2"), {"token": "t-3", "deep": [{"clientSecret": "s-4"}]}, Secret("s-5"))],
    )
    assert [word for word in ("k-1", "p-2", "t-3", "s-4", "s-5") if word in shown] == []
    assert shown.count("***") == 5


@pytest.mark.parametrize("value", [["s-1"], ("s-1",), {"user": "u", "key": "s-1"}, {"s-1"}, b"s-1"], ids=repr)
def test_of_what_bears_the_name_of_a_secret_only_numbers_are_shown(value: object) -> None:
    shown = [
        html_table(("tokens",), [(value,)]),
        html_table(("settings",), [({"credentials": value},)]),
        items_html([{"credentials": value}], title="one"),
    ]
    assert ["s-1" in one for one in shown] == [False] * 3
    assert [one.count("***") for one in shown] == [1] * 3
    assert Markup(html_table(("tokens",) * 5, [(7, 0.5, True, None, "")])).texts == [*["tokens"] * 5, "7", "0.5", "yes"]


# -- numbers in words --------------------------------------------------------------------------------------------------


def test_a_count_agrees_with_its_noun() -> None:
    assert [count(number, "record") for number in (0, 1, 2_000)] == ["0 records", "1 record", "2,000 records"]
    assert [plural(noun) for noun in ("query", "day", "batch", "address", "box")] == [
        "queries", "days", "batches", "addresses", "boxes",
    ]  # fmt: skip
