"""A program of the public names. It is not run: type checkers accept it, and see the types that it asserts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, assert_type

from aiohttp import web
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from asyncconn import (
    AtotiLimits,
    Auth,
    Batch,
    Batches,
    BatchPolicy,
    BatchStats,
    Calling,
    CollectReport,
    Connector,
    DataSource,
    Datorama,
    Delivery,
    DrainReport,
    FlushReport,
    Hub,
    HubSettings,
    JsonLines,
    Keyed,
    LinkHeader,
    OAuth2,
    Outgoing,
    Page,
    Pager,
    Panoply,
    Parquet,
    Platform,
    Polled,
    Poller,
    PollGroup,
    PollPolicy,
    Progress,
    Quota,
    RateHeaders,
    RateSnapshot,
    Receipt,
    Rejected,
    Resource,
    Response,
    RetryPolicy,
    Route,
    Routes,
    Sink,
    Spool,
    StreamFigures,
    StreamTally,
    Tcup,
    Timeouts,
    Token,
    TokenAuth,
    Transport,
    VirtualClock,
    Window,
    batched,
    collect,
    errors,
    read_rows,
    run,
    run_source,
    save_rows,
)
from asyncconn.atoti_limits import Limit, LimitsError, PreflightReport
from asyncconn.datorama import BulkProgress, BulkResult, DataStream, Job, QueryResult, Workspace
from asyncconn.integrations.fastapi import Provide, hub_lifespan
from asyncconn.integrations.prometheus import HubCollector
from asyncconn.panoply import RunReport, SentMessage, SourceError, SourceProgress, StateFile, WriteReport
from asyncconn.sandbox import Fault, Sandbox
from asyncconn.tcup import (
    CsvReport,
    InsertReport,
    ItemResult,
    LakeFile,
    Outcomes,
    RoutingRule,
    Run,
    RunState,
    Sensor,
    Task,
    TaskState,
    Workflow,
    payload,
    routing_rule,
)
from asyncconn.testing import CheckReport, Fake, check, record, replay

Row = dict[str, Any]

# -- a connector of one's own ------------------------------------------------------------------------------------------


class Series(BaseModel):
    id: int
    name: str


@dataclass
class Export:
    id: int
    status: str


class Acme(Connector):
    platform = Platform(
        "acme",
        rates={"default": [Window(20, 1.0), Quota(1000, resets="utc-day")], "export": Window(1, 60.0)},
        retry=RetryPolicy(attempts=3),
        timeouts=Timeouts(total=10.0),
        error_at="error",
        did_nothing={503},
        headers_tell=RateHeaders("X-RateLimit-Remaining", "X-RateLimit-Reset", part="window"),
    )

    def series(self) -> Pager[Series]:
        return self.http.pages("/v1/series", items="data", next="next_cursor", model=Series)

    async def export(self) -> AsyncIterator[Row]:
        job = await self.http.call("POST", "/v1/exports", json={}, model=Export)
        assert_type(job, Export)
        waiting = self.http.poll(f"/v1/exports/{job.id}", until={"status": "DONE"}, minimum=0.2, model=Export)
        assert_type(waiting, Poller[Export, Export])
        assert_type(await waiting, Export)
        async for row in self.http.rows("/v1/file"):
            yield row

    @batched(max_items=500, max_bytes=256 * 1024, envelope=20, key=lambda point: point["id"])
    async def points(self, batch: Batch[Row]) -> None:
        """Send points."""
        answer = await self.http.call("POST", "/v1/points", json={"points": batch.items})
        for point, result in zip(batch.items, answer["results"], strict=True):
            if result["status"] == "busy":
                batch.again(point, after=1.0)
            elif result["status"] == "rejected":
                batch.reject(point, result["error"])


class Exports(Resource):
    """A noun: rows of a table, and a line for each verb."""

    routes = Routes({"exports.list": Route("GET", "/v1/exports"), "exports.get": Route("GET", "/v1/exports/{id:int}")})

    def list(self) -> Pager[Export]:
        return self._pages(Export, "exports.list", items="data", next="cursor")

    async def get(self, export_id: int) -> Export:
        return await self._one(Export, "exports.get", ids={"id": export_id})


async def exports(connector: Acme) -> None:
    noun = Exports(Calling(connector.http, Exports.routes.with_(exports_get=("GET", "/v2/exports/{id}"))))
    assert_type(await noun.list(), Page[Export])
    group = PollGroup(noun.get, [7, 8], done=lambda export: export.status == "DONE")
    async for one in group:
        assert_type(one, Polled[int, Export])
    assert_type(await group, dict[int, Polled[int, Export]])


class Signed(Auth):
    async def sign(self, request: Outgoing) -> None:
        request.headers["X-Length"] = str(len(request.body or b""))


async def token() -> Token:
    return Token("made-up", 60.0)


async def acme(folder: Path) -> None:
    async with Acme(base_url="https://acme.example", auth=TokenAuth(token, identity="me")) as client:
        assert_type(client, Acme)
        assert_type(client.http, Transport)
        assert_type(client.rate, RateSnapshot)
        assert_type(await client.series(), Page[Series])
        assert_type(await client.series().collect(), list[Series])
        async for one in client.series():
            assert_type(one, Series)
        await asyncio.gather(save_rows(folder / "export.jsonl", client.export()), client.points.flush())

        assert_type(client.points, Batches[Row])
        assert_type(await client.points.put({"id": 1}), Receipt)
        report = await client.points.deliver(read_rows(folder / "points.jsonl"))
        assert_type(report, FlushReport)
        assert_type(report.accepted, int)
        for refused in report.rejections:
            assert_type(refused, Rejected)
        await copied(client.points)

        assert_type(await client.http.request("GET", "/v1/plan"), Response)
        assert_type(await client.http.call("GET", "/v1/series", model=list[Series]), list[Series])
        links = client.http.pages("/v1/links", items="", next=LinkHeader())
        async for link in links:
            print(link)
        assert_type(await client.http.download("/v1/file", folder / "file", on_progress=show), Path)
        await client.http.upload("/v1/file", folder / "file", on_progress=lambda now: print(now.done))

    OAuth2("https://acme.example/token", "id", "secret", scope="read")
    Acme.from_env(prefix="ACME", auth=Signed())


def show(now: Progress) -> None:
    assert_type(now.total, int | None)
    print(now.done, now.unit)


async def copied(sink: Sink[Row]) -> bool:
    return (await sink.deliver([{"id": 1}])).complete


# -- a hub, events and errors ------------------------------------------------------------------------------------------


async def watched(panoply: Panoply, client: Acme) -> None:
    @panoply.on("error")
    async def keep(failure: errors.DeliveryFailed) -> None:
        print(failure.records, failure.maybe_delivered)

    @client.points.on("send")
    def leaves(batch: Batch[Row]) -> None:
        assert_type(batch.items, list[Row])

    def arrived(delivery: Delivery) -> None:
        if isinstance(delivery.result, SentMessage):
            assert_type(delivery.result.message_id, str)

    assert_type(panoply.on("flush", arrived) is arrived, bool)

    @panoply.on("*")
    def every(name: str, data: object) -> None:
        print(name, data)

    panoply.off("*", every)
    panoply.off("error", keep)
    client.points.off("send", leaves)

    @client.http.events.on("attempt")
    def answered(response: Response) -> None:
        print(response.status)


async def hub() -> DrainReport:
    async with Hub(settings=HubSettings(shutdown_timeout=5.0), clock=VirtualClock()) as shared:
        panoply = Panoply("key", "secret", hub=shared, policy=BatchPolicy(max_age=1.0), spool=Spool("spool.db"))
        receipt = await panoply.write("events", {"id": 1})
        assert_type(await receipt, Delivery)
        assert_type(await panoply.write_many("events", [{"id": 1}]), WriteReport)
        assert_type(await panoply.table("series").deliver([{"id": 2}]), FlushReport)
        await copied(panoply.table("series"))
        CollectorRegistry().register(HubCollector(shared, timeout=1.0))
        assert_type([one.stats for one in shared.figures().buffers], list[BatchStats])
        assert_type([rate.snapshot for one in shared.figures().accounts for rate in one.rates], list[RateSnapshot])
    return await shared.aclose()


class Listening(Connector):
    platform = Platform("listening")
    tally = StreamTally("listening.events")

    def figures(self) -> list[StreamFigures]:
        return [self.tally.figures()]


async def failed(client: Acme) -> float | None:
    try:
        await client.http.call("GET", "/v1/plan")
    except errors.RateLimited as error:
        return error.retry_after
    except errors.ApiError as error:
        assert_type(error.status, int)
        assert_type(error.answer, errors.Answer)
    except (errors.NotSent, errors.PollTimeout, errors.ConfigError) as error:
        print(error.advice)
    return None


# -- the platforms -----------------------------------------------------------------------------------------------------


class Numbers(DataSource):
    async def read(self, n: int | None = None) -> list[Row] | None:
        self.progress(1, 2, "half")
        return None


async def source(panoply: Panoply) -> RunReport:
    def advanced(now: SourceProgress) -> None:
        print(now.done, now.msg)

    try:
        return await run_source(
            Numbers, {"type": "numbers"}, into=panoply, state=StateFile("state.json"), on_progress=advanced
        )
    except SourceError as error:
        return error.report


async def datorama(client: Datorama) -> None:
    assert_type(await client.workspaces.get(1), Workspace)
    async for stream in client.streams.list(workspace_id=1):
        assert_type(stream, DataStream)
        assert_type(await stream.rerun_all(), list[Job])
    assert_type(await client.query({"workspaceId": 1, "dateRange": "LAST_7_DAYS"}), QueryResult)
    assert_type(await client.dashboards.hierarchy(1), dict[str, Any])

    def told(now: BulkProgress) -> None:
        print(now.ok, now.seconds_left)

    renamed = await client.rename_streams([1], ["a"], on_progress=told)
    assert_type(renamed, BulkResult[DataStream, DataStream])
    # Whoever shows any progress shows this one.
    await client.fetch_all_jobs(on_progress=show)
    assert_type(client.rate, RateSnapshot)


async def limits(client: AtotiLimits) -> None:
    assert_type(await client.preflight(), PreflightReport)
    await client.wait_connected(timeout=60.0)
    try:
        async for limit in client.limits.list():
            assert_type(limit, Limit)
    except LimitsError as error:
        print(error)


# -- what is refused: each of these is an error, or its comment is one -------------------------------------------------


async def tcup(client: Tcup, folder: Path) -> None:
    assert_type(await client.sensors.create(Sensor.atomic("ts1", {"obs1": "count"})), ItemResult)
    assert_type(await client.observations.insert_many([("ts1", {"obs1": 1}, "tf1")]), InsertReport)
    assert_type(await client.observations.upload_csv(folder / "series.csv"), CsvReport)
    async for row in client.observations.query(sensor="ts1"):
        assert_type(row, dict[str, Any])
    async with client.observations.writer(spool=folder / "telemetry.spool") as writer:
        await writer.write("ts1", {"obs1": 1}, "tf1")
        assert_type(await writer.flush(), FlushReport)

    uri = await client.datalake.upload(folder / "flights.csv", on_progress=show)
    assert_type(await client.datalake.download(uri, folder), Path)
    assert_type(await client.datalake.download([uri], folder), dict[str, Path])
    assert_type(await client.datalake.search(metadata={"colour": "blue"}).collect(), list[LakeFile])
    assert_type(await client.datalake.share(uri, "user2"), Outcomes)

    rule = await client.routing.rules.create(routing_rule("all", "of it", to=("ex1", "test")))
    assert_type(rule, RoutingRule)
    await client.routing.rules.start(rule.id)
    await client.routing.send(payload("ts1", {"obs1": 1}))

    task = await client.tasks.create(project="p", job="j")
    assert_type(task, Task)
    assert_type(await task, TaskState)
    async for state in task.states():
        assert_type(state, TaskState)
    async for line in task.logs():
        assert_type(line, str)
    flow = await client.workflows.create([("start", task)], name="w", version="v1")
    assert_type(flow, Workflow)
    run = await flow.pre_initiate()
    assert_type(run, Run)
    assert_type(await run, RunState)
    async for ended in client.workflows.wait_all([run]):
        print(ended.id, ended.state, ended.error)


async def refused(panoply: Panoply, client: Acme) -> None:
    panoply.on("sent", print)  # type: ignore[call-overload] # no such event
    panoply.on("error", show)  # type: ignore[call-overload] # takes something else
    await client.points.put("no row")  # type: ignore[arg-type] # not what is batched
    await client.http.download("/v1/file", "file", on_progress=len)  # type: ignore[arg-type] # takes no Progress
    await copied(client)  # type: ignore[arg-type] # a client is no sink
    Platform("acme", rate=Window(20, 1.0))  # type: ignore[call-arg] # it is called rates


# -- an application, a sandbox, a command ------------------------------------------------------------------------------

app = FastAPI(lifespan=hub_lifespan(lambda hub: [Panoply.from_env(hub=hub), Datorama.from_env(hub=hub)]))


@app.post("/events")
async def endpoint(record: Row, panoply: Annotated[Panoply, Provide(Panoply)]) -> None:
    await panoply.write("events", record)


async def sandboxed() -> Mapping[str, str]:
    async with Sandbox(faults=[Fault("status", status=503)]) as sandbox:
        return sandbox.env


async def plan(client: Acme) -> object:
    return await client.http.call("GET", "/v1/plan")


async def tested(app: web.Application, folder: Path) -> CheckReport:
    def make(url: str, hub: Hub) -> Acme:
        return Acme(base_url=url, auth=TokenAuth("made-up"), hub=hub)

    async with Fake(app, rates=Window(20, 1.0), faults="status:503*2") as fake:
        async with Hub() as hub, record(hub, folder / "plan.jsonl"):
            await plan(make(fake.url, hub))
        async with Hub(session=replay(folder / "plan.jsonl"), clock=VirtualClock()) as hub:
            await plan(make(fake.url, hub))
        report = await check(make, fake, reads=[plan])
    report.raise_for_failures()
    assert_type(report.failed, dict[str, tuple[str, ...]])
    return report


async def main(shared: Hub) -> None:
    print(PollPolicy(minimum=1.0, deadline=60.0), await sandboxed(), shared)


if __name__ == "__main__":
    run(main)


async def jobs_of(hub: Hub, stream_id: int) -> AsyncIterator[dict[str, Any]]:
    datorama = hub.connector(Datorama)
    assert_type(datorama, Datorama)
    async for job in datorama.jobs.list(stream_id):
        yield job.raw


async def rows_of(hub: Hub, name: str) -> list[dict[str, Any]] | None:
    return None if name else [{"name": name}]


async def partitions() -> None:
    report = await collect([1, 2], jobs_of, into=JsonLines("jobs"))
    assert_type(report, CollectReport)
    await collect(["a"], rows_of, into=Parquet("rows", layout="batch"), concurrency=4, on_progress=print)
    await collect(["a"], rows_of, into=Keyed(lambda hub: hub.connector(Panoply).table("t"), key="id", done="done"))
    assert_type([one.partition for one in report.failures], list[Any])
