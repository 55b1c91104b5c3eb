"""What the parts of the demonstration have in common: a report of facts, its verdict, and how both are shown."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from asyncconn.cli.output import progress, stderr, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from asyncconn.cli.output import Fitted

__all__ = ["Part", "Verdict", "screen", "steps", "verdict", "verdicts"]


@dataclass
class Part:
    """What ``--json`` prints of a part: ``ok`` if nothing is ``wrong``, and the ``seconds`` it took here."""

    ok: bool = False
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The time from here to the end, and whether all was well then."""
        started = time.perf_counter()
        yield
        self.seconds = round(time.perf_counter() - started, 3)
        self.ok = not self.wrong

    def judge(self, *findings: tuple[object, str]) -> None:
        """Keep in words what is wrong, of pairs of that and its words."""
        self.wrong += [words for wrong, words in findings if wrong]


def verdict(ok: bool, words: str = "") -> Text:
    """How it is told."""
    return Text.assemble(("PASS  ", "bold green") if ok else ("FAIL  ", "bold red"), words)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The last word about a ``part``."""

    part: str
    ok: bool
    words: str
    seconds: float


def verdicts(found: Sequence[Verdict]) -> Fitted:
    """All of them."""
    rows = [
        (
            Text("PASS", "bold green") if one.ok else Text("FAIL", "bold red"),
            one.part,
            one.words,
            f"{one.seconds:.1f} s",
        )
        for one in found
    ]
    return table("Verdicts", ("", "part", "judged by what the platforms have seen", "took"), rows, numbers=("took",))


def screen() -> Console:
    """For results that are prose, too: wrapped where a screen or a log ends."""
    return Console(highlight=False)


@contextmanager
def steps(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar that moves on with each step, which is named when it begins; on terminals only."""
    with progress(stderr()) as bar:
        task = bar.add_task(what, total=total, note="")
        names: list[str] = []

        def begin(name: str) -> None:
            bar.update(task, completed=len(names), note=name)
            names.append(name)

        yield begin
        bar.update(task, completed=total, note="")
