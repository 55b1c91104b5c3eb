"""jobs.wait: one poller for jobs of many streams, and it always ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.core.polling import PollPolicy
from asyncconn.datorama import Job, JobStates
from asyncconn.errors import ConfigError, PollTimeout, Unauthorized
from asyncconn.sandbox import Fault

from .scene import Scene, scene

if TYPE_CHECKING:
    from asyncconn.core.clock import VirtualClock

QUICK = PollPolicy(minimum=5, maximum=60, jitter=0.0, deadline=900)


async def queued(here: Scene, days: str = "2026-01-25") -> list[Job]:
    jobs: list[Job] = []
    for stream in here.streams:
        jobs += await here.client.streams.process(stream, "2026-01-01", days)
    return jobs


@virtual
async def test_jobs_of_many_streams_are_waited_for_until_each_has_ended(clock: VirtualClock) -> None:
    async with scene(clock, streams=6, jobs=5, job_seconds=(20.0, 40.0), file_every=3) as here:
        jobs = await queued(here)

        states = await here.client.jobs.wait(jobs)

        assert [job.id for job in states] == [job.id for job in jobs]
        assert all(job.final for job in states)
        assert {job.id: str(job.status) for job in states} == {job.id: here.world.stats[job.id].final for job in jobs}
        assert len(states.ok) + len(states.failed) == len(states) == 18
        assert states.unfinished == []
        assert 60 <= clock.now() <= 75


@virtual
async def test_each_round_shows_its_states(clock: VirtualClock) -> None:
    async with scene(clock, streams=1, job_seconds=(20.0, 40.0), outcomes={"SUCCESS": 1.0}) as here:
        jobs = await queued(here, "2026-01-05")

        seen = [str(states[0].status) async for states in here.client.jobs.wait(jobs, policy=QUICK)]

        assert seen[0] == "PENDING"
        assert "IN_PROGRESS" in seen
        assert seen[-1] == "SUCCESS"
        assert seen.count("SUCCESS") == 1


@virtual
async def test_only_streams_that_have_something_to_tell_are_read_and_only_as_far_as_needed(clock: VirtualClock) -> None:
    async with scene(clock, streams=3, jobs=250, page_order="descending", outcomes={"SUCCESS": 1.0}) as here:
        slow, quick, old = here.streams
        jobs = [
            job
            for stream in (slow, quick)
            for job in await here.client.streams.process(stream, "2026-01-01", "2026-01-05")
        ]
        here.world.stats[jobs[0].id].final = "IN_PROGRESS"
        done = (await here.client.jobs.list(old)).items[:1]
        here.mark()

        poller = here.client.jobs.wait([*jobs, *done], policy=QUICK)
        with pytest.raises(PollTimeout) as failed:
            await poller

        calls = {stream: here.calls(f"/{stream}/stats") for stream in here.streams}
        assert calls == {slow: poller.polls, quick: 6, old: 0}  # newest first: a page each; done after 25 s
        assert isinstance(failed.value.last, JobStates)
        assert [job.id for job in failed.value.last.unfinished] == [jobs[0].id]
        assert len(failed.value.last.ok) == 2


@virtual
async def test_jobs_on_a_later_page_are_found(clock: VirtualClock) -> None:
    async with scene(clock, streams=1, jobs=250) as here:
        jobs = await queued(here)

        assert len((await here.client.jobs.wait(jobs, policy=QUICK)).unfinished) == 0


@virtual
async def test_a_word_that_nobody_knows_is_kept_and_is_no_end(clock: VirtualClock) -> None:
    async with scene(clock, streams=1, outcomes={"HALTED": 1.0}) as here:
        jobs = await queued(here, "2026-01-05")

        with pytest.raises(PollTimeout) as failed:
            await here.client.jobs.wait(jobs, policy=QUICK)

        assert [str(job.status) for job in failed.value.last.unfinished] == ["HALTED"]
        assert clock.now() == pytest.approx(900, abs=1)


@virtual
async def test_the_deadline_holds_within_a_round_and_tells_what_that_saw(clock: VirtualClock) -> None:
    async with scene(clock, streams=120, platform_per_minute=60, outcomes={"SUCCESS": 1.0}) as here:
        jobs = await queued(here, "2026-01-05")
        began = clock.now()

        with pytest.raises(PollTimeout) as failed:
            await here.client.jobs.wait(jobs, policy=PollPolicy(deadline=100))

        assert clock.now() - began == pytest.approx(100, abs=1)
        assert 0 < len(failed.value.last.unfinished) < 120


@virtual
async def test_another_process_can_go_on_with_the_token(clock: VirtualClock) -> None:
    async with scene(clock, streams=3) as here:
        jobs = await queued(here)
        with pytest.raises(PollTimeout) as failed:
            await here.client.jobs.wait(jobs, policy=PollPolicy(deadline=3, first=1))
        assert failed.value.token is not None

        states = await here.client.jobs.wait(failed.value.token)

        assert sorted(job.id for job in states) == sorted(job.id for job in jobs)
        assert all(job.final for job in states)


@virtual
async def test_a_stream_that_has_gone_holds_up_nothing(clock: VirtualClock) -> None:
    async with scene(clock, streams=2, outcomes={"SUCCESS": 1.0}) as here:
        jobs = await queued(here, "2026-01-05")
        await here.client.streams.delete(here.streams[0])

        states = await here.client.jobs.wait(jobs, policy=QUICK)

        assert [job.id for job in states.lost] == [jobs[0].id]
        assert [job.id for job in states.ok] == [jobs[1].id]
        assert states.unfinished == []


@virtual
async def test_passing_errors_are_borne_and_lasting_ones_raised(clock: VirtualClock) -> None:
    async with scene(clock, streams=2) as here:
        jobs = await queued(here)
        here.fail(Fault("status", status=503, match=lambda call: call.path.endswith("/stats"), times=12))
        assert not (await here.client.jobs.wait(jobs, policy=QUICK)).unfinished

        jobs = await queued(here)
        here.fail(Fault("status", status=401, match=lambda call: call.path.endswith("/stats"), times=None))
        with pytest.raises(Unauthorized):
            await here.client.jobs.wait(jobs, policy=QUICK)


@pytest.mark.parametrize("ids", ["keep", "renew"])
def test_reruns_are_waited_for_whatever_becomes_of_their_ids(ids: str) -> None:
    @virtual
    async def rerun(clock: VirtualClock) -> None:
        async with scene(clock, streams=2, jobs=3, rerun_ids=ids, outcomes={"SUCCESS": 1.0}) as here:
            old = list(here.world.stats.values())
            result = await here.client.rerun(
                [stat.stream_id for stat in old], [stat.id for stat in old], wait=True, max_pending=None
            )

            assert len(result.ok) == 6
            found = [job for value in result.values for job in value]
            assert {str(job.status) for job in found} == {"SUCCESS"}
            assert ({job.id for job in found} == {stat.id for stat in old}) is (ids == "keep")
            assert clock.now() >= 25

    rerun()


@pytest.mark.parametrize("given", [[], [Job(id=1)], "no token", "7:x"])
async def test_what_cannot_be_waited_for_is_said(given: Any) -> None:
    async with scene(streams=1) as here:
        with pytest.raises(ConfigError):
            here.client.jobs.wait(given)
