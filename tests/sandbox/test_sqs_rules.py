"""What the queue refuses, in which words."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from xml.etree import ElementTree as ET

import aiohttp
import pytest

from asyncconn.sandbox import PanoplyWorld, Sandbox
from asyncconn.sandbox.panoply.sqs import Attribute, Send, attributes_digest, body_digest, size_bytes

from .conftest import FORM, RawClient, form
from .scene import Reply

NS = "{http://queue.amazonaws.com/doc/2012-11-05/}"
SEND = b"Action=SendMessage&MessageBody="
JSON = {"Content-Type": "application/x-amz-json-1.0"}


def code(reply: Reply) -> str:
    root = parse(reply)
    assert root.findtext(f"{NS}Error/{NS}Type") in {"Sender", "Receiver"}
    assert root.findtext(f"{NS}Error/{NS}Message")
    assert root.findtext(f"{NS}RequestId") == reply.headers["x-amzn-RequestId"]
    return root.findtext(f"{NS}Error/{NS}Code") or ""


def parse(reply: Reply) -> ET.Element:
    return ET.fromstring(reply.text)  # noqa: S314 - it comes from our own server


def attribute(name: str = "n", data_type: str = "String", value: str = "v", number: int = 1) -> bytes:
    prefix = f"&MessageAttribute.{number}"
    return f"{prefix}.Name={name}{prefix}.Value.DataType={data_type}{prefix}.Value.StringValue={value}".encode()


def test_digests_follow_the_published_vector() -> None:
    vector = {"attribName1": Attribute("String", "attribValue 1")}
    assert attributes_digest(vector) == "19e27d4e946b072f3f58da80d94fd778"
    assert body_digest("") == "d41d8cd98f00b204e9800998ecf8427e"


def test_a_binary_attribute_is_digested_as_bytes_with_its_own_mark() -> None:
    digested = b"\0\0\0\x01b\0\0\0\x06Binary\x02\0\0\0\x02\x00\xff"
    expected = hashlib.md5(digested, usedforsecurity=False).hexdigest()
    assert attributes_digest({"b": Attribute("Binary", b"\x00\xff")}) == expected


def test_size_counts_the_utf8_body_and_names_types_and_values() -> None:
    assert size_bytes(Send("é", {"key": Attribute("String", "ß"), "b": Attribute("Binary", b"123")})) == 2 + 11 + 10


async def test_an_accepted_message_is_answered_in_xml(raw: RawClient) -> None:
    reply = await raw.send('{"__table": "t"}')
    root = parse(reply)
    assert (reply.status, root.tag) == (200, f"{NS}SendMessageResponse")
    assert reply.headers["Content-Type"].startswith("text/xml")
    result = root.find(f"{NS}SendMessageResult")
    assert result is not None
    assert result.findtext(f"{NS}MD5OfMessageBody") == body_digest('{"__table": "t"}')
    assert result.findtext(f"{NS}MessageId") == raw.sandbox.panoply.messages[0].message_id
    request_id = root.findtext(f"{NS}ResponseMetadata/{NS}RequestId")
    assert request_id == reply.headers["x-amzn-RequestId"]


async def test_a_message_without_attributes_has_no_digest_of_them(raw: RawClient) -> None:
    reply = await raw.post(SEND + b"x")
    assert reply.status == 200
    assert "MD5OfMessageAttributes" not in reply.text


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(SEND, "MissingParameter", id="empty body"),
        pytest.param(b"Action=SendMessage", "MissingParameter", id="no body"),
        pytest.param(b"MessageBody=x", "MissingAction", id="no action"),
        pytest.param(b"Action=DeleteQueue&MessageBody=x", "InvalidAction", id="unknown action"),
        pytest.param(b"Action=SendMessage&MessageBody=a&MessageBody=b", "InvalidQueryParameter", id="duplicate"),
        pytest.param(SEND + b"a&b", "MalformedQueryString", id="bare ampersand"),
        pytest.param(SEND + b"%zz", "MalformedQueryString", id="broken escape"),
        pytest.param(SEND + b"%4", "MalformedQueryString", id="cut escape"),
        pytest.param(SEND + b"%ff", "MalformedQueryString", id="escaped bytes that are not UTF-8"),
        pytest.param(SEND + b"\xff", "MalformedQueryString", id="bytes that are not UTF-8"),
        pytest.param(SEND + b"%ed%a0%80", "MalformedQueryString", id="a surrogate in UTF-8"),
        pytest.param(SEND + b"%00", "InvalidMessageContents", id="NUL"),
        pytest.param(SEND + b"%0b", "InvalidMessageContents", id="vertical tab"),
        pytest.param(SEND + b"%EF%BF%BE", "InvalidMessageContents", id="U+FFFE"),
        pytest.param(
            SEND + b"x" + b"".join(attribute(f"n{i}", number=i) for i in range(1, 12)),
            "InvalidParameterValue",
            id="eleven attributes",
        ),
        pytest.param(SEND + b"x" + attribute(name=""), "InvalidParameterValue", id="empty name"),
        pytest.param(SEND + b"x" + attribute(name="a b"), "InvalidParameterValue", id="space in name"),
        pytest.param(SEND + b"x" + attribute(name="a..b"), "InvalidParameterValue", id="two periods"),
        pytest.param(SEND + b"x" + attribute(name="AWS.b"), "InvalidParameterValue", id="reserved name"),
        pytest.param(SEND + b"x" + attribute(name="a" * 257), "InvalidParameterValue", id="long name"),
        pytest.param(SEND + b"x" + attribute(data_type=""), "InvalidParameterValue", id="empty type"),
        pytest.param(SEND + b"x" + attribute(data_type="Text"), "InvalidParameterValue", id="unknown type"),
        pytest.param(SEND + b"x" + attribute(value=""), "InvalidParameterValue", id="empty value"),
        pytest.param(SEND + b"x" + attribute(value="%01"), "InvalidParameterValue", id="value with U+0001"),
        pytest.param(SEND + b"x" + attribute(data_type="Number", value="x"), "InvalidParameterValue", id="no number"),
        pytest.param(SEND + b"x" + attribute() + attribute(number=2), "InvalidParameterValue", id="same name twice"),
    ],
)
async def test_the_queue_refuses(raw: RawClient, body: bytes, expected: str) -> None:
    reply = await raw.post(body)
    assert (reply.status, code(reply)) == (400, expected)
    counters = raw.sandbox.panoply.counters
    assert (counters.accepted, counters.refused) == (0, 1)


@pytest.mark.parametrize("body", ["\t\n\r ~\x7f\x85", "\ud7ff\ue000\ufffd\U00010000\U0010ffff"])
async def test_the_allowed_characters_are_accepted(raw: RawClient, body: str) -> None:
    assert (await raw.send(body)).status == 200
    assert raw.sandbox.panoply.messages[0].body == body


async def test_ten_attributes_and_labelled_types_are_accepted(raw: RawClient) -> None:
    nine = b"".join(attribute(f"n{i}", "Number.int", "-1.5e3", number=i) for i in range(1, 10))
    assert (await raw.post(SEND + b"x" + nine + attribute("a.b_c-d", "String.url", number=10))).status == 200


async def test_the_limit_is_exact_and_counts_decoded_bytes() -> None:
    async with Sandbox(PanoplyWorld(max_message_bytes=40)) as sandbox, aiohttp.ClientSession() as session:
        client = RawClient(sandbox, session)
        fits = SEND + b"%C3%A9" * 16 + attribute("n", "String", "v")  # 32 + 8 bytes
        assert (await client.post(fits)).status == 200
        assert sandbox.panoply.messages[0].size_bytes == 40
        reply = await client.post(fits + b"v")
        assert (reply.status, code(reply)) == (400, "InvalidParameterValue")


async def test_the_default_limit_is_256_kib(raw: RawClient) -> None:
    assert (await raw.post(SEND + b"x" * 262_144)).status == 200
    assert (await raw.post(SEND + b"x" * 262_145)).status == 400


async def test_an_unknown_queue_does_not_exist(raw: RawClient) -> None:
    reply = await raw.post(SEND + b"x", f"{raw.sandbox.url}/123456789012/sdk-nobody-x")
    assert (reply.status, code(reply)) == (400, "AWS.SimpleQueueService.NonExistentQueue")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_other_methods_are_not_allowed(raw: RawClient, method: str) -> None:
    reply = await raw.post(b"", headers={}, method=method)
    assert (reply.status, code(reply), reply.headers["Allow"]) == (405, "MethodNotAllowed", "POST")


async def test_other_content_types_are_refused(raw: RawClient) -> None:
    reply = await raw.post(SEND + b"x", headers={"Content-Type": "text/plain"})
    assert (reply.status, code(reply)) == (415, "UnsupportedMediaType")
    assert (
        await raw.post(SEND + b"x", headers={"Content-Type": FORM["Content-Type"] + "; charset=utf-8"})
    ).status == 200


async def test_compressed_forms_are_refused(raw: RawClient) -> None:
    headers = {**FORM, "Content-Encoding": "gzip"}
    reply = await raw.post(gzip.compress(SEND + b"x"), headers=headers)
    assert (reply.status, code(reply)) == (415, "UnsupportedMediaType")


async def test_a_path_of_no_platform_is_404(raw: RawClient) -> None:
    assert (await raw.post(b"", f"{raw.sandbox.url}/elsewhere")).status == 404
    assert raw.sandbox.requests == {"-": 1}


async def test_a_wrong_key_or_secret_is_accepted_and_the_records_vanish(raw: RawClient) -> None:
    panoply = raw.sandbox.panoply
    body = '{"__table": "t"}\n\n{"__table": "t"}\n\n'
    for attributes in (
        {"key": panoply.api_key, "secret": "wrong"},
        {"key": "wrong", "secret": panoply.api_secret},
        {"key": panoply.api_key},
        {},
    ):
        assert (await raw.post(form(body, attributes))).status == 200
    assert panoply.counters.rejections == {"wrong secret": 2, "wrong key": 2, "no secret": 2, "no key": 2}
    assert panoply.counters.rejected_by_consumer == 8
    assert (panoply.counters.records, panoply.tables()) == (0, {})
    assert panoply.messages[0].rejected == "wrong secret"


async def test_another_account_has_a_queue_and_credentials_of_its_own(raw: RawClient) -> None:
    panoply = raw.sandbox.panoply
    other = panoply.add_account(account="other")
    right = {"key": other.api_key, "secret": other.api_secret}
    assert other.api_key.startswith("other/")
    assert (await raw.post(form('{"__table": "t"}', right), other.queue_url)).status == 200
    assert panoply.counters.records == 1
    await raw.post(form('{"__table": "t"}', right))  # right for the other queue, wrong for this one
    assert panoply.counters.rejected_by_consumer == 1


async def json_call(raw: RawClient, action: str, **members: object) -> tuple[int, dict[str, object], str]:
    headers = {**JSON, "X-Amz-Target": f"AmazonSQS.{action}"}
    reply = await raw.post(json.dumps(members).encode(), raw.sandbox.url + "/", headers)
    assert reply.headers["Content-Type"].startswith("application/x-amz-json-1.0")
    return reply.status, json.loads(reply.text), reply.headers.get("x-amzn-query-error", "")


async def test_json_errors_name_the_word_of_both_protocols(raw: RawClient) -> None:
    url = "https://sqs.us-east-1.amazonaws.com" + raw.sandbox.panoply.queue_url.removeprefix(raw.sandbox.url)
    aws, ours = "com.amazon.coral.service#", "com.amazonaws.sqs#"
    sqs = "AWS.SimpleQueueService."
    send = "SendMessage"
    queue: dict[str, object] = {"QueueUrl": url}
    cases: list[tuple[str, dict[str, object], str, str]] = [
        (send, {"QueueUrl": "http://h/1/x"}, f"{ours}QueueDoesNotExist", f"{sqs}NonExistentQueue"),
        (send, {}, f"{aws}MissingRequiredParameterException", "MissingParameter"),
        (send, queue, f"{aws}MissingRequiredParameterException", "MissingParameter"),
        (send, queue | {"MessageBody": "\x01"}, f"{ours}InvalidMessageContents", "InvalidMessageContents"),
        (send, queue | {"MessageBody": "\ud800"}, f"{ours}InvalidMessageContents", "InvalidMessageContents"),
        (send, queue | {"MessageBody": 5}, f"{aws}SerializationException", "SerializationException"),
        (
            send,
            queue | {"MessageBody": "x" * 262_145},
            f"{aws}InvalidParameterValueException",
            "InvalidParameterValue",
        ),
        ("Nonsense", {}, f"{aws}UnknownOperationException", "InvalidAction"),
        ("SendMessageBatch", queue | {"Entries": []}, f"{ours}EmptyBatchRequest", f"{sqs}EmptyBatchRequest"),
    ]
    for action, members, kind, word in cases:
        status, answer, header = await json_call(raw, action, **members)
        assert (status, answer["__type"], header) == (400, kind, f"{word};Sender")


async def test_the_json_queue_url_may_carry_any_host(raw: RawClient) -> None:
    path = raw.sandbox.panoply.queue_url.removeprefix(raw.sandbox.url)
    value = base64.b64encode(b"\x00\xff").decode()
    status, answer, _ = await json_call(
        raw,
        "SendMessage",
        QueueUrl=f"https://sqs.us-east-1.amazonaws.com{path}",
        MessageBody="x",
        MessageAttributes={"b": {"DataType": "Binary", "BinaryValue": value}},
    )
    assert (status, answer["MD5OfMessageBody"]) == (200, body_digest("x"))
    message = raw.sandbox.panoply.messages[0]
    assert (message.protocol, message.attributes) == ("json", {"b": b"\x00\xff"})
    assert answer["MD5OfMessageAttributes"] == attributes_digest({"b": Attribute("Binary", b"\x00\xff")})
