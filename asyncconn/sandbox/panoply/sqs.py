"""SQS: what a message is, which ones the service refuses, and the digests it answers. Pure functions.

Contract: panoply sections 2 (attributes, digests) and 4 (limits of the service).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Attribute",
    "Attributes",
    "Send",
    "SqsError",
    "attributes_digest",
    "body_digest",
    "check",
    "size_bytes",
]

MAX_ATTRIBUTES = 10
_MAX_NAME = 256
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = re.compile(r"(?!(?:aws|amazon)\.)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", re.IGNORECASE)
_TYPE = re.compile(r"(String|Number|Binary)(?:\.[A-Za-z0-9_.-]+)?")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class SqsError(Exception):
    """A refusal. ``code`` is the form (query) protocol's word; the JSON protocol's is derived from it."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    @property
    def fault(self) -> str:
        """Whose it is: ``Sender`` or ``Receiver``."""
        return "Sender" if self.status < 500 else "Receiver"


@dataclass(frozen=True, slots=True)
class Attribute:
    """A message attribute: text for String and Number, bytes for Binary. The value may be a credential."""

    data_type: str
    value: str | bytes = field(repr=False)

    @property
    def raw(self) -> bytes:
        """The value's bytes, as counted and digested."""
        return self.value if isinstance(self.value, bytes) else self.value.encode()


Attributes = dict[str, Attribute]


@dataclass(frozen=True, slots=True)
class Send:
    """A message somebody wants sent."""

    body: str = field(repr=False)
    attributes: Attributes = field(default_factory=dict, repr=False)


def make_attribute(name: str, data_type: str, text: str | None, binary: str | None) -> Attribute:
    """From the parts of either protocol; ``binary`` is base64. Raises :class:`SqsError`."""
    if not data_type:
        raise _invalid(f"The message attribute '{name}' must contain non-empty message attribute type.")
    if not (known := _TYPE.fullmatch(data_type)) or len(data_type) > _MAX_NAME:
        raise _invalid(
            f"The message attribute '{name}' has an invalid message attribute type, "
            "the set of supported type prefixes is Binary, Number, and String."
        )
    given = binary if known[1] == "Binary" else text
    if not given:
        raise _invalid(
            f"The message attribute '{name}' must contain non-empty message attribute value "
            f"for message attribute type '{known[1]}'."
        )
    if text and binary:
        raise _invalid(f"Message attribute '{name}' has multiple values.")
    if known[1] == "Binary":
        try:
            return Attribute(data_type, base64.b64decode(given, validate=True))
        except (binascii.Error, ValueError):
            raise _invalid(f"The value of the binary message attribute '{name}' is not base64.") from None
    if _FORBIDDEN.search(given):
        raise _invalid(f"The value of the message attribute '{name}' contains invalid characters.")
    if known[1] == "Number" and not _NUMBER.fullmatch(given):
        raise _invalid(f"Can't cast the value of message (user) attribute '{name}' to a number.")
    return Attribute(data_type, given)


def check_attribute_name(name: str) -> None:
    """Raises :class:`SqsError` for a name that is empty, too long, or not of letters, digits, ``_-.``."""
    if not name:
        raise _invalid("The request must contain non-empty message attribute names.")
    if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
        raise _invalid(
            "Message (user) attribute names can contain alphanumeric characters, '_', '-' and '.', not start "
            "with 'AWS.' or 'Amazon.', not start or end with a period nor hold two in a row, and be at most "
            "256 characters long."
        )


def check(send: Send, max_bytes: int) -> None:
    """Raises :class:`SqsError` when the service would refuse the message."""
    if not send.body:
        raise SqsError("MissingParameter", "The request must contain the parameter MessageBody.")
    if _FORBIDDEN.search(send.body):
        raise SqsError(
            "InvalidMessageContents",
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
            "#xE000 to #xFFFD | #x10000 to #x10FFFF.",
        )
    if len(send.attributes) > MAX_ATTRIBUTES:
        raise _invalid(f"Number of message attributes [{len(send.attributes)}] exceeds the allowed maximum [10].")
    if (size := size_bytes(send)) > max_bytes:
        raise _invalid(
            f"One or more parameters are invalid. Reason: Message must be shorter than {max_bytes} bytes. "
            f"It is {size} bytes long."
        )


def size_bytes(send: Send) -> int:
    """Decoded body in UTF-8, and each attribute's name, type and value."""
    return len(send.body.encode()) + sum(
        len(name.encode()) + len(attribute.data_type.encode()) + len(attribute.raw)
        for name, attribute in send.attributes.items()
    )


def body_digest(body: str) -> str:
    """``MD5OfMessageBody``, hexadecimal."""
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def attributes_digest(attributes: Mapping[str, Attribute]) -> str:
    """``MD5OfMessageAttributes``, hexadecimal.

    >>> attributes_digest({"attribName1": Attribute("String", "attribValue 1")})
    '19e27d4e946b072f3f58da80d94fd778'
    """
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        for part in (name.encode(), attribute.data_type.encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        transport = b"\x02" if isinstance(attribute.value, bytes) else b"\x01"
        digest.update(transport + struct.pack(">I", len(attribute.raw)) + attribute.raw)
    return digest.hexdigest()


def _invalid(message: str) -> SqsError:
    return SqsError("InvalidParameterValue", message)
