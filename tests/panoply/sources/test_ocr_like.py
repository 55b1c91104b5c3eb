"""A source of the original SDK that reads CSV files over HTTP, 200 rows at a time; its ``read`` takes no argument."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopback import Loopback, Reply, Seen

from asyncconn.panoply import SourceProgress, run_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from asyncconn import Panoply
    from asyncconn.sandbox import Sandbox

DATA = Path(__file__).parents[3] / "examples" / "data"
FILES = {"/weather.csv": DATA / "seattle-weather.csv", "/empty.csv": None, "/temps.csv": DATA / "seattle-temps.csv"}


def serve(seen: Seen) -> Reply:
    path = FILES[seen.path]
    body = b"date,temp\n" if path is None else path.read_bytes()
    return Reply(body=body, headers={"Content-Type": "text/csv", "Connection": "close"}, close=True)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


async def test_every_row_of_every_file_arrives_as_it_was(
    original: Callable[[str], ModuleType], panoply: Panoply, sandbox: Sandbox
) -> None:
    module = original("ocr_like")
    heard: list[Any] = []
    async with Loopback(otherwise=serve) as server:
        params = {"type": "figures", "urls": [server.url + path for path in FILES]}
        report = await run_source(
            module.Stream, params, {"logger": heard.append}, into=panoply, on_progress=heard.append
        )

    weather, temps = rows_of(DATA / "seattle-weather.csv"), rows_of(DATA / "seattle-temps.csv")
    landed = sandbox.panoply.sql("select * from figures order by rowid")
    shown = [{name: row[name] for name in row if row[name] is not None and name[:2] != "__"} for row in landed]
    assert sorted(shown, key=repr) == sorted([*weather, *temps], key=repr)
    assert report.complete
    assert report.reads == 8 + 44
    assert heard.count(SourceProgress(1461 + 8759, None, "", msg="10220 rows loaded")) == 1
    assert [one for one in heard if isinstance(one, tuple)] == [("opening", url) for url in params["urls"]]


async def test_the_end_stays_the_end_and_an_exhausted_file_gives_way_to_the_next(
    original: Callable[[str], ModuleType],
) -> None:
    module = original("ocr_like")
    async with Loopback(otherwise=serve) as server:
        source = module.Stream({"type": "figures", "urls": [f"{server.url}/empty.csv"]}, {"logger": lambda msgs: None})
        assert source.source["destination"] == "figures"
        assert await asyncio.to_thread(source.read) is None
        assert await asyncio.to_thread(source.read) is None

        source = module.Stream({"type": "figures", "urls": [server.url + path for path in FILES]}, {})
        sizes = [len(rows) async for rows in source]
        source.close()

    assert sizes == [200] * 7 + [61] + [200] * 43 + [159]
