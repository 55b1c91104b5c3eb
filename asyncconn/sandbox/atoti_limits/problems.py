"""Refusals, and the three formats in which an Atoti server writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from asyncconn.sandbox.exchange import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ErrorStyle", "Findings", "Problem", "json_answer", "problem_answer"]

ErrorStyle = Literal["concise", "detailed", "pre6"]
_TRACE = "com.example.sandbox.Invented\n\tat com.example.sandbox.Invented.method(Invented.java:1)"


class Problem(Exception):
    """A request refused with ``status``; ``details`` say where in the body."""

    def __init__(
        self,
        status: int,
        message: str | None = None,
        *,
        details: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.message = message or _phrase(status)
        self.details = [dict(detail) for detail in details]
        self.headers = dict(headers or {})
        super().__init__(self.message)


@dataclass(slots=True)
class Findings:
    """What is wrong with the rows of one request.

    ``lines`` are the rows' numbers for the user (a CSV file's lines; None counts from 1), ``titles`` the names by
    which the user knows the fields.
    """

    lines: Sequence[int] | None = None
    titles: Mapping[str, str] = field(default_factory=dict)
    details: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: int, name: str, message: str) -> None:
        """``row`` counts from 0."""
        line = row + 1 if self.lines is None else self.lines[row]
        self.details.append({"row": line, "field": self.titles.get(name, name), "message": message})

    def refuse(self, status: int, message: str) -> None:
        """Raise :class:`Problem` if there is anything."""
        if self.details:
            raise Problem(status, message, details=self.details)


def json_answer(value: Any, status: int = 200) -> Answer:
    """``value`` as a JSON body."""
    return Answer(status, json.dumps(value).encode(), "application/json")


def problem_answer(problem: Problem, path: str, style: ErrorStyle, *, stack_traces: bool) -> Answer:
    """``problem`` in the given format. A stack trace (invented) is in it only if asked for."""
    body: dict[str, Any]
    if style == "concise":
        body = {"error": problem.message, "path": path, "status": problem.status}
    else:
        kind = _phrase(problem.status).title().replace(" ", "").replace("-", "") + "Exception"
        body = {
            "errorChain": [{"message": problem.message, "type": kind}],
            "stackTrace": _TRACE if stack_traces else "",
        }
        if style == "pre6":
            body = {"status": "error", "error": body}
    if problem.details:
        body["details"] = problem.details
    answer = json_answer(body, problem.status)
    return Answer(answer.status, answer.body, answer.content_type, problem.headers)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
