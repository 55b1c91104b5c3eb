"""The form (query) protocol: POST to the queue's path, answers in XML.

Contract: panoply section 2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from asyncconn.sandbox.exchange import Answer
from asyncconn.sandbox.panoply.form import FormError, decode_form
from asyncconn.sandbox.panoply.sqs import (
    Attributes,
    Send,
    SqsError,
    attributes_digest,
    body_digest,
    check_attribute_name,
    make_attribute,
)

if TYPE_CHECKING:
    from asyncconn.sandbox.exchange import Call

__all__ = ["error_answer", "read_send", "sent_answer"]

_NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"
_ATTRIBUTE = re.compile(r"MessageAttribute\.([1-9]\d{0,5})\.(.+)", re.ASCII)
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_send(call: Call) -> Send:
    """The message in a form request. Raises :class:`SqsError`."""
    try:
        form = decode_form(call.body)
    except FormError as error:
        if error.duplicate is not None:
            raise SqsError("InvalidQueryParameter", str(error)) from None
        raise SqsError("MalformedQueryString", str(error)) from None
    action = form.get("Action", "")
    if not action:
        raise SqsError("MissingAction", "The request must contain the parameter Action.")
    if action != "SendMessage":
        raise SqsError("InvalidAction", f"The action {action[:100]} is not valid for this endpoint.")
    return Send(form.get("MessageBody", ""), _read_attributes(form))


def _read_attributes(form: dict[str, str]) -> Attributes:
    numbered: dict[int, dict[str, str]] = {}
    for key, value in form.items():
        if found := _ATTRIBUTE.fullmatch(key):
            numbered.setdefault(int(found[1]), {})[found[2]] = value
    attributes: Attributes = {}
    for number in sorted(numbered):
        parts = numbered[number]
        name = parts.get("Name", "")
        check_attribute_name(name)
        if name in attributes:
            raise SqsError("InvalidParameterValue", f"Message attribute name '{name}' already exists.")
        attributes[name] = make_attribute(
            name,
            parts.get("Value.DataType", ""),
            parts.get("Value.StringValue"),
            parts.get("Value.BinaryValue"),
        )
    return attributes


def sent_answer(send: Send, message_id: str, request_id: str) -> Answer:
    """``SendMessageResponse``."""
    of_attributes = (
        f"<MD5OfMessageAttributes>{attributes_digest(send.attributes)}</MD5OfMessageAttributes>"
        if send.attributes
        else ""
    )
    return _xml(
        200,
        request_id,
        f'<SendMessageResponse xmlns="{_NAMESPACE}"><SendMessageResult><MessageId>{message_id}</MessageId>'
        f"<MD5OfMessageBody>{body_digest(send.body)}</MD5OfMessageBody>{of_attributes}</SendMessageResult>"
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></SendMessageResponse>",
    )


def error_answer(error: SqsError, request_id: str) -> Answer:
    """``ErrorResponse``."""
    message = escape(_NOT_XML.sub("\ufffd", error.message))
    return _xml(
        error.status,
        request_id,
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>{error.fault}</Type><Code>{error.code}</Code>'
        f"<Message>{message}</Message><Detail/></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
    )


def _xml(status: int, request_id: str, document: str) -> Answer:
    body = f'<?xml version="1.0"?>{document}'.encode()
    return Answer(status, body, "text/xml", {"x-amzn-RequestId": request_id})
