"""Datorama on the wire: hosts, headers, what its answers mean, what they say of the limits. Pure functions.

Contract: datorama sections 1 (hosts, auth, headers), 4.2 and 4.3 (rate headers), 5 (errors).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from asyncconn.core.digits import whole
from asyncconn.datorama.errors import DatoramaProtocolError, DatoramaQueryError
from asyncconn.errors import (
    Answer,
    AsyncConnError,
    ConfigError,
    ProtocolError,
    QuotaExhausted,
    RateLimited,
    Unprocessable,
    api_error_class,
)
from asyncconn.http.response import Response, http_date, retry_after, status_error
from asyncconn.http.rules import RateHint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asyncconn.http.redact import Redactor

__all__ = ["DAILY", "HEADERS", "PLATFORM", "QUERY", "REGIONS", "DatoramaRules", "base_url"]

#: Contract: datorama section 1.1.
REGIONS = {
    "us": "https://api.datorama.com",
    "us2": "https://api-us2.datorama.com",
    "eu": "https://api-eu.datorama.com",
    "eu2": "https://api-eu2.datorama.com",
}

HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}

PLATFORM, QUERY, DAILY = "platform", "query", "daily"

_FAMILIES = {PLATFORM: "X-PlatformRateLimit", QUERY: "X-QueryRateLimit", DAILY: "X-DailyQuota"}
_DAILY_RESETS = ("X-DailyQuota-Rest", "X-DailyQuota-Reset")  # the first as the documentation spells it
_MESSAGE_KEYS = ("info", "msg", "message", "error", "errors")
_UNNAMED = 15.0  # seconds to hold after a 429 that names no time: four of them span a minute
_LINE = 300  # characters of a message
_MINUTE, _DAY = 62.0, 86_402.0  # seconds until a reset at most, with two for a Date in whole seconds
_PAST = 5.0  # seconds: a reset that is longer ago is none, or the clocks of header and Date do not agree
_YEARS_APART = 20  # a clock further from ours is not set
_LEAST = 1.0  # a reset that is now, or has just been: clocks differ a little


def base_url(region: str) -> str:
    """The address of a region. Raises ``ConfigError`` naming those there are."""
    try:
        return REGIONS[region]
    except (KeyError, TypeError):
        raise ConfigError(
            f"there is no region {region!r}: it is one of {', '.join(REGIONS)}, or give base_url"
        ) from None


# -- limits ------------------------------------------------------------------------------------------------------------


def batch_body(ids: Sequence[int], days: Mapping[str, str], *, create: bool) -> dict[str, Any]:
    """What D8 takes: streams, and the days for all of them. Contract: section 2.2."""
    return {"dataStreamIds": list(ids), **days, "create": create}


def hints(response: Response) -> list[RateHint]:
    """What the nine headers say, as far as they are there: calls left, and seconds until the reset."""
    found = []
    for part, prefix in _FAMILIES.items():
        remaining = whole(response.headers.get(f"{prefix}-Remaining"))
        if remaining is not None:
            most = _DAY if part == DAILY else _MINUTE
            found.append(RateHint(part, remaining, _until(response, f"{prefix}-Reset", most)))
    if response.status == 429 and not found and _only_the_day(response.headers):
        found.append(RateHint(DAILY, 0, _daily_reset(response)))
    return found


def _only_the_day(headers: Mapping[str, str]) -> bool:
    """Whether a 429 names the day's end and nothing earlier."""
    day = any(whole(headers.get(name)) is not None for name in _DAILY_RESETS)
    return day and "Retry-After" not in headers and whole(headers.get("X-RateLimit-Reset")) is None


def _daily_reset(response: Response) -> float | None:
    found = (_until(response, name, _DAY) for name in _DAILY_RESETS)
    return next((seconds for seconds in found if seconds is not None), None)


def _refusal(response: Response) -> AsyncConnError:
    """The error of a 429: the day's end, or the seconds after which it may work. Both spellings of the headers."""
    headers = response.headers
    left = {hint.part: hint for hint in hints(response)}
    if DAILY in left and left[DAILY].remaining == 0:
        now, daily = _now(headers), _daily_reset(response)
        return used_up(response, _midnight_after(now) if daily is None else now + timedelta(seconds=daily))
    return RateLimited(
        "Too Many Requests", Answer(response.service, response.status, retry_after=_asked_for(response, left))
    )


def used_up(response: Response, resets_at: datetime) -> QuotaExhausted:
    """The error of a 429 for the day."""
    when = resets_at.isoformat(timespec="seconds")
    return QuotaExhausted(f"{response.service}: the day's calls are used up until {when}", resets_at=resets_at)


@dataclass(frozen=True, slots=True)
class Refused:
    """A 429 that may be for the minute or for the day: when it came, and when either is over, by the server's clock."""

    at: datetime
    minute_ends: datetime
    day_ends: datetime


def refused(response: Response) -> Refused | None:
    """What a 429 says that does not say what it is for: it names the end of the day, and no calls left of it."""
    daily = _daily_reset(response)
    if daily is None or any(hint.part == DAILY for hint in hints(response)):
        return None
    now, reset = _now(response.headers), _until(response, "X-RateLimit-Reset", _MINUTE)
    minute = timedelta(seconds=_MINUTE if reset is None else reset)
    return Refused(now, now + minute, now + timedelta(seconds=daily))


@dataclass(frozen=True, slots=True)
class Left:
    """What an answer told at a time: calls ``remaining`` of the day, and those that a minute allows."""

    at: datetime
    remaining: int
    per_minute: int


def left_of_day(headers: Mapping[str, str]) -> Left | None:
    """What the headers of an answer tell of the day, and when; None where they do not."""
    remaining = whole(headers.get(f"{_FAMILIES[DAILY]}-Remaining"))
    at = http_date(headers.get("Date", ""))
    if remaining is None or at is None:
        return None
    minutes = (whole(headers.get(f"{_FAMILIES[part]}-Limit")) or 0 for part in (PLATFORM, QUERY))
    return Left(at, remaining, sum(minutes))


def _asked_for(response: Response, left: Mapping[str, RateHint]) -> float:
    """Seconds that a 429 asks to wait, and no more: by the header made for it, else by a reset, else by a guess.

    All callers of the token wait so long, so the longest of several times would hold them beyond the server's word.
    """
    mine = left.get(QUERY if _is_query(response) else PLATFORM)
    if (asked := retry_after(response.headers)) is not None:
        return asked
    reset = _until(response, "X-RateLimit-Reset", _MINUTE)
    if reset is None and mine is not None and mine.reset_after is not None:
        # With calls left it was a passing refusal: no time is named, but a new minute begins then at the latest.
        reset = mine.reset_after if mine.remaining == 0 else min(_UNNAMED, mine.reset_after)
    return _UNNAMED if reset is None else max(_LEAST, reset)


def _now(headers: Mapping[str, str]) -> datetime:
    """The server's clock where the answer shows one that can be true, so that ours may be wrong."""
    ours, theirs = datetime.now(UTC), http_date(headers.get("Date", ""))
    return ours if theirs is None or abs(theirs.year - ours.year) > _YEARS_APART else theirs


def _until(response: Response, name: str, most: float) -> float | None:
    """Seconds from the answer's ``Date`` until the epoch milliseconds of a header, if they can be true."""
    at = whole(response.headers.get(name))
    if at is None:
        return None
    seconds = at / 1000 - _now(response.headers).timestamp()
    return None if seconds < -_PAST else min(max(0.0, seconds), most)


def _midnight_after(now: datetime) -> datetime:
    return datetime.combine(now.date() + timedelta(days=1), time(), UTC)


def _is_query(response: Response) -> bool:
    return response.path.endswith(("/v1/query", "/v1/query-batch"))


# -- answers -----------------------------------------------------------------------------------------------------------


class DatoramaRules:
    """What Datorama's answers mean, beyond HTTP."""

    def error(self, response: Response, redactor: Redactor) -> AsyncConnError | None:
        """The error of an answer, or None."""
        if 200 <= response.status < 300:
            return _page(response)
        if response.status == 429:
            return self.refusal(response)
        if 300 <= response.status < 400:
            return status_error(response, redactor)
        kind = api_error_class(response.status)
        if kind is Unprocessable and _is_query(response):
            kind = DatoramaQueryError
        said = redactor.scrub(message_of(response.text))  # what was escaped in JSON is not any more
        return kind(said[:_LINE], response.answer(redactor))

    def refusal(self, response: Response) -> AsyncConnError:
        """The error of a 429, as far as it says what it means."""
        return _refusal(response)

    def hints(self, response: Response) -> Iterable[RateHint]:
        """See :func:`hints`."""
        return hints(response)


def _page(response: Response) -> DatoramaProtocolError | None:
    """Paths that do not exist answer 200 with a page."""
    if not response.body or response.content_type.endswith("json"):
        return None
    if "html" not in response.content_type:
        with suppress(ProtocolError):
            response.json()
            return None
    return _not_json(response, response.content_type or "something else")


def json_of(response: Response) -> Any:
    """The body, or None for an empty one. Raises ``DatoramaProtocolError``."""
    if not response.body.strip():
        return None
    with suppress(ProtocolError):
        return response.json()
    raise _not_json(response, "a broken body")


def _not_json(response: Response, what: str) -> DatoramaProtocolError:
    return DatoramaProtocolError(
        f"{response.service}: {response.method} {response.path} answered {response.status} with {what}, not JSON"
    )


def message_of(text: str) -> str:
    """What an error body says, in one line: no schema is documented, so whatever looks like a message."""
    try:
        parsed: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        stripped = text.strip()
        return "" if stripped.startswith("<") else stripped.partition("\n")[0]
    if isinstance(parsed, dict):
        said = next((parsed[key] for key in _MESSAGE_KEYS if parsed.get(key)), "")
        more = parsed.get("validationError")
        return ": ".join(_plain(part) for part in (said, more) if part)
    return _plain(parsed)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    with suppress(TypeError):  # nested deeper than can be written
        return orjson.dumps(value).decode()
    return ""
