"""Who may call: tenants by their API key, the users of their data lake, and the tokens of JWT mode.

Contract: tcup sections 1.1, 1.4, 5.1, 6.1 and 13.28.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from asyncconn.sandbox.credentials import Inventor

__all__ = ["DlsUser", "Tenant", "check_token", "invent", "secret_bytes"]

LEEWAY = 60.0  # seconds
_DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_ADMIN = "dlsadmin"
_ORGANISATION = "acme/ops"


@dataclass(slots=True)
class DlsUser:
    """A user of the data lake, known by its key within the tenant."""

    name: str
    key: str = field(repr=False)
    admin: bool = False
    organisation: str = _ORGANISATION


@dataclass(slots=True)
class Tenant:
    """A tenant: its keys, the name of its TCUP user, and its data lake's users by name."""

    user: str
    api_key: str = field(repr=False)
    app_key: str = field(repr=False)
    routing_key: str = field(repr=False)
    symmetric_key: str = field(repr=False)
    mqtt_password: str = field(repr=False)
    dls_users: dict[str, DlsUser] = field(default_factory=dict)

    @property
    def vhost(self) -> str:
        """The virtual host of its messages."""
        return f"{self.user}@tcup"

    @property
    def mqtt_username(self) -> str:
        """Virtual host and user, as MQTT takes them."""
        return f"{self.vhost}:{self.user}"

    def secrets(self) -> list[str]:
        """Whatever lets somebody in."""
        keys = [self.api_key, self.app_key, self.routing_key, self.symmetric_key, self.mqtt_password]
        return keys + [user.key for user in self.dls_users.values()]

    def alone(self) -> None:
        """Leave the data lake to its admin, whose key there is the API key, as the public tools have it."""
        self.dls_users.clear()
        self.dls_users[_ADMIN] = DlsUser(_ADMIN, self.api_key, admin=True)

    def dls_user(self, key: str) -> DlsUser | None:
        """Whose data lake key it is."""
        return next((user for user in self.dls_users.values() if user.key == key), None)


def invent(user: str, inventor: Inventor) -> Tenant:
    """A tenant with made-up keys."""
    tenant = Tenant(
        user,
        api_key=hashlib.sha256(inventor.uuid().encode()).hexdigest(),
        app_key=inventor.uuid(),
        routing_key=inventor.uuid(),
        symmetric_key=inventor.base36(48),
        mqtt_password=inventor.base36(24),
    )
    tenant.alone()
    return tenant


# -- tokens ------------------------------------------------------------------------------------------------------------


def secret_bytes(symmetric_key: str, encoding: str) -> bytes:
    """What signs: the key's text, or what it says in base64 where that is long enough to be a key."""
    if encoding == "base64":
        try:
            decoded = base64.b64decode(symmetric_key, validate=True)
        except ValueError:
            return symmetric_key.encode()
        if len(decoded) >= 32:
            return decoded
    return symmetric_key.encode()


def check_token(header: str, tenant: Tenant, encoding: str, audience: str, now: datetime) -> None:
    """Look at ``Authorization``. Raises 401 in one of the four ways."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _wrong("token missing")
    signed, _, signature = token.strip().rpartition(".")
    try:
        head, claims = (_object(part) for part in signed.split("."))
        digest = _DIGESTS[head["alg"]]
        genuine = hmac.compare_digest(
            _decode(signature), hmac.digest(secret_bytes(tenant.symmetric_key, encoding), signed.encode(), digest)
        )
    except (ValueError, KeyError, TypeError):
        raise _wrong("bad signature") from None
    if not genuine or claims.get("sub") != tenant.api_key:
        raise _wrong("bad signature")
    if not _in_time(claims, now):
        raise _wrong("token expired")
    if claims.get("aud") != audience:
        raise _wrong("audience mismatch")


def _wrong(message: str) -> Refused:
    return Refused(401, message)


def _in_time(claims: dict[str, Any], now: datetime) -> bool:
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        return False
    seconds = now.astimezone(UTC).timestamp()
    return issued <= seconds + LEEWAY and expires > seconds - LEEWAY


def _object(part: str) -> dict[str, Any]:
    value = json.loads(_decode(part))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
