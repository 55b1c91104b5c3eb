"""What the platforms' clients return is what an endpoint may return: the answer is as the OpenAPI document says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from asyncconn import AtotiLimits, BatchStats, Datorama, FlushReport, Panoply, RateSnapshot, Tcup
from asyncconn.atoti_limits import Connection, Limit
from asyncconn.datorama import DataStream, Job, Workspace
from asyncconn.integrations.fastapi import Provide, hub_lifespan
from asyncconn.sandbox import Fault, Sandbox
from asyncconn.tcup import Feature, Sensor

from .asgi_scene import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

A_JOB = {
    "id": 7,
    "status": "PAUSED_BY_MOON",
    "createTime": 1_700_000_000_000,
    "dataStartDate": "2026-01-31",
    "new": [1],
}


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with Sandbox(seed=1) as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        yield running


def application() -> FastAPI:
    kinds: tuple[Any, ...] = (Panoply, Datorama, AtotiLimits, Tcup)
    app = FastAPI(lifespan=hub_lifespan(lambda hub: [kind.from_env(hub=hub) for kind in kinds]))

    @app.get("/panoply")
    async def panoply(client: Annotated[Panoply, Provide(Panoply)]) -> BatchStats:
        await client.write("events", {"id": 1})
        return client.stats

    @app.get("/flush")
    async def flush(client: Annotated[Panoply, Provide(Panoply)]) -> FlushReport:
        await client.write("events", {"id": 1})
        return await client.flush()

    @app.get("/rate")
    async def rate(client: Annotated[Datorama, Provide(Datorama)]) -> RateSnapshot:
        client.http.limiters["default"].pause(60.0)
        return client.rate

    @app.get("/workspaces")
    async def workspaces(client: Annotated[Datorama, Provide(Datorama)]) -> list[Workspace]:
        return [one async for one in client.workspaces.list()]

    @app.get("/streams")
    async def streams(client: Annotated[Datorama, Provide(Datorama)]) -> list[DataStream]:
        return [one async for one in client.streams.list(workspace_id=41001)]

    @app.get("/job")
    async def job() -> Job:
        return Job.model_validate(A_JOB)

    @app.post("/job")
    async def posted(job: Job) -> Job:
        return job

    @app.get("/limits")
    async def limits() -> Limit:
        return Limit.model_validate({"limitId": "l1", "status": "HALF_APPROVED", "startDate": "2026-01-31", "more": {}})

    @app.get("/connections")
    async def connections(client: Annotated[AtotiLimits, Provide(AtotiLimits)]) -> list[Connection]:
        await client.wait_connected(preflight=False)
        return list(await client.connections.list())

    @app.get("/sensor")
    async def sensor() -> Sensor:
        return Sensor.model_validate({"name": "ts1", "outputs": [{"name": "t", "type": "quantity"}], "more": True})

    @app.get("/feature")
    async def feature(client: Annotated[Tcup, Provide(Tcup)]) -> Feature:
        await client.features.create(Feature(name="tf9", description="boiler room"))
        return await client.features.get("tf9")

    return app


def invalid(app: FastAPI, path: str, answer: Any, method: str = "get") -> list[str]:
    """What in an answer is not as the document says."""
    document = app.openapi()
    schema = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
    return [error.message for error in Draft202012Validator({**document, **schema}).iter_errors(answer)]


@pytest.mark.parametrize(
    "path",
    [
        "/panoply",
        "/flush",
        "/rate",
        "/workspaces",
        "/streams",
        "/job",
        "/limits",
        "/connections",
        "/sensor",
        "/feature",
    ],
)
async def test_an_answer_is_as_the_document_says(path: str, sandbox: Sandbox) -> None:
    app = application()
    async with serving(app) as client:
        answer = await client.get(path)

    assert answer.status_code == 200, answer.text
    assert answer.json()
    assert invalid(app, path, answer.json()) == []


async def test_what_is_not_documented_is_kept_and_a_word_that_nobody_knows_is_no_error(sandbox: Sandbox) -> None:
    app = application()
    async with serving(app) as client:
        answer = (await client.get("/job")).json()
        again = (await client.post("/job", json=answer)).json()

    assert {name: answer[name] for name in A_JOB} == A_JOB
    assert again == answer


async def test_a_value_of_an_unexpected_type_is_answered_as_it_came(sandbox: Sandbox) -> None:
    app = application()
    strange = {"id": 7, "userId": "nobody", "status": 3, "createTime": "soon", "dataStartDate": ["never"]}
    async with serving(app) as client:
        answer = (await client.post("/job", json=strange)).json()

    assert {name: answer[name] for name in strange} == strange
    assert len(invalid(app, "/job", answer, "post")) == 4


def test_fields_have_their_types_in_the_document() -> None:
    schemas = application().openapi()["components"]["schemas"]
    job = schemas["Job-Output"]["properties"]

    assert job["createTime"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert job["dataStartDate"]["anyOf"] == [{"type": "string", "format": "date"}, {"type": "null"}]
    assert schemas["JobStatus"]["type"] == "string"
    assert "SUCCESS" in schemas["JobStatus"]["examples"]
    assert "enum" not in schemas["JobStatus"]
    untyped = {
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, what in schema.get("properties", {}).items()
        if not {"type", "anyOf", "$ref"} & set(what)
    }
    assert untyped <= {"DataStream.config", "ValidationError.input"}  # the platform's own objects, of any form


async def test_a_report_is_answered_as_its_counts_without_the_records(sandbox: Sandbox) -> None:
    async with serving(application()) as client:
        answer = (await client.get("/flush")).json()

    assert answer == {
        "accepted": 1, "delivered": 1, "rejected": 0, "failed": 0, "unknown": 0, "pending": 0, "spooled": 0,
        "complete": True,
    }  # fmt: skip


async def test_a_lost_record_is_in_the_books_that_are_returned(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("status", status=400))
    app = FastAPI(lifespan=hub_lifespan(lambda hub: [Panoply.from_env(hub=hub)], on_undelivered="log"))

    @app.get("/books")
    async def books(client: Annotated[Panoply, Provide(Panoply)]) -> BatchStats:
        await client.write("events", {"id": 1})
        await client.flush()
        return client.stats

    async with serving(app) as client:
        answer = (await client.get("/books")).json()

    assert (answer["failed"], answer["lost_at"] > 0) == (1, True)
    assert invalid(app, "/books", answer) == []
