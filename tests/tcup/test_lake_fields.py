"""What the data lake takes as a name is refused here where the server would refuse it. Contract: tcup section 6.2."""

from __future__ import annotations

from typing import Any

import pytest

from asyncconn.errors import ConfigError
from asyncconn.tcup import fields


@pytest.mark.parametrize(
    "name", ["a.csv", "a, b (1).csv", "überschrift.csv", "x" * 255, "..hidden", "a;b&c='1'.txt", "日本"]
)
def test_a_name_goes_as_it_is(name: str) -> None:
    assert fields.filename(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 256,
        ".",
        "..",
        " ",
        "../a",
        "a/b",
        "a\\b",
        "a%2e",
        "a:b",
        'a"b',
        "a<b",
        "a>b",
        "a|b",
        "a?",
        "a*",
        "a\r\nb",
        "\0",
    ],
)
def test_a_trick_in_a_name_is_refused_by_the_name_of_its_field(name: str) -> None:
    with pytest.raises(ConfigError, match="filename"):
        fields.filename(name)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("sp1", "sp1"),
        ("/sp1/", "sp1"),
        ("a/b1/c-d", "a/b1/c-d"),
        ("v1.2:x", "v1.2:x"),
        ("/".join("abcdefghij"), "a/b/c/d/e/f/g/h/i/j"),
    ],
)
def test_a_savepoint_is_trimmed(given: str, sent: str) -> None:
    assert fields.savepoint(given) == sent


@pytest.mark.parametrize(
    "given", ["", "/", "..", "a/../b", "a//b", "12", "a b", "a/b/c/d/e/f/g/h/i/j/k", "x" * 51, "ä", 7]
)
def test_a_savepoint_that_cannot_be_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="savepoint"):
        fields.savepoint(given)


def test_a_directory_begins_with_a_slash() -> None:
    assert fields.directory("d1/raw 2") == fields.directory("/d1/raw 2") == "/d1/raw 2"


@pytest.mark.parametrize(
    "given", ["", "a//b", "a/../b", "./a", "a" * 256, "/".join(["a" * 200] * 6), "a\nb", *"#%&{}\\<>*?$!'\":@+=|`"]
)
def test_a_directory_that_cannot_be_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="directory"):
        fields.directory(given)


def test_metadata_is_one_line() -> None:
    given = {"colour": "light blue", "public@size": 12, "private@share": 0.25, "done": True}
    assert fields.metadata(given) == "colour=light blue,public@size=12,private@share=0.25,done=true"


@pytest.mark.parametrize(
    "given",
    [
        {"ab": "x"},
        {"k" * 256: "x"},
        {"a-b-c": "x"},
        {"dls:lineage": "x"},
        {"secret@abc": "x"},
        {"colour": ""},
        {"colour": "x" * 256},
        {"colour": "colour"},
        {"colour": None},
        {"colour": float("nan")},
        {"colour": "a,other=b"},
        {"colour": "a\nb"},
        {"colour": "it's"},
        {"colour": "a", "COLOUR": "b"},
        {"colour": "a", "private@colour": "b"},
        {7: "x"},
        {f"key{i}": "x" for i in range(1001)},
        "colour=blue",
    ],
)
def test_metadata_that_cannot_be_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="metadata"):
        fields.metadata(given)


@pytest.mark.parametrize("mark", list("*,'\"=&!"))
def test_no_value_can_begin_another_pair(mark: str) -> None:
    with pytest.raises(ConfigError, match="metadata colour"):
        fields.metadata({"colour": f"a{mark}b"})


def test_as_many_pairs_as_there_may_be() -> None:
    assert fields.metadata({f"key{i}": i for i in range(1000)}).count(",") == 999


@pytest.mark.parametrize("given", ["R", "W", "D", "RW", "RD", "WD", "RWD"])
def test_an_action_is_some_letters_in_order(given: str) -> None:
    assert fields.action(given) == given


@pytest.mark.parametrize("given", ["", "DR", "RR", "r", "RWDX", "R\n", None])
def test_an_action_that_cannot_be_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="action"):
        fields.action(given)


@pytest.mark.parametrize(
    ("name", "fine"),
    [("user2", True), ("a.b@acme.example", True), ("a b", False), ("x" * 51, False), ("a@", False), ("", False)],
)
def test_a_user_is_a_word_or_an_address(name: str, fine: bool) -> None:
    if fine:
        assert fields.user(name) == name
    else:
        with pytest.raises(ConfigError, match="dls-user"):
            fields.user(name)
