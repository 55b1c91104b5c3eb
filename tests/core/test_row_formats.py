"""Rows out of bytes, however these are cut."""

from __future__ import annotations

import csv
import io
import json
import random
from typing import Any

import pytest

from asyncconn.core.row_formats import BadRow, RowForm, RowReader, form_of_name

TEXTS = ["a", 'x"y', "l1\nl2", "é,;", " ", "[{", "\r\nq", "\\", '\\"', "😀", "a\rb"]


def rows_of(data: bytes, size: int | None = None, form: RowForm | None = None, **how: Any) -> list[dict[str, Any]]:
    reader = RowReader(form, **how)
    rows: list[dict[str, Any]] = []
    at = 0
    while at < len(data):
        step = size or random.randint(1, 70_000)
        rows += reader.feed(data[at : at + step])
        at += step
    return [*rows, *reader.end()]


def some_rows(count: int) -> list[dict[str, Any]]:
    draw = random.Random(7)
    return [{"id": str(i), "text": draw.choice(TEXTS) * draw.randint(0, 3)} for i in range(count)]


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("size", [1, 2, 7, 4096, None])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_rows_are_the_same_however_the_bytes_are_cut(size: int | None, encoding: str) -> None:
    rows = some_rows(400)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    assert rows_of(as_csv(rows).encode(encoding), size) == rows
    assert rows_of(lines.encode(encoding), size) == rows
    assert rows_of(json.dumps(rows, indent=1).encode(encoding), size) == rows


def test_rows_of_json_come_before_the_file_has_ended() -> None:
    reader = RowReader()

    assert list(reader.feed(b'{"a": 1}\n{"a"')) == [{"a": 1}]
    assert list(reader.feed(b": 2}\n")) == [{"a": 2}]
    array = RowReader()
    assert list(array.feed(b'[{"a": 1}, {"a": 2}')) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    rows = [{"id": "1", "name": "Zoë"}, {"id": "2", "name": "a,b"}]

    assert rows_of(as_csv(rows, delimiter).encode()) == rows
    assert rows_of(b"sep=;\nid;name\n1;Ada\n") == [{"id": "1", "name": "Ada"}]


def test_an_encoding_that_is_told_counts_where_the_file_shows_none() -> None:
    text = "id,name\n1,Zoë\n"

    assert rows_of(text.encode("latin-1"), encoding="latin-1") == [{"id": "1", "name": "Zoë"}]
    assert rows_of(text.encode("utf-16"), encoding="utf-8") == [{"id": "1", "name": "Zoë"}]


def test_numbers_of_csv_stay_texts_and_those_of_json_keep_every_digit() -> None:
    assert rows_of(b"a,b\n007,1.50\n") == [{"a": "007", "b": "1.50"}]
    assert rows_of(b'{"a": 123456789012345678901234567890}') == [{"a": 123456789012345678901234567890}]


@pytest.mark.parametrize("data", [b"", b"[]", b" [ ] \n", b"a,b\n", b"\n\n"])
def test_a_file_without_rows_has_none(data: bytes) -> None:
    assert rows_of(data) == []


@pytest.mark.parametrize(
    ("data", "number", "what"),
    [
        (b'[{"a": 1}', 2, "no end"),
        (b'[{"a": 1},]', 2, "not a JSON object"),
        (b"[1]", 1, "not a JSON object"),
        (b'[{"a": 1} {"a": 2}]', 2, "expected ',' or ']'"),
        (b'[{"a": 1}] x', 2, "nothing else"),
        (b'[{"a": "x]', 1, "no end"),
        (b'[{"a": nope}]', 1, "not a JSON object"),
        (b'{"a": 1}\n[1]\n', 2, "not a JSON object"),
        (b'{"a": 1}\n{"a": NaN}\n', 2, "not a JSON object"),
        (b"a,b\n1,2\n3\n", 2, "1 values"),
        (b'a,b\n1,2\n"3,4\n', 2, "not CSV"),
        (b"a,b\n1,2\n3,\xff\n", 2, "not UTF-8"),
        (b"a,a\n1,2\n", 0, "two columns"),
        (b"a,\n1,2\n", 0, "no name"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_row_that_cannot_be_read_is_named_by_its_number(data: bytes, number: int, what: str, size: int) -> None:
    with pytest.raises(BadRow, match=what) as caught:
        rows_of(data, size)

    assert caught.value.number == number


def test_the_rows_before_a_bad_one_come_first() -> None:
    reader = RowReader()
    rows = reader.feed(b'{"a": 1}\n{"a": 2}\nnope\n')

    assert [next(rows), next(rows)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(BadRow):
        next(rows)


def test_a_fault_quotes_nothing_of_the_row() -> None:
    for data in (b'{"key": "s3cret" nope}', b"a\n\xffs3cret\n", b'a,b\n"s3cret"x,1\n'):
        with pytest.raises(BadRow) as caught:
            rows_of(data)
        assert "s3cret" not in repr((caught.value, caught.value.__context__, caught.value.__cause__))


def test_a_long_row_costs_no_more_than_twice_its_length() -> None:
    # Each look at it doubles what there is: 3 MB in pieces of 300 bytes would take minutes otherwise.
    row = {"a": "x" * 3_000_000}

    for data in (json.dumps([row]), json.dumps(row), as_csv([row])):
        assert rows_of(data.encode(), 300) == [row]


def test_a_row_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncconn.core.row_formats.LONGEST", 100_000)

    for beginning in (b'{"a": "', b'[{"a": "', b'a,b\n1,2\n"'):
        with pytest.raises(BadRow, match="no end within 100,000 bytes"):
            rows_of(beginning + b"x" * 500_000, 5_000)


def test_a_name_says_what_is_in_a_file() -> None:
    assert [form_of_name(name) for name in ("a.CSV", "a.tsv.gz", "a.ndjson", "a.json", "a.txt", "a", "a.gz")] == [
        "csv", "csv", "jsonl", "json", None, None, None,
    ]  # fmt: skip
