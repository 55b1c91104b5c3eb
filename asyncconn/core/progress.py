"""How far something is, for whoever wants to show it: the same for all that takes time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` things of a ``unit`` (``"files"``, ``"streams"``, ``"bytes"``); None is not known.

    What takes ``on_progress`` calls it with one of these, in the beginning and whenever there is news.

        >>> Progress(3, 10, "files").done
        3
    """

    done: int
    total: int | None
    unit: str
