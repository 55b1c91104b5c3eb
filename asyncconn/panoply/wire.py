"""Panoply on the wire: pure functions between credentials, records and bytes.

Contract: panoply sections 1 (key, secret, queue), 2 (the request and its answers), 3 (records as bytes).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import orjson

from asyncconn.core.secret import Concealed, Secret, secret
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import AsyncConnError, ConfigError, ProtocolError, RateLimited, api_error_class
from asyncconn.http.redact import Redactor, UnshownText
from asyncconn.http.response import Response, status_error
from asyncconn.http.sqs import THROTTLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asyncconn.http.rules import RateHint

__all__ = [
    "CONTENT_TYPE",
    "DEFAULT_CLIENT_NAME",
    "DEFAULT_MAX_MESSAGE_BYTES",
    "RECORD_OVERHEAD",
    "Credentials",
    "SentMessage",
    "SqsRules",
    "attributes_size",
    "form_message",
    "form_tail",
    "message_attributes",
    "message_text",
    "parse_credentials",
    "sent_message",
    "verified",
]

CONTENT_TYPE = "application/x-www-form-urlencoded"
#: What the queue takes, counted on the decoded message with its attributes; AWS's older and still safe limit.
DEFAULT_MAX_MESSAGE_BYTES = 262_144
#: The consumer knows the original's name; others are accepted (contract section 2).
DEFAULT_CLIENT_NAME = "panoply-python-sdk-3.2.0"

_END = b"\n\n"  # a record ends with its own line feed and one of the sender's
RECORD_OVERHEAD = len(_END)

_URL_SAFE = re.compile(r"[A-Za-z0-9._~-]+")
_MESSAGE_ID = re.compile(rb'(?:<MessageId>|"MessageId"\s*:\s*")([^<"]{1,200})')
_BODY_DIGEST = re.compile(rb'(?:<MD5OfMessageBody>|"MD5OfMessageBody"\s*:\s*")([0-9a-fA-F]{32})')
_XML_ERROR = {name: re.compile(rf"<{name}>([^<]*)</{name}>") for name in ("Code", "Message", "RequestId")}


@dataclass(frozen=True, slots=True)
class Credentials(Unpicklable):
    """A key and secret, and the queue they lead to.

    ``queue_path`` begins with a slash and holds a part of the secret.
    """

    api_key: Secret
    api_secret: Secret
    account: str
    region: str
    endpoint_url: str
    queue_path: str = field(repr=False)
    redactor: Redactor


def parse_credentials(api_key: str | Concealed, api_secret: str | Concealed) -> Credentials:
    """Take key and secret apart. Raises ``ConfigError`` that says which of them is wrong, and how.

    The key is ``ACCOUNT/RAND1``; the secret is Base64 of ``RAND2/UUID/AWSACCOUNT/REGION``; the queue is
    ``https://sqs.REGION.amazonaws.com/AWSACCOUNT/sdk-ACCOUNT-RAND2``. Contract: panoply section 1.
    """
    # A traceback may show the names of this frame with their values: those with a secret are masked.
    api_key, api_secret = secret(api_key), secret(api_secret)
    key, given = _text(api_key, "key"), _text(api_secret, "secret")
    account = key.partition("/")[0]
    if not _URL_SAFE.fullmatch(account):
        raise ConfigError("the Panoply key does not begin with an account name: it should look like ACCOUNT/RANDOM")
    try:
        decoded = UnshownText(base64.b64decode(given, validate=True).decode("ascii"))
    except (binascii.Error, ValueError):
        raise ConfigError("the Panoply secret does not decode: it should be Base64, as the platform shows it") from None
    parts = [*map(UnshownText, decoded.split("/"))]
    if len(parts) < 4:
        shape = "RANDOM/UUID/AWSACCOUNT/REGION"
        raise ConfigError(f"the Panoply secret decodes to {len(parts)} parts instead of 4 ({shape}): is it cut off?")
    rand2, _, aws_account, region = parts[:4]
    for name, part in (("random part", rand2), ("AWS account", aws_account), ("region", region)):
        if not _URL_SAFE.fullmatch(part):
            raise ConfigError(f"the Panoply secret decodes, but its {name} is empty or cannot stand in a URL")
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return Credentials(
        api_key=api_key,
        api_secret=api_secret,
        account=account,
        region=region,
        endpoint_url=f"https://sqs.{region}.{domain}",
        queue_path=UnshownText(f"/{aws_account}/sdk-{account}-{rand2}"),
        redactor=Redactor([Secret(value) for value in (key, given, decoded, rand2, parts[1])]),
    )


def _text(value: Secret, name: str) -> str:
    if not isinstance(given := value.get_secret_value(), str):
        raise ConfigError(f"the Panoply {name} must be text, not {type(given).__name__}")
    text = UnshownText(given)
    del given
    if not text:
        raise ConfigError(f"the Panoply {name} is empty")
    if not text.isprintable() or not text.isascii() or " " in text:
        raise ConfigError(
            f"the Panoply {name} contains a space or a character that no {name} has: was it pasted whole?"
        )
    return text


# -- the message -------------------------------------------------------------------------------------------------------


def message_attributes(credentials: Credentials, client_name: str) -> dict[str, str]:
    """The three attributes of every message, in order. Contract: panoply section 2.

    Raises ``ConfigError`` for a ``client_name`` that SQS would refuse, and with it every message.
    """
    if not client_name or not client_name.isprintable():
        raise ConfigError("the client_name must be printable text of at least one character")
    return {
        "key": UnshownText(credentials.api_key.get_secret_value()),
        "secret": UnshownText(credentials.api_secret.get_secret_value()),
        "sdk": client_name,
    }


def attributes_size(attributes: Mapping[str, str]) -> int:
    """Bytes that attributes take of the queue's limit: name, type and value of each. Contract: panoply section 4."""
    return sum(len(name) + len("String") + len(value.encode()) for name, value in attributes.items())


def message_text(items: Sequence[bytes]) -> bytes:
    """Encoded records as the text of one message: JSON documents, each followed by a blank line."""
    return _END.join(items) + _END


def form_tail(attributes: Mapping[str, str]) -> bytes:
    """What follows the message in a form: its attributes, percent-encoded."""
    pairs = []
    for number, (name, value) in enumerate(attributes.items(), 1):
        prefix = f"MessageAttribute.{number}"
        pairs += [f"{prefix}.Name={name}", f"{prefix}.Value.DataType=String"]
        pairs.append(f"{prefix}.Value.StringValue={quote_plus(value, safe='/=')}")
    return ("&" + "&".join(pairs)).encode("ascii")


def form_message(items: Sequence[bytes], tail: bytes) -> tuple[bytes, str]:
    """The form that sends ``items`` as one message, and the MD5 (hex) of the message as the queue will see it.

    Escaped in pieces of some kilobytes: large temporaries cost more in page faults than the escaping itself.
    """
    pieces = [b"Action=SendMessage&MessageBody="]
    digest = hashlib.md5(usedforsecurity=False)
    for start in range(0, len(items), 128):
        piece = _END.join(items[start : start + 128]) + _END
        digest.update(piece)
        pieces.append(_form_escaped(piece))
    pieces.append(tail)
    return b"".join(pieces), digest.hexdigest()


def _form_escaped(ascii_json: bytes) -> bytes:
    """Records are ASCII, so a form decoder needs only these; the raw line feeds are the original's too."""
    return (
        ascii_json.replace(b"%", b"%25")
        .replace(b"&", b"%26")
        .replace(b"+", b"%2B")
        .replace(b";", b"%3B")
        .replace(b" ", b"+")
    )


# -- the answer --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SentMessage:
    """The queue's answer: its ``message_id``, and whether the digest of the body was there and right (``verified``)."""

    message_id: str
    verified: bool


def sent_message(answer: bytes, expected_md5: str) -> SentMessage:
    """Read a 200 answer. Raises ``ProtocolError`` when it is not SQS's, or its digest is of another body."""
    found = _MESSAGE_ID.search(answer)
    if found is None:
        raise ProtocolError("panoply: a 200 that is not an answer of SQS: no MessageId in it")
    digest = _BODY_DIGEST.search(answer)
    return verified(found.group(1).decode("utf-8", "replace"), digest and digest.group(1).decode(), expected_md5)


def verified(message_id: str, seen_md5: str | None, expected_md5: str) -> SentMessage:
    """Compare the queue's digest, where it gave one. Raises ``ProtocolError`` when it is of another message."""
    if seen_md5 is not None and seen_md5.lower() != expected_md5:
        raise ProtocolError("panoply: the queue's digest of the message is not that of the message that was sent")
    return SentMessage(message_id, seen_md5 is not None)


class SqsRules:
    """What SQS's answers mean: errors come as XML or JSON, and throttling under several names and statuses."""

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """The error of an answer, or None."""
        if 200 <= response.status < 400:
            return status_error(response, redactor)
        answer = response.answer(redactor)
        code, message, request_id = _xml_error(answer.body) or _json_error(answer.body) or ("", "", None)
        if not code:
            return status_error(response, redactor)
        kind = RateLimited if code.rpartition(".")[2] in THROTTLES else api_error_class(response.status)
        return kind(
            message,
            replace(answer, code=code, request_id=request_id or answer.request_id),
        )

    def hints(self, response: Response) -> Iterable[RateHint]:
        """SQS says nothing of its limits."""
        return ()


def _xml_error(text: str) -> tuple[str, str, str | None] | None:
    found = {name: match.group(1) for name, pattern in _XML_ERROR.items() if (match := pattern.search(text))}
    return (found["Code"], found.get("Message", ""), found.get("RequestId")) if "Code" in found else None


def _json_error(text: str) -> tuple[str, str, str | None] | None:
    try:
        parsed: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("__type"), str):
        return None
    message = parsed.get("message") or parsed.get("Message") or ""
    return parsed["__type"].rpartition("#")[2], str(message)[:300], None
