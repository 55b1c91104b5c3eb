"""``asyncconn tcup workflow``: tasks that run one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn.cli.options import Output, group
from asyncconn.cli.output import error, plain, progress, remark, stderr
from asyncconn.cli.sheets import Sheet, record
from asyncconn.cli.tcup.common import Where
from asyncconn.cli.tcup.pairs import Pair, pairs_of
from asyncconn.cli.tcup.task import Timeout

if TYPE_CHECKING:
    from asyncconn import Tcup
    from asyncconn.tcup import Run, RunState, Task

__all__ = ["workflow"]

_FLOW = ("processDefinitionId", "processName", "processVersion", "projectId", "recoveryMode", "links")
_RUN = (
    "processInstanceId", "processDefinitionId", "status", "startedOn", "endedOn",
    "executedTasks", "runningTasks", "pendingTasks", "failedTasks",
)  # fmt: skip
_EVENT = ("time", "event", "taskId", "baseTaskId", "attempt", "message")
_TASK = ("task", "id", "status", "exitCode", "message")

Id = Annotated[str, typer.Argument(metavar="RUN", help="The id of a run, as 'run' and 'runs' tell it.")]


def list_(where: Where, to: Output) -> None:
    """List the workflows."""

    async def work(tcup: Tcup) -> list[list[Any]]:
        return [record(one.definition, _FLOW) async for one in tcup.workflows.list()]

    shown = {"id": "processDefinitionId", "name": "processName", "version": "processVersion", "project": "projectId"}
    to.put(Sheet("workflow", _FLOW, where.run(work), shown))


def run(
    where: Where,
    to: Output,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV or JSON: source, destination, file; - is standard input.")
    ],
    project: Annotated[str, typer.Option("--project", metavar="NAME", help="Whose tasks, by its name or id.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What the workflow is called.")],
    version: Annotated[str, typer.Option("--flow-version", metavar="WORD", help="And which it is.")] = "1",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until it has ended.")] = True,
    timeout: Timeout = None,
) -> None:
    """Run a workflow of pairs of tasks, which is made unless it is there, and show how each of its tasks ended.

    Each line of FILE is a pair: the task 'destination' runs after 'source', both by name or id. Where it has a 'file',
    an output of source, that is there for destination to read. It prints the id of the run on standard error.

    Status: 0 it is completed, 1 it has ended otherwise, 2 bad input.
    """
    pairs = pairs_of(file)

    async def work(tcup: Tcup) -> tuple[RunState, list[list[Any]]]:
        tasks = await _tasks(tcup, project, pairs)
        for pair in pairs:
            if pair.file:
                await tasks[pair.destination].link_files([(tasks[pair.source], pair.file)])
        flow = await tcup.workflows.create(
            [(tasks.get(one.source, one.source), tasks.get(one.destination, one.destination)) for one in pairs],
            name=name, version=version,
        )  # fmt: skip
        begun = await flow.pre_initiate()
        remark(f"run {begun.id}")
        if any(task.links for task in tasks.values()):
            await begun.relink()
        await begun.initiate()
        state = await _ended(begun, timeout) if wait else begun.state
        return state, await _copies(tcup, begun, tasks)

    state, rows = where.run(work)
    to.put(Sheet("task", _TASK, rows))
    _settle(state)


async def _tasks(tcup: Tcup, project: str, pairs: list[Pair]) -> dict[str, Task]:
    """The tasks of the pairs by what they are called there."""
    names = dict.fromkeys(one for pair in pairs for one in (pair.source, pair.destination))
    return {name: await tcup.tasks.get(project, name) for name in names if name not in ("start", "end")}


async def _copies(tcup: Tcup, begun: Run, tasks: dict[str, Task]) -> list[list[Any]]:
    """How the copy of each task is now."""
    states = [(task.job_name, (await begun.task(task)).state) for task in tasks.values()]
    return [[name, one.job_id, one.status, one.exit_code, one.message] for name, one in states]


async def _ended(begun: Run, timeout: float | None) -> RunState:
    """How it ended; its tasks are counted meanwhile."""
    with progress(stderr()) as bar:
        shown = bar.add_task(f"run {plain(begun.id)}", total=None, note=str(begun.status).lower())
        async for state in begun.states(deadline=timeout):
            done = len(state.executed_tasks)
            every = done + len(state.running_tasks) + len(state.pending_tasks) + len(state.failed_tasks)
            bar.update(shown, completed=done, total=every, note=str(state.status).lower())
        return begun.state


def _settle(state: RunState) -> None:
    """Say how a run stands, and end with 1 if that is an end, and not the right one."""
    words = plain(f"run {state.process_instance_id} is {state.status}")
    if state.status.final and state.status != "COMPLETED":
        failed = ", ".join(state.failed_tasks)
        error(plain(f"{words}: {failed} failed" if failed else words))
        raise typer.Exit(1)
    remark(words)


def runs(
    where: Where,
    to: Output,
    flow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="The id of a workflow, as 'list' tells it.")],
) -> None:
    """List the runs of a workflow."""

    async def work(tcup: Tcup) -> list[list[Any]]:
        found = await tcup.workflows.get(flow)
        return [record(one.state, _RUN) async for one in found.runs()]

    shown = {"run": "processInstanceId", "status": "status", "began": "startedOn", "ended": "endedOn"}
    to.put(Sheet("run", _RUN, where.run(work), shown))


def wait(where: Where, run: Id, timeout: Timeout = None) -> None:
    """Wait until a run has ended. Status: 0 it is completed, 1 it has ended otherwise, 2 bad input."""

    async def work(tcup: Tcup) -> RunState:
        return await _ended(await tcup.workflows.run(run), timeout)

    _settle(where.run(work))


def history(where: Where, to: Output, run: Id) -> None:
    """Show what happened to a run and its tasks, the oldest first."""

    async def work(tcup: Tcup) -> list[list[Any]]:
        found = await tcup.workflows.run(run)
        return [record(one, _EVENT) for one in await found.history().collect()]

    to.put(Sheet("event", _EVENT, where.run(work)))


def abort(where: Where, run: Id) -> None:
    """End a run; its tasks that run are stopped."""
    _act(where, run, "abort")


def recover(where: Where, run: Id) -> None:
    """Go on with a run that failed or was aborted, where the workflow's recovery mode is on."""
    _act(where, run, "recover")


def _act(where: Where, run: str, verb: str) -> None:
    async def work(tcup: Tcup) -> RunState:
        found = await tcup.workflows.run(run)
        await getattr(found, verb)()
        return found.state

    remark(plain(f"run {run} is {where.run(work).status}"), result=True)


workflow = group("Workflows: tasks that run one after the other.", list_, run, runs, wait, history, abort, recover)
