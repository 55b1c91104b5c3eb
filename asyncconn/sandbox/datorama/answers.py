"""What goes back: JSON, nothing, the HTML shell page, and errors in every shape that was ever seen.

Contract: datorama sections 1.1, 4.3 and 5.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from asyncconn.sandbox.exchange import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SHELL", "TOO_MANY", "ApiError", "Voice", "json_answer", "nothing"]

_JSON = "application/json"
TOO_MANY = "Too Many Requests"
#: What the real hosts answer to a GET of a path that does not exist.
SHELL = Answer(
    200,
    b"<!DOCTYPE html>\n<html><head><title>Marketing Cloud Intelligence</title></head>"
    b'<body><div id="app"></div></body></html>\n',
    "text/html; charset=utf-8",
)


class ApiError(Exception):
    """Becomes an answer. ``form`` is its usual shape, one of :data:`~asyncconn.sandbox.datorama.world.ERROR_BODIES`."""

    def __init__(self, status: int, message: str, form: str = "msg") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.form = form


def json_answer(value: Any, status: int = 200) -> Answer:
    """A JSON body."""
    return Answer(status, json.dumps(value, separators=(",", ":")).encode(), _JSON)


def nothing(status: int = 204) -> Answer:
    """No body; with another status than 204 it is still announced as JSON."""
    return Answer(status, b"", _JSON)


class Voice:
    """Words errors, in the world's ``error_bodies`` in turn, or else each in its usual shape."""

    def __init__(self, forms: tuple[str, ...]) -> None:
        self._forms: Iterator[str] | None = itertools.cycle(forms) if forms else None

    def answer(self, error: ApiError) -> Answer:
        """The next error."""
        form = next(self._forms) if self._forms is not None else error.form
        match form:
            case "empty":
                return nothing(error.status)
            case "text":
                return Answer(error.status, error.message.encode())
            case "errors":
                return json_answer({"errors": [error.message]}, error.status)
            case "msg" if error.status == 422:
                return json_answer({"msg": error.message, "validationError": ""}, error.status)
        return json_answer({form: error.message}, error.status)
