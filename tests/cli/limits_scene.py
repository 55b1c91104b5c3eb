"""A sandbox with an Atoti session and a Limits server, files for it, and commands that find both."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asyncconn.atoti_limits.offline.csv_formats import write_limits, write_structures
from asyncconn.sandbox import LimitsWorld, Sandbox
from cli.commands import Ended, arun

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STRUCTURE: dict[str, Any] = {
    "Structure ID": "price",
    "Name": "Price",
    "Polling Frequency": "EOD",
    "KPI Type": "Greater Than",
    "Absolute Value Indicator": False,
    "Warning Threshold": 80,
    "Measure Name": "Price.SUM",
    "Scope Keys": "CarName",
    "Limit Changes Workflow": "StraightThrough",
    "Exception Workflow": "Exception",
    "Cube Name": "Cars_Cube",
    "Server Name": "atoti",
}
DAY = "2026-01-31"


def limit(name: str, value: float, scope: str) -> dict[str, Any]:
    return {
        "Structure Group": "Cars",
        "Structure Name": "Price",
        "Structure ID": "price",
        "Cube Name": "Cars_Cube",
        "Server Name": "atoti",
        "Measure Name": "Price.SUM",
        "Limit ID": name,
        "Limit Name": "Price",
        "Start Date": "2026-01-01",
        "Limit Type": "OFFICIAL",
        "Limit Value": value,
        "Scope": scope,
        "Limit Status": "APPROVED",
        "Precedence": 0,
    }


@dataclass(frozen=True)
class Scene:
    sandbox: Sandbox
    folder: Path

    async def __call__(self, *args: str, env: dict[str, str] | None = None) -> Ended:
        return await arun(self.folder, "limits", *args, env={**self.sandbox.env, **(env or {})})

    async def connected(self) -> None:
        """As if ``connect`` had been run before."""
        self.sandbox.atoti_limits.limits.connect("atoti", self.sandbox.atoti_limits.session.url)

    async def filled(self) -> None:
        """Connected, with a structure and two limits."""
        await self.connected()
        for name in ("structures.csv", "limits.csv"):
            ended = await self("upload", name)
            assert ended.status == 0, ended.text


@asynccontextmanager
async def scene(folder: Path, **world: Any) -> AsyncIterator[Scene]:
    (folder / "structures.csv").write_text(write_structures([STRUCTURE]))
    rows = [limit("fiat", 20_000, "CarName=Fiat"), limit("lada", 10_000, "CarName=Lada")]
    (folder / "limits.csv").write_text(write_limits(rows))
    async with Sandbox(LimitsWorld(**world), seed=1) as sandbox:
        sandbox.atoti_limits.limits.utilizations.update(fiat=120.5, lada=50.0)
        yield Scene(sandbox, folder)
