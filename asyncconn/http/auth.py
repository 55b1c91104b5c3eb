"""How a request shows who sends it."""

from __future__ import annotations

import asyncio
import base64
import inspect
import math
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from asyncconn.core.clock import SystemClock
from asyncconn.core.durations import seconds
from asyncconn.core.secret import Concealed, Secret, is_secret, secret
from asyncconn.core.unpicklable import Unpicklable
from asyncconn.errors import ApiError, AsyncConnError, ConfigError, NotSent, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    import aiohttp

    from asyncconn.core.clock import Clock
    from asyncconn.http.request import Outgoing

__all__ = ["Auth", "BasicAuth", "HeaderKey", "NoAuth", "Token", "TokenAuth", "checked", "in_time", "signs", "waits"]

T = TypeVar("T")


class Auth(Unpicklable):
    """A way to show who asks. Override what yours needs: as it stands, it shows nothing.

        >>> class TwoKeys(Auth):
        ...     async def headers(self) -> Mapping[str, str]:
        ...         return {"X-App": self._app.get_secret_value(), "X-Key": self._key.get_secret_value()}
        ...     def secrets(self) -> list[Secret]:
        ...         return [self._app, self._key]

    :meth:`headers` are for a call and all its attempts, :meth:`sign` is for each attempt anew.
    """

    async def headers(self) -> Mapping[str, str]:
        """The headers for the next call."""
        return {}

    async def sign(self, request: Outgoing) -> None:
        """Add to one attempt, just before it is sent: a signature of its body, a nonce, a time, a token for its host.

        A request that is signed is never sent again by the library underneath: each time it goes out, it is signed.
        """

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """After a 401 to these headers: whether there is something newer to try once."""
        return False

    def secrets(self) -> Sequence[Concealed]:
        """What must never be printed."""
        return []

    def identity(self) -> str | None:
        """The same text for the same credential: connectors with one identity share one account.

        By default the secrets themselves, of which only a digest is kept. None while it is not known: it is asked again
        after :meth:`headers`.
        """
        return "\n".join(value.get_secret_value() for value in self.secrets())

    def travel(self, session: Callable[[], aiohttp.ClientSession], clock: Clock) -> None:
        """Each transport that uses it says so: ``session`` is for a credential that asks a server of its own."""


class NoAuth(Auth):
    """Nothing: for platforms that put the credential elsewhere, or ask for none."""


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """What a provider may return instead of a text: a token, and the seconds until it expires (None: unknown)."""

    value: str | Concealed
    expires_in: float | None = None

    def __repr__(self) -> str:
        return f"Token(***, expires_in={self.expires_in!r})"


class HeaderKey(Auth):
    """A fixed key in a header, such as ``x-api-key: ...`` or a bare ``Authorization: ...``."""

    def __init__(self, header: str, key: str | Concealed) -> None:
        key = secret(key)  # before anything is raised: what a traceback can show of this frame is masked
        self._header = header
        self._key = key
        if not _fits_header(self._key):
            raise ConfigError(f"the key for the header {header} must be printable ASCII without spaces around it")

    async def headers(self) -> Mapping[str, str]:
        """The key in its header."""
        return {self._header: self._key.get_secret_value()}

    def secrets(self) -> list[Secret]:
        """The key."""
        return [self._key]


class BasicAuth(Auth):
    """User and password, encoded as UTF-8."""

    def __init__(self, user: str, password: str | Concealed) -> None:
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

    def secrets(self) -> list[Secret]:
        """The password, and the pair as it is sent."""
        return [self._password, self._encoded]


class TokenAuth(Auth):
    """A token after a scheme word (``Bearer``, ``Jwt``), fixed or from an async provider.

    A provider returns a text or a :class:`Token`. It is asked before the first request, ``leeway`` seconds before a
    token expires that says when, and after a 401: once for all requests that need it together.
    Rate limits belong to an account. One whose token comes from a provider is known by the first token that provider
    gave; where each client gets a token of its own for the same account, ``identity`` names the account.
    """

    def __init__(
        self,
        token: str | Concealed | Callable[[], Awaitable[str | Token]],
        *,
        scheme: str = "Bearer",
        identity: str | None = None,
        leeway: float = 30.0,
    ) -> None:
        token = secret(token) if isinstance(token, str) else token
        known: object = identity
        if known is not None and (not isinstance(known, str) or not known):
            raise ConfigError("the identity of an account is a text that is not empty")
        self._account = identity
        self._first: Secret | None = None
        self._scheme = scheme
        self._provider: Any = token if inspect.isroutine(token) or not is_secret(token) else None
        self._token = secret(token) if is_secret(token) else None
        if self._token is not None and not _fits_header(self._token):
            raise ConfigError("the token must be printable ASCII without spaces around it")
        self._leeway = seconds("leeway", leeway)
        self._clock: Clock = SystemClock()
        self._stale_at = math.inf
        self._asked = 0
        self._old: list[Secret] = []
        self._locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()

    async def headers(self) -> Mapping[str, str]:
        """``Authorization: <scheme> <token>``, asking the provider if there is no token yet, or one about to expire."""
        if self.wanting:
            async with self._asking():
                if self.wanting:
                    await self._ask()
        return self._headers()

    @property
    def wanting(self) -> bool:
        """Whether the provider has to be asked before the next request."""
        return self._token is None or self._clock.now() >= self._stale_at

    def travel(self, session: Callable[[], aiohttp.ClientSession], clock: Clock) -> None:
        """A token's time is the transport's."""
        self._clock = clock

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
            token, expires_in, kind = _masked(await self._provider())
            if token is None or not _fits_header(token):
                raise ConfigError(
                    f"the token provider must return a text of printable ASCII without spaces around it, "
                    f"or a Token of it, not this {kind}"
                )
            # Of a short life half of the time is left alone: who asks for ever gets nothing done.
            self._stale_at = math.inf if expires_in is None else self._expiry(seconds("expires_in", expires_in))
            self._asked += 1
            self._first = self._first or _first_tokens.of(self._provider, token)
            if self._token is not None and self._token != token:
                self._old = [self._token]  # an answer to an older request may still quote it
            self._token = token

    def _expiry(self, expires_in: float) -> float:
        return self._clock.now() + max(expires_in - self._leeway, expires_in / 2)

    def secrets(self) -> list[Secret]:
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
        self._given: weakref.WeakKeyDictionary[Any, dict[Any, Secret]] = weakref.WeakKeyDictionary()

    def of(self, provider: Any, token: Secret | None = None) -> Secret | None:
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
        return auth.wanting
    return kind not in (Auth.headers, HeaderKey.headers, BasicAuth.headers)


def checked(auth: Any) -> Auth:
    """The way to show who asks, if it is one. Raises ``ConfigError``."""
    if not isinstance(auth, Auth):
        raise ConfigError(f"auth is a TokenAuth(token), or another that inherits from Auth, not {type(auth).__name__}")
    return auth


async def in_time(service: str, credential: Awaitable[T], patience: float) -> T:
    """What a credential says within ``patience`` seconds; it may ask a server of its own, which may not answer.

    Raises ``NotSent``, also where it is unknown whether that server did what it was asked: of the call it is known.
    """
    try:
        async with asyncio.timeout(patience) as limit:
            return await credential
    except AsyncConnError as error:
        if not error.maybe_sent:
            raise
        if not isinstance(error, ProtocolError):
            answered = f"{error.service} answered {error.status} " if isinstance(error, ApiError) else ""
            raise NotSent(f"{service}: no credential came: {answered}{error.message}") from error
        error.maybe_sent = False
        error.advice = "nothing was sent; check the address of what provides the credential"
        raise
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise NotSent(f"{service}: no credential came within {patience:g} s from what provides it") from error


def signs(auth: Auth) -> bool:
    """Whether each attempt is signed."""
    return type(auth).sign is not Auth.sign


def _masked(given: Any) -> tuple[Secret | None, float | None, str]:
    """What a provider gave: the token, if it is one, the seconds of its life, and the name of its type."""
    value, expires_in = (given.value, given.expires_in) if isinstance(given, Token) else (given, None)
    return secret(value) if is_secret(value) else None, expires_in, type(value).__name__


def _fits_header(value: Secret) -> bool:
    text: Any = value.get_secret_value()
    return isinstance(text, str) and bool(text) and text.isprintable() and text == text.strip() and text.isascii()


def _pair(user: str, password: Secret) -> Secret:
    """User and password as Basic authentication sends them; nothing where they cannot be sent."""
    try:
        return Secret(base64.b64encode(b":".join(map(str.encode, (user, password.get_secret_value())))).decode())
    except (TypeError, UnicodeEncodeError):
        return Secret("")
