"""Tasks: made or found, deployed, run, waited for, and what is left of them."""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING

import pytest

from asyncconn.errors import ConfigError, Conflict, MaybeSent, NotFound
from asyncconn.tcup import Progress, TaskStatus

from .job_scene import QUICK, scene

if TYPE_CHECKING:
    from pathlib import Path


# -- made and found ----------------------------------------------------------------------------------------------------


async def test_a_project_and_a_task_are_made_where_there_are_none_and_found_where_there_are(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        made = await here.tcup.tasks.create(project="testProj", job="testJob")
        found = await here.tcup.tasks.create(project="testProj", job="testJob")
        by_ids = await here.tcup.tasks.create(project=made.project_id, job=made.job_id)
        got = await here.tcup.tasks.get("testProj", "testJob")

        assert {(one.project_id, one.job_id) for one in (made, found, by_ids, got)} == {("P1", "T1")}
        assert (made.job_name, made.status, made.state.job_type) == ("testJob", TaskStatus.CREATED, "IMMEDIATE")
        assert [one.project_name async for one in here.tcup.projects.list()] == ["testProj"]


async def test_an_id_wins_over_a_name(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        first = await here.tcup.projects.create("one")
        await here.tcup.projects.create(first.project_id)

        assert (await here.tcup.projects.get("P1")).project_name == "one"
        assert (await here.tcup.projects.ensure("P1")).project_id == "P1"
        assert (await here.tcup.projects.get("one")).project_id == "P1"


async def test_whoever_makes_the_same_one_at_the_same_time_gets_the_same_one(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        made = await asyncio.gather(*(here.client().tasks.create(project="p", job="j") for _ in range(6)))

        assert {(one.project_id, one.job_id) for one in made} == {("P1", "T1")}
        assert len(here.engine.tasks) == 1


async def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        with pytest.raises(NotFound):
            await here.tcup.tasks.get("nowhere", "j")
        await here.tcup.projects.create("p")
        with pytest.raises(NotFound):
            await here.tcup.tasks.get("p", "j")
        with pytest.raises(Conflict) as refused:
            await here.tcup.projects.create("p")
        assert refused.value.details == {"projectId": "P1"}


async def test_a_list_goes_over_all_pages_by_name_or_id_of_the_project(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        project = await here.tcup.projects.create("p")
        await asyncio.gather(*(here.tcup.tasks.create(project=project, job=f"j{number}") for number in range(101)))

        by_name = [one.job_name async for one in here.tcup.tasks.list("p")]

        assert sorted(by_name) == sorted(f"j{number}" for number in range(101))
        assert [one.job_name for one in await here.tcup.tasks.list(project, job="j7")] == ["j7"]
        assert (await here.tcup.tasks.list(project.project_id, status="RUNNING")).items == []


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x00"])
async def test_a_name_that_is_none_is_refused_before_anything_is_sent(tmp_path: Path, name: str) -> None:
    async with scene(tmp_path) as here:
        with pytest.raises(ConfigError):
            await here.tcup.tasks.create(project="p", job=name)
        with pytest.raises(ConfigError):
            await here.tcup.tasks.create(project=name, job="j")
        assert [line for line in here.asked if line.startswith("POST")] == []


@pytest.mark.parametrize(
    "name", ["a/b", "a b?c=1#d", "ünïcode", "50%", "a..b", "a&b=c+d", "👩\u200d🔬", "\u202exe.bat", "%2e%2e"]
)
async def test_any_other_name_is_carried_as_it_is(tmp_path: Path, name: str) -> None:
    async with scene(tmp_path) as here:
        made = await here.tcup.tasks.create(project=name, job=name)

        assert (made.job_name, (await here.tcup.tasks.get(name, name)).job_id) == (name, made.job_id)
        assert here.engine.projects[made.project_id].name == name


async def test_a_project_goes_with_its_tasks(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("j")
        await task.start()
        with pytest.raises(Conflict):
            await here.tcup.projects.delete("p")

        await here.tcup.projects.delete("p", force=True)

        assert here.engine.tasks == {}


# -- deployed and run --------------------------------------------------------------------------------------------------

PROGRAM = """
import pathlib, sys
print("arguments", *sys.argv[1:])
print("input", pathlib.Path("in/ä.txt").read_text(encoding="utf-8"))
import helper
print("helper", helper.NAME)
pathlib.Path("made.txt").write_text("made")
"""


async def test_a_program_runs_with_its_inputs_what_it_needs_and_its_arguments(tmp_path: Path) -> None:
    (tmp_path / "inputs" / "in").mkdir(parents=True)
    (tmp_path / "inputs" / "in" / "ä.txt").write_text("read", encoding="utf-8")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helper.py").write_text("NAME = 'helped'")
    async with scene(tmp_path) as here:
        seen: list[Progress] = []
        task = await here.deployed(
            "testJob",
            runtime="py",
            code=PROGRAM,
            inputs=tmp_path / "inputs",
            dependencies=tmp_path / "lib",
            arguments=["--days", "7 ; rm -rf /"],
            nodes=2,
            on_progress=seen.append,
        )
        assert (task.status, task.state.run_time, task.state.no_of_nodes) == (TaskStatus.DEPLOYED, "py", 2)
        assert task.state.arguments == ["--days", "7 ; rm -rf /"]
        assert seen[-1].done >= len(PROGRAM)

        assert await task.start() is TaskStatus.QUEUED
        state = await task.wait(policy=QUICK)

        assert (state.status, state.exit_code, state.runs) == (TaskStatus.COMPLETED, 0, 1)
        assert state.started_on is not None
        assert state.started_on.tzinfo is UTC
        lines = [line async for line in task.logs(follow=False)]
        assert lines == ["arguments --days 7 ; rm -rf /", "input read", "helper helped"]
        outputs = {one.file_name: one.size_bytes for one in await task.outputs()}
        assert outputs["made.txt"] == 4
        assert (await task.download("made.txt", tmp_path)).read_text() == "made"
        assert "helper helped" in (await task.download("out.out", tmp_path / "saved.txt")).read_text()


async def test_a_program_in_the_form_of_a_file_alone_is_sent_with_its_length(tmp_path: Path) -> None:
    (tmp_path / "big.py").write_bytes(b"#" * 700_000 + b"\nprint('big')\n")
    async with scene(tmp_path) as here:
        task = await here.tcup.tasks.create(project="p", job="j")
        seen: list[Progress] = []
        await task.deploy(tmp_path / "big.py", runtime="PY", on_progress=seen.append)
        await task.start()
        assert (await task.wait(policy=QUICK)).status is TaskStatus.COMPLETED
        assert (seen[0].done, seen[-1].done, seen[-1].total) == (0, 700_014, 700_014)


async def test_a_deployment_is_replaced_only_if_that_is_asked_for(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        task = await here.deployed("j")
        with pytest.raises(Conflict):
            await task.deploy(tmp_path / "j.java", runtime="java")
        await task.deploy(tmp_path / "j.java", runtime="js", overwrite=True)
        assert (await task.refresh()).run_time == "js"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"runtime": "ruby"}, "runtime"),
        ({"runtime": "py", "arguments": "--days"}, "arguments"),
        ({"runtime": "py", "nodes": 0}, "node"),
        ({"runtime": "py", "inputs": "nothing"}, "inputFiles"),
        ({"runtime": "py", "dependencies": "job.py"}, "neither a directory nor a zip"),
    ],
)
async def test_what_cannot_be_deployed_is_refused_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], word: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.py").write_text("print()")
    async with scene(tmp_path) as here:
        task = await here.tcup.tasks.create(project="p", job="j")
        asked = len(here.asked)
        with pytest.raises(ConfigError, match=word):
            await task.deploy("job.py", **options)  # type: ignore[arg-type] # wrong on purpose
        assert len(here.asked) == asked


@pytest.mark.parametrize("name", ["a%2fb.py", 'a"; x="y.py', "a\nb.py", "..\\a.py", "a:b.py"])
async def test_an_executable_whose_name_is_a_trick_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("print()")
    async with scene(tmp_path) as here:
        task = await here.tcup.tasks.create(project="p", job="j")
        with pytest.raises(ConfigError, match="name"):
            await task.deploy(tmp_path / name, runtime="py")


async def test_a_deployment_whose_answer_is_lost_is_not_sent_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        here.fail("drop_after", "/deploy")
        with pytest.raises(MaybeSent):
            await here.deployed("j")
        task = await here.tcup.tasks.get("p", "j")
        assert task.status is TaskStatus.DEPLOYED
        assert sum(line.endswith("/deploy") for line in here.asked) == 1
