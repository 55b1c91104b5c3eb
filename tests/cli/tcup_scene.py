"""A sandbox of TCUP, and commands that find it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, chdir
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from typer.testing import CliRunner

from asyncconn.cli import output
from asyncconn.cli.app import app
from asyncconn.sandbox import Sandbox, TcupWorld
from cli.commands import Ended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


#: One that moves what is hot, as its commands are given it.
RULE: dict[str, Any] = {
    "RuleName": "hot",
    "RuleDescription": "over 30",
    "parallelismFactor": "1",
    "input": {"type": "Direct", "DirectExchange": "Direct.Exchange", "RoutingKey": ""},
    "params": [
        {
            "name": "ObservedProperties",
            "value": [{"name": "obs2", "type": "quantity", "value": "30", "operator": ">"}],
        }
    ],
    "output": {"TopicExchange": "ex1", "Topic": "test"},
}


def inside(folder: Path, *args: str, env: dict[str, str] | None = None, given: bytes = b"") -> Ended:
    """What a command of the group does, run in this process. One at a time."""
    with chdir(folder), patch.object(output.spoken, "quiet", new=False):
        ended = CliRunner().invoke(app, ["tcup", *args], env=env, input=given)
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


@dataclass(frozen=True)
class Scene:
    sandbox: Sandbox
    folder: Path

    @property
    def world(self) -> TcupWorld:
        return self.sandbox.tcup

    async def __call__(self, *args: str, env: dict[str, str] | None = None, given: bytes = b"") -> Ended:
        """Run a command to its end: in a thread of this process, as a new one takes a second to begin."""
        return await asyncio.to_thread(inside, self.folder, *args, env={**self.sandbox.env, **(env or {})}, given=given)

    async def done(self, *args: str, given: bytes = b"") -> str:
        """What a command says that has to go well."""
        ended = await self(*args, given=given)
        assert (ended.status, ended.err) == (0, ""), ended.text
        return ended.out

    async def registered(self) -> None:
        """The sensor ``ts1`` (obs1: text, obs2: quantity in Cel)."""
        await self.done("register", "ts1", "obs1:text", "obs2:quantity:Cel", "--feature", "tf1")

    def values(self) -> list[tuple[Any, Any]]:
        """What SOS holds: names and values."""
        return [(row["name"], row["value"]) for row in self.world.sos.rows()]


@asynccontextmanager
async def scene(folder: Path, **world: Any) -> AsyncIterator[Scene]:
    async with Sandbox(TcupWorld(**world), seed=1) as sandbox:
        yield Scene(sandbox, folder)
