"""What a run of a data source tells about itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Self

from asyncconn.core.progress import Progress
from asyncconn.core.shown import Shown

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RunReport", "SourceProgress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceProgress(Progress):
    """How far a source says that it is: a :class:`~asyncconn.core.progress.Progress` with the source's own ``msg``.

    What it counts only the source knows: the ``unit`` is ``""``.
    """

    msg: str

    @classmethod
    def after(cls, before: Self, data: Mapping[str, Any]) -> Self:
        """What a ``progress`` event says; where it does not say how much, that is as ``before``."""
        done, total = (_count(data.get(name)) for name in ("loaded", "total"))
        return cls(before.done if done is None else done, total, "", msg=str(data.get("msg") or ""))


@dataclass(repr=False)
class RunReport(Shown):
    """How far a run got.

    ``reads`` counts the calls of ``read`` that returned, ``retries`` those that were repeated after an error. ``rows``
    were given to the writer, ``delivered`` of them have arrived (each read whole: a lower bound while it runs),
    ``tables`` counts rows by table. ``state`` is the merged state of what was delivered, ``changes`` the parameters
    that the source changed, by name. ``finished`` is whether ``read`` said that there is no more. ``seconds`` it took.
    """

    reads: int = 0
    retries: int = 0
    rows: int = 0
    delivered: int = 0
    tables: Counter[str] = field(default_factory=Counter)
    state: dict[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    finished: bool = False
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether everything that there was has arrived."""
        return self.finished and self.delivered == self.rows


def _count(value: Any) -> int | None:
    # Authors give what they have: None and text count nothing.
    return int(value) if isinstance(value, int | float) and 0 <= value < inf else None
