"""A platform's rules as the transport uses them: whatever they raise or return, an answer keeps its meaning."""

from __future__ import annotations

import logging
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from asyncconn.errors import AsyncConnError, ProtocolError
from asyncconn.http.response import status_error

if TYPE_CHECKING:
    from asyncconn.http.redact import Redactor
    from asyncconn.http.response import Response
    from asyncconn.http.transport import RateHint, Rules

__all__ = ["GuardedRules"]

logger = logging.getLogger("asyncconn.http")


class GuardedRules:
    """Rules that never raise: they may be a stranger's, and meet answers that nobody foresaw.

    An error of ours that they raise counts as one they return. Any other becomes one of ours, with theirs as its cause:
    what the status means, or ``ProtocolError`` for a 2xx. Hints that cannot be had are left out, and logged once.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._told = False

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
