"""Answers of another shape are a ``ProtocolError``, in whatever form the observations are wanted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from loopback import Loopback, saying

from asyncconn import Hub
from asyncconn.errors import ProtocolError
from asyncconn.tcup import Project, Tcup

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncconn.tcup.resources.query import Rows


def outputs(*found: Any) -> list[Any]:
    return [{"sensor": "ts1", "record": [{"output": list(found)}]}]


SHAPES: list[Any] = [
    None, 7, [None], [1], ["ts1"], [[]], [{"record": 7}], [{"record": [7]}], [{"record": {"a": 1}}],
    [{"record": [{"output": 7}]}], outputs(7), outputs("x"), outputs([1]),
]  # fmt: skip
NO_KEYS: list[Any] = [
    outputs({"name": [1], "value": "1"}),
    outputs({"name": "a", "value": "1", "type": {}}),
    [{"sensor": {}, "record": [{"output": [{"name": "a", "value": "1"}]}]}],
    [{"sensor": "ts1", "record": [{"starttime": [], "output": [{"name": "a", "value": "1"}]}]}],
]


async def read(body: Any, how: Callable[[Rows], Any]) -> Any:
    async with Loopback(otherwise=saying(body)) as server, Hub() as hub:
        return await how(Tcup(server.url, "key", hub=hub).observations.query(sensor="ts1"))


@pytest.mark.parametrize("found", SHAPES, ids=json.dumps)
@pytest.mark.parametrize(
    "how", [lambda rows: rows.collect(), lambda rows: rows.frame(), lambda rows: rows.frame(pivot=True)]
)
async def test_what_are_no_observations(found: Any, how: Callable[[Rows], Any]) -> None:
    with pytest.raises(ProtocolError):
        await read({"observations": found}, how)


@pytest.mark.parametrize("found", NO_KEYS, ids=json.dumps)
@pytest.mark.parametrize("pivot", [False, True])
async def test_what_cannot_stand_in_a_column_of_a_frame(found: Any, pivot: bool) -> None:
    with pytest.raises(ProtocolError, match="another shape"):
        await read({"observations": found}, lambda rows: rows.frame(pivot=pivot))


async def test_a_sensor_that_is_no_text_is_not_the_one_that_was_asked_for() -> None:
    async with Loopback(otherwise=saying({"observations": [{"sensor": {}, "record": []}]})) as server, Hub() as hub:
        assert await Tcup(server.url, "key", hub=hub).observations.query(sensor="a*").collect() == []


@pytest.mark.parametrize("found", [None, 7, "x", [1], [["processDefinitionId", "d1"]], {}], ids=json.dumps)
async def test_a_workflow_that_is_no_object_is_none(found: Any) -> None:
    state = {"projectId": "p1", "jobId": "j1", "status": "DEPLOYED"}
    async with Loopback(saying(state), otherwise=saying(found)) as server, Hub() as hub:
        tcup = Tcup(server.url, "key", hub=hub)
        project = Project.model_validate({"projectId": "p1", "projectName": "p"})
        task = await tcup.tasks.get(project=project, job="j1")
        with pytest.raises(ProtocolError, match="something else"):
            await tcup.workflows.create([("start", task)], name="w", version="v1")
