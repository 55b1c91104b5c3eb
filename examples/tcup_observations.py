"""Four years of Seattle's weather as observations in TCUP: stored, what is refused told, read again as a frame.

The platform is the sandbox's. With your own: ``async with Tcup.from_env() as tcup``, and the rest as it is here.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asyncconn import Hub, Tcup
from asyncconn.sandbox import Sandbox, TcupWorld
from asyncconn.tcup import Sensor

WEATHER = Path(__file__).parent / "data" / "seattle-weather.csv"
STATION = Sensor.atomic("station", {"temp_max": ("quantity", "Cel"), "weather": "text"}, feature="Seattle")

Row = tuple[str, dict[str, Any], str, datetime]


def days() -> Iterator[Row]:
    """Sensor, values, feature, time; and in the end a day of a sensor that nobody has registered."""
    with WEATHER.open(newline="") as stream:
        for day in csv.DictReader(stream):
            values = {"temp_max": float(day["temp_max"]), "weather": day["weather"]}
            yield "station", values, "Seattle", datetime.strptime(day["date"], "%Y/%m/%d").replace(tzinfo=UTC)
    yield "nobody", {"temp_max": 20.0}, "Seattle", datetime(2016, 1, 1, tzinfo=UTC)


async def main() -> None:
    async with Sandbox(TcupWorld(), seed=1) as sandbox, Hub() as hub:
        tcup = Tcup(sandbox.tcup.url, sandbox.tcup.api_key, hub=hub)
        await tcup.sensors.create(STATION)

        report = await tcup.observations.insert_many(days())
        print(f"{report.delivered} stored, {report.rejected} refused")
        for sensor, values, *_ in (one.record for one in report.rejections):
            print(f"  refused: {values} of {sensor}")

        hot = tcup.observations.query(sensor="station", where="temp_max>33", start=datetime(2015, 1, 1, tzinfo=UTC))
        frame = await hot.frame(pivot=True)
        print(frame[["starttime", "temp_max", "weather"]].to_string(index=False))

        [newest] = [row for row in await tcup.observations.latest(sensor="station") if row["name"] == "weather"]
        print(f"on {newest['starttime']:%d %B %Y}: {newest['value']}")


if __name__ == "__main__":
    asyncio.run(main())
