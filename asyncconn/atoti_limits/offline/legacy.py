"""The four properties of the first generation's plugin, which connects by itself.

Contract: limits sections 2 and 12.4.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncconn.atoti_limits.offline.compatibility import rest_version
from asyncconn.atoti_limits.offline.urls import check_url
from asyncconn.core.secret import Concealed, Secret, secret
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from asyncconn.atoti_limits.versions import Version

__all__ = ["Credentials", "JavaRelative", "LegacyLimitsProperties", "java_relatives"]

#: The upstream default of all three credentials, ``admin:admin``; public.
DEFAULT_AUTH = "YWRtaW46YWRtaW4="

_KEYS = {
    "rest_url": "limits.rest.url",
    "auth": "limits.auth",
    "ap_auth": "ap.auth",
    "content_server_auth": "content.server.auth",
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password as the properties hold them, in Base64. Only the user is ever shown."""

    user: str
    encoded: Secret

    @classmethod
    def read(cls, value: str | Concealed | tuple[str, str | Concealed], what: str) -> Self:
        """From Base64 of ``user:password``, or from the pair. Raises ``ConfigError`` that quotes nothing of it."""
        if isinstance(value, tuple):
            user, password = value
            plain = secret(password).get_secret_value()
            if ":" in user:
                raise ConfigError(f"{what}: a user name cannot contain a colon")
            pair = f"{user}:{plain}"
            text = base64.b64encode(pair.encode()).decode()
        else:
            text = secret(value).get_secret_value()
            try:
                pair = base64.b64decode(text, validate=True).decode()
            except (binascii.Error, ValueError, TypeError):
                # "from None": their errors hold the text.
                raise ConfigError(f"{what} must be Base64 of user:password, in UTF-8") from None
        user, colon, _ = pair.partition(":")
        if not user or not colon or not pair.isprintable():
            raise ConfigError(f"{what} must be Base64 of user:password, both printable")
        return cls(user, Secret(text))


@dataclass(frozen=True, slots=True, init=False)
class LegacyLimitsProperties:
    """What the plugin of the first generation is configured with. It sends its connection request by itself.

    ``rest_url`` is the base of the Limits REST API, with a slash at its end; ``auth`` is used towards Limits,
    ``ap_auth`` by Limits towards the session, ``content_server_auth`` for the session's content server: each Base64 of
    ``user:password``, or the pair. What is not given has the plugin's default for the Limits ``version``.

        >>> LegacyLimitsProperties(version="1.1.0").render()["limits.rest.url"]
        'http://localhost:3090/limits/rest/v1/'

    Raises ``ConfigError``, which quotes no credential. Contract: limits section 2.
    """

    rest_url: str
    auth: Credentials
    ap_auth: Credentials
    content_server_auth: Credentials

    def __init__(
        self,
        rest_url: str | None = None,
        auth: str | Concealed | tuple[str, str | Concealed] = DEFAULT_AUTH,
        ap_auth: str | Concealed | tuple[str, str | Concealed] = DEFAULT_AUTH,
        content_server_auth: str | Concealed | tuple[str, str | Concealed] = DEFAULT_AUTH,
        *,
        version: str | Version = "2.0.0",
    ) -> None:
        if rest_url is None:
            rest_url = f"http://localhost:3090/limits/rest/{rest_version(version)}/"
        check_url(rest_url, "limits.rest.url")
        if not rest_url.endswith("/"):
            raise ConfigError(f"limits.rest.url needs a slash at its end: {rest_url!r}")
        object.__setattr__(self, "rest_url", rest_url)
        object.__setattr__(self, "auth", Credentials.read(auth, "limits.auth"))
        object.__setattr__(self, "ap_auth", Credentials.read(ap_auth, "ap.auth"))
        object.__setattr__(self, "content_server_auth", Credentials.read(content_server_auth, "content.server.auth"))

    @classmethod
    def read(cls, properties: Mapping[str, str], *, version: str | Version = "2.0.0") -> Self:
        """From properties by their names; others are left alone, see :func:`java_relatives` for some of them."""
        given = {field: properties[key] for field, key in _KEYS.items() if key in properties}
        return cls(**given, version=version)

    @property
    def user(self) -> str:
        """Who the session is towards Limits: for display."""
        return self.auth.user

    def render(self) -> dict[str, str]:
        """The four properties, to be handed to the session. They contain the credentials: do not log them."""
        return {
            _KEYS["rest_url"]: self.rest_url,
            _KEYS["auth"]: self.auth.encoded.get_secret_value(),
            _KEYS["ap_auth"]: self.ap_auth.encoded.get_secret_value(),
            _KEYS["content_server_auth"]: self.content_server_auth.encoded.get_secret_value(),
        }


@dataclass(frozen=True, slots=True)
class JavaRelative:
    """A property of a Java server's configuration: what it is for, and the plugin's property for the same, if any."""

    key: str
    meaning: str
    since: str
    counterpart: str | None = None


_RELATIVES = (
    JavaRelative("ap.url.map", "URL of each connected server", "1.1"),
    JavaRelative("ap.asOfDate.dim.map", "as-of-date level of each connected server", "1.1"),
    JavaRelative("ap.auth.map", "credentials for each connected server", "1.1", "ap.auth"),
    JavaRelative("limits.connected-server.url.map", "URL of each connected server", "3.0"),
    JavaRelative("limits.connected-server.as-of-date.map", "as-of-date level of each connected server", "3.0"),
    JavaRelative("limits.connected-server.auth.map", "credentials for each connected server", "3.0", "ap.auth"),
    JavaRelative("limits.rest-url", "base of the Limits REST API", "3.0", "limits.rest.url"),
)


def java_relatives(keys: Iterable[str]) -> dict[str, JavaRelative]:
    """Which of the property names are those of a Java server (Limits 1.1 to 3.x), also with something after them.

    Such a configuration belongs to a Java server and not to a session of Atoti Python. Values are not looked at: some
    are credentials.

        >>> java_relatives(["ap.auth.map.atoti", "server.port"])["ap.auth.map.atoti"].counterpart
        'ap.auth'
    """
    return {
        key: relative
        for key in keys
        for relative in _RELATIVES
        if key == relative.key or key.startswith((f"{relative.key}.", f"{relative.key}["))
    }
