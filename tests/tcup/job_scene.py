"""The sandbox's task and workflow services, a client for them, and what to deploy."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncconn import Hub
from asyncconn.core.polling import PollPolicy
from asyncconn.core.retrying import RetryPolicy
from asyncconn.sandbox import Fault, Sandbox, TcupWorld
from asyncconn.tcup import Task, Tcup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncconn.core.clock import Clock

#: For what takes a fraction of a second.
QUICK = PollPolicy(minimum=0.01, maximum=0.1, deadline=15.0)


@dataclass
class Scene:
    sandbox: Sandbox
    hub: Hub
    folder: Path
    tcup: Tcup

    @property
    def engine(self) -> Any:
        return self.sandbox.tcup.tasks.engine

    @property
    def asked(self) -> list[str]:
        """What was asked of the services, such as ``POST /projects``."""
        return [f"{call.method} {call.path}" for call in self.sandbox.tcup.calls]

    def client(self, **options: Any) -> Tcup:
        """Another client of the same tenant."""
        world = self.sandbox.tcup
        quick = RetryPolicy(attempts=3, initial=0.01, maximum=0.05, deadline=60.0)
        return Tcup(world.url, world.api_key, hub=self.hub, **{"retry": quick, **options})

    def fail(self, kind: str, ending: str, **fault: Any) -> None:
        """Let the next call to a path that ends so go wrong."""
        path = ending.partition(" ")[2] or ending
        method = ending.partition(" ")[0] if " " in ending else ""

        def fits(call: Any) -> bool:
            return call.target.partition("?")[0].endswith(path) and method in ("", call.method)

        self.sandbox.faults.add(Fault(kind, match=fits, **fault))

    async def deployed(self, job: str, *, runtime: str = "java", code: str = "", **options: Any) -> Task:
        """A task of the project "p" that can run; other runtimes than py run in name only."""
        task = await self.tcup.tasks.create(project="p", job=job)
        program = self.folder / f"{job}.{runtime}"
        program.write_text(code or "class Job {}")
        await task.deploy(program, runtime=runtime, **options)
        return task


@asynccontextmanager
async def scene(folder: Path, clock: Clock | None = None, **world: Any) -> AsyncIterator[Scene]:
    async with Sandbox(TcupWorld(**world), seed=1, clock=clock) as sandbox, Hub(clock=clock) as hub:
        here = Scene(sandbox, hub, folder, None)  # type: ignore[arg-type] # made in the next line, by the scene itself
        here.tcup = here.client()
        yield here
