"""Stream records into Panoply, here its sandbox: write, wait for a receipt, flush, and ask what landed."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path

from asyncconn import Hub, Panoply
from asyncconn.sandbox import Sandbox

WEATHER = Path(__file__).parent / "data" / "seattle-weather.csv"


async def main() -> None:
    rows = list(csv.DictReader(WEATHER.read_text(encoding="utf-8").splitlines()))
    async with Sandbox() as sandbox, Hub() as hub:
        account = sandbox.panoply
        panoply = Panoply(account.api_key, account.api_secret, hub=hub, endpoint_url=account.url)

        receipt = await panoply.write("weather", {"id": 0, "weather": "unknown"})
        await panoply.flush()
        delivery = await receipt
        print(f"the first record arrived in a batch of {delivery.records}")

        report = await panoply.write_many("weather", ({"id": i, **row} for i, row in enumerate(rows, start=1)))
        flushed = await panoply.flush()
        print(f"{report.records} more in {len(report.receipts)} batches; complete: {flushed.complete}")

        for row in account.sql("select weather, count(*) as days from weather group by weather order by days desc"):
            print(f"  {row['weather']:8} {row['days']:5}")


if __name__ == "__main__":
    asyncio.run(main())
