"""The last requests of a sandbox, and how they may be shown: without credentials."""

from __future__ import annotations

import base64
import binascii
import re
from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

__all__ = ["Entry", "Log", "masked"]

MASK = "***"
_MOST = 1000
_SHORTEST = 4  # shorter "secrets" would blank out ordinary words
_SECRET_NAME = re.compile(
    r"key|token|secret|passw|auth(?!ors?\b)|sign|credential|cookie|session|(?:^|[_.-])(?:pass|pwd?|sig|jwt)$|^code$",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"([\w.-]+)=\"?([^\";,\s]+)")  # of a cookie, or behind a scheme such as Digest
_PLAIN = frozenset({"username", "realm", "uri", "qop", "nc", "algorithm", "signedheaders"})  # of them: no secrets


@dataclass(slots=True)
class Entry:
    """A request from its arrival on.

    ``at`` is the sandbox's time; ``seconds`` None while it goes on; ``status`` None without an answer: it goes on, or
    the connection was closed; ``fault`` the kind that struck it.
    """

    number: int
    at: datetime
    platform: str
    method: str
    path: str = field(repr=False)
    query: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body_bytes: int = 0
    status: int | None = None
    seconds: float | None = None
    fault: str | None = None

    def shown(self, secrets: Iterable[str]) -> dict[str, Any]:
        """As JSON has it, without ``secrets`` and whatever else looks like one."""
        hidden = (*secrets, *_credentials(self.headers))
        query = [
            f"{name}={MASK if _SECRET_NAME.search(name) else value}"
            for name, value in parse_qsl(self.query, keep_blank_values=True)
        ]
        return {
            "number": self.number,
            "at": self.at.isoformat(timespec="milliseconds"),
            "platform": self.platform,
            "method": self.method,
            "path": masked(self.path, hidden),
            "query": masked("&".join(query), hidden),
            "client": masked(self.headers.get("User-Agent", ""), hidden),
            "body_bytes": self.body_bytes,
            "status": self.status,
            "seconds": None if self.seconds is None else round(self.seconds, 6),
            "fault": self.fault,
        }


class Log:
    """The last thousand, oldest first."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=_MOST)
        self._last = 0

    def begin(
        self, at: datetime, platform: str, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> Entry:
        """Note a request that has arrived."""
        self._last += 1
        entry = Entry(self._last, at, platform, method, path, query, headers)
        self.entries.append(entry)
        return entry

    def last(self, number: int, platform: str | None = None) -> list[Entry]:
        """So many of a platform, or of all, newest first."""
        found = (entry for entry in reversed(self.entries) if platform in (None, entry.platform))
        return [entry for entry, _ in zip(found, range(number), strict=False)]


def masked(text: str, secrets: Iterable[str]) -> str:
    """``text`` with stars in place of each secret, the longest first, in any case and however often percent-encoded.

    >>> masked("/files/k3y-1234/a", ["k3y-1234", "k3y"])
    '/files/***/a'
    >>> masked("/files/K3Y%252D1234/a", ["k3y-1234"])
    '/files/***/a'
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        # No spelling is shorter than the secret; most texts need no pattern to say that it is not in them.
        if _SHORTEST <= len(secret) <= len(text) and ("%" in text or secret.lower() in text.lower()):
            text = _spellings(secret).sub(MASK, text)
    return text


@lru_cache(maxsize=512)
def _spellings(secret: str) -> re.Pattern[str]:
    return re.compile("".join(map(_spelling, secret)), re.IGNORECASE)


def _spelling(letter: str) -> str:
    cases = sorted({letter, letter.lower(), letter.upper()})
    encoded = ("".join(f"%(?:25)*{byte:02x}" for byte in case.encode(errors="surrogatepass")) for case in cases)
    return f"(?:{'|'.join((re.escape(letter), *encoded))})"


def _credentials(headers: Mapping[str, str]) -> Iterable[str]:
    """Values of headers that say who somebody is, what follows the scheme, and parameters and password in that."""
    for name, value in headers.items():
        if not _SECRET_NAME.search(name):
            continue
        yield value
        _, _, word = value.partition(" ")
        yield word
        for parameter, given in _PARAMETER.findall(value):
            if parameter.lower() not in _PLAIN:
                yield from (given, unquote(given))
        try:
            user, _, password = base64.b64decode(word, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            continue
        if password != user:  # as those of the sandbox's users are: no secret, and a word that paths are full of
            yield password
