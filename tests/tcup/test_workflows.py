"""Workflows: made of tasks, run on copies of them, waited for one by one and by the thousand."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from helpers import virtual

from asyncconn.core.polling import PollPolicy
from asyncconn.errors import (
    ConfigError,
    Conflict,
    MaybeSent,
    NotFound,
    OperationFailed,
    PollTimeout,
    ProtocolError,
)
from asyncconn.tcup import RunStatus, Task, Workflow
from asyncconn.tcup.resources.run import mapping_of

from .job_scene import QUICK, Scene, scene

if TYPE_CHECKING:
    from pathlib import Path

    from asyncconn.core.clock import VirtualClock


async def flow_of(here: Scene, *jobs: str, **options: Any) -> tuple[Workflow, list[Task]]:
    """Tasks one after the other, that run in name only."""
    tasks = [await here.deployed(job) for job in jobs]
    pairs: list[tuple[Task | str, Task | str]] = [*pairwise(tasks)] or [("start", tasks[0])]
    return await here.tcup.workflows.create(pairs, name="p", version="v1", **options), tasks


# -- made --------------------------------------------------------------------------------------------------------------


async def test_what_one_task_makes_the_next_one_reads_in_a_run_of_its_own(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        first = await here.deployed("code1", runtime="py", code="print(20 + 1)")
        second = await here.deployed("code2", runtime="py", code="print(int(open('out.out').read()) * 2)")
        await second.link_files([(first, "out.out")])
        flow = await here.tcup.workflows.create([(first, second)], name="procTest1", version="verTest1")

        run = await flow.pre_initiate()
        mapping = await run.mapping()
        assert (run.status, list(mapping)) == (RunStatus.PREINITIATED, [first.job_id, second.job_id])
        assert await run.relink() == 1
        assert await run.initiate() is RunStatus.RUNNING
        state = await run.wait(policy=QUICK)

        assert (state.status, state.executed_tasks) == (RunStatus.COMPLETED, list(mapping.values()))
        copy = await run.task(second)
        assert copy.job_id == mapping[second.job_id]
        assert [line async for line in copy.logs(follow=False)] == ["42"]
        assert (await second.refresh()).runs == 0


async def test_without_its_links_a_run_fails_by_the_name_of_the_task(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        first, second = await here.deployed("a"), await here.deployed("b")
        await second.link_files([(("P1", "T1"), "out.out")])
        flow = await here.tcup.workflows.create([(first, second)], name="p", version="1")
        run = await flow.pre_initiate()
        foreign = await here.tcup.workflows.run(run.id)
        with pytest.raises(ConfigError, match="no file links"):
            await foreign.relink()

        assert await foreign.relink({second: [(first, "nothing")]}) == 1
        await run.initiate()

        with pytest.raises(OperationFailed, match=r"run I1 of p 1 FAILED: T4 \(copy of T2, b\) failed") as failed:
            await run.wait(policy=QUICK)
        assert failed.value.state.failed_tasks == ["T4"]
        with pytest.raises(OperationFailed, match="run I1 FAILED: T4 failed"):
            await here.client().workflows.wait(run.token())


async def test_a_link_to_a_task_outside_of_the_workflow_stays(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        outside = await here.deployed("outside")
        await outside.start()
        await outside.wait(policy=QUICK)
        flow, [one] = await flow_of(here, "one")
        await one.link_files([(outside, "out.out")])
        run = await flow.pre_initiate()

        await run.relink()

        links = here.engine.tasks[(await run.mapping())[one.job_id]].links
        assert [(link.task_id, link.name) for link in links] == [(outside.job_id, "out.out")]
        with pytest.raises(ConfigError, match="no copy of T99"):
            await run.relink({"T99": [(outside, "out.out")]})


async def test_one_that_is_there_is_taken_if_its_links_are_the_same(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        flow, [a, b, c] = await flow_of(here, "a", "b", "c")

        again = await here.tcup.workflows.create([(b, c), (a, b)], name="p", version="v1")

        assert (again.id, again.definition.schedule_id) == (flow.id, flow.definition.schedule_id)
        with pytest.raises(Conflict) as refused:
            await here.tcup.workflows.create([(a, c)], name="p", version="v1")
        assert "other links" in " ".join(refused.value.__notes__)
        assert (await here.tcup.workflows.create([(a, c)], name="p", version="v2")).id != flow.id


async def test_what_cannot_be_a_workflow_is_refused_by_name_before_anything_is_sent(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        a, b = await here.deployed("a"), await here.deployed("b")
        fresh = await here.tcup.tasks.create(project="p", job="fresh")
        strange = await here.tcup.tasks.create(project="q", job="strange")
        asked = len(here.asked)
        wrong: list[tuple[list[Any], str]] = [
            ([(a, b), (b, a)], "T1 -> T2 -> T1|T2 -> T1 -> T2"),
            ([(a, a)], "T1 -> T1"),
            ([(a, fresh)], "not deployed.*'fresh'"),
            ([(a, strange)], "one project.*'a'.*'strange'"),
            ([(a, "T2")], "'T2'"),
            ([("start", "end")], "at least one"),
            ([], "at least one"),
        ]
        for pairs, word in wrong:
            with pytest.raises(ConfigError, match=word):
                await here.tcup.workflows.create(pairs, name="p", version="1")
        with pytest.raises(ConfigError):
            await here.tcup.workflows.create([(a, b)], name="", version="1")
        assert len(here.asked) == asked


async def test_workflows_are_found_changed_and_deleted(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        flow, _ = await flow_of(here, "a", "b", recovery_mode=True)
        await flow.permit({"user2": ["read", "execute"]})
        await flow.set_recovery_mode(False)

        got = await here.tcup.workflows.get(flow.id)

        assert (got.name, got.definition.recovery_mode) == ("p v1", False)
        assert got.definition.permissions == [{"user": "user2", "actions": ["read", "execute"]}]
        assert [one.id async for one in here.tcup.workflows.list(name="p")] == [flow.id]
        assert [one.id async for one in here.tcup.workflows.list(version="v2")] == []
        with pytest.raises(ConfigError, match="list"):
            await flow.permit({"user2": "read"})
        here.fail("drop_after", f"DELETE /{flow.id}")
        await flow.delete()
        with pytest.raises(NotFound):
            await flow.refresh()


# -- run ---------------------------------------------------------------------------------------------------------------


@virtual
async def test_a_run_is_paused_resumed_and_aborted(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        here.engine.run_seconds = 50.0
        flow, _ = await flow_of(here, "a", "b")
        run = await flow.pre_initiate()
        with pytest.raises(Conflict):
            await run.pause()
        await run.initiate()
        assert await run.pause() is RunStatus.PAUSED
        with pytest.raises(PollTimeout) as late:
            await run.wait(deadline=100.0)
        assert late.value.token == run.token()
        assert late.value.last.executed_tasks == ["T3"]  # what ran went on to its end, and nothing began
        assert await run.resume() is RunStatus.RUNNING
        assert await run.abort() is RunStatus.ABORTED
        with pytest.raises(OperationFailed, match="ABORTED"):
            await run
        assert [one.id for one in await flow.runs(status="ABORTED")] == [run.id]
        assert (await flow.runs(status="RUNNING")).items == []


@virtual
async def test_a_run_that_failed_is_recovered_if_that_is_switched_on(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        here.engine.exit_codes = {"b": [1, 0]}
        flow, _ = await flow_of(here, "a", "b", "c")
        run = await flow.pre_initiate()
        await run.initiate()
        with pytest.raises(OperationFailed, match="b"):
            await run
        with pytest.raises(Conflict):
            await run.recover()
        await flow.set_recovery_mode(True)

        await run.recover()
        state = await run

        assert state.status is RunStatus.COMPLETED
        events = await run.history()
        assert [one.event for one in events][:2] == ["PREINITIATED", "INITIATED"]
        again = [one.base_task_id for one in events if one.event == "TASK_STARTED" and one.attempt == 2]
        assert again == ["T2", "T3"]
        assert all(one.time is not None for one in events)


@virtual
async def test_every_state_of_a_run_is_shown(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        here.engine.run_seconds = 30.0
        flow, _ = await flow_of(here, "a", "b")
        run = await flow.pre_initiate()
        await run.initiate()

        seen = [(state.status, tuple(state.running_tasks)) async for state in run.states()]

        assert list(dict.fromkeys(seen)) == [
            (RunStatus.RUNNING, ("T3",)),
            (RunStatus.RUNNING, ("T4",)),
            (RunStatus.COMPLETED, ()),
        ]
        assert run.status is RunStatus.COMPLETED


@virtual
async def test_a_workflow_runs_by_its_schedule(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        flow, _ = await flow_of(here, "a")
        assert await flow.schedule() is None
        made = await flow.reschedule(hour=6, time_zone="IST", recurrence_limit=2)
        assert made == await flow.schedule()
        assert (made or {})["cron"] == "0 6 * * *"

        await asyncio.sleep(3 * 86_400)

        runs = [one async for one in flow.runs()]
        assert [one.status for one in runs] == [RunStatus.COMPLETED] * 2
        await flow.unschedule()
        assert await (await here.tcup.workflows.get(flow.id)).schedule() is None


async def test_what_may_have_begun_is_not_begun_twice(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        flow, _ = await flow_of(here, "a", "b")
        here.fail("drop_after", "/preInitiate")
        with pytest.raises(MaybeSent):
            await flow.pre_initiate()
        [run] = await flow.runs()
        here.fail("drop_after", "/initiate")
        with pytest.raises(MaybeSent):
            await run.initiate()

        assert (await run.wait(policy=QUICK)).status is RunStatus.COMPLETED
        assert sum(line.endswith("nitiate") for line in here.asked) == 2


# -- by the thousand ---------------------------------------------------------------------------------------------------


class Watched:
    """How many ask at once, and how often for one of them at once."""

    def __init__(self, here: Scene) -> None:
        self.under_way: Counter[str] = Counter()
        self.most = self.most_of_one = self.calls = 0
        world = here.sandbox.tcup
        self._answer = world.answer
        world.answer = self.answer  # type: ignore[method-assign] # watched by the test

    async def answer(self, call: Any) -> Any:
        if call.method != "GET" or "/processInstances/" not in call.target:
            return await self._answer(call)
        self.calls += 1
        self.under_way[call.target] += 1
        self.most = max(self.most, self.under_way.total())
        self.most_of_one = max(self.most_of_one, self.under_way[call.target])
        try:
            await asyncio.sleep(0.01)
            return await self._answer(call)
        finally:
            self.under_way[call.target] -= 1


@pytest.mark.slow(60)
@virtual
async def test_a_thousand_runs_are_awaited_at_once(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        here.engine.run_seconds = 3.0
        flow, _ = await flow_of(here, "a")
        runs = await asyncio.gather(*(flow.pre_initiate() for _ in range(1000)))
        await asyncio.gather(*(run.initiate() for run in runs))
        watched = Watched(here)

        async def meanwhile() -> int:
            await asyncio.sleep(0.2)
            before = watched.calls
            await here.tcup.projects.get("P1")
            return watched.calls - before

        policy, other = PollPolicy(minimum=5.0), asyncio.create_task(meanwhile())
        states = await asyncio.gather(*(run.wait(policy=policy) for run in [*runs, runs[0], runs[0]]))

        assert [state.status for state in states] == [RunStatus.COMPLETED] * 1002
        assert watched.most == 10
        assert watched.most_of_one == 1
        assert await other <= 20  # it had to wait for those under way, not for all who wait


@virtual
async def test_those_who_wait_for_one_run_ask_once_together(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        here.engine.run_seconds = 50.0
        flow, _ = await flow_of(here, "a")
        run = await flow.pre_initiate()
        await run.initiate()
        watched = Watched(here)

        async def one() -> None:
            async for _ in run.states():
                pass

        await asyncio.gather(*(one() for _ in range(50)), *(run.refresh() for _ in range(50)))

        assert watched.most == 1


@virtual
async def test_runs_are_told_as_they_end_in_whatever_way(clock: VirtualClock, tmp_path: Path) -> None:
    async with scene(tmp_path, clock) as here:
        here.engine.exit_codes = {"a": [0, 1, 0]}
        flow, _ = await flow_of(here, "a")
        runs = [await flow.pre_initiate() for _ in range(4)]
        for number, run in enumerate(runs[:3]):
            here.engine.run_seconds = 30.0 * (number + 1)
            await run.initiate()
        await runs[3].abort()
        here.fail("status", f"GET /{runs[2].id}", status=404)

        ended = {one.id: one async for one in here.tcup.workflows.wait_all(runs)}

        assert {run: str(one.state and one.state.status) for run, one in ended.items()} == {
            "I1": "COMPLETED",
            "I2": "FAILED",
            "I3": "None",
            "I4": "ABORTED",
        }
        assert isinstance(ended["I3"].error, NotFound)


async def test_who_stops_waiting_leaves_the_others_theirs(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        flow, _ = await flow_of(here, "a")
        run = await flow.pre_initiate()
        here.fail("delay", f"GET /{run.id}", seconds=0.2)
        impatient, patient = (asyncio.create_task(run.refresh()) for _ in range(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        impatient.cancel()

        assert (await patient).status is RunStatus.PREINITIATED
        assert impatient.cancelled()


# -- what the platform says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [None, [], {}, {"taskIds": None}, {"taskIds": [{}]}, {"taskIds": ["T1"]}])
def test_an_answer_without_a_mapping_is_no_answer(answer: Any) -> None:
    with pytest.raises(ProtocolError, match="taskIds"):
        mapping_of(answer)


async def test_lists_of_projects_tasks_workflows_runs_and_events_are_tables(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        empty = await here.tcup.projects.list().frame()
        assert (len(empty), list(empty.columns)) == (0, ["project_id", "project_name", "created_on"])
        flow, [first, _] = await flow_of(here, "a", "b")
        run = await flow.pre_initiate()
        await run.initiate()
        await run.wait(policy=QUICK)

        tasks = await here.tcup.tasks.list("p").frame()
        flows = await here.tcup.workflows.list().frame()
        runs = await flow.runs().frame()
        events = await run.history().frame()
        outputs = await (await run.task(first)).outputs().frame()

        assert list(tasks["status"]) == ["DEPLOYED", "DEPLOYED", "COMPLETED", "COMPLETED"]
        assert list(flows["process_name"]) == ["p"]
        assert list(runs["executed_tasks"]) == [["T3", "T4"]]
        assert str(events["time"].dtype).endswith("UTC]")
        assert list(outputs["file_name"]) == ["out.out"]
