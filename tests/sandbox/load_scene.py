"""Programs at work on all platforms of a sandbox at once: records, jobs, observations, streams, tasks, limits."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from datetime import date
from itertools import count
from typing import TYPE_CHECKING

from helpers import until

from asyncconn import AtotiLimits, Datorama, Hub, Panoply, Tcup
from asyncconn.atoti_limits import Limit, Structure
from asyncconn.errors import AsyncConnError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from asyncconn.sandbox import Sandbox

_PAUSE = 0.05  # seconds between two rounds of a program
_STRUCTURE = Structure(
    structure_id="price",
    name="Price",
    server_name="atoti",
    cube_name="Cars_Cube",
    measure_name="Price.SUM",
    kpi_type="Greater Than",
    polling_frequency="EOD",
    scope_keys=["CarName"],
    warning_threshold=80.0,
)


class Load:
    """The programs; each goes on, whatever strikes it, until it is cancelled."""

    def __init__(self, sandbox: Sandbox, hub: Hub, folder: Path) -> None:
        self.sandbox = sandbox
        panoply, tcup, limits = sandbox.panoply, sandbox.tcup, sandbox.atoti_limits
        tcup.options.auto_register = True
        tcup.options.rate = 100
        tcup.dls.limits.quota_bytes = 40_000
        broker = {"host": tcup.mqtt.host, "port": tcup.mqtt.port, "tls": False}
        user = {"username": tcup.tenant.mqtt_username, "password": tcup.tenant.mqtt_password}
        self.panoply = Panoply(panoply.api_key, panoply.api_secret, endpoint_url=panoply.url, hub=hub)
        self.datorama = Datorama(sandbox.datorama.token, base_url=sandbox.url, hub=hub)
        self.tcup = Tcup(tcup.url, tcup.api_key, hub=hub, mqtt={**broker, **user})
        self.limits = AtotiLimits(limits.session.url, limits_url=limits.limits.url, auth=("admin", "admin"), hub=hub)
        self.heard = dict.fromkeys(("mqtt", "websocket", "events"), 0)
        self._folder = folder

    async def prepare(self) -> None:
        """What is made once."""
        await self.tcup.routing.exchanges.create("ex1")
        await self.limits.wait_connected()
        await self.limits.structures.save(_STRUCTURE)
        (self._folder / "job.py").write_text("import time\nprint('begun')\ntime.sleep(0.5)\n")

    async def records(self, number: int) -> None:
        await self.panoply.write_many("events", ({"id": number * 20 + n, "kind": "click"} for n in range(20)))
        await self.panoply.write("<script>window.struck = 1</script>", {"id": number % 5, "html": _HTML})
        await self.panoply.flush()

    async def jobs(self, number: int) -> None:
        await self.datorama.streams.get(7_700_101 + number % 10)

    async def observations(self, number: int) -> None:
        await self.tcup.observations.insert(f"ts{number % 8}", {"temperature": number}, "roof")

    async def files(self, number: int) -> None:
        await self.tcup.datalake.upload(b"x" * 1_000, filename=f"{number}.csv")

    async def workflows(self, number: int) -> None:
        tasks = [await self.tcup.tasks.create(project="p", job=f"{word}{number}") for word in ("first", "second")]
        for task, runtime in zip(tasks, ("py", "java"), strict=True):
            await task.deploy(self._folder / "job.py", runtime=runtime)
        flow = await self.tcup.workflows.create([(tasks[0], tasks[1])], name=f"mean{number}", version="v1")
        run = await flow.pre_initiate()
        await run.initiate()
        await run

    async def limits_kept(self, number: int) -> None:
        limit = Limit(
            structure_id="price",
            limit_id=f"car{number % 5}",
            limit_name="Price",
            scope=f"CarName=Car{number % 5}",
            limit_value=20_000,
            start_date=date(2026, 1, 1),
        )
        await self.limits.limits.save(limit)
        await self.limits.evaluate.all("2026-01-31")

    async def published(self, number: int) -> None:
        await self.tcup.mqtt.publish("plant/1", {"n": number}, timeout=2.0)

    async def mqtt(self) -> None:
        async with self.tcup.mqtt.subscribe("plant/1", client_id="reader", session="persistent") as messages:
            async for _ in messages:
                self.heard["mqtt"] += 1

    async def websocket(self) -> None:
        async with self.tcup.stream.subscribe(exchange="amq.topic", topic="plant.#") as messages:
            async for _ in messages:
                self.heard["websocket"] += 1

    async def events(self) -> None:
        async with self.tcup.stream.events(exchange="amq.topic", topic="plant.1") as messages:
            async for _ in messages:
                self.heard["events"] += 1


_HTML = "<img src=x onerror='window.struck = 1'>"


@asynccontextmanager
async def load(sandbox: Sandbox, folder: Path) -> AsyncIterator[Load]:
    """All of them at work, from the moment on at which each has done something once."""
    # Faults and the end strike where they like: what is lost to them is no surprise.
    async with Hub(on_undelivered="log") as hub, asyncio.TaskGroup() as group:
        at_work = Load(sandbox, hub, folder)
        await at_work.prepare()
        rounds = (
            at_work.records,
            at_work.jobs,
            at_work.observations,
            at_work.files,
            at_work.workflows,
            at_work.limits_kept,
            at_work.published,
        )
        done: set[str] = set()
        tasks = [group.create_task(_again(work, done)) for work in rounds]
        tasks += [group.create_task(_on(work)) for work in (at_work.mqtt, at_work.websocket, at_work.events)]
        await until(lambda: len(done) == len(rounds) and all(at_work.heard.values()))
        yield at_work
        for task in tasks:
            task.cancel()


async def _again(work: Callable[[int], Awaitable[None]], done: set[str]) -> None:
    for number in count():
        with suppress(AsyncConnError):  # faults are there to strike
            await work(number)
            done.add(str(work))
        await asyncio.sleep(_PAUSE)


async def _on(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        with suppress(AsyncConnError):
            await work()
        await asyncio.sleep(_PAUSE)
