"""What an operator asks an application for, whatever its framework: whether it is alive and ready, and its figures."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Mapping, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from litestar import Litestar, asgi
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from asyncconn import Connector, Hub, HubState, Panoply, Platform, ReadinessPolicy, readiness
from asyncconn.errors import ConfigError
from asyncconn.integrations import prometheus
from asyncconn.integrations.asgi import Health, HealthApp, hub_lifespan, provided
from asyncconn.integrations.fastapi import health_router
from asyncconn.sandbox import Fault, PanoplyWorld, Sandbox

from .asgi_scene import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with Sandbox(PanoplyWorld(), seed=1) as running:
        for name, value in running.env.items():
            monkeypatch.setenv(name, value)
        yield running


class Applications:
    """One of each framework, with the same hub and the same three paths; ``panoply`` is its connector."""

    panoply: Panoply

    def connectors(self, hub: Hub) -> list[Connector]:
        self.panoply = Panoply.from_env(hub=hub)
        return [self.panoply]

    def fastapi(self, **options: Any) -> FastAPI:
        app = FastAPI(lifespan=hub_lifespan(self.connectors, on_undelivered="log"))
        app.include_router(health_router(**options), prefix="/ops")
        return app

    def starlette(self, **options: Any) -> Starlette:
        lifespan = hub_lifespan(self.connectors, on_undelivered="log")
        return Starlette(lifespan=lifespan, routes=[Mount("/ops", app=HealthApp(**options))])

    def litestar(self, **options: Any) -> Litestar:
        @asynccontextmanager
        async def lifespan(app: Litestar) -> AsyncIterator[None]:
            async with Hub(on_undelivered="log") as app.state.hub:
                self.connectors(app.state.hub)
                yield

        health = HealthApp(lambda: app.state.hub, **options)
        app = Litestar([asgi("/ops", is_mount=True, copy_scope=True)(health)], lifespan=[lifespan], logging_config=None)
        return app


@pytest.fixture(params=["fastapi", "starlette", "litestar"])
def made(request: pytest.FixtureRequest) -> tuple[Applications, Callable[..., Any]]:
    applications = Applications()
    return applications, getattr(applications, request.param)


async def test_an_application_that_is_well_says_so(made: Any, sandbox: Sandbox) -> None:
    _, application = made
    async with serving(application()) as client:
        alive, ready = await client.get("/ops/healthz"), await client.get("/ops/readyz")

    assert (alive.status_code, alive.json()) == (200, {"alive": True})
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert {"name": "hub", "ok": True, "why": ""} in ready.json()["checks"]
    assert {ready.headers["content-type"], alive.headers["content-type"]} == {"application/json"}
    assert (alive.headers["cache-control"], ready.headers["cache-control"]) == ("no-store", "no-store")


async def test_one_that_has_lost_a_record_is_alive_and_not_ready(made: Any, sandbox: Sandbox) -> None:
    applications, application = made
    sandbox.faults.add(Fault("status", status=400))
    async with serving(application()) as client:
        await applications.panoply.write("events", {"id": 1})
        await applications.panoply.flush()
        alive, ready = await client.get("/ops/healthz"), await client.get("/ops/readyz")

    assert (alive.status_code, ready.status_code) == (200, 503)
    [failed] = [check for check in ready.json()["checks"] if not check["ok"]]
    assert (ready.json()["ready"], failed["name"]) == (False, "panoply losses")
    assert failed["why"].startswith("records were lost, the last ")
    assert sandbox.panoply.api_secret not in ready.text


async def test_what_counts_can_be_set(made: Any, sandbox: Sandbox) -> None:
    applications, application = made
    sandbox.faults.add(Fault("status", status=400))
    async with serving(application(policy=ReadinessPolicy(after_loss=0.0))) as client:
        await applications.panoply.write("events", {"id": 1})
        await applications.panoply.flush()

        assert (await client.get("/ops/readyz")).status_code == 200


async def test_figures_are_there_for_prometheus(made: Any, sandbox: Sandbox) -> None:
    applications, application = made
    async with serving(application()) as client:
        await applications.panoply.write("events", {"id": 1})
        await applications.panoply.flush()
        answer = await client.get("/ops/metrics")

    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    found = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert [sample.value for sample in found["asyncconn_records_delivered"].samples] == [1.0]


async def test_figures_can_be_left_out(made: Any, sandbox: Sandbox) -> None:
    _, application = made
    async with serving(application(metrics=False)) as client:
        assert (await client.get("/ops/metrics")).status_code == 404


async def test_figures_without_their_library_are_refused_when_the_application_is_made(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, application = made
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match=r"pip install 'asyncconn\[prometheus\]'"):
        application()
    assert application(metrics=False)


async def test_other_paths_and_methods_are_refused(made: Any, sandbox: Sandbox) -> None:
    _, application = made
    async with serving(application()) as client:
        answers = [await client.get("/ops/other"), await client.get("/ops/"), await client.post("/ops/readyz")]

    assert [answer.status_code for answer in answers] == [404, 404, 405]


def by_fastapi(hub: Hub) -> FastAPI:
    app = FastAPI()
    app.include_router(health_router(hub))
    return app


@pytest.mark.parametrize("application", [HealthApp, by_fastapi])
async def test_a_head_has_the_headers_and_no_body(application: Any) -> None:
    async def never() -> dict[str, Any]:
        raise AssertionError("there is nothing to be read")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    sent: list[MutableMapping[str, Any]] = []
    async with Hub() as hub:
        for method in ("GET", "HEAD"):
            scope: dict[str, Any] = {
                "type": "http",
                "method": method,
                "path": "/readyz",
                "headers": [],
                "query_string": b"",
            }
            await application(hub)(scope, never, send)

    [start, got, head_start, head] = sent
    assert head_start == start
    assert dict(start["headers"])[b"content-length"] == str(len(got["body"])).encode()
    assert (len(got["body"]) > 0, head["body"]) == (True, b"")


@pytest.mark.parametrize("path", ["healthz", "readyz", "metrics"])
async def test_every_framework_answers_a_head_without_a_body(made: Any, path: str, sandbox: Sandbox) -> None:
    _, application = made
    async with serving(application()) as client:
        head = await client.head(f"/ops/{path}")

    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    assert head.headers["cache-control"] == "no-store"


async def test_a_hub_of_another_thread_is_not_ready_here_and_says_why() -> None:
    async with Hub() as hub:

        async def ask() -> Response:
            return Response((answer := await Health(hub).ready({})).body, answer.status)

        told = await asyncio.to_thread(lambda: asyncio.run(ask()))

    assert (told.status_code, b"it belongs to another event loop" in bytes(told.body)) == (503, True)


class Acme(Connector):
    platform = Platform("acme", base_url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("gives", "why"),
    [
        (lambda hub: None, "not None"),
        (lambda hub: Acme(hub=hub), "not Acme"),
        (lambda hub: [Acme(hub=hub), 1], "not int among them"),
        (lambda hub: "acme", "not str among them"),
        (lambda hub: {"first": None}, "not None among them"),
        (lambda hub: [Acme(hub=hub), Acme()], "Acme is not of the application's hub: make it with hub=hub"),
        (lambda hub: {"one": Acme()}, "Acme is not of the application's hub: make it with hub=hub"),
    ],
)
async def test_what_is_no_connector_of_its_hub_ends_the_start_and_nothing_is_left_open(gives: Any, why: str) -> None:
    hubs: list[Hub] = []

    def factory(hub: Hub) -> Any:
        hubs.append(hub)
        made = gives(hub)
        hubs.extend(one.hub for one in (made if isinstance(made, list) else []) if isinstance(one, Acme))
        return made

    with pytest.raises(ConfigError, match=why):
        async with hub_lifespan(factory)(object()):
            raise AssertionError("it is not to start")
    assert hubs[0].state is HubState.CLOSED
    assert not [hub for hub in hubs if hub.state is HubState.OPEN]


async def test_an_application_without_a_hub_is_alive_and_not_ready() -> None:
    app = FastAPI()
    app.include_router(health_router())
    async with serving(app) as client:
        answers = [await client.get(path) for path in ("/healthz", "/readyz", "/metrics")]

    assert [answer.status_code for answer in answers] == [200, 503, 503]
    assert "lifespan=hub_lifespan(...)" in answers[1].text


async def test_a_hub_can_be_given(sandbox: Sandbox) -> None:
    async with Hub() as hub:
        app = FastAPI()
        app.include_router(health_router(hub))
        async with serving(app) as client:
            assert (await client.get("/readyz")).status_code == 200
            await hub.aclose()
            closed = await client.get("/readyz")

    assert (closed.status_code, closed.json()["checks"]) == (503, [{"name": "hub", "ok": False, "why": "it is closed"}])


async def test_figures_of_a_hub_of_another_thread_do_not_stop_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loop is blocked: meanwhile the server answers others, and then says that there are none."""
    monkeypatch.setattr(prometheus.HubCollector.__init__, "__kwdefaults__", {"timeout": 0.5})
    opened, free = threading.Event(), threading.Event()
    found: list[Hub] = []

    async def elsewhere() -> None:
        async with Hub() as hub:
            found.append(hub)
            opened.set()
            free.wait(10.0)

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    try:
        await asyncio.to_thread(opened.wait)
        app = FastAPI()
        app.include_router(health_router(lambda: found[0]))
        async with serving(app) as client:
            asked = asyncio.create_task(client.get("/metrics"))
            alive = await client.get("/healthz")
            assert (alive.status_code, asked.done()) == (200, False)
            blocked = await asked
    finally:
        free.set()
        await asyncio.to_thread(thread.join)
    assert (blocked.status_code, "did not answer" in blocked.text) == (503, True)


async def test_what_is_not_http_is_a_mistake() -> None:
    async def never(*_: object) -> Any:
        raise AssertionError("nothing is to be read or sent")

    with pytest.raises(ConfigError, match="mount it"):
        await HealthApp()({"type": "websocket", "path": "/"}, never, never)


async def test_the_schema_says_what_comes() -> None:
    app = FastAPI()
    app.include_router(health_router())
    paths = app.openapi()["paths"]

    answers = paths["/readyz"]["get"]["responses"]
    schemas = [answers[status]["content"]["application/json"]["schema"] for status in ("200", "503")]
    assert schemas == [{"$ref": "#/components/schemas/Readiness"}] * 2
    assert list(paths["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]
    fields = app.openapi()["components"]["schemas"]["Readiness"]["properties"]
    assert set(fields) == {"ready", "checks"}


async def test_an_endpoint_of_any_framework_finds_its_connector(sandbox: Sandbox) -> None:
    async def record(request: Request) -> Response:
        await provided(request.scope, Panoply).write("events", await request.json())
        return Response(status_code=202)

    lifespan = hub_lifespan(lambda hub: [Panoply.from_env(hub=hub)])
    app = Starlette(lifespan=lifespan, routes=[Route("/events", record, methods=["POST"])])
    async with serving(app) as client:
        assert (await client.post("/events", json={"id": 1})).status_code == 202

    assert sandbox.panoply.tables() == {"events": 1}


async def test_a_probe_says_what_readiness_says(sandbox: Sandbox) -> None:
    async with Hub() as hub:
        Panoply.from_env(hub=hub)
        app = Starlette(routes=[Mount("/", app=HealthApp(hub))])
        async with serving(app) as client:
            said: Mapping[str, Any] = (await client.get("/readyz")).json()
        state = await readiness(hub)

    assert [check["name"] for check in said["checks"]] == [check.name for check in state.checks]


def of_the_page(section: str) -> Any:
    """The application that the page's program in a section makes."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2]
    program: dict[str, Any] = {"__name__": section.lower()}
    exec(text.partition("```python\n")[2].partition("```")[0], program)  # noqa: S102 - it is our own page
    return program["app"]


@pytest.mark.parametrize(("section", "ready"), [("FastAPI", "/"), ("Starlette", "/"), ("Litestar", "/ops/")])
async def test_the_applications_of_the_page_take_records_and_say_how_they_are(
    section: str, ready: str, sandbox: Sandbox
) -> None:
    async with serving(of_the_page(section)) as client:
        answer = await client.post("/clicks", json={"page": "/"})
        state = await client.get(f"{ready}readyz")

    assert (answer.is_success, answer.json(), state.status_code) == (True, {"accepted": 1}, 200)
    assert sandbox.panoply.tables() == {"clicks": 1}
