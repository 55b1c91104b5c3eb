"""The AWS JSON 1.0 protocol, as far as an SQS client needs it to send.

Contract: panoply section 2, "Why not an ordinary SQS client library".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.exchange import Answer
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

__all__ = [
    "CONTENT_TYPE",
    "action",
    "answer",
    "error_answer",
    "read",
    "read_batch",
    "read_send",
    "sent",
    "text",
]

CONTENT_TYPE = "application/x-amz-json-1.0"
TARGET = "AmazonSQS."
_MAX_ENTRIES = 10
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SERVICE = "AWS.SimpleQueueService."
# Errors that are shapes of the service's model; the others belong to the framework under it.
_MODELLED = {
    f"{_SERVICE}NonExistentQueue": "QueueDoesNotExist",
    f"{_SERVICE}EmptyBatchRequest": "EmptyBatchRequest",
    f"{_SERVICE}TooManyEntriesInBatchRequest": "TooManyEntriesInBatchRequest",
    f"{_SERVICE}BatchEntryIdsNotDistinct": "BatchEntryIdsNotDistinct",
    f"{_SERVICE}BatchRequestTooLong": "BatchRequestTooLong",
    f"{_SERVICE}InvalidBatchEntryId": "InvalidBatchEntryId",
    "InvalidMessageContents": "InvalidMessageContents",
    "RequestThrottled": "RequestThrottled",
}
_FRAMEWORK = {
    "InvalidAction": "UnknownOperationException",
    "MissingParameter": "MissingRequiredParameterException",
    "SerializationException": "SerializationException",
    "InternalFailure": "InternalFailure",
}


def action(call: Call) -> str:
    """The action named in ``X-Amz-Target``. Raises :class:`SqsError` when it is not an SQS one."""
    target = call.headers.get("X-Amz-Target", "")
    if not target.startswith(TARGET):
        raise SqsError("InvalidAction", "The request must name an AmazonSQS action in X-Amz-Target.")
    return target.removeprefix(TARGET)


def read(call: Call) -> dict[str, Any]:
    """The request's object. Raises :class:`SqsError`."""
    try:
        request = json.loads(call.body)
    except (ValueError, RecursionError):
        raise SqsError("SerializationException", "The request is not valid JSON.") from None
    if not isinstance(request, dict):
        raise SqsError("SerializationException", "The request is not a JSON object.")
    return request


def text(source: dict[str, Any], name: str) -> str:
    """A text member, empty when absent. Raises :class:`SqsError` for any other type."""
    value = source.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SqsError("SerializationException", f"{name} is not a string.")
    return value


def read_send(source: dict[str, Any]) -> Send:
    """The message in a request or in a batch entry. Raises :class:`SqsError`."""
    given = source.get("MessageAttributes") or {}
    if not isinstance(given, dict):
        raise SqsError("SerializationException", "MessageAttributes is not an object.")
    attributes: Attributes = {}
    for name, value in given.items():
        if not isinstance(value, dict):
            raise SqsError("SerializationException", "A message attribute is not an object.")
        check_attribute_name(name)
        string = text(value, "StringValue") if "StringValue" in value else None
        binary = text(value, "BinaryValue") if "BinaryValue" in value else None
        attributes[name] = make_attribute(name, text(value, "DataType"), string, binary)
    return Send(text(source, "MessageBody"), attributes)


def read_batch(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The entries of ``SendMessageBatch`` by id. Raises :class:`SqsError` for what fails as a whole."""
    entries = request.get("Entries")
    if not entries:
        raise SqsError(f"{_SERVICE}EmptyBatchRequest", "There should be at least one entry in the request.")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SqsError("SerializationException", "Entries is not a list of objects.")
    if len(entries) > _MAX_ENTRIES:
        raise SqsError(
            f"{_SERVICE}TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {_MAX_ENTRIES}. You have sent {len(entries)}.",
        )
    by_id: dict[str, dict[str, Any]] = {}
    for entry in entries:
        entry_id = text(entry, "Id")
        if not _ENTRY_ID.fullmatch(entry_id):
            raise SqsError(
                f"{_SERVICE}InvalidBatchEntryId",
                "A batch entry id holds 1 to 80 alphanumeric characters, hyphens and underscores.",
            )
        if entry_id in by_id:
            raise SqsError(f"{_SERVICE}BatchEntryIdsNotDistinct", f"Id {entry_id} repeated.")
        by_id[entry_id] = entry
    return by_id


def too_long(size: int, limit: int) -> SqsError:
    """The refusal of a batch whose messages together are larger than one message may be."""
    return SqsError(
        f"{_SERVICE}BatchRequestTooLong",
        f"Batch requests cannot be longer than {limit} bytes. You have sent {size} bytes.",
    )


def sent(send: Send, message_id: str) -> dict[str, str]:
    """What is answered for one accepted message."""
    result = {"MessageId": message_id, "MD5OfMessageBody": body_digest(send.body)}
    if send.attributes:
        result["MD5OfMessageAttributes"] = attributes_digest(send.attributes)
    return result


def answer(result: dict[str, Any], request_id: str) -> Answer:
    """A good answer."""
    return Answer(200, json.dumps(result).encode(), CONTENT_TYPE, {"x-amzn-RequestId": request_id})


def error_answer(error: SqsError, request_id: str) -> Answer:
    """An error, with the form protocol's word for it in ``x-amzn-query-error``."""
    if (shape := _MODELLED.get(error.code)) is not None:
        kind = f"com.amazonaws.sqs#{shape}"
    else:
        kind = f"com.amazon.coral.service#{_FRAMEWORK.get(error.code, f'{error.code}Exception')}"
    body = json.dumps({"__type": kind, "message": error.message}).encode()
    headers = {"x-amzn-RequestId": request_id, "x-amzn-query-error": f"{error.code};{error.fault}"}
    return Answer(error.status, body, CONTENT_TYPE, headers)
