"""What the queue answers, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from asyncconn import errors
from asyncconn.http.redact import Redactor
from asyncconn.http.response import Response
from asyncconn.panoply import wire

MD5 = "9c796a8b22f4d0630711b762b744f1b4"
XML = (
    '<?xml version="1.0"?><SendMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><SendMessageResult>'
    f"<MessageId>5fea7756-0ea4</MessageId><MD5OfMessageBody>{MD5}</MD5OfMessageBody>"
    "<MD5OfMessageAttributes>ecd617cc1b2623fe341cad22a77faa6a</MD5OfMessageAttributes></SendMessageResult>"
    "<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></SendMessageResponse>"
)
JSON = f'{{"MessageId": "5fea7756-0ea4", "MD5OfMessageBody": "{MD5}"}}'


@pytest.mark.parametrize(
    ("answer", "verified"),
    [
        (XML, True),
        (JSON, True),
        (JSON.replace(": ", ":"), True),
        (XML.replace(MD5, MD5.upper()), True),
        (XML.replace(f"<MD5OfMessageBody>{MD5}</MD5OfMessageBody>", ""), False),
    ],
)
def test_an_accepted_message_is_known_by_its_id_and_digest(answer: str, verified: bool) -> None:
    assert wire.sent_message(answer.encode(), MD5) == wire.SentMessage("5fea7756-0ea4", verified)


@pytest.mark.parametrize("answer", ["", "OK", "<html><body>Welcome</body></html>", "{}", "\x00<<<{", "<MessageId/>"])
def test_a_200_that_is_not_the_queues_is_an_error_with_an_open_outcome(answer: str) -> None:
    with pytest.raises(errors.ProtocolError, match="no MessageId") as caught:
        wire.sent_message(answer.encode(), MD5)
    assert caught.value.maybe_sent


@pytest.mark.parametrize("answer", [XML, JSON])
def test_the_digest_of_another_message_is_an_error(answer: str) -> None:
    with pytest.raises(errors.ProtocolError, match="digest"):
        wire.sent_message(answer.encode(), MD5[::-1])


def test_the_digest_of_the_attributes_is_not_taken_for_the_bodys() -> None:
    swapped = XML.replace(MD5, "ecd617cc1b2623fe341cad22a77faa6a")
    with pytest.raises(errors.ProtocolError, match="digest"):
        wire.sent_message(swapped.encode(), MD5)


def xml_error(code: str, message: str = "Something is wrong.") -> str:
    return (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message><Detail/></Error>"
        "<RequestId>r-1</RequestId></ErrorResponse>"
    )


def json_error(code: str) -> str:
    return f'{{"__type": "com.amazonaws.sqs#{code}", "message": "Something is wrong."}}'


def read(status: int, body: str, **headers: str) -> Any:
    given = {name.replace("_", "-").title(): value for name, value in headers.items()}
    response = Response("panoply", "POST", "/1/***", status, given, body.encode())
    return wire.SqsRules().error(response, Redactor([SecretStr("hush-hush")]))


@pytest.mark.parametrize("form", [xml_error, json_error])
@pytest.mark.parametrize(
    ("status", "code", "kind", "maybe_sent"),
    [
        (400, "InvalidParameterValue", errors.BadRequest, False),
        (400, "AWS.SimpleQueueService.NonExistentQueue", errors.BadRequest, False),
        (403, "AccessDenied", errors.Forbidden, False),
        (404, "QueueDoesNotExist", errors.NotFound, False),
        (413, "RequestEntityTooLarge", errors.PayloadTooLarge, False),
        (429, "TooManyRequests", errors.RateLimited, False),
        (500, "InternalFailure", errors.ServerError, True),
        (503, "ServiceUnavailable", errors.ServerError, True),
        (400, "RequestThrottled", errors.RateLimited, False),
        (403, "RequestThrottled", errors.RateLimited, False),
        (400, "Throttling", errors.RateLimited, False),
        (400, "ThrottlingException", errors.RateLimited, False),
        (503, "ThrottledException", errors.RateLimited, False),
        (403, "OverLimit", errors.RateLimited, False),
        (400, "AWS.SimpleQueueService.OverLimit", errors.RateLimited, False),
    ],
)
def test_an_error_of_the_queue_keeps_its_word(
    form: Any, status: int, code: str, kind: type[errors.ApiError], maybe_sent: bool
) -> None:
    error = read(status, form(code))
    assert type(error) is kind
    assert (error.status, error.code, error.message) == (status, code, "Something is wrong.")
    assert error.maybe_sent is maybe_sent
    assert error.service == "panoply"


def test_the_request_id_comes_from_the_body_or_the_header() -> None:
    assert read(400, xml_error("X")).request_id == "r-1"
    response = Response("panoply", "POST", "/", 400, {"x-amzn-RequestId": "r-2"}, json_error("X").encode())
    error = wire.SqsRules().error(response, Redactor())
    assert isinstance(error, errors.ApiError)
    assert error.request_id == "r-2"


def test_retry_after_is_kept() -> None:
    assert read(503, xml_error("ServiceUnavailable"), retry_after="7").retry_after == 7.0
    assert read(403, xml_error("RequestThrottled"), retry_after="0.5").retry_after == 0.5


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", ""),
        ("<html><h1>Bad gateway</h1></html>", ""),
        ("upstream is down\nand more", "upstream is down"),
        ("[1, 2]", "[1, 2]"),
        ('{"message": "no"}', "no"),
        ("\x00\xff", "\x00\xff"),
    ],
)
@pytest.mark.parametrize(("status", "kind"), [(502, errors.ServerError), (403, errors.Forbidden)])
def test_an_error_of_somebody_in_between_is_known_by_its_status(
    status: int, kind: type[errors.ApiError], body: str, message: str
) -> None:
    error = read(status, body)
    assert type(error) is kind
    assert (error.code, error.message) == (None, message.strip() or message)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304])
def test_a_redirect_is_refused_and_surely_not_carried_out(status: int) -> None:
    error = read(status, "", location="http://127.0.0.1/elsewhere")
    assert isinstance(error, errors.ProtocolError)
    assert not error.maybe_sent


@pytest.mark.parametrize(
    "body", [xml_error("Hush", "the secret is hush-hush"), '{"message": "hush-hush"}', "hush-hush"]
)
def test_an_echoed_secret_is_taken_out_of_the_error(body: str) -> None:
    error = read(400, body)
    assert "hush-hush" not in str(error) + error.body
    assert "***" in error.body


def test_a_2xx_is_no_error() -> None:
    assert read(200, XML) is None
    assert list(wire.SqsRules().hints(Response("panoply", "POST", "/", 200, {}, b""))) == []
