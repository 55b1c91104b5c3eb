"""Run a data source into Panoply, here its sandbox; stop it half-way, run it again, and see that every row landed."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from aiohttp import web
from weather_source import Stream

from asyncconn import Hub, Panoply
from asyncconn.panoply import SourceProgress, StateFile, run_source
from asyncconn.sandbox import Sandbox

DATA = Path(__file__).parent / "data"


async def serve() -> tuple[web.AppRunner, str]:
    """The files of the weather, on a free port."""
    app = web.Application()
    app.router.add_static("/", DATA)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def main() -> None:
    runner, url = await serve()
    params = {"type": "weather", "url": url, "station": "seattle"}
    with tempfile.TemporaryDirectory() as folder:
        state = StateFile(Path(folder) / "weather.json")
        async with Sandbox() as sandbox, Hub() as hub:
            account = sandbox.panoply
            panoply = Panoply(account.api_key, account.api_secret, endpoint_url=account.url, hub=hub)

            half_way = asyncio.Event()

            def watch(now: SourceProgress) -> None:
                if now.msg.startswith("hourly") and now.total and now.done > now.total / 2:
                    half_way.set()

            first = asyncio.create_task(
                run_source(Stream, params, into=panoply, state=state, batch_size=200, on_progress=watch)
            )
            await half_way.wait()
            first.cancel()
            await asyncio.wait({first})
            print("stopped half-way:", account.tables())
            print("saved:", (await state.load()).state)

            report = await run_source(Stream, params, into=panoply, state=state, batch_size=200)
            print(f"resumed: {report.rows} more rows; complete: {report.complete}")
            print("landed:", account.tables())
            print(account.sql("select weather, count(*) as days from weather_daily group by weather order by days"))
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
