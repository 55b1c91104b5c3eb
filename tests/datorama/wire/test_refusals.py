"""What 429s in a row mean that name the ends of minute and day, and not which of them is used up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from multidict import CIMultiDict

from asyncconn.datorama.refusals import TokenRules
from asyncconn.errors import QuotaExhausted, RateLimited
from asyncconn.http.redact import Redactor
from asyncconn.http.response import Response
from asyncconn.http.rules import RateHint

START = datetime(2026, 1, 1, 11, 0, tzinfo=UTC)
MIDNIGHT = datetime(2026, 1, 2, tzinfo=UTC)


def answer(at: float, status: int = 429, *, minute: float = 60.0, day: bool = True, **more: str) -> Response:
    """One that came so many seconds after the start."""
    now = START + timedelta(seconds=at)
    headers = CIMultiDict({"Date": format_datetime(now, usegmt=True), "Content-Type": "text/plain"})
    if status == 429:
        headers["X-RateLimit-Reset"] = str(round((now.timestamp() + minute) * 1000))
    if status == 429 and day:
        midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
        headers["X-DailyQuota-Rest"] = str(round(midnight.timestamp() * 1000))
    headers.update({name.replace("_", "-"): value for name, value in more.items()})
    return Response("datorama", "GET", "/v1/workspaces", status, headers, b"")


def told(*answers: Response) -> list[type[Exception] | None]:
    """What a token's rules make of them, one after the other, as a transport asks."""
    rules = TokenRules(260)
    found: list[type[Exception] | None] = []
    for one in answers:
        closes = any((hint.part, hint.remaining) == ("daily", 0) for hint in rules.hints(one))
        error = rules.error(one, Redactor())
        assert closes == isinstance(error, QuotaExhausted)
        found.append(None if error is None else type(error))
    return found


BUSY, OVER = RateLimited, QuotaExhausted


def test_the_third_in_a_row_and_each_one_after_it_is_for_the_day() -> None:
    assert told(*[answer(at) for at in (0, 60, 120, 180, 7200)]) == [BUSY, BUSY, OVER, OVER, OVER]


def test_it_names_the_end_of_the_day_and_closes_it_until_then() -> None:
    rules = TokenRules(260)
    for at in (0, 60):
        assert rules.hints(answer(at)) == []
    last = answer(120)
    assert rules.hints(last) == [RateHint("daily", 0, (MIDNIGHT - START).total_seconds() - 120)]
    error = rules.error(last, Redactor())
    assert isinstance(error, QuotaExhausted)
    assert error.resets_at == MIDNIGHT


@pytest.mark.parametrize(
    "answers",
    [
        [answer(0), answer(0), answer(1), answer(1), answer(30)],  # sent together, or before the minute ended
        [answer(0, minute=1), answer(1, minute=1), answer(2, minute=1), answer(14)],  # the same with a short pause
        [answer(at, minute=-3600.0) for at in (0, 15, 30, 45)],  # clocks that differ: nobody knows when it ends
        [answer(at, day=False) for at in (0, 60, 120, 180)],
        [answer(0), answer(60), answer(120, X_DailyQuota_Remaining="70")],  # it says that it is not for the day
    ],
)
def test_what_is_no_third_minute_or_names_no_day_is_for_the_minute(answers: list[Response]) -> None:
    assert set(told(*answers)) == {BUSY}


def test_a_call_that_is_served_begins_anew_and_an_answer_of_a_gateway_does_not() -> None:
    assert told(answer(0), answer(60), answer(61, 200), answer(120), answer(180))[-1] is BUSY
    assert told(answer(0), answer(60), answer(61, 503), answer(120))[-1] is OVER


def test_refusals_of_yesterday_are_none_of_today() -> None:
    assert told(answer(0), answer(60), answer(86_400), answer(86_460), answer(86_520))[2:] == [BUSY, BUSY, OVER]


@pytest.mark.parametrize(
    ("before", "left", "more", "last"),
    [
        (0, "20000", {}, BUSY),
        (0, "1000", {}, BUSY),
        (0, "700", {}, OVER),  # 260 a minute by whoever has the token
        (0, "1000", {"X_PlatformRateLimit_Limit": "500"}, OVER),  # as the server allows more
        (-3600, "12000", {}, OVER),
        (-3600, "19000", {}, BUSY),
        (-43_200, "20000", {}, OVER),  # of yesterday
        (0, "many", {}, OVER),
    ],
)
def test_an_answer_that_told_of_more_than_can_have_been_used_since_is_believed(
    before: float, left: str, more: dict[str, Any], last: type[Exception]
) -> None:
    served = answer(before, 200, X_QueryRateLimit_Remaining="7", X_DailyQuota_Remaining=left, **more)
    assert told(served, answer(0), answer(60), answer(120)) == [None, BUSY, BUSY, last]


def test_an_answer_that_is_not_the_tokens_own_means_what_it_says() -> None:
    rules = TokenRules(260)
    for at in (0, 60, 120):
        rules.hints(answer(at))
    assert isinstance(rules.error(answer(180), Redactor()), RateLimited)  # no hints are asked of it
