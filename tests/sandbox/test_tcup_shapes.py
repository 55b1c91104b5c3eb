"""What the services say has the members, and the kinds of values, of the contract's samples."""

from __future__ import annotations

from typing import Any

from .observing_scene import body
from .working_scene import DLS, TASKS, WORKFLOWS, Api, id_of, tcup


def alike(value: Any, sample: Any) -> None:
    """The same keys, all the way down; null may stand for a text."""
    if isinstance(sample, dict):
        assert value.keys() == sample.keys()
        for key in sample:
            alike(value[key], sample[key])
    elif isinstance(sample, list):
        assert isinstance(value, list)
        for one in value if sample else ():
            alike(one, sample[0])
    else:
        assert value is None or sample is None or type(value) is type(sample)


async def filled(api: Api) -> str:
    """A file with metadata in a directory; its URI."""
    assert (await api("POST", f"{DLS}/directory", [body("dls.directory"), {"directory": "/d1/d2"}])).status == 207
    reply = await api.upload("a.csv", directory="d1", metadata="colour=blue", comment="first cut")
    assert reply.status == 201, reply.text
    return reply.text


async def test_the_data_lake_answers_in_the_shapes_of_the_samples() -> None:
    async with tcup() as api:
        again = await api("POST", f"{DLS}/directory", [body("dls.directory")] * 2)
        assert [item["code"] for item in again.json] == [201, 409]
        alike(again.json, body("dls.bulk.response"))
        uri = await filled(api)
        alike(await api.ok("GET", f"{DLS}/catalog"), body("dls.catalog.response"))
        alike(await api.ok("GET", f"{DLS}/directory", params={"directory": "/d1"}), body("dls.explore.response"))
        (comment,) = await api.ok("GET", f"{DLS}/file/comment", params={"file-uri": uri})
        alike(comment, body("dls.comment"))
        for user in await api.ok("GET", f"{DLS}/user"):
            alike(user, body("dls.user_role"))
        added = await api("POST", f"{DLS}/user", [body("dls.user")])
        assert (added.status, added.json[0]["code"]) == (207, 201)
        assert await api.ok("GET", f"{DLS}/admin/storage/type") == body("dls.storage_type")
        refused = await api("GET", f"{DLS}/catalog", params={"pageNo": "0"})
        assert refused.json == body("dls.constraint.error")
        short = await api.upload("b.csv", metadata="ab=c")
        assert short.json == body("dls.validation.error")


async def test_tasks_and_workflows_answer_in_the_shapes_of_the_samples() -> None:
    async with tcup() as api:
        project = await api.project()
        path = await api.task(project, "testJob", "")
        alike(await api.ok("GET", path), body("task.object"))
        alike(await api.ok("PUT", f"{path}/schedule", body("task.schedule.recurrent")), body("task.object"))
        past = await api("PUT", f"{path}/schedule", body("task.schedule.delayed"))
        assert past.status == 400
        links = body("task.external_files")
        links["files"][0] |= {"projectId": project, "taskId": id_of(path)}
        assert await api.ok("POST", f"{path}/externalFiles", links) == {"linked": 1}

        definition = body("workflow.definition.request")
        other = id_of(await api.task(project, "other", "", runTime="c"))
        names = {"T123": id_of(path), "T124": other}
        definition["projectId"] = project
        definition["links"] = [
            {key: names.get(task, task) for key, task in link.items()} for link in definition["links"]
        ]
        made = await api.ok("POST", f"{WORKFLOWS}/processDefinitions", definition)
        instance = await api.ok("POST", f"{WORKFLOWS}/processDefinitions/{made['processDefinitionId']}/preInitiate")
        run = f"{WORKFLOWS}/processInstances/{instance['processInstanceId']}"
        alike(await api.ok("GET", f"{run}/mapping"), body("workflow.mapping.response"))
        alike(await api.ok("GET", run), body("workflow.status.response"))
        assert (await api.ok("GET", f"{TASKS}/projects/{project}/tasks"))["total"] == 4  # copies are tasks, too
