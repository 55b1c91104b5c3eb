"""Everything that can go wrong at the calls that queue work or change things: nothing is repeated or misreported."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.errors import outcome_unknown
from asyncconn.sandbox import Fault

from .scene import Scene, scene

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock
    from asyncconn.datorama import BulkResult

DAYS = ("2026-01-01", "2026-01-10")
WELL = {"SUCCESS": 1.0}

FAULTS: dict[str, dict[str, Any]] = {
    "delay": {"seconds": 5},
    "drop_before": {},
    "drop_after": {},
    "half_body": {},
    "stall": {"seconds": 500},
    "stall_after": {"seconds": 500},
    "close": {},
    "malformed": {},
    "html_200": {},
    "no_headers": {},
    "errors_200": {},
    "unknown_status": {},
    **{
        f"status {status}": {"status": status}
        for status in (301, 400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504)
    },
}

ENDPOINTS = {
    "one stream (D7)": "/process",
    "many streams (D8)": "/v1/data-streams/process",
    "rerun (J4)": "/rerun",
    "rerun all (J5)": "/rerun-all",
}


async def carry_out(here: Scene, endpoint: str) -> BulkResult[Any, Any]:
    client, streams = here.client, here.streams
    if endpoint.startswith("one"):
        return await client.process_streams(streams[:1], *DAYS)
    if endpoint.startswith("many"):
        return await client.process_streams(streams, *DAYS)
    if endpoint.startswith("rerun ("):
        return await client.rerun(streams[0], [stat.id for stat in here.world.stats_of[streams[0]]])
    return await client.rerun_all(streams[:1])


def fault(name: str, endpoint: str) -> Fault:
    kind = name.partition(" ")[0]
    ending = ENDPOINTS[endpoint]
    return Fault(kind, match=lambda call: call.path.endswith(ending), times=1, **FAULTS[name])


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", FAULTS)
def test_no_write_is_repeated_and_each_outcome_is_the_truth(name: str, endpoint: str) -> None:
    @virtual
    async def strike(clock: VirtualClock) -> None:
        async with scene(clock, streams=3, jobs=1, rerun_ids="renew", batch_answer="list", outcomes=WELL) as here:
            await clock.sleep(3600)  # the jobs of the world's beginning are old
            await here.client.fetch_all_streams()
            before = set(here.world.stats)
            here.fail(fault(name, endpoint))

            result = await carry_out(here, endpoint)

            kind = name.partition(" ")[0]
            assert here.sandbox.faults.hits[kind] == 1
            made = Counter(stat.stream_id for number, stat in here.world.stats.items() if number not in before)
            assert max(made.values(), default=0) <= 1, "a write was repeated"
            for item in result:
                stream = item.key.stream.id if hasattr(item.key, "stream") else here.streams[0]
                if item.outcome == "unknown":
                    assert item.error is not None
                    assert outcome_unknown(item.error)
                    assert (await item.check()).there is (made[stream] == 1)
                else:
                    assert made[stream] == (1 if item.outcome == "ok" else 0)
                    assert (item.error is None) is (item.outcome == "ok")
            lost = {"drop_before", "drop_after", "half_body", "stall", "stall_after", "malformed", "html_200"}
            if kind in lost or name in ("status 500", "status 502", "status 503", "status 504"):
                assert {item.outcome for item in result} == {"unknown"}
            if name in ("status 429", "delay", "close", "no_headers"):
                assert {item.outcome for item in result} == {"ok"}

    strike()


@pytest.mark.parametrize("name", FAULTS)
def test_a_change_ends_as_it_was_or_as_it_was_asked_for_and_says_which(name: str) -> None:
    @virtual
    async def strike(clock: VirtualClock) -> None:
        async with scene(clock, streams=2) as here:
            await here.client.fetch_all_streams()
            one, other = here.streams
            here.fail(Fault(name.partition(" ")[0], match=f"/v1/data-streams/{one}", times=1, **FAULTS[name]))

            result = await here.client.rename_streams({one: "first", other: "second"})

            names = {number: stream["name"] for number, stream in here.world.streams.items()}
            assert names[other] == "second"
            assert result[1].outcome == "ok"
            if result[0].outcome == "unknown":
                assert (await result[0].check()).there is (names[one] == "first")
            else:
                assert (result[0].outcome == "ok") is (names[one] == "first")
            # A PATCH says the same however often it is sent: what may pass is tried again.
            if name in ("drop_before", "drop_after", "status 503", "stall"):
                assert result[0].outcome == "ok"

    strike()


@virtual
async def test_the_day_used_up_half_way_fails_the_rest_and_not_what_was_done(clock: VirtualClock) -> None:
    async with scene(clock, streams=20, per_day=8) as here:
        result = await here.client.process_streams(here.streams, *DAYS, max_pending=None, batch=False)

        assert (len(result.ok), len(result.failed), len(result.unknown)) == (6, 14, 0)  # two to find the streams
        assert {type(item.error).__name__ for item in result.failed} == {"QuotaExhausted"}
        assert len(here.accepted()) == 6
        assert here.sandbox.datorama.refused == 0


@virtual
async def test_reads_that_fail_are_failed_items_and_the_others_are_there(clock: VirtualClock) -> None:
    async with scene(clock, workspaces=3, streams=6, jobs=2) as here:
        here.fail(
            Fault("status", status=403, match="/v1/workspaces/41002/data-streams"),
            Fault("status", status=500, match=f"/v1/data-streams/api/{here.streams[5]}/stats", times=None),
        )
        result = await here.client.fetch_all_jobs()

        assert [item.outcome for item in result] == ["ok", "ok", "ok", "failed", "failed"]
        assert getattr(result[3].key, "id", None) == here.streams[5]
        assert getattr(result[4].key, "id", None) == 41_002
        assert [len(value) for value in result.values] == [2, 2, 2]
