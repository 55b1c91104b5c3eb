"""What a service answered, as errors carry it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asyncconn._portable import printable

__all__ = ["Answer"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered: what an :class:`~asyncconn.errors.ApiError` knows besides its message.

    ``service`` (the platform's name), ``status`` (HTTP, or the effective one where a platform hides it in the body),
    ``code`` (the platform's own word, if any), ``request_id``, ``retry_after`` (seconds, if a time was named: a text
    that is a number will do), ``body`` (an excerpt of at most 2,000 characters with credentials removed),
    ``http_status`` (where the effective one is another) and ``details`` (what the platform says for a program: a result
    for each item, say).
    """

    service: str
    status: int
    code: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    body: str = ""
    http_status: int | None = None
    details: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "retry_after", _seconds(self.retry_after))
        for name in ("code", "request_id", "body"):
            object.__setattr__(self, name, printable(getattr(self, name)))


def _seconds(given: Any) -> float | None:
    """Seconds that can be waited for: a header's text where it is a number, nothing where it is none."""
    try:
        seconds = float(given)
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < float("inf") else None
