"""What never reaches a log, an exception or an event: credentials, wherever they turn up."""

from __future__ import annotations

import base64
import json
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EXCERPT", "Redactor", "secret"]

MASK = "***"
EXCERPT = 2_000  # characters of an answer that an error may carry

_SHORTEST = 4  # shorter "secrets" would blank out ordinary words


def secret(value: str | SecretStr) -> SecretStr:
    """The value as a type that does not print."""
    return value if isinstance(value, SecretStr) else SecretStr(value)


class Redactor:
    """Replaces known secrets in texts, also where they stand percent-encoded, in Base64, or escaped in JSON or HTML.

    >>> Redactor([SecretStr("s3cret/x")]).scrub("key=s3cret%2Fx")
    'key=***'
    """

    def __init__(self, secrets: Iterable[SecretStr] = ()) -> None:
        forms: set[str] = set()
        for value in secrets:
            plain = value.get_secret_value()
            if len(plain) >= _SHORTEST:
                forms |= {plain, quote(plain), quote(plain, safe=""), quote_plus(plain), escape(plain)}
                quoted = json.dumps(plain)[1:-1]
                forms |= {quoted, quoted.replace("/", "\\/"), json.dumps(plain, ensure_ascii=False)[1:-1]}
                forms.add(quoted.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
                forms.add(base64.b64encode(plain.encode()).decode().rstrip("="))
        # The longest first, or a secret inside another would leave the rest of the other standing.
        self._forms = sorted(forms, key=len, reverse=True)

    def scrub(self, text: str) -> str:
        """``text`` without the secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def excerpt(self, body: bytes) -> str:
        """The start of an answer as text, without the secrets."""
        # Scrub before cutting: half a secret is still half a secret.
        part = body[: EXCERPT * 4]
        text = self.scrub(part.decode("utf-8", "replace"))
        if len(part) < len(body) and self._forms:
            text = text[: -len(self._forms[0])]  # here the first cut may have left a half
        return text[:EXCERPT]

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._forms)} forms>"
