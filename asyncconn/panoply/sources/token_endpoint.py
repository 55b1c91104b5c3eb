"""An OAuth2 token endpoint, as far as renewing a token needs it: a form goes there, JSON comes back.

Nothing of the form and nothing of the answer gets into an error or a log: answers may quote what was sent.
Contract: panoply section 8 (validate_token, steps 3 and 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http.client import responses
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from yarl import URL

from asyncconn.core.retrying import RetryPolicy
from asyncconn.core.secret import Secret
from asyncconn.errors import Answer, AsyncConnError, ConfigError, ProtocolError, api_error_class
from asyncconn.http.auth import BasicAuth, NoAuth
from asyncconn.http.redact import Redactor, UnshownBytes, UnshownText, unshown
from asyncconn.http.response import retry_after, status_error
from asyncconn.http.transport import Timeouts, Transport
from asyncconn.hub import Hub

if TYPE_CHECKING:
    from asyncconn.http.response import Response
    from asyncconn.http.rules import RateHint

__all__ = ["RETRY", "TIMEOUTS", "Form", "TokenEndpoint"]

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


class TokenEndpoint:
    """Where a source's access token is renewed, and under which names the two tokens go."""

    def __init__(self, url: str, access_key: str, refresh_key: str) -> None:
        self.url = url
        self.access_key = access_key
        self.refresh_key = refresh_key

    def form(self, source: Mapping[str, Any], options: Mapping[str, Any]) -> Form:
        """All of ``options["refresh"]``, then the refresh token, if there is one.

        A value of None is left out, a list repeats its name. Raises ``ConfigError`` when ``options["refresh"]`` is
        missing.
        """
        fields = options.get("refresh")
        if not isinstance(fields, Mapping):
            raise ConfigError(
                'options["refresh"] must be a dict of the form fields that the token endpoint wants '
                f"(client id, client secret, grant type), not {type(fields).__name__}"
            )
        given = dict(fields)
        if source.get(self.refresh_key) is not None:
            given[self.refresh_key] = source[self.refresh_key]
        pairs = [(str(name), _text(value)) for name, values in given.items() for value in _each(values)]
        access = source.get(self.access_key)
        return Form(pairs, [_text(access)] if access is not None else [])

    async def renew(self, form: Form, old: Any, hub: Hub | None) -> dict[str, str]:
        """The new access token under its name and, before it, the new refresh token if it is another than ``old``.

        Their ``repr`` is masked: ``str`` makes plain ones of them.

        Over the session of ``hub``, or a private one. Raises what the transport raises, ``ApiError`` without a body,
        ``ProtocolError`` for an answer that is not a JSON object with the access token, ``ConfigError`` for the URL.
        """
        if hub is None:
            async with Hub() as private:
                return await self.renew(form, old, private)
        transport, path = self._transport(form, hub)
        try:
            response = await transport.request("POST", path, data=form.body, headers=_HEADERS)
        except AsyncConnError as error:
            failure = error
        else:
            found = self._tokens(response, old)
            if isinstance(found, ProtocolError):
                raise found
            return found
        failure.__cause__ = failure.__context__ = None  # some of aiohttp's errors quote the whole URL
        raise failure

    def _transport(self, form: Form, hub: Hub) -> tuple[Transport, str]:
        """The road there, and the path with its query, which may hold a credential."""
        url = _parsed_url(self.url)
        transport = Transport(
            lambda: hub.session,
            service=f"the token endpoint at {url.host}",
            base_url=str(url.origin()),
            auth=BasicAuth(url.user or "", url.password or "") if url.user or url.password else NoAuth(),
            retry=RETRY,
            timeouts=TIMEOUTS,
            rules=_Reticent(),
            redactor=form.redactor,
            clock=hub.clock,
        )
        return transport, UnshownText(url.raw_path_qs)

    def _tokens(self, response: Response, old: Any) -> dict[str, str] | ProtocolError:
        """The tokens, masked; an error is returned, as its traceback would hold the answer if it were raised here."""
        answer = _json(response)
        if not isinstance(answer, dict):
            return ProtocolError(f"{response.service} answered {response.status} without a JSON object")
        access, refresh = answer.get(self.access_key), answer.get(self.refresh_key)
        if not isinstance(access, str) or not access:
            reason = _code(answer) or "the answer does not have it"
            return ProtocolError(f"{response.service} gave no {self.access_key!r}: {reason}")
        rotated = isinstance(refresh, str) and refresh not in ("", old)
        return unshown({**({self.refresh_key: str(refresh)} if rotated else {}), self.access_key: access})


class _Reticent:
    """Errors by status, with none of the answer's own words but the protocol's."""

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """An error without a body."""
        status = response.status
        if status < 400:
            return status_error(response, redactor)  # None, or a redirect, which quotes nothing
        return api_error_class(status)(
            responses.get(status, ""),
            Answer(response.service, status, code=_code(_json(response)), retry_after=retry_after(response.headers)),
        )

    def hints(self, response: Response) -> Iterable[RateHint]:
        """None."""
        return ()


def _parsed_url(text: Any) -> URL:
    try:
        url = URL(text)
    except (TypeError, ValueError):
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError("the refresh URL must be http(s)://host[:port]/path")  # not quoted: it may hold a credential
    return url


def _json(response: Response) -> Any:
    """What the body says, or None."""
    try:
        return response.json()
    except ProtocolError:
        return None


def _code(answer: Any) -> str | None:
    code = answer.get("error") if isinstance(answer, dict) else None
    return code if isinstance(code, str) and code in _CODES else None


def _each(values: Any) -> list[Any]:
    return [value for value in (values if isinstance(values, list | tuple) else [values]) if value is not None]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
