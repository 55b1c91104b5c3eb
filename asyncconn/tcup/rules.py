"""What the answers of each service mean: all of them have habits of their own. Contract: tcup sections 1.6, 13."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from asyncconn.errors import ApiError, NotFound, ProtocolError, api_error_class
from asyncconn.http.response import status_error
from asyncconn.http.rules import PlainRules
from asyncconn.tcup.envelope import all_done, verdict
from asyncconn.tcup.errors import DocumentRefused, PartlyRefused

if TYPE_CHECKING:
    from asyncconn.errors import AsyncConnError
    from asyncconn.http.redact import Redactor
    from asyncconn.http.response import Response

__all__ = ["DlsRules", "JobRules", "RoutingRules", "SosRules"]

_LINE = 300  # characters of what a service says
_MANY = 4096  # bytes of an answer that is worth a look before it is read


class _StatusRules(PlainRules):
    """Real statuses, and a body that says more."""

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """The error of a status, in the service's own words, with its ``details``."""
        plain = status_error(response, redactor)
        if not isinstance(plain, ApiError):
            return plain
        message, details = self._said(response)
        kind = self._kind(type(plain), response)
        said = redactor.scrub(message)[:_LINE] if message else plain.message
        return kind(said, replace(plain.answer, http_status=response.status, details=details))

    def _said(self, response: Response) -> tuple[str, Any]:
        """What it says to a reader, and to a program."""
        return "", None

    def _kind(self, kind: type[ApiError], response: Response) -> type[ApiError]:
        return kind


class SosRules(_StatusRules):
    """Sensor observations: a write answers 200 whatever became of it, and says the truth inside."""

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """Of a write by its inner status, of a read by its HTTP status. 207 is an error, too: ``PartlyRefused``."""
        if response.method in ("GET", "HEAD") or not 200 <= response.status < 300:
            return super().error(response, redactor)
        if len(response.body) > _MANY and all_done(response.body):
            return None
        meant = verdict(_written(response), response.status)
        if meant.status < 400 and meant.status != 207:
            return None
        answer = replace(
            response.answer(redactor, status=meant.status),
            http_status=response.status,
            details=meant.results or None,
        )
        kind = PartlyRefused if meant.status == 207 else api_error_class(meant.status)
        return kind(redactor.scrub(meant.message)[:_LINE], answer)


class RoutingRules(_StatusRules):
    """Message routing: real statuses, of which 404 is said of an invalid document, too."""

    def _kind(self, kind: type[ApiError], response: Response) -> type[ApiError]:
        return DocumentRefused if issubclass(kind, NotFound) and response.method in ("POST", "PUT") else kind


class DlsRules(_StatusRules):
    """The data lake: one line of text, or a JSON list with the messages for each field."""

    def _said(self, response: Response) -> tuple[str, Any]:
        found = _json(response)
        if not isinstance(found, list):
            return "", None
        return "; ".join(filter(None, map(_of_field, found))), found


class JobRules(_StatusRules):
    """Tasks and workflows: ``{"code", "message", "details"}``."""

    def _said(self, response: Response) -> tuple[str, Any]:
        found = _json(response)
        return "", found.get("details") or None if isinstance(found, dict) else None


def _written(response: Response) -> Any:
    """The JSON of an answer to a write. A page of a proxy is no answer of SOS: ``ProtocolError``."""
    if not response.body:
        return None
    try:
        return orjson.loads(response.body)  # of hundreds of results: json() would look for large integers, too
    except orjson.JSONDecodeError:
        return response.json()


def _json(response: Response) -> Any:
    try:
        return response.json() if "json" in response.content_type else None
    except ProtocolError:
        return None  # an error page that is not what it calls itself: the status says enough


def _of_field(one: Any) -> str:
    if not isinstance(one, dict):
        return ""
    said = one.get("messages")
    words = ", ".join(str(word) for word in said) if isinstance(said, list) else str(said or "")
    return f"{one['key']}: {words}" if one.get("key") else words
