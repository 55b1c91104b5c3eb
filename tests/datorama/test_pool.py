"""Several tokens: which one a call takes, when it moves on, and when it must not."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from helpers import virtual
from loopback import Loopback, Reply, Seen, saying

from asyncconn import Hub, errors
from asyncconn.core.rates.registry import forget_limiters
from asyncconn.datorama import DataStream, Datorama, DatoramaLimits
from asyncconn.datorama.errors import NotVisible
from asyncconn.sandbox.datorama import DatoramaWorld
from asyncconn.sandbox.faults import Fault

from .scene import QUICK, STREAM, WORKSPACE, Scene, scene

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock
    from asyncconn.sandbox.exchange import Call

OTHER = WORKSPACE + 1
LAST_STREAM = STREAM + 9  # in the other workspace


def used(there: Scene, path: str = "") -> dict[int | None, int]:
    """Calls by token."""
    return dict(Counter(call.token for call in there.calls if call.path.endswith(path)))


async def spend(there: Scene, clock: Any, token: int, count: int) -> None:
    """Calls of another process with the same token."""
    async with Hub(clock=clock) as elsewhere:
        await calls(there.client(there.platform.tokens[token], hub=elsewhere), count)
    forget_limiters()  # as that process does
    there.platform.calls.clear()


async def calls(datorama: Datorama, count: int) -> None:
    await asyncio.gather(*[datorama.accounts.get(9001) for _ in range(count)])


def only(there: Scene, token: int) -> Any:
    """Matches the requests of a token."""
    secret = there.platform.tokens[token]

    def match(call: Call) -> bool:
        return call.headers.get("Authorization") == secret

    return match


# -- the one with most left --------------------------------------------------------------------------------------------


@virtual
async def test_calls_go_evenly_to_all_tokens_and_none_waits_while_one_has_room(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=3), clock=clock) as there:
        await calls(there.client(), 180)
        assert used(there) == {0: 60, 1: 60, 2: 60}
        assert clock.now() < 1.0
        await calls(there.client(), 1)
        assert clock.now() >= 60.0
        assert there.platform.refused == 0


@virtual
async def test_the_token_with_most_left_is_taken(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2), clock=clock) as there:
        await calls(there.client(there.platform.tokens[0]), 30)
        await calls(there.client(), 10)
        assert used(there) == {0: 30, 1: 10}


@virtual
async def test_what_a_server_says_of_one_token_is_not_taken_for_the_others(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2), clock=clock) as there:
        await spend(there, clock, 0, 55)
        datorama = there.client()
        for _ in range(65):  # one after the other: what is said of a token comes with its first answer
            await calls(datorama, 1)
        assert used(there) == {0: 5, 1: 60}
        assert clock.now() < 1.0
        assert there.platform.refused == 0


# -- moving on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["documented", "nine", "bare"])
@virtual
async def test_a_429_moves_the_call_on_without_waiting(clock: VirtualClock, style: Any) -> None:
    async with scene(DatoramaWorld(tokens=2, refusal=style), clock=clock) as there:
        await spend(there, clock, 0, 60)
        datorama = there.client()
        await datorama.streams.process(STREAM, "2026-01-01", "2026-01-01")  # not accepted by the first, surely
        assert [(call.token, call.status) for call in there.calls] == [(0, 429), (1, 200)]
        assert clock.now() < 1.0
        there.platform.calls.clear()
        await calls(datorama, 5)
        assert used(there) == {1: 5}  # the refused one is left alone until its minute is over


@virtual
async def test_when_all_are_refused_the_call_waits_for_the_one_that_is_free_first(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2), clock=clock) as there:
        await spend(there, clock, 1, 60)
        await asyncio.sleep(30)
        await spend(there, clock, 0, 60)
        await calls(there.client(), 1)
        assert [(call.token, call.status) for call in there.calls][-1] == (1, 200)
        assert 60.0 <= clock.now() < 75.0


@pytest.mark.parametrize("exhausted", [0, 1])
@virtual
async def test_a_token_whose_day_is_over_is_left_alone(clock: VirtualClock, exhausted: int) -> None:
    async with scene(DatoramaWorld(tokens=2, per_day=50, refusal="nine"), clock=clock) as there:
        await spend(there, clock, exhausted, 50)
        datorama = there.client()
        for _ in range(50):
            await calls(datorama, 1)
        assert used(there) == {exhausted: 1, 1 - exhausted: 50}  # it was found out once
        with pytest.raises(errors.QuotaExhausted) as caught:
            await calls(datorama, 1)
        assert caught.value.resets_at == datetime(2030, 1, 2, tzinfo=UTC)
        assert there.platform.refused == 1


@virtual
async def test_a_refused_token_is_waited_for_when_the_others_day_is_over(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2, per_day=60, refusal="nine"), clock=clock) as there:
        await spend(there, clock, 1, 60)
        there.fault(Fault("status", status=429, retry_after=20, match=only(there, 0)))
        await calls(there.client(), 1)
        assert [(call.token, call.status) for call in there.calls][-1] == (0, 200)
        assert clock.now() < 90.0


async def test_when_all_days_are_over_the_error_names_the_earliest_reset() -> None:
    resets = {"first": 9 * 3600, "second": 2 * 3600, "third": 5 * 3600}
    now = datetime(2026, 1, 1, 11, 0, tzinfo=UTC)

    def refuse(seen: Seen) -> Reply:
        reset = round((now.timestamp() + resets[seen.headers["authorization"]]) * 1000)
        return saying(
            {}, 429, X_DailyQuota_Remaining="0", X_DailyQuota_Reset=str(reset), Date=format_datetime(now, usegmt=True)
        )

    async with Loopback(otherwise=refuse) as server, Datorama(list(resets), base_url=server.url) as datorama:
        with pytest.raises(errors.QuotaExhausted) as caught:
            await calls(datorama, 1)
        assert caught.value.resets_at == datetime(2026, 1, 1, 13, 0, tzinfo=UTC)
        assert sorted(seen.headers["authorization"] for seen in server.seen) == sorted(resets)


@virtual
async def test_a_pool_may_wait_for_the_next_day(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2, per_day=5, refusal="nine"), clock=clock) as there:
        await spend(there, clock, 0, 5)
        datorama = there.client(wait_for_quota=True)
        await calls(datorama, 5)
        assert clock.now() < 70.0
        await datorama.streams.list(WORKSPACE).collect()
        assert 86_400 <= clock.now() < 86_400 + 90


@virtual
async def test_a_day_that_our_own_count_says_is_over_is_left_alone_too(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2), clock=clock) as there:
        datorama = there.client(limits=DatoramaLimits(calls_per_day=7))
        await calls(datorama, 14)
        assert used(there) == {0: 7, 1: 7}
        with pytest.raises(errors.QuotaExhausted):
            await calls(datorama, 1)


# -- never moving on ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "error"), [(401, errors.Unauthorized), (403, errors.Forbidden)])
@virtual
async def test_a_401_or_403_is_never_carried_to_another_token(
    clock: VirtualClock, status: int, error: type[errors.ApiError]
) -> None:
    async with scene(DatoramaWorld(tokens=3), clock=clock) as there:
        there.fault(Fault("status", status=status, match=only(there, 0), times=None))
        with pytest.raises(error) as caught:
            await there.client().accounts.get(9001)
        assert caught.value.__notes__ == ["token 1 of 3"]
        assert there.calls == []  # the script answered; nobody else was asked
        assert not any(token in str(caught.value) for token in there.platform.tokens)
        assert sum(there.sandbox.requests.values()) == 1


@virtual
async def test_a_token_that_is_refused_when_asked_what_it_sees_is_named(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2), clock=clock) as there:
        with pytest.raises(errors.Unauthorized) as caught:
            await there.client(there.platform.tokens[0], "made-up").workspaces.get(WORKSPACE)
        assert caught.value.__notes__ == ["token 2 of 2"]


async def test_a_single_token_is_not_counted_out() -> None:
    async with scene() as there:
        with pytest.raises(errors.Unauthorized) as caught:
            await there.client("made-up").accounts.get(9001)
        assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("status", [404, 422])
async def test_other_errors_are_not_carried_on_either(status: int) -> None:
    async with scene(DatoramaWorld(tokens=3)) as there:
        there.fault(Fault("status", status=status, times=None))
        with pytest.raises(errors.ApiError):
            await there.client().accounts.get(9001)
        assert sum(there.sandbox.requests.values()) == 1


# -- who may see what --------------------------------------------------------------------------------------------------


def divided() -> DatoramaWorld:
    visible = {0: [WORKSPACE], 1: [OTHER], 2: [WORKSPACE, OTHER]}
    return DatoramaWorld(tokens=3, visible=visible, outcomes={"SUCCESS": 1.0})


async def test_only_tokens_that_may_see_the_workspace_are_taken(tmp_path: Path) -> None:
    async with scene(divided()) as there:
        datorama = there.client()
        for number, stream_id in ((WORKSPACE, STREAM), (OTHER, STREAM + 5)):
            workspace = await datorama.workspaces.get(number)
            stream = (await workspace.streams()).items[0]
            assert stream.id == stream_id
            job = (await stream.jobs()).items[0]
            await job.download(tmp_path)
            await job.refresh()
            await job.rerun()
            await stream.rerun_all()
            await stream.process("2026-01-01", "2026-01-01")
            await stream.patch({"name": "x"})
            await stream.mapping()
            await datorama.streams.status(number, [stream.id])
            await datorama.streams.process_batch([stream], "2026-01-01", "2026-01-01")
            await datorama.dimensions.list(number).collect()
            await datorama.query({"workspaceId": number, "dateRange": "YESTERDAY", "dimensions": ["Day"]})
        assert all(call.status < 400 for call in there.calls)
        assert len(used(there)) == 3
        assert len(there.asked("/v1/workspaces")) == 3  # what they see was asked once


@pytest.mark.parametrize("noun", ["calculated_measurements", "reports", "dashboards"])
async def test_what_was_seen_in_a_workspace_is_asked_for_with_its_tokens(noun: str) -> None:
    async with scene(divided()) as there:
        collection = getattr(there.client(), noun)
        for number in (WORKSPACE, OTHER):
            made = await collection.create({"name": "x", "workspaceId": number})
            for _ in range(4):  # enough that any other choice would hit a token that may not
                await collection.patch(made.id, {"name": "y"})
            await collection.delete(made.id)
        listed = there.client().dashboards
        pages = [
            page for one in await listed.list(workspace_id=OTHER).collect() async for page in listed.pages.list(one.id)
        ]
        await listed.pages.content(pages[0].id)
        assert all(call.status < 400 for call in there.calls)


async def test_a_report_stays_with_tokens_that_see_its_workspace(tmp_path: Path) -> None:
    config = {"rowDims": ["DAY"], "metrics": [{"name": "DELIVERY_CLICKS"}]}
    async with scene(divided()) as there:
        reports = there.client().reports
        for number in (WORKSPACE, OTHER):
            made = await reports.create({"name": "x", "workspaceId": number, "config": config})
            job = await (await reports.run(made.id))
            await reports.download(job, tmp_path / f"{number}.csv")
            await reports.jobs(made.id).collect()
            await reports.schedulers.list(made.id).collect()
            await reports.delete(made.id)
        assert all(call.status < 400 for call in there.calls)


async def test_a_workspace_that_no_token_sees_is_an_error_before_anything_is_asked_of_it() -> None:
    async with scene(DatoramaWorld(tokens=2, visible={0: [WORKSPACE], 1: [WORKSPACE]})) as there:
        datorama = there.client()
        for _ in range(2):
            with pytest.raises(NotVisible, match=f"none of the 2 tokens may see workspace {OTHER}"):
                await datorama.streams.list(OTHER).collect()
        assert there.asked() == [("GET", "/v1/workspaces", 200)] * 2


async def test_a_workspace_made_just_now_is_seen() -> None:
    async with scene(DatoramaWorld(tokens=2)) as there:
        datorama = there.client()
        await datorama.streams.list(WORKSPACE).collect()
        made = await datorama.workspaces.create({"name": "new", "accountId": 9001})
        assert await made.streams().collect() == []


async def test_the_workspaces_of_all_tokens_are_listed_once_each() -> None:
    async with scene(divided()) as there:
        assert [one.id for one in await there.client().workspaces.list().collect()] == [WORKSPACE, OTHER]
        assert used(there) == {0: 1, 1: 1, 2: 1}


@virtual
async def test_a_token_whose_day_is_over_keeps_nobody_from_what_the_others_see(clock: VirtualClock) -> None:
    async with scene(
        DatoramaWorld(tokens=2, per_day=50, refusal="nine", visible={0: [WORKSPACE]}), clock=clock
    ) as there:
        await spend(there, clock, 0, 50)
        datorama = there.client()
        assert len(await datorama.streams.list(WORKSPACE).collect()) == 5
        assert used(there, "/data-streams") == {1: 1}


@virtual
async def test_a_token_whose_day_somebody_else_has_used_up_is_left_for_the_others(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2, per_day=50), clock=clock) as there:
        async with aiohttp.ClientSession(headers={"Authorization": there.platform.tokens[0]}) as session:
            for _ in range(50):
                async with session.get(f"{there.sandbox.url}/v1/workspaces"):
                    pass
        datorama = there.client()
        for _ in range(3):
            await calls(datorama, 4)
            await clock.sleep(61)
        there.platform.calls.clear()
        await calls(datorama, 30)
        assert used(there) == {1: 30}
        assert datorama.rates[0]["default"].remaining == 0


@virtual
async def test_who_cannot_say_what_it_sees_is_not_taken_for_blind(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2, per_day=50, refusal="nine", visible={1: [OTHER]}), clock=clock) as there:
        await spend(there, clock, 0, 50)
        with pytest.raises(errors.QuotaExhausted):  # it may well see it tomorrow
            await there.client().streams.list(WORKSPACE).collect()


@virtual
async def test_a_busy_token_is_not_waited_for_only_to_ask_what_it_sees(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2), clock=clock) as there:
        await calls(there.client(there.platform.tokens[0]), 60)
        await there.client().streams.list(WORKSPACE).collect()
        assert clock.now() < 1.0


async def test_calls_that_come_together_ask_only_once_what_is_seen() -> None:
    async with scene(DatoramaWorld(tokens=2)) as there:
        datorama = there.client()
        await asyncio.gather(*[datorama.streams.list(WORKSPACE).collect() for _ in range(20)])
        assert len(there.asked("/v1/workspaces")) == 2


async def test_a_pool_is_told_which_workspace_a_stream_is_in_by_the_stream_itself() -> None:
    async with scene(divided()) as there:
        restored = DataStream(id=LAST_STREAM, workspace_id=OTHER, data_source_name="TotalConnect")
        for _ in range(4):
            await there.client().jobs.list(restored).collect()
        assert {call.token for call in there.calls if call.path.endswith("/stats")} <= {1, 2}


# -- what hangs on the client hangs on all its tokens ------------------------------------------------------------------


async def test_every_call_is_heard_whichever_token_made_it() -> None:
    async with scene(DatoramaWorld(tokens=3)) as there:
        datorama = there.client()
        heard: list[str] = []
        datorama.http.events.on("attempt", lambda answer: heard.append(answer.path))
        await calls(datorama, 30)
        assert len(used(there)) == 3
        assert sorted(heard) == sorted(call.path for call in there.calls)


async def test_a_call_that_moves_on_to_another_token_is_heard_as_tried_again() -> None:
    async with scene(DatoramaWorld(tokens=2)) as there:
        datorama = there.client()
        heard: list[errors.AsyncConnError] = []
        datorama.http.events.on("retry", heard.append)
        there.fault(Fault("status", status=429, times=1))
        await calls(datorama, 1)
        assert [type(error) for error in heard] == [errors.RateLimited]


async def test_calls_of_all_tokens_together_are_bounded() -> None:
    slowly = replace(saying({"id": 9001}), after=0.01)
    async with Loopback(otherwise=slowly) as server, Hub() as hub:
        datorama = Datorama(["token-1", "token-2", "token-3"], hub=hub, base_url=server.url, max_concurrency=2)
        await calls(datorama, 12)
    assert server.most == 2


@virtual
async def test_the_books_of_a_pool_are_those_of_its_tokens_together(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=3), clock=clock) as there:
        datorama = there.client()
        await calls(datorama, 30)
        assert {part.name: (part.remaining, part.limit) for part in datorama.rate.parts} == {
            "platform": (150, 180),
            "daily": (59_970, 60_000),
        }


@virtual
async def test_a_token_that_is_held_has_nothing_left_in_the_pools_books(clock: VirtualClock) -> None:
    async with scene(DatoramaWorld(tokens=2), clock=clock) as there:
        datorama = there.client()
        datorama.pool.transports[0].limiters["default"].pause(30)
        assert (datorama.rate.remaining, datorama.rate.paused_for) == (60, 0.0)
        datorama.pool.transports[1].limiters["default"].pause(20)
        assert (datorama.rate.remaining, datorama.rate.paused_for) == (0, 20.0)


async def test_an_answer_to_one_token_that_quotes_another_is_redacted() -> None:
    async with Loopback(otherwise=saying({"msg": "use token-of-mine-2 instead"}, 403)) as server, Hub() as hub:
        datorama = Datorama(["token-of-mine-1", "token-of-mine-2"], hub=hub, base_url=server.url)
        with pytest.raises(errors.Forbidden) as caught:
            await datorama.accounts.get(1)
    assert "token-of-mine" not in f"{caught.value} {caught.value.body}"


@pytest.mark.parametrize(
    "last", [Reply(404), Reply(401), Reply(429, headers={"Retry-After": "0"})], ids=lambda r: r.status
)
async def test_the_doubt_of_one_token_goes_on_to_the_next(last: Reply) -> None:
    refused = Reply(429, headers={"Retry-After": "0"})
    async with (
        Loopback(Reply(503), refused, otherwise=last) as server,
        Datorama(["made-up-token-1", "made-up-token-2"], base_url=server.url, retry=QUICK) as datorama,
    ):
        with pytest.raises(errors.AsyncConnError) as caught:
            await datorama.pool.request("DELETE", "/v1/calculated-measures/7")

    assert caught.value.maybe_sent
    assert len(server.seen) > 2
