"""``asyncconn tcup task``, ``workflow`` and ``rules``: what runs on the platform, and what moves messages there."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from cli.tcup_scene import RULE, Scene, scene
from cli.terminals import Terminal

if TYPE_CHECKING:
    from pathlib import Path


async def deployed(here: Scene, job: str, code: str, *more: str) -> None:
    (here.folder / f"{job}.py").write_text(code)
    assert await here.done("task", "deploy", "p", job, f"{job}.py", *more) == f"{job} is DEPLOYED\n"


# -- tasks -------------------------------------------------------------------------------------------------------------


async def test_a_task_runs_and_shows_what_came_of_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.txt").write_text("20 1")
    code = "import sys\nprint('  sum:', sum(map(int, open('numbers.txt').read().split())), sys.argv[1])"
    async with scene(tmp_path) as here:
        await deployed(here, "sum", code, "days", "--inputs", "data")
        assert await here.done("task", "start", "p", "sum", "--wait") == "sum is COMPLETED\n"
        assert await here.done("task", "wait", "p", "sum") == "sum is COMPLETED\n"
        assert await here.done("task", "logs", "p", "sum") == "  sum: 21 days\n"
        assert await here.done("task", "logs", "p", "sum", "--stderr") == ""
        [output] = json.loads(await here.done("task", "outputs", "p", "sum", "--folder", ".", "-f", "json"))
        assert output == {"fileName": "out.out", "sizeBytes": 15}
        assert (tmp_path / "out.out").read_text() == "  sum: 21 days\n"
        [found] = json.loads(await here.done("task", "list", "p", "-f", "json"))
        assert (found["jobName"], found["status"], found["exitCode"], found["runs"]) == ("sum", "COMPLETED", 0, 1)
        await here.done("task", "delete", "p", "sum")
        assert await here.done("task", "list", "p") == "no tasks\n"
        gone = await here("task", "start", "p", "sum")
    assert (gone.status, gone.err.partition(" ")[0]) == (1, "error:")


async def test_a_task_that_fails_ends_the_command_with_1_and_the_reason(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await deployed(here, "bad", "import sys; print('oh', file=sys.stderr); sys.exit(3)")
        ended = await here("task", "start", "p", "bad", "--wait")
        assert (ended.status, ended.out, ended.err) == (1, "", "error: bad is FAILED: exit code 3\n")
        assert await here.done("task", "logs", "p", "bad", "--stderr") == "oh\n"
        assert "bad" in await here.done("task", "list", "p", "--status", "FAILED")


async def test_a_task_that_does_not_end_is_waited_for_no_longer_than_asked_and_can_be_stopped(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await deployed(here, "long", "import time; print('on', flush=True); time.sleep(15)")
        begun = await here("task", "start", "p", "long")
        assert (begun.status, begun.out) == (0, "long is QUEUED\n")
        late = await here("task", "wait", "p", "long", "--timeout", "0.3")
        assert late.status == 1
        assert late.err.startswith("error: ")
        assert await here.done("task", "logs", "p", "long", "--no-follow") == "on\n"
        assert await here.done("task", "stop", "p", "long") == "long is STOPPED\n"
        assert (await here("task", "wait", "p", "long")).err == "error: long is STOPPED\n"


async def test_tasks_are_made_with_schedules(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        assert await here.done("task", "create", "p", "now") == "T1\n"
        assert await here.done("task", "create", "p", "now") == "T1\n"
        at = ("--at", "2030-01-01T00:00", "--time-zone", "Asia/Kolkata")
        await here.done("task", "create", "p", "later", *at)
        await here.done("task", "create", "p", "daily", "--cron", "0 4 * * *", "--time-zone", "Europe/Rome")
        kinds = {one["jobName"]: one for one in json.loads(await here.done("task", "list", "p", "-f", "json"))}
    assert [kinds[name]["jobType"] for name in ("now", "later", "daily")] == ["IMMEDIATE", "DELAYED", "RECURRENT"]
    assert kinds["later"]["schedule"]["delayedTime"] == "31-12-2029 18:30:00.000 UTC"
    assert (kinds["daily"]["schedule"]["cron"], kinds["daily"]["schedule"]["timeZone"]) == ("0 4 * * *", "Europe/Rome")


# -- workflows ---------------------------------------------------------------------------------------------------------


async def test_a_workflow_of_pairs_hands_files_on_and_shows_its_tasks(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("source,destination,file\none,two,out.out\n")
    async with scene(tmp_path) as here:
        await deployed(here, "one", "print(20 + 1)")
        await deployed(here, "two", "print(int(open('out.out').read()) * 2)")
        named = ("--project", "p", "--name", "f")
        ended = await here("workflow", "run", "pairs.csv", *named, "-f", "json")
        assert (ended.status, ended.err) == (0, "run I1\nrun I1 is COMPLETED\n"), ended.text
        first, second = json.loads(ended.out)
        assert [(one["task"], one["status"], one["exitCode"]) for one in (first, second)] == [
            ("one", "COMPLETED", 0),
            ("two", "COMPLETED", 0),
        ]
        assert await here.done("task", "logs", "p", second["id"]) == "42\n"

        again = await here(
            "workflow", "run", "-", *named, "--no-wait", "-q", given=(tmp_path / "pairs.csv").read_bytes()
        )
        assert (again.status, again.err) == (0, ""), again.text
        assert (await here("workflow", "wait", "I2")).err == "run I2 is COMPLETED\n"
        [flow] = json.loads(await here.done("workflow", "list", "-f", "json"))
        assert (flow["processName"], flow["processVersion"]) == ("f", "1")
        runs = json.loads(await here.done("workflow", "runs", flow["processDefinitionId"], "-f", "json"))
        assert sorted(run["processInstanceId"] for run in runs) == ["I1", "I2"]
        events = json.loads(await here.done("workflow", "history", "I1", "-f", "json"))
        assert [one["event"] for one in events].count("TASK_COMPLETED") == 2


async def test_a_run_that_fails_names_the_task_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"source": "one", "destination": "bad"}\n')
    async with scene(tmp_path) as here:
        await deployed(here, "one", "print(1)")
        await deployed(here, "bad", "raise SystemExit(3)")
        ended = await here("workflow", "run", "pairs.jsonl", "--project", "p", "--name", "f", "-f", "csv")
        assert ended.status == 1, ended.text
        assert "bad,T4,FAILED,3," in ended.out
        assert ended.err.splitlines()[-1] == "error: run I1 is FAILED: T4 failed"
        recovered = await here("workflow", "recover", "I1")
        assert recovered.status == 1
        assert recovered.err.startswith("error: ")
        aborted = await here("workflow", "abort", "I1")
        assert aborted.status == 1


async def test_bad_pairs_are_all_named_and_nothing_is_sent(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        rows = b"source,destination,file\none,,\n,two,\n"
        ended = await here("workflow", "run", "-", "--project", "p", "--name", "f", given=rows)
        column = await here("workflow", "run", "-", "--project", "p", "--name", "f", given=b"from,to\na,b\n")
        none = await here("workflow", "run", "-", "--project", "p", "--name", "f", given=b"source,destination\n")
        assert here.world.counters.requests.total() == 0
    assert (ended.status, column.status, none.status) == (2, 2, 2)
    assert [line.partition(": ")[0] for line in ended.err.splitlines()] == ["<stdin>:2", "<stdin>:3", "error"]
    assert "there is no column 'from': they are source, destination, file" in column.err
    assert none.err == "error: <stdin> holds no pair of tasks\n"


async def test_a_circle_of_tasks_is_refused_before_it_is_made(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        for job in ("a", "b"):
            await deployed(here, job, "")
        pairs = b"source,destination\na,b\nb,a\n"
        ended = await here("workflow", "run", "-", "--project", "p", "--name", "f", given=pairs)
        assert await here.done("workflow", "list") == "no workflows\n"
    assert ended.status == 2
    assert "wait for each other" in ended.err


# -- rules -------------------------------------------------------------------------------------------------------------


async def test_a_rule_is_made_moves_messages_and_is_counted(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await here.registered()
        assert await here.done("rules", "create", "-", "--start", given=json.dumps(RULE).encode()) == "1\n"
        for value in ("31", "3"):
            await here.done("observe", "ts1", f"obs2={value}")
        assert len(here.world.routed("ex1", "test")) == 1
        assert json.loads(await here.done("rules", "statistics", "-f", "json")) == [
            {"id": 1, "name": "hot", "messages": 2, "passed": 1}
        ]
        [found] = json.loads(await here.done("rules", "list", "--name", "h*", "-f", "json"))
        assert (found["Status"], found["params"]) == ("Started", RULE["params"])
        refused = await here("rules", "delete", "1")
        assert refused.status == 1
        assert await here.done("rules", "stop", "1") == "rule 1 is stopped\n"
        await here.done("rules", "start", "1")
        await here.done("rules", "stop", "1")
        assert await here.done("rules", "delete", "1") == "rule 1 is deleted\n"
        assert await here.done("rules", "list") == "no rules\n"


async def test_a_rule_that_would_move_everything_is_refused(tmp_path: Path) -> None:
    misspelt = json.dumps({**RULE, "params": [{**RULE["params"][0], "name": "observedproperties"}]})
    async with scene(tmp_path) as here:
        ended = await here("rules", "create", "-", given=misspelt.encode())
        assert here.world.counters.requests.total() == 0
    assert ended.status == 2
    assert "a rule would take it for nothing" in ended.err


# -- what is seen meanwhile --------------------------------------------------------------------------------------------


async def test_on_a_terminal_the_tasks_of_a_run_are_counted_in_a_bar(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("source,destination\none,two\n")
    async with scene(tmp_path) as here:
        for job in ("one", "two"):
            await deployed(here, job, "print(1)")
        words = ("tcup", "workflow", "run", "pairs.csv", "--project", "p", "--name", "f")
        with Terminal(tmp_path, *words, env=here.sandbox.env) as terminal:
            assert await asyncio.to_thread(terminal.end) == 0
    assert "2/2" in terminal.seen
    assert "completed" in terminal.seen
