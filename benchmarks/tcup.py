"""TCUP's observations out and in: JSON to a typed frame beside json_normalize, ``insert_many`` beside a bare loop.

``python -m benchmarks.tcup json_normalize|orjson|msgspec ROWS`` and ``python -m benchmarks.tcup bare|insert_many ROWS
URL``. The figure is ``cpu_us`` a row. All frames are alike: a row for each output, times aware, values typed.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pandas as pd

from asyncconn import Hub
from asyncconn.http.response import Response
from asyncconn.tcup import Tcup
from asyncconn.tcup.resources.query import Rows
from benchmarks.instructions import counting
from benchmarks.measure import Figures, cpu_seconds, report

PAGE, CHUNK = 10_000, 500  # observations of an answer, and of an insert
PATH = "/api/sos/v2.0/observations"
OUTPUTS = [("temperature", "Cel"), ("humidity", "%"), ("wind", "m/s"), ("rain", "mm")]
EPOCH = datetime(2026, 1, 5, tzinfo=UTC)


def observations(count: int, outputs: int = 1) -> list[dict[str, Any]]:
    """As SOS has them: each of one record with some outputs."""
    return [
        {
            "sensor": f"ts{number % 50}",
            "feature": "tf1",
            "record": [
                {
                    "starttime": (EPOCH + timedelta(seconds=number)).strftime("%d-%b-%Y %H:%M:%S.000 UTC").upper(),
                    "output": [
                        {"name": name, "value": f"{20 + number % 97 / 10}", "type": "quantity", "unit": unit}
                        for name, unit in OUTPUTS[:outputs]
                    ],
                }
            ],
        }
        for number in range(count)
    ]


def chunks(rows: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def normalized(bodies: list[bytes]) -> pd.DataFrame:
    """What a user of pandas writes."""
    found = [one for body in bodies for one in orjson.loads(body)["observations"]]
    frame = pd.json_normalize(found, ["record", "output"], ["sensor", "feature", ["record", "starttime"]])
    times = pd.to_datetime(frame.pop("record.starttime"), format="%d-%b-%Y %H:%M:%S.%f UTC", utc=True)
    return frame.assign(starttime=times, value=pd.to_numeric(frame["value"]))


def queried(bodies: list[bytes]) -> pd.DataFrame:
    """What a query makes of them, as if they came from SOS one after the other."""

    async def ask(cursor: Any) -> Response:
        return Response("tcup", "GET", PATH, 200, {"Content-Type": "application/json"}, bodies[int(cursor or 0)])

    return asyncio.run(Rows(ask).frame())


def frame(peer: str, count: int) -> Figures:
    """Answers in memory, to a frame."""
    if peer == "orjson":
        sys.modules["msgspec"] = None  # type: ignore[assignment] # as if it were not installed
    made_of = normalized if peer == "json_normalize" else queried
    pages = chunks(observations(count), PAGE)
    bodies = [
        orjson.dumps({"version": "1.0.1", "observations": page, "next": None if page is pages[-1] else str(number)})
        for number, page in enumerate(pages, 1)
    ]
    made_of(bodies[-1:])
    before = cpu_seconds()
    with counting(count):
        made = made_of(bodies)
    used = cpu_seconds() - before
    if len(made) != count or abs(made["value"].mean() - 24.8) > 0.1 or made["starttime"].iloc[-1].tzinfo is None:
        raise RuntimeError(f"not the frame of these observations:\n{made}")
    return {"cpu_us": used / count * 1e6}


async def insert(peer: str, count: int, url: str) -> Figures:
    """Observations in memory, to SOS and what it says of each."""
    rows = observations(count, len(OUTPUTS))
    async with Hub(proxy="") as hub:
        tcup = Tcup(url, "key", hub=hub)
        await tcup.observations.insert_many(rows[:CHUNK])
        session = hub.session
        headers = {"x-api-key": "key", "Content-Type": "application/json"}

        async def bare() -> int:
            stored = 0
            for some in chunks(rows, CHUNK):
                body = orjson.dumps({"version": "1.0.1", "observations": some})
                async with session.post(url + PATH, data=body, headers=headers) as response:
                    stored += orjson.loads(await response.read())["code"] == 201 and len(some)
            return stored

        async def ours() -> int:
            return (await tcup.observations.insert_many(rows)).delivered

        before = cpu_seconds()
        with counting(count):
            stored = await (bare if peer == "bare" else ours)()
        used = cpu_seconds() - before
    if stored != count:
        raise RuntimeError(f"{stored} of {count} observations were stored")
    return {"cpu_us": used / count * 1e6}


def main() -> None:
    peer, count = sys.argv[1], int(sys.argv[2])
    report(frame(peer, count) if len(sys.argv) == 3 else asyncio.run(insert(peer, count, sys.argv[3])))


if __name__ == "__main__":
    main()
