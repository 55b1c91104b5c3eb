"""What a goal is, and how goals and peers are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table

if TYPE_CHECKING:
    from benchmarks.measure import Samples


@dataclass(frozen=True)
class Goal:
    """One line: what was measured, what was found, and what would be enough (and better still)."""

    part: str
    what: str
    found: float
    better: str  # "<=" or ">="
    enough: float
    ambition: float
    unit: str = "x"

    def meets(self, bar: float) -> bool:
        found = round(self.found, 3)
        return found <= bar if self.better == "<=" else found >= bar

    @property
    def verdict(self) -> str:
        if self.meets(self.ambition):
            return "ambition"
        return "met" if self.meets(self.enough) else "missed"


class Part(NamedTuple):
    """The goals of a part, and what they were found from."""

    goals: list[Goal]
    samples: dict[str, Samples]


def partition_goals(samples: Samples, count: int) -> list[Goal]:
    """What the scheduler and the client of a cluster may need for ``count`` partitions."""
    cpu, memory, told = (samples.median("cluster", figure) for figure in ("us_each", "grown_mb", "outcomes"))
    return [
        Goal("collect", f"scheduler and client, each of {count:,} partitions, CPU", cpu, "<=", 30, 10, "us"),
        Goal("collect", f"memory for {count:,} partitions", memory, "<=", 60, 30, "MB"),
        Goal("collect", "outcomes told by tasks: counts come back, and no rows", told, "<=", 1_000, 500, "messages"),
    ]


def goals_table(goals: list[Goal]) -> Table:
    table = Table(title="asyncconn beside its peers", title_justify="left")
    for name in ("part", "what", "now", "at least", "ambition", ""):
        table.add_column(name, justify="right" if name in ("now", "at least", "ambition") else "left")
    colours = {"ambition": "bold green", "met": "green", "missed": "bold red"}
    for goal in goals:
        unit = "" if goal.unit == "x" else f" {goal.unit}"
        bars = [f"{goal.better} {bar:g}" for bar in (goal.enough, goal.ambition)]
        table.add_row(
            goal.part, goal.what, f"{goal.found:.3g}{unit}", *bars, f"[{colours[goal.verdict]}]{goal.verdict}[/]"
        )
    return table


def peers_table(samples: dict[str, Samples]) -> Table:
    """Every peer of a part: the median of each figure, instructions, and these over the first that was counted."""
    table = Table(title_justify="left")
    for name in ("measured", "peer", "figures", "K instructions", "over the first"):
        table.add_column(name, justify="left" if name in ("measured", "peer", "figures") else "right")
    for measured, some in samples.items():
        first = next(iter(some.runs or some.instructions))
        base = next(iter(some.instructions.values()), 0.0)
        for peer in dict.fromkeys([*some.runs, *some.instructions]):
            figures = {figure: some.median(peer, figure) for figure in some.figures(peer)}
            counted = some.instructions.get(peer)
            table.add_row(
                measured if peer == first else "",
                peer,
                ", ".join(f"{figure} {found:.4g}" for figure, found in figures.items()),
                f"{counted:.1f}" if counted else "",
                f"{counted / base:.3f}" if counted else "",
            )
        table.add_section()
    return table
