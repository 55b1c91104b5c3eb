"""Names that are meant as patterns, where a service takes ``*`` for any text. Contract: tcup section 13.36."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Names", "Pattern", "only", "texts"]


class Pattern(str):
    """A name in which ``*`` stands for any text; in any other text it is a star.

    >>> rows = tcup.observations.query(sensor=Pattern("room-*"))
    """

    __slots__ = ()


#: One name, or several of which any will do.
Names = str | Iterable[str] | None


def texts(names: Names) -> list[str]:
    """The names, as a repeated parameter takes them."""
    return [] if names is None else [names] if isinstance(names, str) else list(names)


def only(names: list[str], marks: str = "*") -> Callable[[Any], bool] | None:
    """Whether a name that came was asked for; None where the service's own choice is right.

    A name that holds one of ``marks``, and is no :class:`Pattern`, means itself: the service would find others, too.
    """
    if not any(mark in name for name in names if not isinstance(name, Pattern) for mark in marks):
        return None
    exact = {str(name) for name in names if not isinstance(name, Pattern)}
    patterns = [name.split("*") for name in names if isinstance(name, Pattern)]
    return lambda name: name in exact or any(_fits(name, pieces) for pieces in patterns)


def _fits(name: Any, pieces: list[str]) -> bool:
    """Whether the name begins with the first piece, ends with the last, and has the others in order between them."""
    if not isinstance(name, str) or not name.startswith(pieces[0]):
        return False
    if len(pieces) == 1:
        return name == pieces[0]
    at = len(pieces[0])
    for piece in pieces[1:-1]:
        found = name.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(name) - at >= len(pieces[-1]) and name.endswith(pieces[-1])
