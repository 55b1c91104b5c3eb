"""What the catalogue is asked is checked before it is sent. Contract: tcup sections 6.5, 13.32, 13.36."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.errors import ConfigError
from asyncconn.tcup import search
from asyncconn.tcup.search import Term


@pytest.mark.parametrize(
    ("given", "sent"),
    [(">=10.5MB", ">=10.5MB"), ("< 3 kb", "<3KB"), ("=0B", "=0B"), (">1.125Gb", ">1.125GB"), ("<=2PB", "<=2PB")],
)
def test_a_size_is_an_operator_a_number_and_a_unit(given: str, sent: str) -> None:
    assert search.size(given) == sent


@pytest.mark.parametrize(
    "given",
    ["10MB", ">10", ">10TB", ">1.2345MB", "=>1MB", ">-1MB", ">1e3MB", ">1 M B", "", None, 5, "!=1MB", ">\uff11MB"],
)
def test_a_size_that_the_catalogue_does_not_know_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="size"):
        search.size(given)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("ver*", [Term("ver*")]),
        ("'blue'", [Term("", "", "blue")]),
        ("colour = 'light blue'", [Term("colour", "=", "light blue")]),
        ("size>='10'", [Term("size", ">=", "10")]),
        ("size!='10',a<'1.5'&b<='-2'", [Term("size", "!=", "10"), Term("a", "<", "1.5"), Term("b", "<=", "-2")]),
        ("(colour='blue', 'red') & ver*", [Term("colour", "=", "blue"), Term("", "", "red"), Term("ver*")]),
        ("((abc))", [Term("abc")]),
        ("dls:lineage", [Term("dls:lineage")]),
        ("colour='a(b)'", [Term("colour", "=", "a(b)")]),
        (" ver* ", [Term("ver*")]),
    ],
)
def test_the_terms_of_a_query(given: str, found: list[Term]) -> None:
    assert search.terms(given) == found


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        ",",
        "ver*,",
        "ver*&",
        ",ver*",
        "a,,b",
        "colour=",
        "colour=blue",
        'colour="blue"',
        "colour='blue",
        "='blue'",
        "colour'blue'",
        "colour>'blue'",
        "colour!='blue'",
        "colour=>'1'",
        "(abc",
        "abc)",
        "()",
        "abc def",
        "'a,b'",
        "''",
        "a-b='c'",
        "colour='a\nb'",
        None,
        {},
    ],
)
def test_a_query_that_the_catalogue_would_refuse_or_misread_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="metadata"):
        search.terms(given)


def test_all_terms_together_take_no_parentheses() -> None:
    with pytest.raises(ConfigError, match="parentheses"):
        search.terms("(abc,def)", "all")


def test_a_mapping_cannot_be_turned_into_another_query() -> None:
    assert search.terms({"colour": "blue", "rows": 12}) == [Term("colour", "=", "blue"), Term("rows", "=", "12")]
    with pytest.raises(ConfigError, match="metadata colour"):
        search.terms({"colour": "blue' , ver*"})


KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_*]{0,10}", fullmatch=True)
VALUES = st.text(
    st.characters(codec="ascii", min_codepoint=32, max_codepoint=126, exclude_characters=",'\"=&!"), min_size=1
)
NUMBERS = st.integers().map(str) | st.decimals(-1000, 1000, places=2).map(str)
TERMS = (
    KEYS.map(Term)
    | VALUES.map(lambda value: Term("", "", value))
    | st.builds(Term, KEYS, st.just("="), VALUES)
    | st.builds(Term, KEYS, st.sampled_from(("!=", ">", ">=", "<", "<=")), NUMBERS)
)


@given(st.lists(TERMS, min_size=1, max_size=6), st.sampled_from((",", "&", " , ", " & ")))
def test_what_is_written_is_read_again(found: list[Term], between: str) -> None:
    assert search.terms(between.join(map(str, found))) == found


@given(st.text(st.sampled_from("ab*'=<>!,&() 1"), max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = search.terms(text)
    except ConfigError:
        return
    assert search.terms(search.terms_text(found)) == found


def test_times_are_asked_with_their_offset_and_in_order() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    begin, end = datetime(2024, 3, 11, 9, 30, tzinfo=india), datetime(2024, 3, 12, tzinfo=UTC)
    assert search.span(begin, end) == ["11-MAR-2024 04:00:00 +0000", "12-MAR-2024 00:00:00 +0000"]
    assert search.span(None, end)[0].startswith("01-JAN-1970")
    assert search.span(begin, None) == ["11-MAR-2024 04:00:00 +0000"]
    assert search.span(None, None) == []
    with pytest.raises(ConfigError, match="after"):
        search.span(end, begin)


def test_a_naive_time_needs_a_zone() -> None:
    with pytest.raises(ConfigError, match="time"):
        search.span(datetime(2024, 3, 11), None)  # noqa: DTZ001 - that is what is refused
    assert search.span(datetime(2024, 3, 11), None, "IST") == ["10-MAR-2024 18:30:00 +0000"]  # noqa: DTZ001 - as above


def test_a_comma_is_sent_as_a_wildcard_and_what_is_found_besides_is_left_out() -> None:
    assert search.named("a,b.csv", "filename") == "a*b.csv"
    keep = search.only(["a,b.csv", "c*.csv"])
    assert keep is not None
    found = [name for name in ("a,b.csv", "axb.csv", "a.csv", "A,B.csv", "c1.csv", None) if keep(name)]
    assert found == ["a,b.csv", "c1.csv"]
    assert search.only(["a.csv", "c*.csv"]) is None
    with pytest.raises(ConfigError, match="filename"):
        search.named("a,*.csv", "filename")


@pytest.mark.parametrize("given", ["name", "createdon", "size desc"])
def test_what_cannot_be_sorted_by_is_refused(given: str) -> None:
    assert search.sorting("createdOn") == "createdOn"
    with pytest.raises(ConfigError, match="sort"):
        search.sorting(given)
