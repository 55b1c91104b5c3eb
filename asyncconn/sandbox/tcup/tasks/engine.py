"""What makes tasks run: a queue, workers, schedules, and the transitions between states.

Contract: tcup sections 7.4 to 7.6, 13.17, 13.30 and 13.39.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING

from asyncconn.sandbox.tcup.contents import stored
from asyncconn.sandbox.tcup.tasks.jobs import ACTIVE, ENDED, Project, Task
from asyncconn.sandbox.tcup.tasks.runs import Outcome, Process, Program, Simulated
from asyncconn.sandbox.tcup.voice import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncconn.sandbox.tcup.tasks.jobs import Deployed, ExternalFile
    from asyncconn.sandbox.tcup.tasks.schedules import Schedule
    from asyncconn.sandbox.tcup.timers import Timers

__all__ = ["Engine"]

#: From which states a verb leads on.
_FROM: dict[str, frozenset[str]] = {
    "start": frozenset({"DEPLOYED", "SCHEDULED"}),
    "pause": frozenset({"RUNNING"}),
    "resume": frozenset({"PAUSED"}),
    "stop": ACTIVE,
    "cancel": frozenset({"SCHEDULED", "QUEUED"}),
    "restart": ENDED,
}


class Engine:
    """A tenant's projects and tasks, by id.

    ``workers`` programs run at once, each for ``limit_seconds`` at most; a simulated run takes ``run_seconds`` of the
    world's clock and ends with the next of ``exit_codes`` of its task's name, else with 0. ``on_end`` hears of every
    run's end.
    """

    def __init__(self, timers: Timers) -> None:
        self.timers = timers
        self.projects: dict[str, Project] = {}
        self.tasks: dict[str, Task] = {}
        self.workers = 4
        self.limit_seconds = 10.0
        self.run_seconds = 0.05
        self.exit_codes: Mapping[str, Sequence[int]] = {}
        self.on_end: list[Callable[[Task], None]] = []
        self._ids: Counter[str] = Counter()
        self._ended_runs: Counter[str] = Counter()
        self._queue: deque[Task] = deque()
        self._processes: set[Process] = set()
        self._reaping: set[asyncio.Task[None]] = set()
        self._pumping = False

    def next_id(self, letter: str) -> str:
        """One that nothing has."""
        self._ids[letter] += 1
        return f"{letter}{self._ids[letter]}"

    def add(self, task: Task) -> Task:
        """It is there from now on."""
        self.tasks[task.id] = task
        self.projects[task.project_id].tasks[task.id] = task
        return task

    def remove(self, task: Task) -> None:
        """It is there no more; a run of it is stopped."""
        self._disarm(task)
        if task.status in ACTIVE:
            self._stop(task)
            self._leave(task, "STOPPED")
        del self.tasks[task.id], self.projects[task.project_id].tasks[task.id]

    # -- what is asked of a task ---------------------------------------------------------------------------------------

    def do(self, verb: str, task: Task) -> None:
        """One of the six verbs. Raises 409 where the state forbids it."""
        if task.status not in _FROM[verb]:
            raise Refused(409, f"cannot {verb} a {task.status} task")
        match verb:
            case "start" | "restart":
                self.begin(task)
            case "pause":
                task.status = "PAUSED"
                if task.run is not None:
                    task.run.pause()
            case "resume":
                task.status = "RUNNING"
                if task.run is not None:
                    task.run.resume()
            case "stop":
                self._disarm(task)
                self._stop(task)
                self._leave(task, "STOPPED")
            case "cancel":
                self._disarm(task)
                self._stop(task)
                self._leave(task, "CANCELLED")

    def deploy(self, task: Task, deployed: Deployed) -> None:
        """It can be run from now on; one with a schedule waits for its time."""
        task.deployed = deployed
        self.ready(task)

    def reschedule(self, task: Task, schedule: Schedule) -> None:
        """It is to run by this schedule, and by no other."""
        task.schedule, task.type, task.counted = schedule, schedule.job_type, 0
        if task.deployed is not None:
            self.ready(task)

    def ready(self, task: Task) -> None:
        """Into the state after deployment."""
        self._disarm(task)
        task.status = "DEPLOYED"
        if task.schedule is not None:
            self._arm(task, task.schedule)

    def begin(self, task: Task) -> None:
        """Into the queue; it starts a moment later."""
        if task.timer is not None:
            task.timer.cancel()
        task.status, task.message, task.exit_code = "QUEUED", "", None
        task.started = task.ended = None
        self._queue.append(task)
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    async def close(self) -> None:
        """End every program; returns when none is left."""
        self.timers.close()
        self._queue.clear()
        processes = list(self._processes)
        for process in processes:
            process.stop()
        await asyncio.gather(*(process.wait() for process in processes))
        await asyncio.gather(*self._reaping)

    # -- schedules -----------------------------------------------------------------------------------------------------

    def _arm(self, task: Task, schedule: Schedule) -> None:
        task.status, task.armed = "SCHEDULED", True
        due = schedule.next_after(self.timers.clock.utcnow())
        task.timer = self.timers.at(due, lambda: self.begin(task))

    def _disarm(self, task: Task) -> None:
        task.armed = False
        if task.timer is not None:
            task.timer.cancel()
            task.timer = None

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        self._pumping = False
        for _ in range(len(self._queue)):
            task = self._queue.popleft()
            if task.deployed is None or (self._is_real(task) and len(self._processes) >= self.workers):
                self._queue.append(task)
            else:
                self._start(task, task.deployed)

    def _is_real(self, task: Task) -> bool:
        return task.deployed is not None and task.deployed.runtime == "py"

    def _start(self, task: Task, deployed: Deployed) -> None:
        task.status, task.started = "RUNNING", self.timers.clock.utcnow()
        if missing := [link for link in task.links if self._linked(link) is None]:
            names = ", ".join(f"{link.name} of {link.task_id}" for link in missing)
            self._end(task, Outcome(-1, f"missing external file: {names}"))
        elif self._is_real(task):
            self._start_process(task, deployed)
        else:
            self._simulate(task, deployed)

    def _linked(self, link: ExternalFile) -> bytes | None:
        other = self.tasks.get(link.task_id)
        output = None if other is None else other.outputs.get(link.name)
        return None if output is None else b"".join(output.chunks or ())

    def _placed(self, task: Task) -> dict[str, bytes]:
        """Other tasks' files by the name under which they are put; two of one name go into folders of their own."""
        names = Counter(link.name for link in task.links)
        return {
            link.name if names[link.name] == 1 else f"{link.task_id}/{link.name}": self._linked(link) or b""
            for link in task.links
        }

    def _start_process(self, task: Task, deployed: Deployed) -> None:
        if deployed.code is None:
            self._end(task, Outcome(-1, "the sandbox did not keep so large a program"))
            return
        zips = [data for data in (deployed.dependents, deployed.inputs) if data is not None]
        program = Program(deployed.name, deployed.code, zips, self._placed(task), deployed.arguments)
        process = Process(
            program,
            self.limit_seconds,
            lambda stream, piece: task.printed[stream].extend(piece),
            partial(self._end, task),
        )
        task.run = process
        self._processes.add(process)
        reaping = asyncio.create_task(self._reap(process), name="asyncconn-sandbox-reap")
        self._reaping.add(reaping)
        reaping.add_done_callback(self._reaping.discard)

    async def _reap(self, process: Process) -> None:
        """A place is free when nothing of the program is left."""
        await process.wait()
        self._processes.discard(process)
        self._pump()

    def _simulate(self, task: Task, deployed: Deployed) -> None:
        codes, number = self.exit_codes.get(task.role, ()), self._ended_runs[task.role]
        words = " ".join([deployed.runtime, deployed.name, *deployed.arguments])
        printed = f"{words}: run in name only\n".encode()
        task.printed["stdout"] += printed
        exit_code = codes[number] if number < len(codes) else 0
        self._ended_runs[task.role] += 1
        task.run = Simulated(self.timers, self.run_seconds, exit_code, printed, partial(self._end, task))

    def _end(self, task: Task, outcome: Outcome) -> None:
        task.run = None
        task.exit_code, task.message = outcome.exit_code, outcome.message
        task.outputs = {name: stored(data) for name, data in outcome.outputs.items()}
        task.runs += 1
        task.counted += 1
        self._leave(task, "FAILED" if outcome.exit_code or outcome.message else "COMPLETED")
        schedule = task.schedule
        if task.armed and schedule is not None and schedule.cron and not 0 < schedule.limit <= task.counted:
            self._arm(task, schedule)
        else:
            self._disarm(task)

    def _stop(self, task: Task) -> None:
        run, task.run = task.run, None
        if run is not None:
            run.stop()
            task.runs += 1
        if task in self._queue:
            self._queue.remove(task)

    def _leave(self, task: Task, status: str) -> None:
        task.status, task.ended = status, self.timers.clock.utcnow()
        for hear in self.on_end:
            hear(task)
