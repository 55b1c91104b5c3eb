"""Reads a station's CSV files over HTTP, a piece at a time, and knows where to go on.

The address serves ``stations.json``, a list of names, and for each station ``NAME-weather.csv`` (a row a day) and
``NAME-temps.csv`` (a row an hour).
"""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from asyncconn import Connector, Platform
from asyncconn.errors import Forbidden, NotFound, ProtocolError, Unauthorized
from asyncconn.panoply import DataSource, PanoplyException

__all__ = ["CONFIG", "Stream", "list_stations"]

FILES = {"daily": "weather", "hourly": "temps"}  # what the tables are called here, and the files there
BYTES_PER_ROW = 40  # about: to ask for as many bytes as there are rows wanted

Row = dict[str, Any]


class Weather(Connector):
    """The server of the files. As a connector it has retries, timeouts and the session of the run."""

    platform = Platform("weather")

    async def stations(self) -> list[str]:
        """The names of all stations."""
        names: list[str] = (await self.http.request("GET", "/stations.json")).json()
        return names

    async def piece(self, name: str, first: int, size: int) -> tuple[bytes, int]:
        """``size`` bytes of a file from ``first`` on (counted from 0), and how many the whole file has."""
        headers = {"Range": f"bytes={first}-{first + size - 1}"}
        answer = await self.http.request("GET", f"/{name}", headers=headers)
        if answer.status != 206:  # a server without ranges sends everything
            return answer.body[first : first + size], len(answer.body)
        found = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if found is None:
            raise ProtocolError(f"weather: {name} came in pieces without saying how long it is")
        return answer.body, int(found[1])


async def list_stations(source: Row) -> list[str]:
    """The stations to choose from, once the address is known."""
    async with Weather(base_url=source["url"]) as weather:
        return await weather.stations()


class Stream(DataSource):
    """Days into the table ``weather_daily``, hours into ``weather_hourly``.

    State: by file, the first byte that has not been read. So each station and table goes on by itself.
    """

    def __init__(self, source: Row, options: Row | None = None) -> None:
        super().__init__(source, options)
        source.setdefault("destination", "weather_{__table}")
        self._tables = list(source.get("tables") or FILES)
        if unknown := sorted(set(self._tables) - FILES.keys()):
            raise PanoplyException(f"there is no table {unknown[0]}: choose from {', '.join(FILES)}", retryable=False)
        self._at: dict[str, int] = dict(source.get("state") or {})
        self._files: dict[str, tuple[list[str], int]] = {}  # the columns, and the length in bytes
        self._weather: Weather | None = None

    async def read(self, n: int | None = None) -> list[Row] | None:
        """About ``n`` rows of one table."""
        if not self._tables:
            return None
        table = self._tables[0]
        name = f"{self.source['station']}-{FILES[table]}.csv"
        try:
            if name not in self._files:
                await self._begin(name)
            if self._at[name] >= self._files[name][1]:
                self.log("read to the end:", name)
                self._tables.pop(0)
                return []
            return await self._rows(table, name, (n or 1000) * BYTES_PER_ROW)
        except (NotFound, Forbidden, Unauthorized) as error:
            # Asking again would not help. Whatever else goes wrong is worth another try, which read gets by itself.
            raise PanoplyException(
                f"{name} cannot be had: the server answered {error.status}", retryable=False
            ) from error

    async def close(self) -> None:
        """Called at the end of a run, however it ends."""
        if self._weather is not None:
            await self._weather.aclose()

    async def _begin(self, name: str) -> None:
        if self._weather is None:
            self._weather = await Weather(hub=self.hub, base_url=self.source["url"]).open()
        piece, length = await self._weather.piece(name, 0, 4096)
        header = piece.partition(b"\n")[0]
        self._files[name] = header.decode().strip().split(","), length
        self._at.setdefault(name, len(header) + 1)

    async def _rows(self, table: str, name: str, size: int) -> list[Row]:
        assert self._weather is not None
        columns, length = self._files[name]
        first = self._at[name]
        piece, _ = await self._weather.piece(name, first, size)
        if first + len(piece) < length:
            piece = piece[: piece.rfind(b"\n") + 1]  # whole lines only
        after = first + len(piece)
        if after == first:
            raise PanoplyException(f"{name} has a line of more than {size} bytes", retryable=False)

        station, since, state_id = self.source["station"], self.source.get("since") or "", f"{name} {after}"
        rows = [
            {"id": f"{station} {row['date']}", "station": station, **row, "__table": table, "__state": state_id}
            for row in map(_typed, csv.DictReader(io.StringIO(piece.decode(), newline=""), columns))
            if row["date"] >= since
        ]
        self._at[name] = after  # last of all: a read that raises is called again, and must find the same place
        self.state(state_id, {name: after})
        self.progress(after, length, f"{table}: {after:,} of {length:,} bytes")
        return rows


def _typed(row: Row) -> Row:
    values = {name: text if name == "weather" else float(text) for name, text in row.items() if name != "date"}
    return {"date": row["date"].replace("/", "-"), **values}


CONFIG: dict[str, Any] = {
    "title": "Weather",
    "icon": (
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'%3E"
        "%3Ccircle cx='4.5' cy='4.5' r='4' fill='gold'/%3E%3C/svg%3E"
    ),
    "categories": ["Files"],
    "params": [
        {"name": "url", "title": "Address", "placeholder": "https://weather.example/data", "required": True},
        {
            "name": "station",
            "title": "Station",
            "type": "select",
            "dependencies": ["url"],
            "values": list_stations,
            "required": True,
        },
        {"name": "tables", "title": "Tables", "type": "list", "values": list(FILES), "help": "All, if none is chosen."},
        {
            "name": "since",
            "title": "First day",
            "placeholder": "2012-01-31",
            "help": "Rows of earlier days are left out.",
            "category": "advanced",
        },
    ],
}
