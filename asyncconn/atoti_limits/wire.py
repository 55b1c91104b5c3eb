"""What the answers of session and Limits server mean. Pure functions. Contract: limits sections 5, 6.4, 10.4, 13."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.errors import (
    Detail,
    LimitsAuthError,
    LimitsConflict,
    LimitsPermissionError,
    LimitsProtocolError,
    LimitsValidationError,
    SessionNotReady,
)
from asyncconn.errors import Answer, ApiError, AsyncConnError, ProtocolError, TransportError, api_error_class
from asyncconn.http.redact import EXCERPT
from asyncconn.http.response import Response, retry_after, status_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncconn.http.redact import Redactor
    from asyncconn.http.rules import RateHint

__all__ = ["ServerRules", "SessionRules", "boolean", "details_of", "document", "message_of", "passing"]

_KINDS: dict[int, type[ApiError]] = {
    400: LimitsValidationError,
    401: LimitsAuthError,
    403: LimitsPermissionError,
    409: LimitsConflict,
    422: LimitsValidationError,
}
_SHOWN = 3  # details in the message of an error that has no place for them
_TRACE = "stackTrace"
_DEEP = 50  # members inside members: more than that nobody reads, and no encoder writes without end


class ServerRules:
    """The Limits server's: statuses as in section 10.4, errors in the forms of 6.4."""

    kinds = _KINDS

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """The error of an answer, or None."""
        status = response.status
        if status < 400:
            return status_error(response, redactor)
        parsed = _parsed(response)
        body = redactor.excerpt(response.utf8 if parsed is None else _compact(without_trace(parsed)))
        message = redactor.scrub(message_of(parsed if parsed is not None else body))
        details = details_of(parsed, redactor)
        kind = self.kinds.get(status) or api_error_class(status)
        more: dict[str, Any] = {}
        if issubclass(kind, LimitsValidationError):
            more["details"] = details
        elif details:
            message = f"{message}: {'; '.join(map(str, details[:_SHOWN]))}"
        return kind(
            message,
            Answer(response.service, status, retry_after=retry_after(response.headers), body=body[:EXCERPT]),
            **more,
        )

    def hints(self, response: Response) -> Iterable[RateHint]:
        """None: neither server has a rate limit."""
        return ()


class SessionRules(ServerRules):
    """The session's: a 503 says that it is not ready, except for its administrator."""

    kinds = {**_KINDS, 503: SessionNotReady}  # noqa: RUF012 - a table, as in the class above


def passing(error: AsyncConnError) -> bool:
    """Whether a poll that ended so means "not yet": no connection, 502, 503, 504. Contract: section 5.1.

    Not where no repetition helps: a certificate that is not trusted stays so.
    """
    if isinstance(error, TransportError):
        return not error.permanent
    return isinstance(error, ApiError) and error.status in (502, 503, 504)


def message_of(answer: Any) -> str:
    """The message of an error in any of its forms: concise, detailed, detailed before 6.0, or a line of text.

    >>> message_of({"errorChain": [{"message": "no such cube"}], "stackTrace": "..."})
    'no such cube'
    """
    if isinstance(answer, str):
        line = answer.strip().partition("\n")[0]
        return "" if line.startswith("<") else line[:300]
    if not isinstance(answer, dict):
        return ""
    error, chain = answer.get("error"), answer.get("errorChain")
    if isinstance(error, str):
        return error[:300]
    if isinstance(chain, list) and chain and isinstance(chain[0], dict):
        return str(chain[0].get("message") or "")[:300]
    if isinstance(error, dict):
        return message_of(error)
    return str(answer["message"])[:300] if isinstance(answer.get("message"), str) else ""


def details_of(answer: Any, redactor: Redactor) -> list[Detail]:
    """The rows and fields that an error names, if it does."""
    found = answer.get("details") if isinstance(answer, dict) else None
    details = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return [
        Detail(
            redactor.scrub(str(one.get("message", ""))),
            row if isinstance(row := one.get("row"), int) else None,
            redactor.scrub(field) if isinstance(field := one.get("field"), str) else None,
        )
        for one in details
    ]


def without_trace(answer: Any, depth: int = _DEEP) -> Any:
    """An error as it came, but for its stack traces, and what is nested deeper than any error is."""
    if depth == 0:
        return None
    if isinstance(answer, dict):
        return {key: without_trace(value, depth - 1) for key, value in answer.items() if key != _TRACE}
    return [without_trace(one, depth - 1) for one in answer] if isinstance(answer, list) else answer


def _compact(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def document(response: Response) -> Any:
    """The JSON of an answer, without the wrapper of servers before 6.0 around it. Raises ``LimitsProtocolError``."""
    value = _json(response)
    if isinstance(value, dict) and value.get("status") == "success" and "data" in value:
        return value["data"]
    return value


def boolean(response: Response) -> bool:
    """A body that is ``true`` or ``false`` and nothing else. Raises ``LimitsProtocolError``."""
    value = _json(response)
    if value is not True and value is not False:
        raise LimitsProtocolError(
            f"{response.service}: {response.method} {response.path} answered a JSON {type(value).__name__}, "
            f"where true or false was due"
        )
    return value


def _json(response: Response) -> Any:
    value = _parsed(response)
    if value is None and response.text.strip() != "null":
        kind = response.content_type or "no content type"
        raise LimitsProtocolError(
            f"{response.service}: {response.method} {response.path} answered {response.status} with {kind}, not JSON"
        )
    return value


def _parsed(response: Response) -> Any:
    try:
        return response.json()
    except ProtocolError:
        return None
