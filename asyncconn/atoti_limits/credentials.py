"""What may be given as a credential, and what each server's answers must not repeat. Contract: limits section 12.1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asyncconn.core.secret import Concealed, is_secret, secret
from asyncconn.errors import ConfigError
from asyncconn.http.auth import Auth, BasicAuth, NoAuth, TokenAuth

if TYPE_CHECKING:
    import aiohttp

    from asyncconn.core.clock import Clock
    from asyncconn.http.request import Outgoing

__all__ = ["Credential", "Discreet", "auth_of", "masked"]

Credential = tuple[str, str | Concealed] | str | Concealed | Auth


class Discreet(Auth):
    """A credential that knows the other one, too: either server may quote what the other was told."""

    def __init__(self, own: Auth, other: Auth) -> None:
        self._own = own
        self._other = other

    async def headers(self) -> Mapping[str, str]:
        """Its own."""
        return await self._own.headers()

    async def renew(self, refused: Mapping[str, str]) -> bool:
        """Its own."""
        return await self._own.renew(refused)

    async def sign(self, request: Outgoing) -> None:
        """Its own."""
        await self._own.sign(request)

    def travel(self, session: Callable[[], aiohttp.ClientSession], clock: Clock) -> None:
        """Its own."""
        self._own.travel(session, clock)

    def secrets(self) -> Sequence[Concealed]:
        """Those of both."""
        return [*self._own.secrets(), *self._other.secrets()]

    def identity(self) -> str | None:
        """Its own."""
        return self._own.identity()


def masked(given: Any) -> Any:
    """The same, printed without what is secret in it: tracebacks may show where it was given."""
    if isinstance(given, str):
        return secret(given)
    return tuple(given[:1]) + tuple(map(secret, given[1:])) if isinstance(given, tuple) else given


def auth_of(given: Any) -> Auth:
    """The way to authenticate that is meant. Raises ``ConfigError``."""
    if given is None:
        return NoAuth()
    if is_secret(given):
        return TokenAuth(given, scheme="Jwt")
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str):
        return BasicAuth(*given)
    if not isinstance(given, Auth):
        raise ConfigError(f"a credential is (user, password), a token, or an Auth, not this {type(given).__name__}")
    return given
