"""The token endpoint of a data source: under which names its two tokens go there, and come back.

Contract: panoply section 8 (validate_token, steps 3 and 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from asyncconn.errors import ConfigError, ProtocolError
from asyncconn.http.redact import unshown
from asyncconn.http.token_endpoint import Form, ask_for_tokens, error_code, json_or_none
from asyncconn.hub import Hub

if TYPE_CHECKING:
    from asyncconn.http.response import Response

__all__ = ["TokenEndpoint"]


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
        return await ask_for_tokens(
            self.url, form, lambda answer: self._tokens(answer, old), session=lambda: hub.session, clock=hub.clock
        )

    def _tokens(self, response: Response, old: Any) -> dict[str, str] | ProtocolError:
        """The tokens, masked; an error is returned, as its traceback would hold the answer if it were raised here."""
        answer = json_or_none(response)
        if not isinstance(answer, dict):
            return ProtocolError(f"{response.service} answered {response.status} without a JSON object")
        access, refresh = answer.get(self.access_key), answer.get(self.refresh_key)
        if not isinstance(access, str) or not access:
            reason = error_code(answer) or "the answer does not have it"
            return ProtocolError(f"{response.service} gave no {self.access_key!r}: {reason}")
        rotated = isinstance(refresh, str) and refresh not in ("", old)
        return unshown({**({self.refresh_key: str(refresh)} if rotated else {}), self.access_key: access})


def _each(values: Any) -> list[Any]:
    return [value for value in (values if isinstance(values, list | tuple) else [values]) if value is not None]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
