"""What names are made of: any text but what a terminal, a header or a file system takes for a command. Pure.

And what is given as one name or several, or as a list of things.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

from asyncconn.errors import ConfigError

T = TypeVar("T")

__all__ = ["all_of", "is_plain", "one_or_several", "several"]

_STRANGE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]").search


def is_plain(name: str) -> bool:
    """Whether there is something in it, and neither control characters nor halves of characters.

    >>> is_plain("Büro 9.30"), is_plain("a\\nb")
    (True, False)
    """
    return bool(name.strip()) and _STRANGE(name) is None


def several(given: Any, what: str) -> list[Any]:
    """The things of a list, or of whatever else can be gone through.

    Raises ``ConfigError`` for what cannot, and for a text, whose letters nobody means.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ConfigError(f"{what}: a list is wanted, not {type(given).__name__}")
    return list(given)


def all_of(kind: type[T], given: Any, what: str) -> list[T]:
    """:func:`several` of one kind."""
    found = several(given, what)
    for one in found:
        if not isinstance(one, kind):
            raise ConfigError(f"{what}: each is a {kind.__name__}, not {one!r}")
    return found


def one_or_several(given: Any, what: str) -> list[str]:
    """The names, of which there may be one alone, or none with None. Raises ``ConfigError`` for what is no text."""
    found = [] if given is None else [given] if isinstance(given, str) else several(given, what)
    return all_of(str, found, what)
