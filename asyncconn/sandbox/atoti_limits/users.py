"""Who may come in, and what they may do: users, their roles, and tokens signed with a shared key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.atoti_limits.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["JWT_KEY", "User", "authenticate", "basic", "default_users", "require", "sign"]

JWT_KEY = "the-key-pair-that-both-sandboxes-share"  # made up; the real servers share an RSA key pair

_GENERAL = frozenset({"ROLE_USER", "ROLE_USERS", "ROLE_MANAGERS", "ROLE_ADMIN", "ROLE_LIMITS"})
_EDIT = frozenset({"ROLE_ADMIN", "ROLE_LIMITS"})
_DECIDE = frozenset({"ROLE_LIMITS", "ROLE_APPROVE_REJECT_LIMIT"})
_EVALUATE = frozenset({"ROLE_ADMIN", "ROLE_LIMITS", "ROLE_EVALUATE_STRUCTURE"})
_INCIDENTS = frozenset({"ROLE_LIMITS", "ROLE_PROCESS_INCIDENT"})
_READ = _EDIT | _DECIDE | _EVALUATE | _INCIDENTS | {"ROLE_READ_ONLY"}

_NEEDED: dict[str, frozenset[str]] = {
    **dict.fromkeys(("structures.save", "structures.create", "structures.update", "structures.delete"), _EDIT),
    **dict.fromkeys(("limits.save", "limits.delete", "upload.structures", "upload.limits"), _EDIT),
    **dict.fromkeys(("v1.create", "v1.upload", "evaluate.roll_date"), _EDIT),
    **dict.fromkeys(("workflow.approve", "workflow.reject"), _DECIDE),
    "workflow.expire": _EDIT | _DECIDE,
    **dict.fromkeys(("evaluate.limits", "evaluate.structures", "evaluate.all"), _EVALUATE),
    "incidents.act": _INCIDENTS,
    **dict.fromkeys(("connections.open", "connections.close"), frozenset({"ROLE_ACTIVITI_USER"})),
}


@dataclass(frozen=True, slots=True)
class User:
    """A user of both servers; the password is not in the repr.

    >>> User("ann", "made-up", frozenset({"ROLE_USER", "ROLE_READ_ONLY"})).name
    'ann'
    """

    name: str
    password: str = field(repr=False)
    roles: frozenset[str] = frozenset()


def default_users() -> dict[str, User]:
    """``admin``, ``user1``, ``manager1`` and ``readonly``; each one's password is the name."""
    base = {"ROLE_ACTIVITI_USER", "ROLE_LIMITS", "ROLE_USER"}
    admin = base | {"ROLE_ACTIVITI_ADMIN", "ROLE_ADMIN", "ROLE_AUTO_APPROVE_LIMIT", "ROLE_MANAGERS", "ROLE_USERS"}
    roles = {
        "admin": admin,
        "user1": base,
        "manager1": base | {"ROLE_MANAGERS"},
        "readonly": {"ROLE_USER", "ROLE_READ_ONLY"},
    }
    return {name: User(name, name, frozenset(held)) for name, held in roles.items()}


def require(user: User, action: str) -> None:
    """Raise 403 unless ``user`` has a general role and one of those that ``action`` needs.

    ``action`` is a name of the path table; what is not listed is reading.
    """
    needed = _NEEDED.get(action, _READ)
    if not user.roles & _GENERAL or not user.roles & needed:
        raise Problem(403, f"User {user.name} has none of the roles {', '.join(sorted(needed))}")


def authenticate(
    headers: Mapping[str, str],
    users: Mapping[str, User],
    *,
    jwt_key: str,
    bearer_tokens: Mapping[str, str],
    now: datetime,
) -> User:
    """The user of ``Authorization: Basic``, ``Jwt`` (signed by us) or ``Bearer`` (listed). Raises 401 otherwise."""
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    name: str | None = None
    match scheme.lower():
        case "basic":
            name = _basic_user(value.strip(), users)
        case "jwt":
            name = _subject(value.strip(), jwt_key, now)
        case "bearer":
            name = bearer_tokens.get(value.strip())
    user = users.get(name) if name is not None else None
    if user is None:
        raise Problem(401, headers={"WWW-Authenticate": 'Basic realm="atoti"'})
    return user


def basic(user: User) -> str:
    """The header value of this user."""
    return "Basic " + base64.b64encode(f"{user.name}:{user.password}".encode()).decode()


def _basic_user(value: str, users: Mapping[str, User]) -> str | None:
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    user = users.get(name)
    right = colon and user is not None and hmac.compare_digest(user.password.encode(), password.encode())
    return name if right else None


# -- tokens ------------------------------------------------------------------------------------------------------------


def sign(subject: str, key: str, expires: datetime) -> str:
    """A token for ``subject``, signed with HS256 (the real servers use RSA)."""
    header, claims = {"alg": "HS256", "typ": "JWT"}, {"sub": subject, "exp": int(expires.timestamp())}
    signed = f"{_encode(json.dumps(header).encode())}.{_encode(json.dumps(claims).encode())}"
    return f"{signed}.{_encode(_mac(signed, key))}"


def _subject(token: str, key: str, now: datetime) -> str | None:
    """Whose token it is, if the signature is ours and it has not expired."""
    signed, _, signature = token.rpartition(".")
    try:
        header, claims = (_object(part) for part in signed.split("."))
        genuine = hmac.compare_digest(_decode(signature), _mac(signed, key))
    except ValueError:
        return None
    subject, expires = claims.get("sub"), claims.get("exp")
    in_time = isinstance(expires, int | float) and expires > now.timestamp()
    return subject if genuine and header.get("alg") == "HS256" and in_time and isinstance(subject, str) else None


def _object(part: str) -> dict[str, Any]:
    value = json.loads(_decode(part))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _mac(text: str, key: str) -> bytes:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not base64") from error
