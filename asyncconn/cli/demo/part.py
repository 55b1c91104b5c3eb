"""What the parts of the demonstration have in common: a report of facts, and a verdict that rests on them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Part", "verdict"]


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


def verdict(ok: bool, words: str) -> Text:
    """The last word about a part."""
    return Text.assemble(("PASS  ", "bold green") if ok else ("FAIL  ", "bold red"), words)
