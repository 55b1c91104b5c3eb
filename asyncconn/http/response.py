"""An answer that has arrived completely, as plain data for the wire layers to decode."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from asyncconn.core.decoding import is_utf8, json_of, text_of
from asyncconn.errors import Answer, AsyncConnError, ProtocolError, api_error_class

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncconn.http.redact import Redactor

__all__ = ["Response", "decoded_by", "http_date", "retry_after", "status_error"]

T = TypeVar("T")

_UNREAD = object()


@dataclass(slots=True, repr=False, eq=False)
class Response:
    """``status``, ``headers`` (case-insensitive) and ``body`` of the answer to ``method path``; ``seconds`` it took.

    ``value`` is what the ``decode`` of its call made of it.
    """

    service: str
    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0
    value: Any = None
    _json: Any = field(default=_UNREAD, init=False, compare=False)

    @property
    def content_type(self) -> str:
        """The media type in lower case without parameters; empty if there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body by its byte order mark, else its charset, else as UTF-8; what does not fit is replaced."""
        return text_of(self.body, self.headers.get("Content-Type", ""))

    @property
    def utf8(self) -> bytes:
        """The body in UTF-8, for whoever looks for words (or credentials) in its beginning."""
        kind = self.headers.get("Content-Type", "")
        return self.body if is_utf8(self.body, kind) else text_of(self.body, kind).encode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON, read once: integers exact whatever their size, other numbers as floats.

        Raises ``ProtocolError`` when it is not, such as an HTML page behind a 200.
        """
        if self._json is not _UNREAD:
            return self._json
        try:
            self._json = json_of(self.body, self.headers.get("Content-Type", ""))
        except ValueError as error:
            if isinstance(error, JSONDecodeError):
                error.doc = ""  # all of the answer, which may quote a credential
            kind = self.content_type or "no content type"
            raise ProtocolError(
                f"{self.service}: {self.method} {self.path} answered {self.status} with {kind} instead of JSON"
            ) from error
        return self._json

    def answer(self, redactor: Redactor, *, status: int | None = None, code: str | None = None) -> Answer:
        """What an error tells of this answer: ids, times, and its beginning without credentials.

        ``status`` is the effective one, where a platform hides it in the body.
        """
        headers = self.headers
        return Answer(
            self.service,
            self.status if status is None else status,
            code,
            headers.get("x-amzn-RequestId") or headers.get("X-Request-Id"),
            retry_after(headers),
            redactor.excerpt(self.utf8),
        )

    def __repr__(self) -> str:
        return f"<Response {self.method} {self.path} {self.status} {len(self.body)} bytes>"


def decoded_by(decode: Callable[[Response], T], response: Response, what: str) -> T:
    """What ``decode`` makes of an answer. Raises our errors as they are, and ``ProtocolError`` for a stranger's."""
    try:
        return decode(response)
    except AsyncConnError:
        raise
    except Exception as error:
        wrong = f"{what} answered {response.status}, and that cannot be decoded"
        raise ProtocolError(f"{wrong}: {type(error).__name__}") from error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a ``Retry-After`` header, given in seconds or as a date (against the answer's own ``Date``)."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", value):
        return float(value)
    when = http_date(value)
    if when is None:
        return None
    now = http_date(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (when - now).total_seconds())


def http_date(value: str) -> datetime | None:
    """An HTTP date as aware UTC; None when it is none."""
    try:
        when = parsedate_to_datetime(value)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ArithmeticError, LookupError, TypeError, ValueError):  # whatever its parser meets
        return None
    return when if 1970 <= when.year < 9999 else None  # beyond that, a day more would be an error


def status_error(response: Response, redactor: Redactor) -> AsyncConnError | None:
    """The error that an answer's status means; None for 2xx. What a platform has no better rule for."""
    status = response.status
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        error = ProtocolError(
            f"{response.service}: {response.method} {response.path} was redirected ({status}): refused"
        )
        error.maybe_sent = False
        return error
    answer = response.answer(redactor)
    # What was escaped in JSON is not any more.
    return api_error_class(status)(redactor.scrub(_first_line(answer.body)), answer)


def _first_line(text: str) -> str:
    """Something to say in one line: the message member of a JSON body, else the first line of text, not of markup."""
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        parsed = None
    if isinstance(parsed, dict):
        for name in ("message", "Message", "error", "msg", "detail"):
            if isinstance(parsed.get(name), str):
                return str(parsed[name])[:300]
    stripped = text.strip()
    return "" if stripped.startswith("<") else stripped.partition("\n")[0][:300]
