"""The links of a workflow: which task goes before which, from the start to the end. Pure. Contract: tcup section 8.

>>> links([("T1", "T2")])
[('start', 'T1'), ('T1', 'T2'), ('T2', 'end')]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from asyncconn.errors import ConfigError

__all__ = ["END", "START", "Link", "as_set", "links", "wire"]

START = "start"
END = "end"

#: From the task of the first id to that of the second; the start and the end stand for themselves.
Link = tuple[str, str]


def links(pairs: Iterable[tuple[str, str]]) -> list[Link]:
    """Every link of a workflow: those given, one from the start to each task that has no other, one to the end.

    Links from the start and to the end may also be given, as for a workflow of one task: ``[("start", "T1")]``. A pair
    that comes twice is one link. Raises ``ConfigError`` for what goes in a circle, which it names, or has no task.
    """
    given = list(dict.fromkeys((source, destination) for source, destination in pairs))
    tasks = list(dict.fromkeys(one for pair in given for one in pair if one not in (START, END)))
    if not tasks:
        raise ConfigError("a workflow needs at least one pair of tasks")
    if wrong := [one for one in given if one[0] == END or one[1] == START or one == (START, END)]:
        raise ConfigError(f"this is no link of tasks, or the wrong way round: {' -> '.join(wrong[0])}")
    try:
        TopologicalSorter(_before(given)).prepare()
    except CycleError as error:
        raise ConfigError(f"these tasks wait for each other: {' -> '.join(error.args[1])}") from None
    begun, ended = {destination for _, destination in given}, {source for source, _ in given}
    first = [(START, task) for task in tasks if task not in begun]
    last = [(task, END) for task in tasks if task not in ended]
    return [*first, *given, *last]


def _before(given: Iterable[Link]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for source, destination in given:
        found.setdefault(destination, set()).add(source)
    return found


def wire(given: Iterable[Link]) -> list[dict[str, str]]:
    """Links as they are sent."""
    return [{"source": source, "destination": destination} for source, destination in given]


def as_set(found: Any) -> frozenset[Link]:
    """The links of a definition, for a comparison; what is no link is none."""
    every = found if isinstance(found, list) else []
    return frozenset((str(one.get("source")), str(one.get("destination"))) for one in every if isinstance(one, Mapping))
