"""The readers find every record, and say of every fault where it is."""

from __future__ import annotations

import io
from typing import Any

import pytest

from asyncconn.core.row_files import FileForm, Problem, Row, RowFile, form_of, infer, read_csv, read_json, read_jsonl


def rows(found: Any) -> list[tuple[int, dict[str, Any]]]:
    found = list(found)
    assert all(isinstance(one, Row) for one in found), found
    return [(row.line, row.record) for row in found]


def problems(found: Any) -> list[tuple[int, str]]:
    return [(one.line, one.what) for one in found if isinstance(one, Problem)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a,b\n1,2\n3,4\n", [(2, {"a": "1", "b": "2"}), (3, {"a": "3", "b": "4"})]),
        (b"a,b\r\n1,2\r\n3,4", [(2, {"a": "1", "b": "2"}), (3, {"a": "3", "b": "4"})]),
        (b"\xef\xbb\xbfa\n1\n", [(2, {"a": "1"})]),
        (b'a,b\n"x\ny",1\n"p,q",""\n', [(2, {"a": "x\ny", "b": "1"}), (4, {"a": "p,q", "b": ""})]),
        (b'a\n\n"say ""hi"""\n\n', [(3, {"a": 'say "hi"'})]),
        ("näme\n€\n".encode(), [(2, {"näme": "€"})]),
        (b"a\n", []),
    ],
)
def test_csv_gives_each_record_with_the_line_it_begins_on(text: bytes, expected: list[Any]) -> None:
    assert rows(read_csv(io.BytesIO(text))) == expected


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (b"", 1, "the file is empty"),
        (b"a,a\n1,2\n", 1, "two columns are named 'a'"),
        (b"a,,c\n1,2,3\n", 1, "column 2 has no name"),
        (b"\na\n", 1, "the header is an empty line"),
        (b"a,b\n1,2\n3\n", 3, "1 value for 2 columns"),
        (b'a,b\n"x\ny",2\n1,2,3\n', 4, "3 values for 2 columns"),
        (b'a\n"x"y\n', 2, "not CSV"),
        (b'a\nok\n"open\n', 3, "not CSV"),
        (b"a\nok\n\xff\n", 3, "not UTF-8: byte 0xff at byte 5 of the file"),
    ],
)
def test_a_fault_in_csv_has_its_line(text: bytes, line: int, what: str) -> None:
    [(found, said)] = problems(read_csv(io.BytesIO(text)))
    assert found == line
    assert what in said


def test_csv_goes_on_after_a_line_with_the_wrong_number_of_values() -> None:
    found = list(read_csv(io.BytesIO(b"a,b\n1\n2,3\n4,5,6\n")))
    assert [type(one).__name__ for one in found] == ["Problem", "Row", "Problem"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-12", -12), ("12345678901234567890123", 12345678901234567890123), ("1.50", 1.5), ("1e3", 1000.0),
        ("true", True), ("FALSE", False), ("", None),
        ("007", "007"), ("+1", "+1"), (".5", ".5"), ("1.", "1."), ("1e999", "1e999"), ("nan", "nan"), ("inf", "inf"),
        ("1_000", "1_000"), (" 1", " 1"), ("yes", "yes"), ("٣", "٣"), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_only_what_json_calls_a_number_becomes_one(text: str, value: object) -> None:
    assert infer(text) == value
    assert type(infer(text)) is type(value)


def test_types_are_inferred_only_when_asked_for() -> None:
    text = b"n,t,e\n1,true,\n"
    assert rows(read_csv(io.BytesIO(text))) == [(2, {"n": "1", "t": "true", "e": ""})]
    assert rows(read_csv(io.BytesIO(text), types=True)) == [(2, {"n": 1, "t": True, "e": None})]


def test_json_lines_pass_over_empty_lines_and_keep_count() -> None:
    assert rows(read_jsonl(io.BytesIO(b'{"a": 1}\n\n  \n{"a": 2}'))) == [(1, {"a": 1}), (4, {"a": 2})]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"a": }', "not JSON: Expecting value at column 7"),
        (b'{"a": 1} x', "not JSON: Extra data at column 10"),
        (b"[1]", "a record must be a JSON object, not an array"),
        (b"null", "not null"),
        (b"3", "not a number"),
        (b'"x"', "not a text"),
        (b"true", "not a truth value"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "1e999 is too large"),
        (b'{"a": ' + b"1" * 5000 + b"}", "an integer of 5,000 digits"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xff at byte 17 of the file"),
    ],
)
def test_a_faulty_json_line_is_named_and_hides_no_other(line: bytes, what: str) -> None:
    found = list(read_jsonl(io.BytesIO(b'{"ok": 1}\n' + line + b'\n{"ok": 2}\n')))
    assert [one.record for one in found if isinstance(one, Row)] == [{"ok": 1}, {"ok": 2}]
    [(number, said)] = problems(found)
    assert number == 2
    assert what in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[]", []),
        (b' [ {"a": 1} , {"a": 2} ] \n', [(1, {"a": 1}), (1, {"a": 2})]),
        (b'[\n  {"a": 1},\n  {\n    "a": 2\n  },\n  {"a": 3}\n]', [(2, {"a": 1}), (3, {"a": 2}), (6, {"a": 3})]),
        (b'\xef\xbb\xbf[{"a": 1}]', [(1, {"a": 1})]),
    ],
)
def test_a_json_array_gives_each_object_with_its_line(text: bytes, expected: list[Any]) -> None:
    assert rows(read_json(io.BytesIO(text))) == expected


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (b"", 1, "found nothing"),
        (b'\n{"a": 1}', 2, "is it JSON lines?"),
        (b"3", 1, "found no array"),
        (b'[\n{"a": 1}\n{"a": 2}\n]', 3, "expected ',' or ']' at column 1"),
        (b'[\n{"a": 1},\n  {"a" 2}\n]', 3, "not JSON: Expecting ':' delimiter at column 8"),
        (b'[{"a": 1}', 1, "expected ',' or ']'"),
        (b'[\n{"a": 1}]\n[', 3, "more after the end"),
        (b'[{"a": 1},\n2]', 2, "not a number"),
        (b'[\n{"a": "\xff"}]', 2, "not UTF-8: byte 0xff at byte 9"),
    ],
)
def test_a_fault_in_a_json_array_has_its_line(text: bytes, line: int, what: str) -> None:
    [(found, said)] = problems(read_json(io.BytesIO(text)))
    assert found == line
    assert what in said


@pytest.mark.parametrize(
    ("name", "beginning", "form"),
    [
        ("a.csv", b"{", "csv"),
        ("a.NDJSON", b"", "jsonl"),
        ("a.jsonl", b"[", "json"),
        ("a.jsonl", b"x", "jsonl"),
        ("a.json", b"", "json"),
        ("a", b"PAR1", "parquet"),
        ("a.json", b"{", "jsonl"),
        ("<stdin>", b'\xef\xbb\xbf\n {"a"', "jsonl"),
        ("<stdin>", b" [", "json"),
        ("a.txt", b"a,b", "csv"),
        ("json", b"a,b", "csv"),
    ],
)
def test_the_format_is_told_by_the_name_or_else_by_the_beginning(name: str, beginning: bytes, form: FileForm) -> None:
    assert form_of(name, beginning) == form


@pytest.mark.parametrize(("form", "text"), [("csv", b"a\n1\n"), ("jsonl", b'{"a": "1"}\n'), ("json", b'[{"a": "1"}]')])
def test_a_stream_is_read_in_each_form_as_often_as_one_likes(form: FileForm, text: bytes) -> None:
    with RowFile(io.BytesIO(text), form=form).open() as file:
        for _ in range(2):
            assert rows(file.rows()) == [(1 + (form == "csv"), {"a": "1"})]
