"""OAuth2's client credentials grant: a token for the client itself, fetched when needed and renewed in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import quote_plus

from asyncconn.core.secret import Concealed, Secret, secret
from asyncconn.errors import ConfigError, HubClosed, LifecycleError, ProtocolError
from asyncconn.http.auth import BasicAuth, Token, TokenAuth
from asyncconn.http.redact import UnshownText
from asyncconn.http.token_endpoint import Form, ask_for_tokens, error_code, json_or_none, url_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from asyncconn.core.clock import Clock
    from asyncconn.http.response import Response

__all__ = ["OAuth2"]


class OAuth2(TokenAuth):
    """A client that gets its tokens from ``token_url`` by ``client_id`` and ``client_secret`` (RFC 6749, section 4.4).

        >>> auth = OAuth2("https://login.acme.example/oauth/token", "client-1", secret, scope="series:read")
        >>> acme = Acme(base_url="https://api.acme.example", auth=auth)

    Asks over the hub's session before the first call, ``leeway`` seconds before a token expires and after a 401, once
    for all calls that wait for it. ``style`` says how the client shows itself there: ``"basic"``, in the header that
    every server takes, or ``"form"``, as fields of the form. The account is the client's id at that URL: limits hold
    for all tokens together.

    Raises ``ConfigError``; a call then raises what asking for a token raised.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | Concealed,
        *,
        scope: str = "",
        leeway: float = 30.0,
        style: Literal["basic", "form"] = "basic",
    ) -> None:
        client_secret = secret(client_secret)
        if style not in ("basic", "form"):
            raise ConfigError(f"an OAuth2 client shows itself by 'basic' or 'form', not {style!r}")
        known: object = client_id
        if not isinstance(known, str) or not known or not client_secret.get_secret_value():
            raise ConfigError("an OAuth2 client has an id and a secret: texts that are not empty")
        url_parts(UnshownText(token_url))
        super().__init__(self._fetch, identity=f"{client_id} at {token_url}", leeway=leeway)
        self._url = token_url
        self._client_id = client_id
        self._client_secret: Secret = client_secret
        self._scope = scope
        self._style = style
        self._sessions: list[Callable[[], aiohttp.ClientSession]] = []

    def travel(self, session: Callable[[], aiohttp.ClientSession], clock: Clock) -> None:
        """The hub's session is the way to the token endpoint, too."""
        super().travel(session, clock)
        self._sessions = [*filter(_may_open, self._sessions), session]

    def secrets(self) -> list[Secret]:
        """The client's secret, and the tokens."""
        return [self._client_secret, *super().secrets()]

    async def _fetch(self) -> Token:
        fields = [("grant_type", "client_credentials"), *([("scope", self._scope)] if self._scope else [])]
        password = UnshownText(self._client_secret.get_secret_value())
        auth = None
        if self._style == "form":
            fields += [("client_id", self._client_id), ("client_secret", password)]
        else:
            # RFC 6749, section 2.3.1: both are encoded as in a form first.
            auth = BasicAuth(quote_plus(self._client_id), quote_plus(password))
        form = Form(fields, [password])
        return await ask_for_tokens(self._url, form, _token, session=self._session(), clock=self._clock, auth=auth)

    def _session(self) -> Callable[[], aiohttp.ClientSession]:
        """That of a hub that can be used here."""
        problem: LifecycleError = LifecycleError("no connector uses this OAuth2 yet: it has no session to ask over")
        for session in reversed(self._sessions):
            try:
                session()
            except LifecycleError as error:
                problem = error
            else:
                return session
        raise problem


def _may_open(session: Callable[[], aiohttp.ClientSession]) -> bool:
    """Whether a hub is not closed for good."""
    try:
        session()
    except HubClosed:
        return False
    except LifecycleError:
        pass
    return True


def _token(response: Response) -> Token | ProtocolError:
    answer = json_or_none(response)
    if not isinstance(answer, dict):
        return ProtocolError(f"{response.service} answered {response.status} without a JSON object")
    value, life = answer.get("access_token"), answer.get("expires_in")
    if not isinstance(value, str) or not value:
        return ProtocolError(f"{response.service} gave no access_token: {error_code(answer) or 'the answer has none'}")
    return Token(Secret(value), _seconds(life))


def _seconds(life: object) -> float | None:
    """The life of a token, as some servers write it in a text."""
    try:
        seconds = float(life)  # type: ignore[arg-type] # whatever it is
    except (TypeError, ValueError):
        return None
    return seconds if 0 < seconds < 1e9 else None
