"""What the services say: JSON, errors with a code, and the envelope that hides an error in a 200.

Contract: tcup sections 1.6 and 13.7 to 13.8, 13.35.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.exchange import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SPELLINGS", "Refused", "envelope", "error_answer", "json_answer", "result", "spelled", "text_answer"]

#: How an inner status may be spelled: as one of six members, or by a word in ``status`` or ``message`` alone.
SPELLINGS = ("code", "statusCode", "httpStatusCode", "httpStatus", "status", "responseCode", "word", "message")

_PHRASES = {413: "Payload Too Large"}  # its name changed with the versions of Python
# Words that a client knows; any other status is said in words that it does not know.
_WORDS = {
    200: "success",
    201: "created",
    400: "bad request",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    409: "conflict",
}


class Refused(Exception):
    """Becomes an error answer, in the words of the service that refuses."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details
        self.headers = headers or {}


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A JSON body."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return Answer(status, body, "application/json", headers or {})


def text_answer(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A line of plain text."""
    return Answer(status, text.encode("utf-8", "replace"), "text/plain; charset=utf-8", headers or {})


def error_answer(refused: Refused) -> Answer:
    """``code`` and ``message``; ``details``, too, where the service has them."""
    value: dict[str, Any] = {"code": refused.status, "message": refused.message}
    if refused.details is not None:
        value["details"] = dict(refused.details)
    return json_answer(value, refused.status, refused.headers)


def result(index: int, name: str | None, code: int) -> dict[str, Any]:
    """What became of one item."""
    return {"index": index, "id": name, "code": code, "status": phrase(code)}


def envelope(code: int, message: str, results: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The body of every SOS write."""
    return {"code": code, "status": phrase(code), "message": message, "results": list(results)}


def phrase(code: int) -> str:
    """The words of a status."""
    try:
        return _PHRASES.get(code) or HTTPStatus(code).phrase
    except ValueError:
        return "Unknown"


def spelled(value: dict[str, Any], spelling: str, *, digits: bool) -> dict[str, Any]:
    """The same envelope with its inner status, and that of its results, in another spelling.

    ``digits`` makes text of the number.
    """
    renamed = _spelled_one(value, spelling, digits=digits)
    if "results" in value:
        renamed["results"] = [_spelled_one(each, spelling, digits=digits) for each in value["results"]]
    return renamed


def _spelled_one(value: Mapping[str, Any], spelling: str, *, digits: bool) -> dict[str, Any]:
    code = value["code"]
    word = _WORDS.get(code, phrase(code).lower())
    kept = {name: each for name, each in value.items() if name != "code"}
    match spelling:
        case "word":
            return {**kept, "status": word}
        case "message":
            text = f"{word}: {kept['message']}" if "message" in kept else word
            return {name: each for name, each in kept.items() if name != "status"} | {"message": text}
    said = str(code) if digits else code
    return {spelling: said} | {name: each for name, each in kept.items() if name != spelling}
