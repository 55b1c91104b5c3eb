"""``asyncconn tcup task``: code that runs on the platform."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asyncconn.cli.options import Output, group
from asyncconn.cli.output import error, plain, progress, remark, stderr
from asyncconn.cli.running import advancing
from asyncconn.cli.sheets import Sheet, record
from asyncconn.cli.tcup.common import Where, moment
from asyncconn.errors import ConfigError

if TYPE_CHECKING:
    from asyncconn import Tcup
    from asyncconn.tcup import OutputFile, Task, TaskState

__all__ = ["task"]

_TASK = (
    "jobId", "jobName", "projectId", "jobType", "status", "runTime", "runs", "exitCode", "startedOn", "endedOn",
    "schedule", "message",
)  # fmt: skip

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="The project, by its name or id.")]
Job = Annotated[str, typer.Argument(metavar="TASK", help="The task, by its name or id.")]
Timeout = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="How long to wait; else a day.")]


def list_(
    where: Where,
    to: Output,
    project: Project,
    status: Annotated[str | None, typer.Option("--status", metavar="WORD", help="Such as FAILED.")] = None,
) -> None:
    """List the tasks of a project."""

    async def work(tcup: Tcup) -> list[list[Any]]:
        return [record(one.state, _TASK) async for one in tcup.tasks.list(project, status=status)]

    shown = {"id": "jobId", "task": "jobName", "kind": "jobType", "status": "status", "ended": "endedOn"}
    to.put(Sheet("task", _TASK, where.run(work), shown))


def create(
    where: Where,
    project: Project,
    job: Job,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="It runs once, then.")] = None,
    cron: Annotated[str | None, typer.Option("--cron", metavar="FIELDS", help="Again and again: '0 4 * * *'.")] = None,
) -> None:
    """Make a task, and its project, unless they are there; it prints its id. It runs what is deployed to it.

    The clock of --at and --cron is that of --time-zone, of --cron else UTC.
    """
    if at is not None and cron is not None:
        raise ConfigError("give --at or --cron, not both")
    when = moment(at, "--at")

    async def work(tcup: Tcup) -> Task:
        named: dict[str, Any] = {"project": project, "job": job}
        if when is not None:
            return await tcup.tasks.delayed(when, **named)
        if cron is not None:
            zone = where.time_zone or "UTC"
            return await tcup.tasks.recurrent(pattern="expression", cron=cron, time_zone=zone, **named)
        return await tcup.tasks.create(**named)

    print(where.run(work).job_id)


def deploy(
    where: Where,
    project: Project,
    job: Job,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What it runs.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARGUMENT]...", help="What it is called with.")
    ] = None,
    runtime: Annotated[str, typer.Option("--runtime", metavar="WORD", help="java, cpp, c, py, js or spark.")] = "py",
    inputs: Annotated[
        Path | None, typer.Option("--inputs", metavar="PATH", help="Its files: a folder, which is zipped, or a zip.")
    ] = None,
    dependencies: Annotated[
        Path | None, typer.Option("--dependencies", metavar="PATH", help="What it needs: a folder, or a zip.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is deployed.")] = False,
) -> None:
    """Send what a task runs; the task is made unless it is there."""

    async def work(tcup: Tcup) -> TaskState:
        with progress(stderr()) as bar:
            made = await tcup.tasks.create(project=project, job=job)
            return await made.deploy(
                file, runtime=runtime, inputs=inputs, dependencies=dependencies, arguments=arguments or (),
                overwrite=overwrite, on_progress=advancing(bar, f"deploying {plain(file.name)}"),
            )  # fmt: skip

    state = where.run(work)
    remark(plain(f"{job} is {state.status}"), result=True)


def start(
    where: Where,
    project: Project,
    job: Job,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended.")] = False,
    timeout: Timeout = None,
) -> None:
    """Run a task. Status: 0 all ok, 1 it failed, 2 bad input."""

    async def work(tcup: Tcup) -> TaskState:
        found = await tcup.tasks.get(project, job)
        await found.start()
        return await _ended(found, timeout) if wait else found.state

    _tell(job, where.run(work))


def wait(where: Where, project: Project, job: Job, timeout: Timeout = None) -> None:
    """Wait until a task has ended. Status: 0 it is completed, 1 it has ended otherwise, 2 bad input."""

    async def work(tcup: Tcup) -> TaskState:
        return await _ended(await tcup.tasks.get(project, job), timeout)

    _tell(job, where.run(work))


async def _ended(task: Task, timeout: float | None) -> TaskState:
    """How it ended; its status is seen meanwhile."""
    with progress(stderr()) as bar:
        shown = bar.add_task(plain(task.job_name), total=None, note=str(task.status).lower())
        async for state in task.states(deadline=timeout):
            bar.update(shown, note=str(state.status).lower())
        return task.state


def _tell(job: str, state: TaskState) -> None:
    words = plain(f"{job} is {state.status}")
    if state.status.final and state.status != "COMPLETED":
        why = state.message or ("" if state.exit_code is None else f"exit code {state.exit_code}")
        error(plain(f"{words}: {why}" if why else words))
        raise typer.Exit(1)
    remark(words, result=True)


def stop(where: Where, project: Project, job: Job) -> None:
    """End the run of a task that is under way."""

    async def work(tcup: Tcup) -> TaskState:
        found = await tcup.tasks.get(project, job)
        await found.stop()
        return found.state

    remark(plain(f"{job} is {where.run(work).status}"), result=True)


def logs(
    where: Where,
    project: Project,
    job: Job,
    stderr: Annotated[bool, typer.Option("--stderr", help="What it writes to standard error.")] = False,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Until the task has ended.")] = True,
) -> None:
    """Show what a task writes, while it writes it."""

    async def work(tcup: Tcup) -> None:
        found = await tcup.tasks.get(project, job)
        async for line in found.logs("stderr" if stderr else "stdout", follow=follow and found.status.active):
            # As it is, but for what could move the cursor.
            print("".join(one if one.isprintable() or one == "\t" else " " for one in line), flush=True)

    where.run(work)


def outputs(
    where: Where,
    to: Output,
    project: Project,
    job: Job,
    folder: Annotated[Path | None, typer.Option("--folder", metavar="DIR", help="Save them there, too.")] = None,
) -> None:
    """List the files that a task has produced."""
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}")

    async def work(tcup: Tcup) -> list[OutputFile]:
        found = await tcup.tasks.get(project, job)
        files = await found.outputs().collect()
        with progress(stderr()) as bar:
            for name in [] if folder is None else [one.file_name for one in files]:
                await found.download(name, folder or "", on_progress=advancing(bar, plain(name)))
        return files

    rows = [record(one, ("fileName", "sizeBytes")) for one in where.run(work)]
    to.put(Sheet("file", ("fileName", "sizeBytes"), rows, {"file": "fileName", "bytes": "sizeBytes"}))


def delete(where: Where, project: Project, job: Job) -> None:
    """Delete a task."""

    async def work(tcup: Tcup) -> None:
        await (await tcup.tasks.get(project, job)).delete()

    where.run(work)
    remark(plain(f"{job} is deleted"), result=True)


task = group("Tasks: code that runs on the platform.", list_, create, deploy, start, wait, stop, logs, outputs, delete)
