"""Values as JSON: what is sent, in which form, and what is refused by the name of its place."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import MultiDict

from asyncconn.errors import InvalidRecord
from asyncconn.panoply.encoding import decode_record, encode_record, record_encoder
from asyncconn.panoply.frames import frame_records

BEYOND = 2**70  # orjson refuses it, so the whole record takes the slow way


def sent(value: Any, **more: Any) -> str:
    """The text that stands for ``value`` in the message."""
    encoded = encode_record("t", {"v": value, **more}).decode("ascii")
    assert encoded.startswith('{"v":')
    end = "".join(f',"{k}":{v}' for k, v in more.items()) + ',"__table":"t"}'
    assert encoded.endswith(end)
    json.loads(encoded, parse_int=str)  # Python refuses to read very long integers; JSON does not
    return encoded[len('{"v":') : -len(end)]


class Colour(Enum):
    RED = "red"
    NESTED = ("a", 1)


class Number(IntEnum):
    SEVEN = 7


class Word(StrEnum):
    HELLO = "hello"


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


Point = namedtuple("Point", ["x", "y"])  # noqa: PYI024 - the untyped kind, on purpose


@dataclass
class Address:
    city: str
    _hidden: int = 2
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Slotted:
    a: int
    _b: int = 5


TZ = timezone(timedelta(hours=5, minutes=30))

VALUES: list[tuple[str, Any, str]] = [
    ("aware datetime", datetime(2024, 2, 29, 12, 30, tzinfo=UTC), '"2024-02-29T12:30:00+00:00"'),
    ("offset datetime", datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=TZ), '"2024-02-29T12:30:01.000005+05:30"'),
    ("naive datetime", datetime(2024, 2, 29, 12, 30), '"2024-02-29T12:30:00"'),  # noqa: DTZ001 - the point
    ("first year", datetime(1, 1, 1, tzinfo=UTC), '"0001-01-01T00:00:00+00:00"'),
    ("date", date(2024, 2, 29), '"2024-02-29"'),
    ("time", time(12, 30, 1), '"12:30:01"'),
    ("aware time", time(12, 30, 1, tzinfo=UTC), '"12:30:01+00:00"'),
    ("decimal", Decimal("0.12345678901234567890123456789"), "0.12345678901234567890123456789"),
    ("decimal with zeros", Decimal("1.500"), "1.500"),
    ("decimal exponent", Decimal("1E+5"), "1E+5"),
    ("huge exponent", Decimal("1E+999999"), "1E+999999"),
    ("tiny exponent", Decimal("-1E-999999"), "-1E-999999"),
    ("negative zero", Decimal("-0.0"), "-0.0"),
    ("decimal NaN", Decimal("NaN"), "null"),
    ("decimal sNaN", Decimal("sNaN"), "null"),
    ("decimal infinity", Decimal("-Infinity"), "null"),
    ("decimal of 5,000 digits", Decimal("1" * 5000), "1" * 5000),
    ("uuid", UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    ("enum", Colour.RED, '"red"'),
    ("enum of a tuple", Colour.NESTED, '["a",1]'),
    ("int enum", Number.SEVEN, "7"),
    ("str enum", Word.HELLO, '"hello"'),
    ("str subclass", Text("x"), '"x"'),
    ("int subclass", Whole(5), "5"),
    ("dataclass", Address("Oslo", 3, ["a"]), '{"city":"Oslo","_hidden":3,"tags":["a"]}'),
    ("dataclass with slots", Slotted(1), '{"a":1,"_b":5}'),
    ("dataclasses in a list", [Slotted(1), Slotted(2, 3)], '[{"a":1,"_b":5},{"a":2,"_b":3}]'),
    ("namedtuple", Point(1, Decimal("0.10")), "[1,0.10]"),
    ("tuple", (1, (2, 3)), "[1,[2,3]]"),
    ("set", {3, 1, 2}, "[1,2,3]"),
    ("frozenset", frozenset({"b", "a"}), '["a","b"]'),
    ("empty set", set(), "[]"),
    ("bytes", b"\xff\x00a", '"/wBh"'),
    ("no bytes", b"", '""'),
    ("bytearray", bytearray(b"abc"), '"YWJj"'),
    ("memoryview", memoryview(b"abc"), '"YWJj"'),
    ("memoryview with a step", memoryview(b"abcdef")[::2], '"YWNl"'),
    ("ordered dict", OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
    ("generic mapping", MappingProxyType({"a": (1,)}), '{"a":[1]}'),
    ("user dict", UserDict({"a": 1}), '{"a":1}'),
    ("nested NaN", [float("nan"), {"a": float("inf")}, (float("-inf"),)], '[null,{"a":null},[null]]'),
    ("bool", [True, False, None], "[true,false,null]"),
    ("64 bits", [2**63 - 1, -(2**63), 2**64 - 1], f"[{2**63 - 1},{-(2**63)},{2**64 - 1}]"),
    ("beyond 64 bits", [2**64, -(2**63) - 1, 10**400], f"[{2**64},{-(2**63) - 1},{10**400}]"),
    ("quotes and slashes", 'a"b\\c/d', r'"a\"b\\c/d"'),
    ("numpy bool_", np.bool_(True), "true"),
    ("numpy int8", np.int8(-5), "-5"),
    ("numpy uint64", np.uint64(2**64 - 1), str(2**64 - 1)),
    ("numpy float64", np.float64(0.1), "0.1"),
    ("numpy NaN", np.float64("nan"), "null"),
    ("numpy float16 NaN", np.float16("nan"), "null"),
    ("numpy longdouble", np.longdouble(1.5), "1.5"),
    ("numpy str_", np.str_("x"), '"x"'),
    ("numpy bytes_", np.bytes_(b"abc"), '"YWJj"'),
    ("numpy array", np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
    ("numpy transposed", np.array([[1, 2], [3, 4]]).T, "[[1,3],[2,4]]"),
    ("numpy strided", np.arange(6)[::2], "[0,2,4]"),
    ("numpy other byte order", np.array([1, 2], dtype=">i4"), "[1,2]"),
    ("numpy without dimension", np.array(3), "3"),
    ("numpy bools", np.array([True, False]), "[true,false]"),
    ("numpy texts", np.array(["a", "b"]), '["a","b"]'),
    ("numpy objects", np.array([Decimal("0.10"), None], dtype=object), "[0.10,null]"),
    ("numpy NaNs", np.array([1.5, float("nan")]), "[1.5,null]"),
    ("numpy empty", np.array([]), "[]"),
    ("numpy day", np.datetime64("2024-02-29"), '"2024-02-29T00:00:00"'),
    ("numpy year", np.datetime64("2024"), '"2024-01-01T00:00:00"'),
    ("numpy ns", np.datetime64("2024-02-29T01:02:03.000000009"), '"2024-02-29T01:02:03.000000009"'),
    ("numpy NaT", np.datetime64("NaT", "ns"), "null"),
    (
        "numpy days with NaT",
        np.array([["2024-02-29", "NaT"]], dtype="datetime64[D]"),
        '[["2024-02-29T00:00:00",null]]',
    ),
    ("Timestamp", pd.Timestamp("2024-02-29T01:02:03.000000009", tz="UTC"), '"2024-02-29T01:02:03.000000009+00:00"'),
    ("naive Timestamp", pd.Timestamp("2024-02-29"), '"2024-02-29T00:00:00"'),
    ("NaT", pd.NaT, "null"),
    ("NA", pd.NA, "null"),
]


@pytest.mark.parametrize(("value", "text"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
def test_a_value_is_sent_in_this_form_the_quick_way_and_the_slow(value: Any, text: str) -> None:
    assert sent(value) == text
    assert sent(value, big=BEYOND) == text


@pytest.mark.parametrize(("value", "number"), [(np.float16(0.1), 0.1), (np.float32(0.1), 0.1)])
def test_short_floats_of_numpy_are_near_enough_both_ways(value: Any, number: float) -> None:
    assert float(sent(value)) == pytest.approx(number, rel=1e-3)
    assert np.dtype(value.dtype).type(float(sent(value, big=BEYOND))) == value


def test_members_of_a_mixed_set_all_arrive() -> None:
    assert sorted(json.loads(sent({1, "a", None})), key=str) == [1, None, "a"]
    assert sorted(json.loads(sent(frozenset({Decimal("NaN"), Decimal(1)}))), key=str) == [1, None]


KEYS: list[tuple[Any, str]] = [
    (1, "1"),
    (2.5, "2.5"),
    (1e100, "1e+100"),
    (True, "true"),
    (False, "false"),
    (None, "null"),
    (BEYOND, str(BEYOND)),
    (Text("x"), "x"),
    (Word.HELLO, "hello"),
    (Number.SEVEN, "7"),
    ("\ud800", r"\ud800"),
    ('q"', r"q\""),
    ("é", r"\u00e9"),
]


@pytest.mark.parametrize(("key", "text"), KEYS, ids=repr)
def test_a_key_becomes_this_text(key: Any, text: str) -> None:
    assert encode_record("t", {key: 1}).decode() == f'{{"{text}":1,"__table":"t"}}'
    assert encode_record("t", {"in": {key: 1}}).decode() == f'{{"in":{{"{text}":1}},"__table":"t"}}'


def loop() -> list[Any]:
    ring: list[Any] = [1]
    ring.append({"again": ring})
    return ring


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


REFUSED: list[tuple[str, Callable[[], Any], str, str]] = [
    ("object", lambda: {"a": [1, 2, {"b": object()}]}, "$.a[2].b", "type object"),
    ("odd key on the way", lambda: {"a b": {"c": object()}}, "$['a b'].c", "type object"),
    ("function", lambda: {"f": len}, "$.f", "builtin_function_or_method"),
    ("class", lambda: {"c": Address}, "$.c", "type type"),
    ("timedelta", lambda: {"d": timedelta(1)}, "$.d", "timedelta"),
    ("numpy timedelta", lambda: {"d": np.timedelta64(5, "s")}, "$.d", "timedelta64"),
    ("numpy timedelta in ns", lambda: {"d": np.timedelta64(5, "ns")}, "$.d", "timedelta64"),
    ("numpy timedeltas", lambda: {"d": np.array([5], dtype="timedelta64[ns]")}, "$.d", "ndarray"),
    ("Timedelta", lambda: {"d": pd.Timedelta("1s")}, "$.d", "Timedelta"),
    ("Series", lambda: {"s": pd.Series([1])}, "$.s", "Series"),
    ("complex", lambda: {"c": 1j}, "$.c", "complex"),
    ("numpy object", lambda: {"o": np.array([object()], dtype=object)}, "$.o[0]", "type object"),
    ("in a dataclass", lambda: {"p": Address("x", tags=[object()])}, "$.p.tags[0]", "type object"),  # type: ignore[list-item] # replaced for the test
    ("in a set", lambda: {"s": {len}}, "$.s[0]", "builtin_function_or_method"),
    ("generator", lambda: {"g": (x for x in "ab")}, "$.g", "generator"),
    ("cycle", lambda: {"a": loop()}, "$.a[1].again", "contains itself"),
    ("tuple key", lambda: {"a": {(1, 2): 3}}, "$.a", "key of type tuple"),
    ("bytes key", lambda: {b"k": 3}, "$", "key of type bytes"),
    ("enum key", lambda: {"a": [{Colour.RED: 1}]}, "$.a[0]", "key of type Colour"),
    ("NaN key", lambda: {float("nan"): 1}, "$", "not a finite number"),
    ("endless integer", lambda: {"n": [10**5000]}, "$.n[0]", "too many digits"),
    ("endless key", lambda: {"n": {10**5000: 1}}, "$.n", "too many digits"),
    ("too deep", lambda: {"d": deep(100_000)}, "$", "too deeply"),
    ("list", lambda: [1], "$", "must be a mapping, not list"),
    ("None", lambda: None, "$", "must be a mapping, not NoneType"),
    ("text", lambda: "text", "$", "must be a mapping, not str"),
    ("dataclass as a record", lambda: Slotted(1), "$", "must be a mapping, not Slotted"),
]


@pytest.mark.parametrize(("make", "path", "says"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_sent_is_refused_by_the_name_of_its_place(make: Callable[[], Any], path: str, says: str) -> None:
    with pytest.raises(InvalidRecord) as caught:
        encode_record("t", make())
    assert caught.value.path == path
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("record", "path", "says"),
    [
        ({1: "int", "1": "text"}, "$", "the keys 1 and '1' are the same text"),
        ({"1": "text", 1: "int"}, "$", "the keys '1' and 1 are"),
        ({None: 1, "null": 2}, "$", "None and 'null'"),
        ({True: 1, "true": 2}, "$", "True and 'true'"),
        ({"deep": [{2.5: "float", "2.5": "text"}]}, "$.deep[0]", "2.5 and '2.5'"),
        ({"a": UserDict({2: "int", "2": "text"})}, "$.a", "2 and '2'"),
        ({Number.SEVEN: 1, "7": 2}, "$", "and '7' are the same text"),
        ({"\ud83d\ude00": 1, "😀": 2}, "$", "are the same text"),
    ],
)
def test_keys_that_are_the_same_text_once_written_are_refused(record: Any, path: str, says: str) -> None:
    with pytest.raises(InvalidRecord, match="same text once written") as caught:
        encode_record("t", record)
    assert caught.value.path == path
    assert says in caught.value.message


def test_columns_of_a_frame_that_are_the_same_text_are_refused() -> None:
    [record] = frame_records(pd.DataFrame([["a", "b"]], columns=[2024, "2024"]))
    with pytest.raises(InvalidRecord, match="the keys 2024 and '2024' are the same text"):
        encode_record("t", record)


def test_a_mapping_with_a_key_that_stands_twice_is_refused() -> None:
    twice = MultiDict([("a", 1), ("a", 2)])
    for record, place in ((twice, "a record"), ({"in": twice}, r"\$\.in")):
        with pytest.raises(InvalidRecord, match=place):
            encode_record("t", record)
    assert encode_record("t", MultiDict(a=1)) == b'{"a":1,"__table":"t"}'


@pytest.mark.parametrize("more", [{}, {"big": BEYOND}], ids=["quick", "slow"])
@pytest.mark.parametrize(
    "offset", [timedelta(minutes=53, seconds=28), timedelta(hours=5.5), timedelta(microseconds=-5)]
)
def test_an_offset_keeps_its_seconds(offset: timedelta, more: dict[str, Any]) -> None:
    at = datetime(1890, 1, 1, 12, tzinfo=timezone(offset))
    assert sent(at, **more) == f'"{at.isoformat()}"'


def test_the_same_value_twice_is_no_cycle() -> None:
    shared = {"x": BEYOND}
    assert json.loads(encode_record("t", {"a": shared, "b": [shared, shared]}))["b"] == [shared, shared]


def test_nesting_beyond_orjsons_limit_is_still_sent() -> None:
    assert json.loads(encode_record("t", {"d": deep(300)}))["d"] == deep(300)


@pytest.mark.parametrize("table", [None, 5, b"t", "", "   ", ["t"], {}, Colour.RED])
def test_a_table_must_be_a_name(table: Any) -> None:
    with pytest.raises(InvalidRecord, match="table name") as caught:
        record_encoder(table)
    assert caught.value.path == "table"


# -- the table's member ------------------------------------------------------------------------------------------------


class Generic(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __init__(self, **members: Any) -> None:
        self._members = members

    def __getitem__(self, key: str) -> Any:
        return self._members[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


@pytest.mark.parametrize("more", [{}, {"big": BEYOND}, {"é": "é"}], ids=["quick", "slow", "escaped"])
@pytest.mark.parametrize("kind", [dict, OrderedDict, UserDict, MappingProxyType, lambda d: Generic(**d)])
def test_an_own_table_is_overridden_in_its_place_and_the_caller_keeps_his(kind: Any, more: dict[str, Any]) -> None:
    record = kind({"a": 1, "__table": "mine", "b": 2, **more})
    assert list(json.loads(encode_record("yours", record)).items()) == [
        ("a", 1),
        ("__table", "yours"),
        ("b", 2),
        *more.items(),
    ]
    assert record["__table"] == "mine"
    without = kind({"a": 1, **more})
    assert list(json.loads(encode_record("yours", without)).items()) == [("a", 1), *more.items(), ("__table", "yours")]
    assert "__table" not in without


@pytest.mark.parametrize("record", [{}, Generic(), MappingProxyType({})])
def test_an_empty_record_holds_its_table(record: Mapping[str, Any]) -> None:
    assert encode_record("t", record) == b'{"__table":"t"}'


@pytest.mark.parametrize("table", ['quo"te', "back\\slash", "日本", "\ud800", "line\nfeed", "a&b=c%25;d+e f", "\x00"])
@pytest.mark.parametrize("record", [{}, {"a": 1}, {"a": BEYOND}, {"__table": 1}])
def test_any_text_names_a_table(table: str, record: dict[str, Any]) -> None:
    encoded = encode_record(table, record)
    assert encoded.isascii()
    assert json.loads(encoded) == {**record, "__table": table}


# -- all of Unicode ----------------------------------------------------------------------------------------------------


@given(text=st.text(st.characters(codec=None, min_codepoint=0, max_codepoint=0x10FFFF)))
@example("\ud800")
@example("\udfff\ud800 \ud83d\ude00")
@example("\ufffe\uffff\x7f\x80\u2028\u2029\x00")
@example("\U0010ffff\U0001f600")
def test_any_text_arrives_in_characters_that_sqs_takes(text: str) -> None:
    for record in ([text], {text: "key"}, [{text: text}, BEYOND]):
        encoded = encode_record("t", {"v": record})
        assert all(0x20 <= byte <= 0x7F for byte in encoded)
        # Two halves that meet are one character for every reader of JSON.
        assert json.loads(encoded)["v"] == (json.loads(json.dumps(record)))


def test_every_character_there_is_arrives() -> None:
    points = [point for point in range(sys.maxunicode + 1) if not 0xD800 <= point <= 0xDFFF]
    text = "".join(map(chr, points))
    encoded = encode_record("t", {"v": text})
    assert encoded.isascii()
    assert json.loads(encoded)["v"] == text
    for surrogate in range(0xD800, 0xE000):
        assert json.loads(encode_record("t", {"v": chr(surrogate)}))["v"] == chr(surrogate)


# -- what a failed batch gives back ------------------------------------------------------------------------------------


def exact(number: float | Decimal) -> Decimal:
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


@given(
    numbers=st.lists(
        st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.decimals(allow_nan=False, allow_infinity=False)
    )
)
@example([Decimal("0.1234567890123456789012"), Decimal("1E+999999"), Decimal("1" * 5000), 2**70, 0.1, 1e300, 5e-324])
def test_a_record_given_back_is_the_same_record_when_written_again(numbers: list[Any]) -> None:
    back = decode_record(encode_record("t", {"v": numbers}))
    assert [exact(number) for number in back["v"]] == [exact(number) for number in numbers]
    assert decode_record(encode_record("t", back)) == back
    assert all(type(b) is type(n) for b, n in zip(back["v"], numbers, strict=True) if isinstance(n, float))
