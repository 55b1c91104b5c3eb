"""A request holds what its caller gave, or is refused with the place, before anything is sent."""

from __future__ import annotations

import dataclasses
import enum
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from loopback import Loopback, road
from pydantic import SecretStr

from asyncconn.errors import ConfigError
from asyncconn.http import outgoing
from asyncconn.http.auth import HeaderKey, NoAuth
from asyncconn.http.outgoing import build, checked_base, json_body, query


class Status(str, enum.Enum):  # noqa: UP042 - as it is written everywhere
    OPEN = "open"


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


BERLIN = timezone(timedelta(minutes=53, seconds=28))  # before there were time zones


@dataclasses.dataclass
class Point:
    x: float
    _hidden: int = 7


# -- query -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("a b&c", ["a b&c"]),
        (3, ["3"]),
        (2**70, [str(2**70)]),
        (0.1, ["0.1"]),
        (Decimal("1.10"), ["1.10"]),
        (True, ["true"]),
        (False, ["false"]),
        (None, []),
        ([], []),
        ([1, None, True, Colour.RED], ["1", "true", "red"]),
        ((1, 2), ["1", "2"]),
        (Status.OPEN, ["open"]),
        (Colour.RED, ["red"]),
        (Level.HIGH, ["3"]),
        (date(2026, 1, 31), ["2026-01-31"]),
        (datetime(2026, 1, 31, 12, tzinfo=UTC), ["2026-01-31T12:00:00+00:00"]),
        (time(12, 30), ["12:30:00"]),
        (UUID(int=1), ["00000000-0000-0000-0000-000000000001"]),
    ],
)
def test_a_value_of_a_query_is_sent_as_what_it_means(value: object, texts: list[str]) -> None:
    assert query({"q": value}) == [("q", text) for text in texts]


def test_numpy_numbers_are_numbers_in_a_query() -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    given = {"a": numpy.int64(5), "b": numpy.float64(0.5), "c": numpy.bool_(True)}
    assert query(given) == [("a", "5"), ("b", "0.5"), ("c", "true")]


@pytest.mark.parametrize(
    "value",
    [
        b"key", bytearray(b"key"), {"x"}, frozenset("x"), {"a": 1}, (one for one in "ab"), range(3), float("nan"),
        float("inf"), Decimal("NaN"), Decimal("Infinity"), timedelta(1), object(), SecretStr("s3cret"), "\ud800",
        10**5000,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_means_nothing_in_a_query_is_refused_with_its_name(value: object) -> None:
    for given, place in ((value, "the parameter when is|the parameter when holds"), ([1, value], r"when\[1\]")):
        with pytest.raises(ConfigError, match=place) as caught:
            query({"when": given})
        assert "s3cret" not in str(caught.value)


def test_a_list_in_a_list_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"q\[0\] is of type list"):
        query({"q": [[1]]})


def test_missing_values_of_pandas_are_refused() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    for value in (pandas.NaT, pandas.NA):
        with pytest.raises(ConfigError, match="the parameter q"):
            query({"q": value})


@pytest.mark.parametrize("params", [[("a", 1)], {1: "a"}, {"a": 1, Colour: 2}, {"red": 1, Colour.RED: 2}])
def test_names_of_a_query_are_texts_and_each_stands_once(params: Any) -> None:
    with pytest.raises(ConfigError):
        query(params)


def test_a_name_may_be_an_enum() -> None:
    assert query({Colour.RED: 1}) == [("red", "1")]  # type: ignore[dict-item] # callers do


# -- path, method, headers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/items/a#b", "/items/a b", "/items/ä", "/items/100%", "/items/%4", "/items/%zz", "/a\nb", "/a\x7fb", "items",
        "/items/..", "/items/../users", "/items/./a", "/items/%2e%2E/users", "/..?a=1", "/\ud800", None, 5, b"/items",
    ],
)  # fmt: skip
def test_a_path_that_nobody_encoded_is_refused(path: Any) -> None:
    with pytest.raises(ConfigError, match="path"):
        build("http://host", "GET", path)


@pytest.mark.parametrize("path", ["", "/", "/a%23b", "/a%20b?x=1&y=%26", "?x=1", "/a/.../b", "/.well-known/a", "/a..b"])
def test_a_path_goes_out_as_it_is(path: str) -> None:
    assert build("http://host/base", "GET", path).url.raw_path_qs == "/base" + path


async def test_a_path_is_quoted_in_the_refusal_without_its_secret() -> None:
    async with road("http://127.0.0.1:1", auth=HeaderKey("X-Key", "s3cret-s3cret")) as http:
        with pytest.raises(ConfigError) as caught:
            await http.request("GET", "/s3cret-s3cret/a b")
    told = f"{caught.value} {caught.value.__context__!r} {caught.value.__cause__!r}"
    assert "s3cret-s3cret" not in told


@pytest.mark.parametrize("method", ["GET / HTTP/1.1\r\nX: 1", "", "GÉT", "A B", None, 5, b"GET"])
def test_a_method_that_is_none_is_refused(method: Any) -> None:
    with pytest.raises(ConfigError, match="method"):
        build("http://host", method, "/")


def test_a_method_goes_out_in_capitals() -> None:
    assert [build("http://h", name, "/").method for name in ("get", "PURGE", "Patch")] == ["GET", "PURGE", "PATCH"]


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X-Count": 5}, "X-Count must be text, not int"),
        ({"X-Trace": None}, "X-Trace must be text, not NoneType"),
        ({"X-Key": SecretStr("s3cret")}, "X-Key must be text, not SecretStr"),
        ({"X-Bytes": b"a"}, "X-Bytes must be text, not bytes"),
        ({"X-A\r\nX-B": "1"}, "cannot be the name"),
        ({"": "1"}, "cannot be the name"),
        ({"X A": "1"}, "cannot be the name"),
        ({"Ä": "1"}, "cannot be the name"),
        ({1: "1"}, "cannot be the name"),
        ({"X": "a\r\nY: b"}, "line break"),
        ({"X": "a\x00b"}, "line break or control"),
        ({"X": "\ud800"}, "lone surrogate"),
        ([("X", "a")], "mapping"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_by_its_name(headers: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        build("http://host", "GET", "/", headers=headers)
    assert "s3cret" not in str(caught.value)


async def test_a_header_of_an_auth_that_cannot_be_sent_is_refused_too() -> None:
    class Odd(NoAuth):
        async def headers(self) -> Any:
            return {"X-Key\r\n": "s3cret"}

    async with Loopback() as server, road(server, auth=Odd()) as http:
        with pytest.raises(ConfigError, match="cannot be the name"):
            await http.request("GET", "/")
    assert server.connections == 0


def test_a_callers_own_header_replaces_ours_in_any_spelling() -> None:
    sent = build("http://h", "POST", "/", headers={"user-agent": "mine", "content-type": "x/y"}, json={}).headers
    assert {name.lower(): value for name, value in sent.items()} == {
        "user-agent": "mine", "content-type": "x/y", "accept-encoding": "gzip, deflate",
    }  # fmt: skip
    assert len(sent) == 3


@pytest.mark.parametrize("data", ["text", {"a": 1}, 5, [b"a"], iter([b"a"])])
def test_a_body_that_is_neither_bytes_nor_form_is_refused(data: Any) -> None:
    with pytest.raises(ConfigError, match="data must be bytes"):
        build("http://h", "POST", "/", data=data)


@pytest.mark.parametrize(
    "url",
    [
        "http://host:99999", "http://host:port", "http://[::1", "ftp://host", "host", "http://", "http://u:p@host",
        "http://host?", "http://host/a#", "http://host/a b", "http://host\\evil", "http://host\n", None, 5, b"http://h",
    ],
)  # fmt: skip
def test_a_base_url_that_cannot_work_is_refused(url: Any) -> None:
    with pytest.raises(ConfigError, match="base URL"):
        checked_base(url, "shop")


def test_a_refused_base_url_does_not_show_its_password() -> None:
    for url in ("ftp://user:s3cret@host", "http://user:s3cret@host", "http://user:s3cret@host:99999"):
        with pytest.raises(ConfigError) as caught:
            checked_base(url, "shop")
        assert "s3cret" not in str(caught.value)


def test_a_base_url_in_other_letters_is_written_in_ascii() -> None:
    assert checked_base("http://müller.example/ä/", "shop") == "http://xn--mller-kva.example/%C3%A4"


# -- JSON --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"é": [1, None, True]}, '{"é":[1,null,true]}'),
        ({"id": 18446744073709551617}, '{"id":18446744073709551617}'),
        ({"id": [-80241446968629135069]}, '{"id":[-80241446968629135069]}'),
        ({"id": 2**70, "none": None, "when": date(2026, 1, 31)}, f'{{"id":{2**70},"none":null,"when":"2026-01-31"}}'),
        ({"sum": Decimal("12345678901234567.89")}, '{"sum":12345678901234567.89}'),
        ({"c": Colour.RED, "s": Status.OPEN, "l": Level.HIGH}, '{"c":"red","s":"open","l":3}'),
        ({Status.OPEN: 1}, '{"open":1}'),
        ([datetime(1890, 1, 1, tzinfo=BERLIN), time(1, 2)], '["1890-01-01T00:00:00+00:53:28","01:02:00"]'),
        (Point(1.5), '{"x":1.5,"_hidden":7}'),
    ],
)
def test_a_body_is_written_with_every_digit_and_member(value: object, text: str) -> None:
    assert json_body(value).decode() == text


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), r"\$ is nan"),
        ({"limits": [{"value": 1}, {"value": float("inf")}]}, r"\$\.limits\[1\]\.value is inf"),
        ({"a b": (1, float("-inf"))}, r"\$\['a b'\]\[1\] is -inf"),
        ({"p": Point(float("nan"))}, r"\$\.p\.x is nan"),
        ({"big": 2**70, "sum": float("nan")}, r"\$\.sum is nan"),
        ({"sum": Decimal("NaN")}, r"\$\.sum is NaN"),
        ({"a": [1, {2}]}, r"\$\.a\[1\] is of type set"),
        ({"a": b"bytes"}, r"\$\.a is of type bytes"),
        ({"a": {1: "x"}}, r"a key in \$\.a is 1, not text"),
        ({"a": "\ud800"}, r"\$\.a holds half a character"),
        ({"a": 10**5000}, r"\$\.a is an integer with too many digits"),
    ],
)
def test_what_is_no_json_is_refused_with_its_place(value: object, place: str) -> None:
    with pytest.raises(ConfigError, match=place):
        json_body(value)


def test_a_body_that_contains_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["again"] = [value]
    with pytest.raises(ConfigError, match="nested too deeply, or contains itself"):
        json_body(value)


async def test_nothing_is_sent_of_what_is_refused_and_big_integers_arrive() -> None:
    async with Loopback() as server, road(server) as http:
        with pytest.raises(ConfigError, match=r"test: the body is not JSON: \$\.value is nan"):
            await http.request("PUT", "/limit", json={"value": float("nan")})
        assert server.connections == 0
        await http.request("PUT", "/limit", json={"value": 2**64 + 1})
    assert json.loads(server.seen[0].body) == {"value": 2**64 + 1}


def test_a_path_is_looked_at_once_but_for_one_whose_query_may_hold_a_credential() -> None:
    outgoing._below.cache_clear()
    for path in ("/a", "/a", "/a?sig=s3cret", "/a?sig=s3cret"):
        build("https://kept.example", "GET", path)

    assert (outgoing._below.cache_info().currsize, outgoing._below.cache_info().hits) == (1, 1)
