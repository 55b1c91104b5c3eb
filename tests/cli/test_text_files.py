"""Files in other encodings, with other delimiters, compressed: read as they are, or refused with a line."""

from __future__ import annotations

import codecs
import gzip
import io
import json
from decimal import Decimal
from typing import Any

import pytest

from asyncconn.core.row_files import Problem, Row, infer, read_csv, read_json, read_jsonl
from asyncconn.core.text_files import check_delimiter, check_encoding, find_delimiter, look_at
from asyncconn.errors import ConfigError
from asyncconn.panoply.encoding import dump_record, encode_record

PEOPLE = "id;name;price\n1;Zoë;10,5\n2;Ben;20\n"
ROWS = [{"id": "1", "name": "Zoë", "price": "10,5"}, {"id": "2", "name": "Ben", "price": "20"}]


def records(found: Any) -> list[dict[str, Any]]:
    found = list(found)
    assert all(isinstance(one, Row) for one in found), found
    return [row.record for row in found]


def problem(found: Any) -> Problem:
    [one] = [one for one in found if isinstance(one, Problem)]
    return one


# -- delimiters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1;2\n", ";"),
        ("a\tb\n1\t2\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ("id;price\n1;1,5\n2;2,5\n", ";"),
        ("id,note\n1,a;b\n2,c;d\n", ","),
        ("id,a;b,c\n1,2,3\n", ","),
        ('"a,b";c\n1;2\n', ";"),
        ('"a;b"\n1\n', ","),
        ("a\n1\n", ","),
        ("a,b\n1\n2,3\n4,5,6\n", ","),
        ("", ","),
        ("sep=;\na;b\n", ";"),
        ("SEP=|\r\na|b\r\n", "|"),
        ('"sep=\t"\na\tb\n', "\t"),
        ("a;b;c\n" + "1;2;3\n" * 50_000, ";"),
    ],
)
def test_the_delimiter_is_found(text: str, delimiter: str) -> None:
    assert find_delimiter(look_at(io.BytesIO(text.encode()))) == delimiter


@pytest.mark.parametrize("first", ["", "sep=;\n", "sep=;\r\n", '"sep=;"\n'])
def test_semicolons_separate_columns_and_a_line_that_says_so_is_no_record(first: str) -> None:
    found = list(read_csv(io.BytesIO((first + PEOPLE).encode())))
    assert records(found) == ROWS
    assert [row.line for row in found] == [2 + bool(first), 3 + bool(first)]


def test_a_delimiter_that_is_given_counts() -> None:
    assert records(read_csv(io.BytesIO(b"a,b;c\n1,2;3\n"), delimiter=";")) == [{"a,b": "1,2", "c": "3"}]


def test_a_delimiter_that_is_wrong_is_refused_with_the_line() -> None:
    found = problem(read_csv(io.BytesIO(PEOPLE.encode()), delimiter=","))
    assert found.line == 1
    assert "no ',' in the header, which looks separated by ';'" in found.what
    assert records(read_csv(io.BytesIO(b'"a;b"\nx;y\n'), delimiter=",")) == [{"a;b": "x;y"}]


@pytest.mark.parametrize(("given", "character"), [(";", ";"), ("tab", "\t"), ("\\t", "\t"), ("Pipe", "|"), ("^", "^")])
def test_a_delimiter_may_be_named(given: str, character: str) -> None:
    assert check_delimiter(given) == character


@pytest.mark.parametrize("given", ["", ";;", '"', "\n", "a", "7", "\0"])
def test_a_delimiter_that_can_be_none_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="one character"):
        check_delimiter(given)


# -- encodings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_unicode_and_line_ends_are_found(encoding: str, end: str) -> None:
    def stream(text: str) -> io.BytesIO:
        return io.BytesIO(text.replace("\n", end).encode(encoding))

    assert records(read_csv(stream(PEOPLE))) == ROWS
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    assert records(read_jsonl(stream(lines))) == ROWS
    array = json.dumps(ROWS, ensure_ascii=False, indent=1)
    assert records(read_json(stream(array))) == ROWS
    assert [row.line for row in read_json(stream(array))] == [2, 7]
    assert [row.line for row in read_csv(stream(PEOPLE))] == [2, 3]


@pytest.mark.parametrize("encoding", ["cp1252", "iso-8859-1", "utf-16-le", "cp037", "utf-8"])
def test_an_encoding_that_is_given_counts(encoding: str) -> None:
    assert records(read_csv(io.BytesIO(PEOPLE.encode(encoding)), encoding=check_encoding(encoding))) == ROWS


def test_a_mark_is_left_out_where_the_encoding_is_given_too() -> None:
    data = codecs.BOM_UTF16_LE + PEOPLE.encode("utf-16-le")
    assert records(read_csv(io.BytesIO(data), encoding="utf-16-le")) == ROWS


@pytest.mark.parametrize("name", ["unheard-of", "rot13", "base64", "", "idna", "\0"])
def test_an_encoding_that_there_is_not_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no encoding"):
        check_encoding(name)


@pytest.mark.parametrize(
    ("data", "encoding", "line", "words"),
    [
        (b"a,b\n1,\xeb\n", None, 2, "not UTF-8: byte 0xeb at byte 6"),
        (b"a,b\n1,\xeb\n", "ascii", 2, "not ascii: byte 0xeb at byte 6"),
        ("a,b\n1,2\n".encode("utf-16") + b"\x00\xd8\x00\xd8", None, 3, "not UTF-16"),
        (b"a\r1\r\xeb\r", None, 3, "not UTF-8: byte 0xeb at byte 4"),
        ("a,b\n1,2\n".encode("utf-16"), "utf-8", 1, "not UTF-8: byte 0xff at byte 0"),
        ("a,b\n1,2\n".encode("utf-16-le"), "utf-8", 1, "holds a NUL"),
    ],
)
def test_what_is_not_in_the_encoding_has_its_line(data: bytes, encoding: str | None, line: int, words: str) -> None:
    found = problem(read_csv(io.BytesIO(data), encoding=encoding))
    assert (found.line, words in found.what) == (line, True), found


def test_a_line_end_inside_a_cell_stays() -> None:
    assert records(read_csv(io.BytesIO(b'a,b\n"x\ry",1\n'))) == [{"a": "x\ry", "b": "1"}]


# -- gzip --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_compressed_file_is_read(encoding: str) -> None:
    stream = io.BytesIO(gzip.compress(PEOPLE.encode(encoding)))
    assert records(read_csv(stream)) == ROWS
    assert records(read_csv(stream)) == ROWS  # twice: once to check, once to send


def test_a_compressed_file_that_is_cut_off_or_damaged_is_refused() -> None:
    packed = gzip.compress(b"".join(b'{"id": %d}\n' % number for number in range(20_000)))
    assert "cut off" in problem(read_jsonl(io.BytesIO(packed[:-100]))).what
    assert "cut off" in problem(read_jsonl(io.BytesIO(packed[:5]))).what
    broken = bytearray(packed)
    broken[-6] ^= 1
    assert "damaged" in problem(read_jsonl(io.BytesIO(bytes(broken)))).what


def test_what_is_said_of_a_file() -> None:
    def told(data: bytes) -> str:
        look = look_at(io.BytesIO(data))
        return look.told(find_delimiter(look))

    assert told(b"a,b\n") == ""
    assert told(b"a;b\n") == "columns separated by ';'"
    assert told(gzip.compress("a\tb\n".encode("utf-16"))) == "gzip, UTF-16, columns separated by tabs"


# -- digits ------------------------------------------------------------------------------------------------------------

NUMBERS = [
    "12345678901234567.89", "0.1", "0.10", "1e-400", "-1E-400", "-0", "-0.0", "1e5", "9007199254740993", "1" * 400,
    "0.1000000000000000055511151231257827", "3.141592653589793238462643383279", "123456789.123456789", "5e-324", "2.50",
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_of_a_file_is_sent_with_all_its_digits(number: str) -> None:
    found = [
        *records(read_jsonl(io.BytesIO(f'{{"n": {number}, "in": [{number}]}}\n'.encode()))),
        *records(read_json(io.BytesIO(f'[{{"n": {number}, "in": [{number}]}}]'.encode()))),
        *[{**row, "in": [row["n"]]} for row in records(read_csv(io.BytesIO(f"n\n{number}\n".encode()), types=True))],
    ]
    assert len(found) == 3
    for record in found:
        for line in (encode_record("t", record).decode(), dump_record(record)):
            sent = json.loads(line, parse_int=Decimal, parse_float=Decimal)
            for value in (sent["n"], sent["in"][0]):
                assert value == Decimal(number)
                assert value.is_signed() == Decimal(number).is_signed()


def test_ordinary_numbers_stay_what_they_are() -> None:
    [record] = records(read_jsonl(io.BytesIO(b'{"a": 0.1, "b": 0.10, "c": 1e5, "d": 1.0, "e": 7}\n')))
    assert [type(value) for value in record.values()] == [float, float, float, float, int]
    assert type(infer("1.50")) is float
