"""Who asks: the keys in their headers, and in JWT mode a token for each service. Contract: tcup sections 1.3, 1.4."""

from __future__ import annotations

import base64
import binascii
import logging
import uuid
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.core.clock import SystemClock
from asyncconn.core.extras import extra, needed
from asyncconn.core.secret import Secret
from asyncconn.core.threads import in_thread
from asyncconn.errors import ConfigError
from asyncconn.http.auth import Auth
from asyncconn.http.response import http_date

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import aiohttp

    from asyncconn.core.clock import Clock
    from asyncconn.http.response import Response

__all__ = ["Algorithm", "JwtAuth", "KeyAuth", "Skew", "SymmetricKey"]

logger = logging.getLogger("asyncconn.tcup")

Algorithm = Literal["HS256", "HS384", "HS512"]

_LIFE = 300  # seconds
_LEAST = 30  # seconds that a token must have left
_STRONG = 32  # bytes of a key
_SLIGHT = 2.0  # seconds: an answer's Date has none smaller than one, and takes its time


class KeyAuth(Auth):
    """The keys of one service in their headers: the tenant's ``x-api-key``, and those beside it.

    All services of a client are one account, that of the API key. ``hidden`` are keys of its other services, which an
    answer of this one may quote.
    """

    def __init__(
        self, api_key: Secret, others: Mapping[str, Secret] | None = None, *, hidden: Sequence[Secret] = ()
    ) -> None:
        self._api_key = api_key
        self._keys = {"x-api-key": api_key, **(others or {})}
        self._hidden = hidden
        for name, key in self._keys.items():
            if not _is_key(key):
                raise ConfigError(f"the key for {name} is a text of ASCII that is not empty and holds no space")

    async def headers(self) -> Mapping[str, str]:
        """Each key in its header."""
        return {name: key.get_secret_value() for name, key in self._keys.items()}

    def secrets(self) -> list[Secret]:
        """All keys."""
        return [*self._keys.values(), *self._hidden]

    def identity(self) -> str:
        """The API key: it is the tenant."""
        return self._api_key.get_secret_value()


@dataclass(frozen=True, slots=True)
class SymmetricKey:
    """What tokens are signed with: the ``secret``, how it is written (``utf8`` or ``base64``), and the algorithm.

    Raises ``ConfigError`` for what cannot be, and where PyJWT is not installed.
    """

    secret: Secret
    encoding: str = "utf8"
    algorithm: Algorithm = "HS256"

    def __post_init__(self) -> None:
        if self.algorithm not in ("HS256", "HS384", "HS512"):
            raise ConfigError(f"tokens are signed with HS256, HS384 or HS512, not {self.algorithm!r}")
        needed("jwt")
        if len(self.octets()) < _STRONG:
            logger.warning("TCUP: the symmetric key has less than %d bytes: it can be guessed", _STRONG)

    def octets(self) -> bytes:
        """The bytes of the key."""
        text: Any = self.secret.get_secret_value()
        if not isinstance(text, str) or not text:
            raise ConfigError("auth_mode jwt needs a symmetric_key")
        if self.encoding == "utf8":
            return text.encode()
        if self.encoding != "base64":
            raise ConfigError(f"symmetric_key_encoding is utf8 or base64, not {self.encoding!r}")
        try:
            found = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            found = b""
        if len(found) < _STRONG:
            raise ConfigError(f"symmetric_key_encoding base64 takes standard Base64 of at least {_STRONG} bytes")
        return found


class JwtAuth(KeyAuth):
    """The keys, and beside them ``Authorization: Bearer`` with a token for one ``audience``, a service's base path.

    A token lives five minutes, is used until 30 seconds are left, and is made anew once after an HTTP 401. The server's
    clock counts: :meth:`hear` learns from the ``Date`` of its answers how far ours is off.
    """

    def __init__(
        self,
        api_key: Secret,
        others: Mapping[str, Secret] | None = None,
        *,
        hidden: Sequence[Secret] = (),
        key: SymmetricKey,
        audience: str,
        skew: Skew,
    ) -> None:
        super().__init__(api_key, others, hidden=hidden)
        self._key = key
        self._audience = audience
        self._skew = skew
        self._clock: Clock = SystemClock()
        self._token = Secret("")
        self._until = 0.0

    def travel(self, session: Callable[[], aiohttp.ClientSession], clock: Clock) -> None:
        """A token's time is the transport's."""
        self._clock = clock
        self._skew.clock = clock

    async def headers(self) -> Mapping[str, str]:
        """Each key in its header, and a token that lives long enough."""
        if self._stale:
            jwt = await in_thread(extra, "jwt")
            if self._stale:  # or another call has made one meanwhile
                self._mint(jwt)
        return {**await super().headers(), "Authorization": self._bearer()}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Another token after an HTTP 401, unless somebody else just made one; not for a 401 inside of a 200."""
        if self._bearer() != refused.get("Authorization"):
            return True
        if not self._skew.refused:
            return False
        jwt = await in_thread(extra, "jwt")
        if self._bearer() == refused.get("Authorization"):
            self._mint(jwt)
        return True

    @property
    def _stale(self) -> bool:
        return not self._token or self._now() > self._until - _LEAST

    def _now(self) -> float:
        return self._clock.utcnow().timestamp() + self._skew.seconds

    def _bearer(self) -> str:
        return f"Bearer {self._token.get_secret_value()}"

    def _mint(self, jwt: Any) -> None:
        now = int(self._now())
        claims = {
            "sub": self._api_key.get_secret_value(),
            "iat": now,
            "exp": now + _LIFE,
            "jti": str(uuid.uuid4()),
            "aud": self._audience,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a short key has been told, once
            self._token = Secret(jwt.encode(claims, self._key.octets(), algorithm=self._key.algorithm))
        self._until = now + _LIFE
        self._skew.refused = False

    def secrets(self) -> list[Secret]:
        """All keys, the one that signs, and the token."""
        return [*super().secrets(), self._key.secret, *([self._token] if self._token else [])]


class Skew:
    """How many ``seconds`` the server's clock is ahead of ours, and whether its last answer was an HTTP 401."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.seconds = 0.0
        self.refused = False

    def hear(self, response: Response) -> None:
        """Learn from an answer."""
        self.refused = self.refused or response.status == 401
        date = http_date(response.headers.get("Date", ""))
        if date is not None:
            ahead = (date - self.clock.utcnow()).total_seconds()
            self.seconds = ahead if abs(ahead) > _SLIGHT else 0.0


def _is_key(key: Secret) -> bool:
    text: Any = key.get_secret_value()
    return isinstance(text, str) and bool(text) and text.isascii() and text.isprintable() and " " not in text
