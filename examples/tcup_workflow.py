"""Two tasks in TCUP, one after the other: what the first writes the second reads, and the result comes back here.

The platform is the sandbox's, where tasks of Python really run. With your own: ``async with Tcup.from_env() as tcup``.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from asyncconn import Hub, Tcup
from asyncconn.errors import OperationFailed
from asyncconn.sandbox import Sandbox, TcupWorld

WEATHER = Path(__file__).parent / "data" / "seattle-weather.csv"

CHOOSE = """
import csv, sys
for day in csv.DictReader(open("seattle-weather.csv", newline="")):
    if day["weather"] == sys.argv[1]:
        print(day["temp_max"])
"""
MEAN = """
from statistics import fmean
print(round(fmean(map(float, open("out.out"))), 2))
"""


def prepare(folder: Path) -> None:
    """The two programs, and what the first one reads."""
    (folder / "choose.py").write_text(CHOOSE)
    (folder / "mean.py").write_text(MEAN)
    (folder / "inputs").mkdir()
    shutil.copy(WEATHER, folder / "inputs")


async def mean_of(word: str, tcup: Tcup, folder: Path) -> Path:
    """A file with the mean temperature of the days of such weather."""
    choose = await tcup.tasks.create(project="weather", job="choose")
    await choose.deploy(folder / "choose.py", runtime="py", inputs=folder / "inputs", arguments=[word], overwrite=True)
    mean = await tcup.tasks.create(project="weather", job="mean")
    await mean.deploy(folder / "mean.py", runtime="py", overwrite=True)
    await mean.link_files([(choose, "out.out")])
    flow = await tcup.workflows.create([(choose, mean)], name="mean", version="1")

    run = await flow.pre_initiate()  # a run is on copies of the tasks,
    await run.relink()  # which have no files of others until they are linked, too
    await run.initiate()
    async for state in run.states():
        print(f"  {state.status}: {len(state.executed_tasks)} of 2 tasks done")
    await run
    return await (await run.task(mean)).download("out.out", folder / f"{word}.txt")


async def main(folder: Path) -> None:
    async with Sandbox(TcupWorld(), seed=1) as sandbox, Hub() as hub:
        tcup = Tcup(sandbox.tcup.url, sandbox.tcup.api_key, hub=hub)
        await mean_of("sun", tcup, folder)
        try:
            await mean_of("hail", tcup, folder)
        except OperationFailed as error:
            print("hail:", error.message)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        asyncio.run(main(Path(name)))
        print("sunny days have", (Path(name) / "sun.txt").read_text().strip(), "degrees")
