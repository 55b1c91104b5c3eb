"""Options that are written down once: as the fields of a class, and so as the arguments of a world."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

__all__ = ["spelled_out"]

T = TypeVar("T")
P = ParamSpec("P")
S = TypeVar("S")


def spelled_out(options: Callable[P, T]) -> Callable[[Callable[[S, T], None]], Callable[Concatenate[S, P], None]]:
    """Make a constructor that takes ``options`` take their fields instead."""

    def decorate(init: Callable[[S, T], None]) -> Callable[Concatenate[S, P], None]:
        @wraps(options.__init__)
        def taking_fields(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
            init(self, options(*args, **kwargs))

        return taking_fields

    return decorate
