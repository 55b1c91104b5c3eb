from __future__ import annotations

import asyncio
import io
import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from .working_scene import TASKS, Api, id_of, tcup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WAITING = "import time\nprint('begun')\ntime.sleep(60)\n"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with tcup() as running:
        yield running


@pytest.fixture
async def project(api: Api) -> str:
    return await api.project()


def zipped(**members: str | bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return made.getvalue()


async def run(api: Api, path: str, verb: str = "start") -> Any:
    reply = await api("POST", f"{path}/{verb}")
    assert (reply.status, reply.json) == (202, {"jobId": id_of(path), "status": "QUEUED"})
    return await api.until(path, "COMPLETED", "FAILED")


# -- projects and tasks ------------------------------------------------------------------------------------------------


async def test_a_project_has_one_name_and_an_id(api: Api) -> None:
    made = await api.ok("POST", f"{TASKS}/projects", {"projectName": "one"})
    assert made.keys() == {"projectId", "projectName", "createdOn"}
    twin = await api("POST", f"{TASKS}/projects", {"projectName": "one"})
    assert (twin.status, twin.json["code"], twin.json["details"]) == (409, 409, {"projectId": made["projectId"]})
    await api.project("One")
    assert await api.ok("GET", f"{TASKS}/projects", params={"projectName": "one"}) == {"projects": [made]}
    assert len((await api.ok("GET", f"{TASKS}/projects"))["projects"]) == 2
    assert await api.ok("GET", f"{TASKS}/projects/{made['projectId']}") == made
    assert (await api("POST", f"{TASKS}/projects", {})).status == 400
    assert (await api("DELETE", f"{TASKS}/projects/{made['projectId']}")).status == 204
    gone = await api("GET", f"{TASKS}/projects/{made['projectId']}")
    assert (gone.status, gone.json["code"], gone.json["details"]) == (404, 404, {})


async def test_a_new_task_is_shown_in_the_shape_of_the_contract(api: Api, project: str) -> None:
    task = await api.ok("POST", f"{TASKS}/projects/{project}/tasks", {"jobName": "testJob", "description": "x"})
    assert task == {
        "projectId": project,
        "jobId": task["jobId"],
        "jobName": "testJob",
        "jobType": "IMMEDIATE",
        "status": "CREATED",
        "runTime": None,
        "fileName": None,
        "arguments": [],
        "noOfNodes": 1,
        "schedule": None,
        "runs": 0,
        "exitCode": None,
        "createdOn": task["createdOn"],
        "startedOn": None,
        "endedOn": None,
        "message": "",
    }
    twin = await api("POST", f"{TASKS}/projects/{project}/tasks", {"jobName": "testJob"})
    assert (twin.status, twin.json["details"]) == (409, {"jobId": task["jobId"]})
    for body in ({}, {"jobName": "x", "jobType": "SOON"}, {"jobName": "x", "jobType": "DELAYED", "schedule": "now"}):
        assert (await api("POST", f"{TASKS}/projects/{project}/tasks", body)).status == 400


async def test_tasks_are_listed_by_page_exact_name_and_status(api: Api, project: str) -> None:
    for name in ("a", "ab", "b"):
        await api.task(project, name, None if name == "a" else "")
    base = f"{TASKS}/projects/{project}/tasks"

    async def names(**query: str) -> tuple[list[str], int]:
        listed = await api.ok("GET", base, params=query)
        return [task["jobName"] for task in listed["tasks"]], listed["total"]

    assert await names() == (["a", "ab", "b"], 3)
    assert await names(jobName="a") == (["a"], 1)
    assert await names(status="DEPLOYED") == (["ab", "b"], 2)
    assert await names(page="2", size="2") == (["b"], 3)
    assert (await api("GET", base, params={"page": "0"})).status == 400


# -- deployment --------------------------------------------------------------------------------------------------------


async def test_deployment_takes_parts_and_refuses_others(api: Api, project: str) -> None:
    path = await api.task(project, "job", None)
    assert (await api("POST", f"{path}/start")).status == 409
    refusals: dict[str, dict[str, Any]] = {
        "runtime": {"runTime": "perl"},
        "arguments": {"arguments": '["a", 1]'},
        "nodes": {"noOfNodes": "0"},
        "zip": {"inputFiles": b"no zip"},
        "overwrite": {"overwrite": "maybe"},
    }
    for parts in refusals.values():
        assert (await api.deploy(path, "", **parts)).status == 400
    task = (await api.deploy(path, "", runTime="PY", arguments='["a", "b c"]', noOfNodes="3")).json
    assert (task["status"], task["runTime"], task["fileName"]) == ("DEPLOYED", "py", "job.py")
    assert (task["arguments"], task["noOfNodes"]) == (["a", "b c"], 3)
    assert (await api.deploy(path, "")).status == 409
    assert (await api.deploy(path, "", overwrite="true", filename="other.py")).json["fileName"] == "other.py"


async def test_a_deployment_has_a_limit_for_all_its_files(
    api: Api, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = zipped(a_txt="x")
    monkeypatch.setattr("asyncconn.sandbox.tcup.tasks.deploying._MOST_BYTES", len(inputs) + 10)
    path = await api.task(project, "job", None)
    assert (await api.deploy(path, "x" * 11, inputFiles=inputs)).status == 413
    assert (await api.deploy(path, "x" * 10, inputFiles=inputs)).status == 200


@pytest.mark.parametrize("name", ["../up.txt", "/etc/passwd", "a/../../b", "C:\\x", "..\\up"])
async def test_a_zip_that_reaches_out_of_its_folder_is_refused(api: Api, project: str, name: str) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, "x")
    path = await api.task(project, "job", None)
    reply = await api.deploy(path, "", inputFiles=made.getvalue())
    assert (reply.status, reply.json["code"]) == (400, 400)


async def test_a_zip_with_a_link_in_it_is_refused(api: Api, project: str) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        link = zipfile.ZipInfo("passwd")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    path = await api.task(project, "job", None)
    assert (await api.deploy(path, "", dependentFiles=made.getvalue())).status == 400


@pytest.mark.parametrize("filename", ["../job.py", "a/b.py", "..", "x\\y.py"])
async def test_the_name_of_a_program_is_a_plain_one(api: Api, project: str, filename: str) -> None:
    path = await api.task(project, "job", None)
    assert (await api.deploy(path, "", filename=filename)).status == 400


# -- running -----------------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from pathlib import Path
import helper

print("args", sys.argv[1:])
print("warned", file=sys.stderr)
Path("made").mkdir()
Path("made/result.txt").write_text(helper.twice(Path("data/in.txt").read_text()))
"""


async def test_a_python_task_really_runs(api: Api, project: str) -> None:
    parts = {
        "arguments": '["a", "b c"]',
        "dependentFiles": zipped(helper_py="def twice(text): return text * 2"),
        "inputFiles": zipped(data__in_txt="xyz"),
    }
    path = await api.task(project, "job", PROGRAM, **parts)
    task = await run(api, path)
    assert (task["status"], task["exitCode"], task["runs"], task["message"]) == ("COMPLETED", 0, 1, "")
    assert task["startedOn"].endswith(" UTC")
    assert task["endedOn"].endswith(" UTC")
    printed = b"args ['a', 'b c']\n"
    outputs = (await api.ok("GET", f"{path}/outputs"))["outputs"]
    assert sorted((one["fileName"], one["sizeBytes"]) for one in outputs) == [
        ("made/result.txt", 6),
        ("out.out", len(printed)),
    ]
    assert (await api("GET", f"{path}/outputs/out.out")).body == printed
    part = await api("GET", f"{path}/outputs/made%2Fresult.txt", headers={"Range": "bytes=4-"})
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"yz", "bytes 4-5/6")
    assert (await api("GET", f"{path}/outputs/none")).status == 404
    assert (await api("GET", f"{path}/logs", params={"stream": "stderr"})).body == b"warned\n"


async def test_logs_are_told_from_an_offset_and_runs_append(api: Api, project: str) -> None:
    path = await api.task(project, "job", "print('hello')")
    await run(api, path)
    log = await api("GET", f"{path}/logs", params={"stream": "stdout", "from": "2"})
    assert (log.body, log.headers["X-Next-Offset"]) == (b"llo\n", "6")
    end = await api("GET", f"{path}/logs", params={"from": "6"})
    assert (end.status, end.body, end.headers["X-Next-Offset"]) == (200, b"", "6")
    await run(api, path, "restart")
    assert (await api("GET", f"{path}/logs")).body == b"hello\nhello\n"
    assert (await api("GET", f"{path}/outputs/out.out")).body == b"hello\n"
    assert (await api("GET", f"{path}/logs", params={"stream": "both"})).status == 400


async def test_a_task_that_fails_says_so(api: Api, project: str) -> None:
    task = await run(api, await api.task(project, "job", "raise SystemExit(3)"))
    assert (task["status"], task["exitCode"], task["message"]) == ("FAILED", 3, "exit code 3")


async def test_a_task_has_a_time_limit(api: Api, project: str) -> None:
    api.world.tasks.engine.limit_seconds = 0.5
    task = await run(api, await api.task(project, "job", WAITING))
    assert (task["status"], task["message"]) == ("FAILED", "the task took longer than it may")


async def test_a_task_does_not_see_our_environment(api: Api, project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCONN_TCUP_API_KEY", "secret")
    path = await api.task(project, "job", "import os\nprint(sorted(os.environ))")
    await run(api, path)
    assert "ASYNCCONN" not in (await api("GET", f"{path}/logs")).text


async def test_links_that_a_program_leaves_are_no_outputs(api: Api, project: str) -> None:
    path = await api.task(project, "job", "import os\nos.symlink('/etc/passwd', 'mine')\nos.symlink('/etc', 'dir')")
    await run(api, path)
    assert [one["fileName"] for one in (await api.ok("GET", f"{path}/outputs"))["outputs"]] == ["out.out"]


@pytest.mark.parametrize("runtime", ["java", "cpp", "c", "js", "spark"])
async def test_other_runtimes_run_in_name_only(api: Api, project: str, runtime: str) -> None:
    path = await api.task(project, "job", "", runTime=runtime, filename="job.bin")
    task = await run(api, path)
    assert (task["status"], task["runs"]) == ("COMPLETED", 1)
    assert (await api("GET", f"{path}/outputs/out.out")).text == f"{runtime} job.bin: run in name only\n"


async def test_simulated_runs_end_as_they_were_told(api: Api, project: str) -> None:
    api.world.tasks.engine.exit_codes = {"job": [1, 0]}
    path = await api.task(project, "job", "", runTime="java")
    assert (await run(api, path))["status"] == "FAILED"
    assert (await run(api, path, "restart"))["status"] == "COMPLETED"


# -- states ------------------------------------------------------------------------------------------------------------


async def status(api: Api, path: str, verb: str) -> int:
    return (await api("POST", f"{path}/{verb}")).status


async def test_a_running_task_pauses_and_goes_on(api: Api, project: str) -> None:
    path = await api.task(project, "job", "import time\ntime.sleep(1)")
    await api("POST", f"{path}/start")
    await api.until(path, "RUNNING")
    assert (await api("POST", f"{path}/pause")).json == {"jobId": id_of(path), "status": "PAUSED"}
    for verb in ("pause", "start", "cancel", "restart"):
        assert await status(api, path, verb) == 409
    assert (await api("POST", f"{path}/resume")).json["status"] == "RUNNING"
    assert (await api.until(path, "COMPLETED", "FAILED"))["status"] == "COMPLETED"
    refused = await api("POST", f"{path}/pause")
    assert (refused.status, refused.json["message"]) == (409, "cannot pause a COMPLETED task")


async def test_a_paused_program_stands_still(api: Api, project: str) -> None:
    path = await api.task(project, "job", "import time\nwhile True:\n  print('x')\n  time.sleep(0.005)\n")

    async def printed() -> bytes:
        return (await api("GET", f"{path}/logs")).body

    async def more_than(before: bytes) -> None:
        async with asyncio.timeout(10):
            while await printed() == before:
                await asyncio.sleep(0.01)

    await api("POST", f"{path}/start")
    await more_than(b"")
    await api("POST", f"{path}/pause")
    await asyncio.sleep(0.1)  # what it printed before arrives
    paused = await printed()
    await asyncio.sleep(0.1)
    assert await printed() == paused
    await api("POST", f"{path}/resume")
    await more_than(paused)


async def test_stopped_tasks_stay_stopped_and_can_be_restarted(api: Api, project: str) -> None:
    path = await api.task(project, "job", WAITING)
    await api("POST", f"{path}/start")
    await api.until(path, "RUNNING")
    assert (await api("POST", f"{path}/stop")).json["status"] == "STOPPED"
    assert await status(api, path, "stop") == 409
    await api.deploy(path, "print('again')", overwrite="true")
    assert (await run(api, path))["status"] == "COMPLETED"


async def test_more_programs_than_workers_wait_and_can_be_cancelled(api: Api, project: str) -> None:
    api.world.tasks.engine.workers = 1
    first, second = [await api.task(project, name, WAITING) for name in ("a", "b")]
    await api("POST", f"{first}/start")
    await api.until(first, "RUNNING")
    await api("POST", f"{second}/start")
    assert (await api.ok("GET", second))["status"] == "QUEUED"
    assert await status(api, second, "cancel") == 202
    assert (await api.ok("GET", second))["status"] == "CANCELLED"
    await api("POST", f"{second}/restart")
    await api("POST", f"{first}/stop")
    await api.until(second, "RUNNING")


async def test_what_is_under_way_is_not_deleted(api: Api, project: str) -> None:
    path = await api.task(project, "job", WAITING)
    await api("POST", f"{path}/start")
    await api.until(path, "RUNNING")
    assert (await api("DELETE", path)).status == 409
    assert (await api.deploy(path, "", overwrite="true")).status == 409
    assert (await api("DELETE", f"{TASKS}/projects/{project}")).status == 409
    assert (await api("DELETE", f"{TASKS}/projects/{project}", params={"force": "true"})).status == 204
    assert (await api("GET", path)).status == 404


async def test_every_program_ends_with_the_world(tmp_path: Path) -> None:
    beats = tmp_path / "beats"
    code = (
        f"import os, subprocess, sys\nprint(os.getpid())\nopen({str(beats)!r}, 'w').write(str(os.getpid()))\n{WAITING}"
    )
    async with tcup() as api:
        api.world.tasks.engine.limit_seconds = 3600
        path = await api.task(await api.project(), "job", code)
        await api("POST", f"{path}/start")
        await api.when(path, lambda _: beats.exists() and beats.read_text() != "")
        pid = int(beats.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# -- files of other tasks ----------------------------------------------------------------------------------------------


async def test_a_linked_file_is_placed_before_the_run(api: Api, project: str) -> None:
    first = await api.task(project, "first", "print('from first')")
    second = await api.task(project, "second", "print(open('out.out').read())")
    link = {"projectId": project, "taskId": id_of(first), "fileName": "out.out"}
    assert await api.ok("POST", f"{second}/externalFiles", {"files": [link]}) == {"linked": 1}
    task = await run(api, second)
    assert task["status"] == "FAILED"
    assert "out.out" in task["message"]
    await run(api, first)
    assert (await run(api, second, "restart"))["status"] == "COMPLETED"
    assert (await api("GET", f"{second}/logs")).text == "from first\n\n"


async def test_two_files_of_one_name_go_into_folders_of_their_own(api: Api, project: str) -> None:
    paths = [await api.task(project, name, f"print({name!r})") for name in ("a", "b")]
    for path in paths:
        await run(api, path)
    links = [{"projectId": project, "taskId": id_of(path), "fileName": "out.out"} for path in paths]
    code = f"print([open(t + '/out.out').read() for t in {[id_of(path) for path in paths]!r}])"
    joined = await api.task(project, "joined", code)
    assert await api.ok("POST", f"{joined}/externalFiles", {"files": links}) == {"linked": 2}
    assert await api.ok("POST", f"{joined}/externalFiles", {"files": links[:1]}) == {"linked": 1}
    await run(api, joined)
    assert (await api("GET", f"{joined}/logs")).text == "['a\\n', 'b\\n']\n"


async def test_links_to_nothing_are_refused(api: Api, project: str) -> None:
    path = await api.task(project, "job")
    link = {"projectId": project, "taskId": id_of(path), "fileName": "out.out"}
    for wrong, code in (({"taskId": "T99"}, 404), ({"projectId": "P99"}, 404), ({"fileName": "../x"}, 400)):
        assert (await api("POST", f"{path}/externalFiles", {"files": [{**link, **wrong}]})).status == code
    bodies: list[dict[str, Any]] = [{}, {"files": []}, {"files": ["x"]}]
    for body in bodies:
        assert (await api("POST", f"{path}/externalFiles", body)).status == 400


# -- copies ------------------------------------------------------------------------------------------------------------


async def test_a_copy_is_deployed_and_was_never_run(api: Api, project: str) -> None:
    path = await api.task(project, "job", "print('ran')")
    await run(api, path)
    other = await api.project("other")
    copied = await api.ok("POST", f"{path}/copy", {"projectId": other, "jobName": "x"})
    assert (copied["projectId"], copied["jobName"], copied["status"], copied["runs"]) == (other, "x", "DEPLOYED", 0)
    assert (await run(api, f"{TASKS}/projects/{other}/tasks/{copied['jobId']}"))["status"] == "COMPLETED"
    assert (await api("POST", f"{path}/copy", {})).status == 409
    assert (await api("POST", f"{path}/copy", {"projectId": "P99"})).status == 404


async def test_a_task_is_exported_and_imported(api: Api, project: str) -> None:
    inputs = zipped(in_txt="input")
    path = await api.task(project, "job", "print(open('in.txt').read())", inputFiles=inputs, arguments='["a"]')
    exported = await api("GET", f"{path}/export")
    assert (exported.status, exported.headers["Content-Type"]) == (200, "application/zip")
    into = f"{TASKS}/projects/{project}/tasks/import"
    headers = {"Content-Type": "application/zip"}
    assert (await api("POST", into, data=exported.body, headers=headers)).status == 409
    other = f"{TASKS}/projects/{await api.project('other')}/tasks"
    imported = await api("POST", f"{other}/import", data=exported.body, headers=headers)
    assert (imported.status, imported.json["status"], imported.json["arguments"]) == (201, "DEPLOYED", ["a"])
    copy = f"{other}/{imported.json['jobId']}"
    await run(api, copy)
    assert (await api("GET", f"{copy}/logs")).text == "input\n"
    for data in (b"", b"no zip", zipped(a_txt="x")):
        assert (await api("POST", into, data=data, headers=headers)).status == 400
