"""A connector and its program, for a platform with pages, exports and points: ``acme.py read | write FILE | plan``."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

from asyncconn import Batch, Connector, Pager, Platform, TokenAuth, Window, batched, read_rows, save_rows


class Acme(Connector):
    platform = Platform("acme", rates=Window(20, 1.0), error_at="error", did_nothing={503})

    def series(self) -> Pager[Any]:
        return self.http.pages("/v1/series", items="data", next="next_cursor", param="cursor")

    async def export(self) -> AsyncIterator[dict[str, Any]]:
        job = await self.http.call("POST", "/v1/exports", json={})
        job = await self.http.poll(f"/v1/exports/{job['id']}", until={"status": "DONE"}, minimum=0.2, deadline=60.0)
        async for row in self.http.rows(job["file"]):
            yield row

    @batched(max_items=500, max_bytes=256 * 1024, envelope=20)
    async def points(self, batch: Batch[Any]) -> None:
        answer = await self.http.call("POST", "/v1/points", json={"points": batch.items})
        for point, result in zip(batch.items, answer["results"], strict=True):
            if result["status"] == "busy":
                batch.again(point)
            elif result["status"] == "rejected":
                batch.reject(point, result["error"])


async def main(command: str, *args: str) -> None:
    async with Acme(base_url=os.environ["ACME_URL"], auth=TokenAuth(os.environ["ACME_TOKEN"])) as acme:
        if command == "read":
            await asyncio.gather(save_rows("series.jsonl", acme.series()), save_rows("export.jsonl", acme.export()))
        elif command == "write":
            for refused in (await acme.points.deliver(read_rows(*args))).rejections:
                print("rejected", refused.record["id"], refused.reason)
        else:
            print(await acme.http.call("GET", "/v1/plan"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
