"""What answers mean: the rules that a platform adds to the transport, and how the transport lives with them.

Rules are pure functions of an answer. :class:`MemberRules` makes those of most platforms from three facts.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, Protocol

from asyncconn.core.decoding import json_of
from asyncconn.errors import AsyncConnError, ConfigError, NotDone, ProtocolError, api_error_class
from asyncconn.http.response import http_date, status_error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from asyncconn.http.redact import Redactor
    from asyncconn.http.response import Response

__all__ = ["LINES", "GuardedRules", "MemberRules", "PlainRules", "RateHeaders", "RateHint", "Rules", "member"]

logger = logging.getLogger("asyncconn.http")

#: What calls itself JSON, and is a document in each line.
LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})

_EPOCH = 1e9  # a reset beyond that is a time since 1970, not seconds from now
_MILLISECONDS = 1e11
_TEXTS = ("message", "Message", "msg", "detail", "description", "title", "error_description", "error")
_CODES = ("code", "type", "reason", "status")
_LINE = 300  # characters of what a platform says


@dataclass(frozen=True, slots=True)
class RateHint:
    """What an answer's headers say of one part of a limiter: ``remaining`` calls, ``reset_after`` seconds."""

    part: str
    remaining: int | None = None
    reset_after: float | None = None


class Rules(Protocol):
    """What a platform adds to the transport; pure functions of its wire layer."""

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """The error an answer means, or None. For every answer: lists, files, empty bodies and proxies' pages too."""
        ...

    def hints(self, response: Response) -> Iterable[RateHint]:
        """What its headers say of the rate limits."""
        ...


class PlainRules:
    """Statuses mean what HTTP says; no hints."""

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """See :func:`asyncconn.http.response.status_error`."""
        return status_error(response, redactor)

    def hints(self, response: Response) -> Iterable[RateHint]:
        """None."""
        return ()


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """Where a platform tells in every answer what is left of a limit.

    >>> RateHeaders("X-RateLimit-Remaining", "X-RateLimit-Reset", part="window")
    RateHeaders(remaining='X-RateLimit-Remaining', resets='X-RateLimit-Reset', part='window', reset='auto')

    ``remaining`` and ``resets`` are names of headers, ``part`` the name of the limit they speak of. ``reset`` says what
    the second one holds: ``"seconds"`` from now, ``"epoch"`` (since 1970, in seconds or milliseconds), or ``"auto"`` by
    its size.
    """

    remaining: str
    resets: str = ""
    part: str = "window"
    reset: Literal["auto", "epoch", "seconds"] = "auto"

    def __post_init__(self) -> None:
        if self.reset not in ("auto", "epoch", "seconds"):
            raise ConfigError(f"RateHeaders.reset is 'epoch', 'seconds' or 'auto', not {self.reset!r}")

    def hint(self, response: Response) -> RateHint | None:
        """What one answer says; None where it says nothing that is a number."""
        left = _number_in(response.headers, self.remaining)
        at = _number_in(response.headers, self.resets) if self.resets else None
        if left is None and at is None:
            return None
        after = at
        if at is not None and (self.reset == "epoch" or (self.reset == "auto" and at >= _EPOCH)):
            date = http_date(response.headers.get("Date", ""))  # the server's clock, so that ours may be wrong
            now = time.time() if date is None else date.timestamp()
            after = max(0.0, (at / 1000 if at >= _MILLISECONDS else at) - now)
        return RateHint(self.part, None if left is None else int(left), after)


def _number_in(headers: Mapping[str, str], name: str) -> float | None:
    try:
        number = float(headers.get(name, ""))
    except ValueError:
        return None
    return number if isfinite(number) and number >= 0 else None


class MemberRules(PlainRules):
    """Rules from three facts that most platforms' documentation states.

    ``error_at``: the dotted name of a member of a JSON object that means an error although the status is 2xx, when it
    is there and not null, false, 0 or empty, and that says what is wrong where the status is an error's; a stream of
    JSON lines is judged by its first. ``did_nothing``: statuses that surely did nothing, so that any call may be
    repeated. ``headers_tell``: the :class:`RateHeaders`.
    """

    def __init__(
        self, *, error_at: str = "", did_nothing: Collection[int] = (), headers_tell: RateHeaders | None = None
    ) -> None:
        self.error_at = error_at
        self._did_nothing = frozenset(did_nothing)
        self._headers_tell = headers_tell

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """The error of an answer, or None. A number from 400 to 599 at ``error_at`` is the effective status."""
        plain = status_error(response, redactor)
        nothing_done = response.status in self._did_nothing
        if isinstance(plain, ProtocolError) and not nothing_done:
            return plain
        try:
            found = self._member(response)
        except ProtocolError:
            if plain is None and not nothing_done:
                raise
            found = None  # an error page that is not what it calls itself: the status says enough
        if not found:
            return NotDone(plain.message if plain else "", response.answer(redactor)) if nothing_done else plain
        message, code = _said(found)
        status = _status_in(code, response.status) if plain is None else response.status
        answer = response.answer(redactor, status=status, code=None if code is None else redactor.scrub(code)[:_LINE])
        kind = NotDone if nothing_done else api_error_class(status)
        return kind(redactor.scrub(message)[:_LINE], answer)

    def _member(self, response: Response) -> Any:
        if not self.error_at or not response.body or "json" not in response.content_type:
            return None
        return member(_document(response), self.error_at)

    def hints(self, response: Response) -> Iterable[RateHint]:
        """What the headers tell, if it was said which."""
        hint = None if self._headers_tell is None else self._headers_tell.hint(response)
        return () if hint is None else (hint,)


def _document(response: Response) -> Any:
    """The JSON of an answer; of JSON lines, the first."""
    if response.content_type not in LINES:
        return response.json()
    try:
        return json_of(response.body.partition(b"\n")[0], response.headers.get("Content-Type", ""))
    except ValueError:
        return None  # for whoever reads the lines to say


def member(value: Any, path: str) -> Any:
    """What stands at a dotted path of objects; None where there is nothing.

    >>> member({"meta": {"next": 7}}, "meta.next")
    7
    """
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _said(found: Any) -> tuple[str, str | None]:
    """The text and the code of an error: a text, an object with both, a list of these, or a bare code."""
    if isinstance(found, list):
        found = found[0]
    if isinstance(found, dict):
        text = next((found[name] for name in _TEXTS if isinstance(found.get(name), str)), "")
        code = next((found[name] for name in _CODES if isinstance(found.get(name), str | int)), None)
        return text, None if code is None or isinstance(code, bool) else str(code)
    if isinstance(found, int) and not isinstance(found, bool):
        return "", str(found)
    return (found if isinstance(found, str) else ""), None


def _status_in(code: str | None, status: int) -> int:
    return int(code) if code is not None and code.isdecimal() and len(code) == 3 and "400" <= code < "600" else status


class GuardedRules:
    """Rules that never raise: they may be a stranger's, and meet answers that nobody foresaw.

    An error of ours that they raise counts as one they return. Any other becomes one of ours, with theirs as its cause:
    what the status means, or ``ProtocolError`` for a 2xx. Hints that cannot be had are left out, and logged once.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._told = False
        #: Whether an answer may mean something beside what its status says, and hold hints.
        self.judges = type(rules).error is not PlainRules.error
        self.tells = type(rules).hints is not PlainRules.hints
        #: Whether the first line of a stream of JSON lines may be an error.
        self.judges_lines = bool(getattr(rules, "error_at", ""))

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """The error an answer means, or None. Never raises."""
        try:
            found: Any = self._rules.error(response, redactor)
        except Exception as error:  # noqa: BLE001 - a stranger's code; the answer must not be lost with it
            return _meant(response, redactor, error)
        if found is None or isinstance(found, AsyncConnError):
            return found
        kind = type(found).__name__
        wrong = found if isinstance(found, Exception) else TypeError(f"rules return an AsyncConnError, not {kind}")
        return _meant(response, redactor, wrong)

    def hints(self, response: Response) -> list[RateHint]:
        """What its headers say of the rate limits, as far as that can be used. Never raises."""
        try:
            return [_usable(hint) for hint in self._rules.hints(response)]
        except Exception as error:  # noqa: BLE001 - as above: advice, and never worth an answer
            if not self._told:
                self._told = True
                # Its text may quote a header: where it came from says enough.
                what = (response.service, response.method, response.path, type(error).__name__)
                logger.warning("%s %s %s: the rules cannot read its rate hints (%s); they are left out", *what)
            return []


def _meant(response: Response, redactor: Redactor, raised: Exception) -> AsyncConnError:
    fine = 200 <= response.status < 300
    if isinstance(raised, AsyncConnError) and (fine or not isinstance(raised, ProtocolError)):
        return raised
    # An error page that rules cannot read means what its status says, and may be repeated as that.
    ours = status_error(response, redactor) or ProtocolError(
        f"{response.service}: {response.method} {response.path} answered {response.status}, "
        f"and the rules cannot read it: {type(raised).__name__}: {raised}"
    )
    ours.__cause__ = raised
    return ours


def _usable(hint: RateHint) -> RateHint:
    """The hint, its numbers only where they are some."""
    left, after = hint.remaining, hint.reset_after
    fine = (left is None or type(left) is int) and (after is None or (type(after) is float and 0 <= after < 1e9))
    if fine and type(hint.part) is str:
        return hint
    return replace(hint, part=str(hint.part), remaining=_number(left, int), reset_after=_number(after, float))


def _number(given: Any, kind: type[Any]) -> Any:
    if given is None or isinstance(given, bool):
        return None
    number = float(given)
    return kind(max(0.0, number)) if isfinite(number) else None
