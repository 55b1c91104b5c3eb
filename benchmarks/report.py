"""The goals as figures, in a page of one file: ``results/latest.html``, beside the figures themselves."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

from asyncconn.cli.drawing import COLOURS, Section, drawn, page
from asyncconn.core.tables import html_table
from asyncconn.core.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.goals import Goal

_OF_VERDICT = dict(zip(("met", "missed", "ambition"), COLOURS, strict=False))
_NAME = 64  # characters


def goals_page(goals: list[Goal], machine: str) -> str:
    missed = sum(goal.verdict == "missed" for goal in goals)
    text = f"{count(len(goals), 'goal')}, {missed or 'none'} of them missed; on {machine}."
    return page("asyncconn beside its peers", text, list(_sections(goals)))


def _sections(goals: list[Goal]) -> Iterator[Section]:
    for part, some in groupby(goals, key=lambda goal: goal.part):
        listed = list(some)
        rows = [(one.what, f"{one.found:.3g}", f"{one.better} {one.enough:g}", one.verdict) for one in listed]
        words = "How much of what is allowed was used: left of the line is better. Dots are the ambition."
        shown = html_table(("what", "found", "at least", "verdict"), rows, noun="goal")
        yield Section(part.capitalize(), words, _figure(listed, part) + shown)


def share(goal: Goal, found: float) -> float:
    """What of the allowed a figure is: 1 is just enough, less is better. For ``>=`` it is the other way about."""
    part, whole = (found, goal.enough) if goal.better == "<=" else (goal.enough, found)
    if whole:
        return part / whole
    return 0.0 if not part else math.inf


def _figure(goals: list[Goal], part: str) -> str:
    shares = [min(share(goal, goal.found), 3.0) for goal in goals]  # what is far over it need not be seen to scale

    def draw(axes: Any) -> None:
        places = range(len(goals))
        axes.barh(places, shares, height=0.55, color=[_OF_VERDICT[goal.verdict] for goal in goals])
        axes.plot([share(goal, goal.ambition) for goal in goals], list(places), "o", color="#1b1f24", ms=4)
        axes.axvline(1.0, color=COLOURS[1], linestyle="--")
        axes.set_yticks(places, [goal.what if len(goal.what) <= _NAME else f"{goal.what[:_NAME]}..." for goal in goals])
        axes.set_ylim(len(goals) - 0.4, -0.6)
        axes.set(xlabel="share of what is allowed", xlim=(0, max(1.15, *shares)))

    words = "; ".join(f"{goal.what}: {goal.found:.3g}, {goal.verdict}" for goal in goals)
    return drawn(draw, f"{part}: {words}", height=1.1 + 0.34 * len(goals))
