"""Scopes: what is documented is understood, and what is not is kept as it is."""

from __future__ import annotations

import pytest
from captures import ATOTI_LIMITS as CAPTURES
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.atoti_limits.offline.scopes import ALL_MEMBER, ANY, Among, Equals, Key, Part, Raw, Scope, parse_scope
from asyncconn.errors import ConfigError


def key(text: str) -> Key:
    return Key(*text.split("@"))


@pytest.mark.parametrize("text", CAPTURES["scopes"]["examples"])
def test_the_contract_s_examples_are_understood_and_written_again_as_they_were(text: str) -> None:
    scope = parse_scope(text)

    assert scope.understood
    assert scope.render() == text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Book=MyBook", (Equals(key("Book"), "MyBook"),)),
        (
            "Desk=Desk1|Book=A|Book=B",
            (Equals(key("Desk"), "Desk1"), Equals(key("Book"), "A"), Equals(key("Book"), "B")),
        ),
        ("Book@Books=*", (Equals(key("Book@Books"), ANY),)),
        ("Book@Books@Booking=AllMember", (Equals(key("Book@Books@Booking"), ALL_MEMBER),)),
        ("Currency = [ USD + EUR ]", (Among(key("Currency"), ("USD", "EUR")),)),
        ("Currency=[USD+EUR]", (Among(key("Currency"), ("USD", "EUR")),)),
        ("Currency <>[ USD ]", (Among(key("Currency"), ("USD",), negated=True),)),
        ("A@B = [x]|C=d", (Among(key("A@B"), ("x",)), Equals(key("C"), "d"))),
        (" My Desk = New  York ", (Equals(key("My Desk"), "New  York"),)),
        ("Formula=a=b", (Equals(key("Formula"), "a=b"),)),
        ("Pair=A+B", (Equals(key("Pair"), "A+B"),)),
    ],
)
def test_what_is_documented_is_understood(text: str, parts: tuple[Part, ...]) -> None:
    assert parse_scope(text) == Scope(parts)


@pytest.mark.parametrize(
    "text",
    [
        "FI_HY_LEGACY", "Desk", "=x", "Desk=", " Desk = ", "@Books=x", "Book@=x", "A@B@C@D=x", "Price>=5", "Price<5",
        "Price<>5", "Price!=5", "Desk==x", "Currency = TOTAL [ USD + EUR ]", "Currency TOTAL <> [ USD ] more",
        "Currency = [ ]", "Currency = [ USD + ]", "Currency = [ USD", "Currency = [ [USD] ]", "Currency <= [ USD ]",
        "[Books].[Book]=x", "Name~x=y", "Desk=[All].[x]", "= [ a ]", " ",
    ],
)  # fmt: skip
def test_what_is_not_documented_is_kept_word_for_word(text: str) -> None:
    scope = parse_scope(f"A=1|{text}|B=2")

    assert scope.parts == (Equals(key("A"), "1"), Raw(text), Equals(key("B"), "2"))
    assert not scope.understood
    assert scope.render() == f"A=1|{text}|B=2"


def test_a_path_of_members_is_not_guessed_at() -> None:
    scope = parse_scope("Desk=Bonds|FI_HY_LEGACY")

    assert scope.parts == (Equals(key("Desk"), "Bonds"), Raw("FI_HY_LEGACY"))
    assert not scope.understood


def test_empty_parts_are_kept_too() -> None:
    assert parse_scope("A=1||").parts == (Equals(key("A"), "1"), Raw(""), Raw(""))
    assert parse_scope("A=1||").render() == "A=1||"


def test_the_alternatives_of_a_key_are_found_together() -> None:
    scope = parse_scope("Book=A|Desk=D|Book = [ B + C ]|?|Book@Books=E")

    assert scope.by_key() == {
        key("Book"): (Equals(key("Book"), "A"), Among(key("Book"), ("B", "C"))),
        key("Desk"): (Equals(key("Desk"), "D"),),
        key("Book@Books"): (Equals(key("Book@Books"), "E"),),
    }


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_a_blank_scope_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="blank"):
        parse_scope(text)
    with pytest.raises(ConfigError, match="blank"):
        Scope((Raw(text),)).render()


@pytest.mark.parametrize(
    "part",
    [
        Equals(key("Desk"), "a|b"),
        Equals(key("Desk"), " a"),
        Equals(key("Desk"), ""),
        Equals(key("Desk"), "[ a ]"),
        Equals(Key("De=sk"), "a"),
        Equals(Key("De@sk"), "a"),
        Equals(Key("Desk", None, "D"), "a"),
        Among(key("Desk"), ()),
        Among(key("Desk"), ("a+b",)),
        Among(key("Desk"), ("a", "b|c")),
        Raw("a|b"),
        Raw("Desk=a"),
    ],
)
def test_what_has_no_notation_is_refused_rather_than_written_as_something_else(part: Part) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        Scope((Equals(key("A"), "1"), part)).render()


def test_a_scope_without_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        Scope(()).render()


# -- round trips -------------------------------------------------------------------------------------------------------

SYMBOLS = st.text(alphabet="Aé1 =|<>[]+@*!.\n", max_size=24)
NAMES = st.text(alphabet="Aé1 .-_*'", min_size=1, max_size=6).filter(lambda text: text == text.strip())
KEYS = st.builds(lambda names: Key(*names), st.lists(NAMES, min_size=1, max_size=3))
PARTS = st.one_of(
    st.builds(Equals, KEYS, NAMES),
    st.builds(Among, KEYS, st.lists(NAMES, min_size=1, max_size=4).map(tuple), st.booleans()),
)


@given(st.lists(PARTS, min_size=1, max_size=5).map(lambda parts: Scope(tuple(parts))))
def test_a_scope_that_is_written_is_read_as_the_same(scope: Scope) -> None:
    assert parse_scope(scope.render()) == scope


@given(SYMBOLS.filter(str.strip))
def test_any_text_can_be_read_and_what_is_written_then_says_the_same(text: str) -> None:
    scope = parse_scope(text)

    assert parse_scope(scope.render()) == scope
    raw = [piece for piece, part in zip(text.split("|"), scope.parts, strict=True) if isinstance(part, Raw)]
    assert raw == [part.text for part in scope.parts if isinstance(part, Raw)]
