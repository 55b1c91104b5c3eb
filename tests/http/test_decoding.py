"""An answer is read in the encoding that it says or shows, with every digit of its integers."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from loopback import Loopback, Reply, road
from pydantic import SecretStr

from asyncconn.atoti_limits.wire import ServerRules, document
from asyncconn.core import decoding
from asyncconn.datorama.wire import DatoramaRules, json_of
from asyncconn.errors import ProtocolError
from asyncconn.http.redact import Redactor
from asyncconn.http.response import Response, status_error


def answer(body: bytes, kind: str = "application/json", status: int = 200) -> Response:
    return Response("shop", "GET", "/names", status, {"Content-Type": kind}, body)


@pytest.mark.parametrize(
    ("encoding", "kind"),
    [
        ("utf-8", ""),
        ("utf-8", "text/csv"),
        ("utf-8", "text/csv; charset=UTF-8"),
        ("utf-8", "text/csv; charset=unheard-of"),
        ("utf-8", "text/csv; charset=rot13"),
        ("utf-8", "text/csv; charset=base64"),
        ("utf-8", "text/csv; charset="),
        ("iso-8859-1", "text/csv; charset=iso-8859-1"),
        ("iso-8859-1", 'text/csv; header=present; Charset="ISO-8859-1"; x=y'),
        ("cp1252", "text/csv;charset=windows-1252"),
        ("utf-8-sig", "text/csv; charset=iso-8859-1"),
        ("utf-16", "text/csv"),
        ("utf-16", "text/csv; charset=utf-8"),
        ("utf-16-le", "text/csv; charset=utf-16le"),
        ("utf-16-be", "text/csv; charset=utf-16be"),
        ("utf-32", "text/csv"),
    ],
)
def test_text_is_read_by_its_mark_or_else_by_its_charset(encoding: str, kind: str) -> None:
    assert answer("Zoë, Köln".encode(encoding), kind).text == "Zoë, Köln"


def test_what_is_not_in_the_encoding_is_replaced() -> None:
    assert answer(b"Zo\xeb", "text/plain").text == "Zo\ufffd"
    assert answer(b"Zo\xeb", "text/plain; charset=idna").text == "Zo\ufffd"


@pytest.mark.parametrize("read", [Response.json, json_of, document], ids=["plain", "Datorama", "Limits"])
@pytest.mark.parametrize(
    ("encoding", "charset"),
    [
        ("utf-8", ""),
        ("utf-8", "iso-8859-1"),  # JSON is UTF-8, whatever a server's default says
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("utf-16", ""),
        ("utf-16-le", ""),
        ("utf-16-be", ""),
        ("utf-32", ""),
        ("iso-8859-1", "iso-8859-1"),
        ("cp1252", "windows-1252"),
    ],
)
def test_json_is_read_in_its_encoding(encoding: str, charset: str, read: Any) -> None:
    value = {"name": "Zoë", "id": 2**64 + 1}
    body = json.dumps(value, ensure_ascii=False).encode(encoding)
    assert read(answer(body, f"application/json; charset={charset}")) == value


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/json"),
        (b"<html>", "text/html"),
        (b'{"a": "Zo\xeb"}', "application/json"),
        (b'{"a": "Zo\xeb"}', "application/json; charset=ascii"),
        (b"\xff\xfe{", "application/json"),
        (b"\xef\xbb\xbf", "application/json"),
        (b'{"a": NaN}', "application/json"),
        (b"[1," + b"9" * 5_000 + b"]", "application/json"),
        (b"[1" + b"0" * 400 + b", 1e400]", "application/json"),
        (b"[1" + b"0" * 400 + b", NaN]", "application/json"),
        (b"[" * 100_000, "application/json"),
    ],
)
def test_what_is_no_json_is_a_protocol_error_that_quotes_nothing(body: bytes, kind: str) -> None:
    with pytest.raises(ProtocolError, match="instead of JSON") as caught:
        answer(body, kind).json()
    assert str(caught.value.__cause__) == "not JSON"


@pytest.mark.parametrize(
    "value",
    [
        2**64, 2**64 - 1, -(2**63), -(2**63) - 1, 10**18, 10**19, -(10**19), 10**400, 1e300, 0.1, -0.0,
        12345678901234567890.5, 1.2345678901234567e25, {"s": "1" * 30, "n": -(10**20)}, ["1" * 40, 1.5], [[10**30]],
        {"a": 1234567890123456789, "b": [1, {"c": 18446744073709551617}]},
    ],
)  # fmt: skip
def test_an_integer_of_any_size_is_exact(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=1), json.dumps(value, separators=(",", ":"))):
        found = decoding.json_of(text.encode())
        assert found == value
        assert json.dumps(found) == json.dumps(value)  # so the types are the same, too


def test_numbers_of_any_size_read_as_the_standard_decoder_reads_them() -> None:
    chance = random.Random(11)
    for _ in range(300):
        digits = "".join(chance.choices("0123456789", k=chance.randint(1, 40)))
        number = digits.lstrip("0") or "0"
        text = chance.choice(["", "-"]) + number + chance.choice(["", "", f".{digits}", "e5", "E-3"])
        body = chance.choice(["{}", "[{}]", '{{"a":{}}}', '["{}", {}]', " {}\n"]).format(*[text] * 2).encode()
        assert repr(decoding.json_of(body)) == repr(json.loads(body))


def test_ordinary_numbers_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_DECODER", None)
    ordinary = {"ms": 1700000000000, "id": 1234567890123456789, "x": 0.1234567890123456789, "key": "9" * 30, "d": "1-1"}
    assert decoding.json_of(json.dumps(ordinary).encode()) == ordinary


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("rules", [None, DatoramaRules(), ServerRules()], ids=["plain", "Datorama", "Limits"])
def test_a_credential_is_found_in_an_error_of_any_encoding(encoding: str, rules: Any) -> None:
    redactor = Redactor([SecretStr("s3cret-token")])
    said = answer("no such token: s3cret-token".encode(encoding), f"text/plain; charset={encoding}", 400)
    error: Any = (status_error if rules is None else rules.error)(said, redactor)
    told = f"{error} {error.body}"
    assert "s3cret" not in told.replace("\0", "")
    assert "no such token: ***" in told


async def test_an_error_in_latin_1_keeps_its_letters() -> None:
    said = Reply(400, '{"message": "Zoë fehlt"}'.encode("latin-1"), {"Content-Type": "text/plain; charset=latin-1"})
    async with Loopback(otherwise=said) as server, road(server) as http:
        with pytest.raises(Exception, match="Zoë fehlt"):
            await http.request("GET", "/")


def test_an_error_of_limits_may_hold_big_integers() -> None:
    body = json.dumps({"error": "no", "id": 2**70}).encode()
    error = ServerRules().error(answer(body, status=400), Redactor())
    assert error is not None
    assert str(2**70) in error.body  # type: ignore[attr-defined] # an error of the platform has one
