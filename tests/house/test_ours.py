"""Our own connectors keep the promises that ``check`` looks at."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from loopback import Seen

from asyncconn import AtotiLimits, Datorama, Panoply, TokenAuth, Window
from asyncconn.sandbox import LimitsWorld, Sandbox
from asyncconn.testing import Fake, check

from .acme_server import Acme as Platform

if TYPE_CHECKING:
    from asyncconn import Hub
    from asyncconn.sandbox import Faults

Acme: Any = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "acme.py"))["Acme"]


async def test_the_example_of_the_pages() -> None:
    platform = Platform()

    async def answer(request: web.Request) -> web.Response:
        seen = Seen(request.method, request.raw_path, dict(request.headers), await request.read(), 0.0, 1)
        before = platform.stored.total()
        reply = platform._done(seen)
        fake.took(platform.stored.total() - before)
        return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))

    fake = Fake(answer, rates=Window(20, 1.0))

    async def plan(acme: Any) -> object:
        return await acme.http.call("GET", "/v1/plan")

    async def series(acme: Any) -> object:
        return [one async for one in acme.series()]

    async def export(acme: Any) -> object:
        return [row async for row in acme.export()]

    async def points(acme: Any) -> int:
        report = await acme.points.deliver({"id": number} for number in range(700))
        return int(report.accepted)

    async with fake:
        report = await check(
            lambda url, hub: Acme(base_url=url, auth=TokenAuth("made-up-token"), hub=hub),
            fake,
            reads=[plan, series],
            writes=[export],
            deliveries=[points],
        )

    assert len(report.passed) == 5, report


class Warehouse:
    """The sandbox, with the records of its messages for books."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.url = sandbox.url
        self.faults: Faults = sandbox.faults
        self._panoply = sandbox.panoply

    @property
    def taken(self) -> int:
        return sum(message.records for message in self._panoply.messages)


async def test_panoply() -> None:
    made = 0

    async def events(panoply: Panoply) -> int:
        nonlocal made
        for _ in range(50):
            made += 1
            await panoply.write("events", {"id": made})
        return 50

    async with Sandbox() as sandbox:
        account = sandbox.panoply
        report = await check(
            lambda url, hub: Panoply(account.api_key, account.api_secret, endpoint_url=url, hub=hub),
            Warehouse(sandbox),
            deliveries=[events],
        )

    assert set(report.passed) == {"secret", "endless_wait", "lost_record"}, report
    assert "as the fake's books say" in report.passed["lost_record"][0]


async def test_datorama() -> None:
    async def workspaces(datorama: Datorama) -> object:
        return [one async for one in datorama.workspaces.list()]

    async def workspace(datorama: Datorama) -> object:
        return await datorama.workspaces.get(41001)

    async def process(datorama: Datorama) -> object:
        return await datorama.streams.process(7700101, "2026-01-01", "2026-01-02")

    async with Sandbox(seed=1) as sandbox:
        token = sandbox.datorama.tokens[0]
        report = await check(
            lambda url, hub: Datorama(token, base_url=url, hub=hub),
            sandbox,
            reads=[workspace, workspaces],
            writes=[process],
        )

    assert set(report.passed) == {"cap", "secret", "repeated_write", "endless_wait"}, report


async def test_atoti_limits() -> None:
    async def connected(limits: AtotiLimits) -> object:
        return await limits.connected()

    async def structures(limits: AtotiLimits) -> object:
        return await limits.structures.list()

    async def connect(limits: AtotiLimits) -> None:
        await limits.connect()

    async with Sandbox(LimitsWorld()) as sandbox:
        atoti = sandbox.atoti_limits

        def make(_: str, hub: Hub) -> AtotiLimits:
            auth = ("admin", "admin")
            return AtotiLimits(atoti.session.url, limits_url=atoti.limits.url, auth=auth, hub=hub)

        report = await check(make, sandbox, reads=[connected, structures], writes=[connect])

    assert set(report.passed) == {"secret", "repeated_write", "endless_wait"}, report
    assert report.not_checked["cap"] == ("the connector declares no Window",)
