"""All jobs of a Datorama account in one frame, the failed ones queued again: 300 streams under the cap.

With a token of your own: `async with Datorama.from_env() as datorama`, and the rest as it is here.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from asyncconn import Datorama, Hub, VirtualClock
from asyncconn.sandbox import DatoramaWorld, Sandbox

if TYPE_CHECKING:
    from asyncconn.datorama import BulkProgress

clock = VirtualClock()  # the minutes that the cap takes pass at once


def show(now: BulkProgress) -> None:
    if now.done and now.done % 100 == 0 and now.seconds_left is not None:
        print(f"  {now.done} of {now.total} {now.what}, about {now.seconds_left / 60:.0f} min left")


async def main() -> None:
    world = DatoramaWorld(workspaces=3, streams=300, file_every=0, seed=1)
    async with Sandbox(world, clock=clock) as sandbox, Hub(clock=clock) as hub:
        datorama = Datorama(sandbox.datorama.token, base_url=sandbox.url, hub=hub)

        jobs = await datorama.fetch_all_jobs(on_progress=show)
        frame = jobs.frame()
        print(f"{len(frame)} jobs of {frame['streamId'].nunique()} streams after {clock.now() / 60:.0f} minutes")
        print(frame["status"].value_counts().to_string())

        failed = frame[frame["status"] == "FAILURE"]
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "rerun.csv"
            again = await datorama.rerun(list(failed["streamId"]), list(failed["id"]), wait=True, log=log)
            print(f"{len(again)} failed jobs queued again: {len(again.ok)} went well now, {len(again.failed)} did not")
            print(f"{len(log.read_text().splitlines()) - 1} lines in the log")

        print(f"{sandbox.datorama.counters.platform} calls, {sandbox.datorama.refused} of them refused")


if __name__ == "__main__":
    clock.run(main())
