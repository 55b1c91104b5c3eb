"""A JSON array is read a piece at a time, and every member and fault has its line and column."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from asyncconn.core import json_rows
from asyncconn.core.json_rows import NotRows, array_of
from asyncconn.core.row_files import Row, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES: list[Any] = ["", "x" * 300, 'q"\\{[', "é\n\u2028", 1.5e300, -7, 10**30, True, None, {"a": [{}]}, [[], ["]"]]]


def cut(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "_PIECE", 1)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("indent", [None, 1])
def test_members_are_the_same_however_the_text_is_cut(size: int, indent: int | None) -> None:
    draw = random.Random(5)
    rows = [{str(key): draw.choice(VALUES) for key in range(draw.randint(0, 4))} for _ in range(60)]
    text = json.dumps(rows, indent=indent)

    found = list(array_of(cut(text, size)))

    assert [value for _, value in found] == rows
    lines = text.split("\n")
    assert all("{" in lines[line - 1] for line, _ in found)
    assert [line for line, _ in found] == sorted(line for line, _ in found)


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('[{"a": 1}, {"a" 2}]', 1, "not JSON: Expecting ':' delimiter at column 17"),
        ('[{"a": 1},\n {"a": tru}]', 2, "not JSON: Expecting value at column 8"),
        ('[{"a": 1}, {"a": "open]', 1, "not JSON: Unterminated string starting at at column 18"),
        ('[{"a": "\\u12"}]', 1, "not JSON: Invalid \\uXXXX escape at column 10"),
        ('[{"a": 1} {"a": 1}]', 1, "not JSON: expected ',' or ']' at column 11"),
        ('[{"a": 1},\n\n{"a": 1, "a": 2}]', 3, "the key 'a' stands twice in one object"),
        ("[12 3]", 1, "not JSON: expected ',' or ']' at column 5"),
        ('[{"a": 1},\n]', 2, "not JSON: Expecting value at column 1"),
        ('[{"a": 1}]\n\nx', 3, "there is more after the end of the JSON array"),
        ("[" + '{"a": ' + "[" * 100_000, 1, "nested too deeply"),
    ],
)
def test_a_fault_has_its_place_however_the_text_is_cut(size: int, text: str, line: int, what: str) -> None:
    with pytest.raises(NotRows) as caught:
        list(array_of(cut(text, size if len(text) < 1000 else 1000)))

    assert (caught.value.problem.line, caught.value.problem.what) == (line, what)


def test_a_key_that_stands_twice_is_found_in_one_pass() -> None:
    class Key(str):
        __slots__ = ()
        compared = 0
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            Key.compared += 1
            return super().__eq__(other)

    keys = [*map(str, range(1_000)), "999"]
    with pytest.raises(ValueError, match="the key '999' stands twice in one object"):
        json_rows._members([(Key(key), 1) for key in keys])
    assert Key.compared < 3 * len(keys)


def test_a_member_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "LONGEST", 10_000)
    endless = (part for part in ["[", '{"a": "', *["x" * 500] * 1_000])

    with pytest.raises(NotRows, match="no end within 10,000 characters"):
        list(array_of(endless))
    assert next(endless)


def test_an_array_on_one_line_is_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    row = {"id": 1, "text": "x" * 1000}
    data = json.dumps([row] * 20_000).encode()
    stream = io.BytesIO(data)
    tracemalloc.start()
    try:
        count = sum(isinstance(one, Row) for one in read_json(stream))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count == 20_000
    assert peak < 3_000_000
