"""What a run of a data source tells about itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

__all__ = ["RunReport"]


@dataclass
class RunReport:
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
