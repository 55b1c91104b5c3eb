"""Every request captured from the original client is understood, byte for byte."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from typing import Any

import aiohttp
import pytest
from captures import PANOPLY as CAPTURES

from asyncconn.sandbox import PanoplyWorld, Sandbox
from asyncconn.sandbox.panoply.form import decode_form

from .conftest import FORM, RawClient

# Those whose input is given as JSON, names tables and can be held in UTF-8.
WITH_INPUT = [c for c in CAPTURES if "writes" in c and c["name"] not in {"table_none", "lone_surrogate"}]
INVALID = {"non_finite": 1, "table_none": 3}  # invalid JSON words; three values that name no table


def body_of(request: dict[str, Any]) -> bytes:
    if "body_b64" in request:
        body = base64.b64decode(request["body_b64"])
    else:
        body = gzip.decompress(base64.b64decode(request["body_gzip_b64"]))
    assert hashlib.sha256(body).hexdigest() == request["body_sha256"]
    return body


def by_name(name: str) -> dict[str, Any]:
    return next(capture for capture in CAPTURES if capture["name"] == name)


async def replay(capture: dict[str, Any], *, api_key: str | None = None, limit: int = 1 << 20) -> Sandbox:
    """Post the capture's requests; the sandbox comes back closed, its counters still readable."""
    async with Sandbox(PanoplyWorld(max_message_bytes=limit)) as sandbox, aiohttp.ClientSession() as session:
        account = sandbox.panoply.add_account(
            api_key=api_key or capture["requests"][0]["attribute_values_as_decoded"]["key"],
            api_secret=capture["apisecret"],
        )
        if api_key is None and "+" not in capture["apikey"]:
            assert account.queue_path == capture["requests"][0]["path"]
        for request in capture["requests"]:
            reply = await RawClient(sandbox, session).post(body_of(request), sandbox.url + request["path"])
            assert reply.status == 200
        loaded = sum(sandbox.panoply.tables().values())
        assert loaded == sandbox.panoply.counters.records
    return sandbox


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture["name"])
async def test_a_captured_request_is_accepted_and_its_records_land(capture: dict[str, Any]) -> None:
    sandbox = await replay(capture)
    counters = sandbox.panoply.counters
    expected = sum(request["records"] for request in capture["requests"])
    invalid = INVALID.get(capture["name"], 0)
    assert (counters.records, counters.invalid_documents) == (expected - invalid, invalid)
    assert counters.rejected_by_consumer == 0
    for message, request in zip(sandbox.panoply.messages, capture["requests"], strict=True):
        assert message.attributes == request["attribute_values_as_decoded"]
        assert len(message.body.encode()) == request["message_body_decoded_len"]


@pytest.mark.parametrize("capture", WITH_INPUT, ids=lambda capture: capture["name"])
async def test_captured_values_are_found_in_the_warehouse(capture: dict[str, Any]) -> None:
    writes = capture["writes"]
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        key = capture["requests"][0]["attribute_values_as_decoded"]["key"]
        sandbox.panoply.add_account(api_key=key, api_secret=capture["apisecret"])
        for request in capture["requests"]:
            await RawClient(sandbox, session).post(body_of(request), sandbox.url + request["path"], FORM)
        rows = sandbox.panoply.sql(f'select * from "{writes[0]["table"].lower()}" order by rowid')
    for row, write in zip(rows, writes, strict=True):
        for name, value in write["data"].items():
            assert (json.loads(row[name]) if isinstance(value, dict | list) else row[name]) == value


async def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    capture = by_name("lone_surrogate")
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        sandbox.panoply.add_account(api_key=capture["apikey"], api_secret=capture["apisecret"])
        request = capture["requests"][0]
        await RawClient(sandbox, session).post(body_of(request), sandbox.url + request["path"])
        assert sandbox.panoply.sql("select s from t") == [{"s": "\ufffdx"}]


async def test_a_plus_in_the_key_is_read_as_a_space_and_the_consumer_drops_the_records() -> None:
    capture = by_name("attributes_unescaped")
    sandbox = await replay(capture, api_key=capture["apikey"])
    counters = sandbox.panoply.counters
    assert (counters.accepted, counters.records, counters.rejected_by_consumer) == (1, 0, 1)
    assert counters.rejections == {"wrong key": 1}
    assert sandbox.panoply.messages[0].attributes["key"] == "acme/r 1"


async def test_the_worked_example_is_answered_with_its_digests() -> None:
    capture = by_name("two_records")
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        account = sandbox.panoply.add_account(api_key=capture["apikey"], api_secret=capture["apisecret"])
        reply = await RawClient(sandbox, session).post(body_of(capture["requests"][0]), account.queue_url)
    assert "<MD5OfMessageBody>9c796a8b22f4d0630711b762b744f1b4</MD5OfMessageBody>" in reply.text
    assert "<MD5OfMessageAttributes>ecd617cc1b2623fe341cad22a77faa6a</MD5OfMessageAttributes>" in reply.text


async def test_the_oversized_record_is_refused_by_a_queue_of_ordinary_size() -> None:
    capture = by_name("oversized_record")
    async with Sandbox() as sandbox, aiohttp.ClientSession() as session:
        account = sandbox.panoply.add_account(api_key=capture["apikey"], api_secret=capture["apisecret"])
        reply = await RawClient(sandbox, session).post(body_of(capture["requests"][0]), account.queue_url)
        assert (reply.status, sandbox.panoply.counters.accepted) == (400, 0)
        assert sandbox.panoply.tables() == {}
    assert "<Code>InvalidParameterValue</Code>" in reply.text


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=x\n\ny&b==", {"a": "x\n\ny", "b": "="}),
        (b"a=%2B+%3d%3D=\n", {"a": "+ ===\n"}),
        (b"a=\xc3\xa9%C3%A9", {"a": "éé"}),
        (b"a=%25%30%0A=", {"a": "%0\n="}),
        (b"a=%3D\n%3D%41==\r\n ", {"a": "=\n=A==\r\n "}),
        (b"%61=&&b=1&", {"a": "", "b": "1"}),
    ],
)
def test_forms_are_decoded(raw: bytes, decoded: dict[str, str]) -> None:
    assert decode_form(raw) == decoded
