"""Accounts: a key, a secret, and the queue that belongs to them.

Contract: panoply section 1.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn.sandbox.credentials import Inventor
    from asyncconn.sandbox.panoply.sqs import Attributes

__all__ = ["Account", "invent_account", "parse_account"]


@dataclass(frozen=True, slots=True)
class Account:
    """One key/secret pair. ``queue_url`` is for clients; the queue itself is known by ``queue_path``."""

    name: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    queue_path: str = field(repr=False)  # it holds a part of the secret
    queue_url: str = field(default="", repr=False)

    @property
    def queue_name(self) -> str:
        """``sdk-ACCOUNT-RAND2``."""
        return self.queue_path.rpartition("/")[2]

    def objection(self, attributes: Attributes) -> str | None:
        """Why the consumer behind the queue will not load such a message; None if it will."""
        for name, right in (("key", self.api_key), ("secret", self.api_secret)):
            given = attributes.get(name)
            if given is None:
                return f"no {name}"
            if given.value != right:
                return f"wrong {name}"
        return None


def invent_account(inventor: Inventor, name: str | None) -> Account:
    """A made-up account; ``name`` is the text before the slash of the key."""
    name = f"demo-{inventor.base36(6)}" if name is None else name
    parts = (inventor.base36(16), inventor.uuid(), inventor.digits(12), "us-east-1")
    key = f"{name}/{inventor.base36(16)}"
    return parse_account(key, base64.b64encode("/".join(parts).encode()).decode())


def parse_account(api_key: str, api_secret: str) -> Account:
    """The account that a pair stands for; :class:`~asyncconn.errors.ConfigError` for a malformed secret."""
    try:
        parts = base64.b64decode(api_secret).decode().split("/")
    except (binascii.Error, ValueError):
        raise ConfigError("api_secret is not base64 of RAND2/UUID/AWSACCOUNT/REGION") from None
    if len(parts) < 4 or not all(parts[:4]):
        raise ConfigError("api_secret does not decode to RAND2/UUID/AWSACCOUNT/REGION")
    name = api_key.split("/")[0]
    return Account(name, api_key, api_secret, f"/{parts[2]}/sdk-{name}-{parts[0]}")
