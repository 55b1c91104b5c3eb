"""Counting per token: exact at the boundaries, in both kinds of window, and told in every style."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from asyncconn.core.clock import VirtualClock
from asyncconn.sandbox import DatoramaWorld, Fault, Sandbox
from asyncconn.sandbox.clock import MovableClock
from asyncconn.sandbox.datorama.limits import RATE_HEADERS, Allowance
from asyncconn.sandbox.datorama.options import Options

from .datorama_client import START, WORKSPACE, Api, datorama
from .scene import Reply

QUERY = {
    "workspaceId": WORKSPACE,
    "dateRange": "YESTERDAY",
    "measurements": [{"name": "Clicks"}],
    "dimensions": ["Day"],
}
MILLIS = int(START.timestamp() * 1000)


def left(reply: Reply) -> tuple[int, int, int]:
    """Platform, query, day."""
    p, q, d = (int(reply.headers[name]) for name in RATE_HEADERS if name.endswith("Remaining"))
    return p, q, d


def reset(reply: Reply, family: str) -> float:
    """Seconds from the start."""
    return (int(reply.headers[f"X-{family}-Reset"]) - MILLIS) / 1000


def allowance(**options: Any) -> tuple[Allowance, VirtualClock]:
    clock = VirtualClock(START)
    return Allowance(Options(**options), MovableClock(clock)), clock


async def test_the_61st_call_of_a_minute_is_refused_and_counts_for_nothing() -> None:
    async with datorama() as api:
        assert await api.statuses(62) == "." * 60 + "xx"
        counters = api.sandbox.datorama.counters
        assert (counters.platform, counters.refused, api.sandbox.datorama.refused) == (62, 2, 2)
        api.advance(60)
        assert left(await api("GET", "/v1/workspaces")) == (59, 200, 20_000 - 61)


async def test_any_sixty_seconds_hold_sixty_calls_when_windows_slide() -> None:
    async with datorama(platform_per_minute=4) as api:
        api.advance(59)
        assert await api.statuses(2) == ".."
        api.advance(2)  # another minute of the clock
        assert await api.statuses(3) == "..x"
        api.advance(57.999)
        assert await api.statuses(1) == "x"
        api.advance(0.001)  # a minute after the first two
        assert await api.statuses(3) == "..x"


async def test_minutes_of_the_clock_hold_sixty_calls_when_windows_are_fixed() -> None:
    async with datorama(platform_per_minute=4, windows="fixed") as api:
        api.advance(59)
        assert await api.statuses(5) == "....x"
        api.advance(0.999)
        assert await api.statuses(1) == "x"
        api.advance(0.001)
        assert await api.statuses(5) == "....x"


def test_no_minute_whatever_holds_more_than_the_limit() -> None:
    let, clock = allowance(platform_per_minute=7)
    taken = []
    for step in range(4000):
        clock.advance(step * 37 % 11 / 3)
        if let.take("platform"):
            taken.append(clock.now())
    assert all(b - a >= 60 - 1e-5 for a, b in zip(taken, taken[7:], strict=False))
    assert len(taken) > 4000 * 5 / 3 / 60 * 7 * 0.9


def test_a_minute_measured_in_thirds_of_seconds_is_a_minute() -> None:
    let, clock = allowance(platform_per_minute=1)
    assert let.take("platform")
    for _ in range(180):
        clock.advance(1 / 3)  # adds up to a little less than 60
    assert let.take("platform")


def test_a_minute_that_rounding_made_a_microsecond_shorter_is_a_minute() -> None:
    let, clock = allowance(platform_per_minute=1)
    clock.advance(1.5e-6)  # counts as 2 microseconds
    assert let.take("platform")
    clock.advance(60 - 1e-10)  # counts as 60 seconds and 1 microsecond
    assert let.take("platform")


async def test_queries_have_a_limit_of_their_own() -> None:
    async with datorama(platform_per_minute=2, query_per_minute=3) as api:
        assert await api.statuses(4, "/v1/query", "POST", QUERY) == "...x"
        assert await api.statuses(3) == "..x"
        api.advance(60)
        await api.ok("POST", "/v1/query-batch", [QUERY, QUERY])  # one call
        assert left(await api("POST", "/v1/query", QUERY)) == (2, 1, 20_000 - 5 - 2)
        assert {(call.kind, call.status) for call in api.sandbox.datorama.calls} == {
            ("query", 200), ("query", 429), ("platform", 200), ("platform", 429),
        }  # fmt: skip


async def test_the_day_counts_both_kinds_together_and_ends_at_midnight_utc() -> None:
    async with datorama(per_day=3, platform_per_minute=100) as api:
        api.advance(86_400 - 100)
        assert await api.statuses(2) == ".."
        reply = await api("POST", "/v1/query", QUERY)
        assert (left(reply), reset(reply, "DailyQuota")) == ((98, 199, 0), 86_400)
        assert await api.statuses(1) == "x"
        api.advance(99.999)
        assert await api.statuses(1) == "x"
        api.advance(0.001)
        assert await api.statuses(1) == "."


def test_twenty_thousand_calls_make_a_day() -> None:
    let, clock = allowance()
    taken = 0
    for _ in range(400):
        taken += sum(let.take("platform") for _ in range(60))
        clock.advance(60)
    assert taken == 20_000
    clock.advance(86_400 - 400 * 60)
    assert let.take("platform")


async def test_each_token_has_its_own_allowance() -> None:
    async with datorama(tokens=2, platform_per_minute=1) as api:
        assert [(await api("GET", "/v1/workspaces", token=t)).status for t in (0, 0, 1, 1)] == [200, 429, 200, 429]
        assert [call.token for call in api.sandbox.datorama.calls] == [0, 0, 1, 1]


async def test_refused_calls_count_when_the_world_says_so() -> None:
    async with datorama(platform_per_minute=1, count_refused=True) as api:
        assert await api.statuses(1) == "."
        for _ in range(3):
            api.advance(30)
            assert await api.statuses(1) == "x"
        api.advance(60)
        assert left(await api("GET", "/v1/workspaces")) == (0, 200, 20_000 - 5)


async def test_reset_of_a_sliding_window_is_when_one_more_is_free() -> None:
    async with datorama(platform_per_minute=2) as api:
        api.advance(0.0004)
        assert reset(await api("GET", "/v1/workspaces"), "PlatformRateLimit") == 60.001  # rounded up
        api.advance(10)
        reply = await api("GET", "/v1/workspaces")
        assert (left(reply)[0], reset(reply, "PlatformRateLimit")) == (0, 60.001)
        api.advance(50.0006)  # until then
        reply = await api("GET", "/v1/workspaces")
        assert (reply.status, reset(reply, "PlatformRateLimit")) == (200, 70.001)


async def test_reset_of_a_fixed_window_is_when_the_next_one_opens() -> None:
    async with datorama(windows="fixed") as api:
        api.advance(61)
        reply = await api("GET", "/v1/workspaces")
        assert (reset(reply, "PlatformRateLimit"), reset(reply, "QueryRateLimit")) == (120, 120)


async def test_the_nine_headers_come_on_every_answer_to_a_known_token() -> None:
    async with datorama() as api:
        for method, path in (("GET", "/v1/workspaces"), ("GET", "/v1/data-streams/1"), ("GET", "/v1/no/such/path")):
            assert set(RATE_HEADERS) <= set((await api(method, path)).headers)
        assert not set(RATE_HEADERS) & set((await api("GET", "/v1/workspaces", token=None)).headers)


async def test_the_nine_headers_can_be_left_out_or_sent_in_part() -> None:
    async with datorama(rate_headers=False) as api:
        assert not set(RATE_HEADERS) & set((await api("GET", "/v1/workspaces")).headers)
    async with datorama(rate_headers=["X-DailyQuota-Remaining"]) as api:
        sent = set(RATE_HEADERS) & set((await api("GET", "/v1/workspaces")).headers)
        assert sent == {"X-DailyQuota-Remaining"}


async def refused(style: str, **options: Any) -> Reply:
    async with datorama(platform_per_minute=0, refusal=style, **options) as api:
        reply = await api("GET", "/v1/workspaces")
        assert (reply.status, b"Too Many Requests" in reply.body) == (429, True)
        return reply


async def test_a_429_in_the_documented_style_has_the_documented_names_and_no_others() -> None:
    reply = await refused("documented")
    assert int(reply.headers["X-RateLimit-Reset"]) == MILLIS + 60_000
    assert int(reply.headers["X-DailyQuota-Rest"]) == MILLIS + 86_400_000
    assert not set(RATE_HEADERS) & set(reply.headers)
    assert reply.headers["Content-Type"].startswith("text/plain")


async def test_a_429_in_the_style_of_every_answer_has_the_nine_and_a_json_body() -> None:
    reply = await refused("nine")
    assert set(RATE_HEADERS) <= set(reply.headers)
    assert reply.json == {"msg": "Too Many Requests"}


async def test_a_bare_429_has_no_rate_header_at_all() -> None:
    reply = await refused("bare")
    assert not {name for name in reply.headers if name.lower().startswith("x-")}
    assert "Retry-After" not in reply.headers


@pytest.mark.parametrize(("style", "header"), [("documented", "X-RateLimit-Reset"), ("nine", RATE_HEADERS[0])])
async def test_a_429_of_the_fault_script_has_the_worlds_style(style: str, header: str) -> None:
    async with datorama(Fault("status", status=429), refusal=style) as api:
        reply = await api("GET", "/v1/workspaces")
        assert (reply.status, header in reply.headers) == (429, True)
        assert api.sandbox.datorama.refused == 0  # it never reached the counting
        assert left(await api("GET", "/v1/workspaces"))[0] == 59


@pytest.mark.parametrize("skew", [0, 90, -3600])
async def test_the_date_header_follows_the_movable_clock_with_its_skew(skew: float) -> None:
    async with datorama(date_skew=skew) as api:
        api.advance(5)
        date = parsedate_to_datetime((await api("GET", "/v1/workspaces")).headers["Date"])
        assert (date - START).total_seconds() == 5 + skew


async def test_the_clock_is_the_machines_unless_one_is_given_and_can_be_moved_on() -> None:
    async with Sandbox(DatoramaWorld(platform_per_minute=1)) as sandbox, aiohttp.ClientSession() as session:
        api = Api(sandbox, session)
        assert await api.statuses(2) == ".x"
        api.advance(61)
        assert await api.statuses(1) == "."
    with pytest.raises(ValueError, match="does not go back"):
        sandbox.datorama.clock.advance(-1)


async def test_calls_are_kept_with_the_moment_of_the_movable_clock() -> None:
    async with datorama() as api:
        await api("GET", "/v1/workspaces")
        api.advance(7)
        await api("GET", "/v1/data-streams/1")
        first, second = api.sandbox.datorama.calls
    assert (first.path, first.status, second.status) == ("/v1/workspaces", 200, 404)
    assert second.at - first.at == 7
