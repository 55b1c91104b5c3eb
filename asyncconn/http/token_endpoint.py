"""A token endpoint of OAuth2: a form goes there, JSON comes back (RFC 6749, sections 3.2, 5.1 and 5.2).

Nothing of the form and nothing of the answer gets into an error or a log: answers may quote what was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http.client import responses
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from yarl import URL

from asyncconn.core.retrying import RetryPolicy
from asyncconn.core.secret import Secret
from asyncconn.errors import Answer, AsyncConnError, ConfigError, ProtocolError, api_error_class
from asyncconn.http.auth import Auth, BasicAuth
from asyncconn.http.redact import Redactor, UnshownBytes, UnshownText
from asyncconn.http.response import retry_after, status_error
from asyncconn.http.transport import Timeouts, Transport

if TYPE_CHECKING:
    import aiohttp

    from asyncconn.core.clock import Clock
    from asyncconn.http.response import Response
    from asyncconn.http.rules import RateHint

__all__ = ["RETRY", "TIMEOUTS", "Form", "ask_for_tokens", "error_code", "json_or_none", "url_parts"]

T = TypeVar("T")

#: Three tries. A repeated renewal is harmless, or is refused: better than a token that nobody has.
RETRY = RetryPolicy(attempts=3, initial=0.5, maximum=2.0, deadline=30.0, maybe_sent="always", max_retry_after=15.0)
TIMEOUTS = Timeouts(connect=10.0, total=20.0)

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
# RFC 6749, section 5.2: of an answer to a refused renewal, these words alone may be shown.
_CODES = frozenset(
    {
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


class Form:
    """The fields to send, in order, and a ``redactor`` that knows them."""

    def __init__(self, fields: Iterable[tuple[str, str]], secrets: Iterable[str]) -> None:
        fields = list(fields)
        self.body = UnshownBytes(urlencode(fields).encode())
        # The grant type is a word of the protocol; masking it would blank out innocent paths.
        self._secrets = [*secrets, *(value for name, value in fields if name != "grant_type")]
        self.redactor = Redactor(map(Secret, self._secrets))

    def learn(self, secrets: Iterable[str]) -> None:
        """More that must not be shown."""
        self._secrets.extend(secrets)
        self.redactor = Redactor(map(Secret, self._secrets))


async def ask_for_tokens(
    url: str,
    form: Form,
    read: Callable[[Response], T | ProtocolError],
    *,
    session: Callable[[], aiohttp.ClientSession],
    clock: Clock,
    auth: Auth | None = None,
) -> T:
    """What ``read`` makes of the answer to ``form``; a user and password in the ``url`` go along where there is no
    ``auth``.

    Raises what the transport raises, ``ApiError`` without a body, the ``ProtocolError`` that ``read`` returns (raised
    in there, its traceback would hold the answer), ``ConfigError`` for the URL.
    """
    url = UnshownText(url)  # it may hold credentials, and a traceback shows what stands here
    origin, host, path, pair = url_parts(url)
    transport = Transport(
        session,
        service=f"the token endpoint at {host}",
        base_url=origin,
        auth=pair if auth is None else auth,
        retry=RETRY,
        timeouts=TIMEOUTS,
        rules=_Reticent(),
        redactor=form.redactor,
        clock=clock,
    )
    try:
        response = await transport.request("POST", path, data=form.body, headers=_HEADERS)
    except AsyncConnError as error:
        failure = error
    else:
        found = read(response)
        if isinstance(found, ProtocolError):
            raise found
        return found
    failure.__cause__ = failure.__context__ = None  # some of aiohttp's errors quote the whole URL
    raise failure


class _Reticent:
    """Errors by status, with none of the answer's own words but the protocol's."""

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """An error without a body."""
        status = response.status
        if status < 400:
            return status_error(response, redactor)  # None, or a redirect, which quotes nothing
        code = error_code(json_or_none(response))
        answer = Answer(response.service, status, code=code, retry_after=retry_after(response.headers))
        return api_error_class(status)(responses.get(status, ""), answer)

    def hints(self, response: Response) -> Iterable[RateHint]:
        """None."""
        return ()


def url_parts(text: Any) -> tuple[str, str, UnshownText, Auth | None]:
    """Origin, host, and what may hold a credential: the path with its query, the user and password.

    Raises ``ConfigError`` for what is no endpoint's URL.
    """
    try:
        url = URL(text)
    except (TypeError, ValueError):
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        # Not quoted: it may hold a credential.
        raise ConfigError("the URL of a token endpoint must be http(s)://host[:port]/path")
    pair = BasicAuth(url.user or "", url.password or "") if url.user or url.password else None
    return str(url.origin()), url.host, UnshownText(url.raw_path_qs), pair


def json_or_none(response: Response) -> Any:
    """What the body says, or None."""
    try:
        return response.json()
    except ProtocolError:
        return None


def error_code(answer: Any) -> str | None:
    """The protocol's word for what is wrong, if the answer has one."""
    code = answer.get("error") if isinstance(answer, dict) else None
    return code if isinstance(code, str) and code in _CODES else None
