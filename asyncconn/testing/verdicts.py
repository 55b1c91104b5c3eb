"""What a check found: passed, failed with what was seen, or not checked and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CheckReport", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one promise: ``seen`` is what speaks for it or against it, or why nothing does."""

    state: Literal["passed", "failed", "not checked"]
    seen: tuple[str, ...] = ()

    @classmethod
    def of(cls, failures: list[str], otherwise: str) -> Verdict:
        """Failed if there are any failures, each named once."""
        return cls("failed", tuple(dict.fromkeys(failures))) if failures else cls("passed", (otherwise,))


@dataclass(frozen=True, slots=True, repr=False)
class CheckReport:
    """The verdicts by name: ``cap``, ``secret``, ``repeated_write``, ``endless_wait`` and ``lost_record``.

        >>> report = await check(make, fake, reads=[plan])
        >>> report.failed
        {'cap': ('12 calls within 0.5 s, where 5 are declared',)}
        >>> report.raise_for_failures()

    Its ``repr`` is a line for each, as an assertion shows it.
    """

    verdicts: Mapping[str, Verdict]

    def _in(self, state: str) -> dict[str, tuple[str, ...]]:
        return {name: one.seen for name, one in self.verdicts.items() if one.state == state}

    @property
    def passed(self) -> dict[str, tuple[str, ...]]:
        """What was kept, and in how many runs."""
        return self._in("passed")

    @property
    def failed(self) -> dict[str, tuple[str, ...]]:
        """What was not kept, and what was seen."""
        return self._in("failed")

    @property
    def not_checked(self) -> dict[str, tuple[str, ...]]:
        """What nothing is known of, and why."""
        return self._in("not checked")

    def raise_for_failures(self) -> None:
        """Raise ``AssertionError`` with the whole report if anything failed."""
        if self.failed:
            raise AssertionError(f"{self!r}")

    def __repr__(self) -> str:
        lines = [f"  {name}: {one.state}: {'; '.join(one.seen)}" for name, one in self.verdicts.items()]
        return "\n".join(["<CheckReport", *lines, ">"])
