"""The part of ``asyncconn demo`` that is about TCUP's streams: sensors, a bridge into Panoply, a viewer; and breaks."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncconn import Hub, Panoply, Tcup
from asyncconn.cli.demo.part import Part, Verdict
from asyncconn.cli.output import count, plain, progress, stderr, table
from asyncconn.core.notes import with_notes
from asyncconn.core.supervise import Reconnect
from asyncconn.errors import AsyncConnError
from asyncconn.sandbox import PanoplyWorld, Sandbox, StreamFault, TcupWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from rich.console import RenderableType

    from asyncconn.cli.demo.seattle import Record

__all__ = ["StreamsReport", "last_word", "lines", "work"]

_SENSORS = ("temp_max", "wind")
_EXCHANGE = "amq.topic"  # where a broker's topics are for WebSockets
_TABLE = "readings"
_SOON = Reconnect(initial=0.05, maximum=0.2)
_SECONDS = 30.0  # at most, for what comes behind the last acknowledgement


@dataclass
class StreamsReport(Part):
    """What ``--json`` prints under ``tcup_streams``.

    ``again`` are messages that the bridge was given twice, ``viewed`` those that came to the viewer, of which ``gaps``
    tell that some were missed.
    """

    readings: int = 0
    acknowledged: int = 0
    broken: int = 0
    landed: int = 0
    altered: int = 0
    again: int = 0
    viewed: int = 0
    gaps: int = 0


async def work(weather: list[Record]) -> StreamsReport:
    """Let sensors publish, deliver that into Panoply, break connections meanwhile, and compare with the file."""
    report = StreamsReport(readings=len(weather) * len(_SENSORS))
    with report.at_work():
        try:
            async with Sandbox(PanoplyWorld(), TcupWorld(buffer=20_000), seed=1) as sandbox, Hub(proxy="") as hub:
                account = sandbox.panoply
                sandbox.tcup.streams.faults.add(*_faults(report.readings))
                panoply = Panoply(account.api_key, account.api_secret, endpoint_url=account.url, hub=hub)
                with progress(stderr()) as bar:
                    task = bar.add_task("readings over MQTT", total=report.readings, note="")
                    async with _viewing(_client(sandbox.tcup, hub), report, lambda: bar.advance(task)):
                        await _publish(sandbox.tcup, hub, panoply, weather, report)
                    bar.update(task, completed=report.readings)
                report.broken = sandbox.tcup.streams.faults.hits["kill"]
                found = await asyncio.to_thread(account.sql, f"select id, value from {_TABLE}")  # noqa: S608 - a name of ours
                _compare(report, weather, {row["id"]: row["value"] for row in found})
        except AsyncConnError as error:
            report.wrong.append(plain(with_notes(error)))
    return report


def _faults(readings: int) -> list[StreamFault]:
    """Connections that break when so many messages have passed."""

    def after(share: float) -> int:
        return max(1, int(readings * share))

    return [
        StreamFault("kill", match="bridge", after=after(0.4)),
        StreamFault("kill", match="mqtt", after=after(0.27), times=2),  # of whoever comes that far
        StreamFault("kill", match="subscribe", after=after(0.35)),  # the viewer
    ]


def _client(world: TcupWorld, hub: Hub) -> Tcup:
    broker = {"host": world.mqtt.host, "port": world.mqtt.port, "tls": False, "reconnect": _SOON}
    user = {"username": world.tenant.mqtt_username, "password": world.tenant.mqtt_password}
    return Tcup(world.url, world.api_key, hub=hub, mqtt=broker | user)


async def _publish(world: TcupWorld, hub: Hub, panoply: Panoply, weather: list[Record], report: StreamsReport) -> None:
    """Sensors at one end, a table at the other, and a bridge between them."""
    bridge = _client(world, hub)
    into = panoply.table(_TABLE)
    delivering = asyncio.create_task(bridge.mqtt.deliver("seattle/#", into=into, client_id="bridge"))
    await _soon(lambda: "bridge" in world.sessions and world.sessions["bridge"].filters)
    clients = [_client(world, hub) for _ in _SENSORS]
    sent = await asyncio.gather(
        *(
            client.mqtt.publish_many(f"seattle/{sensor}", [_reading(sensor, day) for day in weather])
            for sensor, client in zip(_SENSORS, clients, strict=True)
        )
    )
    report.acknowledged = sum(one.delivered for one in sent)
    session = world.sessions["bridge"]
    await _soon(lambda: not session.kept and session.acknowledged >= report.readings)
    bridge.mqtt.stop()
    report.again = (await delivering).delivered - report.readings


def _reading(sensor: str, day: Record) -> Record:
    return {"id": f"{sensor}-{day['date']}", "sensor": sensor, "date": day["date"], "value": day[sensor]}


@asynccontextmanager
async def _viewing(tcup: Tcup, report: StreamsReport, seen: Callable[[], object]) -> AsyncIterator[None]:
    """Somebody who views the readings as they come, and says of each that it was ``seen``."""

    async def view(messages: AsyncIterator[object]) -> None:
        async for _ in messages:
            report.viewed += 1
            seen()

    async with tcup.stream.subscribe(exchange=_EXCHANGE, reconnect=_SOON) as messages:
        viewing = asyncio.create_task(view(messages))
        try:
            yield
            await _soon(lambda: report.viewed == report.readings or messages.gaps)
        finally:
            messages.stop()
            await viewing
        report.gaps = len(messages.gaps)


async def _soon(true: Callable[[], object]) -> None:
    """Wait for what the other side does. What has not come in time is found when the report is looked at."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _SECONDS
    while not true() and loop.time() < end:  # noqa: ASYNC110 - the sandbox has no event for it
        await asyncio.sleep(0.01)


def _compare(report: StreamsReport, weather: list[Record], found: dict[str, Any]) -> None:
    expected = [_reading(sensor, day) for sensor in _SENSORS for day in weather]
    report.landed = sum(one["id"] in found for one in expected)
    report.altered = sum(one["id"] in found and float(found[one["id"]]) != one["value"] for one in expected)
    report.judge(
        (report.acknowledged != report.readings, f"{report.acknowledged:,} of {report.readings:,} acknowledged"),
        (report.landed != report.readings, f"{report.readings - report.landed:,} acknowledged and lost"),
        (report.altered, f"{count(report.altered, 'reading')} not as in the file"),
        (not report.broken, "no connection was broken"),
        (report.viewed < report.readings and not report.gaps, "the viewer has missed some, and was told of no gap"),
    )


def lines(report: StreamsReport) -> Iterator[RenderableType]:
    """For the screen."""
    told = count(report.gaps, "gap") + " told" if report.gaps else "none was missed"
    rows = [
        (f"{len(_SENSORS)} sensors publish over MQTT", f"{report.acknowledged:,} of {report.readings:,} acknowledged"),
        ("the network breaks connections in the middle", f"{report.broken} of them"),
        ("a bridge delivers into Panoply", f"{report.landed:,} landed, {report.altered} altered, {report.again} twice"),
        ("somebody views by WebSocket", f"{report.viewed:,} of {report.readings:,}, {told}"),
    ]
    yield table(
        "TCUP: sensors, a bridge into Panoply, and a viewer, on a network that breaks", ("step", "result"), rows
    )


def last_word(report: StreamsReport) -> Verdict:
    """The verdict."""
    good = "no reading was lost over broken connections, and the viewer was told of its gaps"
    return Verdict("TCUP streams", report.ok, good if report.ok else "; ".join(report.wrong), report.seconds)
