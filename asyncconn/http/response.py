"""An answer that has arrived completely, as plain data for the wire layers to decode."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import orjson

from asyncconn.errors import AsyncConnError, ProtocolError, api_error_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncconn.http.redact import Redactor

__all__ = ["Response", "http_date", "retry_after", "status_error"]


@dataclass(slots=True, repr=False)
class Response:
    """``status``, ``headers`` (case-insensitive) and ``body`` of the answer to ``method path``; ``seconds`` it took."""

    platform: str
    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0

    @property
    def content_type(self) -> str:
        """The media type in lower case without parameters; empty if there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as UTF-8, anything else in it replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises ``ProtocolError`` when it is not, such as an HTML page behind a 200."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            error.doc = ""  # all of the answer, which may quote a credential
            kind = self.content_type or "no content type"
            raise ProtocolError(
                f"{self.platform}: {self.method} {self.path} answered {self.status} with {kind} instead of JSON"
            ) from error

    def __repr__(self) -> str:
        return f"<Response {self.method} {self.path} {self.status} {len(self.body)} bytes>"


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
            f"{response.platform}: {response.method} {response.path} was redirected ({status}): refused"
        )
        error.maybe_sent = False
        return error
    excerpt = redactor.excerpt(response.body)
    return api_error_class(status)(
        redactor.scrub(_first_line(excerpt)),  # what was escaped in JSON is not any more
        platform=response.platform,
        status=status,
        request_id=response.headers.get("x-amzn-RequestId") or response.headers.get("X-Request-Id"),
        retry_after=retry_after(response.headers),
        body=excerpt,
    )


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
