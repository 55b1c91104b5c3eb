"""What the spool costs beside the memory buffer, in front of the same sink.

``python -m benchmarks.spool STORE-HOW URL RECORDS``: STORE is ``memory``, ``kill`` (a spool without fsync, for
kill -9) or ``power`` (with fsync); HOW is ``many`` (write_many), ``tasks`` (write, by 100 tasks) or ``one`` (by one
task). Figures: ``per_s`` records written and answered, ``cpu_us`` of CPU a record, ``commits`` for 1,000 records.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from asyncconn import Hub, Panoply
from asyncconn.core.buffer.spool import Spool
from benchmarks.measure import report
from benchmarks.writer import KEY, SECRET, TABLE, Watch, records

if TYPE_CHECKING:
    from benchmarks.measure import Figures
    from benchmarks.writer import Record

TASKS = 100
BATCH = 1_000


async def measured(spool: Spool | None, how: str, url: str, rows: list[Record]) -> Figures:
    async with Hub(proxy="") as hub:
        panoply = Panoply(KEY, SECRET, hub=hub, endpoint_url=url, spool=spool)
        await panoply.write(TABLE, rows[0])
        await panoply.flush()

        async def write(some: list[Record]) -> None:
            for row in some:
                await panoply.write(TABLE, row)

        watch = Watch()
        if how == "many":
            for start in range(0, len(rows), BATCH):
                await panoply.write_many(TABLE, rows[start : start + BATCH])
        elif how == "tasks":
            await asyncio.gather(*[write(rows[number::TASKS]) for number in range(TASKS)])
        else:
            await write(rows)
        await panoply.flush()
        figures = watch.figures(len(rows))
        figures["commits"] = spool.stats.commits / len(rows) * 1000 if spool is not None else 0.0
    if panoply.stats.delivered != len(rows) + 1:
        raise RuntimeError(f"records are missing: {panoply.stats}")
    return figures


def main() -> None:
    peer, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    store, _, how = peer.partition("-")
    with tempfile.TemporaryDirectory() as folder:
        spool = None if store == "memory" else Spool(Path(folder) / "bench.spool", fsync=store == "power")
        report(asyncio.run(measured(spool, how, url, records(count))))


if __name__ == "__main__":
    main()
