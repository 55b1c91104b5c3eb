"""One message: what the original put on the wire, and what we put there instead."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from captures import PANOPLY as CAPTURES
from hypothesis import given
from hypothesis import strategies as st

from asyncconn.errors import InvalidRecord
from asyncconn.panoply import wire
from asyncconn.panoply.encoding import decode_record, encode_record
from asyncconn.sandbox.panoply.form import decode_form

RECIPES: dict[str, list[tuple[Any, Any]]] = {
    "big_batch": [("events", {"id": i, "name": f"user-{i}", "value": i * 0.5}) for i in range(4000)],
    "oversized_record": [("blob", {"s": "x" * 300_000})],
    "threshold_256000": [("t", {"s": "x" * 255_941})],
    "non_finite": [("t", {"nan": float("nan"), "inf": float("inf"), "ninf": float("-inf")})],
    "non_string_keys": [("t", {1: "int", 2.5: "float", False: "bool", None: "none"})],
}


def capture_named(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(capture for capture in CAPTURES if capture["name"] == name)
    return found


def body_of(request: dict[str, Any]) -> bytes:
    if "body_b64" in request:
        return base64.b64decode(request["body_b64"])
    return gzip.decompress(base64.b64decode(request["body_gzip_b64"]))


def writes_of(capture: dict[str, Any]) -> list[tuple[Any, Any]]:
    if capture["name"] in RECIPES:
        return RECIPES[capture["name"]]
    return [(write["table"], write["data"]) for write in capture["writes"]]


def ours(capture: dict[str, Any], writes: list[tuple[Any, Any]]) -> tuple[dict[str, str], str]:
    """Our form for the same writes, decoded; and the digest we expect the queue to answer."""
    credentials = wire.parse_credentials(capture["apikey"], capture["apisecret"])
    tail = wire.form_tail(wire.message_attributes(credentials, wire.DEFAULT_CLIENT_NAME))
    body, digest = wire.form_message([encode_record(table, data) for table, data in writes], tail)
    return decoded(body), digest


def decoded(body: bytes) -> dict[str, str]:
    """By the standard library and by the sandbox, two decoders that know nothing of each other."""
    pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    form = dict(pairs)
    assert len(form) == len(pairs)
    assert form == decode_form(body)
    return form


def documents(message: str) -> list[Any]:
    """The documents of a message, each of which a blank line follows."""
    assert message.endswith("\n\n")
    pieces = message.split("\n\n")[:-1]
    assert not any("\n" in piece for piece in pieces)
    return [json.loads(piece) for piece in pieces]


SAME = [c for c in CAPTURES if c["name"] not in {"non_finite", "table_none", "attributes_unescaped", "big_batch"}]


@pytest.mark.parametrize("capture", SAME, ids=lambda capture: capture["name"])
def test_our_message_says_what_the_originals_said(capture: dict[str, Any]) -> None:
    form, digest = ours(capture, writes_of(capture))
    [request] = capture["requests"]
    theirs = decoded(body_of(request))
    assert list(form) == list(theirs)
    assert documents(form.pop("MessageBody")) == documents(message := theirs.pop("MessageBody"))
    assert form == theirs
    assert len(message) == request["message_body_decoded_len"]
    assert len(digest) == 32


def test_the_big_batch_of_the_original_is_the_same_records_in_the_same_order() -> None:
    capture = capture_named("big_batch")
    theirs = [decoded(body_of(request)) for request in capture["requests"]]
    form, _ = ours(capture, RECIPES["big_batch"])
    assert documents(form["MessageBody"]) == [d for request in theirs for d in documents(request["MessageBody"])]
    assert {**form, "MessageBody": ""} == {**theirs[0], "MessageBody": ""}


def test_members_stand_in_the_originals_order() -> None:
    for name in ("nested", "reserved_keys", "non_string_keys", "unicode"):
        capture = capture_named(name)
        [ours_] = documents(ours(capture, writes_of(capture))[0]["MessageBody"])
        [theirs] = documents(decoded(body_of(capture["requests"][0]))["MessageBody"])
        assert list(ours_) == list(theirs)


def test_where_the_original_sent_words_that_are_not_json_we_send_null() -> None:
    capture = capture_named("non_finite")
    form, _ = ours(capture, writes_of(capture))
    assert "NaN" in decoded(body_of(capture["requests"][0]))["MessageBody"]
    assert documents(form["MessageBody"]) == [{"nan": None, "inf": None, "ninf": None, "__table": "t"}]


@pytest.mark.parametrize("table", [write["table"] for write in capture_named("table_none")["writes"]])
def test_a_table_that_is_no_name_is_refused_where_the_original_sent_it(table: Any) -> None:
    with pytest.raises(InvalidRecord, match="table name") as caught:
        encode_record(table, {"a": 1})
    assert caught.value.path == "table"


def test_a_plus_in_the_key_arrives_where_the_original_lost_it() -> None:
    capture = capture_named("attributes_unescaped")
    form, _ = ours(capture, writes_of(capture))
    theirs = decoded(body_of(capture["requests"][0]))
    name = "MessageAttribute.1.Value.StringValue"
    assert (theirs[name], form[name]) == ("acme/r 1", "acme/r+1")
    assert documents(form["MessageBody"]) == documents(theirs["MessageBody"])


def test_the_oversized_record_is_larger_than_a_message_may_be() -> None:
    capture = capture_named("oversized_record")
    credentials = wire.parse_credentials(capture["apikey"], capture["apisecret"])
    attributes = wire.message_attributes(credentials, wire.DEFAULT_CLIENT_NAME)
    [(table, data)] = writes_of(capture)
    size = len(encode_record(table, data)) + wire.RECORD_OVERHEAD
    assert size > wire.DEFAULT_MAX_MESSAGE_BYTES - wire.attributes_size(attributes)


def test_the_worked_examples_attributes_cost_what_the_contract_says() -> None:
    capture = capture_named("two_records")
    credentials = wire.parse_credentials(capture["apikey"], capture["apisecret"])
    attributes = wire.message_attributes(credentials, wire.DEFAULT_CLIENT_NAME)
    assert wire.attributes_size(attributes) == 179
    assert list(attributes) == ["key", "secret", "sdk"]


def test_the_digest_of_the_worked_example_is_the_contracts() -> None:
    # The same two documents as the original's, in its spelling.
    items = [b'{"foo": "bar", "__table": "events"}', b'{"n": 1, "ok": true, "__table": "events"}']
    body, digest = wire.form_message(items, b"")
    assert digest == "9c796a8b22f4d0630711b762b744f1b4"
    assert len(decoded(body)["MessageBody"]) == 80


# -- properties --------------------------------------------------------------------------------------------------------

ascii_json = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1).map(str.encode)


@given(items=st.lists(ascii_json, min_size=1, max_size=20), repeat=st.sampled_from([1, 7, 130]))
def test_any_ascii_text_comes_out_of_the_form_as_it_went_in(items: list[bytes], repeat: int) -> None:
    items = items * repeat  # 128 records are escaped at a time
    tail = wire.form_tail({"key": "a/b+c&d=e%25;f g", "sdk": "x-1"})
    body, digest = wire.form_message(items, tail)
    form = decoded(body)
    text = "".join(item.decode() + "\n\n" for item in items)
    assert form["MessageBody"] == text
    assert form["MessageAttribute.1.Value.StringValue"] == "a/b+c&d=e%25;f g"
    assert digest == hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    assert wire.message_text(items) == text.encode()


@given(items=st.lists(ascii_json, min_size=1, max_size=30))
def test_the_sizes_counted_are_the_bytes_sent(items: list[bytes]) -> None:
    counted = sum(len(item) + wire.RECORD_OVERHEAD for item in items)
    assert counted == len(wire.message_text(items)) == len(decoded(wire.form_message(items, b"")[0])["MessageBody"])


@given(value=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_attribute_comes_out_of_the_form_as_it_went_in(value: str) -> None:
    pairs = dict(parse_qsl(wire.form_tail({"key": value}).decode("ascii"), keep_blank_values=True))
    assert pairs["MessageAttribute.1.Value.StringValue"] == value
    assert wire.attributes_size({"key": value}) == len(b"key") + len(b"String") + len(value.encode())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)
records = st.dictionaries(st.text(), json_values, max_size=6)


@given(record=records, table=st.text(min_size=1).filter(str.strip))
def test_any_json_arrives_as_it_was_written(record: dict[str, Any], table: str) -> None:
    before = json.dumps(record)
    item = encode_record(table, record)
    assert item.isascii()
    assert b"\n" not in item
    assert decode_record(item) == json.loads(item) == {**record, "__table": table}
    assert list(json.loads(item)) == list({**record, "__table": table})
    assert json.dumps(record) == before
