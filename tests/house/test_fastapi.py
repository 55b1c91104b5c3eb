"""A FastAPI application over real sockets to the sandbox: what its endpoints write arrives, however it ends."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import pytest

fastapi = pytest.importorskip("fastapi", reason="needs FastAPI: pip install 'asyncconn[fastapi]'")

from fastapi import FastAPI, Request  # noqa: E402 - the imports above must come first
from fastapi.responses import Response, StreamingResponse  # noqa: E402 - the imports above must come first

from asyncconn import Connector, Hub, Panoply, Platform, UndeliveredWarning  # noqa: E402 - as above
from asyncconn.errors import ConfigError, DeliveryFailed, HubClosed  # noqa: E402 - the imports above must come first
from asyncconn.integrations.fastapi import Provide, hub_lifespan  # noqa: E402 - the imports above must come first
from asyncconn.sandbox import Fault, Sandbox  # noqa: E402 - the imports above must come first

from .asgi_scene import serving  # noqa: E402 - the imports above must come first

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi_service.py"

Writer = Annotated[Panoply, Provide(Panoply)]


class Other(Connector):
    platform = Platform("other", base_url="http://127.0.0.1:1")


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        yield running


def application(**options: Any) -> FastAPI:
    app = FastAPI(lifespan=hub_lifespan(lambda hub: [Panoply.from_env(hub=hub)], **options))

    @app.post("/events")
    async def write(event: dict[str, Any], panoply: Writer) -> int:
        await panoply.write("events", event)
        return panoply.stats.accepted

    return app


async def test_what_endpoints_write_has_arrived_when_the_application_has_ended(sandbox: Sandbox) -> None:
    async with serving(application()) as client:
        answers = await asyncio.gather(*[client.post("/events", json={"id": i}) for i in range(50)])
        assert {answer.status_code for answer in answers} == {200}

    assert sandbox.panoply.tables() == {"events": 50}


async def test_all_requests_share_one_connector(sandbox: Sandbox) -> None:
    async with serving(application()) as client:
        counts = [(await client.post("/events", json={"id": i})).json() for i in range(3)]

    assert counts == [1, 2, 3]


async def test_cancelling_the_server_delivers_too(sandbox: Sandbox) -> None:
    written = asyncio.Event()

    async def serve() -> None:
        async with serving(application()) as client:
            await client.post("/events", json={"id": 1})
            written.set()
            await asyncio.sleep(60.0)

    server = asyncio.create_task(serve())
    await written.wait()
    server.cancel()
    server.cancel()
    await asyncio.wait({server})

    assert server.cancelled()
    assert sandbox.panoply.tables() == {"events": 1}


async def test_a_streaming_response_may_write_as_it_goes(sandbox: Sandbox) -> None:
    app = application()

    @app.get("/stream")
    async def stream(panoply: Writer) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            for number in range(3):
                await panoply.write("events", {"id": number})
                yield f"{number}\n"

        return StreamingResponse(body())

    async with serving(app) as client:
        assert (await client.get("/stream")).text == "0\n1\n2\n"

    assert sandbox.panoply.tables() == {"events": 3}


async def test_it_composes_with_a_lifespan_of_ones_own(sandbox: Sandbox) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def mine(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        order.append("open")
        yield {"mine": "here"}
        order.append(f"closed after {len(sandbox.arrivals)} messages")

    app = application(then=mine)

    @app.get("/mine")
    async def see(request: Request) -> str:
        return str(request.state.mine)

    async with serving(app) as client:
        assert (await client.get("/mine")).json() == "here"
        assert (await client.post("/events", json={"id": 1})).status_code == 200

    assert order == ["open", "closed after 0 messages"]  # yours ends first: it may still write
    assert sandbox.panoply.tables() == {"events": 1}


@pytest.mark.parametrize("way", ["warn", "raise", "log"])
async def test_a_shutdown_with_losses_that_nobody_was_told_of_is_heard(
    sandbox: Sandbox, way: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.faults.add(Fault("status", status=400, times=None))
    said = "1 lost records that nobody was told of"
    heard: AbstractContextManager[Any] = nullcontext()
    if way == "warn":
        heard = pytest.warns(UndeliveredWarning, match=said)
    elif way == "raise":
        heard = pytest.raises(DeliveryFailed, match=said)
    with heard:
        async with serving(application(on_undelivered=way)) as client:
            assert (await client.post("/events", json={"id": 1})).status_code == 200

    assert "1 records of table 'events' were not delivered: BadRequest" in caplog.text
    assert (said in caplog.text) == (way == "log")


async def test_a_lifespan_of_ones_own_that_yields_nothing_is_fine(sandbox: Sandbox) -> None:
    @asynccontextmanager
    async def mine(app: FastAPI) -> AsyncIterator[None]:
        yield

    async with serving(application(then=mine)) as client:
        assert (await client.post("/events", json={"id": 1})).status_code == 200


@pytest.mark.parametrize(
    ("dependency", "words"),
    [
        (Provide(Other), "made no Other"),
        (Provide(Panoply, "eu"), "made no Panoply named 'eu'"),
        (Provide(Connector), "2 connectors Connector"),
    ],
    ids=["missing", "not by that name", "several"],
)
async def test_a_connector_that_cannot_be_told_is_a_500_and_the_error_names_it(
    dependency: Any, words: str, sandbox: Sandbox
) -> None:
    errors: list[Exception] = []
    app = FastAPI(lifespan=hub_lifespan(lambda hub: [Panoply.from_env(hub=hub), Panoply.from_env(hub=hub)]))

    @app.exception_handler(ConfigError)
    async def keep(request: Request, error: Exception) -> Response:
        errors.append(error)
        return Response(status_code=500)

    @app.get("/")
    async def read(connector: Any = dependency) -> None:
        raise AssertionError("it was found")

    async with serving(app) as client:
        assert (await client.get("/")).status_code == 500

    assert words in str(errors[0])


async def test_several_of_one_class_are_told_by_name(sandbox: Sandbox) -> None:
    app = FastAPI(
        lifespan=hub_lifespan(lambda hub: {"eu": Other(hub=hub, base_url="http://eu.example"), "us": Other(hub=hub)})
    )

    @app.get("/")
    async def read(eu: Annotated[Other, Provide(Other, "eu")], us: Annotated[Other, Provide(Other, "us")]) -> list[str]:
        return [eu.http.base_url, us.http.base_url]

    async with serving(app) as client:
        assert (await client.get("/")).json() == ["http://eu.example", "http://127.0.0.1:1"]


async def test_without_the_lifespan_the_error_says_what_to_do() -> None:
    app = FastAPI()

    @app.get("/")
    async def read(panoply: Writer) -> None:
        raise AssertionError("it was found")

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        with pytest.raises(ConfigError, match="lifespan=hub_lifespan"):
            await client.get("/")


async def test_a_missing_setting_ends_the_start_and_closes_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "API_SECRET", "ENDPOINT_URL"):
        monkeypatch.delenv(f"ASYNCCONN_PANOPLY_{name}", raising=False)
    hubs: list[Hub] = []

    def factory(hub: Hub) -> list[Connector]:
        hubs.append(hub)
        return [Panoply.from_env(hub=hub)]

    app = FastAPI(lifespan=hub_lifespan(factory))
    with pytest.raises(ConfigError, match="ASYNCCONN_PANOPLY_API_KEY"):
        await app.router.lifespan_context(app).__aenter__()
    with pytest.raises(HubClosed):
        hubs[0].check()


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fastapi_service", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fastapi_service"] = module
    spec.loader.exec_module(module)
    return module


async def test_the_example_works(sandbox: Sandbox) -> None:
    async with serving(_example().app) as client:
        answer = await client.post("/events/clicks", json={"id": 1})
        assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
        assert (await client.get("/stats")).json() == {"accepted": 1, "delivered": 0}

    assert sandbox.panoply.tables() == {"clicks": 1}
