"""How a request shows who sends it."""

from __future__ import annotations

import asyncio
import base64
import inspect
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import SecretStr

from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ConfigError
from asyncconn.http.redact import secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["Auth", "BasicAuth", "HeaderKey", "NoAuth", "TokenAuth"]


class Auth(Protocol):
    """What the transport asks of a way to authenticate."""

    async def headers(self) -> Mapping[str, str]:
        """The headers for the next request."""
        ...

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """After a 401 to these headers: whether there is something newer to try once."""
        ...

    def secrets(self) -> list[SecretStr]:
        """What must never be printed."""
        ...

    def identity(self) -> str | None:
        """The same text for the same credential: connectors with one identity share one rate limit.

        None while it is not known: it is asked again after :meth:`headers`.
        """
        ...


class NoAuth(Unpicklable):
    """Nothing: for platforms that put the credential elsewhere, or ask for none."""

    async def headers(self) -> Mapping[str, str]:
        """No header."""
        return {}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Never."""
        return False

    def secrets(self) -> list[SecretStr]:
        """None."""
        return []

    def identity(self) -> str | None:
        """The secrets themselves; the hub keeps a digest of them only."""
        return "\n".join(value.get_secret_value() for value in self.secrets())


class HeaderKey(NoAuth):
    """A fixed key in a header, such as ``x-api-key: ...`` or a bare ``Authorization: ...``."""

    def __init__(self, header: str, key: str | SecretStr) -> None:
        key = secret(key)  # before anything is raised: what a traceback can show of this frame is masked
        self._header = header
        self._key = key
        if not _fits_header(self._key):
            raise ConfigError(f"the key for the header {header} must be printable ASCII without spaces around it")

    async def headers(self) -> Mapping[str, str]:
        """The key in its header."""
        return {self._header: self._key.get_secret_value()}

    def secrets(self) -> list[SecretStr]:
        """The key."""
        return [self._key]


class BasicAuth(NoAuth):
    """User and password, encoded as UTF-8."""

    def __init__(self, user: str, password: str | SecretStr) -> None:
        password = secret(password)
        if ":" in str(user):
            raise ConfigError("a user name for Basic authentication cannot contain a colon")
        self._password = password
        self._encoded = _pair(user, password)
        if not self._encoded:
            raise ConfigError("user and password for Basic authentication must be text that UTF-8 can hold")

    async def headers(self) -> Mapping[str, str]:
        """``Authorization: Basic ...``."""
        return {"Authorization": f"Basic {self._encoded.get_secret_value()}"}

    def secrets(self) -> list[SecretStr]:
        """The password, and the pair as it is sent."""
        return [self._password, self._encoded]


class TokenAuth(NoAuth):
    """A token after a scheme word (``Bearer``, ``Jwt``), fixed or from an async provider.

    A provider is asked before the first request and again after a 401, once for all requests that fail together.
    Rate limits belong to an account. One whose token comes from a provider is known by the first token that provider
    gave; where each client gets a token of its own for the same account, ``identity`` names the account.
    """

    def __init__(
        self,
        token: str | SecretStr | Callable[[], Awaitable[str]],
        *,
        scheme: str = "Bearer",
        identity: str | None = None,
    ) -> None:
        token = secret(token) if isinstance(token, str) else token
        known: object = identity
        if known is not None and (not isinstance(known, str) or not known):
            raise ConfigError("the identity of an account is a text that is not empty")
        self._account = identity
        self._first: SecretStr | None = None
        self._scheme = scheme
        self._provider = token if inspect.isroutine(token) or not isinstance(token, str | SecretStr) else None
        self._token = secret(token) if isinstance(token, str | SecretStr) else None
        if self._token is not None and not _fits_header(self._token):
            raise ConfigError("the token must be printable ASCII without spaces around it")
        self._asked = 0
        self._old: list[SecretStr] = []
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()

    async def headers(self) -> Mapping[str, str]:
        """``Authorization: <scheme> <token>``, asking the provider if there is no token yet."""
        if self._token is None:
            async with self._asking():
                if self._token is None:
                    await self._ask()
        return self._headers()

    def _asking(self) -> asyncio.Lock:
        """One asks, the others wait: on each loop by itself, so that none waits for a loop that has ended."""
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    def _headers(self) -> Mapping[str, str]:
        token = self._token.get_secret_value() if self._token else ""
        return {"Authorization": f"{self._scheme} {token}".strip()}

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Ask the provider for a newer token, unless somebody else just did; False if it has none."""
        if self._provider is None:
            return False
        asked = self._asked
        async with self._asking():
            if self._is(refused) and self._asked == asked:
                await self._ask()
        return not self._is(refused)

    def _is(self, refused: Mapping[str, str]) -> bool:
        return self._headers()["Authorization"] == refused.get("Authorization")

    async def _ask(self) -> None:
        if self._provider is not None:
            token = SecretStr(await self._provider())
            if not _fits_header(token):
                raise ConfigError(
                    f"the token provider must return a text of printable ASCII without spaces around it, "
                    f"not this {type(token.get_secret_value()).__name__}"
                )
            self._asked += 1
            self._first = self._first or _first_tokens.of(self._provider, token)
            if self._token is not None and self._token != token:
                self._old = [self._token]  # an answer to an older request may still quote it
            self._token = token

    def secrets(self) -> list[SecretStr]:
        """The token in use, and the one before it."""
        return [*self._old, *([self._token] if self._token else [])]

    def identity(self) -> str | None:
        """Who asks: as it was told, or the fixed token, or the first that the provider gave. None before that."""
        if self._account is not None:
            return f"account {self._account}"
        if self._provider is None:
            return super().identity()
        first = self._first or _first_tokens.of(self._provider)
        return None if first is None else first.get_secret_value()


class _FirstTokens:
    """The first token that each provider gave, in however many clients it stands."""

    def __init__(self) -> None:
        self._given: weakref.WeakKeyDictionary[Any, dict[Any, SecretStr]] = weakref.WeakKeyDictionary()

    def of(self, provider: Any, token: SecretStr | None = None) -> SecretStr | None:
        """The first of ``provider``, which is ``token`` if there was none before; None if there is neither."""
        owner, method = getattr(provider, "__self__", None), getattr(provider, "__func__", None)
        if method is None:  # each look at a bound method makes a new one, so it is known by its object
            owner = provider
        try:
            tokens = self._given.setdefault(owner, {})
            return tokens.get(method) if token is None else tokens.setdefault(method, token)
        except TypeError:  # cannot be hashed, or referred to weakly: each client has its own
            return token


_first_tokens = _FirstTokens()


def waits(auth: Auth) -> bool:
    """Whether its headers may be long in coming; False only where they surely are at hand."""
    kind = type(auth).headers
    if isinstance(auth, TokenAuth) and kind is TokenAuth.headers:
        return auth._token is None
    return kind not in (NoAuth.headers, HeaderKey.headers, BasicAuth.headers)


def _fits_header(value: SecretStr) -> bool:
    text: Any = value.get_secret_value()
    return isinstance(text, str) and bool(text) and text.isprintable() and text == text.strip() and text.isascii()


def _pair(user: str, password: SecretStr) -> SecretStr:
    """User and password as Basic authentication sends them; nothing where they cannot be sent."""
    try:
        return SecretStr(base64.b64encode(b":".join(map(str.encode, (user, password.get_secret_value())))).decode())
    except (TypeError, UnicodeEncodeError):
        return SecretStr("")
