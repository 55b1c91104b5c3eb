"""Tests of the source, as an author keeps them beside it: a server of its own, the sandbox as the warehouse."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from asyncconn import Hub, Panoply
from asyncconn.panoply import PanoplyException, ReadFailed, run_source
from asyncconn.sandbox import Sandbox
from weather_source import CONFIG, Stream

DATA = Path(__file__).parents[1] / "data"


class Server:
    """The real files of one station; ``answers`` are given first, ``asked`` are the paths and ranges."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[int] = []
        self.asked: list[tuple[str, str]] = []
        self.ranges = True

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/stations.json":
            return web.json_response(["seattle"])
        self.asked.append((request.path, request.headers.get("Range", "")))
        if self.answers and (status := self.answers.pop(0)) != 200:
            return web.Response(status=status)
        path = DATA / request.path.lstrip("/")
        if not path.is_file():
            return web.Response(status=404)
        return web.FileResponse(path) if self.ranges else web.Response(body=path.read_bytes())


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    app = web.Application()
    app.router.add_get("/{path:.*}", served.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


@pytest.fixture
def params(server: Server) -> dict[str, Any]:
    return {"type": "weather", "url": server.url, "station": "seattle"}


@asynccontextmanager
async def warehouse() -> AsyncIterator[tuple[Sandbox, Panoply]]:
    async with Sandbox() as sandbox, Hub() as hub:
        account = sandbox.panoply
        yield sandbox, Panoply(account.api_key, account.api_secret, endpoint_url=account.url, hub=hub)


async def read_all(source: Stream, n: int | None = None) -> list[dict[str, Any]]:
    found = []
    try:
        while (rows := await source.read(n)) is not None:
            found += rows
    finally:
        await source.close()
    return found


async def test_every_day_and_every_hour_lands_with_its_values(params: dict[str, Any]) -> None:
    async with warehouse() as (sandbox, panoply):
        report = await run_source(Stream, params, into=panoply)

        account = sandbox.panoply
        assert account.tables() == {"weather_daily": 1461, "weather_hourly": 8759}
        assert account.sql("select date, precipitation, temp_max, temp_min, wind, weather from weather_daily")[1] == {
            "date": "2012-01-02",
            "precipitation": 10.9,
            "temp_max": 10.6,
            "temp_min": 2.8,
            "wind": 4.5,
            "weather": "rain",
        }
        assert account.sql("select max(temp) as most from weather_hourly") == [{"most": 75.9}]
    assert report.complete


@pytest.mark.parametrize("n", [None, 10, 5000])
@pytest.mark.parametrize("ranges", [True, False])
async def test_pieces_of_any_size_make_the_same_rows(
    params: dict[str, Any], server: Server, ranges: bool, n: int | None
) -> None:
    server.ranges = ranges

    rows = await read_all(Stream({**params, "tables": ["daily"]}), n)

    assert len(rows) == len({row["id"] for row in rows}) == 1461


async def test_a_run_goes_on_where_the_last_one_was_stopped(
    params: dict[str, Any], server: Server, tmp_path: Path
) -> None:
    server.answers = [200] * 5 + [403]
    state = tmp_path / "weather.json"
    async with warehouse() as (sandbox, panoply):
        with pytest.raises(ReadFailed):
            await run_source(Stream, params, into=panoply, state=state, batch_size=100)
        first = sandbox.panoply.tables()["weather_daily"]
        at = json.loads(state.read_text())["state"]["seattle-weather.csv"]
        server.asked.clear()

        await run_source(Stream, params, into=panoply, state=state, batch_size=100)

        assert 0 < first < 1461
        assert server.asked[1] == ("/seattle-weather.csv", f"bytes={at}-{at + 3999}")
        assert sandbox.panoply.tables() == {"weather_daily": 1461, "weather_hourly": 8759}


async def test_a_server_that_fails_now_and_then_costs_no_row(params: dict[str, Any], server: Server) -> None:
    server.answers = [200, 503, 200, 500]

    rows = await read_all(Stream({**params, "tables": ["daily"]}), 500)

    assert len(rows) == 1461


async def test_a_station_that_is_not_there_is_not_asked_for_again(params: dict[str, Any], server: Server) -> None:
    async with warehouse() as (_, panoply):
        with pytest.raises(ReadFailed, match=r"atlantis-weather\.csv cannot be had: the server answered 404") as caught:
            await run_source(Stream, {**params, "station": "atlantis"}, into=panoply)

    assert caught.value.retryable is False
    assert len(server.asked) == 1


def test_a_table_that_is_not_there_is_refused_at_once(params: dict[str, Any]) -> None:
    with pytest.raises(PanoplyException, match="there is no table yearly: choose from daily, hourly") as caught:
        Stream({**params, "tables": ["yearly"]})

    assert caught.value.retryable is False


async def test_earlier_days_are_left_out(params: dict[str, Any]) -> None:
    rows = await read_all(Stream({**params, "since": "2015-12-30"}))

    assert [row["date"] for row in rows] == ["2015-12-30", "2015-12-31"]


async def test_it_says_how_far_it_is_and_what_it_did(params: dict[str, Any]) -> None:
    logged: list[Any] = []
    seen: list[Any] = []
    source = Stream({**params, "tables": ["daily"]}, {"logger": logged.append}).on("progress", seen.append)

    await read_all(source, 1000)

    assert logged == [("read to the end:", "seattle-weather.csv")]
    length = (DATA / "seattle-weather.csv").stat().st_size
    assert [(one["loaded"], one["total"]) for one in seen][-1] == (length, length)


async def test_the_stations_to_choose_from_are_asked_from_the_address(params: dict[str, Any]) -> None:
    station = next(param for param in CONFIG["params"] if param["name"] == "station")

    assert await station["values"](params) == ["seattle"]
    assert station["dependencies"] == ["url"]
