"""What the answers to one token mean one after the other: 429s in a row may be for the day. Contract: section 4.3.

The headers that the documentation names for a 429 tell when the minute and the day end, and not which of them is used
up. Whoever else uses the token may have used up either.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from asyncconn.datorama import wire
from asyncconn.http.rules import RateHint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from asyncconn.errors import AsyncConnError
    from asyncconn.http.response import Response

__all__ = ["TokenRules"]

_ENOUGH = 3  # refusals in a row: one that keeps the day closed for nothing costs more than a minute of waiting
_SECOND = timedelta(seconds=1)  # a Date is in whole ones
_APART = timedelta(seconds=15)  # calls that are refused together are one refusal, however short the pause is


class TokenRules(wire.DatoramaRules):
    """The rules of one token, which remember what was refused since a call was served.

    A 429 says only that a limit is used up. The third in a row, each after the end of the minute that the one before
    named, is taken for the day's, as by our count there was room in each of these minutes. Not where an answer of the
    same day told of more calls left than can have been made since, at ``per_minute``: then somebody else takes every
    minute.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._answered: Mapping[str, str] = {}  # the headers of the newest answer to a call that was served
        self._in_a_row = 0
        self._last: wire.Refused | None = None  # of those in a row
        self._spent: Response | None = None  # the newest answer that was taken for the end of the day

    def hints(self, response: Response) -> list[RateHint]:
        """What the headers say; and that nothing is left of the day, where this is the 429 by which that is known."""
        found = wire.hints(response)
        if response.status != 429:
            if self._in_a_row and response.status < 500:
                self._in_a_row, self._last = 0, None
            if found:
                self._answered = response.headers
        elif (refused := wire.refused(response)) is not None and self._is_for_the_day(refused):
            self._spent = response
            found.append(RateHint(wire.DAILY, 0, (refused.day_ends - refused.at).total_seconds()))
        return found

    def refusal(self, response: Response) -> AsyncConnError:
        """See :class:`asyncconn.datorama.wire.DatoramaRules`."""
        if response is self._spent and self._last is not None:
            return wire.used_up(response, self._last.day_ends)
        return super().refusal(response)

    def _is_for_the_day(self, refused: wire.Refused) -> bool:
        last = self._last
        if last is not None and refused.at >= last.day_ends:
            last, self._in_a_row = None, 0  # those were of another day
        if last is None or refused.at >= max(last.minute_ends - _SECOND, last.at + _APART):
            self._in_a_row, self._last = self._in_a_row + 1, refused
        return self._in_a_row >= _ENOUGH and self._may_be_over(refused.at)

    def _may_be_over(self, now: datetime) -> bool:
        """Whether all that was left when a call was last served can have been used since."""
        known = wire.left_of_day(self._answered)
        if known is None or known.at.date() != now.date():
            return True
        minutes = max(0.0, (now - known.at).total_seconds()) / 60 + 1
        return known.remaining <= max(self._per_minute, known.per_minute) * minutes
