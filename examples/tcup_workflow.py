"""Two tasks in TCUP, one after the other: what the first writes the second reads, and the result comes back here.

The platform is the sandbox's, where tasks of Python really run. With your own: ``async with Tcup.from_env() as tcup``.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from asyncconn import Hub, OperationFailed, Tcup
from asyncconn.sandbox import Sandbox, TcupWorld
from asyncconn.tcup import Task

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


async def deployed(tcup: Tcup, program: Path, code: str, inputs: Path | None = None, arguments: list[str] = []) -> Task:
    """A task of the project "weather" that runs a program."""
    program.write_text(code)
    task = await tcup.tasks.create(project="weather", job=program.stem)
    await task.deploy(program, runtime="py", inputs=inputs, arguments=arguments, overwrite=True)
    return task


async def run(tcup: Tcup, folder: Path, word: str) -> str:
    """The mean of the days of such weather."""
    choose = await deployed(tcup, folder / "choose.py", CHOOSE, folder / "inputs", [word])
    mean = await deployed(tcup, folder / "mean.py", MEAN)
    await mean.link_files([(choose, "out.out")])
    flow = await tcup.workflows.create([(choose, mean)], name="mean", version="1")

    run = await flow.pre_initiate()  # a run is on copies of the tasks,
    await run.relink()  # which have no files of others until they are linked, too
    await run.initiate()
    async for state in run.states():
        print(f"  {state.status}: {len(state.executed_tasks)} of 2 tasks done")
    await run
    return (await (await run.task(mean)).download("out.out", folder / "mean.txt")).read_text().strip()


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "inputs").mkdir()
        shutil.copy(WEATHER, folder / "inputs")
        async with Sandbox(TcupWorld(), seed=1) as sandbox, Hub() as hub:
            tcup = Tcup(sandbox.tcup.url, sandbox.tcup.api_key, hub=hub)
            print("sunny days have", await run(tcup, folder, "sun"), "degrees")
            try:
                await run(tcup, folder, "hail")
            except OperationFailed as error:
                print("hail:", error.message)


if __name__ == "__main__":
    asyncio.run(main())
