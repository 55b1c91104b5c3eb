from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from .working_scene import TASKS, WORKFLOWS, Api, id_of, tcup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

DEFINITIONS = f"{WORKFLOWS}/processDefinitions"
INSTANCES = f"{WORKFLOWS}/processInstances"


class Flow:
    """A project with simulated tasks, and processes over them."""

    def __init__(self, api: Api, project: str, tasks: dict[str, str]) -> None:
        self.api = api
        self.project = project
        self.tasks = tasks

    def body(self, links: str, name: str = "p", **more: Any) -> dict[str, Any]:
        """``a-b b-c`` as links; the ends are tied to start and end."""
        return {
            "projectId": self.project,
            "processName": name,
            "processVersion": "v1",
            "links": [
                {"source": self.tasks.get(source, source), "destination": self.tasks.get(destination, destination)}
                for source, destination in (link.split("-") for link in links.split())
            ],
            **more,
        }

    async def define(self, links: str, name: str = "p", **more: Any) -> str:
        made = await self.api.ok("POST", DEFINITIONS, self.body(links, name, **more))
        assert made["message"] == "Process definition created successfully"
        return f"{DEFINITIONS}/{made['processDefinitionId']}"

    async def instance(self, definition: str) -> tuple[str, dict[str, str]]:
        """Its path, and the copies' ids by the tasks' names."""
        made = await self.api.ok("POST", f"{definition}/preInitiate")
        assert made["status"] == "PREINITIATED"
        copies = {pair["baseTaskId"]: pair["copiedTaskId"] for pair in made["taskIds"]}
        return f"{INSTANCES}/{made['processInstanceId']}", {name: copies[self.tasks[name]] for name in self.tasks}

    async def do(self, instance: str, verb: str) -> Any:
        reply = await self.api("POST", f"{instance}/{verb}")
        return reply.json["status"] if reply.status == 202 else reply.status

    async def events(self, instance: str) -> list[str]:
        return [event["event"] for event in (await self.api.ok("GET", f"{instance}/history"))["events"]]

    async def task(self, task_id: str) -> Any:
        return await self.api.ok("GET", f"{TASKS}/projects/{self.project}/tasks/{task_id}")


async def flow_of(api: Api, names: Sequence[str], seconds: float = 0.02) -> Flow:
    api.world.tasks.engine.run_seconds = seconds
    project = await api.project()
    return Flow(api, project, {name: id_of(await api.task(project, name, "", runTime="c")) for name in names})


@pytest.fixture
async def flow() -> AsyncIterator[Flow]:
    async with tcup() as api:
        yield await flow_of(api, "abc")


CHAIN = "start-a a-b b-c c-end"


async def test_a_definition_is_its_body_with_ids_and_its_pair_of_names_is_one(flow: Flow) -> None:
    path = await flow.define(CHAIN)
    shown = await flow.api.ok("GET", path)
    assert shown == {
        **flow.body(CHAIN),
        "processDefinitionId": id_of(path),
        "scheduleId": shown["scheduleId"],
        "recoveryMode": False,
        "permissions": [],
    }
    twin = await flow.api("POST", DEFINITIONS, flow.body(CHAIN))
    details = {"processDefinitionId": id_of(path), "scheduleId": shown["scheduleId"]}
    assert (twin.status, twin.json["details"]) == (409, details)
    await flow.define(CHAIN, "q")
    listed = await flow.api.ok("GET", DEFINITIONS, params={"processName": "p", "processVersion": "v1"})
    assert listed == {"processDefinitions": [shown]}
    assert (await flow.api("DELETE", path)).status == 204
    assert (await flow.api("GET", path)).status == 404


@pytest.mark.parametrize(
    "links",
    [
        "start-a a-b b-a b-end",  # a circle
        "start-a a-a a-end",
        "start-T99 T99-end",  # a stranger
        "start-end",
        "a-b b-end",  # a has nothing before it
        "start-a a-b",
        "start-a a-end b-start",
        "end-a a-end",
    ],
)
async def test_links_that_lead_nowhere_are_refused(flow: Flow, links: str) -> None:
    assert (await flow.api("POST", DEFINITIONS, flow.body(links))).status == 400


async def test_only_deployed_tasks_are_taken(flow: Flow) -> None:
    flow.tasks["new"] = id_of(await flow.api.task(flow.project, "new", None))
    reply = await flow.api("POST", DEFINITIONS, flow.body("start-new new-end"))
    assert (reply.status, "not deployed" in reply.json["message"]) == (400, True)
    changes: list[dict[str, Any]] = [{"projectId": "P99"}, {"processName": ""}, {"links": []}, {"links": "a"}]
    for wrong in [*changes, {"recoveryMode": "yes"}]:
        assert (await flow.api("POST", DEFINITIONS, {**flow.body(CHAIN), **wrong})).status == 400


async def test_a_run_is_on_copies_and_ends_in_their_order(flow: Flow) -> None:
    definition = await flow.define(CHAIN)
    path, copies = await flow.instance(definition)
    assert set(copies.values()).isdisjoint(flow.tasks.values())
    mapping = await flow.api.ok("GET", f"{path}/mapping")
    assert mapping["taskIds"][0] == {"baseTaskId": flow.tasks["a"], "copiedTaskId": copies["a"]}
    before = await flow.api.ok("GET", path)
    assert (before["pendingTasks"], before["startedOn"]) == (list(copies.values()), None)
    assert await flow.do(path, "initiate") == "RUNNING"
    assert await flow.do(path, "initiate") == 409
    done = await flow.api.until(path, "COMPLETED", "FAILED")
    assert done == {
        "processInstanceId": id_of(path),
        "processDefinitionId": id_of(definition),
        "status": "COMPLETED",
        "executedTasks": list(copies.values()),
        "runningTasks": [],
        "pendingTasks": [],
        "failedTasks": [],
        "startedOn": done["startedOn"],
        "endedOn": done["endedOn"],
    }
    one = ["TASK_STARTED", "TASK_COMPLETED"]
    assert await flow.events(path) == ["PREINITIATED", "INITIATED", *one, *one, *one, "COMPLETED"]
    for task in flow.tasks.values():
        assert (await flow.task(task))["runs"] == 0
    listed = await flow.api.ok("GET", f"{definition}/processInstances", params={"status": "COMPLETED"})
    assert listed == {"processInstances": [done]}


async def test_branches_run_side_by_side() -> None:
    async with tcup(still=True) as api:
        flow = await flow_of(api, "abcd", seconds=10)
        path, copies = await flow.instance(await flow.define("start-a a-b a-c b-d c-d d-end"))
        await flow.do(path, "initiate")
        for running in ("a", "bc", "d"):
            wanted = [copies[name] for name in running]
            await api.when(path, lambda shown, wanted=wanted: shown["runningTasks"] == wanted)  # type: ignore[misc] # mypy gives a lambda's default no type
            for name in running:
                await api.until(f"{TASKS}/projects/{flow.project}/tasks/{copies[name]}", "RUNNING")
            api.world.clock.advance(10)
        await api.until(path, "COMPLETED")


async def test_a_failed_task_holds_up_only_what_comes_after_it() -> None:
    async with tcup() as api:
        flow = await flow_of(api, "abc")
        api.world.tasks.engine.exit_codes = {"a": [1, 0]}
        definition = await flow.define("start-a a-b b-end start-c c-end")
        path, copies = await flow.instance(definition)
        await flow.do(path, "initiate")
        done = await api.until(path, "COMPLETED", "FAILED")
        assert (done["status"], done["failedTasks"], done["executedTasks"], done["pendingTasks"]) == (
            "FAILED",
            [copies["a"]],
            [copies["c"]],
            [copies["b"]],
        )
        assert await flow.do(path, "recover") == 409
        await api.ok("PUT", f"{definition}/recoveryMode", {"recoveryMode": True})
        assert await flow.do(path, "recover") == "RECOVERING"
        done = await api.until(path, "COMPLETED")
        assert done["executedTasks"] == [copies[name] for name in "abc"]
        assert (await flow.task(copies["c"]))["runs"] == 1  # what was done is not done again
        events = (await api.ok("GET", f"{path}/history"))["events"]
        attempts = [(event["event"], event["baseTaskId"], event["attempt"]) for event in events]
        assert ("TASK_FAILED", flow.tasks["a"], 1) in attempts
        assert ("TASK_COMPLETED", flow.tasks["a"], 2) in attempts
        assert "exit code 1" in {event["message"] for event in events}


async def test_while_paused_nothing_begins_and_nothing_ends() -> None:
    async with tcup(still=True) as api:
        flow = await flow_of(api, "abc", seconds=10)
        path, copies = await flow.instance(await flow.define("start-a a-b b-end start-c c-end"))
        await flow.do(path, "initiate")
        for name in "ac":
            await api.until(f"{TASKS}/projects/{flow.project}/tasks/{copies[name]}", "RUNNING")
        assert await flow.do(path, "pause") == "PAUSED"
        api.world.clock.advance(100)
        shown = await api.ok("GET", path)
        assert (shown["status"], shown["executedTasks"], shown["pendingTasks"]) == (
            "PAUSED",
            [copies["a"], copies["c"]],
            [copies["b"]],
        )
        assert await flow.do(path, "resume") == "RUNNING"
        await api.until(f"{TASKS}/projects/{flow.project}/tasks/{copies['b']}", "RUNNING")
        await flow.do(path, "pause")
        api.world.clock.advance(100)
        assert (await api.ok("GET", path))["status"] == "PAUSED"  # though all is done
        await flow.do(path, "resume")
        assert (await api.ok("GET", path))["status"] == "COMPLETED"
        assert await flow.do(path, "abort") == 409


async def test_an_aborted_run_stops_its_tasks_and_can_be_recovered() -> None:
    async with tcup() as api:
        flow = await flow_of(api, "ab", seconds=60)
        path, copies = await flow.instance(await flow.define("start-a a-b b-end", recoveryMode=True))
        await flow.do(path, "initiate")
        task = f"{TASKS}/projects/{flow.project}/tasks/{copies['a']}"
        await api.until(task, "RUNNING")
        assert await flow.do(path, "abort") == "ABORTED"
        assert (await api.ok("GET", task))["status"] == "STOPPED"
        shown = await api.ok("GET", path)
        assert (shown["status"], shown["pendingTasks"]) == ("ABORTED", list(copies.values()))
        api.world.tasks.engine.run_seconds = 0.01
        await flow.do(path, "recover")
        await api.until(path, "COMPLETED")
        assert (await flow.events(path))[-1] == "COMPLETED"


async def test_a_run_that_was_aborted_before_it_began_starts_fresh(flow: Flow) -> None:
    path, _ = await flow.instance(await flow.define(CHAIN, recoveryMode=True))
    assert await flow.do(path, "abort") == "ABORTED"
    assert await flow.do(path, "initiate") == 409
    await flow.do(path, "recover")
    await flow.api.until(path, "COMPLETED")


async def test_a_task_stopped_by_hand_ends_the_run_as_pending() -> None:
    async with tcup() as api:
        flow = await flow_of(api, "a", seconds=60)
        path, copies = await flow.instance(await flow.define("start-a a-end"))
        await flow.do(path, "initiate")
        task = f"{TASKS}/projects/{flow.project}/tasks/{copies['a']}"
        await api.until(task, "RUNNING")
        await api("POST", f"{task}/stop")
        shown = await api.until(path, "FAILED")
        assert (shown["failedTasks"], shown["pendingTasks"]) == ([], [copies["a"]])


async def test_files_are_linked_again_on_the_copies() -> None:
    async with tcup() as api:
        project = await api.project()
        first = await api.task(project, "first", "print(21)")
        second = await api.task(project, "second", "print(2 * int(open('out.out').read()))")
        link = {"projectId": project, "taskId": id_of(first), "fileName": "out.out"}
        await api.ok("POST", f"{second}/externalFiles", {"files": [link]})
        flow = Flow(api, project, {"a": id_of(first), "b": id_of(second)})
        path, copies = await flow.instance(await flow.define("start-a a-b b-end"))
        copied = f"{TASKS}/projects/{project}/tasks/{copies['b']}"
        await api.ok("POST", f"{copied}/externalFiles", {"files": [{**link, "taskId": copies["a"]}]})
        await flow.do(path, "initiate")
        assert (await api.until(path, "COMPLETED", "FAILED"))["status"] == "COMPLETED"
        assert (await api("GET", f"{copied}/outputs/out.out")).body == b"42\n"


async def test_a_schedule_begins_runs_until_its_limit() -> None:
    async with tcup(still=True) as api:
        flow = await flow_of(api, "a", seconds=1)
        definition = await flow.define("start-a a-end")
        schedule = f"{WORKFLOWS}/schedules/{(await api.ok('GET', definition))['scheduleId']}"
        assert (await api.ok("GET", schedule))["schedule"] is None
        asked = {"type": "recurrent", "cronPatternType": "fixed", "cron": "0 * * * *", "recurrenceLimit": 2}
        shown = await api.ok("PUT", schedule, asked)
        assert shown == {"scheduleId": id_of(schedule), "processDefinitionId": id_of(definition), "schedule": asked}
        for number in (1, 2, 2):
            api.world.clock.advance(3600)
            listed = await api.ok("GET", f"{definition}/processInstances")
            assert len(listed["processInstances"]) == number
        assert (await api.ok("PUT", schedule, data="null"))["schedule"] is None
        late = {"type": "delayed", "delayedTime": "01-01-2040 00:00:00 UTC"}
        assert (await api("PUT", schedule, late)).status == 400


async def test_permissions_are_kept_and_looked_at(flow: Flow) -> None:
    path = await flow.define(CHAIN)
    users = [{"user": "user2", "actions": ["read", "execute"]}]
    assert (await flow.api.ok("PUT", f"{path}/permissions", {"users": users}))["permissions"] == users
    refused: list[Any] = [[{"user": "user2", "actions": ["own"]}], [{"actions": []}], "user2"]
    refused.append([{"user": "user2", "actions": [["read"]]}])
    for wrong in refused:
        assert (await flow.api("PUT", f"{path}/permissions", {"users": wrong})).status == 400


async def test_what_is_under_way_is_not_deleted() -> None:
    async with tcup() as api:
        flow = await flow_of(api, "a", seconds=60)
        definition = await flow.define("start-a a-end")
        path, _ = await flow.instance(definition)
        await flow.do(path, "initiate")
        assert (await api("DELETE", definition)).status == 409
        await flow.do(path, "abort")
        assert (await api("DELETE", definition)).status == 204
        assert (await api("POST", f"{definition}/preInitiate")).status == 404


async def test_a_project_that_goes_takes_its_runs_along() -> None:
    async with tcup() as api:
        flow = await flow_of(api, "ab", seconds=60)
        path, _ = await flow.instance(await flow.define("start-a a-b b-end"))
        await flow.do(path, "initiate")
        await api("DELETE", f"{TASKS}/projects/{flow.project}", params={"force": "true"})
        assert (await api.until(path, "FAILED"))["runningTasks"] == []


@pytest.mark.parametrize("seed", range(12))
async def test_any_order_of_tasks_is_kept_and_every_run_ends(seed: int) -> None:
    chance = random.Random(seed)
    names = "abcdefgh"
    pairs = [(one, two) for one in names for two in names if one < two and chance.random() < 0.3]
    firsts = [("start", name) for name in names if name not in {two for _, two in pairs}]
    lasts = [(name, "end") for name in names if name not in {one for one, _ in pairs}]
    async with tcup() as api:
        flow = await flow_of(api, names, seconds=0.005)
        api.world.tasks.engine.exit_codes = {name: [int(chance.random() < 0.2)] for name in names}
        links = " ".join(f"{one}-{two}" for one, two in [*firsts, *pairs, *lasts])
        path, copies = await flow.instance(await flow.define(links))
        await flow.do(path, "initiate")
        done = await api.until(path, "COMPLETED", "FAILED")
        called = {task: name for name, task in copies.items()}
        executed = {called[task] for task in done["executedTasks"]}
        failed = {called[task] for task in done["failedTasks"]}
        began: list[str] = []
        ended: list[str] = []
        for event in (await api.ok("GET", f"{path}/history"))["events"]:
            if event["event"] == "TASK_STARTED":
                began.append(called[event["taskId"]])
                assert {one for one, two in pairs if two == began[-1]} <= set(ended)
            elif event["event"] == "TASK_COMPLETED":
                ended.append(called[event["taskId"]])
    assert (done["status"] == "COMPLETED") == (executed == set(names))
    assert failed == {name for name in began if api.world.tasks.engine.exit_codes[name] == [1]}
    assert sorted(began) == sorted(executed | failed)
    waiting = {called[task] for task in done["pendingTasks"]}
    assert waiting == set(names) - executed - failed
    assert all(any(one in waiting | failed for one, two in pairs if two == name) for name in waiting)


async def test_two_hundred_runs_end(flow: Flow) -> None:
    definition = await flow.define(CHAIN)
    paths = [(await flow.instance(definition))[0] for _ in range(200)]
    await asyncio.gather(*(flow.do(path, "initiate") for path in paths))
    for path in paths:
        await flow.api.until(path, "COMPLETED")
