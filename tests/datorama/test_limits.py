"""The cap of a token: shared, tightened by the server, counted over days and processes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from helpers import virtual

from asyncconn import ONCE, Hub, errors
from asyncconn.core.rates.registry import forget_limiters
from asyncconn.core.rates.stores import FileQuotaStore
from asyncconn.datorama import Datorama, DatoramaLimits
from asyncconn.sandbox.datorama import DatoramaWorld
from asyncconn.sandbox.faults import Fault

from .scene import WORKSPACE, Scene, scene

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock

MIDNIGHT = datetime(2030, 1, 2, tzinfo=UTC)  # the next one on a virtual clock
QUERY = {
    "workspaceId": WORKSPACE,
    "dateRange": "YESTERDAY",
    "dimensions": ["Day"],
    "measurements": [{"name": "Clicks"}],
}


async def calls(datorama: Datorama, count: int) -> None:
    await asyncio.gather(*[datorama.workspaces.get(WORKSPACE) for _ in range(count)])


# -- the minute --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("windows", ["sliding", "fixed"])
@virtual
async def test_two_clients_of_one_hub_with_one_token_share_one_budget(
    clock: VirtualClock, windows: Any, slash: str
) -> None:
    async with scene(DatoramaWorld(windows=windows), clock=clock) as there:
        one, other = there.client(), there.client(base_url=there.sandbox.url + slash)
        await asyncio.gather(calls(one, 40), calls(other, 40))
        assert (len(there.calls), there.platform.refused) == (80, 0)
        assert 60.0 <= clock.now() < 63.0
        assert one.rate == other.rate


@virtual
async def test_queries_have_a_budget_of_their_own(clock: VirtualClock) -> None:
    async with scene(clock=clock) as there:
        datorama = there.client()
        await asyncio.gather(calls(datorama, 60), *[datorama.query(QUERY) for _ in range(200)])
        assert (len(there.calls), there.platform.refused) == (260, 0)
        assert clock.now() < 1.0
        await datorama.query(QUERY)
        assert clock.now() >= 60.0


@virtual
async def test_the_books_of_a_token_can_be_read(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2), clock=clock) as there:
        single = there.client(there.platform.tokens[0])
        await calls(single, 3)
        assert {part.name: part.remaining for part in single.rate.parts} == {"platform": 57, "daily": 19_997}
        assert single.rate.remaining == 57
        both = there.client()
        assert [books["default"].remaining for books in both.rates] == [57, 60]
        assert both.rates[0]["query"].remaining == 200


@virtual
async def test_what_another_process_used_is_learnt_from_the_first_answer(clock: VirtualClock) -> None:
    async with scene(clock=clock) as there, Hub(clock=clock) as elsewhere:
        await calls(there.client(hub=elsewhere), 50)
        forget_limiters()  # they were another process's
        datorama = there.client()
        await calls(datorama, 1)
        assert datorama.rate.remaining == 9
        await calls(datorama, 20)
        assert there.platform.refused == 0
        assert clock.now() >= 60.0


@virtual
async def test_a_server_that_allows_more_does_not_loosen_the_limit(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(platform_per_minute=1000), clock=clock) as there:
        await calls(there.client(), 61)
        assert clock.now() >= 60.0


@virtual
async def test_a_higher_limit_that_was_agreed_on_can_be_given(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(platform_per_minute=1000), clock=clock) as there:
        await calls(there.client(limits=DatoramaLimits(calls_per_minute=1000)), 500)
        assert clock.now() < 1.0


@pytest.mark.parametrize("headers", [False, ("X-PlatformRateLimit-Remaining",), ("X-DailyQuota-Reset",)])
@virtual
async def test_the_cap_holds_without_the_servers_headers(clock: VirtualClock, headers: Any) -> None:
    async with scene(DatoramaWorld(rate_headers=headers), clock=clock) as there:
        await calls(there.client(), 130)
        assert there.platform.refused == 0
        assert 120.0 <= clock.now() < 130.0


@pytest.mark.parametrize(("style", "most"), [("documented", 70.0), ("nine", 70.0), ("bare", 100.0)])
@pytest.mark.parametrize("skew", [-3600.0, 0.0, 3600.0])
@virtual
async def test_a_429_in_any_style_is_waited_out(clock: VirtualClock, style: Any, most: float, skew: float) -> None:
    # The Date may be a proxy's, whose clock is another one than the platform's.
    world = DatoramaWorld(refusal=style, rate_headers=style == "nine", date_skew=skew)
    async with scene(world, clock=clock) as there, Hub(clock=clock) as elsewhere:
        await calls(there.client(hub=elsewhere), 60)
        forget_limiters()  # they were another process's
        datorama = there.client()
        await datorama.streams.process(7700101, "2026-01-01", "2026-01-01")  # a 429 was surely not accepted
        assert 60.0 <= clock.now() <= (most if skew == 0 else 100.0)
        assert there.platform.refused >= 1
        assert len(there.platform.live.stats_of[7700101]) == 4


# -- the day -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["documented", "nine", "bare"])
@virtual
async def test_one_429_holds_the_tokens_callers_no_longer_than_it_asks_for(clock: VirtualClock, style: Any) -> None:
    async with scene(DatoramaWorld(refusal=style), clock=clock) as there:
        there.fault(Fault("status", status=429, retry_after=2.0, times=1))
        datorama = there.client()
        await calls(datorama, 1)
        started = clock.now()
        await calls(datorama, 5)
        assert 2.0 <= started < 3.0  # the call itself: what was asked for, and a little of its own
        assert clock.now() == started
        assert len(there.calls) == 6


@virtual
async def test_when_the_day_is_used_up_an_error_says_until_when_and_nothing_is_sent(clock: VirtualClock) -> None:
    async with scene(clock=clock) as there:
        datorama = there.client(limits=DatoramaLimits(calls_per_day=5))
        await calls(datorama, 4)
        await datorama.query(QUERY)  # both kinds count
        for call in (datorama.workspaces.list().collect, lambda: datorama.query(QUERY)):
            with pytest.raises(errors.QuotaExhausted) as caught:
                await call()
            assert caught.value.resets_at == MIDNIGHT
        assert len(there.calls) == 5
        await asyncio.sleep(86_400 + 5)
        await calls(datorama, 1)


@virtual
async def test_waiting_for_the_next_day_when_asked(clock: VirtualClock) -> None:
    async with scene(clock=clock) as there:
        datorama = there.client(limits=DatoramaLimits(calls_per_day=5), wait_for_quota=True)
        await calls(datorama, 12)
        assert len(there.calls) == 12
        assert 2 * 86_400 <= clock.now() < 2 * 86_400 + 70


@pytest.mark.parametrize("style", ["nine", "documented", "bare"])
@pytest.mark.parametrize("waiting", [False, True])
@virtual
async def test_a_day_that_the_server_says_is_used_up_is_believed(
    clock: VirtualClock, style: Any, waiting: bool
) -> None:
    async with scene(DatoramaWorld(per_day=5, refusal=style), clock=clock) as there:
        datorama = there.client(wait_for_quota=waiting)
        await calls(datorama, 5)  # the last answer says that nothing is left
        if waiting:
            await calls(datorama, 1)
            assert clock.now() >= 86_400
        else:
            with pytest.raises(errors.QuotaExhausted) as caught:
                await calls(datorama, 1)
            assert caught.value.resets_at == MIDNIGHT
        assert there.platform.refused == 0


@virtual
async def test_the_first_call_of_all_waits_for_the_next_day_too(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(per_day=5, refusal="nine"), clock=clock) as there:
        await by_another(there, 5)
        assert len(await there.client(wait_for_quota=True).workspaces.list().collect()) == 2
        assert 86_400 <= clock.now() < 86_400 + 70


@pytest.mark.parametrize("waiting", [False, True])
@virtual
async def test_a_429_for_the_day_ends_the_trying_or_waits_for_the_next(clock: VirtualClock, waiting: bool) -> None:
    async with scene(DatoramaWorld(per_day=5, refusal="nine"), clock=clock) as there, Hub(clock=clock) as elsewhere:
        datorama = there.client(wait_for_quota=waiting)
        await calls(there.client(hub=elsewhere), 5)
        forget_limiters()  # they were another process's
        if waiting:
            await calls(datorama, 1)
            assert 86_400 <= clock.now() < 86_400 + 70
        else:
            for _ in range(3):
                with pytest.raises(errors.QuotaExhausted) as caught:
                    await calls(datorama, 1)
                assert caught.value.resets_at == MIDNIGHT
        assert there.platform.refused == 1


async def by_another(there: Scene, count: int, path: str = "/v1/workspaces") -> None:
    """Calls of a program of somebody else with the same token, who minds no limit."""
    async with aiohttp.ClientSession(headers={"Authorization": there.platform.token}) as session:
        for _ in range(count):
            async with session.get(f"{there.sandbox.url}{path}"):
                pass


@pytest.mark.parametrize("windows", ["sliding", "fixed"])
@pytest.mark.parametrize("waiting", [False, True])
@virtual
async def test_a_day_that_somebody_else_has_used_up_is_known_by_the_third_429_that_names_its_end(
    clock: VirtualClock, waiting: bool, windows: Any
) -> None:
    async with scene(DatoramaWorld(per_day=50, windows=windows), clock=clock) as there:
        await by_another(there, 50)
        await clock.sleep(90)
        datorama = there.client(wait_for_quota=waiting)
        started = clock.now()
        if waiting:
            await asyncio.gather(datorama.workspaces.list().collect(), *[calls(datorama, 1) for _ in range(5)])
            assert 86_400 <= clock.now() < 86_400 + 70
        else:
            for _ in range(3):
                with pytest.raises(errors.QuotaExhausted) as caught:
                    await calls(datorama, 1)
                assert caught.value.resets_at == MIDNIGHT
            assert clock.now() - started < 190.0
            assert (datorama.rate.remaining, there.platform.refused) == (0, 3)
            await clock.sleep(86_400)
            await calls(datorama, 1)


@virtual
async def test_calls_that_are_refused_together_are_one_refusal(clock: VirtualClock) -> None:
    async with scene(clock=clock) as there:
        await by_another(there, 60)
        await asyncio.gather(*[calls(there.client(), 1) for _ in range(8)])
        assert there.platform.refused >= 8
        assert clock.now() < 130


@virtual
async def test_a_neighbour_that_takes_every_minute_is_not_the_end_of_a_day_that_was_seen_to_have_more(
    clock: VirtualClock,
) -> None:
    async with scene(DatoramaWorld(windows="fixed"), clock=clock) as there:
        datorama, impatient = there.client(), there.client(retry=ONCE)
        await calls(impatient, 1)  # which says that 19,999 are left
        for _ in range(5):
            await by_another(there, 60)
            with pytest.raises(errors.RateLimited):
                await impatient.call("GET", "/v1/workspaces")
            await clock.sleep(61)
        await calls(datorama, 1)
        assert datorama.rate.parts[1].remaining > 19_000


@virtual
async def test_refusals_between_which_a_call_was_served_are_not_the_end_of_the_day(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(windows="fixed", rate_headers=False), clock=clock) as there:
        datorama = there.client()
        for _ in range(6):
            await by_another(there, 60)
            await calls(datorama, 1)  # refused once, and served in the next minute
        assert there.platform.refused >= 6


@virtual
async def test_refusals_of_yesterday_say_nothing_of_today(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(per_day=60, windows="fixed", refusal="documented"), clock=clock) as there:
        datorama = there.client(retry=ONCE)
        await by_another(there, 60)
        for _ in range(2):
            with pytest.raises(errors.RateLimited):
                await calls(datorama, 1)
            await clock.sleep(60)
        await clock.sleep(86_400)
        await by_another(there, 60)
        with pytest.raises(errors.RateLimited):
            await calls(datorama, 1)


@virtual
async def test_the_allowances_of_a_token_that_is_refused_are_not_guessed(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(per_day=70, tokens=2), clock=clock) as there:
        await by_another(there, 60)
        refused, fine = await there.client().allowances()
        assert clock.now() < 1.0
        assert there.platform.refused == 1
        assert (refused.parts, refused.told, type(refused.error)) == ({}, frozenset(), errors.RateLimited)
        assert (fine.parts["daily"].remaining, fine.error) == (69, None)


@virtual
async def test_who_waits_for_the_next_day_need_not_wait_to_hear_that_this_one_is_used_up(clock: VirtualClock) -> None:
    async with scene(clock=clock) as there:
        datorama = there.client(limits=DatoramaLimits(calls_per_day=5), wait_for_quota=True)
        await calls(datorama, 5)
        [one] = await datorama.allowances()
        assert clock.now() < 1.0
        assert (one.parts["daily"].remaining, type(one.error)) == (0, errors.RateLimited)


@virtual
async def test_nothing_left_in_an_answer_closes_the_day(clock: VirtualClock) -> None:
    async with scene(clock=clock) as there:
        datorama = there.client()
        there.fault(Fault("quota_zero"))
        await calls(datorama, 1)
        with pytest.raises(errors.QuotaExhausted):
            await calls(datorama, 1)
        assert len(there.calls) == 1


# -- the count that outlives the process -------------------------------------------------------------------------------


def limited(path: Path) -> dict[str, Any]:
    return {"limits": DatoramaLimits(calls_per_day=10), "quota_store": path}


@virtual
async def test_the_days_count_survives_the_process(clock: VirtualClock, tmp_path: Path) -> None:
    file = tmp_path / "quota.json"
    async with scene(clock=clock) as there:
        async with Hub(clock=clock) as yesterday:
            await calls(there.client(hub=yesterday, **limited(file)), 4)
        datorama = there.client(**limited(file))
        await calls(datorama, 6)
        with pytest.raises(errors.QuotaExhausted) as caught:
            await calls(datorama, 1)
        assert caught.value.resets_at == MIDNIGHT
        assert len(there.calls) == 10
        text = file.read_text()
        token = there.platform.token
        assert not any(token[start : start + 8] in text for start in range(len(token) - 7))


@virtual
async def test_the_count_is_the_tokens_own(clock: VirtualClock, tmp_path: Path) -> None:
    file = tmp_path / "quota.json"
    async with scene(DatoramaWorld(tokens=2), clock=clock) as there:
        first, second = there.platform.tokens
        await calls(there.client(first, **limited(file)), 10)
        await calls(there.client(second, **limited(file)), 10)
        assert len(there.calls) == 20


@virtual
async def test_a_store_of_ones_own_can_be_given_and_the_next_day_begins_anew(
    clock: VirtualClock, tmp_path: Path
) -> None:
    store = FileQuotaStore(tmp_path / "quota.json")
    async with scene(clock=clock) as there:
        datorama = there.client(limits=DatoramaLimits(calls_per_day=3), quota_store=store, wait_for_quota=True)
        await calls(datorama, 7)
        assert 2 * 86_400 <= clock.now() < 2 * 86_400 + 70
        days = [timedelta(seconds=call.at) // timedelta(days=1) for call in there.calls]
        assert [days.count(day) for day in range(3)] == [3, 3, 1]


@virtual
async def test_the_environment_names_tokens_region_and_quota_file(clock: VirtualClock, tmp_path: Path) -> None:
    file = tmp_path / "quota.json"
    with pytest.MonkeyPatch.context() as patch:
        async with scene(DatoramaWorld(tokens=2), clock=clock) as there:
            for name, value in there.platform.env().items():
                patch.setenv(name, value)
            patch.setenv("ASYNCCONN_DATORAMA_QUOTA_FILE", str(file))
            datorama = Datorama.from_env(hub=there.hub)
            await calls(datorama, 2)
            assert len(datorama.pool.transports) == 2
        assert file.exists()
        patch.delenv("ASYNCCONN_DATORAMA_BASE_URL")
        patch.setenv("ASYNCCONN_DATORAMA_REGION", "eu")
        assert Datorama.from_env().http.base_url == "https://api-eu.datorama.com"
        patch.setenv("ASYNCCONN_DATORAMA_TOKEN", " , ")
        with pytest.raises(errors.ConfigError, match="needs a token"):
            Datorama.from_env()
        patch.delenv("ASYNCCONN_DATORAMA_TOKEN")
        with pytest.raises(errors.ConfigError, match="ASYNCCONN_DATORAMA_TOKEN"):
            Datorama.from_env()
